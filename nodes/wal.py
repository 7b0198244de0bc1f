"""SQLite's write-ahead log, in which readers and one writer work at once."""

from __future__ import annotations

import sqlite3
import time

PAUSE_SECONDS = 0.005


def use_wal(db: sqlite3.Connection, *, patience: float) -> None:
    """Switch a file to WAL, which it remembers, and to `synchronous=NORMAL`.

    That survives a killed process (not the last commits before a power cut) at half the cost of FULL. Where two
    processes switch a new file at once, SQLite's own busy timeout does not help one of them: it is tried again here.

    Args:
        patience: seconds.

    Raises:
        sqlite3.Error: the file cannot be used, or is busy for longer.
    """
    deadline = time.monotonic() + patience
    while True:
        try:
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=NORMAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                raise
            time.sleep(PAUSE_SECONDS)
        else:
            return
