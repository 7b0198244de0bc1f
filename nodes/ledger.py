"""Where finished results are kept, so that the same task need not be paid twice."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiosqlite

from ..routing.errors import InputError

SCHEMA = """
CREATE TABLE IF NOT EXISTS results (key TEXT PRIMARY KEY, stored_at REAL NOT NULL, result TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS results_by_age ON results (stored_at);
"""


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
        if not self._ttl or not await asyncio.to_thread(os.path.exists, self._path):
            return None
        async with self._open() as db:
            query = "SELECT result FROM results WHERE key = ? AND stored_at > ?"
            row = await (await db.execute(query, (key, time.time() - self._ttl))).fetchone()
        return str(row[0]) if row else None

    async def put(self, key: str, result: str) -> None:
        """Store a result, dropping what is too old or too much."""
        if not self._ttl:
            return
        async with self._open() as db:
            await db.execute("INSERT OR REPLACE INTO results VALUES (?, ?, ?)", (key, time.time(), result))
            await db.execute("DELETE FROM results WHERE stored_at <= ?", (time.time() - self._ttl,))
            keep = "SELECT key FROM results ORDER BY stored_at DESC, rowid DESC LIMIT ?"
            await db.execute(f"DELETE FROM results WHERE key NOT IN ({keep})", (self._size,))
            await db.commit()

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[aiosqlite.Connection]:
        try:
            await asyncio.to_thread(self._path.parent.mkdir, parents=True, exist_ok=True)
            async with aiosqlite.connect(self._path, timeout=30) as db:
                await db.executescript(SCHEMA)
                yield db
        except (aiosqlite.Error, OSError) as error:
            raise InputError(
                f"The store of results {str(self._path)!r} cannot be used: {error}. "
                "Remove it, or set YMERA_CACHE_TTL=0."
            ) from error
