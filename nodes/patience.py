"""How long a call is waited for: a limit that holds a late event loop against no model."""

from __future__ import annotations

import asyncio
from math import inf
from types import TracebackType
from typing import Self

TOLERATED_S = 0.1
"""Seconds that the event loop may be late and still counts as in time."""
TURNS = 3
"""Turns of the event loop in which what lies in a connection's buffer reaches whoever reads from it."""


class Patience:
    """A limit that can be set anew; use it as an async context manager, which raises TimeoutError once it runs out.

    A process that is behind with its own work sees answers late that came in time. So a limit that is reached waits
    until the event loop has turned a few times, and for as long again as the loop was late; but not beyond its end.
    """

    def __init__(self) -> None:
        self._limit = asyncio.timeout(None)
        self._loop = asyncio.get_running_loop()
        self._due: asyncio.Handle | None = None
        self._end = inf

    async def __aenter__(self) -> Self:
        await self._limit.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._forget()
        await self._limit.__aexit__(kind, error, trace)

    def set(self, at: float, *, end: float) -> None:
        """Let the limit run out at a time of the loop's clock: later where the loop is late, at the latest at `end`."""
        self._forget()
        self._end = end
        at = min(at, end)
        self._due = self._loop.call_at(at, self._look, at, TURNS)

    def expired(self) -> bool:
        """Say whether it has run out."""
        return self._limit.expired()

    def _forget(self) -> None:
        if self._due is not None:
            self._due.cancel()

    def _look(self, at: float, turns: int) -> None:
        now = self._loop.time()
        if turns and now < self._end:
            self._due = self._loop.call_soon(self._look, at, turns - 1)
        elif now - at > TOLERATED_S and now < self._end:
            self.set(now + (now - at), end=self._end)
        else:
            self._limit.reschedule(now)
