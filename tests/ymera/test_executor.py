"""The Python interface: the specification's examples, the cache, the stream of events, threads."""

from __future__ import annotations

import asyncio
from collections import deque
from pathlib import Path
from unittest.mock import AsyncMock

import pytest
from dirty_equals import IsStr
from httpx import RemoteProtocolError

from tests.scripted import REVISE, Line, Script, scripted_services
from ymera import (
    AgentTaskProfile,
    InputError,
    ModelProfile,
    MultiModelExecutor,
    MultiModelResult,
    NoUsableModelError,
    ProgressEvent,
    ResumeError,
    RunContext,
    Settings,
    TaskPhase,
)
from ymera.routing.attempts import Verdict

TASK = "Create a FastAPI endpoint for user management"
DOWN = ConnectionError("no route to host")


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def executor(script: Script, settings: Settings) -> MultiModelExecutor:
    return MultiModelExecutor(services=scripted_services(script, settings))


async def test_the_basic_usage_of_the_specification(executor: MultiModelExecutor, script: Script) -> None:
    script.otherwise = Line(text="```python\napp = 1\n```")
    result = await executor.execute_with_multi_model(
        agent_name="coding_agent",
        task_description=TASK,
        task_parameters={"language": "python", "framework": "fastapi"},
    )
    assert result.success
    assert result.strategy_type in ("multi_model", "single_model")
    assert result.successful_phases == result.total_phases == 3
    assert result.final_result == "```python\napp = 1\n```"
    assert result.skipped_phases == {"refinement": "skipped: the review accepted the result"}


async def test_only_the_phases_asked_for_are_run(executor: MultiModelExecutor) -> None:
    result = await executor.execute_with_multi_model(
        agent_name="coding_agent",
        task_description="Quick code snippet",
        task_parameters={"language": "python"},
        enable_phases=["planning", "generation"],
    )
    assert [phase.phase for phase in result.phase_results] == ["planning", "generation"]


