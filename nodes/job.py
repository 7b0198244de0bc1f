"""The words of an attempt while it is made: what is to be done, what has come so far, what came of it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.ai import UsageMetadata, add_ai_message_chunks, add_usage

from ..routing.attempts import Again, Attempt, Fault, Usage, Verdict
from ..routing.records import (
    AgentTaskProfile,
    Candidate,
    Limits,
    ModelProfile,
    PhaseProfile,
    ProviderProfile,
    Rejected,
)
from .journal import NOTHING, About, Place

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """Seconds: what the phase has left, until an answer must have begun, and between two pieces of it."""

    left: float
    first_token: float
    silence: float


@dataclass(frozen=True, kw_only=True)
class Job:
    """One attempt to be made: by which model, for what, within which bounds.

    Args:
        run_id: name of the run, under which budgets and turns are kept.
        request: the messages that are sent.
        fallback: how many other models were tried in this phase before; 0: the first choice.
        tries: attempts of this model in this phase, this one counted.
        others: another model is left to be tried.
        shrinkable: the request could be made shorter.
        not_before: epoch seconds before which it must not begin.
        spent: usage of the run's attempts so far, by their ids.
        reroutes: a refusal is taken to the next model instead of ending the phase.
        place: where it stands in the journal.
        about: what the journal says of the task.
    """

    run_id: str
    phase: PhaseProfile
    agent: AgentTaskProfile
    model: ModelProfile
    provider: ProviderProfile
    candidate: Candidate
    number: int
    fallback: int = 0
    request: list[BaseMessage]
    bounds: Bounds
    limits: Limits
    temperature: float = 0.0
    again: Again | None = None
    tries: int = 1
    others: bool = False
    shrinkable: bool = False
    not_before: float = 0.0
    avoided: tuple[Rejected, ...] = ()
    spent: Mapping[str, Usage] = field(default_factory=dict)
    reroutes: bool = False
    place: Place
    about: About = NOTHING

    @property
    def id(self) -> str:
        """Name of the attempt within its run; every streamed chunk carries it."""
        return f"{self.phase.name}-{self.number}"

    @property
    def label(self) -> dict[str, Any]:
        """What events, stream metadata and traces say of the attempt."""
        return {
            "phase": self.phase.name,
            "attempt_id": self.id,
            "model": self.model.name,
            "provider": self.model.provider,
            "reason": self.candidate["reason"],
            "fallback": self.fallback,
            **({"again": self.again} if self.again else {}),
        }


@dataclass(kw_only=True)
class Answer:
    """What came of a call, filled while it runs, so that a failure keeps what was there.

    Args:
        asked: seconds that the provider asks to wait.
        sent: the request went out; what is refused on this side says nothing about the model.
    """

    started_at: float = field(default_factory=time.time)
    clock: float = field(default_factory=time.perf_counter)
    waited: float = 0.0
    sent: bool = False
    message: AIMessage | None = None
    first_token_seconds: float | None = None
    fault: Fault | None = None
    asked: float | None = None
    verdict: Verdict | None = None
    chunks: list[AIMessageChunk] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The answer's text."""
        return str(self.message.text).strip() if self.message else ""

    def begin(self) -> None:
        """Start the clock of the call: what came before it is not the model's time."""
        self.clock, self.started_at = time.perf_counter(), time.time()

    @property
    def seconds(self) -> float:
        """How long the call has taken until now."""
        return time.perf_counter() - self.clock

    def take_in(self) -> None:
        """Make one message of the chunks that came."""
        self.message = _joined(self.chunks) if self.chunks else None


@dataclass(frozen=True, kw_only=True)
class Made:
    """An attempt that was made: what came of it, and the record that stays."""

    job: Job
    answer: Answer
    attempt: Attempt

    @property
    def ok(self) -> bool:
        """Whether it answered."""
        return self.attempt["ok"]


def _joined(chunks: list[AIMessageChunk]) -> AIMessage:
    """Return the chunks as one message: text, metadata and usage.

    Text is joined by itself and only chunks that tell more are merged: merging every chunk of a long answer takes
    longer than all else that is done with it.
    """
    if len(chunks) == 1:  # a client that does not stream hands on a whole message, which is no chunk
        return chunks[0]
    texts = [chunk.content for chunk in chunks]
    plain = all(type(text) is str for text in texts)
    telling = [c for c in chunks if c.usage_metadata or c.response_metadata or c.additional_kwargs]
    parts = telling or [AIMessageChunk(content="")]
    merged = _merged(parts if plain else chunks)
    update: dict[str, Any] = {"usage_metadata": _usage(telling), "response_metadata": _told(telling)}
    if plain:
        update["content"] = "".join(cast("list[str]", texts))
    return merged.model_copy(update=update)


def _merged(chunks: list[AIMessageChunk]) -> AIMessageChunk:
    return add_ai_message_chunks(*chunks) if len(chunks) > 1 else chunks[0]


def _told(chunks: list[AIMessageChunk]) -> dict[str, Any]:
    """Return what the chunks tell, the last word of each: LangChain writes two finish reasons as one word."""
    return {key: value for chunk in chunks for key, value in chunk.response_metadata.items() if value}


def _usage(chunks: list[AIMessageChunk]) -> UsageMetadata | None:
    """Return what was reported last.

    A report that counts the input anew is a new total, which LangChain would add to the one before; Google's client
    hands on what came on top, without the input.
    """
    total: UsageMetadata | None = None
    for report in (chunk.usage_metadata for chunk in chunks if chunk.usage_metadata):
        total = report if report["input_tokens"] else add_usage(total, report)
    return total
