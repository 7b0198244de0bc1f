"""The file of daily budgets, read by a test."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path


def spent_by_day(file: Path) -> dict[tuple[str, str, str], int]:
    """Return nano-USD by day, provider and mark of the key."""
    with closing(sqlite3.connect(file)) as db:
        rows = db.execute("SELECT day, provider, key_mark, nano_usd FROM spending ORDER BY 1, 2, 3")
        return {(day, provider, mark): nano for day, provider, mark, nano in rows}


def spent_today(file: Path) -> dict[tuple[str, str], int]:
    """Return nano-USD by provider and mark of the key, of a file that knows one day."""
    by_day = spent_by_day(file)
    assert len({day for day, _, _ in by_day}) == 1
    return {(provider, mark): nano for (_, provider, mark), nano in by_day.items()}
