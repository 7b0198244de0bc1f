"""The plans of a run, kept for the next one of its kind: only how long the task is makes theirs differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from .prediction import costs_too, shown_too, with_safety
from .records import Candidate, ModelProfile, PhasePlan, Prediction


class PhaseDraft(NamedTuple):
    """The plan of a phase.

    Args:
        beside: tokens that the phase is shown beside the task.
        room: tokens, taken larger for safety, that no window is too small for.
        first: the first choice with what is predicted of it as if it were shown nothing; None: there is none.
    """

    plan: PhasePlan
    beside: int
    room: int
    first: tuple[ModelProfile, Prediction] | None

    def filled(self, task_tokens: int) -> PhasePlan:
        """Return the plan for a task of so many tokens."""
        plan, first = self.plan.copy(), self.plan["primary_model"]
        plan["primary_model"] = first and _copied(first)
        plan["fallback_models"] = [_copied(candidate) for candidate in plan["fallback_models"]]
        plan["rejected"] = [rejected.copy() for rejected in plan["rejected"]]
        if self.first:
            model, unshown = self.first
            plan["predicted"] = shown_too(unshown, model, self.beside + task_tokens)
        return plan


@dataclass(frozen=True, kw_only=True)
class Draft:
    """The plans of a run's phases, for any task that leaves every model in its place.

    Args:
        total: what they take together, but for what the length of the task moves.
    """

    phases: Sequence[PhaseDraft]
    total: Prediction

    def holds(self, task_tokens: int) -> bool:
        """Say whether a task of so many tokens leaves every model in its place."""
        return all(with_safety(phase.beside + task_tokens) <= phase.room for phase in self.phases)

    def filled(self, task_tokens: int) -> tuple[list[PhasePlan], Prediction]:
        """Return plans and prediction for a task of so many tokens; what a caller does to them is not remembered."""
        plans = [phase.filled(task_tokens) for phase in self.phases]
        return plans, costs_too(self.total, [plan["predicted"] for plan in plans])


def _copied(candidate: Candidate) -> Candidate:
    copy = candidate.copy()
    copy["parts"] = copy["parts"].copy()
    return copy
