"""A run that broke off in a call knows of it when it goes on in the same process, in a lane as elsewhere.

In a lane LangGraph goes on with the own checkpoint of the lane. Where that was not kept, the graph inside begins as if
for the first time, and the lane says for it that the run was resumed (`Journal.notice` in graphs/workflow.py).
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver

from tests.scripted import Line, Script, scripted_services
from ymera.graphs.workflow import agent_layout, build
from ymera.nodes.settings import Settings

TASK = "Build the importer that the finance team needs for its monthly statements"


class Forgetful(InMemorySaver):
    """A store that keeps what the run writes, and nothing of its lanes: their process died before that was written."""

    async def aput(self, config: RunnableConfig, *given: Any) -> RunnableConfig:
        if config["configurable"].get("checkpoint_ns"):
            return config
        return await super().aput(config, *given)

    async def aput_writes(self, config: RunnableConfig, *given: Any) -> None:
        if not config["configurable"].get("checkpoint_ns"):
            await super().aput_writes(config, *given)


@pytest.mark.parametrize(
    ("agent", "saver"),
    [
        pytest.param("coding_agent", InMemorySaver, id="one after the other"),
        pytest.param("documentation_agent", InMemorySaver, id="side by side"),
        pytest.param("documentation_agent", Forgetful, id="side by side, in lanes of which nothing was kept"),
    ],
)
async def test_a_call_that_broke_off_with_its_run_counts_when_the_run_goes_on(
    agent: str, saver: type[InMemorySaver], settings: Settings
) -> None:
    script = Script(otherwise=Line(text="an answer", seconds=30))
    services = scripted_services(script, settings)
    graph = build(agent_layout(agent, services), services, agent).compile(checkpointer=saver())
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
