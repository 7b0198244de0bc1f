"""Whether time grows faster than the work: section `growth` of `python -m benchmarks`.

Each kind of work is made larger step by step, and all its sizes take turns. The exponent says how time grows from the
last size but one to the last: 1 is in proportion, 2 is four times the time for twice the work. Where a store only grows
larger, and the work upon it stays the same, time is to stay nearly the same.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from ymera.graphs import build
from ymera.graphs.checkpoints import Saver, open_checkpoints
from ymera.nodes.services import Services
from ymera.nodes.settings import Settings
from ymera.nodes.state import RunContext, RunInput
from ymera.routing.catalogue import Catalogue, builtin_catalogue
from ymera.routing.matcher import TaskRequest
from ymera.routing.records import PhaseProfile

from .chain import thread
from .findings import Effort, Findings, Mark, Table
from .generated import fill_calls, fill_results
from .instant import TASK, InstantModel, OpenMatcher, instant_services
from .overhead import workflow_side
from .turns import Side, Spread, in_turn, spread

IN_PROPORTION = 1.1
"""Exponent at most, where the work grows."""
NEARLY_THE_SAME = 0.2
"""Exponent at most, where a store grows and the work upon it does not."""
LOOKED_UP = 20
LARGEST_STEP = 10
"""Times the usual size, of what is as large as anybody makes it then: 50 phases, 1,000 models."""

Sides = Callable[[Sequence[int]], AbstractAsyncContextManager[Mapping[int, Side]]]


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of work: its name, its sizes, its sides by size, and how it may grow."""

    name: str
    sizes: Sequence[int]
    sides: Sides
    most: float = IN_PROPORTION


@dataclass(frozen=True, kw_only=True)
class Grown:
    """CPU milliseconds by size."""

    kind: Kind
    cpu: Mapping[int, Spread]

    @property
    def exponent(self) -> float:
        """How time grows from the last size but one to the last."""
        (small, less), (large, more) = list(self.cpu.items())[-2:]
        return math.log(more.median / less.median) / math.log(large / small)


def kinds(effort: Effort) -> list[Kind]:
    """Return all kinds of work."""
    steps = [size for size in effort.sizes if size <= LARGEST_STEP]
    return [
        Kind(name="pieces of each answer", sizes=[40 * size for size in effort.sizes], sides=_pieces),
        Kind(name="KB of each answer, SQLite", sizes=list(effort.sizes), sides=_long_answers),
        Kind(name="phases of one's own", sizes=[5 * size for size in steps], sides=_phases),
        Kind(name="phases of one's own, SQLite", sizes=[5 * size for size in steps], sides=_stored_phases),
        Kind(name="models, a plan", sizes=[100 * size for size in steps], sides=_models),
        Kind(name="rows of history, read", sizes=[1_000 * size for size in effort.sizes], sides=_history),
        Kind(name="results stored, one read", sizes=effort.rows, sides=_results_read, most=NEARLY_THE_SAME),
        Kind(name="results stored, one more", sizes=effort.rows, sides=_result_stored, most=NEARLY_THE_SAME),
    ]


async def measure(effort: Effort) -> Findings:
    """Measure all kinds of work."""
    grown = [await _grown(kind, effort) for kind in kinds(effort)]
    heads = ["what grows", "sizes", "CPU, ms", "exponent"]
    rows = [
        [
            each.kind.name,
            " → ".join(f"{size:,}" for size in each.cpu),
            " → ".join(f"{took.median:,.2f}" for took in each.cpu.values()),
            f"{each.exponent:.2f}",
        ]
        for each in grown
    ]
    marks = [
        Mark(what=f"growth with {each.kind.name}", reached=each.exponent, most=each.kind.most)
        for each in grown
    ]
    figures = {
        each.kind.name: {"exponent": each.exponent}
        | {str(size): vars(took) for size, took in each.cpu.items()}
        for each in grown
    }
    return Findings(tables=[Table(title="Growth", heads=heads, rows=rows)], marks=marks, figures=figures)


async def _grown(kind: Kind, effort: Effort) -> Grown:
    async with kind.sides(kind.sizes) as sides:
        taken = await in_turn({str(size): side for size, side in sides.items()}, max(1, effort.runs // 20))
    return Grown(kind=kind, cpu={size: spread(taken[str(size)].cpu) for size in sides})


@asynccontextmanager
async def _folders() -> AsyncIterator[Callable[[], Path]]:
    """Yield what makes empty folders."""
    async with AsyncExitStack() as stack:
        yield lambda: Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))


def _services(
    folder: Path, model: InstantModel | None = None, catalogue: Catalogue | None = None
) -> Services:
    return instant_services(model or InstantModel(chunks=1), Settings(ymera_data_dir=folder), catalogue)


# --- longer answers, more phases --------------------------------------------------------------------------


@asynccontextmanager
async def _pieces(sizes: Sequence[int]) -> AsyncIterator[Mapping[int, Side]]:
    async with _folders() as folder:
        yield {size: workflow_side(_services(folder(), InstantModel(chunks=size)), None) for size in sizes}


