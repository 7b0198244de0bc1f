"""Record runs as this release leaves them: `python -m tests.recorded.record FILE.gz` writes a file of checkpoints.

Each recording stays in the tests for as long as its format can be resumed. To record what another release leaves, run
this file in that release's tree. The models follow a script; the threads are named by where their runs stand.
"""

from __future__ import annotations

import asyncio
import gzip
import os
import sqlite3
import sys
import tempfile
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from tests.scripted import Line, Script, scripted_services
from ymera import MultiModelExecutor
from ymera.nodes.settings import load_settings

TASK = "Create a FastAPI endpoint for user management"
PLAN, CODE = "1. Write the route.", "print('hello')"
AGENTS: Mapping[str, str] = {
    "sequence": "coding_agent",
    "lanes": "documentation_agent",
    "done": "coding_agent",
}
"""Thread to agent."""


async def record(path: Path) -> None:
    """Leave a run that is broken off in its second call, one broken off beside a phase that was done, and one done."""
    for thread, agent in AGENTS.items():
        script = Script(otherwise=Line(text=PLAN))
        executor = MultiModelExecutor(
            services=scripted_services(
                script, load_settings().model_copy(update={"ymera_checkpoints": str(path)})
            )
        )
        plan = await executor.matcher.match_agent_to_models(agent, TASK)
        makers = [p["primary_model"] for p in plan["phases"] if p["phase"] == "generation"]
        for maker in makers:
            if maker:
                script.lines[maker["model"]] = deque([Line(text=CODE, seconds=0 if thread == "done" else 60)])
        run = executor.execute_with_multi_model(agent, TASK, thread_id=thread)
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(run, None if thread == "done" else 1.0)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        os.environ["YMERA_DATA_DIR"] = folder
        made = Path(folder, "checkpoints.sqlite")
        asyncio.run(record(made))
        with sqlite3.connect(made) as database:
            database.execute("PRAGMA journal_mode=DELETE")
        database.close()
        Path(sys.argv[1]).write_bytes(gzip.compress(made.read_bytes(), mtime=0))
