"""Runs that are told to stop: what is in hand may end within a bound, what was done is kept, nothing is paid twice."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from tests.scripted import Line, Script, scripted_services
from ymera import MultiModelExecutor, MultiModelResult, ProgressEvent, RunContext, RunInterrupted, Settings
from ymera.nodes.latencies import ENOUGH
from ymera.nodes.services import Services
from ymera.progress import LiveTable, PlainLines
from ymera.routing.errors import ThreadBusyError

TASK = "Create a FastAPI endpoint for user management"
CODER = "codestral-latest"
BOUND_S = 0.4
SLACK_S = 2.0
"""Seconds beyond the bound that giving up and keeping the state may take on a busy machine."""


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def services(script: Script, settings: Settings) -> Services:
    return scripted_services(script, settings.model_copy(update={"ymera_drain_seconds": BOUND_S}))


@pytest.fixture
def executor(services: Services) -> MultiModelExecutor:
    return MultiModelExecutor(services=services)


def begin(
    executor: MultiModelExecutor, agent: str = "coding_agent", thread: str = "t"
) -> asyncio.Task[MultiModelResult]:
    run = executor.execute_with_multi_model(agent, TASK, thread_id=thread, use_cache=False)
    return asyncio.create_task(run)


async def calls(script: Script, count: int) -> None:
    """Wait until so many calls have begun."""
    async with asyncio.timeout(10):
        while len(script.calls) < count:
            await asyncio.sleep(0.005)


async def drained(executor: MultiModelExecutor, run: asyncio.Task[MultiModelResult]) -> RunInterrupted:
    """Drain a run within the bound, and return how it was interrupted."""
    began = time.monotonic()
    await executor.drain()
    assert time.monotonic() - began < BOUND_S + SLACK_S
    with pytest.raises(RunInterrupted) as told:
        await run
    assert len(asyncio.all_tasks()) == 1
    return told.value


def kinds(result: MultiModelResult, phase: str) -> list[str]:
    """Return what came of each attempt of a phase."""
    [made] = [p for p in result.phase_results if p.phase == phase]
    return [a["fault"]["kind"] if a["fault"] else "answered" for a in made.attempts]


async def test_a_call_that_ends_in_time_is_kept_and_not_made_again(
    executor: MultiModelExecutor, script: Script
) -> None:
    script.lines[CODER] = deque([Line(text="the code", seconds=BOUND_S / 2), Line(text="other code")])
    run = begin(executor)
    await calls(script, 2)
    told = await drained(executor, run)
    assert (told.thread_id, told.resumable, len(script.calls)) == ("t", True, 2)
    result = await executor.resume("t")
    assert (result.success, result.final_result) == (True, "the code")
    assert script.called.count(CODER) == 1


async def test_a_call_that_takes_too_long_is_given_up_and_what_it_cost_is_remembered(
    executor: MultiModelExecutor, script: Script
) -> None:
    script.lines[CODER] = deque([Line(seconds=60), Line(text="the code")])
    run = begin(executor)
    await calls(script, 2)
    assert (await drained(executor, run)).resumable
    result = await executor.resume("t")
    assert (result.success, kinds(result, "generation")) == (True, ["interrupted", "answered"])
    lost, made = next(p for p in result.phase_results if p.phase == "generation").attempts
    assert lost["usage"]["unpriced"] == 1  # what it cost is not known, and so not counted as nothing
    assert lost["model"] == made["model"] == CODER


async def test_a_stream_is_given_up_as_a_call_is(executor: MultiModelExecutor, script: Script) -> None:
    half = Line(text="half of the code", stands_still_after=2)
    script.lines[CODER] = deque([half, Line(text="the code")])
    run = begin(executor)
    await calls(script, 2)
    await asyncio.sleep(0.05)
    assert (await drained(executor, run)).resumable
    result = await executor.resume("t")
    assert (result.final_result, kinds(result, "generation")) == ("the code", ["interrupted", "answered"])


async def test_phases_side_by_side_may_both_end(executor: MultiModelExecutor, script: Script) -> None:
    script.otherwise = Line(text="a text", seconds=BOUND_S / 3)
    run = begin(executor, "documentation_agent")
    await calls(script, 2)
    assert (await drained(executor, run)).resumable
    assert len(script.calls) == 2
    result = await executor.resume("t")
    assert result.success
    assert (kinds(result, "research"), kinds(result, "generation")) == (["answered"], ["answered"])


async def test_of_phases_side_by_side_one_is_kept_and_the_other_one_is_given_up(
    executor: MultiModelExecutor, script: Script
) -> None:
    quick, slow = await models_of(executor, "documentation_agent", "research", "generation")
    assert quick != slow
    script.lines[quick] = deque([Line(text="found", seconds=0.1)])
    script.lines[slow] = deque([Line(seconds=60), Line(text="the page")])
    run = begin(executor, "documentation_agent")
    await calls(script, 2)
    assert (await drained(executor, run)).resumable
    result = await executor.resume("t")
    assert (result.success, result.final_result) == (True, "the page")
    assert kinds(result, "research") == ["answered"]
    assert kinds(result, "generation") == ["interrupted", "answered"]


async def models_of(executor: MultiModelExecutor, agent: str, *phases: str) -> list[str]:
    plan = await executor.matcher.match_agent_to_models(agent, TASK)
    first = {p["phase"]: p["primary_model"] for p in plan["phases"]}
    return [candidate["model"] for phase in phases if (candidate := first[phase])]


async def test_a_fallback_is_not_begun_any_more(executor: MultiModelExecutor, script: Script) -> None:
    script.lines[CODER] = deque([Line(error=ValueError("broken"), seconds=0.1)])
    run = begin(executor)
    await calls(script, 2)
    assert (await drained(executor, run)).resumable
    assert len(script.calls) == 2
    result = await executor.resume("t")
    assert result.success
    assert script.called.count(CODER) == 1


async def test_a_hedge_and_the_late_one_beside_it_are_given_up_together(
    executor: MultiModelExecutor, services: Services, script: Script
) -> None:
    for _ in range(ENOUGH):
        services.latencies.add(f"mistral:{CODER}", 0.05)
    script.otherwise = Line(text="an answer", seconds=60)
    script.lines[CODER] = deque([Line(seconds=60), Line(text="the code")])
    run = begin_hedged(executor)
    await calls(script, 2)
    assert (await drained(executor, run)).resumable
    script.otherwise = Line(text="an answer")
    result = await executor.resume("t")
    assert (result.success, kinds(result, "generation")) == (True, ["interrupted", "interrupted", "answered"])


def begin_hedged(executor: MultiModelExecutor) -> asyncio.Task[MultiModelResult]:
    run = executor.execute_with_multi_model(
        "coding_agent",
        TASK,
        enable_phases=["generation"],
        context=RunContext(hedge=True),
        thread_id="t",
        use_cache=False,
    )
    return asyncio.create_task(run)


async def test_a_wait_is_not_waited_out(services: Services, script: Script) -> None:
    waiting = asyncio.Event()

    async def for_ever(seconds: float) -> None:
        waiting.set()
        await asyncio.sleep(600)

    executor = MultiModelExecutor(services=replace(services, pause=for_ever))
    script.lines[CODER] = deque([Line(error=ConnectionError("no route")), Line(text="the code")])
    run = begin(executor)
    await asyncio.wait_for(waiting.wait(), 10)
    assert (await drained(executor, run)).resumable
    resumed = MultiModelExecutor(services=services)
    assert (await resumed.resume("t")).final_result == "the code"


async def test_the_last_call_ends_its_run_all_the_same(executor: MultiModelExecutor, script: Script) -> None:
    script.judge = replace(script.judge, seconds=BOUND_S / 2)
    run = begin(executor)
    await calls(script, 3)
    await executor.drain()
    assert (await run).success


async def test_a_run_that_has_not_begun_is_not_begun_any_more(
    executor: MultiModelExecutor, script: Script
) -> None:
    run = begin(executor)
    await asyncio.sleep(0)  # it is under way, and chooses
    told = await drained(executor, run)
    assert (told.resumable, script.calls) == (False, [])


async def test_all_runs_stop_and_later_ones_are_not_concerned(
    executor: MultiModelExecutor, script: Script
) -> None:
    script.otherwise = Line(text="an answer", seconds=60)
    runs = [begin(executor, thread=f"t{number}") for number in range(20)]
    await calls(script, 20)
    began = time.monotonic()
    await executor.drain()
    assert time.monotonic() - began < BOUND_S + SLACK_S
    stopped = await asyncio.gather(*runs, return_exceptions=True)
    assert all(isinstance(told, RunInterrupted) and told.thread_id for told in stopped)
    script.otherwise = Line(text="an answer")
    assert (await begin(executor, thread="later")).success
    assert all([(await executor.resume(f"t{number}")).success for number in range(20)])


async def test_another_thread_may_ask_and_asking_twice_changes_nothing(
    executor: MultiModelExecutor, script: Script
) -> None:
    executor.request_drain()
    await executor.drain()
    script.otherwise = Line(text="an answer", seconds=BOUND_S / 2)
    run = begin(executor)
    await calls(script, 1)
    await asyncio.to_thread(executor.request_drain)
    await asyncio.to_thread(executor.request_drain)
    with pytest.raises(RunInterrupted):
        await run
    assert len(script.calls) == 1


async def test_whoever_watches_is_told_how_long_it_may_take(
    executor: MultiModelExecutor, script: Script
) -> None:
    script.otherwise = Line(seconds=60)
    seen: list[ProgressEvent] = []

    async def watch() -> None:
        async for event in executor.stream("coding_agent", TASK, thread_id="t"):
            seen.append(event)
            if event["event"] == "attempt_started":
                executor.request_drain()

    with pytest.raises(RunInterrupted):
        await watch()
    assert seen[-1] == {"event": "draining", "seconds": BOUND_S}


async def test_a_cancelled_task_gives_up_at_once_and_its_run_goes_on_later(
    executor: MultiModelExecutor, script: Script
) -> None:
    script.lines[CODER] = deque([Line(seconds=60), Line(text="the code")])
    run = begin(executor)
    await calls(script, 2)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert len(asyncio.all_tasks()) == 1
    result = await executor.resume("t")
    assert (result.success, kinds(result, "generation")) == (True, ["interrupted", "answered"])


async def test_whoever_leaves_ends_the_run_and_frees_its_thread(
    executor: MultiModelExecutor, script: Script
) -> None:
    events = executor.stream("coding_agent", TASK, thread_id="t", use_cache=False)
    async for event in events:
        if event["event"] == "attempt_started":
            break
    with pytest.raises(ThreadBusyError, match="Another run is under way on thread 't'"):
        await executor.resume("t")
    await events.aclose()
    assert len(asyncio.all_tasks()) == 1
    assert (await executor.resume("t")).success


@pytest.mark.parametrize("kind", ["lines", "table"])
def test_the_terminal_says_that_a_run_is_being_stopped_and_what_was_matched_again(kind: str) -> None:
    out = Console(file=StringIO(), force_terminal=kind == "table", width=200, color_system=None)
    progress = PlainLines(out=out) if kind == "lines" else LiveTable(out, keep=True)
    with progress:
        progress.tell({"event": "rematched", "phase": "review", "why": "a key is gone"})
        progress.tell({"event": "draining", "seconds": 8.0})
    assert isinstance(out.file, StringIO)
    shown = out.file.getvalue()
    assert "Stopping: calls in hand may end within 8 s. Another Ctrl-C stops at once." in shown
    assert "matched again: a key is gone" in shown