@asynccontextmanager
async def _long_answers(sizes: Sequence[int]) -> AsyncIterator[Mapping[int, Side]]:
    async with _folders() as folder, AsyncExitStack() as stack:
        sides = {}
        for size in sizes:
            services = _services(folder(), InstantModel(chunks=1, padding=1_000 * size))
            saver = await stack.enter_async_context(open_checkpoints(services.settings))
            sides[size] = workflow_side(services, saver)
        yield sides


@asynccontextmanager
async def _phases(sizes: Sequence[int]) -> AsyncIterator[Mapping[int, Side]]:
    async with _folders() as folder:
        yield {size: own_phases_run(folder(), size) for size in sizes}


@asynccontextmanager
async def _stored_phases(sizes: Sequence[int]) -> AsyncIterator[Mapping[int, Side]]:
    async with _folders() as folder, AsyncExitStack() as stack:
        sides = {}
        for size in sizes:
            services = _own_phases(folder(), size)
            saver = await stack.enter_async_context(open_checkpoints(services.settings))
            sides[size] = _run_of(services, size, saver)
        yield sides


def own_phases_run(folder: Path, size: int) -> Side:
    """Return a run of so many phases of one's own, without a store."""
    return _run_of(_own_phases(folder, size), size, None)


def _own_phases(folder: Path, size: int) -> Services:
    return _services(folder, catalogue=builtin_catalogue().with_entries(*own_phases(size)))


def own_phases(size: int) -> list[PhaseProfile]:
    """Return so many phases, each of which is shown what the one before it has answered; the last makes the result."""
    names = [f"step_{number}" for number in range(size)]
    return [
        PhaseProfile(
            name=name,
            order=100 + number,
            skills={"quality": 1.0},
            prompt="Do the next step.",
            reads=tuple(names[max(0, number - 1) : number]),
            critical=number == size - 1,
            produces=number == size - 1,
        )
        for number, name in enumerate(names)
    ]


def _run_of(services: Services, size: int, saver: Saver | None) -> Side:
    names = [phase.name for phase in own_phases(size)]
    graph = build(tuple((name,) for name in names), services).compile(checkpointer=saver)
    asked = RunInput(task=TASK, agent="coding_agent", phases=names)

    async def run(number: int) -> None:
        state = await graph.ainvoke(asked, thread(number), context=RunContext())
        if len(state["phase_outputs"]) != size:
            raise AssertionError(f"{len(state['phase_outputs'])} of {size} phases answered")

    return run


# --- more models, more of what was --------------------------------------------------------------------------


@asynccontextmanager
async def _models(sizes: Sequence[int]) -> AsyncIterator[Mapping[int, Side]]:
    async with _folders() as folder:
        settings = Settings(ymera_data_dir=folder())
        yield {size: plan_side(settings, size) for size in sizes}


def many_models(size: int) -> Catalogue:
    """Return a catalogue with so many models besides its own: like them, under other names."""
    catalogue = builtin_catalogue()
    kinds = [model for model in catalogue.models.values() if model.successor is None]
    more = [
        replace(kinds[number % len(kinds)], name=f"model-{number}", aliases=(), spec_name=None)
        for number in range(size)
    ]
    return catalogue.with_entries(*more)


def plan_side(settings: Settings, size: int) -> Side:
    """Return the first plan of a matcher that knows so many models and remembers nothing yet."""
    catalogue = many_models(size)

    async def run(number: int) -> None:
        matcher = OpenMatcher(settings, catalogue)
        matcher.strategy(TaskRequest(agent_name="coding_agent", description=TASK, parameters={}, phases=None))

    return run


@asynccontextmanager
async def _history(sizes: Sequence[int]) -> AsyncIterator[Mapping[int, Side]]:
    async with _folders() as folder:
        sides = {}
        for size in sizes:
            settings = Settings(ymera_data_dir=folder())
            fill_calls(settings, size)
            sides[size] = _look(settings)
        yield sides


def _look(settings: Settings) -> Side:
    """Return how a matcher takes in what is known."""

    async def run(number: int) -> None:
        matcher = OpenMatcher(settings, builtin_catalogue())
        await matcher.look()
        if matcher.experience.known.history is None:
            raise AssertionError("nothing was learned")

    return run


@asynccontextmanager
async def _results_read(sizes: Sequence[int]) -> AsyncIterator[Mapping[int, Side]]:
    async with _folders() as folder:
        yield {size: _read_some(folder(), size) for size in sizes}


def _read_some(folder: Path, size: int) -> Side:
    cache, keys = fill_results(folder, size, asked=LOOKED_UP)

    async def run(number: int) -> None:
        for key in keys:
            if await cache.get(key) is None:
                raise AssertionError("a stored result is not found")

    return run


@asynccontextmanager
async def _result_stored(sizes: Sequence[int]) -> AsyncIterator[Mapping[int, Side]]:
    async with _folders() as folder:
        yield {size: _store_one(folder(), size) for size in sizes}


def _store_one(folder: Path, size: int) -> Side:
    cache, _ = fill_results(folder, size, asked=0)
    return lambda number: cache.put(f"one-more-{number}", "{}")
