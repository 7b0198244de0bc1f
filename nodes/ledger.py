"""Where finished results are kept, so that the same task need not be paid twice."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

from ..routing.errors import InputError
from .database import DatabaseError, Place, database_at
from .encryption import Cipher

SCHEMA = """
CREATE TABLE IF NOT EXISTS results (key TEXT PRIMARY KEY, stored_at DOUBLE PRECISION NOT NULL, result TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS results_by_age ON results (stored_at);
"""
PUT = """
INSERT INTO results VALUES (?, ?, ?)
ON CONFLICT (key) DO UPDATE SET stored_at = excluded.stored_at, result = excluded.result
"""
TRIM = """
DELETE FROM results WHERE stored_at <= (SELECT stored_at FROM results ORDER BY stored_at DESC LIMIT 1 OFFSET ?)
"""
"""The oldest go. Read from the index backwards as far as there are results to be kept."""

BUSY_SECONDS = 30.0
"""How long a writer waits for another process."""


class ResultCache:
    """Results by key, in one table.

    Args:
        place: where it is kept; a file is made when first written.
        ttl: seconds for which a result stays valid; 0 keeps nothing.
        size: results kept at most, or a hundredth more: then the oldest go.
        cipher: encrypts the results; what is not encrypted by it is refused. Their keys are marks of it, too: the
            fingerprint of a task would else tell whoever guesses the task that it was given.
    """

    def __init__(self, place: Place, *, ttl: float, size: int, cipher: Cipher | None = None) -> None:
        self._database = database_at(place, "results", SCHEMA, patience=BUSY_SECONDS)
        self._ttl, self._size, self._cipher = ttl, size, cipher
        self._stored = 0

    async def get(self, key: str) -> str | None:
        """Return the valid result of a key, or None."""
        return await asyncio.to_thread(self._get, key) if self._ttl else None

    async def put(self, key: str, result: str) -> None:
        """Store a result, dropping what is too old or too much."""
        if self._ttl:
            await asyncio.to_thread(self._put, key, result)

    def _get(self, key: str) -> str | None:
        with self._usable():
            if self._database.stamp() is None:
                return None
            query = "SELECT result FROM results WHERE key = ? AND stored_at > ?"
            with self._database.reading() as rows:
                found = rows.execute(query, (self._name(key), time.time() - self._ttl))
        return self._opened(str(found[0][0])) if found else None

    def _put(self, key: str, result: str) -> None:
        row = (self._name(key), time.time(), self._sealed(result))
        with self._usable(), self._database.transaction() as rows:
            rows.execute(PUT, row)
            rows.execute("DELETE FROM results WHERE stored_at <= ?", (time.time() - self._ttl,))
            # Looking for the last to be kept passes by all the others: so it pays for itself.
            if self._stored % max(self._size // 100, 1) == 0:
                rows.execute(TRIM, (self._size,))
            self._stored += 1

    def _name(self, key: str) -> str:
        return self._cipher.mark(key) if self._cipher else key

    def _sealed(self, result: str) -> str:
        return self._cipher.seal(result) if self._cipher else result

    def _opened(self, stored: str) -> str:
        if self._cipher is None:
            return stored
        try:
            return self._cipher.open(stored)
        except ValueError as error:
            raise self._unusable(f"a result in it is {error}") from error

    @contextmanager
    def _usable(self) -> Iterator[None]:
        try:
            yield
        except DatabaseError as error:
            raise self._unusable(str(error)) from error

    def _unusable(self, reason: str) -> InputError:
        place, cure = self._database.place, self._database.cure
        return InputError(
            f"The store of results {place} cannot be used: {reason}. {cure}, or set YMERA_CACHE_TTL=0."
        )
