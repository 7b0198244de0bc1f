"""How long the commands take to start: section `start` of `python -m benchmarks`.

Each command runs in a process of its own, in turn with a Python that does nothing; what it takes beyond that is the
command's own. Which modules a command has imported is asked of the command itself. Modules are compiled before, as pip
does when it installs them and Python at the first start: where bytecode may not be written (PYTHONDONTWRITEBYTECODE)
each start would compile all of them anew.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict

from ymera.routing.catalogue import builtin_catalogue

from .findings import Effort, Findings, Mark, Table
from .turns import Side, Spread, Taken, beyond, in_turn, spread
from .weights_here import MISSING, models_here

NOTHING = "python, nothing else"
TASK = "Create an API endpoint for user management"
COMMAND = "import sys; from ymera.cli import main; sys.argv[0] = 'ymera'; main()"
"""What the installed script does."""
MOST_MS: Mapping[str, float] = {"import ymera": 100, "ymera --help": 150, "ymera match": 300}
WORDS: Mapping[str, Sequence[str]] = {
    "ymera --help": ["--help"],
    "ymera match": ["match", TASK, "--agent", "coding_agent"],
}
FIRST_TOKEN = f"""
import asyncio
from contextlib import aclosing
from ymera import MultiModelExecutor, RunContext

async def main():
    context = RunContext(providers=["embedded"])
    run = MultiModelExecutor().stream("coding_agent", {TASK!r}, context=context)
    async with aclosing(run) as events:
        async for event in events:
            if event["event"] == "token":
                return

asyncio.run(main())
"""
"""From the start of Python to the first piece of an answer, and no further."""


async def measure(effort: Effort) -> Findings:
    """Start every command some times."""
    commands = {
        NOTHING: ["-c", "pass"],
        "import ymera": ["-c", "import ymera"],
        **{name: ["-c", COMMAND, *words] for name, words in WORDS.items()},
    }
    with tempfile.TemporaryDirectory() as folder:
        environment = _environment(folder)
        sides = {name: _started(words, environment) for name, words in commands.items()}
        taken = await in_turn(sides, effort.starts)
        imported = {
            name: await asyncio.to_thread(_providers, words, environment) for name, words in WORDS.items()
        }
        first_token, left_out = await _first_token(effort, environment)
    own = {name: beyond(each.wall, taken[NOTHING].wall) for name, each in taken.items() if name != NOTHING}
    return Findings(
        tables=[_table(taken, own, first_token)],
        marks=[*_marks(own, imported)],
        figures={name: asdict(each) for name, each in own.items()} | {"imported": imported},
        left_out=left_out,
    )


def _environment(folder: str) -> dict[str, str]:
    """Return the environment of the commands: what they keep lies in a folder, and so does their bytecode."""
    own = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return own | {"YMERA_DATA_DIR": folder, "PYTHONPYCACHEPREFIX": f"{folder}/bytecode"}


def _table(taken: Mapping[str, Taken], own: Mapping[str, Spread], first_token: str) -> Table:
    rows = [[name, str(spread(each.wall)), str(own.get(name, ""))] for name, each in taken.items()]
    rows += [["first piece of an answer of an embedded model", first_token, ""]] if first_token else []
    heads = ["command", "wall, ms", "beyond Python's own start, ms"]
    note = f"Medians of {len(taken[NOTHING].wall)} starts (quartiles)."
    return Table(title="From the command to its end", heads=heads, rows=rows, note=note)


def _marks(own: Mapping[str, Spread], imported: Mapping[str, Sequence[str]]) -> Iterator[Mark]:
    for name, most in MOST_MS.items():
        yield Mark(what=f"{name}, beyond Python's own start", reached=own[name].median, most=most, unit="ms")
    for name, packages in imported.items():
        yield Mark(what=f"provider packages that {name} imports", reached=len(packages), most=0)


def _started(words: Sequence[str], environment: Mapping[str, str]) -> Side:
    async def run(number: int) -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *words,
            env=environment,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        if await process.wait():
            raise AssertionError(f"ended with {process.returncode}: {words}")

    return run


def _providers(words: Sequence[str], environment: Mapping[str, str]) -> list[str]:
    """Return the providers' packages that a command has imported when it ends."""
    rows = builtin_catalogue().providers.values()
    packages = sorted({row.chat_model.partition(":")[0].partition(".")[0] for row in rows if row.chat_model})
    asked = f"import atexit, sys; atexit.register(lambda: print(*sys.modules, file=sys.stderr)); {COMMAND}"
    done = subprocess.run(
        [sys.executable, "-c", asked, *words], env=environment, capture_output=True, text=True, check=True
    )
    return [package for package in packages if package in done.stderr.split()]


async def _first_token(effort: Effort, environment: Mapping[str, str]) -> tuple[str, list[str]]:
    """Return how long an embedded model takes to begin, in words; where none can, why."""
    if not models_here():
        return "", [MISSING.format("the first token of an embedded model")]
    side = {
        "": _started(["-c", FIRST_TOKEN], {**environment, "YMERA_DOWNLOADS": "false", "YMERA_CACHE_TTL": "0"})
    }
    return str(spread((await in_turn(side, max(1, effort.starts // 3)))[""].wall)), []
