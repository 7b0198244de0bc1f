"""How a run that is under way is stopped: what is in hand may end, and is given up where that takes too long."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from concurrent.futures import Future
from contextlib import aclosing, suppress

from langgraph.errors import GraphDrained
from langgraph.runtime import RunControl

from .events import ProgressEvent

IDLE_SECONDS = 2.0
"""How long a run has that makes no call just now: to keep what an answer has brought, not to wait out a pause."""


class Drained(Exception):  # noqa: N818 - nothing went wrong
    """The run was stopped before its end."""


class Ride:
    """A run under way. A task of its own carries it: when it is given up, whoever watches it is not cancelled.

    Args:
        seconds: how long a call in hand may take once the run is told to stop.
    """

    def __init__(self, thread_id: str, seconds: float) -> None:
        self.thread_id = thread_id
        self.control = RunControl()
        self.over: Future[None] = Future()
        self._seconds = seconds
        self._loop, self._began = asyncio.get_running_loop(), time.perf_counter()
        self._told: asyncio.Queue[ProgressEvent | None] = asyncio.Queue()
        self._calls: set[str] = set()
        self._task: asyncio.Task[None] | None = None
        self._giving_up: asyncio.TimerHandle | None = None

    @property
    def seconds(self) -> float:
        """How long the run has been under way."""
        return time.perf_counter() - self._began

    async def events(self, run: AsyncGenerator[ProgressEvent, None]) -> AsyncGenerator[ProgressEvent, None]:
        """Carry a run and yield its events.

        Raises:
            Drained: it was stopped before its end.
        """
        if self.control.drain_requested:
            raise Drained
        self._task = task = asyncio.create_task(self._carry(run))
        task.add_done_callback(self._end)
        try:
            while (event := await self._told.get()) is not None:
                yield event
        finally:
            task.cancel()
            await asyncio.wait([task])
        try:
            await task
        except (GraphDrained, asyncio.CancelledError):
            if not self.control.drain_requested:
                raise
            raise Drained from None

    def drain(self) -> None:
        """Tell the run to stop, from any thread."""
        with suppress(RuntimeError):  # its event loop is closed, and so it is over
            self._loop.call_soon_threadsafe(self._drain)

    def _drain(self) -> None:
        if self.control.drain_requested or self.over.done():
            return
        self.control.request_drain("asked to stop")
        seconds = self._seconds if self._calls else min(self._seconds, IDLE_SECONDS)
        self._told.put_nowait(ProgressEvent(event="draining", seconds=seconds))
        if self._task is not None:
            self._giving_up = self._loop.call_later(seconds, self._task.cancel)

    async def _carry(self, run: AsyncGenerator[ProgressEvent, None]) -> None:
        async with aclosing(run) as events:
            async for event in events:
                match event["event"]:
                    case "attempt_started":
                        self._calls.add(event["attempt_id"])
                    case "attempt_ended":
                        self._calls.discard(event["attempt"]["id"])
                self._told.put_nowait(event)

    def _end(self, task: asyncio.Task[None]) -> None:
        if self._giving_up is not None:
            self._giving_up.cancel()
        if not task.cancelled():
            task.exception()  # whoever watches may have left: it is nobody's then
        self._told.put_nowait(None)
        self.end()

    def end(self) -> None:
        """Note that the run is over, however it ended."""
        if not self.over.done():
            self.over.set_result(None)
