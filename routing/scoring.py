"""What makes a model suit a phase: one function a judgement.

A scorer looks at one model in one case and says how well it does (0..1) and why. To add one, write the function
and give it a weight in `SCORERS`. The score of a model is the weighted mean of what the scorers say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import Protocol

from .history import Estimate, unseen
from .records import AgentTaskProfile, Candidate, ModelProfile, PhaseProfile, Reading

NEUTRAL = 5.0
"""Score (0..10) of a skill that a model's row does not mention."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """What a model is judged for.

    Args:
        weights: skill to weight, as `skill_weights` makes them.
        preferred: `provider:name` keys to the rank of the agent's preference (0 = first).
        measured: keys of the models that have outcomes to what is expected of them here.
        hardness: by how much every other model is expected to do better here than beforehand.
    """

    phase: PhaseProfile
    agent: AgentTaskProfile
    reading: Reading
    weights: Mapping[str, float]
    preferred: Mapping[str, int]
    today: date
    measured: Mapping[str, Estimate] = field(default_factory=dict)
    hardness: float = 0.0

    @cached_property
    def total_weight(self) -> float:
        """All weights together."""
        return sum(self.weights.values())

    @cached_property
    def weighed(self) -> tuple[tuple[str, float], ...]:
        """The skills with their weights."""
        return tuple(self.weights.items())

    @cached_property
    def heaviest(self) -> tuple[str, ...]:
        """The three skills that count most."""
        return tuple(sorted(self.weights, key=lambda skill: (-self.weights[skill], skill))[:3])


class Scorer(Protocol):
    """A judgement on a model. Must be pure and deterministic."""

    def __call__(self, model: ModelProfile, case: Case, /) -> float:
        """Return 0..1; 1 suits best."""
        ...


class Explanation(Protocol):
    """The words for a judgement, asked for those models only that are shown."""

    def __call__(self, model: ModelProfile, case: Case, /) -> str:
        """Return the reason; empty where there is nothing to say."""
        ...


@dataclass(frozen=True, kw_only=True)
class WeightedScorer:
    """A scorer by name, with its weight in the mean and the words for it.

    Args:
        believes: it judges how good the answers will be; outcomes move what such scorers say together.
    """

    name: str
    weight: float
    score: Scorer
    believes: bool = False
    explain: Explanation = lambda model, case: ""


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


def skills(model: ModelProfile, case: Case) -> float:
    """How good the model is at what the phase needs."""
    if not case.total_weight:
        return NEUTRAL / 10
    has = model.scores.get
    return sum([weight * has(skill, NEUTRAL) for skill, weight in case.weighed]) / case.total_weight / 10


def say_skills(model: ModelProfile, case: Case) -> str:
    """Name the skills that count most."""
    return ", ".join([f"{skill} {model.scores.get(skill, NEUTRAL):g}/10" for skill in case.heaviest])


def preference(model: ModelProfile, case: Case) -> float:
    """Whether the agent's profile names the model, and how early.

    It counts a quarter where the result is not made: a specialist need not be the best judge of its own work.
    """
    rank = case.preferred.get(model.key)
    if rank is None:
        return 0.0
    return (1.0 if case.phase.produces else 0.25) / (1 + rank / 2)


def say_preference(model: ModelProfile, case: Case) -> str:
    """Name the agent that prefers the model."""
    rank = case.preferred.get(model.key)
    return "" if rank is None else f"preferred by {case.agent.agent_name} (no. {rank + 1})"


def price(model: ModelProfile, case: Case) -> float:
    """How cheap the model is."""
    return model.scores.get("cost", NEUTRAL) / 10


def say_price(model: ModelProfile, case: Case) -> str:
    """Say what is free or cheap."""
    if model.price is not None and model.price.input == model.price.output == 0:
        return "free"
    return "cheap" if price(model, case) >= 0.8 else ""


def future(model: ModelProfile, case: Case) -> float:
    """Whether the model stays: a deprecated one is used while it lasts, but not before an equal."""
    return 0.0 if model.is_leaving(case.today) else 1.0


def say_future(model: ModelProfile, case: Case) -> str:
    """Say when a model leaves."""
    if not model.is_leaving(case.today):
        return ""
    return f"retires on {model.retires_on}" if model.retires_on else "deprecated"


SCORERS: tuple[WeightedScorer, ...] = (
    WeightedScorer(name="skills", weight=1.0, score=skills, believes=True, explain=say_skills),
    WeightedScorer(name="preference", weight=0.25, score=preference, believes=True, explain=say_preference),
    WeightedScorer(name="price", weight=0.06, score=price, explain=say_price),
    WeightedScorer(name="future", weight=0.04, score=future, explain=say_future),
)


def rate(model: ModelProfile, case: Case, scorers: Sequence[WeightedScorer] = SCORERS) -> float:
    """Return the model's score, 0..1: the weighted mean of what the scorers say, moved by what was measured."""
    total = sum([scorer.weight for scorer in scorers])
    if not total:
        return 0.0
    said = sum([scorer.weight * _word(scorer, model, case) for scorer in scorers]) / total
    if not case.measured:
        return said
    believed = sum([scorer.weight for scorer in scorers if scorer.believes])
    return _within(said + _moved(model, case) * believed / total)


