"""What came of calls: verdicts and feedback in the rows of the journal, and these rows out of it and into it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ..routing.attempts import Check, Verdict
from ..routing.errors import InputError
from ..routing.outcomes import ANSWERED, check_score, counts_of, quality_of_verdict
from .database import Rows
from .journal import READ, Journal
from .outcome_rows import OF_CALL, OF_RUN, OF_TRIAL, checked

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

SEALED = ("task", "comment")

LONGEST_COMMENT = 10_000

_SELECT = f"SELECT {', '.join(OF_CALL)} FROM calls WHERE tenant = ? AND outcome <> '' ORDER BY started_at"
_IN_TRIALS = "SELECT run, trial, arm, unit, ended, begun_at, ended_at FROM trial_runs WHERE tenant = ?"
_READ = "SELECT run, probability FROM domains_read WHERE tenant = ?"
_INSERT = (
    f"INSERT INTO calls (thread, checkpoint, tenant, {', '.join(OF_CALL)}) "
    f"VALUES ('', '', ?, {', '.join('?' * len(OF_CALL))}) ON CONFLICT DO NOTHING"
)
_KNOWN = "SELECT COUNT(*) FROM calls WHERE run = ? AND attempt = ? AND tenant = ?"
_TAKE_PART = """
INSERT INTO trial_runs (tenant, run, trial, arm, unit, ended, begun_at, ended_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (tenant, trial, run) DO UPDATE SET ended = excluded.ended, ended_at = excluded.ended_at
WHERE trial_runs.ended = ''
"""
"""A run that was handed out before its end, and again after it, has ended."""


class Outcomes:
    """What came of calls, in the journal's rows: of one tenant. Any thread and event loop may use it.

    Args:
        clock: epoch seconds.
    """

    def __init__(self, journal: Journal, *, clock: Callable[[], float] = time.time) -> None:
        self._journal, self._clock = journal, clock

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

    def approved(self, run: str, attempt: str, quality: float) -> None:
        """Write down what a person at a gate says of an answer that is not the result. Not waited for."""
        self._journal.change(APPROVED, (quality, self._clock(), run, attempt, self._journal.tenant))

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
        return [self._told(row) for row in await self._journal.within(self._found)]

    async def take_in(self, rows: Iterable[Mapping[str, Any]]) -> int:
        """Take in rows that `rows` has handed out elsewhere; return how many were new.

        Raises:
            InputError: a row is none; then none is taken.
        """
        taken = [self._stored(checked(row, number)) for number, row in enumerate(rows, 1)]
        return await self._journal.within(lambda kept: sum(self._put(kept, each) for each in taken))

    def _rated(self, rows: Rows, run: str, said: tuple[object, ...]) -> int:
        ((found,),) = rows.execute(CALLED, (run, self._journal.tenant))
        rows.execute(RATED, (*said, run, self._journal.tenant))
        return int(found)

    def _told(self, row: dict[str, Any]) -> dict[str, Any]:
        try:
            return row | {name: self._journal.opened(row[name]) for name in SEALED}
        except ValueError as error:
            raise InputError(f"A text in the journal of attempts cannot be read: it is {error}.") from error

    def _found(self, rows: Rows) -> list[dict[str, Any]]:
        tenant = (self._journal.tenant,)
        trials = {
            run: dict(zip(OF_TRIAL, rest, strict=True)) for run, *rest in rows.execute(_IN_TRIALS, tenant)
        }
        read = {run: {"domain_read": probability} for run, probability in rows.execute(_READ, tenant)}
        calls = (dict(zip(OF_CALL, row, strict=True)) for row in rows.execute(_SELECT, tenant))
        return [
            {**call, **OF_RUN, **trials.get(call["run"], {}), **read.get(call["run"], {})} for call in calls
        ]

    def _stored(self, row: Mapping[str, Any]) -> dict[str, Any]:
        return {**row, **{name: self._journal.sealed(row[name]) for name in SEALED}}

    def _put(self, rows: Rows, row: Mapping[str, Any]) -> int:
        tenant, run = self._journal.tenant, row["run"]
        if row["trial"]:
            rows.execute(_TAKE_PART, (tenant, run, *(row[name] for name in OF_TRIAL)))
        if rows.execute(_KNOWN, (run, row["attempt"], tenant))[0][0]:
            return 0
        rows.execute(_INSERT, (tenant, *(row[name] for name in OF_CALL)))
        if row["domain_read"] is not None:
            rows.execute(READ, (tenant, run, row["domain_read"], row["started_at"]))
        return 1
