"""What all runs know of failing models: shared by the runs of a process, and by processes through a small file.

The rules are routing/availability.py's. Here they are applied to what is known, in memory and in the file: each
change is worked out anew from the file's rows within one transaction, so that processes do not undo each other's.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from hashlib import sha256
from math import inf
from pathlib import Path
from threading import Lock
from typing import TypeVar

from ..routing.availability import (
    Changes,
    Cooldowns,
    after_call,
    before_call,
    changed,
    circuits,
    from_json,
    to_json,
    why_avoided,
)
from ..routing.faults import FaultKind
from ..routing.records import ModelProfile

SCHEMA = "CREATE TABLE IF NOT EXISTS cooldowns (circuit TEXT PRIMARY KEY, cooldown TEXT NOT NULL)"

BUSY_SECONDS = 2.0
"""How long another process may hold the file before this one does without it."""
LOOK_SECONDS = 0.25
"""At most so often is looked whether the file has changed."""
SETTLED_SECONDS = 0.1
"""Age of a file from which a later change shows in its time, however coarse the system's clock."""

Step = Callable[[Cooldowns], Changes | None]
Stamp = tuple[int, int, int]
Result = TypeVar("Result")

_logger = logging.getLogger("ymera.health")


def mark_of(secrets: Sequence[str]) -> str:
    """Return a short fingerprint of a key (of its parts together), from which the key cannot be told."""
    return sha256("\0".join(secrets).encode()).hexdigest()[:12] if secrets else ""


class Health:
    """Cooldowns of models and providers. Any thread and event loop of the process may use it.

    A file that cannot be used is logged once; from then on the process remembers by itself.

    Args:
        path: the file; made with the first failure. None: memory only.
        clock: epoch seconds.
    """

    def __init__(self, path: Path | None, *, clock: Callable[[], float] = time.time) -> None:
        self._path, self._clock = path, clock
        self._known: Cooldowns = {}  # replaced, never changed: who only reads needs no lock
        self._memory, self._file = Lock(), Lock()  # the second is taken in worker threads only
        self._looked_at = -inf
        self._seen: Stamp | None = None

    async def look(self) -> None:
        """Take in what other processes wrote."""
        now = self._clock()
        if self._path is not None and self._is_time_to_look(now):
            await asyncio.to_thread(self._at_file, partial(self._take_in, now=now), None)

    def _is_time_to_look(self, now: float) -> bool:
        return not 0 <= now - self._looked_at < LOOK_SECONDS

    @property
    def is_calm(self) -> bool:
        """Whether nothing is known to fail."""
        return not self._known

    def why_avoided(self, model: ModelProfile, key_mark: str) -> str | None:
        """Return why a model had better not be called now, in words for a person; None where it may be."""
        if not self._known:
            return None
        return why_avoided(self._known, circuits(model, key_mark), now=self._clock())

    async def begin(self, model: ModelProfile, key_mark: str, seconds: float) -> bool:
        """Say whether a call may begin now, right before it does: of a model that may be back, one call finds out.

        Args:
            seconds: after which another call may find out, should nothing have been reported of this one.
        """
        await self.look()
        names = circuits(model, key_mark)
        step = partial(before_call, names=names, now=self._clock(), seconds=seconds)
        return await self._change(step) is not None

    async def report(
        self, model: ModelProfile, kind: FaultKind | None, *, key_mark: str, asked: float | None = None
    ) -> None:
        """Take in how a call ended: with a kind of fault, or None for a success.

        Args:
            asked: seconds that the provider asks to wait.
        """
        names = circuits(model, key_mark)
        await self._change(partial(after_call, names=names, kind=kind, now=self._clock(), asked=asked))

    async def _change(self, step: Step) -> Changes | None:
        """Apply a step to what is known here, and, where it changes anything, to what all processes know."""
        with self._memory:
            changes = step(self._known)
            if not changes:
                return changes
            self._known = changed(self._known, changes)
            path = self._path
        if path is None:
            return changes
        return await asyncio.to_thread(self._at_file, partial(self._write, step=step), changes)

    def _at_file(self, work: Callable[[Path], Result], otherwise: Result) -> Result:
        """Return what comes of work with the file, which one thread does at a time; without the file, `otherwise`."""
        with self._file:
            if self._path is None:
                return otherwise
            try:
                return work(self._path)
            except (sqlite3.Error, OSError) as error:
                _logger.warning(
                    "The store of cooldowns %r cannot be used: %s. This process goes on without it and remembers "
                    "by itself which models fail. If the file is damaged, remove it.",
                    str(self._path),
                    error,
                )
                self._path = None
                return otherwise

    def _write(self, path: Path, step: Step) -> Changes | None:
        """Apply a step to the file within one transaction; return what it changed there."""
        with _opened(path) as db:
            db.execute("BEGIN IMMEDIATE")
            db.execute(SCHEMA)
            known = _rows(db)
            changes = step(known)
            _put(db, changes or {})
            db.execute("COMMIT")
        self._know(changed(known, changes or {}))
        return changes

    def _take_in(self, path: Path, now: float) -> None:
        if not self._is_time_to_look(now):  # another thread has just looked
            return
        stamp = _stamp(path)
        if stamp != self._seen:
            self._know(_read(path) if stamp else {})
            self._seen = stamp if _is_settled(stamp) else None
        self._looked_at = now

    def _know(self, known: Cooldowns) -> None:
        with self._memory:
            self._known = known


def _read(path: Path) -> Cooldowns:
    with _opened(path) as db:
        db.execute(SCHEMA)
        return _rows(db)


def _rows(db: sqlite3.Connection) -> Cooldowns:
    rows = db.execute("SELECT circuit, cooldown FROM cooldowns")
    return {str(name): cooldown for name, text in rows if (cooldown := from_json(str(text)))}


def _put(db: sqlite3.Connection, changes: Changes) -> None:
    for name, cooldown in changes.items():
        if cooldown is None:
            db.execute("DELETE FROM cooldowns WHERE circuit = ?", (name,))
        else:
            db.execute("INSERT OR REPLACE INTO cooldowns VALUES (?, ?)", (name, to_json(cooldown)))


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)) as db:
        db.execute("PRAGMA synchronous=NORMAL")
        yield db


def _stamp(path: Path) -> Stamp | None:
    """Return what tells a changed file from an unchanged one; None where there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _is_settled(stamp: Stamp | None) -> bool:
    """Say whether a file is old enough for its next change to show."""
    return stamp is not None and time.time() - stamp[0] / 1e9 > SETTLED_SECONDS
