"""Several sides measured in turn, so that a busy machine slows all of them alike.

Every side is run once a round, and the round begins with another side each time. Ratios are taken within a round; all
figures are medians with the quartiles around them. CPU time is that of this whole process, its threads included.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Side = Callable[[int], Awaitable[Any]]
"""Run once; the number of the round tells runs apart."""

WARM_UP = 3
"""Rounds that are not counted: a tenth of those that are where that is more, and never more than those."""


@dataclass(frozen=True, kw_only=True)
class Spread:
    """A median and the quartiles around it."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        digits = 2 if self.median < 100 else 0
        return f"{self.median:.{digits}f} ({self.low:.{digits}f} … {self.high:.{digits}f})"


@dataclass
class Taken:
    """Milliseconds of a side, round by round."""

    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)


def spread(values: Sequence[float]) -> Spread:
    """Return the median of some values and their quartiles."""
    if len(values) == 1:
        return Spread(median=values[0], low=values[0], high=values[0])
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(median=median, low=low, high=high)


def ratios(mine: Sequence[float], base: Sequence[float]) -> Spread:
    """Return how much more one side takes than another, round by round."""
    return spread([one / other for one, other in zip(mine, base, strict=True)])


def beyond(mine: Sequence[float], base: Sequence[float]) -> Spread:
    """Return what one side takes beyond another, round by round."""
    return spread([one - other for one, other in zip(mine, base, strict=True)])


async def in_turn(sides: Mapping[str, Side], rounds: int) -> dict[str, Taken]:
    """Run all sides, round by round, and return what each took."""
    warm_up, names = min(rounds, max(WARM_UP, rounds // 10)), list(sides)
    taken = {name: Taken() for name in names}
    for number in range(warm_up):
        for side in sides.values():
            await side(number)
    gc.collect()
    # What is there by now stays: else each full collection looks through all of it, in whichever side it falls.
    gc.freeze()
    for number in range(rounds):
        first = number % len(names)
        for name in (*names[first:], *names[:first]):
            cpu, wall = time.process_time(), time.perf_counter()
            await sides[name](warm_up + number)
            taken[name].cpu.append((time.process_time() - cpu) * 1e3)
            taken[name].wall.append((time.perf_counter() - wall) * 1e3)
    gc.unfreeze()
    return taken
