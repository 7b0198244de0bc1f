"""What happens at a gate, told on an event loop whose time is made up.

It jumps to the next timer. Where nothing is left that could wake anybody, or somebody looks again and again, it
says so instead of hanging.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any, TypeVar

from ymera.nodes.gates import Gates, TooLong
from ymera.routing.rates import Rate

Result = TypeVar("Result")


MOST_STEPS = 5_000


class Jumps(selectors.SelectSelector):
    """Takes the time that it should wait for as gone by."""

    now = 0.0
    steps = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.steps += 1
        if timeout is None or self.steps > MOST_STEPS:
            raise RuntimeError(
                "nothing is left that could wake anybody" if timeout is None else "somebody polls"
            )
        self.now += timeout + 1e-9  # no clock stands still
        return super().select(0)


class MadeUpTime(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumps = Jumps()
        super().__init__(self._jumps)

    def time(self) -> float:
        return self._jumps.now

    @property
    def timers(self) -> int:
        """How many timers are set."""
        return sum(not timer.cancelled() for timer in self._scheduled)  # type: ignore[attr-defined]


def on_made_up_time(main: Coroutine[Any, Any, Result]) -> Result:
    with asyncio.Runner(loop_factory=MadeUpTime) as runner:
        return runner.run(main)


@dataclass(kw_only=True, eq=False)
class Request:
    """A request as a test wants it: when it comes, how long it lasts, what it really used; seconds."""

    run: str = "a"
    tokens: int = 1
    at: float = 0.0
    lasts: float = 0.0
    patience: float = inf
    used: int | None = None
    cancelled_at: float = inf


@dataclass(kw_only=True)
class Story:
    """What happened at a gate."""

    events: list[tuple[str, Request]] = field(default_factory=list)
    entered: list[tuple[float, Request]] = field(default_factory=list)
    told: list[tuple[Request, float | None, str]] = field(default_factory=list)
    too_long: list[tuple[float, TooLong]] = field(default_factory=list)
    inside: int = 0
    most: int = 0

    @property
    def times(self) -> list[float]:
        return [round(at, 3) for at, _ in self.entered]

    async def make(self, request: Request, gates: Gates) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(request.at)
        turn = gates.turn(
            "p",
            run=request.run,
            tokens=request.tokens,
            patience=request.patience,
            waiting=lambda seconds, why: self.told.append((request, seconds, why)),
        )
        self.events.append(("comes", request))
        try:
            async with turn as place:
                self.events.append(("enters", request))
                self.entered.append((loop.time(), request))
                self.inside += 1
                self.most = max(self.most, self.inside)
                try:
                    await asyncio.sleep(request.lasts)
                finally:
                    self.inside -= 1
                if request.used is not None:
                    place.settle(request.used)
        except TooLong as error:
            self.too_long.append((loop.time(), error))
        finally:
            self.events.append(("goes", request))


async def tell(rate: Rate, requests: Sequence[Request]) -> Story:
    """Make the requests, and see that nothing is left behind them."""
    loop, story = asyncio.get_running_loop(), Story()
    gates = Gates({"p": rate}.__getitem__, clock=loop.time)
    made = []
    for request in requests:
        made.append(asyncio.ensure_future(story.make(request, gates)))
        if request.cancelled_at < inf:
            loop.call_at(request.cancelled_at, made[-1].cancel)
    for ended in await asyncio.gather(*made, return_exceptions=True):
        assert ended is None or isinstance(ended, asyncio.CancelledError)
    await see_nothing_left(gates, rate)
    return story


async def see_nothing_left(gates: Gates, rate: Rate) -> None:
    """Once the buckets are full, every place is free at once."""
    await asyncio.sleep(1_000_000)
    later = Story()
    places = min(rate.concurrency or 3, rate.requests_per_minute or 3, rate.tokens_per_minute or 3)
    everybody = [Request(run=f"later {n}", patience=0, lasts=1) for n in range(places)]
    await asyncio.gather(*(later.make(request, gates) for request in everybody))
    assert (later.most, later.told, later.too_long) == (places, [], [])


def story_of(rate: Rate, *requests: Request) -> Story:
    return on_made_up_time(tell(rate, requests))
