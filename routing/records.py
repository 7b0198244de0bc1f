"""The words of YMERA: what a model, an agent, a phase and a plan are.

Values that live in Python are frozen keyword-only dataclasses. Values that go into the graph's state, into
a checkpoint or out as JSON are `TypedDict`s of plain JSON types (a dataclass in a checkpoint comes back as a
dict under strict deserialisation).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from functools import cached_property
from typing import Literal, NotRequired

from typing_extensions import TypedDict

StrategyType = Literal["multi_model", "single_model"]
Complexity = Literal["low", "normal", "high"]
Level = Literal["normal", "high"]
Status = Literal["active", "deprecated", "retired"]
Origin = Literal["specification", "ours", "measured", "user"]
StructuredOutput = Literal["json_schema", "function_calling", "none"]


NOTICE_DAYS = 30
"""Days before its last day from which even an active model counts as leaving."""


class TaskPhase(StrEnum):
    """The built-in phases. A phase of a user's own is named by a plain string."""

    PLANNING = "planning"
    RESEARCH = "research"
    GENERATION = "generation"
    REVIEW = "review"
    REFINEMENT = "refinement"
    VALIDATION = "validation"


# --- the catalogue ---------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Price:
    """USD per million tokens."""

    input: float
    output: float


@dataclass(frozen=True, kw_only=True)
class ProviderProfile:
    """How a provider is reached.

    Args:
        name: the word used in plans, settings and `YMERA_<NAME>_BASE_URL`.
        chat_model: `module:Class` of the LangChain chat model, imported when first used.
        package: what `pip install` needs for it.
        variables: environment variables that must all be set; empty for providers without a key.
        retired_on: the day the provider's API ended, if it did.
        first_token_s: seconds until an answer must have begun; a model's own takes its place.
        silence_s: seconds between two pieces of an answer after which it counts as stalled.
        requests_per_minute, tokens_per_minute, concurrency: what all runs of a process may ask of the provider
            together; None: no limit of ours.
    """

    name: str
    title: str
    chat_model: str
    package: str
    variables: tuple[str, ...] = ()
    base_url: str | None = None
    retired_on: date | None = None
    first_token_s: float = 10.0
    silence_s: float = 20.0
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrency: int | None = None
    source: str = ""


@dataclass(frozen=True, kw_only=True)
class ModelProfile:
    """One model at one provider.

    Args:
        name: the name users write; unique within its provider.
        model_id: what is sent to the provider.
        scores: skill to 0..10. Skills: speed, quality, code, sql, reasoning, accuracy, creativity,
            conversation, multimodal, planning, cost (10 = cheapest).
        context_tokens: prompt and answer together.
        price: USD per million tokens; None where it is not known (never 0 for unknown).
        retires_on: first day on which the provider no longer serves the name.
        successor: `name` (at the same provider) or `provider:name` of the model that takes its place.
        spec_name: the name that the specification gives it.
        aliases: shorter names by which it may be asked for as well.
        never_for: phases in which the model must not stand, whatever its score.
        reasons: the model may think before it answers: its thoughts are billed as output, and count against the
            bound of an answer.
        first_token_s: seconds until its answer must have begun, where the provider's do not fit.
        source: where status, price and window were read.
    """

    name: str
    provider: str
    model_id: str
    scores: Mapping[str, float]
    context_tokens: int
    max_output_tokens: int
    price: Price | None = None
    strengths: tuple[str, ...] = ()
    status: Status = "active"
    retires_on: date | None = None
    successor: str | None = None
    spec_name: str | None = None
    aliases: tuple[str, ...] = ()
    structured_output: StructuredOutput = "json_schema"
    never_for: tuple[str, ...] = ()
    reasons: bool = False
    first_token_s: float | None = None
    origin: Origin = "ours"
    source: str = ""

    @cached_property
    def key(self) -> str:
        """`provider:name`, unique in the catalogue."""
        return f"{self.provider}:{self.name}"

    def is_retired(self, today: date) -> bool:
        """Say whether the provider has stopped serving the name by `today`."""
        return self.status == "retired" or (self.retires_on is not None and self.retires_on <= today)

    def is_leaving(self, today: date) -> bool:
        """Say whether the name is deprecated, or its last day near."""
        near = self.retires_on is not None and (self.retires_on - today).days <= NOTICE_DAYS
        return self.status != "active" or near


