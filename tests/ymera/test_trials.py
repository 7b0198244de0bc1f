"""Trials from the run to the report: who is given an arm, what is noted of it, and how harm ends it."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from tests.scripted import (
    REVISE,
    Line,
    OpenMatcher,
    Script,
    ScriptedModels,
    no_time,
)
from ymera import InputError, MultiModelExecutor, MultiModelResult, RunContext, Settings
from ymera.graphs.workflow import agent_layout, build
from ymera.nodes.matching import AgentModelMatcher
from ymera.nodes.services import services_over
from ymera.outcome_files import read_rows, write_rows
from ymera.routing.attempts import Gate
from ymera.routing.catalogue import builtin_catalogue
from ymera.routing.records import ModelProfile
from ymera.routing.standings import ArmStanding
from ymera.routing.trials import Arm, Trial

TASK = "Create an API endpoint for user management with sessions, roles and pages"
MODEL = "mistral-small-latest"
TRIAL = Trial(name="one-model", arms=(Arm(name="usual"), Arm(name="one", model=MODEL)))


class Lacking(OpenMatcher):
    """A matcher for which the trial's model may not be called."""

    def unavailable(self, model: ModelProfile) -> str | None:
        return "its key is not set" if model.name == MODEL else None


def executor_of(
    settings: Settings,
    script: Script | None = None,
    *,
    trial: Trial = TRIAL,
    kind: type[AgentModelMatcher] = OpenMatcher,
) -> MultiModelExecutor:
    matcher = kind(settings, builtin_catalogue(), trial=trial)
    services = services_over(ScriptedModels(script or Script()), matcher)
    return MultiModelExecutor(services=replace(services, pause=no_time))


async def run(
    executor: MultiModelExecutor, number: int, agent: str = "coding_agent", **given: Any
) -> MultiModelResult:
    return await executor.execute_with_multi_model(agent, TASK, {"number": number}, **given)


async def met(executor: MultiModelExecutor, number: int, agent: str = "coding_agent") -> str:
    """Return the arm that a task would meet; empty: none."""
    _look_again(executor)
    plan = await executor.matcher.match_agent_to_models(agent, TASK, {"number": number})
    return plan["trial"]["arm"] if "trial" in plan else ""


def arm_of(result: MultiModelResult) -> str:
    assert result.plan is not None
    return result.plan["trial"]["arm"] if "trial" in result.plan else ""


def _look_again(executor: MultiModelExecutor) -> None:
    """Let the next match look at the rows, however soon it comes after the last one."""
    executor.matcher.trials._looked_at = float("-inf")


async def numbers_of(executor: MultiModelExecutor, arm: str, count: int) -> list[int]:
    """Return parameters with which the task meets an arm."""
    return [number for number in range(10 * count) if await met(executor, number) == arm][:count]


async def standing_of(executor: MultiModelExecutor, arm: str) -> ArmStanding:
    await executor.services.outcomes.rows()  # what the journal was told is written in its own time
    return next(each for each in await executor.matcher.trials.standings() if each.arm == arm)


# --- who is given an arm -----------------------------------------------------------------------------------


async def test_runs_are_planned_by_the_arm_that_their_task_meets(settings: Settings) -> None:
    executor, seen = executor_of(settings), set()
    for number in range(8):
        result = await run(executor, number)
        assert result.plan is not None
        assert arm_of(result) == await met(executor, number)
        assert f"arm {arm_of(result)!r} of trial 'one-model'" in result.plan["reason"]
        assert (set(result.models_used) == {MODEL}) == (arm_of(result) == "one")
        seen.add(arm_of(result))
    assert seen == {"usual", "one"}


async def test_the_same_task_meets_the_same_arm_whoever_runs_it_and_wherever(settings: Settings) -> None:
    one, other = executor_of(settings), executor_of(settings.model_copy(update={"ymera_tenant": "other"}))
    for number in range(6):
        assert await met(one, number) == await met(other, number)
        assert arm_of(await run(one, number, thread_id=f"thread-{number}")) == await met(one, number)


