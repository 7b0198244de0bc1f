"""A process that has imported everything and forks for each program: a child starts in milliseconds, not seconds.

    python -m tests.kills.nursery

It reads one job a line and answers with the child's process id.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import sys
import threading

SLOW = (
    "anyio._backends._asyncio",
    "genai_prices.data",
    "genai_prices.decompose",
    "genai_prices.validation",
    "groq.resources.chat",
    "h11",
    "httpcore",
    "httpcore2",
    "jiter",
    "langchain_groq",
    "langchain_mistralai",
    "langchain_openai",
    "langgraph.checkpoint.postgres.aio",
    "openai.lib.beta",
    "openai.lib.streaming.chat",
    "openai.resources.beta.beta",
    "openai.resources.chat.completions.completions",
    "psycopg",
    "ymera.cli",
    "ymera.graphs.workflow",
)


def main() -> None:
    """Fork for every line of the standard input."""
    from tests.kills.child import carry_out
    from ymera.routing.catalogue import builtin_catalogue

    for name in SLOW:
        importlib.import_module(name)
    builtin_catalogue()
    assert threading.active_count() == 1, "a fork would lose the other threads"
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the system buries the children
    _say(os.getpid())
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            raise SystemExit(carry_out(json.loads(line)))
        _say(pid)


def _say(pid: int) -> None:
    sys.stdout.write(f"{pid}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
