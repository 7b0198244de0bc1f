"""YMERA's peers, each set up as its own documents show it: two retries, 30 s for a request, one fallback.

    pip install -r benchmarks/peers.txt

They are no dependencies of YMERA, so they are imported when they are asked for; one that is not there is left out.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from typing import Any

from .systems import KEY, RETRIES, TIMEOUT_S, Ask, Reply, Route, System, asker, chat_openai, openai_client


@asynccontextmanager
async def litellm_router(route: Route) -> AsyncIterator[Ask]:
    """LiteLLM's router (docs.litellm.ai: "Router", "Fallbacks, retries"): two deployments, one for both fallbacks."""
    os.environ.setdefault(
        "LITELLM_LOCAL_MODEL_COST_MAP", "True"
    )  # else its import asks the network for prices
    litellm: Any = import_module("litellm")
    litellm.suppress_debug_info = True  # it prints an invitation to report bugs at every error
    models = {"primary": route.primary, "fallback": route.fallback}
    router = litellm.Router(
        model_list=[_deployment(name, model, route.base_url) for name, model in models.items()],
        fallbacks=[{"primary": ["fallback"]}],
        context_window_fallbacks=[{"primary": ["fallback"]}],
        num_retries=RETRIES,
        timeout=TIMEOUT_S,
    )

    async def ask(prompt: str) -> Reply:
        parts, model, tokens = [], "", None
        stream = await router.acompletion(
            model="primary",
            messages=[{"role": "user", "content": prompt}],
            stream=True,
            stream_options={"include_usage": True},
        )
        async for chunk in stream:
            parts += [choice.delta.content or "" for choice in chunk.choices]
            model = chunk.model or model
            usage = getattr(chunk, "usage", None)
            tokens = usage.completion_tokens if usage else tokens
        return Reply(text="".join(parts), streamed="".join(parts), model=model, output_tokens=tokens)

    yield ask


def _deployment(name: str, model: str, base_url: str) -> dict[str, Any]:
    parameters = {"model": f"openai/{model}", "api_base": base_url, "api_key": KEY}
    return {"model_name": name, "litellm_params": parameters}


@asynccontextmanager
async def with_fallbacks(route: Route) -> AsyncIterator[Ask]:
    """LangChain's runnable (reference.langchain.com: `Runnable.with_fallbacks`)."""
    fallbacks = [chat_openai(route, route.fallback)]
    yield asker(chat_openai(route, route.primary).with_fallbacks(fallbacks))


@asynccontextmanager
async def fallback_middleware(route: Route) -> AsyncIterator[Ask]:
    """LangChain's agent (docs.langchain.com: "Prebuilt middleware", "Model fallback"), without tools.

    The answer is the last message of its last state. The stream names a message with every piece, but nothing in it
    says that the message of a model which failed is to be dropped.
    """
    agents = import_module("langchain.agents")
    middleware = import_module("langchain.agents.middleware")
    agent = agents.create_agent(
        model=chat_openai(route, route.primary),
        tools=[],
        middleware=[middleware.ModelFallbackMiddleware(chat_openai(route, route.fallback))],
    )

    async def ask(prompt: str) -> Reply:
        streamed, state = "", {}
        asked = {"messages": [{"role": "user", "content": prompt}]}
        async for mode, part in agent.astream(asked, stream_mode=["messages", "values"]):
            if mode == "messages":
                streamed += str(part[0].text) if part[0].type == "AIMessageChunk" else ""
            else:
                state = part
        last = state["messages"][-1]
        usage = last.usage_metadata
        return Reply(
            text=str(last.text),
            streamed=streamed,
            model=last.response_metadata.get("model_name", ""),
            output_tokens=usage["output_tokens"] if usage else None,
        )

    yield ask


@asynccontextmanager
async def fallback_model(route: Route) -> AsyncIterator[Ask]:
    """pydantic-ai's model of models (ai.pydantic.dev/models/overview: "Fallback Model")."""
    fallback = import_module("pydantic_ai.models.fallback")
    async with openai_client(route) as client:
        models = [_openai_model(client, model) for model in (route.primary, route.fallback)]
        agent = import_module("pydantic_ai").Agent(fallback.FallbackModel(*models))
        yield _agent_asker(agent)


@asynccontextmanager
async def model_fallback(route: Route) -> AsyncIterator[Ask]:
    """pydantic-ai's capability, which its reference recommends before FallbackModel inside an agent."""
    capabilities = import_module("pydantic_ai.capabilities")
    async with openai_client(route) as client:
        primary, fallback = (_openai_model(client, model) for model in (route.primary, route.fallback))
        agent = import_module("pydantic_ai").Agent(
            primary, capabilities=[capabilities.ModelFallback(fallback)]
        )
        yield _agent_asker(agent)


def _openai_model(client: Any, model: str) -> Any:
    """Return a model over a client of one's own (ai.pydantic.dev/models/openai: "Custom OpenAI Client")."""
    providers = import_module("pydantic_ai.providers.openai")
    models = import_module("pydantic_ai.models.openai")
    return models.OpenAIChatModel(model, provider=providers.OpenAIProvider(openai_client=client))


def _agent_asker(agent: Any) -> Ask:
    async def ask(prompt: str) -> Reply:
        async with agent.run_stream(prompt) as run:
            text = "".join([part async for part in run.stream_text(delta=True, debounce_by=None)])
        return Reply(
            text=text,
            streamed=text,
            model=run.response.model_name or "",
            output_tokens=run.usage.output_tokens or None,
        )

    return ask


PEERS = (
    System(name="litellm", title="LiteLLM Router", connect=litellm_router, module="litellm"),
    System(name="withfallbacks", title="with_fallbacks", connect=with_fallbacks, module="langchain_core"),
    System(
        name="middleware", title="ModelFallbackMiddleware", connect=fallback_middleware, module="langchain"
    ),
    System(
        name="fallbackmodel", title="pydantic-ai FallbackModel", connect=fallback_model, module="pydantic_ai"
    ),
    System(
        name="modelfallback", title="pydantic-ai ModelFallback", connect=model_fallback, module="pydantic_ai"
    ),
)