async def test_a_run_follows_the_plan_that_was_made_before_its_graph_began(
    executor: MultiModelExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    choosing = AsyncMock(side_effect=executor.matcher.choose)
    monkeypatch.setattr(executor.matcher, "choose", choosing)
    result = await executor.execute_with_multi_model("documentation_agent", TASK)
    planned = await executor.matcher.match_agent_to_models("documentation_agent", TASK)
    assert choosing.await_count == 2
    assert result.plan == planned
    assert "side by side" in planned["reason"]


async def test_a_profile_of_ones_own_runs_on_its_one_model(executor: MultiModelExecutor) -> None:
    executor.matcher.agent_profiles["custom_agent"] = AgentTaskProfile(
        agent_name="custom_agent",
        task_type="custom",
        preferred_models=["gemini-3.8-flash"],
        phases_needed=[TaskPhase.GENERATION],
        can_use_multiple_models=False,
    )
    result = await executor.execute_with_multi_model("custom_agent", TASK, {})
    assert (result.strategy_type, result.total_phases, result.success) == ("single_model", 1, True)


def test_the_synchronous_form_works_without_an_event_loop(executor: MultiModelExecutor) -> None:
    assert executor.execute_sync("coding_agent", TASK).success


async def test_the_same_task_is_answered_from_the_store_and_calls_no_model(
    executor: MultiModelExecutor, script: Script
) -> None:
    first = await executor.execute_with_multi_model("coding_agent", TASK, {"a": 1, "b": 2})
    calls = len(script.calls)
    second = await executor.execute_with_multi_model("coding_agent", TASK, {"b": 2, "a": 1})
    assert (first.cached, second.cached, len(script.calls)) == (False, True, calls)
    assert second.final_result == first.final_result


@pytest.mark.parametrize("change", ["task", "agent", "parameters", "phases", "context", "bypass"])
async def test_whatever_changes_the_answer_misses_the_store(
    executor: MultiModelExecutor, script: Script, change: str
) -> None:
    await executor.execute_with_multi_model("coding_agent", TASK, {"a": 1})
    calls = len(script.calls)
    result = await executor.execute_with_multi_model(
        "database_agent" if change == "agent" else "coding_agent",
        f"{TASK}!" if change == "task" else TASK,
        {"a": 2} if change == "parameters" else {"a": 1},
        ["generation"] if change == "phases" else None,
        context=RunContext(temperature=0.5) if change == "context" else None,
        use_cache=change != "bypass",
    )
    assert not result.cached
    assert len(script.calls) > calls


async def test_a_failed_result_is_never_stored(executor: MultiModelExecutor, script: Script) -> None:
    script.otherwise = Line(error=DOWN)
    failed = await executor.execute_with_multi_model("coding_agent", TASK)
    script.otherwise = Line(text="an answer")
    again = await executor.execute_with_multi_model("coding_agent", TASK)
    assert (failed.success, again.success, again.cached) == (False, True, False)
    assert failed.error == IsStr(
        regex="All phases failed: planning has no candidate left.*unreachable.*", regex_flags=16
    )


async def test_without_a_time_to_live_nothing_is_stored(script: Script, settings: Settings) -> None:
    off = settings.model_copy(update={"ymera_cache_ttl": 0})
    executor = MultiModelExecutor(services=scripted_services(script, off))
    await executor.execute_with_multi_model("coding_agent", TASK)
    assert not (await executor.execute_with_multi_model("coding_agent", TASK)).cached


async def test_the_stream_tells_of_every_attempt_and_ends_with_the_result(
    executor: MultiModelExecutor, script: Script
) -> None:
    broken = Line(text="one two", breaks_after=1, error=RemoteProtocolError("incomplete chunked read"))
    script.lines["codestral-latest"] = deque([broken])
    events: list[ProgressEvent] = [event async for event in executor.stream("coding_agent", TASK)]
    kinds = [event["event"] for event in events]
    assert (kinds[0], kinds[1], kinds[-1]) == ("started", "planned", "finished")
    assert kinds.count("attempt_started") == kinds.count("attempt_ended") == 4
    texts = {e["attempt_id"]: "" for e in events if e["event"] == "token"}
    for event in events:
        if event["event"] == "token":
            texts[event["attempt_id"]] += event["text"]
    failed = [e["attempt"]["id"] for e in events if e["event"] == "attempt_ended" and not e["attempt"]["ok"]]
    assert failed == ["generation-1"]
    assert (texts["generation-1"], texts["generation-2"]) == ("one", "an answer")
    assert events[-1]["result"].success


async def test_the_models_used_are_those_that_answered(executor: MultiModelExecutor, script: Script) -> None:
    script.lines["codestral-latest"] = deque([Line(error=DOWN)])
    result = await executor.execute_with_multi_model("coding_agent", TASK)
    generation = result.phase_results[1]
    assert "codestral-latest" not in result.models_used
    assert len(generation.attempts) == 3
    assert generation.reason.startswith(
        "tried again: codestral-latest failed (unreachable); "
        "fallback no. 1: codestral-latest failed (unreachable)"
    )


async def test_a_cancelled_run_goes_on_when_the_same_thread_is_run_again(
    executor: MultiModelExecutor, script: Script
) -> None:
    script.lines["codestral-latest"] = deque([Line(text="late", seconds=60), Line(text="done")])
    running = asyncio.create_task(executor.execute_with_multi_model("coding_agent", TASK, thread_id="mine"))
    while "codestral-latest" not in script.called:
        await asyncio.sleep(0.01)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    planned = script.called.count("openai/gpt-oss-120b")
    result = await executor.execute_with_multi_model("coding_agent", TASK, thread_id="mine")
    assert (result.success, result.final_result, result.thread_id) == (True, "done", "mine")
    assert script.called.count("openai/gpt-oss-120b") == planned == 1
    assert (await executor.resume("mine")).final_result == "done"


async def test_another_task_on_the_thread_begins_a_run_of_its_own(executor: MultiModelExecutor) -> None:
    await executor.execute_with_multi_model("coding_agent", TASK, thread_id="mine")
    second = await executor.execute_with_multi_model("database_agent", "Write a query", thread_id="mine")
    assert [phase.phase for phase in second.phase_results] == ["planning", "generation", "validation"]


async def test_resuming_an_unknown_thread_says_so(executor: MultiModelExecutor) -> None:
    with pytest.raises(ResumeError, match="No run to resume on thread 'nobody'"):
        await executor.resume("nobody")


async def test_a_budget_stop_is_a_result_with_what_was_done(executor: MultiModelExecutor) -> None:
    result = await executor.execute_with_multi_model(
        "coding_agent", TASK, context=RunContext(budget_tokens=1)
    )
    assert not result.success
    assert result.stopped_by_budget is not None
    assert result.stopped_by_budget.endswith("1 of the run's 1 tokens are left")
    assert [phase.phase for phase in result.phase_results] == ["planning"]
    assert (result.error, result.total_tokens_used) == (None, 0)


async def test_parameters_that_are_not_json_are_refused(executor: MultiModelExecutor) -> None:
    with pytest.raises(InputError, match="not a JSON object"):
        await executor.execute_with_multi_model("coding_agent", TASK, {"when": object()})


async def test_without_any_usable_model_the_error_says_what_unlocks_one(
    script: Script, settings: Settings
) -> None:
    services = scripted_services(script, settings, models={})
    with pytest.raises(NoUsableModelError, match="Set a provider's key"):
        await MultiModelExecutor(services=services).execute_with_multi_model("coding_agent", TASK)


async def test_a_corrupt_checkpoint_file_is_named_with_the_mend(script: Script, settings: Settings) -> None:
    path = Path(settings.checkpoints)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"this is no database, but long enough to be read as one" * 20)
    with pytest.raises(InputError, match="Move it away, or name another with YMERA_CHECKPOINTS"):
        await MultiModelExecutor(services=scripted_services(script, settings)).execute_with_multi_model(
            "coding_agent", TASK
        )


