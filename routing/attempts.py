"""The words of a run: what an attempt, a fault, a verdict and an approval are. As in `records.py`, plain JSON types."""

from __future__ import annotations

from typing import Literal, NotRequired

from typing_extensions import TypedDict

from .records import Rejected, Strategy

Decision = Literal["accept", "revise"]
Then = Literal["next", "elsewhere", "drop_provider", "stop"]
Again = Literal["same", "compact", "repair"]
"""How a model is tried again: with the same request, a shorter one, or its own answer to be mended."""
Gate = Literal["plan", "review"]
"""Where a run may wait for a person."""
Reply = Literal["approve", "edit", "reject", "accept", "revise", "model"]
Way = Literal["escalate", "again", "mend first", "enough"]
"""How a run leaves the order of its phases: back to a stronger model, back for another round, past a judgement that is
foregone, past one that is not worth its cost."""


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


class Check(TypedDict):
    """A deterministic check of an output.

    Args:
        passed: nothing speaks against the output.
        undecided: the check itself failed, as `detail` says; it then speaks neither for nor against it.
    """

    name: str
    passed: bool
    detail: str
    undecided: NotRequired[bool]


class Attempt(TypedDict):
    """One call of one model in one phase, answered or not.

    Args:
        started_at: epoch seconds, when the call was made.
        seconds: how long the call took.
        waited: seconds between the turn and the call: for a retry's delay, or a rate limit.
        again: how it tries the model of the attempt before it again.
        avoided: models that rank higher and were passed over, because they are cooling down.
        partial: what a failed attempt had said before it failed.
        checks: what the deterministic checks said of an answer that may become the result.
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
    checks: NotRequired[list[Check]]
    note: NotRequired[str]
    inherited: NotRequired[bool]


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


class Detour(TypedDict):
    """A step out of the order of a run's phases.

    Args:
        phase: behind which it was decided.
        to: the phase that it leads to; empty: the end of the run.
        made: how many attempts were made in `to` by then; with the next one, the detour lies behind the run.
        opens: phases that are made again, with how many of their attempts no longer count.
        leaps: phases that it passes over.
        because: the reason.
    """

    way: Way
    phase: str
    to: str
    made: int
    opens: dict[str, int]
    leaps: list[str]
    because: str


class RunView(TypedDict, total=False):
    """The part of a run's state from which its next step is decided.

    Args:
        reopened: phases that a person had made again, with how many of their attempts no longer count.
    """

    plan: Strategy
    attempts: list[Attempt]
    verdicts: dict[str, Verdict]
    usage: Usage
    approvals: list[Approval]
    reopened: dict[str, int]
    detours: list[Detour]
