"""YMERA as the failover benchmark meets it: one phase through the real graph, two models at two providers.

It has no numbers of retries and seconds to set for the baseline: which fault is tried again, and how often, stands in
routing/data/faults.toml, and how long an answer may take to begin in the providers' rows. So it runs with its defaults.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

from ymera import MultiModelExecutor, MultiModelResult, RunContext
from ymera.graphs import build
from ymera.nodes.health import Health
from ymera.nodes.matching import AgentModelMatcher
from ymera.nodes.services import Services, make_services
from ymera.nodes.settings import Settings
from ymera.nodes.state import RunInput
from ymera.routing.catalogue import builtin_catalogue, extend

from .systems import Ask, Reply, Route, System, UnansweredError

PHASE = "generation"
_CONTEXT = RunContext(providers=["first", "second"], attempts=2)


def catalogue_text(route: Route) -> str:
    """Return a catalogue file with two models at two providers, the first of them better at everything."""
    lines = []
    for provider, name, score in (("first", route.primary, 9), ("second", route.fallback, 5)):
        lines.append(f"""
[[providers]]
name = "{provider}"
title = "{provider.title()}"
chat_model = "langchain_openai:ChatOpenAI"
package = "langchain-openai"
base_url = "{route.base_url}"

[[models]]
name = "{name}"
provider = "{provider}"
scores = {{ quality = {score}, accuracy = {score}, reasoning = {score}, speed = {score} }}
context_tokens = 100_000
max_output_tokens = 4_000
usd_per_mtok = {{ input = 1, output = 2 }}
""")
    return (
        "".join(lines)
        + f"""
[[agents]]
agent_name = "caller"
task_type = "Answers"
preferred_models = ["first:{route.primary}"]
phases_needed = ["{PHASE}"]
"""
    )


@asynccontextmanager
async def fresh_services(route: Route, *, clock: Callable[[], float] = time.time) -> AsyncIterator[Services]:
    """Set YMERA up as on a machine of its own. `clock` tells how long failing models are left alone."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        settings = Settings(ymera_data_dir=Path(folder))
        catalogue = extend(builtin_catalogue(), catalogue_text(route))
        health = Health(Path(folder) / "health.sqlite", clock=clock)
        services = make_services(matcher=AgentModelMatcher(settings, catalogue, health))
        try:
            yield services
        finally:
            await services.models.close()


@asynccontextmanager
async def ymera(route: Route) -> AsyncIterator[Ask]:
    """One phase through the executor, watched token by token, its checkpoints in a SQLite file."""
    async with fresh_services(route) as services, MultiModelExecutor(services=services) as executor:
        yield asked_of(executor)


def asked_of(executor: MultiModelExecutor) -> Ask:
    """Return how YMERA is asked: through the executor, whose stream is watched."""

    async def ask(prompt: str) -> Reply:
        streamed: dict[str, str] = {}
        stream = executor.stream("caller", prompt, context=_CONTEXT, use_cache=False)
        async with aclosing(stream) as events:
            async for event in events:
                match event["event"]:
                    case "token":
                        name = event["attempt_id"]
                        streamed[name] = streamed.get(name, "") + event["text"]
                    case "attempt_ended" if not event["attempt"]["ok"]:
                        streamed.pop(event["attempt"]["id"], None)
                    case "finished":
                        return _reply_of(event["result"], "".join(streamed.values()))
        raise AssertionError("a run's last event is its end")

    return ask


def _reply_of(result: MultiModelResult, streamed: str) -> Reply:
    if not result.success:
        raise UnansweredError(result.error)
    [phase] = result.phase_results
    return Reply(
        text=result.final_result,
        streamed=streamed,
        model=phase.model_used,
        output_tokens=sum(attempt["usage"]["output_tokens"] for attempt in phase.attempts),
    )


@asynccontextmanager
async def ymera_graph(route: Route) -> AsyncIterator[Ask]:
    """The same phase through the bare graph, without checkpoints."""
    async with fresh_services(route) as services:
        graph = build(((PHASE,),), services).compile()

        async def ask(prompt: str) -> Reply:
            asked = RunInput(task=prompt, agent="caller", phases=[PHASE])
            state = await graph.ainvoke(asked, context=_CONTEXT)
            if not state.get("final_result"):
                raise UnansweredError(state.get("error"))
            return Reply(text=state["final_result"], streamed=state["final_result"])

        yield ask


OURS = System(name="ymera", title="YMERA", connect=ymera, module="ymera")
OUR_GRAPH = System(name="graph", title="YMERA's graph, no checkpoints", connect=ymera_graph, module="ymera")
