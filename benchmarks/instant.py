"""A chat model that answers at once in this process, and YMERA's workflow over it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterator
from dataclasses import dataclass, replace
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from ymera.nodes.calls import open_calls
from ymera.nodes.journal import Entry, Journal, Place
from ymera.nodes.matching import AgentModelMatcher
from ymera.nodes.services import Services, services_over
from ymera.nodes.settings import Settings
from ymera.routing.attempts import Attempt
from ymera.routing.catalogue import Catalogue, builtin_catalogue
from ymera.routing.records import ModelProfile

PHASES = ("planning", "research", "generation", "review", "refinement", "validation")
TASK = "Build the importer that the finance team needs for its monthly statements"
PIECES = 157
"""Chunks of an answer: 77, 243, 64 and 245 tokens were measured for the four phases of the embedded coding run."""
VERDICT = '{"findings":["headerless"],"decision":"revise"}'
"""What every phase answers: phases that judge want a verdict, and with this one none of the six is needless."""
METADATA = {"model_name": "instant", "finish_reason": "stop"}


def pieces_of(pieces: int) -> list[str]:
    """Return an answer in so many pieces; LiteLLM takes one that repeats itself for a fault."""
    return [VERDICT, *(f" word{number % 10}" for number in range(pieces - 1))]


class InstantModel(BaseChatModel):
    """A chat model that answers at once, in so many chunks: a verdict first, which judging phases ask for.

    Args:
        padding: characters by which the answer is longer.
    """

    chunks: int = PIECES
    padding: int = 0

    @property
    def _llm_type(self) -> str:
        return "instant"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        message = AIMessage(VERDICT, response_metadata=METADATA)
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        raise AssertionError("all sides call the model asynchronously")

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        *before, last = pieces_of(self.chunks)
        for piece in before:
            yield ChatGenerationChunk(message=AIMessageChunk(content=piece))
        last += "." * self.padding
        usage = UsageMetadata(input_tokens=10, output_tokens=self.chunks, total_tokens=10 + self.chunks)
        yield ChatGenerationChunk(
            message=AIMessageChunk(content=last, response_metadata=METADATA, usage_metadata=usage)
        )


@dataclass
class InstantModels:
    """A source of models that are all the instant one."""

    model: InstantModel

    async def open(self, model: ModelProfile, *, max_output_tokens: int, temperature: float) -> InstantModel:
        return self.model

    async def close(self) -> None:
        """Nothing to close."""


class OpenMatcher(AgentModelMatcher):
    """A matcher for which every model may be called."""

    def unavailable(self, model: ModelProfile) -> str | None:
        return None


class NoJournal(Journal):
    """A journal in which nothing is written: what the package takes without it."""

    async def lost(self, place: Place, phase: str, known: Collection[str]) -> list[Entry]:
        return []

    async def begin(self, place: Place, entry: Entry) -> None:
        """Write nothing."""

    def end(self, place: Place, attempt: Attempt) -> None:
        """Write nothing."""

    def change(self, sql: str, values: tuple[object, ...]) -> None:
        """Write nothing."""


def instant_services(model: InstantModel, settings: Settings, catalogue: Catalogue | None = None) -> Services:
    """Return services over the instant model, for which every model of the catalogue may be called."""
    return services_over(InstantModels(model), OpenMatcher(settings, catalogue or builtin_catalogue()))


def without_journal(services: Services) -> Services:
    """Return services that write down no calls."""
    return replace(services, journal=NoJournal(open_calls(services.settings)))
