"""Where finished results are kept, so that the same task need not be paid twice."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from ..routing.errors import InputError

SCHEMA = """
CREATE TABLE IF NOT EXISTS results (key TEXT PRIMARY KEY, stored_at REAL NOT NULL, result TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS results_by_age ON results (stored_at);
"""

BUSY_SECONDS = 30.0
"""How long a writer waits for another process on the same file."""


class ResultCache:
    """Results by key, in one SQLite file.

    Args:
        path: the file; made when first written.
        ttl: seconds for which a result stays valid; 0 keeps nothing.
        size: results kept at most; the oldest go first.
    """

    def __init__(self, path: Path, *, ttl: float, size: int) -> None:
        self._path, self._ttl, self._size = path, ttl, size

    async def get(self, key: str) -> str | None:
        """Return the valid result of a key, or None."""
        return await asyncio.to_thread(self._get, key) if self._ttl else None

    async def put(self, key: str, result: str) -> None:
        """Store a result, dropping what is too old or too much."""
        if self._ttl:
            await asyncio.to_thread(self._put, key, result)

    def _get(self, key: str) -> str | None:
        if not self._path.exists():
            return None
        with self._open() as db:
            query = "SELECT result FROM results WHERE key = ? AND stored_at > ?"
            row = db.execute(query, (key, time.time() - self._ttl)).fetchone()
        return str(row[0]) if row else None

    def _put(self, key: str, result: str) -> None:
        with self._open() as db:
            db.execute("INSERT OR REPLACE INTO results VALUES (?, ?, ?)", (key, time.time(), result))
            db.execute("DELETE FROM results WHERE stored_at <= ?", (time.time() - self._ttl,))
            keep = "SELECT key FROM results ORDER BY stored_at DESC, rowid DESC LIMIT ?"
            db.execute(f"DELETE FROM results WHERE key NOT IN ({keep})", (self._size,))
            db.commit()

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self._path, timeout=BUSY_SECONDS)) as db:
                db.executescript(SCHEMA)
                yield db
        except (sqlite3.Error, OSError) as error:
            raise InputError(
                f"The store of results {str(self._path)!r} cannot be used: {error}. "
                "Remove it, or set YMERA_CACHE_TTL=0."
            ) from error
