"""What the failover benchmark compares: systems that are connected to a primary and a fallback, and then asked.

All get FailoverBench's baseline: two retries, 30 s for a request, one fallback, and their own defaults in all else.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from importlib.util import find_spec

import httpx
import openai
from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage
from langchain_core.runnables import Runnable
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

RETRIES = 2
TIMEOUT_S = 30.0
KEY = "failover-benchmark"


@dataclass(frozen=True, kw_only=True)
class Route:
    """Where a system sends its requests: an address, and the names of two models there."""

    base_url: str
    primary: str
    fallback: str


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What a system answered. `streamed` is what it showed while answering and did not take back."""

    text: str
    streamed: str
    model: str = ""
    output_tokens: int | None = None


Ask = Callable[[str], Awaitable[Reply]]
"""Ask a connected system; what it raises is its error."""


class UnansweredError(Exception):
    """A system that raises nothing ended without an answer."""


@dataclass(frozen=True, kw_only=True)
class System:
    """A system, how to connect it, the module that must be installed for it, and whether it has a fallback."""

    name: str
    title: str
    connect: Callable[[Route], AbstractAsyncContextManager[Ask]]
    module: str
    falls_back: bool = True

    @property
    def is_installed(self) -> bool:
        """Whether its package is there."""
        return find_spec(self.module) is not None


@asynccontextmanager
async def raw_httpx(route: Route) -> AsyncIterator[Ask]:
    """The least that a program must do: post, read the events, and turn to the fallback after a refusal."""
    async with httpx.AsyncClient(trust_env=False, timeout=TIMEOUT_S) as client:

        async def ask(prompt: str) -> Reply:
            for model in (route.primary, route.fallback):
                if text := await _posted(client, route.base_url, model, prompt):
                    return Reply(text=text, streamed=text)
            raise UnansweredError("refused")

        yield ask


async def _posted(client: httpx.AsyncClient, base_url: str, model: str, prompt: str) -> str:
    messages = [{"role": "user", "content": prompt}]
    body = {"model": model, "messages": messages, "stream": True, "stream_options": {"include_usage": True}}
    parts = []
    headers = {"Authorization": f"Bearer {KEY}"}
    async with client.stream("POST", f"{base_url}/chat/completions", json=body, headers=headers) as response:
        if response.is_error:
            await response.aread()
            return ""
        async for line in response.aiter_lines():
            if line.startswith("data: {") and (choices := json.loads(line[6:])["choices"]):
                parts.append(choices[0]["delta"].get("content") or "")
    return "".join(parts)


@asynccontextmanager
async def openai_sdk(route: Route) -> AsyncIterator[Ask]:
    """OpenAI's own client, which knows no fallback."""
    async with openai_client(route) as client:

        async def ask(prompt: str) -> Reply:
            parts = []
            stream = await client.chat.completions.create(
                model=route.primary,
                messages=[{"role": "user", "content": prompt}],
                stream=True,
                stream_options={"include_usage": True},
            )
            async for chunk in stream:
                parts += [choice.delta.content or "" for choice in chunk.choices]
            return Reply(text="".join(parts), streamed="".join(parts))

        yield ask


def openai_client(route: Route) -> openai.AsyncOpenAI:
    """Return OpenAI's client with the baseline (its readme: "Retries", "Timeouts")."""
    return openai.AsyncOpenAI(base_url=route.base_url, api_key=KEY, max_retries=RETRIES, timeout=TIMEOUT_S)


def chat_openai(route: Route, model: str) -> ChatOpenAI:
    """Return LangChain's client with the baseline (reference.langchain.com: `max_retries`, `timeout`)."""
    return ChatOpenAI(
        model=model,
        base_url=route.base_url,
        api_key=SecretStr(KEY),
        max_retries=RETRIES,
        timeout=TIMEOUT_S,
        stream_usage=True,
    )


@asynccontextmanager
async def bare_chat(route: Route) -> AsyncIterator[Ask]:
    """LangChain's client, which knows no fallback."""
    yield asker(chat_openai(route, route.primary))


def asker(chat: Runnable[LanguageModelInput, AIMessage]) -> Ask:
    """Return how a LangChain runnable is asked: as a stream of chunks."""

    async def ask(prompt: str) -> Reply:
        parts, model, tokens = [], "", None
        async for chunk in chat.astream(prompt):
            parts.append(str(chunk.text))
            model = chunk.response_metadata.get("model_name") or model
            tokens = chunk.usage_metadata["output_tokens"] if chunk.usage_metadata else tokens
        return Reply(text="".join(parts), streamed="".join(parts), model=model, output_tokens=tokens)

    return ask


UNDERNEATH = (
    System(name="httpx", title="httpx", connect=raw_httpx, module="httpx"),
    System(name="openai", title="openai SDK", connect=openai_sdk, module="openai", falls_back=False),
    System(
        name="chatopenai", title="ChatOpenAI", connect=bare_chat, module="langchain_openai", falls_back=False
    ),
)
