"""What makes a model suit a phase: one function a judgement.

A scorer looks at one model in one case and says how well it does (0..1) and why. To add one, write the function
and give it a weight in `SCORERS`. The score of a model is the weighted mean of what the scorers say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import NamedTuple, Protocol

from .records import AgentTaskProfile, Candidate, ModelProfile, PhaseProfile, Reading

NEUTRAL = 5.0
"""Score (0..10) of a skill that a model's row does not mention."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """What a model is judged for.

    Args:
        weights: skill to weight, as `skill_weights` makes them.
        preferred: `provider:name` keys to the rank of the agent's preference (0 = first).
    """

    phase: PhaseProfile
    agent: AgentTaskProfile
    reading: Reading
    weights: Mapping[str, float]
    preferred: Mapping[str, int]
    today: date

    @cached_property
    def total_weight(self) -> float:
        """All weights together."""
        return sum(self.weights.values())

    @cached_property
    def heaviest(self) -> tuple[str, ...]:
        """The three skills that count most."""
        return tuple(sorted(self.weights, key=lambda skill: (-self.weights[skill], skill))[:3])


class Judgement(NamedTuple):
    """A scorer's word: 0..1, and a reason that may be empty."""

    value: float
    because: str


class Scorer(Protocol):
    """A judgement on a model. Must be pure and deterministic."""

    def __call__(self, model: ModelProfile, case: Case, /) -> Judgement:
        """Return 0..1 (1 suits best) and the reason."""
        ...


@dataclass(frozen=True, kw_only=True)
class WeightedScorer:
    """A scorer by name, with its weight in the mean."""

    name: str
    weight: float
    score: Scorer


def skill_weights(phase: PhaseProfile, agent: AgentTaskProfile, reading: Reading) -> dict[str, float]:
    """Return how much each skill counts: the phase's, the agent's, and what the task asks for.

    The agent's own skills count where the phase makes the result, and half where it judges it; its requirements
    count everywhere at half weight. A complex task asks for quality and reasoning, a simple one for speed and a
    low price, an urgent one for speed, a creative one for creativity.
    """
    weights = dict(phase.skills)
    share = 1.0 if phase.produces else 0.5 if phase.judges else 0.0
    _add(weights, {skill: share * value for skill, value in agent.skills.items() if share})
    _add(weights, {skill: value / 2 for skill, value in agent.requirements.items()})
    if reading["complexity"] == "high":
        _add(weights, {"quality": 1.0, "reasoning": 1.0})
    elif reading["complexity"] == "low":
        _add(weights, {"speed": 1.0, "cost": 1.0})
    if reading["speed"] == "high":
        _add(weights, {"speed": 2.0})
    if reading["creativity"] == "high":
        _add(weights, {"creativity": 1.5})
    return weights


def _add(weights: dict[str, float], more: Mapping[str, float]) -> None:
    for skill, weight in more.items():
        weights[skill] = weights.get(skill, 0.0) + weight


def skills(model: ModelProfile, case: Case) -> Judgement:
    """How good the model is at what the phase needs."""
    if not case.total_weight:
        return Judgement(NEUTRAL / 10, "")
    has = model.scores.get
    value = sum([weight * has(skill, NEUTRAL) for skill, weight in case.weights.items()]) / case.total_weight
    return Judgement(
        value / 10, ", ".join([f"{skill} {has(skill, NEUTRAL):g}/10" for skill in case.heaviest])
    )


def preference(model: ModelProfile, case: Case) -> Judgement:
    """Whether the agent's profile names the model, and how early.

    It counts a quarter where the result is not made: a specialist need not be the best judge of its own work.
    """
    rank = case.preferred.get(model.key)
    if rank is None:
        return Judgement(0.0, "")
    share = 1.0 if case.phase.produces else 0.25
    return Judgement(share / (1 + rank / 2), f"preferred by {case.agent.agent_name} (no. {rank + 1})")


def price(model: ModelProfile, case: Case) -> Judgement:
    """How cheap the model is."""
    value = model.scores.get("cost", NEUTRAL) / 10
    free = model.price is not None and model.price.input == model.price.output == 0
    return Judgement(value, "free" if free else "cheap" if value >= 0.8 else "")


def future(model: ModelProfile, case: Case) -> Judgement:
    """Whether the model stays: a deprecated one is used while it lasts, but not before an equal."""
    if not model.is_leaving(case.today):
        return Judgement(1.0, "")
    return Judgement(0.0, f"retires on {model.retires_on}" if model.retires_on else "deprecated")


SCORERS: tuple[WeightedScorer, ...] = (
    WeightedScorer(name="skills", weight=1.0, score=skills),
    WeightedScorer(name="preference", weight=0.25, score=preference),
    WeightedScorer(name="price", weight=0.06, score=price),
    WeightedScorer(name="future", weight=0.04, score=future),
)


def rate(model: ModelProfile, case: Case, scorers: Sequence[WeightedScorer] = SCORERS) -> Candidate:
    """Return the model as a candidate: its score, the parts of it, and the reason in words."""
    score, total = 0.0, 0.0
    parts, reasons = {}, []
    for scorer in scorers:
        value, because = scorer.score(model, case)
        value = min(max(value, 0.0), 1.0)  # a row or a scorer of a user's own may overshoot
        score += scorer.weight * value
        total += scorer.weight
        parts[scorer.name] = round(value, 4)
        if because:
            reasons.append(because)
    return Candidate(
        model=model.name,
        provider=model.provider,
        score=round(score / total, 4) if total else 0.0,
        parts=parts,
        reason="; ".join(reasons),
    )
