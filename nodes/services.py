"""What the nodes of a graph work with, made once and handed to every node that needs it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Protocol

from ..routing.attempts import RunView
from ..routing.records import ModelProfile
from .budgets import Budgets
from .calls import open_calls
from .checker import Checker
from .database import place_of
from .encryption import cipher_of
from .gates import Gates, rates
from .health import Health
from .journal import Journal
from .latencies import Latencies
from .matching import AgentModelMatcher
from .outcomes import Outcomes
from .providers import ChatModels
from .settings import Settings, load_settings

if TYPE_CHECKING:
    from langchain_core.language_models import LanguageModelInput
    from langchain_core.messages import AIMessage
    from langchain_core.runnables import Runnable


class ModelSource(Protocol):
    """Where chat models come from."""

    async def open(
        self, model: ModelProfile, *, max_output_tokens: int, temperature: float
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Return a chat model that makes one request a call and never retries by itself."""
        ...

    async def close(self) -> None:
        """Close the connections of this event loop."""
        ...


@dataclass(frozen=True, eq=False, kw_only=True)
class Services:
    """What the nodes of a graph share: all runs over the same services see the same failures, budgets and turns.

    Args:
        matcher: chooses; it knows which models are cooling down.
        models: where chat models come from.
        budgets: what runs and keys may still spend.
        gates: whose turn it is at a provider.
        journal: what was begun, so that a killed run's calls are not forgotten, and what came of it.
        latencies: how long models take to begin.
        pause: sleeps for some seconds; tests pass in another one.
    """

    settings: Settings
    matcher: AgentModelMatcher
    models: ModelSource
    budgets: Budgets
    gates: Gates
    journal: Journal
    latencies: Latencies = field(default_factory=Latencies)
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep

    @cached_property
    def outcomes(self) -> Outcomes:
        """What is judged of answers, in the journal's rows."""
        return Outcomes(self.journal)

    @cached_property
    def checker(self) -> Checker:
        """Makes the checks that the matcher knows."""
        return Checker(lambda: self.matcher.validators)

    def note_end(self, run_id: str, run: RunView) -> None:
        """Note how a run of a trial has ended, if it has. Not waited for."""
        if noted := self.matcher.trials.ended(run_id, run):
            self.journal.change(*noted)

    @property
    def health(self) -> Health:
        """Which models and providers are cooling down."""
        return self.matcher.health


def services_over(models: ModelSource, matcher: AgentModelMatcher) -> Services:
    """Return services over a source of models, with the budgets and rates that the matcher's settings name.

    Raises:
        SettingsError: a budget or a rate is given for a provider that there is not.
    """
    settings, providers = matcher.settings, matcher.catalogue.providers
    return Services(
        settings=settings,
        matcher=matcher,
        models=models,
        budgets=Budgets(
            place_of(settings, "spending"),
            settings.ymera_daily_usd,
            providers=providers,
        ),
        gates=Gates(rates(providers, settings.ymera_rates)),
        journal=Journal(
            open_calls(settings),
            tenant=settings.ymera_tenant or "",
            days=settings.ymera_outcome_days,
            cipher=cipher_of(settings.langgraph_aes_key),
        ),
    )


def make_services(settings: Settings | None = None, matcher: AgentModelMatcher | None = None) -> Services:
    """Return services over the real providers.

    Args:
        settings: read from the environment where left out.
        matcher: one with models or agents of your own.
    """
    settings = settings or (matcher.settings if matcher else load_settings())
    matcher = matcher or AgentModelMatcher(settings)
    return services_over(ChatModels(settings, matcher.catalogue.providers), matcher)


@lru_cache(maxsize=1)
def default_services() -> Services:
    """Return the services that the environment describes, made once a process."""
    return make_services()


def get_agent_model_matcher() -> AgentModelMatcher:
    """Return the matcher of this process: what is added to it counts for its executor and its graphs too."""
    return default_services().matcher
