"""What stands in the row of a call that is handed out, and whether one that is handed in is sound."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from ..routing.errors import InputError

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
OF_CALL = (*WORDS, *COUNTS, *AMOUNTS, *PERHAPS)
"""What is known of the call itself."""

TRIAL_WORDS = ("trial", "arm", "unit", "run_ended")
TRIAL_TIMES = ("run_begun_at", "run_ended_at")
OF_TRIAL = (*TRIAL_WORDS, *TRIAL_TIMES)
OF_RUN: Mapping[str, object] = {
    **dict.fromkeys(TRIAL_WORDS, ""),
    **dict.fromkeys((*TRIAL_TIMES, "domain_read")),
}
"""What is known of its run, and what stands there where that is nothing, as in files of older releases: its trial and
arm, the mark of what was asked, how and when it ended, and when it began (nodes/trials.py); and how probable its domain
is, where that was read in the task's text (nodes/domains.py)."""
COLUMNS = (*OF_CALL, *OF_RUN)
"""What is handed out of a row, and taken back in."""

LONGEST_WORD = 1_000_000
LARGEST = 10**15
SHARES = ("score", "quality", "domain_read")
"""What lies between 0 and 1."""


def checked(row: Mapping[str, Any], number: int) -> dict[str, Any]:
    """Return a row that was handed in, with all columns.

    Raises:
        InputError: it is none, with its number and what is wrong with it.
    """
    if not isinstance(row, Mapping):
        raise InputError(f"Row {number} is no object.")
    if unknown := sorted(set(row) - set(COLUMNS)):
        raise InputError(
            f"Row {number} has {unknown[0][:80]!r}, which no outcome has. Known: {', '.join(COLUMNS)}."
        )
    whole = {**OF_RUN, **row}
    if wrong := next(_faults(whole), None):
        raise InputError(f"Row {number}: {wrong}.")
    return whole


def _faults(row: Mapping[str, Any]) -> Iterator[str]:
    for name in COLUMNS:
        if name not in row:
            yield f"{name} is missing"
        elif not _is_sound(name, row[name]):
            yield f"{name} is {repr(row[name])[:80]}, not {_wanted(name)}"
    if row["trial"] and not (row["arm"] and row["unit"] and row["run_begun_at"] is not None):
        yield "a run of a trial has arm, unit and run_begun_at"
    if not row["trial"] and any(row[name] not in ("", None) for name in OF_TRIAL):
        yield f"without a trial it has none of {', '.join(OF_TRIAL[1:])}"


def _is_sound(name: str, value: Any) -> bool:
    if name in WORDS or name in TRIAL_WORDS:
        return (
            isinstance(value, str) and len(value) <= LONGEST_WORD and (bool(value) or name not in WORDS[:7])
        )
    if value is None and (name in PERHAPS or name in OF_RUN):
        return True
    if isinstance(value, bool) or not isinstance(value, int if name in COUNTS else int | float):
        return False
    return math.isfinite(value) and 0 <= value <= (1 if name in SHARES else LARGEST)


def _wanted(name: str) -> str:
    if name in WORDS or name in TRIAL_WORDS:
        return "a text"
    return "a number from 0 to 1" if name in SHARES else "a number from 0"
