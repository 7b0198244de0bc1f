"""What the nodes of a graph work with, made once and handed to every node that needs it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

from ..routing.records import ModelProfile
from .matching import AgentModelMatcher
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
    """Settings, the matcher and the source of models, as the nodes of a graph share them."""

    settings: Settings
    matcher: AgentModelMatcher
    models: ModelSource


def make_services(settings: Settings | None = None, matcher: AgentModelMatcher | None = None) -> Services:
    """Return services over the real providers.

    Args:
        settings: read from the environment where left out.
        matcher: one with models or agents of your own.
    """
    settings = settings or (matcher.settings if matcher else load_settings())
    matcher = matcher or AgentModelMatcher(settings)
    return Services(
        settings=settings, matcher=matcher, models=ChatModels(settings, matcher.catalogue.providers)
    )


@lru_cache(maxsize=1)
def default_services() -> Services:
    """Return the services that the environment describes, made once a process."""
    return make_services()


def get_agent_model_matcher() -> AgentModelMatcher:
    """Return the matcher of this process: what is added to it counts for its executor and its graphs too."""
    return default_services().matcher
