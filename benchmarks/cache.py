"""How fast a stored result comes: section `cache` of `python -m benchmarks`.

The same task is asked again: of the process that has made its result, and of an executor that has to open its files
first.
"""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path

from tests.scripted import REVISE, Line, Script, scripted_services
from ymera.executor import MultiModelExecutor
from ymera.nodes.settings import Settings

from .findings import Effort, Findings, Mark, Table
from .instant import PHASES, TASK
from .turns import Side, in_turn, spread

AGAIN, FRESH = "asked again in the same process", "asked of an executor that opens its files first"
MOST_MS = {AGAIN: 1.0, FRESH: 5.0}
"""A result from memory is to take less than one, one from disk a few: five are taken for a few."""


async def measure(effort: Effort) -> Findings:
    """Measure how long a stored result takes."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        settings = Settings(ymera_data_dir=Path(folder))
        executor = _executor(settings)
        await _asked(executor)
        sides: dict[str, Side] = {
            AGAIN: lambda number: _taken(executor),
            FRESH: lambda number: _taken(_executor(settings)),
        }
        taken = await in_turn(sides, effort.runs)
    rows = [[name, str(spread(each.wall)), str(spread(each.cpu))] for name, each in taken.items()]
    return Findings(
        tables=[Table(title="A stored result", heads=["", "wall, ms", "CPU, ms"], rows=rows)],
        marks=[
            Mark(
                what=f"a stored result, {name}",
                reached=spread(each.wall).median,
                most=MOST_MS[name],
                unit="ms",
            )
            for name, each in taken.items()
        ],
        figures={name: asdict(spread(each.wall)) for name, each in taken.items()},
    )


def _executor(settings: Settings) -> MultiModelExecutor:
    script = Script(otherwise=Line(text="an answer " * 100), judge=Line(text=REVISE))
    return MultiModelExecutor(services=scripted_services(script, settings))


async def _asked(executor: MultiModelExecutor) -> bool:
    result = await executor.execute_with_multi_model("coding_agent", TASK, enable_phases=PHASES)
    if not result.success:
        raise AssertionError(f"no result: {result.error}")
    return result.cached


async def _taken(executor: MultiModelExecutor) -> None:
    if not await _asked(executor):
        raise AssertionError("the result was not stored")
