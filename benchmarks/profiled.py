"""Where the time of a run goes: section `profile` of `python -m benchmarks`.

The workflow and the barest chain make the same six calls of a model that answers at once, without a store, under
Python's own profiler. What it says of a function is dearer than it is, the more so the shorter it is: read shares.
"""

from __future__ import annotations

import cProfile
import pstats
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from ymera.nodes.settings import Settings

from .chain import chain_side
from .findings import Effort, Findings, Table
from .instant import InstantModel, instant_services, without_journal
from .overhead import workflow_side
from .turns import Side

ROOT = Path(__file__).parents[1]
OURS = ("routing", "nodes", "graphs", "ymera")
DEAREST = 15


class Spent(NamedTuple):
    """What functions took: calls, and seconds in themselves and in all that they called."""

    calls: int = 0
    own: float = 0.0
    whole: float = 0.0


async def measure(effort: Effort) -> Findings:
    """Profile both sides."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        model = InstantModel(chunks=1)
        services = without_journal(instant_services(model, Settings(ymera_data_dir=Path(folder))))
        chain = await _profiled(chain_side(model, None), effort.runs)
        ours = await _profiled(workflow_side(services, None), effort.runs)
    return Findings(
        tables=[_by_package(chain, ours, effort.runs), _of_ours(ours, effort.runs)],
        figures={"chain": _packages(chain), "workflow": _packages(ours)},
    )


async def _profiled(side: Side, runs: int) -> dict[tuple[str, str], Spent]:
    """Return what functions took, by file and name."""
    for number in range(3):
        await side(-1 - number)
    profile = cProfile.Profile()
    profile.enable()
    for number in range(runs):
        await side(number)
    profile.disable()
    found: dict[tuple[str, str], Spent] = {}
    said = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    for (file, _, name), (_, calls, own, whole, _) in said.items():
        before = found.get((file, name), Spent())
        found[file, name] = Spent(before.calls + calls, before.own + own, max(before.whole, whole))
    return found


def _packages(spent: Mapping[tuple[str, str], Spent]) -> dict[str, float]:
    """Return seconds by package; what is built into Python is one."""
    found: dict[str, float] = defaultdict(float)
    for (file, _), each in spent.items():
        found[_package(file)] += each.own
    return dict(found)


def _package(file: str) -> str:
    if file.startswith(("~", "<")):
        return "built in"
    _, apart, inside = file.rpartition("site-packages/")
    if apart:
        return inside.split("/")[0].removesuffix(".py")
    return "ymera" if _is_ours(file) else "benchmarks" if str(ROOT) in file else "Python's library"


def _is_ours(file: str) -> bool:
    parts = Path(file).parts
    return str(ROOT) in file and "benchmarks" not in parts and any(name in parts for name in OURS)


def _by_package(
    chain: Mapping[tuple[str, str], Spent], ours: Mapping[tuple[str, str], Spent], runs: int
) -> Table:
    theirs, mine = _packages(chain), _packages(ours)
    total = sum(mine.values())
    names = sorted(mine, key=mine.__getitem__, reverse=True)[:DEAREST]
    rows = [
        [
            name,
            f"{1e3 * theirs.get(name, 0.0) / runs:.2f}",
            f"{1e3 * mine[name] / runs:.2f}",
            f"{100 * mine[name] / total:.0f}",
        ]
        for name in names
    ]
    return Table(
        title="Where the time of a run goes, under the profiler",
        heads=["in functions of", "the barest chain, ms a run", "YMERA, ms a run", "% of YMERA"],
        rows=rows,
        note="Six phases over an instant model, answers of one piece, no saver, no journal.",
    )


def _of_ours(ours: Mapping[tuple[str, str], Spent], runs: int) -> Table:
    mine = {place: spent for place, spent in ours.items() if _is_ours(place[0])}
    dearest = sorted(mine, key=lambda place: mine[place].whole, reverse=True)[:DEAREST]
    rows = [
        [
            f"`{_short(file)}` {name}",
            f"{mine[file, name].calls / runs:.1f}",
            f"{1e3 * mine[file, name].own / runs:.2f}",
            f"{1e3 * mine[file, name].whole / runs:.2f}",
        ]
        for file, name in dearest
    ]
    return Table(
        title="Our functions, with all that they call",
        heads=["function", "calls a run", "itself, ms a run", "with what it calls, ms a run"],
        rows=rows,
        note="A coroutine that waits and goes on is a call each time.",
    )


def _short(file: str) -> str:
    return "/".join(Path(file).parts[-2:])
