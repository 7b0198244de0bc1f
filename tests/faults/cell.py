"""One cell of the matrix: a run of the real graph over real HTTP, and what was seen of it."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass, field, replace
from typing import Any

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
from ymera.routing.attempts import Attempt
from ymera.routing.catalogue import builtin_catalogue
from ymera.routing.records import AgentTaskProfile, ModelProfile, Price

from .matrix import Outcome, Row, Situation

SECRET_WORD = "zebra-crossing"
"""Stands in the task, and must stand in no message of a fault."""
TASK = f"Write the {SECRET_WORD} module"
WORK = "The work of another model."
RESCUE = '{"findings": ["rescued"], "decision": "accept"}'
"""What the fallback says: a verdict, or a text that cannot be taken for a broken one's."""
PRICE = Price(input=1.0, output=2.0)
SCORES = dict.fromkeys(("speed", "quality", "code", "reasoning", "accuracy", "creativity", "planning"), 10.0)


@dataclass(kw_only=True)
class Stream:
    """What whoever watches a run is shown: words by attempt, how attempts end, and the state as it stands."""

    words: dict[str, str] = field(default_factory=dict)
    ended: dict[str, bool] = field(default_factory=dict)
    state: Any = None

    def take(self, mode: str, said: Any) -> None:
        """Take in a piece of the stream."""
        if mode == "messages":
            chunk, metadata = said
            name = str(metadata["attempt_id"])
            self.words[name] = self.words.get(name, "") + str(chunk.text)
        elif mode == "values":
            self.state = said
        elif said["event"] == "attempt_ended":
            self.ended[said["attempt"]["id"]] = said["attempt"]["ok"]

    def shown(self) -> list[str]:
        """Return the words of the attempts that are said to have answered."""
        return [words for name, words in self.words.items() if self.ended[name]]


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What was seen of a cell.

    Args:
        attempts: of the phase in which the fault strikes.
        requests, rescues: that reached the first choice, and the fallback, in that phase.
        billed: the tokens that the first choice has reported.
    """

    client: str
    result: MultiModelResult
    attempts: list[Attempt]
    requests: int
    rescues: int
    billed: tuple[int, int]
    stream: Stream

    @property
    def failed(self) -> list[Attempt]:
        """The attempts that failed."""
        return [a for a in self.attempts if not a["ok"]]

    @property
    def kinds(self) -> list[str]:
        """The kinds of their faults."""
        return [a["fault"]["kind"] for a in self.failed if a["fault"]]

    @property
    def outcome(self) -> Outcome:
        """What came of it."""
        if answer := next((a for a in self.attempts if a["ok"]), None):
            return "taken for an answer" if answer["provider"] == self.client else "fallback"
        return "skipped" if self.result.success else "failed"

    @property
    def model(self) -> str:
        """The first choice."""
        return MODELS[self.client].name

    @property
    def text(self) -> str:
        """The run's result."""
        return str(self.result.final_result or "")


def other_than(client: str) -> str:
    """Return the provider of the fallback."""
    return "groq" if client == "openai" else "openai"


def models(client: str, where: Situation, first_word_s: float) -> dict[str, ModelProfile]:
    """Return who takes part: the first choice, a fallback where one is left, and who does the phase before."""
    first = replace(MODELS[client], scores=SCORES, price=PRICE, first_token_s=first_word_s)
    fallback = replace(MODELS[other_than(client)], scores=dict.fromkeys(SCORES, 5.0), price=PRICE)
    worker = replace(fallback, name="worker", model_id="worker", never_for=("review",))
    taking_part = [first, fallback] if where.fallback_left else [first]
    if not where.critical:
        taking_part = [replace(model, never_for=("generation",)) for model in taking_part] + [worker]
    return {model.key: model for model in taking_part}


def services_for(
    client: str, row: Row, where: Situation, settings: Settings, chat_models: ChatModels
) -> Services:
    """Return services on which no other cell has left anything."""
    patience = row.patience(client, where)
    agent = AgentTaskProfile(
        agent_name="tester",
        task_type="test",
        preferred_models=[MODELS[client].key],
        phases_needed=["generation"] if where.critical else ["generation", "review"],
    )
    catalogue = replace(
        builtin_catalogue(),
        providers={**PROVIDERS, client: replace(PROVIDERS[client], silence_s=patience.silence)},
        models=models(client, where, patience.first_word),
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
    server.script(client, then=row.case.reply)
    server.script(rescuer, model="worker", then=Answer(WORK))
    server.script(rescuer, then=Answer(RESCUE))
    layout = (("generation",),) if where.critical else (("generation",), ("review",))
    graph = build(layout, services, "tester").compile()
    stream, began = Stream(), time.perf_counter()
    asked: Any = {"task": TASK, "agent": "tester"}
    async for mode, said in graph.astream(asked, stream_mode=["messages", "custom", "values"]):
        stream.take(str(mode), said)
    return Seen(
        client=client,
        result=result_of(stream.state, thread_id="cell", seconds=time.perf_counter() - began),
        attempts=[a for a in stream.state["attempts"] if a["phase"] == layout[-1][0]],
        requests=len(server.sent_to(client)),
        rescues=len(server.sent_to(rescuer, MODELS[rescuer].model_id)),
        billed=_billed(server, client),
        stream=stream,
    )


def _billed(server: FaultyServer, client: str) -> tuple[int, int]:
    bills = [bill for (provider, _), bill in server.billed.items() if provider == client]
    return sum(bill.input_tokens for bill in bills), sum(bill.output_tokens for bill in bills)
