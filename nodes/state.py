"""The shared state of a run, how parallel phases merge into it, and what a caller may set for one run."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Annotated, Any, Literal, Protocol, Self, TypeVar, cast

from langchain_core.messages import AnyMessage
from langgraph.channels import DeltaChannel, EphemeralValue
from langgraph.graph.message import add_messages
from langgraph.runtime import Runtime
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr
from typing_extensions import TypedDict

from ..routing.attempts import Approval, Attempt, Detour, Gate, RunView, Usage, Verdict
from ..routing.errors import ResumeError
from ..routing.forks import Origin
from ..routing.layout import Layout
from ..routing.records import PhasePlan, Strategy

Value = TypeVar("Value")

NO_USAGE = Usage(
    input_tokens=0,
    output_tokens=0,
    cached_tokens=0,
    reasoning_tokens=0,
    cost_usd=0.0,
    unpriced=0,
    estimated=0,
)


def add_usage(left: Usage, right: Usage) -> Usage:
    """Add two usages. Associative and commutative, so that phases side by side may finish in any order."""
    return Usage(
        input_tokens=left["input_tokens"] + right["input_tokens"],
        output_tokens=left["output_tokens"] + right["output_tokens"],
        cached_tokens=left["cached_tokens"] + right["cached_tokens"],
        reasoning_tokens=left["reasoning_tokens"] + right["reasoning_tokens"],
        cost_usd=left["cost_usd"] + right["cost_usd"],
        unpriced=left["unpriced"] + right["unpriced"],
        estimated=left["estimated"] + right["estimated"],
    )


def sum_usage(left: Usage | None, right: Usage | None) -> Usage:
    """`add_usage` for a channel, which starts out empty."""
    return add_usage(left or NO_USAGE, right or NO_USAGE)


def append_all(state: list[Value], writes: Sequence[list[Value]]) -> list[Value]:
    """Append what each write brings."""
    return [*state, *(value for write in writes for value in write)]


def merge_all(state: dict[str, Value], writes: Sequence[dict[str, Value]]) -> dict[str, Value]:
    """Merge mappings by key, the later write winning. Phases write their own keys only."""
    merged = dict(state)
    for write in writes:
        merged.update(write)
    return merged


def newest(state: Value, writes: Sequence[Value]) -> Value:
    """Keep the last write."""
    return writes[-1] if writes else state


STATE_FORMAT = 2
"""Counted up when an older release could no longer go on with a state; 1 is that of states that name none."""


class Rematched(TypedDict):
    """A write into `plan` that changes some of its phases: two side by side may both be matched again."""

    rematched: list[PhasePlan]


class Wanted(TypedDict):
    """What a run's caller asked of its models; it counts again where a phase is matched again."""

    model: str | None
    providers: list[str]


def put_plan(state: Strategy, writes: Sequence[Strategy | Rematched]) -> Strategy:
    """Keep the last whole plan, with the phases that were matched again since."""
    for write in writes:
        if "rematched" not in write:
            state = write
        else:
            again = {plan["phase"]: plan for plan in cast("Rematched", write)["rematched"]}
            state = {**state, "phases": [again.get(plan["phase"], plan) for plan in state["phases"]]}
    return state


class RunInput(TypedDict, total=False):
    """What a person or a chat client hands in. Each counts for one run; the thread does not remember it."""

    # The descriptions stand in Studio's form and in the arguments of the MCP tools.
    task: Annotated[
        str,
        Field(description="What is to be done; empty: the last message of a person in `messages`."),
        EphemeralValue(str),
    ]
    agent: Annotated[
        str,
        Field(description="Agent profile; empty: the one that this graph is made for."),
        EphemeralValue(str),
    ]
    parameters: Annotated[
        dict[str, Any],
        Field(description='Anything the task needs besides, as a JSON object: {"language": "python"}.'),
        EphemeralValue(dict),
    ]
    phases: Annotated[
        list[str], Field(description="Phases to run; empty: all of the agent's."), EphemeralValue(list)
    ]
    messages: Annotated[
        list[AnyMessage],
        Field(description="A conversation, from chat and A2A clients; the answer is appended to it."),
        add_messages,
    ]


