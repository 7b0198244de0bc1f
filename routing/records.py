"""The words of YMERA: what a model, an agent, a phase, a plan and an attempt are.

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
Decision = Literal["accept", "revise"]
Then = Literal["next", "elsewhere", "drop_provider", "stop"]
Again = Literal["same", "compact", "repair"]
"""How a model is tried again: with the same request, a shorter one, or its own answer to be mended."""
StructuredOutput = Literal["json_schema", "function_calling", "none"]
Gate = Literal["plan", "review"]
"""Where a run may wait for a person."""
Reply = Literal["approve", "edit", "reject", "accept", "revise", "model"]


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
    """A model that could take a phase. `score` and each of `parts` are 0..1."""

    model: str
    provider: str
    score: float
    parts: dict[str, float]
    reason: str


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
    """Where a run stops: USD, tokens, seconds (None: no limit), models tried and seconds in one phase."""

    usd: float | None
    tokens: int | None
    seconds: float | None
    attempts: int
    phase_seconds: float


class Dial(TypedDict):
    """What a plan gives of quality for being cheaper, or faster: 0 (nothing) to 1."""

    thrift: float
    haste: float


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


# --- the run ---------------------------------------------------------------------------------------------


class Usage(TypedDict):
    """Tokens and money of one or more attempts.

    `unpriced` counts the attempts whose cost is not known; with any, `cost_usd` is a lower bound. `estimated`
    counts those that broke off before the provider reported: their tokens are counted by us.
    """

    input_tokens: int
    output_tokens: int
    cached_tokens: int
    reasoning_tokens: int
    cost_usd: float
    unpriced: int
    estimated: int


class Retry(TypedDict):
    """That a model is tried again: how, and after how many seconds."""

    again: Again
    wait: float


class Fault(TypedDict):
    """Why an attempt failed: a kind of the closed set in data/faults.toml, a message, and what follows.

    `then` is what follows once the model is not tried again, as `retry` says.
    """

    kind: str
    message: str
    then: Then
    retry: NotRequired[Retry]


class Attempt(TypedDict):
    """One call of one model in one phase, answered or not.

    Args:
        started_at: epoch seconds, when the call was made.
        seconds: how long the call took.
        waited: seconds between the turn and the call: for a retry's delay, or a rate limit.
        again: how it tries the model of the attempt before it again.
        avoided: models that rank higher and were passed over, because they are cooling down.
        partial: what a failed attempt had said before it failed.
        note: what became of the answer.
        inherited: another run made it, from which this one was forked.
    """

    id: str
    phase: str
    number: int
    model: str
    provider: str
    served_model: str | None
    ok: bool
    fault: Fault | None
    started_at: float
    seconds: float
    first_token_seconds: float | None
    usage: Usage
    waited: NotRequired[float]
    again: NotRequired[Again]
    avoided: NotRequired[list[Rejected]]
    partial: NotRequired[str]
    note: NotRequired[str]
    inherited: NotRequired[bool]


class Check(TypedDict):
    """A deterministic check of an output."""

    name: str
    passed: bool
    detail: str


class Verdict(TypedDict):
    """What a judging phase decided, what it found, and what the deterministic checks say beside it."""

    decision: Decision
    findings: list[str]
    checks: list[Check]


class Approval(TypedDict):
    """What a person decided at a gate; the reason, note or model that goes with it; and when (epoch seconds)."""

    gate: Gate
    decision: Reply
    said: str
    at: float


class RunView(TypedDict, total=False):
    """The part of a run's state from which its next step is decided.

    Args:
        reopened: phases that are made again, with how many of their attempts no longer count.
    """

    plan: Strategy
    attempts: list[Attempt]
    verdicts: dict[str, Verdict]
    usage: Usage
    approvals: list[Approval]
    reopened: dict[str, int]
