"""Calls that were lost because a run broke off: as attempts in its state, and in its budget."""

from __future__ import annotations

from collections.abc import Iterable

from ..routing.attempts import Attempt, Fault, Retry, RunView, Usage
from ..routing.catalogue import Catalogue
from ..routing.flow import attempt_seconds, attempts_of, is_lost, key_of, next_turn
from ..routing.prediction import output_bound
from ..routing.retries import Situation, retry_after_fault
from .faults import make_fault
from .journal import UNDER_WAY, Entry


def lost_attempts(run: RunView, phase: str, entries: Iterable[Entry]) -> list[Attempt]:
    """Return the lost calls of a phase as attempts: the model's turn is still to come, as it was before."""
    return [_lost_attempt(run, phase, entry) for entry in entries]


def _lost_attempt(run: RunView, phase: str, entry: Entry) -> Attempt:
    fault = make_fault("interrupted", _what(entry))
    if retry := _retry(run, phase, f"{entry.provider}:{entry.model}"):
        fault = Fault({**fault, "retry": retry})
    return Attempt(
        id=entry.attempt,
        phase=phase,
        number=int(entry.attempt.rpartition("-")[2]),
        model=entry.model,
        provider=entry.provider,
        served_model=None,
        ok=False,
        fault=fault,
        started_at=entry.started_at,
        seconds=entry.seconds,
        first_token_seconds=None,
        usage=entry.usage,
    )


def _what(entry: Entry) -> str:
    if entry.outcome == UNDER_WAY:
        return "the run broke off during the call"
    return f"the run broke off before what came of the call ({entry.outcome}) was kept"


def _retry(run: RunView, phase: str, model: str) -> Retry | None:
    """Return that the model has its turn again, in the way in which it had it; None where it was lost too often."""
    losses = sum(is_lost(a) and key_of(a) == model for a in attempts_of(run, phase))
    situation = Situation(tries=losses + 1, left=attempt_seconds(run, phase), others=True)
    retry, turn = retry_after_fault("interrupted", situation), next_turn(run, phase)
    if retry and turn and turn.again and key_of(turn.candidate) == model:
        return Retry(again=turn.again, wait=retry["wait"])
    return retry


def most_of(attempt: Attempt, catalogue: Catalogue) -> Usage:
    """Return what an attempt counts in its run's budget: all that a lost one may have taken."""
    usage, model = attempt["usage"], catalogue.models.get(key_of(attempt))
    phase = catalogue.phases.get(attempt["phase"])
    if phase is None or model is None or model.price is None:  # none that the catalogue of today has
        return usage
    if not (_is_interrupted(attempt) and usage["unpriced"]):
        return usage
    bound = output_bound(phase, model)
    cost = usage["cost_usd"] + bound * model.price.output / 1e6
    return Usage({**usage, "output_tokens": bound, "cost_usd": cost})


def _is_interrupted(attempt: Attempt) -> bool:
    return attempt["fault"] is not None and attempt["fault"]["kind"] == "interrupted"
