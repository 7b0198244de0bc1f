"""How many functions a piece of work calls: as telling as its time, and the same on a busy machine."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from types import FrameType
from typing import Any


class _Counter:
    """Counts the calls of this thread, of functions in Python and in C."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        if event in ("call", "c_call"):
            self.calls += 1


async def calls_of(work: Callable[[], Awaitable[object]]) -> int:
    """Return how many calls a piece of work makes in this thread; those of other threads do not count.

    A coroutine or generator that goes on is a call each time. Nothing else may run on the event loop meanwhile.
    """
    counter = _Counter()
    before = sys.getprofile()
    sys.setprofile(counter)
    try:
        await work()
    finally:
        sys.setprofile(before)
    return counter.calls


async def steady_calls(work: Callable[[], Awaitable[object]]) -> int:
    """Return how many calls it makes once all is warm: the least of some times, as caches fill and clocks tick."""
    counted = []
    for _ in range(5):
        await asyncio.sleep(0)
        counted.append(await calls_of(work))
    return min(counted)