@pytest.mark.parametrize(
    "wish",
    [
        {"strategy": "auto"},
        {"model": "codestral-latest"},
        {"providers": ["groq"]},
        {"thrift": 0.0},
        {"attempts": 2},
        {"rounds": 1},
        {"most_usd": 1.0},
        {"most_seconds": 100.0},
        {"least_quality": 0.5},
    ],
    ids=lambda wish: next(iter(wish)),
)
async def test_a_run_whose_caller_says_how_it_is_planned_takes_no_part(
    wish: dict[str, Any], settings: Settings
) -> None:
    executor = executor_of(settings)
    (number,) = await numbers_of(executor, "one", 1)
    result = await run(executor, number, context=RunContext(**wish))
    assert arm_of(result) == ""
    assert MODEL not in result.models_used
    assert [each.runs for each in await executor.matcher.trials.standings()] == [0, 0]


@pytest.mark.parametrize(
    "wish", [{"budget_usd": 5.0}, {"temperature": 0.5}, {"phase_timeout": 60.0}], ids=str
)
async def test_what_does_not_concern_the_plan_keeps_no_run_out(
    wish: dict[str, Any], settings: Settings
) -> None:
    executor = executor_of(settings)
    (number,) = await numbers_of(executor, "one", 1)
    assert arm_of(await run(executor, number, context=RunContext(**wish))) == "one"


async def test_runs_of_other_agents_take_no_part(settings: Settings) -> None:
    executor = executor_of(settings, trial=replace(TRIAL, agents=("coding_agent",)))
    assert await met(executor, 0, "analysis_agent") == ""
    assert await met(executor, 0, "coding") == await met(executor, 0) != ""


async def test_an_arm_whose_model_cannot_be_called_is_not_tried_and_the_plan_says_so(
    settings: Settings,
) -> None:
    executor = executor_of(settings, kind=Lacking)
    plans = [
        await executor.matcher.match_agent_to_models("coding_agent", TASK, {"number": number})
        for number in range(8)
    ]
    assert {plan["trial"]["arm"] for plan in plans if "trial" in plan} == {"usual"}
    without = [plan for plan in plans if "trial" not in plan]
    assert without
    assert all("its key is not set" in str(plan["warnings"]) for plan in without)


async def test_parameters_that_are_no_json_are_refused_as_ever(settings: Settings) -> None:
    with pytest.raises(InputError, match="JSON"):
        await executor_of(settings).matcher.match_agent_to_models("coding_agent", TASK, {"a": {1, 2}})


# --- what is noted of it -----------------------------------------------------------------------------------


async def test_a_run_counts_with_its_verdict_and_then_with_what_a_person_says(settings: Settings) -> None:
    executor = executor_of(settings, Script(judge=Line(text=REVISE)))
    (number,) = await numbers_of(executor, "one", 1)
    result = await run(executor, number)
    standing = await standing_of(executor, "one")
    assert (standing.runs, standing.ended, standing.outcomes, standing.mean) == (1, 1, 1, 0.0)
    assert standing.usd == pytest.approx(result.total_cost, abs=1e-8)
    await executor.record_feedback(result.run_id, 0.8)
    assert (await standing_of(executor, "one")).mean == 0.8


async def test_runs_of_a_graph_without_a_checkpointer_count_too(settings: Settings) -> None:
    services = executor_of(settings).services
    graph = build(agent_layout("coding_agent", services), services).compile()
    for number in range(4):
        await graph.ainvoke({"task": TASK, "parameters": {"number": number}})
    await services.outcomes.rows()  # the journal writes what it is told in its own time, one after the other
    found = await services.matcher.trials.standings()
    assert sum(each.ended for each in found) == sum(each.outcomes for each in found) == 4


