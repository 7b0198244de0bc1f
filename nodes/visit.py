"""One visit to a phase's node: the run as it stands, and what its caller wishes."""

from __future__ import annotations

from dataclasses import dataclass

from ..routing.attempts import Attempt, Check, RunView
from ..routing.catalogue import Catalogue
from ..routing.flow import attempts_of, key_of, made_in
from ..routing.matcher import find_agent
from ..routing.outcomes import judged_by
from ..routing.prediction import first_token_seconds
from ..routing.records import AgentTaskProfile, Candidate, ModelProfile, PhaseProfile
from .faults import keys_of
from .health import mark_of
from .journal import Place
from .services import Services
from .state import RunContext, State


@dataclass(frozen=True, kw_only=True)
class Visit:
    """One visit to a phase's node: the run as it stands, and what its caller wishes.

    Args:
        checks: what the checks say of the result as it stands, in a phase that judges or replaces it.
    """

    phase: PhaseProfile
    catalogue: Catalogue
    state: State
    run: RunView
    context: RunContext
    services: Services
    place: Place
    checks: tuple[Check, ...] = ()

    @property
    def made(self) -> list[Attempt]:
        """The attempts made in the phase so far."""
        return attempts_of(self.run, self.phase.name)

    @property
    def number(self) -> int:
        """The number of the phase's next attempt; those that no longer count have theirs."""
        return len(made_in(self.run, self.phase.name)) + 1

    def model(self, candidate: Candidate) -> ModelProfile | None:
        """Return a candidate's model; None where the catalogue has changed since the plan and lacks it."""
        return self.catalogue.models.get(key_of(candidate))

    @property
    def agent(self) -> AgentTaskProfile:
        """The profile of the run's agent."""
        return find_agent(self.run["plan"]["agent_name"], self.catalogue, strict=False)[0]

    @property
    def standing(self) -> Attempt | None:
        """The attempt whose answer stands as the run's result when the phase begins; None where a person wrote it."""
        producing = {name for name, phase in self.catalogue.phases.items() if phase.produces}
        return judged_by(self.run, self.phase.name, producing)

    def key_mark(self, model: ModelProfile) -> str:
        """Return the fingerprint of the key with which a model is called."""
        return mark_of(keys_of(self.catalogue.providers[model.provider], self.services.settings))

    def first_token(self, model: ModelProfile) -> float:
        """Return the seconds until an answer of a model must have begun."""
        provider = self.catalogue.providers[model.provider]
        own = self.context.first_token_timeout or self.services.settings.first_token_timeout
        return own or first_token_seconds(model, provider)
