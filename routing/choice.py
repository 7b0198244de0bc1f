"""What a run is about, and the models that may take part in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from .prediction import input_tokens
from .records import AgentTaskProfile, ModelProfile, PhaseProfile, Reading, Rejected


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What a run is about, the models that may take part in it, and its agent's preferences.

    Args:
        models: all models.
        reasons: why each of them may not be called; None: it may.
        preferred: keys of models to the rank of the agent's preference (0 = first).
        notes: keys of models to why they stand in for another.
        demanded: the name of the one model that the run asks for.
        cooling: keys of usable models that had better be left alone to why: they come after all others.
        domain: what the outcomes of such tasks are kept under.
        task_tokens: tokens of the task and its parameters.
        attempts: candidates that a phase has at most.
        thrift, haste: what is given of quality for being cheaper, or faster: 0 (nothing) to 1.
        escalates: what a cheap or fast model makes may go to a better one: the best is kept at hand.
    """

    agent: AgentTaskProfile
    reading: Reading
    phases: tuple[PhaseProfile, ...]
    models: tuple[ModelProfile, ...]
    reasons: tuple[str | None, ...]
    preferred: Mapping[str, int]
    notes: Mapping[str, str]
    demanded: str | None
    cooling: Mapping[str, str]
    domain: str
    task_tokens: int
    attempts: int
    thrift: float = 0.0
    haste: float = 0.0
    escalates: bool = False

    @cached_property
    def usable(self) -> dict[str, ModelProfile]:
        """The models that may be called, by their keys."""
        return {
            model.key: model
            for model, reason in zip(self.models, self.reasons, strict=True)
            if reason is None
        }

    @cached_property
    def rejected(self) -> tuple[Rejected, ...]:
        """Those that may not, each with the reason."""
        return tuple(
            Rejected(model=model.name, provider=model.provider, reason=reason)
            for model, reason in zip(self.models, self.reasons, strict=True)
            if reason is not None
        )

    def shown(self, phase: PhaseProfile) -> int:
        """Return the tokens that a phase is likely to be shown."""
        return input_tokens(phase, self.agent, self.phases, self.task_tokens)