@pytest.mark.parametrize("side_by_side", [1, 2], ids=["one after the other", "side by side"])
@pytest.mark.parametrize(
    ("script", "context", "how"),
    [
        pytest.param(Script(), RunContext(), "succeeded", id="a result"),
        pytest.param(
            Script(otherwise=Line(error=ConnectionError("no route"))), RunContext(), "failed", id="no answer"
        ),
        pytest.param(Script(), RunContext(budget_tokens=1), "budget", id="a budget is spent"),
        pytest.param(
            Script(judge=Line(error=ConnectionError("no route"))), RunContext(), "succeeded", id="no verdict"
        ),
    ],
)
async def test_how_a_run_ended_is_noted(
    script: Script, context: RunContext, how: str, side_by_side: int, settings: Settings
) -> None:
    executor = executor_of(settings.model_copy(update={"max_parallel_phases": side_by_side}), script)
    result = await run(executor, 0, context=context)
    assert result.success == (how == "succeeded")
    await executor.services.outcomes.rows()  # what the journal was told is written in its own time
    (ended,) = _kept(settings, "SELECT ended FROM trial_runs")
    assert ended == (how,)
    standing = await standing_of(executor, arm_of(result))
    assert standing.ended == 1
    if how != "succeeded":
        assert standing.mean == 0


def _kept(settings: Settings, query: str) -> list[tuple[Any, ...]]:
    db = sqlite3.connect(settings.ymera_data_dir / "journal.sqlite")
    try:
        return db.execute(query).fetchall()
    finally:
        db.close()


@pytest.mark.parametrize(
    ("gate", "answers", "how", "mean"),
    [
        pytest.param("plan", [{"decision": "reject", "why": "no"}], "failed", 0.0, id="the plan is rejected"),
        pytest.param("plan", [{"decision": "approve"}], "succeeded", 1.0, id="the plan is approved"),
        pytest.param("review", [{"decision": "accept"}], "succeeded", 1.0, id="the result is accepted"),
        pytest.param(
            "review",
            [{"decision": "revise", "note": "shorter"}],
            "succeeded",
            0.0,
            id="the result is sent back",
        ),
        pytest.param(
            "review",
            [{"decision": "model", "model": "mistral-large-4"}, {"decision": "accept"}],
            "succeeded",
            1.0,
            id="the result is made again by another model, and accepted",
        ),
    ],
)
async def test_what_a_person_decides_at_a_gate_is_what_the_run_came_to(
    gate: Gate, answers: list[dict[str, str]], how: str, mean: float, settings: Settings
) -> None:
    executor = executor_of(settings)
    result = await run(executor, 0, context=RunContext(approve=[gate]), thread_id="t")
    for answer in answers:
        assert result.waiting is not None
        waiting = await standing_of(executor, arm_of(result))
        assert (waiting.runs, waiting.ended, waiting.outcomes) == (1, 0, 0), "it waits for a person"
        result = await executor.resume("t", answer=answer)
    assert result.success == (how == "succeeded")
    standing = await standing_of(executor, arm_of(result))
    assert (standing.ended, standing.outcomes, standing.mean) == (1, 1, mean)
    assert _kept(settings, "SELECT ended FROM trial_runs") == [(how,)]


async def test_a_run_whose_phase_before_a_gate_fails_has_ended(settings: Settings) -> None:
    executor = executor_of(settings, Script(otherwise=Line(error=ConnectionError("no route"))))
    result = await run(executor, 0, context=RunContext(approve=["plan", "review"]), thread_id="t")
    while result.waiting:
        result = await executor.resume("t", answer={"decision": result.waiting["answers"][0]["decision"]})
    assert not result.success
    standing = await standing_of(executor, arm_of(result))
    assert (standing.ended, standing.mean) == (1, 0.0)


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
async def test_outcomes_go_out_and_in_with_their_arms_and_count_there_too(
    kind: str, settings: Settings, tmp_path: Path
) -> None:
    executor = executor_of(settings)
    for number in range(6):
        result = await run(executor, number)
        await executor.record_feedback(result.run_id, number / 10)
    rows = await executor.services.outcomes.rows()
    assert {(row["trial"], row["arm"]) for row in rows} == {(TRIAL.mark, "usual"), (TRIAL.mark, "one")}
    write_rows(tmp_path / f"rows.{kind}", rows)
    other = executor_of(settings.model_copy(update={"ymera_data_dir": tmp_path / "elsewhere"}))
    for _ in range(2):
        await other.services.outcomes.take_in(read_rows(tmp_path / f"rows.{kind}"))
    assert await other.services.outcomes.rows() == rows
    for arm in ("usual", "one"):
        assert await standing_of(other, arm) == await standing_of(executor, arm)


