"""What files hold, with what stands compressed in a database of SQLite."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

SQLITE = b"SQLite format 3\0"


def bytes_of(path: Path) -> bytes:
    """Return the bytes of a file, and behind them those of each compressed value in it."""
    data = path.read_bytes()
    return b"\n".join([data, *_inflated(path)]) if data.startswith(SQLITE) else data


def _inflated(path: Path) -> Iterator[bytes]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            for row in connection.execute(f"SELECT * FROM {table}"):
                for value in row:
                    if isinstance(value, bytes):
                        try:
                            yield zlib.decompress(value)
                        except zlib.error:
                            continue
