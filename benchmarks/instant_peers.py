"""What people would pick instead, each over a model that answers at once in this process."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from .instant import PHASES, TASK, InstantModel, pieces_of
from .turns import Side

Ask = Callable[[], Awaitable[str]]

MISSING = "{} is left out: pip install -r benchmarks/peers.txt"
LITELLM, PYDANTIC_AI = "LiteLLM Router", "pydantic-ai FallbackModel"


def six(ask: Ask) -> Side:
    """Return six calls, one after the other."""

    async def run(number: int) -> None:
        for _ in PHASES:
            if not await ask():
                raise AssertionError("no answer")

    return run


def plain(model: InstantModel) -> Side:
    """Return plain asyncio over the model."""
    return six(lambda: _text_of(model))


def with_fallbacks(model: InstantModel) -> Side:
    """Return LangChain's runnable with fallbacks."""
    runnable = model.with_fallbacks([model])
    return six(lambda: _text_of(runnable))


async def _text_of(runnable: Any) -> str:
    return "".join([str(chunk.text) async for chunk in runnable.astream(TASK)])


def peers(pieces: int) -> tuple[dict[str, Side], list[str]]:
    """Return the peers that are installed, and what is said of those that are not."""
    found: dict[str, Side] = {}
    known = ((LITELLM, "litellm", _litellm), (PYDANTIC_AI, "pydantic_ai", _pydantic_ai))
    for title, module, make in known:
        if find_spec(module) is not None:
            found[title] = six(make(pieces))
    return found, [MISSING.format(title) for title, *_ in known if title not in found]


def _litellm(pieces: int) -> Ask:
    """LiteLLM's router over a provider of one's own (docs.litellm.ai: "Custom API Server")."""
    os.environ.setdefault(
        "LITELLM_LOCAL_MODEL_COST_MAP", "True"
    )  # else its import asks the network for prices
    litellm: Any = import_module("litellm")
    logging.getLogger("LiteLLM Router").setLevel(logging.WARNING)

    class Instant(litellm.CustomLLM):  # type: ignore[misc]
        async def astreaming(self, *args: Any, **kwargs: Any) -> AsyncIterator[dict[str, Any]]:
            *before, last = pieces_of(pieces)
            for piece in before:
                yield _generic(piece)
            yield _generic(last) | {
                "finish_reason": "stop",
                "is_finished": True,
                "usage": {"prompt_tokens": 10, "completion_tokens": pieces, "total_tokens": 10 + pieces},
            }

    litellm.custom_provider_map = [{"provider": "instant", "custom_handler": Instant()}]
    router = litellm.Router(
        model_list=[
            {"model_name": name, "litellm_params": {"model": f"instant/{name}"}}
            for name in ("primary", "fallback")
        ],
        fallbacks=[{"primary": ["fallback"]}],
        num_retries=0,
    )
    messages = [{"role": "user", "content": TASK}]

    async def ask() -> str:
        stream = await router.acompletion(model="primary", messages=messages, stream=True)
        return "".join([choice.delta.content or "" async for chunk in stream for choice in chunk.choices])

    return ask


def _generic(text: str) -> dict[str, Any]:
    """Return a chunk in the words of LiteLLM's own providers."""
    return {
        "text": text,
        "finish_reason": "",
        "is_finished": False,
        "index": 0,
        "tool_use": None,
        "usage": None,
    }


def _pydantic_ai(pieces: int) -> Ask:
    """pydantic-ai's model of models over functions (ai.pydantic.dev: "FunctionModel", "Fallback Model")."""
    function = import_module("pydantic_ai.models.function")
    fallback = import_module("pydantic_ai.models.fallback")

    async def stream(messages: Any, info: Any) -> AsyncIterator[str]:
        for piece in pieces_of(pieces):
            yield piece

    models = [function.FunctionModel(stream_function=stream) for _ in range(2)]
    agent = import_module("pydantic_ai").Agent(fallback.FallbackModel(*models))

    async def ask() -> str:
        async with agent.run_stream(TASK) as run:
            return "".join([part async for part in run.stream_text(delta=True, debounce_by=None)])

    return ask