class State(RunInput, total=False):
    """The state that all nodes share: plain JSON values, `messages` apart.

    Large values that change seldom are `DeltaChannel`s: a checkpoint then holds what a step wrote, not a copy
    of everything written before.

    Args:
        task_description, task_parameters, phase_outputs: the context that passes from phase to phase.
        run_id: name of the run; a thread may see several.
        format: the form of the state (`STATE_FORMAT`); a release goes on with those that it knows.
        wanted: what the caller asked of the models.
        plan: the strategy chosen by the matcher; a phase to which its models are lost is matched again.
        layout: groups of phases as compiled into the graph that runs; a resume checks it.
        attempts: every call of a model, answered or not: the truth from which the run's next step follows.
        verdicts: what judging phases decided, by phase.
        usage: tokens and money of all attempts.
        final_result: the result as it stands; a later phase that produces replaces it.
        error: why the run stopped without a result; empty while it did not.
        gates: where a person is asked in the graph that runs; a resume compiles the same.
        approvals: what was answered there.
        reopened: phases that a person had made again, with how many of their attempts no longer count.
        detours: how the run has left the order of its phases, and why.
        origin: of a fork, where it comes from.
    """

    task_description: Annotated[str, DeltaChannel(newest, str)]
    task_parameters: Annotated[dict[str, Any], DeltaChannel(newest, dict)]
    run_id: str
    format: int
    wanted: Wanted
    plan: Annotated[Strategy, DeltaChannel(put_plan, dict)]
    layout: list[list[str]]
    attempts: Annotated[list[Attempt], DeltaChannel(append_all, list)]
    phase_outputs: Annotated[dict[str, str], DeltaChannel(merge_all, dict)]
    verdicts: Annotated[dict[str, Verdict], DeltaChannel(merge_all, dict)]
    usage: Annotated[Usage, sum_usage]
    final_result: Annotated[str, DeltaChannel(newest, str)]
    error: str
    gates: list[Gate]
    approvals: Annotated[list[Approval], DeltaChannel(append_all, list)]
    reopened: dict[str, int]
    detours: Annotated[list[Detour], DeltaChannel(append_all, list)]
    origin: Origin | None


class RunOutput(TypedDict, total=False):
    """What a run hands back: small, since tools and chat clients are shown all of it."""

    final_result: str
    error: str
    phase_outputs: dict[str, str]
    usage: Usage
    messages: Annotated[list[AnyMessage], add_messages]


