"""What a call through each system takes beside a call with httpx alone: no faults, or a primary that refuses.

Rounds are interleaved, so that a busy machine slows all systems alike. What a system adds is the difference of its
median call to httpx's in the same round, and its figure is the median of the rounds. The provider runs in a process of
its own and answers at once; every call streams.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import NamedTuple

from .systems import Ask, Route, System
from .wall import ANSWER, SHORT_ANSWER

PROMPT = "What makes a harbour a good one?"
WARM_UP = 10


@dataclass(frozen=True, kw_only=True)
class Case:
    """A kind of call: the wall's word for it, what it is, and the answer that it gets."""

    word: str
    title: str
    answer: str


CASES = (
    Case(word="one", title="one piece", answer=SHORT_ANSWER),
    Case(word="many", title="sixty pieces", answer=ANSWER),
    # A context that is too long is the one fault after which every system goes straight to the fallback, and none
    # leaves the primary alone from then on.
    Case(word="toolong", title="primary refuses", answer=SHORT_ANSWER),
)


@dataclass(frozen=True, kw_only=True)
class Median:
    """Milliseconds of a call, and what of it is added to httpx; medians of all rounds, and the extremes."""

    call_ms: float
    added_ms: float
    least_added_ms: float
    most_added_ms: float


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a call takes: time, and time of this process's CPUs, which other programs do not lengthen."""

    time: Median
    cpu: Median


class Taken(NamedTuple):
    """Milliseconds of a call."""

    time: float
    cpu: float


async def measure(
    base_url: str, systems: Sequence[System], case: Case, *, rounds: int, calls: int
) -> dict[str, Cost]:
    """Call every system in turn; the first one is what the others are compared with."""
    async with AsyncExitStack() as stack:
        asks = {}
        for system in systems:
            route = Route(
                base_url=base_url,
                primary=f"{case.word}-{system.name}-primary",
                fallback=f"{case.word}-{system.name}-fallback",
            )
            asks[system.name] = await stack.enter_async_context(system.connect(route))
        for ask in asks.values():
            await _round(ask, case, WARM_UP)
        taken = [{name: await _round(ask, case, calls) for name, ask in asks.items()} for _ in range(rounds)]
    floor = systems[0].name
    return {name: _cost([(one[name], one[floor]) for one in taken]) for name in asks}


async def _round(ask: Ask, case: Case, calls: int) -> Taken:
    """Return the medians of some calls in a row."""
    gc.collect()
    taken = []
    for _ in range(calls):
        start, cpu = time.perf_counter(), time.process_time()
        reply = await ask(PROMPT)
        taken.append(Taken((time.perf_counter() - start) * 1e3, (time.process_time() - cpu) * 1e3))
        if reply.text != case.answer:
            raise AssertionError(f"not the answer that was sent: {reply.text!r}")
    return Taken(*(statistics.median(values) for values in zip(*taken, strict=True)))


def _cost(pairs: Sequence[tuple[Taken, Taken]]) -> Cost:
    return Cost(
        time=_median([(mine.time, floor.time) for mine, floor in pairs]),
        cpu=_median([(mine.cpu, floor.cpu) for mine, floor in pairs]),
    )


def _median(pairs: Sequence[tuple[float, float]]) -> Median:
    added = [mine - floor for mine, floor in pairs]
    return Median(
        call_ms=round(statistics.median(mine for mine, _ in pairs), 3),
        added_ms=round(statistics.median(added), 3),
        least_added_ms=round(min(added), 3),
        most_added_ms=round(max(added), 3),
    )
