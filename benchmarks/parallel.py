"""What phases side by side save: section `parallel` of `python -m benchmarks`.

Every model answers after the same time, so that the critical path is known: as many answers as there are groups of
phases. Both layouts take turns, without a store and on SQLite.
"""

from __future__ import annotations

import tempfile
from contextlib import AsyncExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.scripted import REVISE, Line, Script, scripted_services
from ymera.graphs import build
from ymera.graphs.checkpoints import Saver, open_checkpoints
from ymera.nodes.services import Services
from ymera.nodes.settings import Settings
from ymera.nodes.state import RunContext, RunInput
from ymera.routing.layout import Layout

from .chain import thread
from .findings import Effort, Findings, Table
from .instant import PHASES, TASK
from .turns import Side, in_turn, spread

ANSWER_S = 0.2
SEQUENCE: Layout = tuple((phase,) for phase in PHASES)
PARALLEL: Layout = (("planning",), ("research", "generation"), ("review",), ("refinement",), ("validation",))
LAYOUTS = {"one after the other": SEQUENCE, "research beside generation": PARALLEL}


async def measure(effort: Effort) -> Findings:
    """Measure both layouts without a store and on SQLite."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        services = _services(folder)
        saver = await stack.enter_async_context(open_checkpoints(services.settings))
        savers: dict[str, Saver | None] = {"no store": None, "SQLite": saver}
        places = {(name, kept): (layout, savers[kept]) for name, layout in LAYOUTS.items() for kept in savers}
        sides = {
            f"{name}, {kept}": _side(services, layout, saver, f"{name}-{kept}-")
            for (name, kept), (layout, saver) in places.items()
        }
        taken = await in_turn(sides, max(1, effort.runs // 20))
    rows = []
    for (name, kept), (layout, _) in places.items():
        wall, path = spread(taken[f"{name}, {kept}"].wall), 1e3 * ANSWER_S * len(layout)
        rows.append([name, kept, f"{path:.0f}", str(wall), f"{wall.median / path:.3f}"])
    heads = ["six phases", "store", "critical path, ms", "wall, ms", "over the critical path"]
    note = f"Every answer takes {ANSWER_S:g} s."
    return Findings(
        tables=[Table(title="Phases side by side", heads=heads, rows=rows, note=note)],
        figures={name: asdict(spread(each.wall)) for name, each in taken.items()},
    )


def _services(folder: Path) -> Services:
    script = Script(
        otherwise=Line(text="an answer", seconds=ANSWER_S), judge=Line(text=REVISE, seconds=ANSWER_S)
    )
    return scripted_services(script, Settings(ymera_data_dir=folder))


def _side(services: Services, layout: Layout, saver: Saver | None, prefix: str) -> Side:
    graph = build(layout, services).compile(checkpointer=saver)
    asked = RunInput(task=TASK, agent="coding_agent", phases=list(PHASES))
    how: dict[str, Any] = {"durability": "sync"} if saver else {}

    async def run(number: int) -> None:
        state = await graph.ainvoke(asked, thread(f"{prefix}{number}"), context=RunContext(), **how)
        if not state.get("final_result"):
            raise AssertionError(f"no result: {state.get('error')}")

    return run