async def test_a_run_that_has_not_ended_counts_for_nothing(settings: Settings) -> None:
    executor = executor_of(settings, Script(otherwise=Line(text="late", seconds=30)))
    task = asyncio.create_task(run(executor, 0))
    while not (found := [each for each in await executor.matcher.trials.standings() if each.runs]):
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (found[0].runs, found[0].ended, found[0].outcomes) == (1, 0, 0)


async def test_a_run_that_is_resumed_keeps_its_arm_and_counts_once(settings: Settings) -> None:
    script = Script(otherwise=Line(text="late", seconds=30))
    executor = executor_of(settings, script)
    task = asyncio.create_task(run(executor, 0, thread_id="t"))
    while not script.calls:
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    script.otherwise = Line(text="an answer")
    result = await executor.resume("t")
    assert result.success
    assert arm_of(result) == await met(executor, 0)
    standing = await standing_of(executor, arm_of(result))
    assert (standing.runs, standing.ended, standing.outcomes) == (1, 1, 1)


async def test_each_tenant_sees_its_own_runs(settings: Settings) -> None:
    one = executor_of(settings.model_copy(update={"ymera_tenant": "one"}))
    other = executor_of(settings.model_copy(update={"ymera_tenant": "other"}))
    await run(one, 0)
    await one.services.outcomes.rows()
    assert sum(each.runs for each in await one.matcher.trials.standings()) == 1
    await other.services.outcomes.rows()
    assert sum(each.runs for each in await other.matcher.trials.standings()) == 0


@pytest.mark.parametrize("key", [None, "an-aes-key-of-32-bytes-is-enough"], ids=["plain", "encrypted"])
async def test_no_word_of_a_task_stands_in_the_rows(key: str | None, settings: Settings) -> None:
    secret = SecretStr(key) if key else None
    executor = executor_of(settings.model_copy(update={"langgraph_aes_key": secret}))
    await run(executor, 0)
    ((unit,),) = _kept(settings, "SELECT unit FROM trial_runs")
    assert len(unit) == 64
    assert "user management" not in str(_kept(settings, "SELECT * FROM trial_runs"))


async def test_rows_that_are_none_are_passed_over(settings: Settings) -> None:
    executor = executor_of(settings)
    result = await run(executor, 0)
    mark = TRIAL.mark
    db = sqlite3.connect(settings.ymera_data_dir / "journal.sqlite")
    with db:
        for begun in ("x", -1.0, float("inf"), b"\0"):
            row = ("", mark, f"run {begun!r}", arm_of(result), "u", begun)
            db.execute(
                "INSERT INTO trial_runs (tenant, trial, run, arm, unit, begun_at) VALUES (?, ?, ?, ?, ?, ?)",
                row,
            )
    db.close()
    assert (await standing_of(executor, arm_of(result))).runs == 1


async def test_a_database_of_an_older_release_is_taken_as_it_is(settings: Settings) -> None:
    executor = executor_of(settings)
    await run(executor, 0)
    db = sqlite3.connect(settings.ymera_data_dir / "journal.sqlite")
    with db:
        db.execute("DROP TABLE trial_runs")
    db.close()
    newer = executor_of(settings)
    await run(newer, 1)
    await newer.services.outcomes.rows()
    assert sum(each.runs for each in await newer.matcher.trials.standings()) == 1


async def test_without_a_database_no_run_takes_part(
    settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "journal.sqlite").write_text("no database, but long enough to be taken for one" * 9)
    executor = executor_of(settings)
    assert await met(executor, 0) == ""
    assert "No run takes part in the trial one-model" in caplog.text
    with pytest.raises(InputError, match="cannot be read"):
        await executor.matcher.trials.standings()


