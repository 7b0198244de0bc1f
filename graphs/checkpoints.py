"""Where runs are kept so that they last: one SQLite file or PostgreSQL, shared by all runs of an event loop."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from langgraph.checkpoint.base import BaseCheckpointSaver
from pydantic import SecretStr

from ..nodes.encryption import cipher_of
from ..nodes.postgres import NOT_INSTALLED
from ..nodes.settings import Settings
from ..nodes.thread_lock import locks_stay_open
from ..routing.errors import InputError
from .serializer import StrictSerializer
from .sqlite import SqliteSaver

Saver = BaseCheckpointSaver[str]


@dataclass(kw_only=True)
class _Shared:
    """A saver in use, by how many runs, and what closes it."""

    saver: Saver
    closing: AsyncExitStack
    users: int = 0


@dataclass(kw_only=True)
class _Open:
    """The savers of one event loop (a connection cannot be used from another one), by place and key."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    savers: dict[tuple[object, object], _Shared] = field(default_factory=dict)


_loops: WeakKeyDictionary[asyncio.AbstractEventLoop, _Open] = WeakKeyDictionary()


@asynccontextmanager
async def open_checkpoints(settings: Settings) -> AsyncIterator[Saver]:
    """Open the store of checkpoints, or join the runs that have it open; the last one closes it.

    Raises:
        InputError: it cannot be used, or what encrypts it is not installed.
    """
    here = _loops.setdefault(asyncio.get_running_loop(), _Open())
    name = (settings.ymera_database_url or settings.checkpoints, settings.langgraph_aes_key)
    async with here.lock:
        if name not in here.savers:
            here.savers[name] = await _opened(settings)
        shared = here.savers[name]
        shared.users += 1
    try:
        yield shared.saver
    finally:
        async with here.lock:
            shared.users -= 1
            if not shared.users:
                del here.savers[name]
                await shared.closing.aclose()


class Checkpoints:
    """A store as those use it who make many runs: opened by each, or open from the first one on.

    Args:
        settings: they name the store.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._open = AsyncExitStack()
        self._home: asyncio.AbstractEventLoop | None = None
        self._stays = False

    def stay_open(self) -> None:
        """Let what the runs of this event loop open stay open, until `close`; of one loop at a time."""
        self._home = self._home or asyncio.get_running_loop()

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Saver]:
        """As `open_checkpoints`, which raises."""
        async with open_checkpoints(self._settings) as saver:
            if self._home is asyncio.get_running_loop() and not self._stays:
                self._stays = True
                await self._open.enter_async_context(open_checkpoints(self._settings))
                await self._open.enter_async_context(locks_stay_open(self._settings))
            yield saver

    async def close(self) -> None:
        """Close what has stayed open in this event loop."""
        if self._home is asyncio.get_running_loop():
            self._home, self._stays = None, False
            await self._open.aclose()


async def _opened(settings: Settings) -> _Shared:
    serde = StrictSerializer(cipher_of(settings.langgraph_aes_key))
    async with AsyncExitStack() as stack:
        if settings.ymera_database_url is None:
            sqlite = await _connect(settings.checkpoints, serde)
            stack.push_async_callback(sqlite.close)
            saver: Saver = sqlite
        else:
            saver = await stack.enter_async_context(_postgres(settings.ymera_database_url, serde))
        return _Shared(saver=saver, closing=stack.pop_all())


def _postgres(url: SecretStr, serde: StrictSerializer) -> AbstractAsyncContextManager[Saver]:
    try:
        from .postgres import postgres_saver
    except ImportError as error:
        raise InputError(f"YMERA_DATABASE_URL names a PostgreSQL database; {NOT_INSTALLED}.") from error
    return postgres_saver(url, serde)


async def _connect(path: str, serde: StrictSerializer) -> SqliteSaver:
    try:
        return await SqliteSaver.opened(path, serde)
    except (sqlite3.Error, OSError) as error:
        raise InputError(
            f"The checkpoint file {path!r} cannot be used: {error}. "
            "Move it away, or name another with YMERA_CHECKPOINTS."
        ) from error
