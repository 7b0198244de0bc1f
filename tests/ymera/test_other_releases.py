"""Runs that another release has begun, and the graph alone, in the world of today."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.recorded.record import CODE, TASK, record
from tests.scripted import Line, Script
from ymera import MultiModelExecutor, NoUsableModelError, ResumeError, Settings
from ymera.graphs.checkpoints import open_checkpoints
from ymera.graphs.resuming import check_resumable
from ymera.graphs.workflow import build
from ymera.nodes.state import STATE_FORMAT, State
from ymera.routing.errors import NoRunError

from .test_changed_world import BUILTIN, CHANGES, NAME, STANDS, World, answered, stand, with_phases

RECORDED = Path(__file__).parent.parent / "recorded"


@pytest.fixture
def unpacked(settings: Settings, request: pytest.FixtureRequest) -> Settings:
    """The checkpoints that another release has left."""
    path = Path(settings.checkpoints)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.decompress((RECORDED / request.param).read_bytes()))
    return settings


RECORDINGS = sorted(path.name for path in RECORDED.glob("*.sqlite.gz"))


@pytest.mark.parametrize("unpacked", RECORDINGS, indirect=True)
@pytest.mark.parametrize("world", ["nothing", "a model is gone", "a phase is new", "the agent is gone"])
@pytest.mark.parametrize(("thread", "done"), [("sequence", "planning"), ("lanes", "research")])
async def test_a_run_that_another_release_began_goes_on(
    unpacked: Settings, world: str, thread: str, done: str
) -> None:
    script = Script(otherwise=Line(text="an answer"))
    executor = MultiModelExecutor(services=CHANGES[world].services(script, unpacked))
    result = await executor.resume(thread)
    assert result.success, result.error
    assert all(times == 1 for times in answered(result).values())
    assert len(script.calls) == sum(answered(result).values()) - 1
    assert done in answered(result)


@pytest.mark.parametrize("unpacked", RECORDINGS, indirect=True)
async def test_the_result_of_a_run_that_another_release_ended_is_read(unpacked: Settings) -> None:
    script = Script()
    executor = MultiModelExecutor(services=World().services(script, unpacked))
    result = await executor.resume("done")
    assert (result.success, result.final_result, script.calls) == (True, CODE, [])


@pytest.mark.parametrize("unpacked", ["format_1.sqlite.gz"], indirect=True)
async def test_of_a_run_that_does_not_say_whom_it_allows_only_planned_providers_are_asked(
    unpacked: Settings,
) -> None:
    async with open_checkpoints(unpacked) as saver:
        graph = build(None, World().services(Script(), unpacked)).compile(checkpointer=saver)
        config: Any = {"configurable": {"thread_id": "sequence"}}
        plan = (await graph.aget_state(config)).values["plan"]
    ranked = [c for p in plan["phases"] for c in (p["primary_model"], *p["fallback_models"])]
    world = World(locked=frozenset(c["provider"] for c in ranked))
    assert world.locked != frozenset(BUILTIN.providers)
    executor = MultiModelExecutor(services=world.services(Script(), unpacked))
    with pytest.raises(NoUsableModelError, match="no usable model for generation"):
        await executor.resume("sequence")


async def test_the_recording_can_be_made_anew(settings: Settings, tmp_path: Path) -> None:
    await record(tmp_path / "new.sqlite")
    there = settings.model_copy(update={"ymera_checkpoints": str(tmp_path / "new.sqlite")})
    script = Script(otherwise=Line(text="an answer"))
    result = await MultiModelExecutor(services=World().services(script, there)).resume("sequence")
    assert (result.success, len(script.calls)) == (True, 2)


async def test_a_run_of_a_newer_release_is_refused_in_one_line(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as newer:
        for module in ("state", "match"):
            newer.setattr(f"ymera.nodes.{module}.STATE_FORMAT", STATE_FORMAT + 1)
        await stand(STANDS["in generation"], settings)
    services = World().services(Script(), settings)
    why = f"has format {STATE_FORMAT + 1}, this release knows {STATE_FORMAT}"
    with pytest.raises(ResumeError, match=why):
        await MultiModelExecutor(services=services).resume("t")
    async with open_checkpoints(settings) as saver:
        config: Any = {"configurable": {"thread_id": "t"}}
        with pytest.raises(ResumeError, match=why):
            await build(None, services).compile(checkpointer=saver).ainvoke(None, config)


# The graph alone.


async def test_the_graph_alone_goes_on_with_the_models_of_today(settings: Settings) -> None:
    await stand(STANDS["in generation"], settings)
    script = Script(otherwise=Line(text="an answer"))
    services = CHANGES["a key is gone"].services(script, settings)
    async with open_checkpoints(settings) as saver:
        config: Any = {"configurable": {"thread_id": "t"}}
        state: Any = (await build(None, services).compile(checkpointer=saver).aget_state(config)).values
        layout = tuple(tuple(group) for group in state["layout"])
        after: State = await build(layout, services).compile(checkpointer=saver).ainvoke(None, config)  # type: ignore[assignment]
    assert after["final_result"] == "an answer"
    assert NAME not in script.called


@pytest.mark.parametrize(
    ("phases", "lacks"),
    [
        pytest.param(("planning", "research"), "generation", id="without the next phase"),
        pytest.param(("planning", "generation"), "review", id="without a later phase"),
    ],
)
async def test_a_graph_of_another_layout_goes_on_with_nothing_and_says_so(
    settings: Settings, phases: tuple[str, ...], lacks: str
) -> None:
    await stand(STANDS["in generation"], settings)
    script = Script()
    draft = replace(BUILTIN.phases["research"], critical=True, produces=True)
    services = World(catalogue=with_phases(research=draft)).services(script, settings)
    async with open_checkpoints(settings) as saver:
        graph = build(tuple((phase,) for phase in phases), services).compile(checkpointer=saver)
        config: Any = {"configurable": {"thread_id": "t"}}
        with pytest.raises(ResumeError, match=lacks):
            await go_on(graph, config)
    assert script.calls == []


async def go_on(graph: Any, config: Any) -> None:
    """Resume as the documents say: LangGraph itself ends at once where the next node is not there."""
    await check_resumable(graph, config)
    await graph.ainvoke(None, config)


async def test_a_thread_without_a_run_is_no_run_to_be_resumed(settings: Settings) -> None:
    async with open_checkpoints(settings) as saver:
        graph = build(None, World().services(Script(), settings)).compile(checkpointer=saver)
        with pytest.raises(NoRunError):
            await check_resumable(graph, {"configurable": {"thread_id": "new"}})


async def test_a_graph_may_go_on_with_what_it_began_and_with_what_it_ended(settings: Settings) -> None:
    services = World().services(Script(otherwise=Line(text="an answer")), settings)
    async with open_checkpoints(settings) as saver:
        graph = build((("planning",), ("generation",)), services).compile(checkpointer=saver)
        config: Any = {"configurable": {"thread_id": "t"}}
        await graph.ainvoke(
            {"task": TASK, "phases": ["planning", "generation"]}, config, interrupt_before=["generation"]
        )
        await check_resumable(graph, config)
        await graph.ainvoke(None, config)
        await check_resumable(graph, config)
