"""What all runs know of failing models: shared by the runs of a process, and by processes through a small table.

The rules are routing/availability.py's. Here they are applied to what is known, in memory and in the table: each
change is worked out anew from its rows within one transaction, so that processes do not undo each other's.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from hashlib import sha256
from math import inf
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
from .database import Database, DatabaseError, Place, Rows, database_at

SCHEMA = "CREATE TABLE IF NOT EXISTS cooldowns (circuit TEXT PRIMARY KEY, cooldown TEXT NOT NULL)"
PUT = "INSERT INTO cooldowns VALUES (?, ?) ON CONFLICT (circuit) DO UPDATE SET cooldown = excluded.cooldown"

BUSY_SECONDS = 2.0
"""How long another process may hold the table before this one does without it."""
LOOK_SECONDS = 0.25
"""At most so often is looked whether the table has changed."""

Step = Callable[[Cooldowns], Changes | None]
Result = TypeVar("Result")

_logger = logging.getLogger("ymera.health")


def mark_of(secrets: Sequence[str]) -> str:
    """Return a short fingerprint of a key (of its parts together), from which the key cannot be told."""
    return sha256("\0".join(secrets).encode()).hexdigest()[:12] if secrets else ""


class Health:
    """Cooldowns of models and providers. Any thread and event loop of the process may use it.

    A database that cannot be used is logged once; from then on the process remembers by itself.

    Args:
        place: where it is kept; a file is made with the first failure. None: memory only.
        clock: epoch seconds.
        patience: seconds that another process may hold the table before this one does without it.
    """

    def __init__(
        self,
        place: Place | None,
        *,
        clock: Callable[[], float] = time.time,
        patience: float = BUSY_SECONDS,
    ) -> None:
        self._database: Database | None = None
        if place is not None:
            self._database = database_at(place, "health", SCHEMA, patience=patience)
        self._clock = clock
        self._known: Cooldowns = {}  # replaced, never changed: who only reads needs no lock
        self._memory, self._store = Lock(), Lock()  # the second is taken in worker threads only
        self._looked_at = -inf
        self._seen: object | None = None

    async def look(self) -> None:
        """Take in what other processes wrote."""
        now = self._clock()
        if self._database is not None and self._is_time_to_look(now):
            await asyncio.to_thread(self._in_store, partial(self._take_in, now=now), None)

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
            database = self._database
        if database is None:
            return changes
        return await asyncio.to_thread(self._in_store, partial(self._write, step=step), changes)

    def _in_store(self, work: Callable[[Database], Result], otherwise: Result) -> Result:
        """Return what comes of work with the database, one thread at a time; without it, `otherwise`."""
        with self._store:
            database = self._database
            if database is None:
                return otherwise
            try:
                return work(database)
            except DatabaseError as error:
                _logger.warning(
                    "The store of cooldowns %s cannot be used: %s. This process goes on without it and remembers "
                    "by itself which models fail. %s if it stays so.",
                    *(database.place, error, database.cure),
                )
                self._database = None
                return otherwise

    def _write(self, database: Database, step: Step) -> Changes | None:
        """Apply a step to the table within one transaction; return what it changed there."""
        with database.transaction() as rows:
            known = _known_in(rows)
            changes = step(known)
            _put(rows, changes or {})
        self._know(changed(known, changes or {}))
        return changes

    def _take_in(self, database: Database, now: float) -> None:
        if not self._is_time_to_look(now):  # another thread has just looked
            return
        stamp = database.stamp()
        if stamp != self._seen:
            self._know(_read(database) if stamp else {})
            self._seen = stamp
        self._looked_at = now

    def _know(self, known: Cooldowns) -> None:
        with self._memory:
            self._known = known


def _read(database: Database) -> Cooldowns:
    with database.reading() as rows:
        return _known_in(rows)


def _known_in(rows: Rows) -> Cooldowns:
    found = rows.execute("SELECT circuit, cooldown FROM cooldowns")
    return {str(name): cooldown for name, text in found if (cooldown := from_json(str(text)))}


def _put(rows: Rows, changes: Changes) -> None:
    for name, cooldown in changes.items():
        if cooldown is None:
            rows.execute("DELETE FROM cooldowns WHERE circuit = ?", (name,))
        else:
            rows.execute(PUT, (name, to_json(cooldown)))
