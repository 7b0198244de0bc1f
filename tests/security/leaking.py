"""Everything that YMERA can be made to print or keep, done once in a process whose settings hold secrets.

    python -m tests.security.leaking

What goes to the two streams, into files and to LangSmith is searched by whoever started it (test_canaries.py).
"""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.outputs import ChatResult
from pydantic import SecretStr

TASK = "Write the opening hours of a library"
PROVIDERS = ("openai", "azure", "deepseek", "groq", "mistral", "google", "anthropic", "cohere")


class Crashing(BaseChatModel):
    """A client that breaks, with the key in the error, its cause and its context."""

    model: str
    api_key: SecretStr

    @property
    def _llm_type(self) -> str:
        return "crashing"

    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        key = self.api_key.get_secret_value()
        try:
            raise KeyError({"authorization": f"Bearer {key}"})
        except KeyError as error:
            try:
                raise ValueError(key) from error
            except ValueError:
                raise RuntimeError(f"cannot use {key}", self) from error


COMMANDS: tuple[Sequence[str], ...] = (
    *(("run", TASK, "--provider", name, "--no-cache", "--attempts", "2", "-vvv") for name in PROVIDERS),
    ("run", TASK, "--provider", "crashing", "--no-cache", "-vvv", "--json"),
    ("run", TASK, "--provider", "local", "--no-cache", "--json"),
    ("run", TASK, "--thread", "kept", "--json"),
    ("resume", "kept", "-vv"),
    ("resume", "unknown", "-vv"),
    ("match", TASK, "-v"),
    ("match", TASK, "--json", "-vv"),
    ("models", "list", "--json"),
    ("models",),
    ("agents", "--json"),
    ("graph",),
    ("doctor",),
    ("doctor", "--json"),
    ("doctor", "--probe", "--json"),
)


LOG = "every.log"


def command(words: Sequence[str]) -> None:
    """Run a command as the console script does, whatever comes of it."""
    from ymera.cli import app

    sys.stdout.write(f"$ {' '.join(words)}\n")
    root = logging.getLogger()
    handlers = list(root.handlers)
    with suppress(SystemExit):
        app(list(words), prog_name="ymera")
    root.handlers[:] = handlers


def log_everything() -> None:
    """Let every logger write all it has to say into a file, beside what the commands make of it."""
    handler = logging.FileHandler(LOG)
    handler.setFormatter(logging.Formatter("%(name)s %(levelname)s %(message)s %(args)r"))
    logging.getLogger().addHandler(handler)
    logging.getLogger().setLevel(logging.DEBUG)


async def in_python() -> None:
    """Show what a program can see: representations, results, and errors with all that hangs on them."""
    from ymera.executor import MultiModelExecutor
    from ymera.nodes.settings import load_settings
    from ymera.nodes.state import RunContext

    settings = load_settings()
    async with MultiModelExecutor(settings) as executor:
        for name in (*PROVIDERS, "crashing", "local"):
            try:
                context = RunContext(providers=[name], attempts=1)
                result = await executor.execute_with_multi_model("coding_agent", TASK, context=context)
            except Exception as error:  # noqa: BLE001 - whatever it is, it must hold no key
                show_error(error)
            else:
                show(result, result.to_json())
        services = executor.services
        models = getattr(services.models, "_loops", {})
        for thing in (settings, executor, services, services.models, services.matcher):
            show(repr(thing), str(thing), vars(thing) if thing is services else "")
        show([repr(opened) for loop in models.values() for opened in loop.opened.values()])
    bad = MultiModelExecutor(
        settings.model_copy(update={"ymera_local_base_url": f"{settings.ymera_local_base_url}x"})
    )
    show(repr(bad))


def show(*things: object) -> None:
    """Print."""
    sys.stdout.write(" ".join(map(str, things)) + "\n")


def show_error(error: BaseException) -> None:
    """Print an error, its chain, and what each of its links carries."""
    show("".join(traceback.format_exception(error)))
    seen: BaseException | None = error
    while seen is not None:
        show(repr(seen), str(seen), seen.args, getattr(seen, "__notes__", ""))
        seen = seen.__cause__ or seen.__context__


def settings_that_are_wrong() -> None:
    """Show what is said of bad values beside the secrets."""
    import os

    for name in ("YMERA_CACHE_TTL", "YMERA_LOCAL_MODELS", "YMERA_DAILY_USD", "YMERA_TENANT"):
        os.environ[name] = "{bad:"
        command(["doctor"])
        command(["run", TASK])
        del os.environ[name]


def main() -> None:
    log_everything()
    for words in COMMANDS:
        command(words)
    asyncio.run(in_python())
    settings_that_are_wrong()
    faulthandler.dump_traceback(file=sys.stderr)


if __name__ == "__main__":
    main()
