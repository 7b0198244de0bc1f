"""Models that follow a script, in place of the providers (a fake: for tests and benchmarks of the graph alone)."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from ymera.nodes.matching import AgentModelMatcher
from ymera.nodes.services import Services, services_over
from ymera.nodes.settings import Settings
from ymera.routing.catalogue import Catalogue, builtin_catalogue
from ymera.routing.records import ModelProfile

ACCEPT = '{"findings": [], "decision": "accept"}'
REVISE = '{"findings": ["the greeting is missing"], "decision": "revise"}'


@dataclass(frozen=True, kw_only=True)
class Line:
    """What a model does when it is called: answer in chunks after a while, or fail."""

    text: str = ""
    error: Exception | None = None
    seconds: float = 0.0
    finish: str | None = "stop"
    breaks_after: int | None = None
    stands_still_after: int | None = None


@dataclass(kw_only=True)
class Script:
    """Lines by model name; a model without lines left gives the last one again. `calls` holds what was asked."""

    lines: dict[str, deque[Line]] = field(default_factory=lambda: defaultdict(deque))
    otherwise: Line = field(default_factory=lambda: Line(text="an answer"))
    judge: Line = field(default_factory=lambda: Line(text=ACCEPT))
    calls: list[tuple[str, list[BaseMessage]]] = field(default_factory=list)

    def next(self, model: str, messages: list[BaseMessage]) -> Line:
        self.calls.append((model, messages))
        queue = self.lines.get(model)
        if queue:
            return queue.popleft() if len(queue) > 1 else queue[0]
        return self.judge if '"decision"' in str(messages[0].content) else self.otherwise

    @property
    def called(self) -> list[str]:
        return [model for model, _ in self.calls]


class ScriptedModel(BaseChatModel):
    """A chat model that plays its lines."""

    name_of_model: str
    script: Any

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=AIMessage("unused"))])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        raise AssertionError("the graph calls models asynchronously")

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        line = self.script.next(self.name_of_model, messages)
        if line.seconds:
            await asyncio.sleep(line.seconds)
        if line.error and line.breaks_after is None:
            raise line.error
        pieces = line.text.split(" ")
        for i, piece in enumerate(pieces):
            if line.breaks_after is not None and i == line.breaks_after:
                raise line.error or ConnectionError("the stream broke")
            if i == line.stands_still_after:
                await asyncio.sleep(30)
            text = piece if i == 0 else f" {piece}"
            yield ChatGenerationChunk(message=AIMessageChunk(content=text))
        usage = UsageMetadata(input_tokens=10, output_tokens=len(pieces), total_tokens=10 + len(pieces))
        metadata = {"model_name": self.name_of_model} | (
            {"finish_reason": line.finish} if line.finish else {}
        )
        yield ChatGenerationChunk(
            message=AIMessageChunk(content="", response_metadata=metadata, usage_metadata=usage)
        )


@dataclass
class ScriptedModels:
    """A source of scripted models."""

    script: Script
    secrets: frozenset[str] = frozenset()

    async def open(self, model: ModelProfile, *, max_output_tokens: int, temperature: float) -> ScriptedModel:
        return ScriptedModel(name_of_model=model.name, script=self.script)

    async def close(self) -> None:
        """Nothing to close."""


class OpenMatcher(AgentModelMatcher):
    """A matcher for which every model that is not retired may be called."""

    def unavailable(self, model: ModelProfile) -> str | None:
        return None


async def no_time(seconds: float) -> None:
    """Wait for nothing: a retry's delay is in the state, and need not be slept out."""


def scripted_services(
    script: Script, settings: Settings, models: Mapping[str, ModelProfile] | None = None
) -> Services:
    """Services over scripted models; by default all of the catalogue may be called."""
    catalogue: Catalogue = builtin_catalogue()
    matcher = OpenMatcher(settings, catalogue)
    if models is not None:
        matcher.models = dict(models)
    return replace(services_over(ScriptedModels(script), matcher), pause=no_time)
