"""A hedged phase in the real graph: whatever moment the loser is called off at, the run goes on and counts it."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver

from tests.scripted import Line, Script, scripted_services
from ymera.graphs.workflow import build
from ymera.nodes.health import Health
from ymera.nodes.latencies import ENOUGH
from ymera.nodes.settings import Settings
from ymera.nodes.state import RunContext
from ymera.routing.faults import FaultKind
from ymera.routing.records import ModelProfile

USUAL_S = 0.05
"""How long the first choice usually takes to begin."""


class SlowHealth(Health):
    """Takes its time over a failure, as a file does that another process holds."""

    async def report(
        self, model: ModelProfile, kind: FaultKind | None, *, key_mark: str, asked: float | None = None
    ) -> None:
        if kind is not None:
            await asyncio.sleep(0.5)
        await super().report(model, kind, key_mark=key_mark, asked=asked)


async def hedged(script: Script, settings: Settings) -> dict[str, Any]:
    services = scripted_services(script, settings)
    services.matcher.health = SlowHealth(None)
    for _ in range(ENOUGH):
        services.latencies.add("mistral:codestral-latest", USUAL_S)
    graph = build((("generation",),), services).compile(checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "t"}}
    asked: Any = {"task": "Write the importer", "phases": ["generation"]}
    await graph.ainvoke(asked, config, context=RunContext(hedge=True))
    state: dict[str, Any] = (await graph.aget_state(config)).values
    return state


@pytest.mark.parametrize(
    "late",
    [
        Line(text="too late", seconds=30),
        Line(error=ConnectionError("no route to host"), seconds=2 * USUAL_S),
    ],
    ids=["while it is called", "while it is settled"],
)
async def test_a_loser_is_counted_and_ends_no_run(settings: Settings, late: Line) -> None:
    script = Script(otherwise=Line(text="an answer", seconds=3 * USUAL_S))
    script.lines["codestral-latest"] = deque([late])
    state = await hedged(script, settings)
    assert state["final_result"] == "an answer"
    first, second = state["attempts"]
    assert (first["model"], first["ok"], second["ok"]) == ("codestral-latest", False, True)
    assert first["fault"]["kind"] == ("cancelled" if late.error is None else "unreachable")
    assert len(asyncio.all_tasks()) == 1