class RunContext(BaseModel):
    """Settings of one run. Every field has a default; what is left empty follows the process's settings."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    strategy: Literal["auto", "multi_model", "single_model"] | None = Field(
        default=None, description="One model for all phases or the best for each; empty: DEFAULT_STRATEGY."
    )
    model: str | None = Field(default=None, description="Use this model alone, in every phase.")
    providers: list[str] = Field(default=[], description="Use only these providers; empty: all.")
    attempts: int = Field(
        default=4, ge=1, le=20, description="Models tried in one phase: the first choice and its fallbacks."
    )
    phase_timeout: float | None = Field(
        default=None,
        gt=0,
        le=3600,
        description="Seconds that a phase may take with all of its attempts; empty: PHASE_TIMEOUT.",
    )
    first_token_timeout: float | None = Field(
        default=None,
        gt=0,
        le=3600,
        description="Seconds until an answer must have begun; empty: FIRST_TOKEN_TIMEOUT.",
    )
    silence_timeout: float | None = Field(
        default=None,
        gt=0,
        le=3600,
        description="Seconds between two pieces of an answer; empty: SILENCE_TIMEOUT.",
    )
    hedge: bool = Field(
        default=False,
        description="Start a second model beside a first one that is slower to begin than 95 of 100 of its answers.",
    )
    route_around_refusals: bool = Field(
        default=False, description="Ask the next model where one refuses, instead of ending the phase."
    )
    budget_usd: float | None = Field(default=None, ge=0, description="USD after which the run stops.")
    budget_tokens: int | None = Field(default=None, ge=1, description="Tokens after which the run stops.")
    budget_seconds: float | None = Field(
        default=None, gt=0, description="Seconds of work after which the run stops."
    )
    thrift: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="What is given of quality for being cheaper, 0 to 1; empty: YMERA_THRIFT.",
    )
    most_usd: float | None = Field(
        default=None, ge=0, description="USD that the plan is to be predicted to cost at most."
    )
    most_seconds: float | None = Field(
        default=None, gt=0, description="Seconds that the plan is to be predicted to take at most."
    )
    least_quality: float | None = Field(
        default=None, ge=0, le=1, description="Quality that the plan is to be predicted to have at least."
    )
    rounds: int | None = Field(
        default=None,
        ge=0,
        le=10,
        description="How often the run may go back to make a rejected result better; empty: YMERA_ROUNDS.",
    )
    temperature: float = Field(default=0.0, ge=0, le=2, description="Sampling temperature of every model.")
    approve: list[Gate] = Field(
        default=[],
        description="Where a person is asked: `plan` before generation, `review` after the review. "
        "The graph must have these gates.",
    )
    strict: bool | None = Field(
        default=None, description="Refuse an agent without a profile; empty: YMERA_STRICT."
    )
    _plan: Strategy | None = PrivateAttr(default=None)

    @property
    def plan(self) -> Strategy | None:
        """The plan of a run for which models were chosen before its graph began. No client can set it."""
        return self._plan

    def planned(self, plan: Strategy) -> Self:
        """Return these settings, with the plan that the run is to follow."""
        copy = self.model_copy()
        copy._plan = plan
        return copy


class Node(Protocol):
    """A node that needs the settings of its run."""

    def __call__(self, state: State, *, runtime: Runtime[RunContext]) -> Awaitable[dict[str, Any]]:
        """Return what changes in the state."""
        ...


class PlainNode(Protocol):
    """A node that works on the state alone."""

    def __call__(self, state: State) -> Awaitable[dict[str, Any]]:
        """Return what changes in the state."""
        ...


def answer_id(state: State) -> str:
    """Return the id of the message that answers the conversation: the same however often the answer is bettered."""
    asked = sum(1 for message in state.get("messages", []) if message.type == "human")
    return f"answer-{asked}"


def check_format(state: State) -> None:
    """Raise ResumeError for a state of a newer release, with which this one cannot go on."""
    if (found := state.get("format", 1)) > STATE_FORMAT:
        raise ResumeError(
            f"The run was begun by a newer release of YMERA (its state has format {found}, this release knows "
            f"{STATE_FORMAT}). Resume it with that one: pip install --upgrade ymera"
        )


def check_layout(state: State, layout: Layout) -> None:
    """Raise ResumeError for a run that was begun on a graph with other groups of phases: it would lose its way here."""
    began = tuple(tuple(group) for group in state["layout"])
    if not set(began) <= set(layout):
        run, here = (", ".join("+".join(group) for group in groups) for groups in (began, layout))
        raise ResumeError(
            f"The run was begun on a graph of the phases {run}; this graph has {here}. "
            "Resume it with the executor, or on the graph that build(...) makes of the run's own layout."
        )


def view(state: State) -> RunView:
    """Return the part of the state from which the next step is decided.

    Raises:
        ResumeError: a newer release has written it.
    """
    check_format(state)
    return RunView(
        plan=state["plan"],
        attempts=state.get("attempts", []),
        verdicts=state.get("verdicts", {}),
        usage=state.get("usage", NO_USAGE),
        approvals=state.get("approvals", []),
        reopened=state.get("reopened", {}),
        detours=state.get("detours", []),
    )