async def test_a_checkpoint_path_that_is_a_folder_is_named_with_the_mend(
    script: Script, settings: Settings
) -> None:
    Path(settings.checkpoints).mkdir(parents=True)
    with pytest.raises(InputError, match="Move it away, or name another with YMERA_CHECKPOINTS"):
        await MultiModelExecutor(services=scripted_services(script, settings)).execute_with_multi_model(
            "coding_agent", TASK
        )


async def test_many_runs_share_one_checkpoint_file(executor: MultiModelExecutor) -> None:
    runs = [executor.execute_with_multi_model("coding_agent", f"{TASK} no. {i}") for i in range(20)]
    results: list[MultiModelResult] = await asyncio.gather(*runs)
    assert all(result.success for result in results)
    assert len({result.thread_id for result in results}) == 20


async def test_a_review_that_asks_for_more_is_followed_by_refinement(
    executor: MultiModelExecutor, script: Script
) -> None:
    script.judge = Line(text=REVISE)
    result = await executor.execute_with_multi_model("coding_agent", TASK)
    assert [phase.phase for phase in result.phase_results][-1] == "refinement"
    assert result.phase_results[2].verdict == Verdict(
        decision="revise", findings=["the greeting is missing"], checks=[]
    )


async def test_models_added_from_python_count_from_the_next_run(executor: MultiModelExecutor) -> None:
    mine = ModelProfile(
        name="mine",
        provider="openai",
        model_id="mine",
        scores=dict.fromkeys(("speed", "quality", "code", "reasoning", "accuracy", "planning", "cost"), 10.0),
        context_tokens=100_000,
        max_output_tokens=8_000,
    )
    executor.matcher.models[mine.key] = mine
    result = await executor.execute_with_multi_model("coding_agent", TASK, context=RunContext(model="mine"))
    assert result.models_used == ["mine"]
    assert not result.cost_known
