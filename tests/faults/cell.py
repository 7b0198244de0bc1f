"""One cell of the matrix: a run of the real graph over real HTTP, and what was seen of it."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from langgraph.checkpoint.memory import InMemorySaver

from tests.scripted import no_time
from tests.servers.clients import MODELS, PROVIDERS
from tests.servers.faulty import Answer, FaultyServer
from ymera.graphs.workflow import build
from ymera.nodes.health import Health
from ymera.nodes.matching import AgentModelMatcher
from ymera.nodes.providers import ChatModels
from ymera.nodes.services import Services, services_over
from ymera.nodes.settings import Settings
from ymera.results import MultiModelResult, result_of
from ymera.routing.catalogue import builtin_catalogue
from ymera.routing.records import AgentTaskProfile, Attempt, ModelProfile, Price, ProviderProfile

from .matrix import Outcome, Row, Situation

SECRET_WORD = "zebra-crossing"
"""Stands in the task, and must stand in no message of a fault."""
TASK = f"Write the {SECRET_WORD} module"
WORK = "The work of another model."
RESCUE = '{"findings": ["rescued"], "decision": "accept"}'
"""What the fallback says: a verdict, or a text that cannot be taken for a broken one's."""
PRICE = Price(input=1.0, output=2.0)
SCORES = dict.fromkeys(("speed", "quality", "code", "reasoning", "accuracy", "creativity", "planning"), 10.0)


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What was seen of a cell."""

    result: MultiModelResult
    attempts: list[Attempt]
    requests: int
    fallback_requests: int
    streamed: Mapping[str, str]
    seconds: float

    @property
    def faults(self) -> list[str]:
        return [a["fault"]["kind"] for a in self.attempts if a["fault"]]

    @property
    def outcome(self) -> Outcome:
        if self.attempts and self.attempts[-1]["ok"]:
            return "answered by the fallback" if len(self.attempts) > 1 else "succeeded"
        return "skipped" if self.result.success else "failed"


def other_than(client: str) -> str:
    """Return the provider of the fallback."""
    return "groq" if client == "openai" else "openai"


def first_choice(client: str, where: Situation, patience: float) -> ModelProfile:
    return replace(
        MODELS[client],
        scores=SCORES,
        price=PRICE,
        first_token_s=patience,
        never_for=() if where.critical else ("generation",),
    )


def models(client: str, where: Situation, patience: float) -> dict[str, ModelProfile]:
    """Return who takes part: the first choice, a fallback where one is left, and who does the other phase."""
    fallback = replace(MODELS[other_than(client)], scores=dict.fromkeys(SCORES, 5.0), price=PRICE)
    worker = replace(fallback, name="worker", model_id="worker", never_for=("review",))
    if not where.critical:
        fallback = replace(fallback, never_for=("generation",))
    taking_part = [first_choice(client, where, patience)]
    taking_part += [fallback] if where.fallback_left else []
    taking_part += [] if where.critical else [worker]
    return {model.key: model for model in taking_part}


def providers(client: str, patience: float) -> dict[str, ProviderProfile]:
    return {**PROVIDERS, client: replace(PROVIDERS[client], silence_s=patience)}


def services_for(
    client: str, row: Row, where: Situation, settings: Settings, chat_models: ChatModels
) -> Services:
    agent = AgentTaskProfile(
        agent_name="tester",
        task_type="test",
        preferred_models=[MODELS[client].key],
        phases_needed=["generation"] if where.critical else ["generation", "review"],
    )
    catalogue = replace(
        builtin_catalogue(),
        providers=providers(client, row.patience_s),
        models=models(client, where, row.patience_s),
        agents={"tester": agent},
    )
    matcher = AgentModelMatcher(settings, catalogue, Health(None))
    return replace(services_over(chat_models, matcher), pause=no_time)


def closed_port() -> int:
    """Return a port of this machine at which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def run_cell(client: str, row: Row, where: Situation, server: FaultyServer, services: Services) -> Seen:
    """Run a phase whose first choice fails as the row says, and return what was seen."""
    server.reset()
    rescuer = other_than(client)
    server.script(client, then=row.reply)
    server.script(rescuer, model="worker", then=Answer(WORK))
    server.script(rescuer, then=Answer(RESCUE))
    layout = (("generation",),) if where.critical else (("generation",), ("review",))
    graph = build(layout, services, "tester").compile(checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "cell"}}
    streamed: dict[str, str] = {}
    began = time.perf_counter()
    asked: Any = {"task": TASK, "agent": "tester"}
    async for chunk, metadata in graph.astream(asked, config, stream_mode="messages"):
        name = str(dict(metadata).get("attempt_id"))
        streamed[name] = streamed.get(name, "") + str(getattr(chunk, "text", ""))
    seconds = time.perf_counter() - began
    state: Any = (await graph.aget_state(config)).values
    result = result_of(state, thread_id="cell", seconds=seconds)
    phase = "generation" if where.critical else "review"
    return Seen(
        result=result,
        attempts=[a for a in state["attempts"] if a["phase"] == phase],
        requests=len(server.sent_to(client)),
        fallback_requests=len(server.sent_to(rescuer)) - len(server.sent_to(rescuer, "worker")),
        streamed=streamed,
        seconds=seconds,
    )
