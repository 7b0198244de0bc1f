"""A second candidate beside a first one that is late: whoever answers first wins, the other is cancelled.

The idea is Dean and Barroso's hedged request ("The Tail at Scale", CACM 56(2), 2013): sent only once the first
has taken longer than most, it costs few extra calls.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

Outcome = TypeVar("Outcome")


@dataclass(kw_only=True)
class Contender(Generic[Outcome]):
    """One who may answer.

    Args:
        run: makes the attempt. Cancelled while `lost` is set, it returns what came of it until then.
        begun: set as soon as the answer begins.
        lost: set when the other one has won.
    """

    run: Callable[[Contender[Outcome]], Awaitable[Outcome]]
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    lost: bool = False


async def race(
    first: Contender[Outcome],
    second: Callable[[], Awaitable[Contender[Outcome] | None]],
    *,
    delay: float,
    won: Callable[[Outcome], bool],
) -> list[Outcome]:
    """Run the first, and the second beside it if the first has not begun to answer in time.

    Args:
        second: asked for only then; None where there is nobody.
        delay: seconds that the first has to begin its answer.
        won: says whether an outcome is an answer.

    Returns:
        The outcomes of all that were started, in that order.
    """
    one = asyncio.ensure_future(first.run(first))
    tasks = [one]
    try:
        await _begun_or_over(first, one, delay)
        if one.done() or first.begun.is_set() or (other := await second()) is None:
            return [await one]
        two = asyncio.ensure_future(other.run(other))
        tasks.append(two)
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task, late, contender in ((one, two, other), (two, one, first)):
            if task.done() and won(task.result()) and not late.done():
                contender.lost = True
                late.cancel()
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _begun_or_over(contender: Contender[Outcome], task: asyncio.Future[Outcome], delay: float) -> None:
    begun = asyncio.ensure_future(contender.begun.wait())
    try:
        either: list[asyncio.Future[Any]] = [begun, task]
        await asyncio.wait(either, timeout=delay, return_when=asyncio.FIRST_COMPLETED)
    finally:
        begun.cancel()
