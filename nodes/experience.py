"""The outcomes that the next match reads, out of the journal of all processes."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from threading import Lock
from typing import Any

from ..routing.history import History, Outcome, Prior
from ..routing.outcomes import ANSWERED, place_of
from ..routing.paces import Pace, seen
from .database import Database, DatabaseError

RECENT = 1_000
"""Outcomes that are taken in one after the other, so that a model which has changed is noticed; older ones in sums."""
LOOK_SECONDS = 1.0
"""At most so often is looked whether there are new ones."""
LOOKS_SHARE = 0.05
"""Share of the time that looking may take: where there are very many outcomes, it is looked less often."""

_RECENT = """
SELECT provider, model, domain, phase, quality, settled_at FROM calls
WHERE tenant = ? AND quality IS NOT NULL ORDER BY settled_at DESC LIMIT ?
"""
_OLDER = """
SELECT provider, model, domain, phase, COUNT(*), SUM(quality) FROM calls
WHERE tenant = ? AND quality IS NOT NULL AND settled_at < ? AND quality BETWEEN 0 AND 1
GROUP BY provider, model, domain, phase
"""

_ANSWERED = f"""
SELECT provider, model, phase, seconds, output_tokens FROM calls
WHERE tenant = ? AND outcome = '{ANSWERED}' ORDER BY started_at DESC LIMIT ?
"""

Sum = tuple[str, str, str, str, float, float]
"""Provider, model, domain, phase, outcomes, the sum of their qualities."""

_logger = logging.getLogger("ymera.experience")


@dataclass(frozen=True, kw_only=True)
class Past:
    """The outcomes of a tenant: older ones in sums, then the latest, the oldest of them first.

    Args:
        paces: how long the latest answers were and took, by model and phase.
    """

    older: Sequence[Sum] = ()
    recent: Sequence[Outcome] = ()
    paces: Mapping[tuple[str, str], Pace] = field(default_factory=dict)

    def over(self, prior: Prior) -> History | None:
        """Return the history that these outcomes make over a prior; None where there are none."""
        if not self.older and not self.recent:
            return None
        history = History(prior)
        for provider, model, domain, phase, outcomes, total in self.older:
            history.add_sums(f"{provider}:{model}", place_of(domain, phase), outcomes=outcomes, total=total)
        for outcome in self.recent:
            history.add(outcome)
        return history


@dataclass(frozen=True, kw_only=True)
class Known:
    """What a match reads: the history (None: no outcomes), and how long answers were and took, by model and phase."""

    history: History | None = None
    paces: Mapping[tuple[str, str], Pace] = field(default_factory=dict)


class Experience:
    """What all processes have seen of their models. Any thread and event loop of the process may use it.

    A database that cannot be used is logged once; from then on nothing is learned here.

    Args:
        database: the journal's; None: nothing is learned.
        tenant: whose outcomes count; empty: nobody's in particular.
        clock: epoch seconds.
    """

    def __init__(
        self, database: Database | None, *, tenant: str = "", clock: Callable[[], float] = time.time
    ) -> None:
        self._database, self._tenant, self._clock = database, tenant, clock
        self._store = Lock()
        self._looked_at, self._pause = -inf, LOOK_SECONDS
        self._seen: object | None = None
        self._prior: Prior | None = None
        self._past = Past()
        self._known = Known()

    @property
    def known(self) -> Known:
        """What was known when it was last looked; another object once there is more."""
        return self._known

    def expect(self, prior: Prior) -> None:
        """Take another prior from now on."""
        with self._store:
            self._prior = prior
            self._know()

    async def look(self) -> None:
        """Take in what came since."""
        if self._database is not None and self._is_time_to_look():
            await asyncio.to_thread(self._take_in)

    def _is_time_to_look(self) -> bool:
        return not 0 <= self._clock() - self._looked_at < self._pause

    def _take_in(self) -> None:
        with self._store:
            database = self._database
            if database is None or not self._is_time_to_look():
                return
            began = time.perf_counter()
            try:
                stamp = database.stamp()
                if stamp != self._seen:
                    self._past = _past(database, self._tenant) if stamp else Past()
                    self._seen = stamp
                    self._know()
            except DatabaseError as error:
                _logger.warning(
                    "Nothing is learned from outcomes: %s cannot be used: %s. %s if it stays so.",
                    *(database.place, error, database.cure),
                )
                self._database = None
            self._looked_at = self._clock()
            self._pause = max(LOOK_SECONDS, (time.perf_counter() - began) / LOOKS_SHARE)

    def _know(self) -> None:
        history = self._past.over(self._prior) if self._prior else None
        if history is not None:
            history.settle()
        self._known = Known(history=history, paces=self._past.paces)


def _past(database: Database, tenant: str) -> Past:
    with database.reading() as rows:
        recent = rows.execute(_RECENT, (tenant, RECENT))
        oldest = recent[-1][-1] if len(recent) == RECENT else -inf
        older = rows.execute(_OLDER, (tenant, oldest)) if oldest > -inf else []
        answered = rows.execute(_ANSWERED, (tenant, RECENT))
    return Past(
        older=[(*row[:4], float(row[4]), float(row[5])) for row in older if _is_sum(row)],
        recent=[_outcome(row) for row in reversed(recent) if _is_one(row)],
        paces=_paces(row for row in answered if _is_answer(row)),
    )


def _outcome(row: tuple[Any, ...]) -> Outcome:
    provider, model, domain, phase, quality, _ = row
    return Outcome(model=f"{provider}:{model}", place=place_of(domain, phase), quality=quality)


def _paces(answered: Iterable[tuple[Any, ...]]) -> dict[tuple[str, str], Pace]:
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for provider, model, phase, seconds, tokens in answered:
        found.setdefault((f"{provider}:{model}", phase), []).append((seconds, tokens))
    return {
        place: Pace(seen([seconds for seconds, _ in each]), seen([tokens for _, tokens in each]))
        for place, each in found.items()
    }


def _is_answer(row: tuple[Any, ...]) -> bool:
    *names, seconds, tokens = row
    numbers = all(isinstance(number, int | float) and 0 <= number < inf for number in (seconds, tokens))
    return numbers and all(isinstance(name, str) for name in names)


def _is_one(row: tuple[Any, ...]) -> bool:
    """Say whether a row is one of ours: SQLite keeps anything in any column."""
    quality = row[4]
    return _is_named(row) and isinstance(quality, int | float) and 0 <= quality <= 1


def _is_sum(row: tuple[Any, ...]) -> bool:
    _, _, _, _, count, total = row
    return _is_named(row) and isinstance(total, int | float) and 0 <= total <= count


def _is_named(row: tuple[Any, ...]) -> bool:
    return all(isinstance(name, str) for name in row[:4])
