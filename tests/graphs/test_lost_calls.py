"""A run that broke off in a call knows of it when it goes on in the same process, in a lane as elsewhere.

In a lane LangGraph goes on with the lane's own checkpoint. One that was not kept yet is noticed by the lane itself
(`Journal.notice` in graphs/workflow.py), which nothing here brings about.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver

from tests.scripted import Line, Script, scripted_services
from ymera.graphs.workflow import agent_layout, build
from ymera.nodes.settings import Settings

TASK = "Build the importer that the finance team needs for its monthly statements"


@pytest.mark.parametrize("agent", ["coding_agent", "documentation_agent"])
async def test_a_call_that_broke_off_with_its_run_counts_when_the_run_goes_on(
    agent: str, settings: Settings
) -> None:
    script = Script(otherwise=Line(text="an answer", seconds=30))
    services = scripted_services(script, settings)
    graph = build(agent_layout(agent, services), services, agent).compile(checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "t"}}
    asked: Any = {"task": TASK, "agent": agent}
    running = asyncio.ensure_future(graph.ainvoke(asked, config, durability="sync"))
    while not script.calls:
        await asyncio.sleep(0.01)
    called = len(script.calls)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    script.otherwise = Line(text="an answer")
    await graph.ainvoke(None, config, durability="sync")
    state = (await graph.aget_state(config)).values
    lost = [a for a in state["attempts"] if a["fault"] and a["fault"]["kind"] == "interrupted"]
    assert len(lost) >= called
    assert state["final_result"] == "an answer"
