"""Trials one beside the other, until so many kills have hit; and what keeping a run costs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from statistics import quantiles

from .books import Tally, enter
from .child import Left
from .killing import Arena
from .moments import Durability
from .schedule import CALLS, Trial, trial
from .witness import Seen

TURNS, WARM_UP, RUNS = 3, 5, 40
"""Programs of each way of keeping, and how many runs each makes before and while it is measured."""
AT_ONCE = 4
"""Runs under way at once: each waits about as long as it works."""


async def kill_runs(arena: Arena, seed: int, kills: int) -> Tally:
    """Make trials of a seed until at least so many kills have hit."""
    tally = Tally()
    numbers = count()
    await asyncio.gather(*(_worker(arena, tally, seed, numbers, kills) for _ in range(AT_ONCE)))
    return tally


async def _worker(arena: Arena, tally: Tally, seed: int, numbers: Iterator[int], kills: int) -> None:
    while tally.kills.total() < kills:
        await make(arena, tally, trial(seed, next(numbers)))


async def make(arena: Arena, tally: Tally, drawn: Trial) -> None:
    """Make one trial."""
    outcome = await arena.carry_out(drawn)
    enter(tally, drawn, outcome, arena.twins[drawn.module], arena.witness.seen.pop(drawn.copy, []))


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What keeping a run costs, in milliseconds: the median, and what one in a hundred exceeds.

    Args:
        answers: of which the figures are.
        window: from the last byte of an answer until it is kept.
        journal: for which a call waits until it is written down.
        step: from the last byte of an answer to the next request.
        early: requests that came before the answer before them was kept.
    """

    durability: Durability
    answers: int
    window: tuple[float, float]
    journal: tuple[float, float]
    step: tuple[float, float]
    early: int


async def measure(arena: Arena) -> list[Cost]:
    """Measure both ways of keeping, in turn: what one takes on a busy machine, the other takes too."""
    figures: dict[Durability, _Figures] = {"async": _Figures(), "sync": _Figures()}
    for turn in range(TURNS):
        for place, (durability, found) in enumerate(figures.items()):
            found.add(*await arena.many(100 + 2 * turn + place, WARM_UP + RUNS, durability))
    return [found.cost(durability) for durability, found in figures.items()]


@dataclass(kw_only=True)
class _Figures:
    """Seconds, of all programs of one way."""

    windows: list[float] = field(default_factory=list)
    journal: list[float] = field(default_factory=list)
    steps: list[float] = field(default_factory=list)
    early: int = 0

    def add(self, left: Left, requests: list[Seen]) -> None:
        """Take in what a program left, without the runs that warmed it up."""
        first, each = WARM_UP * CALLS["m0"], CALLS["m0"]
        ended = [seen.ended or 0.0 for seen in requests]
        counted = {len(ended), len(left["kept"]), len(left["begun"])}
        assert counted == {(WARM_UP + RUNS) * each}, counted
        self.windows += [kept - end for kept, end in zip(left["kept"], ended, strict=True)][first:]
        self.journal += left["begun"][first:]
        self.steps += [requests[i + 1].came - ended[i] for i in range(first, len(ended)) if (i + 1) % each]
        self.early += too_early(left["kept"][first:], requests[first:])

    def cost(self, durability: Durability) -> Cost:
        """Return what they come to."""
        return Cost(
            durability=durability,
            answers=len(self.windows),
            window=_middle_and_late(self.windows),
            journal=_middle_and_late(self.journal),
            step=_middle_and_late(self.steps),
            early=self.early,
        )


def too_early(kept: Sequence[float], requests: Sequence[Seen]) -> int:
    """Return how many requests of whole runs were sent before the answer before them was kept."""
    each = CALLS["m0"]
    pairs = zip(kept, requests[1:], strict=False)
    return sum(seen.came < at for number, (at, seen) in enumerate(pairs, 1) if number % each)


def _middle_and_late(seconds: list[float]) -> tuple[float, float]:
    cuts = quantiles(seconds, n=100, method="inclusive")
    return 1000 * cuts[49], 1000 * cuts[98]
