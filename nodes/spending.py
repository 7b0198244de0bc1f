"""What each key spends a day (UTC), in one SQLite file that all processes share."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple
from weakref import finalize

from ..routing.budget import NOTHING, Amount, Ask, Grant, Refusal, grant_in_day, settled, worst_case
from ..routing.errors import InputError
from ..routing.records import Usage
from .wal import use_wal

SCHEMA = """
CREATE TABLE IF NOT EXISTS spending (
    day TEXT, provider TEXT, key_mark TEXT, nano_usd INTEGER NOT NULL, PRIMARY KEY (day, provider, key_mark)
) WITHOUT ROWID
"""
TAKEN = "SELECT nano_usd FROM spending WHERE day = ? AND provider = ? AND key_mark = ?"
RESERVE = "INSERT INTO spending VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET nano_usd = nano_usd + excluded.nano_usd"
CORRECT = """
UPDATE spending SET nano_usd = max(nano_usd + ?, 0) WHERE day = ? AND provider = ? AND key_mark = ?
"""

BUSY_SECONDS = 30.0
"""How long a writer waits for another process on the same file."""

_logger = logging.getLogger("ymera.budgets")


class _Held(NamedTuple):
    """A reservation: of which day and key, and how much."""

    row: tuple[str, str, str]
    amount: Amount


class Spending:
    """Daily budgets of keys. Any thread and event loop of the process may use it.

    One thread does the work in the order in which it was asked for: runs of one process do not wait for each other
    within SQLite, and no settlement overtakes its reservation. The file holds one sum for each day and key; who
    holds how much of it, the process alone knows. So the reservations of a process that dies stay counted for their
    day: rather too much than too little. (A power cut may lose the last moments' sums.)

    Args:
        path: the file; made when first needed.
        clock: epoch seconds.
    """

    def __init__(self, path: Path, clock: Callable[[], float]) -> None:
        self._path, self._clock = path, clock
        self._file = _File(path)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ymera-spending")
        self._held: dict[str, _Held] = {}
        finalize(self, self._file.close)

    async def reserve(self, ask: Ask, usd: float) -> Grant | Refusal:
        """Reserve what a call may cost. Cancelled, or with an error, nothing stays reserved.

        Args:
            usd: what the key may spend a day.

        Raises:
            InputError: the file cannot be used, so nobody knows what is left.
        """
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._thread, self._reserve, ask, usd)
        except asyncio.CancelledError:
            self._thread.submit(self._settle, ask, None)
            raise

    async def settle(self, ask: Ask, usage: Usage) -> None:
        """Replace a reservation by what the call cost, on the day on which it was reserved.

        A file that has become unusable is logged, and the reservation stays: the answer is paid and must not be lost.
        """
        loop = asyncio.get_running_loop()
        # Shielded: whoever is cancelled here has paid all the same.
        await asyncio.shield(loop.run_in_executor(self._thread, self._settle, ask, usage))

    def _reserve(self, ask: Ask, usd: float) -> Grant | Refusal:
        day = datetime.fromtimestamp(self._clock(), UTC).date().isoformat()
        row = (day, ask.provider, ask.key_mark)
        try:
            with self._file.transaction() as db:
                found = db.execute(TAKEN, row).fetchone()
                grant = grant_in_day(ask, usd, found[0] if found else 0)
                if isinstance(grant, Refusal):
                    return grant
                amount = worst_case(ask, grant.output_tokens)
                db.execute(RESERVE, (*row, amount.nano_usd))
        except (sqlite3.Error, OSError) as error:
            raise InputError(
                f"The daily budget of {ask.provider} cannot be checked: {str(self._path)!r} cannot be used: {error}. "
                "Move it away (what was spent today is forgotten then), or unset YMERA_DAILY_USD."
            ) from error
        self._held[ask.id] = _Held(row, amount)
        return grant

    def _settle(self, ask: Ask, usage: Usage | None) -> None:
        """Correct the day's sum; None: the call was not made."""
        held = self._held.pop(ask.id, None)
        if held is None:
            return
        cost = settled(held.amount, usage) if usage else NOTHING
        difference = cost.nano_usd - held.amount.nano_usd
        try:
            if difference:
                with self._file.transaction() as db:
                    db.execute(CORRECT, (difference, *held.row))
        except (sqlite3.Error, OSError) as error:
            said = (ask.provider, str(self._path), error)
            _logger.warning(
                "What %s cost is not settled, its reservation stays: %r cannot be used: %s", *said
            )


class _File:
    """A connection that stays open: opening it costs fifty times as much as a transaction."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._db: sqlite3.Connection | None = None
        self._inode: tuple[int, int] | None = None

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Hold the file's write lock; what is done is kept if all of it succeeds."""
        db = self._open()
        try:
            db.execute("BEGIN IMMEDIATE")
            yield db
            db.execute("COMMIT")
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        db, self._db = self._db, None
        if db is not None:
            db.close()

    def _open(self) -> sqlite3.Connection:
        """Return the connection: a new one where the file was removed or replaced since."""
        if self._db is not None and _inode(self._path) != self._inode:
            self.close()
        if self._db is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._db = _connect(self._path)
            self._inode = _inode(self._path)
        return self._db


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _connect(path: Path) -> sqlite3.Connection:
    # Used by one thread at a time, but closed by whichever lets go of it last.
    db = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        use_wal(db, patience=BUSY_SECONDS)
        db.execute(SCHEMA)
    except sqlite3.Error:
        db.close()
        raise
    return db