async def test_runs_are_noted_the_same_in_postgresql(settings: Settings, postgres_url: str) -> None:
    executor = executor_of(settings.model_copy(update={"ymera_database_url": SecretStr(postgres_url)}))
    result = await run(executor, 0)
    await executor.record_feedback(result.run_id, 0.8)
    standing = await standing_of(executor, arm_of(result))
    assert (standing.runs, standing.ended, standing.outcomes, standing.mean) == (1, 1, 1, 0.8)


# --- harm --------------------------------------------------------------------------------------------------


async def rated(executor: MultiModelExecutor, marks: Mapping[str, float], numbers: range) -> None:
    for number in numbers:
        result = await run(executor, number)
        await executor.record_feedback(result.run_id, marks[arm_of(result)])


async def test_an_arm_that_does_harm_is_given_no_more_runs_by_any_executor(settings: Settings) -> None:
    executor, other = executor_of(settings), executor_of(settings)
    numbers = range(1_000, 1_020)
    before = [await met(other, number) for number in numbers]
    await rated(executor, {"usual": 0.9, "one": 0.1}, range(40))
    assert {await met(other, number) for number in numbers} == {"usual"}
    assert "one" in before
    spared = numbers[before.index("one")]
    plan = await other.matcher.match_agent_to_models("coding_agent", TASK, {"number": spared})
    assert "since 'one' does harm, and was stopped on" in plan["reason"]
    standing = await standing_of(other, "one")
    assert standing.standing == "harm"
    assert standing.runs < 20
    assert arm_of(await run(other, spared)) == "usual"


async def test_a_second_process_learns_of_the_harm(settings: Settings, tmp_path: Path) -> None:
    executor = executor_of(settings)
    (number,) = await numbers_of(executor, "one", 1)
    await rated(executor, {"usual": 1.0, "one": 0.0}, range(100, 140))
    (tmp_path / "trial.toml").write_text(
        f'name = "one-model"\n[[arms]]\nname = "usual"\n[[arms]]\nname = "one"\nmodel = "{MODEL}"\n'
    )
    program = (
        "import asyncio, json; from ymera import AgentModelMatcher; "
        f"plan = asyncio.run(AgentModelMatcher().match_agent_to_models('coding_agent', {TASK!r}, "
        f"{{'number': {number}}})); print(json.dumps(plan['trial']))"
    )
    variables = {
        "YMERA_DATA_DIR": str(settings.ymera_data_dir),
        "YMERA_TRIAL": str(tmp_path / "trial.toml"),
        "MISTRAL_API_KEY": "x",
        "PATH": "",
    }
    told = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", program],
        env=variables,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(told.stdout)["arm"] == "usual"
    assert "'one' does harm" in json.loads(told.stdout)["reason"]


async def test_an_arm_that_breaks_is_stopped_without_a_word_of_anybody(settings: Settings) -> None:
    script = Script()
    script.lines[MODEL].append(Line(error=ConnectionError("no route")))
    executor = executor_of(settings, script)
    for number in range(60):
        await run(executor, number)
    standing = await standing_of(executor, "one")
    assert (standing.standing, standing.mean) == ("harm", 0.0)
    assert await numbers_of(executor, "one", 1) == []


async def test_an_arm_that_is_better_goes_on_as_it_is(settings: Settings) -> None:
    executor = executor_of(settings)
    await rated(executor, {"usual": 0.1, "one": 0.9}, range(40))
    assert (await standing_of(executor, "one")).standing == "better"
    assert {await met(executor, number) for number in range(20)} == {"usual", "one"}


async def test_a_stored_result_is_that_of_the_arm_which_the_task_meets_now(settings: Settings) -> None:
    executor = executor_of(settings)
    (number,) = await numbers_of(executor, "one", 1)
    first = await run(executor, number)
    again = await run(executor, number)
    assert (arm_of(first), arm_of(again), again.cached) == ("one", "one", True)
    await rated(executor, {"usual": 1.0, "one": 0.0}, range(100, 140))
    assert await met(executor, number) == "usual"
    now = await run(executor, number)
    assert (arm_of(now), now.cached) == ("usual", False)
    assert (await run(executor, number)).cached
    assert MODEL not in now.models_used
