"""One call of an embedded model as a phase makes it: YMERA's own client, streamed, over HTTP to the runner's server.

Two clocks are read: the client's, and the runner's own, which stands as `timings` in the last event of its answer and
which LangChain passes over.
"""

from __future__ import annotations

import importlib
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import AIMessageChunk, HumanMessage, SystemMessage

from ymera.nodes.embedded import close_all
from ymera.nodes.providers import ChatModels
from ymera.nodes.settings import load_settings
from ymera.routing.catalogue import builtin_catalogue
from ymera.routing.records import ModelProfile

from .llama_bench import Rates, Work

_replies: ContextVar[list[bytes]] = ContextVar("replies")
_TEXT = (
    "The lighthouse keeper wrote down the weather every evening: the wind, the clouds, the height of the waves, and "
    "which ships had passed. "
)
_ASK = "Go on with the keeper's notes, day after day, in long sentences, and do not come to an end."

_AROUND_TOKENS = 60
"""Of the template, of the question, of commas and full stops."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """What one call took. Seconds by the client's clock, `timings` by the runner's (milliseconds)."""

    prompt_tokens: int
    read_tokens: int
    output_tokens: int
    first_token_s: float
    wall_s: float
    timings: Mapping[str, float]

    @property
    def seen(self) -> Rates:
        """Tokens a second by the client's clock: until the first token, and from the first to the last.

        The first token is the prompt's: one less is made in the time after it.
        """
        made_s = self.wall_s - self.first_token_s
        return Rates(prompt=self.read_tokens / self.first_token_s, output=(self.output_tokens - 1) / made_s)

    @property
    def told(self) -> Rates:
        """Tokens a second by the runner's clock."""
        told = self.timings
        return Rates(
            prompt=told["prompt_n"] / told["prompt_ms"] * 1e3,
            output=(told["predicted_n"] - 1) / told["predicted_ms"] * 1e3,
        )


class Caller:
    """Calls one embedded model."""

    def __init__(self, chat_models: ChatModels, model: ModelProfile) -> None:
        self._chat_models = chat_models
        self._model = model

    async def call(self, name: str, work: Work) -> Call:
        """Let the model read about so many tokens, and make so many.

        Args:
            name: stands at the very beginning of the prompt: nothing of an earlier call can be taken again.
        """
        chat: Any = await self._chat_models.open(
            self._model, max_output_tokens=work.output_tokens, temperature=0.0
        )
        _keep_replies(chat.bound.http_async_client)
        replies: list[bytes] = []
        _replies.set(replies)
        answer, first, begin = AIMessageChunk(content=""), 0.0, time.perf_counter()
        last = begin
        async for piece in chat.astream(_prompt(name, work.prompt_tokens)):
            if piece.content:
                last = time.perf_counter()
                first = first or last
            answer += piece
        return _call_of(answer, first - begin, last - begin, timings_in(b"".join(replies)))


@asynccontextmanager
async def caller(name: str) -> AsyncIterator[Caller]:
    """Open an embedded model whose weights are here, and let it answer once; closed at the end."""
    catalogue = builtin_catalogue()
    chat_models = ChatModels(load_settings(), catalogue.providers)
    model = next(each for each in catalogue.models.values() if each.name == name)
    try:
        opened = Caller(chat_models, model)
        await opened.call("warming up", Work(prompt_tokens=64, output_tokens=8))
        yield opened
    finally:
        await chat_models.close()
        close_all()


def timings_in(reply: bytes) -> dict[str, float]:
    """Return the runner's `timings` out of the events of a streamed reply.

    Raises:
        ValueError: there are none.
    """
    for line in reversed(reply.splitlines()):
        said = json.loads(line.removeprefix(b"data: ")) if line.startswith(b"data: {") else {}
        if "timings" in said:
            return dict(said["timings"])
    raise ValueError(
        "the runner's answer holds no `timings`: it is of another version than was measured with"
    )


def _call_of(answer: AIMessageChunk, first_s: float, wall_s: float, timings: Mapping[str, float]) -> Call:
    usage = answer.usage_metadata
    if usage is None:
        raise AssertionError("an embedded model tells its tokens")
    cached = usage.get("input_token_details", {}).get("cache_read", 0)
    return Call(
        prompt_tokens=usage["input_tokens"],
        read_tokens=usage["input_tokens"] - cached,
        output_tokens=usage["output_tokens"],
        first_token_s=first_s,
        wall_s=wall_s,
        timings=timings,
    )


def _prompt(name: str, tokens: int) -> list[SystemMessage | HumanMessage]:
    # A word of this text is about a token.
    words = f"{name}. {_TEXT * tokens}".split(" ")[: max(1, tokens - _AROUND_TOKENS)]
    return [SystemMessage(" ".join(words)), HumanMessage(_ASK)]


def _keep_replies(http: Any) -> None:
    """Let an HTTP client write down what it is sent, beside what it does with it."""
    hooks = http.event_hooks
    if _keep not in hooks["response"]:
        http.event_hooks = {**hooks, "response": [*hooks["response"], _keep]}


async def _keep(response: Any) -> None:
    library: Any = importlib.import_module(type(response).__module__.partition(".")[0])
    inner, replies = response.stream, _replies.get()

    class Kept(library.AsyncByteStream):  # type: ignore[misc]  # its base is known when it is used
        async def __aiter__(self) -> AsyncIterator[bytes]:
            async for piece in inner:
                replies.append(piece)
                yield piece

        async def aclose(self) -> None:
            await inner.aclose()

    response.stream = Kept()
