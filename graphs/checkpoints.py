"""Where runs are kept so that they last: one SQLite file, shared by all runs of an event loop."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from weakref import WeakKeyDictionary

import aiosqlite
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from ..nodes.wal import use_wal
from ..routing.errors import InputError

BUSY_SECONDS = 30.0
"""How long a writer waits for another process on the same file."""


@dataclass(kw_only=True)
class _Shared:
    """A saver in use, and by how many runs."""

    saver: AsyncSqliteSaver
    users: int = 0


@dataclass(kw_only=True)
class _Open:
    """The savers of one event loop (a connection cannot be used from another one)."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    savers: dict[str, _Shared] = field(default_factory=dict)


_loops: WeakKeyDictionary[asyncio.AbstractEventLoop, _Open] = WeakKeyDictionary()


@asynccontextmanager
async def open_checkpoints(path: str) -> AsyncIterator[BaseCheckpointSaver[str]]:
    """Open the checkpoint file, or join the runs that have it open; the last one closes it.

    Raises:
        InputError: the file is not a database, or cannot be written.
    """
    here = _loops.setdefault(asyncio.get_running_loop(), _Open())
    async with here.lock:
        if path not in here.savers:
            here.savers[path] = _Shared(saver=await _connect(path))
        shared = here.savers[path]
        shared.users += 1
    try:
        yield shared.saver
    finally:
        async with here.lock:
            shared.users -= 1
            if not shared.users:
                del here.savers[path]
                await shared.saver.conn.close()


async def _connect(path: str) -> AsyncSqliteSaver:
    try:
        # First in a thread of ours: a connection of aiosqlite that fails to open leaves its own thread behind.
        await asyncio.to_thread(_make_ready, path)
        return await _saver(await aiosqlite.connect(path, timeout=BUSY_SECONDS))
    except (sqlite3.Error, OSError) as error:
        raise InputError(
            f"The checkpoint file {path!r} cannot be used: {error}. "
            "Move it away, or name another with YMERA_CHECKPOINTS."
        ) from error


def _make_ready(path: str) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path, timeout=BUSY_SECONDS)) as connection:
        use_wal(connection, patience=BUSY_SECONDS)


async def _saver(connection: aiosqlite.Connection) -> AsyncSqliteSaver:
    try:
        # As `use_wal` has it; unlike the journal's mode, the file does not remember this.
        await connection.execute("PRAGMA synchronous=NORMAL")
        saver = AsyncSqliteSaver(connection, serde=JsonPlusSerializer())
        await saver.setup()
    except sqlite3.Error:
        await connection.close()
        raise
    return saver
