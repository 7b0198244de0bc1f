"""One run at a time on a thread, over all processes that share a store: two would make the same calls twice.

The lock lies beside the checkpoints: a byte of a file for each thread, or an advisory lock of the database. Either
goes with the process that holds it, however that ends; nothing has to run out before a killed run can be resumed.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import lru_cache
from hashlib import sha256
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import SecretStr

from ..routing.errors import InputError, ThreadBusyError
from .database import DatabaseError
from .settings import Settings

if TYPE_CHECKING:
    import psycopg

if sys.platform == "win32":
    import msvcrt

    SPAN = 2**31

    def _try_byte(handle: int, at: int) -> bool:
        os.lseek(handle, at, os.SEEK_SET)
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        return True

    def _free_byte(handle: int, at: int) -> None:
        os.lseek(handle, at, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    SPAN = 2**62

    def _try_byte(handle: int, at: int) -> bool:
        try:
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, at)
        except (BlockingIOError, PermissionError):
            return False
        return True

    def _free_byte(handle: int, at: int) -> None:
        fcntl.lockf(handle, fcntl.LOCK_UN, 1, at)


class _Locks(Protocol):
    """The locks of one store. Any thread may use them; they block, if shortly."""

    def take(self, thread: str) -> bool: ...

    def free(self, thread: str) -> None: ...

    def stay_open(self, stay: int) -> None:
        """Count who wants what it takes to hold a lock to stay open though none is held: +1, and -1 at the end."""
        ...


@asynccontextmanager
async def sole_run(settings: Settings, stored: str, thread_id: str) -> AsyncIterator[None]:
    """Hold a thread for one run.

    Args:
        stored: the thread's name in the store; `thread_id` is what its owner calls it.

    Raises:
        ThreadBusyError: another run is under way on it, in this process or in another one.
        InputError: the store cannot be used.
    """
    locks = await _taken(settings, stored)
    if locks is None:
        raise ThreadBusyError(
            f"Another run is under way on thread {thread_id!r}, in this process or in another one. "
            "Wait until it has ended, or take another thread."
        )
    try:
        yield
    finally:
        await _freed(locks, stored)


@asynccontextmanager
async def locks_stay_open(settings: Settings) -> AsyncIterator[None]:
    """Keep what `sole_run` opens for the next runs: in a database, a connection."""
    locks = _locks_of(settings)
    locks.stay_open(1)
    try:
        yield
    finally:
        await asyncio.to_thread(locks.stay_open, -1)


async def _freed(locks: _Locks, stored: str) -> None:
    """Free a thread, cancelled or not."""
    freeing = asyncio.ensure_future(asyncio.to_thread(locks.free, stored))
    try:
        await asyncio.shield(freeing)
    except asyncio.CancelledError:
        await asyncio.wait([freeing])
        raise


async def _taken(settings: Settings, stored: str) -> _Locks | None:
    """Return the locks of which a thread's is ours now; None where another has it."""
    taking = asyncio.ensure_future(asyncio.to_thread(_take, settings, stored))
    try:
        return await asyncio.shield(taking)
    except asyncio.CancelledError:
        if locks := await taking:
            await _freed(locks, stored)
        raise
    except (OSError, DatabaseError) as error:
        raise InputError(
            f"{settings.store_of_runs} cannot be used: its threads cannot be locked: {error}."
        ) from None


def _take(settings: Settings, stored: str) -> _Locks | None:
    locks = _locks_of(settings)
    return locks if locks.take(stored) else None


def _locks_of(settings: Settings) -> _Locks:
    url = settings.ymera_database_url
    return _database_locks(url) if url else _file_locks(os.path.realpath(f"{settings.checkpoints}.lock"))


class _FileLocks:
    """Bytes of one file, by the hash of a thread's name. The file stays empty: what is locked need not be there.

    The system keeps one set of locks a process and file, and drops all of it when the process closes the file:
    hence one handle for all threads, and closed only when none is held.
    """

    def __init__(self, path: str) -> None:
        self._path, self._lock = path, Lock()
        self._handle: int | None = None
        self._held: set[str] = set()
        self._stays = 0

    def take(self, thread: str) -> bool:
        with self._lock:
            if thread in self._held:
                return False
            if self._handle is None:
                self._handle = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
            if _try_byte(self._handle, _number(thread) % SPAN):
                self._held.add(thread)
            else:
                self._close_unless_used()
            return thread in self._held

    def free(self, thread: str) -> None:
        with self._lock:
            if self._handle is not None:
                _free_byte(self._handle, _number(thread) % SPAN)
            self._held.discard(thread)
            self._close_unless_used()

    def stay_open(self, stay: int) -> None:
        with self._lock:
            self._stays += stay
            self._close_unless_used()

    def _close_unless_used(self) -> None:
        if self._handle is not None and not self._held and not self._stays:
            os.close(self._handle)
            self._handle = None


class _DatabaseLocks:
    """Advisory locks of one connection, which stays open while one is held."""

    def __init__(self, url: SecretStr) -> None:
        self._url, self._lock = url, Lock()
        self._connection: psycopg.Connection[Any] | None = None
        self._held: set[str] = set()
        self._stays = 0

    def take(self, thread: str) -> bool:
        with self._lock:
            if thread in self._held:
                return False
            if self._ask("SELECT pg_try_advisory_lock(%s)", thread):
                self._held.add(thread)
            self._close_unless_used()
            return thread in self._held

    def free(self, thread: str) -> None:
        with self._lock:
            self._held.discard(thread)
            # Closing frees it as well, but later: the server may take a while to notice.
            with suppress(DatabaseError):  # a connection that was lost has freed its locks
                self._ask("SELECT pg_advisory_unlock(%s)", thread)
            self._close_unless_used()

    def _ask(self, sql: str, thread: str) -> bool:
        from .postgres import conninfo, lock_of, why

        info = conninfo(self._url)
        import psycopg

        is_new = self._connection is None or self._connection.broken
        try:
            if self._connection is None or is_new:
                self._connection = psycopg.connect(info, autocommit=True)
            found = self._connection.execute(sql.encode(), (lock_of(f"thread.{thread}"),)).fetchone()
        except psycopg.Error as error:
            if not is_new and self._connection and self._connection.broken:
                return self._ask(sql, thread)  # it was lost while nobody used it
            raise DatabaseError(why(error, self._url)) from None
        return bool(found and found[0])

    def stay_open(self, stay: int) -> None:
        with self._lock:
            self._stays += stay
            self._close_unless_used()

    def _close_unless_used(self) -> None:
        if self._connection is not None and not self._held and not self._stays:
            self._connection.close()
            self._connection = None


_file_locks = lru_cache(maxsize=None)(_FileLocks)
_database_locks = lru_cache(maxsize=None)(_DatabaseLocks)


def _number(thread: str) -> int:
    return int.from_bytes(sha256(thread.encode()).digest()[:8], "big")