def _moved(model: ModelProfile, case: Case) -> float:
    """Return by how much better than beforehand a model is expected to do."""
    estimate = case.measured.get(model.key)
    return case.hardness if estimate is None else estimate.mean - estimate.prior


def believe(model: ModelProfile, case: Case, scorers: Sequence[WeightedScorer] = SCORERS) -> float:
    """Return how good the model's answers are expected to be before any outcome, 0..1."""
    believing = [scorer for scorer in scorers if scorer.believes]
    total = sum([scorer.weight for scorer in believing])
    said = sum([scorer.weight * _word(scorer, model, case) for scorer in believing])
    return said / total if total else NEUTRAL / 10


def expected_quality(
    model: ModelProfile, case: Case, scorers: Sequence[WeightedScorer] = SCORERS
) -> Estimate:
    """Return how good the model's answers are expected to be."""
    estimate = case.measured.get(model.key)
    if estimate is None:
        return unseen(_within(believe(model, case, scorers) + case.hardness))
    # What is believed beforehand depends on the task's reading too; what was measured does not.
    return estimate._replace(mean=_within(believe(model, case, scorers) + estimate.mean - estimate.prior))


def say_measured(model: ModelProfile, case: Case) -> str:
    """Say what outcomes have changed; nothing for a model that has none here."""
    estimate = case.measured.get(model.key)
    if estimate is None or round(estimate.outcomes) < 1:
        return ""
    good = f"{estimate.total:.1f}".removesuffix(".0")
    return (
        f"measured: {good} of {estimate.outcomes:.0f} good, "
        f"expected {estimate.prior:.2f} → {estimate.mean:.2f}"
    )


def present(model: ModelProfile, case: Case, scorers: Sequence[WeightedScorer] = SCORERS) -> Candidate:
    """Return the model as a candidate: its score, the parts of it, and the reason in words."""
    reasons = [*[scorer.explain(model, case) for scorer in scorers], say_measured(model, case)]
    return Candidate(
        model=model.name,
        provider=model.provider,
        score=round(rate(model, case, scorers), 4),
        parts={scorer.name: round(_word(scorer, model, case), 4) for scorer in scorers},
        reason="; ".join([reason for reason in reasons if reason]),
        quality=round(expected_quality(model, case, scorers).mean, 4),
    )


def _word(scorer: WeightedScorer, model: ModelProfile, case: Case) -> float:
    # A row or a scorer of a user's own may overshoot.
    return _within(scorer.score(model, case))


def _within(value: float) -> float:
    return value if 0.0 <= value <= 1.0 else min(max(value, 0.0), 1.0)
