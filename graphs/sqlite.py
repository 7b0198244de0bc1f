"""LangGraph's SQLite saver for an event loop: whatever it reads or writes takes one turn in a thread of its own.

LangGraph's own `AsyncSqliteSaver` takes a turn each for the cursor, the statement, the commit and the close, and holds
a lock over all runs meanwhile: of a hundred runs at once all but one wait. What either costs stands side by side in
docs/benchmarks.md. Tables and statements are those of LangGraph, so that either reads what the other has written.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    DeltaChannelHistory,
)
from langgraph.checkpoint.sqlite import SqliteSaver as _SqliteSaver

from ..nodes.wal import use_wal
from .serializer import StrictSerializer

BUSY_SECONDS = 30.0
"""How long a writer waits for another process on the same file."""
WAITING = 4
"""Readings and writings that are handed to the thread at a time. Were there no end of them, a thousand runs would go
on in one round of the event loop, late by a second and not by 60 ms (p99 of `python -m benchmarks.many_runs`)."""
PAGE = 50
"""Checkpoints that are read in one turn."""

Result = TypeVar("Result")


class SqliteSaver(_SqliteSaver):
    """Checkpoints in a SQLite file, for the callers of one event loop. What it was asked for is always done."""

    def __init__(
        self, connection: sqlite3.Connection, thread: ThreadPoolExecutor, serde: StrictSerializer
    ) -> None:
        super().__init__(connection, serde=serde)
        self._thread = thread
        self._turns = asyncio.Semaphore(WAITING)

    @classmethod
    async def opened(cls, path: str, serde: StrictSerializer) -> Self:
        """Open a file, with its tables.

        Raises:
            sqlite3.Error, OSError: it cannot be used.
        """
        thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ymera-checkpoints")
        try:
            return await _in(thread, lambda: cls._made(path, thread, serde))
        except BaseException:
            thread.shutdown(wait=False)
            raise

    @classmethod
    def _made(cls, path: str, thread: ThreadPoolExecutor, serde: StrictSerializer) -> Self:
        connection = _connected(path)
        try:
            saver = cls(connection, thread, serde)
            saver.setup()
        except BaseException:
            connection.close()
            raise
        return saver

    async def close(self) -> None:
        """Close the file, after all that was begun before."""
        try:
            await self._away(self.conn.close)
        finally:
            self._thread.shutdown(wait=False)

    async def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query without parameters."""
        return await self._away(lambda: self._rows(query))

    async def give_back(self) -> None:
        """Give the space of what was deleted back to the disk."""
        # Of `execute`, it would give back one page.
        await self._away(lambda: self.conn.executescript("PRAGMA incremental_vacuum"))

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """As LangGraph has it."""
        return await self._away(lambda: self.get_tuple(config))

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002 - LangGraph's name
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """As LangGraph has it; a thread's checkpoints are read page by page, as far as the caller goes."""
        left = limit
        while left is None or left > 0:
            size = left if config is None else min(PAGE, PAGE if left is None else left)
            which = {"filter": filter, "before": before, "limit": size}
            page = await self._away(partial(self._page, config, **which))
            for each in page:
                yield each
            if size is None or len(page) < size:
                return
            before, left = page[-1].config, None if left is None else left - len(page)

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """As LangGraph has it."""
        return await self._away(lambda: self.put(config, checkpoint, metadata, new_versions))

    async def aput_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """As LangGraph has it."""
        await self._away(lambda: self.put_writes(config, writes, task_id, task_path))

    async def adelete_thread(self, thread_id: str) -> None:
        """As LangGraph has it."""
        await self._away(lambda: self.delete_thread(thread_id))

    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """As LangGraph has it."""
        return await self._away(lambda: self.get_delta_channel_history(config=config, channels=channels))

    def _rows(self, query: str) -> list[tuple[Any, ...]]:
        with self.cursor(transaction=False) as cursor:
            return cursor.execute(query).fetchall()

    def _page(self, config: RunnableConfig | None, **which: Any) -> list[CheckpointTuple]:
        return list(self.list(config, **which))

    async def _away(self, work: Callable[[], Result]) -> Result:
        # Shielded: work that waits for its turn would be dropped with whoever asked for it.
        return await asyncio.shield(self._turn(work))

    async def _turn(self, work: Callable[[], Result]) -> Result:
        async with self._turns:
            return await _in(self._thread, work)


async def _in(thread: ThreadPoolExecutor, work: Callable[[], Result]) -> Result:
    return await asyncio.get_running_loop().run_in_executor(thread, work)


def _connected(path: str) -> sqlite3.Connection:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    # Used in its thread alone, but collected as garbage in any.
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, check_same_thread=False)
    try:
        # Of a new file alone: pages that are freed can then be given back.
        connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
        use_wal(connection, patience=BUSY_SECONDS)
    except BaseException:
        connection.close()
        raise
    return connection
