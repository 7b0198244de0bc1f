"""What a fork takes over from the run that it comes from."""

from __future__ import annotations

from collections.abc import Iterable

from typing_extensions import TypedDict

from .attempts import Attempt, Fault, Usage
from .records import Candidate

PERSON = "person"
"""Who stands as the provider of an output that was written by hand."""


class Origin(TypedDict):
    """Where a fork comes from: the thread, the phase from which on it goes its own way, and what was paid before."""

    thread_id: str
    phase: str
    usage: Usage


def inherited(attempts: Iterable[Attempt], chosen: Candidate | None) -> list[Attempt]:
    """Return attempts as a fork takes them over: they were paid by another run.

    Args:
        chosen: a model that the fork asks for; what once ruled its provider out counts no more.
    """
    provider = chosen["provider"] if chosen else None
    return [Attempt({**a, "fault": _forgiven(a, provider), "inherited": True}) for a in attempts]


def _forgiven(attempt: Attempt, provider: str | None) -> Fault | None:
    fault = attempt["fault"]
    if fault is None or attempt["provider"] != provider or fault["then"] != "drop_provider":
        return fault
    return Fault({**fault, "then": "next"})


def by_hand(phase: str, number: int, at: float, usage: Usage) -> Attempt:
    """Return the attempt that stands for an output that a person wrote."""
    return Attempt(
        id=f"{phase}-{number}",
        phase=phase,
        number=number,
        model="by hand",
        provider=PERSON,
        served_model=None,
        ok=True,
        fault=None,
        started_at=at,
        seconds=0.0,
        first_token_seconds=None,
        usage=usage,
    )


def own(attempts: Iterable[Attempt]) -> list[Attempt]:
    """Return the attempts that a run has made itself."""
    return [attempt for attempt in attempts if not attempt.get("inherited")]