@dataclass(frozen=True, kw_only=True)
class PhaseProfile:
    """What a phase needs and does.

    Args:
        order: place in a sequence of phases (ascending).
        critical: without an answer the run stops.
        reads: earlier phases whose outputs it is shown.
        skills: skill to weight; how a model is judged for it.
        prompt: the system text. It has no places to fill: the task, its parameters and the earlier outputs
            are appended to it (see nodes/prompts.py).
        ask: the last line of what is shown, behind the task. A small model does what it reads last: where that is
            the task ("Write a function …"), it writes the function instead of the plan.
        max_output_tokens: bound of one answer.
        judges: the phase answers with a verdict (accept or revise, findings) instead of a text.
        produces: its text becomes the run's result (generation, refinement).
        skipped_when_accepted: the phase is passed by when the last verdict accepted the result.
    """

    name: str
    order: int
    skills: Mapping[str, float]
    prompt: str
    ask: str = ""
    reads: tuple[str, ...] = ()
    critical: bool = False
    judges: bool = False
    produces: bool = False
    skipped_when_accepted: bool = False
    max_output_tokens: int = 2048
    description: str = ""


@dataclass(frozen=True, kw_only=True)
class AgentTaskProfile:
    """What kind of work an agent does, and which models and phases suit it.

    Args:
        preferred_models: model names (or `provider:name`), best first.
        phases_needed: phases, in any order; they run in the order of their profiles.
        requirements: skill to weight (0..1), added to what each phase asks.
        skills: skill to weight, added in the phases that produce or judge: what its results are made of.
        independent: pairs of phases that may run side by side, because the later one does not need the
            earlier one's output to do its work.
        checks: names of the deterministic checks that its result must pass (nodes/validators.py).
        guidance: phase to a text appended to that phase's instructions (a worked example, say).
    """

    agent_name: str
    task_type: str
    preferred_models: Sequence[str]
    phases_needed: Sequence[str]
    can_use_multiple_models: bool = True
    requirements: Mapping[str, float] = field(default_factory=dict)
    skills: Mapping[str, float] = field(default_factory=dict)
    independent: Sequence[tuple[str, str]] = ()
    checks: Sequence[str] = ()
    guidance: Mapping[str, str] = field(default_factory=dict)
    description: str = ""


# --- the plan --------------------------------------------------------------------------------------------


class Evidence(TypedDict):
    """Why a trait was read from a task: the words, or the measure, that said so."""

    trait: str
    value: str
    because: str


class Reading(TypedDict):
    """What the task asks of the models, and the evidence for it."""

    complexity: Complexity
    speed: Level
    creativity: Level
    evidence: list[Evidence]


class Candidate(TypedDict):
    """A model that could take a phase. `score`, each of `parts`, and the `quality` that is expected are 0..1."""

    model: str
    provider: str
    score: float
    parts: dict[str, float]
    reason: str
    quality: NotRequired[float]


class Rejected(TypedDict):
    """A model that cannot take a phase, and why."""

    model: str
    provider: str
    reason: str


class Between(TypedDict):
    """Between what seconds, tokens and USD of a run lie nine times in ten; of the quality, its mean over such runs.

    Each is a list of two.
    """

    seconds: list[float]
    output_tokens: list[int]
    cost_usd: list[float] | None
    quality: list[float]


class Prediction(TypedDict):
    """An estimate before the run. Seconds, tokens, USD (None where a price is not known), quality 0..1."""

    seconds: float
    input_tokens: int
    output_tokens: int
    cost_usd: float | None
    quality: NotRequired[float]
    between: NotRequired[Between]


class PhasePlan(TypedDict):
    """Who takes a phase: the first choice, the fallbacks in order, the rejected, each with a reason."""

    phase: str
    critical: bool
    skipped_when_accepted: bool
    primary_model: Candidate | None
    fallback_models: list[Candidate]
    score: float
    reason: str
    rejected: list[Rejected]
    predicted: Prediction | None


class Limits(TypedDict):
    """Where a run stops: USD, tokens, seconds (None: no limit), models tried and seconds in one phase, ways back."""

    usd: float | None
    tokens: int | None
    seconds: float | None
    attempts: int
    phase_seconds: float
    rounds: NotRequired[int]


class Dial(TypedDict):
    """What a plan gives of quality for being cheaper, or faster: 0 (nothing) to 1."""

    thrift: float
    haste: float


class InTrial(TypedDict):
    """The arm of a trial by which a run is planned, and why it is this one (routing/trials.py)."""

    trial: str
    arm: str
    reason: str


class InDomain(TypedDict):
    """The domain under which what comes of a task is kept.

    Args:
        probability: that the task is of it, where that was read in its text (routing/domains.py).
    """

    name: str
    probability: NotRequired[float]


class Strategy(TypedDict):
    """The plan of a run, as `match_agent_to_models` returns it and the state keeps it."""

    strategy_type: StrategyType
    agent_name: str
    task_type: str
    reading: Reading
    reason: str
    layout: list[list[str]]
    phases: list[PhasePlan]
    predicted: Prediction
    warnings: list[str]
    limits: Limits
    dial: NotRequired[Dial]
    trial: NotRequired[InTrial]
    domain: NotRequired[InDomain]


# --- the run ---------------------------------------------------------------------------------------------
