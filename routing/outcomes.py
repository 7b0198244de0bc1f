"""What an attempt's outcome says about its model: a quality (0 to 1), or nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from .attempts import Attempt, Check, Decision, Reply, RunView
from .errors import InputError
from .flow import phase_plan
from .forks import PERSON
from .history import Place
from .records import InDomain

ANSWERED = "answered"
"""Outcome of an attempt that answered; every other outcome is a kind of fault."""
BAD_ANSWERS = frozenset(["refused", "length_reached", "empty", "schema_not_met"])
"""Faults of the answer itself; the others say whether a model could be reached, not how good it is."""


def named_domain(parameters: Mapping[str, Any]) -> str | None:
    """Return what a task's parameters name as `domain`, if they do."""
    named = parameters.get("domain")
    return named if isinstance(named, str) and 0 < len(named) <= 100 else None


def domain_of(agent: str, parameters: Mapping[str, Any], settled: InDomain | None = None) -> str:
    """Return the domain of a task: what its parameters name as `domain`, else what was settled, else its agent."""
    return named_domain(parameters) or (settled["name"] if settled else agent)


def place_of(domain: str, phase: str) -> Place:
    """Return where a model works on a task."""
    return Place(domain, phase)


def quality_of_end(outcome: str) -> float | None:
    """Return what the end of a call says by itself: an answer without form is a bad one."""
    return 0.0 if outcome in BAD_ANSWERS else None


def quality_of_verdict(decision: Decision) -> float:
    """Return what a verdict says of the answer that it judges."""
    return 1.0 if decision == "accept" else 0.0


def quality_of_approval(reply: Reply) -> float | None:
    """Return what a person's answer says of the plan that it judges; None: nothing of which we know how much.

    A plan that was changed by hand may have lacked a word, or everything.
    """
    return {"approve": 1.0, "reject": 0.0}.get(reply)


def counts_of(checks: Iterable[Check]) -> tuple[int, int]:
    """Return how many checks passed and how many failed; one that is undecided is neither."""
    decided = [check["passed"] for check in checks if not check.get("undecided")]
    return sum(decided), len(decided) - sum(decided)


def quality_of_checks(checks: Iterable[Check], *, judged: bool) -> float | None:
    """Return what checks say of an answer: bad where one failed; good where all passed and nothing else will judge it.

    Args:
        judged: a phase of the run judges answers; it says more than parsers can.
    """
    passed, failed = counts_of(checks)
    if failed:
        return 0.0
    return 1.0 if passed and not judged else None


def check_score(score: float) -> None:
    """Raise InputError for a score that is none from 0 to 1."""
    if isinstance(score, bool) or not isinstance(score, int | float) or not 0 <= score <= 1:
        raise InputError(f"The score is {score!r}. Give a number from 0 (useless) to 1 (as it should be).")


def judged_by(run: RunView, phase: str, producing: Collection[str]) -> Attempt | None:
    """Return the attempt whose answer stood as the run's result when a phase judged it; None where a person wrote it.

    Args:
        producing: names of the phases whose answers become the result.
    """
    if phase_plan(run, phase) is None:
        return None
    names = [plan["phase"] for plan in run["plan"]["phases"]]
    before = set(names[: names.index(phase)]).intersection(producing)
    # A note says that the answer was not taken.
    made = [a for a in run["attempts"] if a["ok"] and a["phase"] in before and "note" not in a]
    last = max(made, key=lambda attempt: attempt["started_at"], default=None)
    return None if last is None or last["provider"] == PERSON else last
