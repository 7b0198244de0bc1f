"""What came of calls: verdicts and feedback in the rows of the journal, and these rows out of it and into it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from ..routing.attempts import Check, Verdict
from ..routing.errors import InputError
from ..routing.outcomes import ANSWERED, check_score, counts_of, quality_of_verdict
from .database import Rows
from .journal import Journal

JUDGED = """
UPDATE calls SET decision = ?, passed = ?, failed = ?, settled_at = ?,
    quality = CASE WHEN score IS NULL OR ? = 0 THEN ? ELSE quality END
WHERE run = ? AND attempt = ? AND tenant = ?
"""
COUNTED = "UPDATE calls SET passed = ?, failed = ? WHERE run = ? AND attempt = ? AND tenant = ?"
CHECKED = """
UPDATE calls SET passed = ?, failed = ?, quality = ?, settled_at = ?
WHERE run = ? AND attempt = ? AND tenant = ? AND decision = '' AND score IS NULL
"""
APPROVED = """
UPDATE calls SET quality = ?, settled_at = ? WHERE run = ? AND attempt = ? AND tenant = ? AND score IS NULL
"""
RATED = f"""
UPDATE calls SET score = ?, comment = ?, settled_at = ?,
    quality = CASE WHEN decision = 'revise' THEN quality ELSE ? END
WHERE run = ? AND tenant = ? AND outcome = '{ANSWERED}'
"""
"""A person's score is the run's. Where the review sent an answer back, it is that of the answer that came after."""
CALLED = f"SELECT COUNT(*) FROM calls WHERE run = ? AND tenant = ? AND outcome = '{ANSWERED}'"

WORDS = (
    "run",
    "attempt",
    "agent",
    "phase",
    "provider",
    "model",
    "outcome",
    "domain",
    "complexity",
    "speed",
    "creativity",
    "task",
    "decision",
    "comment",
)
COUNTS = (
    *("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens"),
    *("unpriced", "estimated", "passed", "failed"),
)
AMOUNTS = ("started_at", "seconds", "cost_usd")
PERHAPS = ("first_token_seconds", "score", "quality", "settled_at")
COLUMNS = (*WORDS, *COUNTS, *AMOUNTS, *PERHAPS)
"""What is handed out of a row, and taken back in."""
SEALED = ("task", "comment")

LONGEST_COMMENT = 10_000
LONGEST_WORD = 1_000_000
LARGEST = 10**15

_SELECT = f"SELECT {', '.join(COLUMNS)} FROM calls WHERE tenant = ? AND outcome <> '' ORDER BY started_at"
_INSERT = (
    f"INSERT INTO calls (thread, checkpoint, tenant, {', '.join(COLUMNS)}) "
    f"VALUES ('', '', ?, {', '.join('?' * len(COLUMNS))}) ON CONFLICT DO NOTHING"
)
_KNOWN = "SELECT COUNT(*) FROM calls WHERE run = ? AND attempt = ? AND tenant = ?"


class Outcomes:
    """What came of calls, in the journal's rows: of one tenant. Any thread and event loop may use it.

    Args:
        clock: epoch seconds.
    """

    def __init__(self, journal: Journal, *, clock: Callable[[], float] = time.time) -> None:
        self._journal, self._clock = journal, clock

    def approved(self, run: str, attempt: str, quality: float) -> None:
        """Write down what a person at a gate says of an answer that is not the result. Not waited for."""
        self._journal.change(APPROVED, (quality, self._clock(), run, attempt, self._journal.tenant))

    def judged(self, run: str, attempt: str, verdict: Verdict) -> None:
        """Write down what a verdict says of an attempt's answer. Not waited for."""
        quality = quality_of_verdict(verdict["decision"])
        said = (verdict["decision"], *counts_of(verdict["checks"]), self._clock(), quality, quality)
        self._journal.change(JUDGED, (*said, run, attempt, self._journal.tenant))

    def checked(self, run: str, attempt: str, checks: Sequence[Check], quality: float | None) -> None:
        """Write down what checks say of an attempt's answer, until a verdict or a person says more. Not waited for.

        Args:
            quality: what follows from them; None: nothing.
        """
        if not any(counts_of(checks)):
            return
        which = (run, attempt, self._journal.tenant)
        if quality is None:
            self._journal.change(COUNTED, (*counts_of(checks), *which))
        else:
            self._journal.change(CHECKED, (*counts_of(checks), quality, self._clock(), *which))

    async def rate(self, run: str, score: float, comment: str = "") -> None:
        """Write down what a person says of a run; a later word takes the place of an earlier one.

        Args:
            score: 0 (useless) to 1 (as it should be).

        Raises:
            InputError: the score or the comment is none, no answer of such a run is known, or the journal cannot
                be used.
        """
        check_score(score)
        if len(comment) > LONGEST_COMMENT:
            raise InputError(
                f"The comment has {len(comment)} characters; at most {LONGEST_COMMENT} are kept."
            )
        said = (float(score), self._journal.sealed(comment), self._clock(), float(score))
        if not await self._journal.within(lambda rows: self._rated(rows, run, said)):
            raise InputError(
                f"No answer of a run {run[:80]!r} is known here. A result names its run: result.run_id, "
                "or `run_id` in `ymera run --json`."
            )

    async def rows(self) -> list[dict[str, Any]]:
        """Return what is known of every call that has ended, the oldest first.

        Raises:
            InputError: the journal cannot be used, or its words are encrypted with another key.
        """
        found = await self._journal.within(lambda rows: rows.execute(_SELECT, (self._journal.tenant,)))
        return [self._told(dict(zip(COLUMNS, row, strict=True))) for row in found]

    async def take_in(self, rows: Iterable[Mapping[str, Any]]) -> int:
        """Take in rows that `rows` has handed out elsewhere; return how many were new.

        Raises:
            InputError: a row is none; then none is taken.
        """
        values = [self._stored(checked(row, number)) for number, row in enumerate(rows, 1)]
        return await self._journal.within(lambda kept: sum(self._put(kept, each) for each in values))

    def _rated(self, rows: Rows, run: str, said: tuple[object, ...]) -> int:
        ((found,),) = rows.execute(CALLED, (run, self._journal.tenant))
        rows.execute(RATED, (*said, run, self._journal.tenant))
        return int(found)

    def _told(self, row: dict[str, Any]) -> dict[str, Any]:
        try:
            return row | {name: self._journal.opened(row[name]) for name in SEALED}
        except ValueError as error:
            raise InputError(f"A text in the journal of attempts cannot be read: it is {error}.") from error

    def _stored(self, row: Mapping[str, Any]) -> tuple[object, ...]:
        words = {name: self._journal.sealed(row[name]) for name in SEALED}
        return tuple(words.get(name, row[name]) for name in COLUMNS)

    def _put(self, rows: Rows, values: tuple[object, ...]) -> int:
        tenant = self._journal.tenant
        if rows.execute(_KNOWN, (*values[:2], tenant))[0][0]:
            return 0
        rows.execute(_INSERT, (tenant, *values))
        return 1


