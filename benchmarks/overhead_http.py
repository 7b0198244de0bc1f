"""The sides of `overhead` that call a provider over HTTP."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path

from ymera import MultiModelExecutor, RunContext
from ymera.graphs import build
from ymera.nodes.matching import AgentModelMatcher
from ymera.nodes.services import Services, make_services
from ymera.nodes.settings import Settings
from ymera.nodes.state import RunInput
from ymera.routing.catalogue import builtin_catalogue, extend

from .chain import chain_side
from .instant import PHASES, TASK, VERDICT
from .instant_peers import six
from .ours import catalogue_text
from .paced import Pace, running
from .peers import PEERS
from .systems import UNDERNEATH, Ask, Route, System, chat_openai
from .turns import Side

BARE, OURS_DURABLE = "ChatOpenAI", "YMERA's executor, SQLite"
COMPARED = ("litellm", "withfallbacks", "fallbackmodel")
CONTEXT = RunContext(providers=["first"])
AT_ONCE = 1e9
"""Words a second of a provider that does not pause between them."""


@contextmanager
def provider(delay_ms: float) -> Iterator[str]:
    """Start a provider that begins its answers after so many milliseconds, and yield its address."""
    pace = Pace(first_s=delay_ms / 1e3, sigma=0.0, words_per_s=AT_ONCE, words=1, text=VERDICT)
    with running(pace) as server:
        yield server.base_url


@asynccontextmanager
async def wire_sides(base_url: str) -> AsyncIterator[dict[str, Side]]:
    """Connect all sides; a peer that is not installed is left out."""
    route = Route(base_url=base_url, primary="first-model", fallback="second-model")
    bare = next(system for system in UNDERNEATH if system.title == BARE)
    others = [system for system in PEERS if system.name in COMPARED and system.is_installed]
    async with AsyncExitStack() as stack:
        sides = {BARE: await _six(stack, bare, route)}
        sides["the barest chain"] = chain_side(chat_openai(route, route.primary), None)
        services = _services(Path(stack.enter_context(tempfile.TemporaryDirectory())), route)
        sides["YMERA"] = _graph(services)
        executor = await stack.enter_async_context(MultiModelExecutor(services=services))
        sides[OURS_DURABLE] = _runs(executor)
        for system in others:
            sides[system.title] = await _six(stack, system, route)
        yield sides


async def _six(stack: AsyncExitStack, system: System, route: Route) -> Side:
    ask = await stack.enter_async_context(system.connect(route))
    return six(lambda: _answer(ask))


async def _answer(ask: Ask) -> str:
    return (await ask(TASK)).text


def _services(folder: Path, route: Route) -> Services:
    catalogue = extend(builtin_catalogue(), catalogue_text(route))
    return make_services(matcher=AgentModelMatcher(Settings(ymera_data_dir=folder), catalogue))


def _graph(services: Services) -> Side:
    graph = build(tuple((phase,) for phase in PHASES), services).compile()
    asked = RunInput(task=TASK, agent="caller", phases=list(PHASES))

    async def run(number: int) -> None:
        state = await graph.ainvoke(asked, context=CONTEXT)
        if not state.get("final_result"):
            raise AssertionError(f"no result: {state.get('error')}")

    return run


def _runs(executor: MultiModelExecutor) -> Side:
    async def run(number: int) -> None:
        result = await executor.execute_with_multi_model(
            "caller", TASK, {}, PHASES, context=CONTEXT, use_cache=False
        )
        if not result.success:
            raise AssertionError(f"no result: {result.error}")

    return run