def checked(row: Mapping[str, Any], number: int) -> dict[str, Any]:
    """Return a row that was handed in.

    Raises:
        InputError: it is none, with its number and what is wrong with it.
    """
    if not isinstance(row, Mapping):
        raise InputError(f"Row {number} is no object.")
    if unknown := sorted(set(row) - set(COLUMNS)):
        raise InputError(
            f"Row {number} has {unknown[0][:80]!r}, which no outcome has. Known: {', '.join(COLUMNS)}."
        )
    if wrong := next(_faults(row), None):
        raise InputError(f"Row {number}: {wrong}.")
    return dict(row)


def _faults(row: Mapping[str, Any]) -> Iterator[str]:
    for name in COLUMNS:
        if name not in row:
            yield f"{name} is missing"
        elif not _is_sound(name, row[name]):
            yield f"{name} is {repr(row[name])[:80]}, not {_wanted(name)}"


def _is_sound(name: str, value: Any) -> bool:
    if name in WORDS:
        return (
            isinstance(value, str) and len(value) <= LONGEST_WORD and (bool(value) or name not in WORDS[:7])
        )
    if name in PERHAPS and value is None:
        return True
    if isinstance(value, bool) or not isinstance(value, int if name in COUNTS else int | float):
        return False
    return math.isfinite(value) and 0 <= value <= (1 if name in ("score", "quality") else LARGEST)


def _wanted(name: str) -> str:
    if name in WORDS:
        return "a text"
    return "a number from 0 to 1" if name in ("score", "quality") else "a number from 0"
