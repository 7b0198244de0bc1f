"""Outcomes from the run to the next plan: what is written down, what a person says of it, and what it changes."""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from typer.testing import CliRunner, Result

from tests.scripted import REVISE, Line, Script, scripted_services
from ymera import InputError, MultiModelExecutor, MultiModelResult, RunContext, Settings
from ymera.cli import app
from ymera.graphs.workflow import agent_layout, build
from ymera.nodes.outcome_rows import OF_CALL
from ymera.nodes.settings import load_settings
from ymera.outcome_files import read_rows, write_rows
from ymera.routing.records import Prediction
from ymera.threads import delete_threads

TASK = "Create an API endpoint for user management with sessions, roles and pages"
Rows = dict[str, dict[str, Any]]


def executor_of(settings: Settings, script: Script | None = None, **fields: Any) -> MultiModelExecutor:
    return MultiModelExecutor(
        services=scripted_services(script or Script(), settings.model_copy(update=fields))
    )


async def run(
    executor: MultiModelExecutor, parameters: Mapping[str, Any] | None = None, **given: Any
) -> MultiModelResult:
    return await executor.execute_with_multi_model("coding_agent", TASK, parameters, use_cache=False, **given)


async def rows_of(executor: MultiModelExecutor) -> Rows:
    return {row["attempt"]: row for row in await executor.services.outcomes.rows()}


def primary(result: MultiModelResult, phase: str = "generation") -> str:
    assert result.plan is not None
    plan = next(plan for plan in result.plan["phases"] if plan["phase"] == phase)
    assert plan["primary_model"] is not None
    return plan["primary_model"]["model"]


# --- what is written down ----------------------------------------------------------------------------------


async def test_every_call_of_a_run_is_a_row(settings: Settings) -> None:
    executor = executor_of(settings)
    result = await run(executor, {"domain": "accounts"})
    rows = await rows_of(executor)
    made = {attempt["id"]: attempt for phase in result.phase_results for attempt in phase.attempts}
    assert set(rows) == set(made)
    assert result.plan is not None
    for name, row in rows.items():
        attempt = made[name]
        assert row["run"] == result.run_id
        assert (row["agent"], row["domain"], row["phase"]) == ("coding_agent", "accounts", attempt["phase"])
        assert (row["provider"], row["model"]) == (attempt["provider"], attempt["model"])
        assert (row["complexity"], row["speed"]) == (
            result.plan["reading"]["complexity"],
            result.plan["reading"]["speed"],
        )
        assert row["first_token_seconds"] == attempt["first_token_seconds"]
        assert (row["outcome"], row["seconds"], row["task"]) == ("answered", attempt["seconds"], "")
        assert {name: row[name] for name in attempt["usage"]} == attempt["usage"]
    assert (rows["generation-1"]["decision"], rows["generation-1"]["quality"]) == ("accept", 1.0)
    assert rows["planning-1"]["quality"] is rows["review-1"]["quality"] is None


async def test_calls_of_a_graph_without_a_checkpointer_are_rows_too(settings: Settings) -> None:
    services = scripted_services(Script(), settings)
    layout = agent_layout("coding_agent", services)
    state = await build(layout, services).compile().ainvoke({"task": TASK}, context=RunContext())
    rows = await services.outcomes.rows()
    assert {row["phase"] for row in rows} == set(state["phase_outputs"])
    assert next(row["quality"] for row in rows if row["phase"] == "generation") == 1.0


async def test_an_answer_that_is_sent_back_was_a_bad_one(settings: Settings) -> None:
    executor = executor_of(settings, Script(judge=Line(text=REVISE)))
    await run(executor)
    rows = await rows_of(executor)
    assert (rows["generation-1"]["decision"], rows["generation-1"]["quality"]) == ("revise", 0.0)
    assert rows["refinement-1"]["quality"] is None


async def test_faults_of_an_answer_count_and_those_of_the_way_to_it_do_not(settings: Settings) -> None:
    script = Script()
    executor = executor_of(settings, script)
    first = primary(await run(executor))
    script.lines[first].extend([Line(text=""), Line(error=ConnectionError("no route"))])
    rows = [
        row for row in (await run(executor), await executor.services.outcomes.rows())[1] if row["outcome"]
    ]
    by_outcome = {row["outcome"]: row["quality"] for row in rows}
    assert by_outcome["empty"] == 0.0
    assert by_outcome.get("unreachable") is None


async def test_with_no_days_nothing_is_learned(settings: Settings) -> None:
    executor = executor_of(settings, ymera_outcome_days=0)
    first = await run(executor)
    for _ in range(20):
        await executor.record_feedback((await run(executor)).run_id, 0)
    assert primary(await run(executor)) == primary(first)


async def test_with_no_days_calls_that_no_run_can_come_back_to_are_not_written_down(
    settings: Settings,
) -> None:
    services = scripted_services(Script(), settings.model_copy(update={"ymera_outcome_days": 0}))
    await build(agent_layout("coding_agent", services), services).compile().ainvoke({"task": TASK})
    assert await services.outcomes.rows() == []


@pytest.mark.parametrize("key", [None, "an-aes-key-of-32-bytes-is-enough"], ids=["plain", "encrypted"])
async def test_texts_are_kept_when_the_settings_say_so_and_leave_with_their_thread(
    key: str | None, settings: Settings
) -> None:
    secret = SecretStr(key) if key else None
    executor = executor_of(settings, ymera_outcome_texts=True, langgraph_aes_key=secret)
    result = await run(executor, thread_id="t")
    await executor.record_feedback(result.run_id, 0.9, "just what was needed")
    rows = await rows_of(executor)
    assert {row["task"] for row in rows.values()} == {TASK}
    assert {row["comment"] for row in rows.values()} == {"just what was needed"}
    stored = _stored(settings.ymera_data_dir / "journal.sqlite", "task", "comment", "thread")
    assert (TASK in str(stored)) == (key is None)
    assert ("just what" in str(stored)) == (key is None)
    assert "'t'" in str(stored)
    await delete_threads(["t"], executor.services)
    rows = await rows_of(executor)
    assert {(row["task"], row["comment"]) for row in rows.values()} == {("", "")}
    assert rows["generation-1"]["quality"] == 0.9
    assert set(_stored(settings.ymera_data_dir / "journal.sqlite", "thread")) == {("",)}


def _stored(file: Path, *columns: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(file) as db:
        return db.execute(f"SELECT {', '.join(columns)} FROM calls").fetchall()


async def test_odd_letters_in_a_task_cost_no_row(settings: Settings) -> None:
    executor = executor_of(settings, ymera_outcome_texts=True)
    await executor.execute_with_multi_model("coding_agent", "Write \0 and \N{SNOWMAN} down", use_cache=False)
    assert {row["task"] for row in (await rows_of(executor)).values()} == {"Write  and \N{SNOWMAN} down"}


# --- what a person says ------------------------------------------------------------------------------------


async def test_feedback_is_that_of_the_run_and_the_last_word_counts(settings: Settings) -> None:
    executor = executor_of(settings)
    one, other = await run(executor), await run(executor)
    await executor.record_feedback(one.run_id, 1.0)
    await executor.record_feedback(one.run_id, 0.25, "it does not compile")
    rows = await executor.services.outcomes.rows()
    told = {(row["run"], row["quality"]) for row in rows if row["phase"] == "planning"}
    assert told == {(one.run_id, 0.25), (other.run_id, None)}


async def test_what_a_review_sent_back_stays_bad_whatever_a_person_says_of_what_came_after(
    settings: Settings,
) -> None:
    executor = executor_of(settings, Script(judge=Line(text=REVISE)))
    result = await run(executor)
    await executor.record_feedback(result.run_id, 0.9)
    rows = await rows_of(executor)
    assert (rows["generation-1"]["quality"], rows["refinement-1"]["quality"]) == (0.0, 0.9)


async def test_feedback_on_a_stored_result_is_that_of_the_run_that_made_it(settings: Settings) -> None:
    executor = executor_of(settings)
    first = await executor.execute_with_multi_model("coding_agent", TASK)
    again = await executor.execute_with_multi_model("coding_agent", TASK)
    assert (again.cached, again.run_id) == (True, first.run_id)
    await executor.record_feedback(again.run_id, 0.5)
    assert {row["score"] for row in await executor.services.outcomes.rows()} == {0.5}


async def test_a_runs_own_outcome_does_not_keep_its_result_from_being_taken_again(settings: Settings) -> None:
    executor = executor_of(settings, Script(judge=Line(text=REVISE)))
    first = await executor.execute_with_multi_model("coding_agent", TASK)
    await executor.record_feedback(first.run_id, 0.0)
    fresh = executor_of(settings)
    plan = await fresh.matcher.match_agent_to_models("coding_agent", TASK)
    assert first.plan is not None
    assert plan["phases"] != first.plan["phases"], "nothing was learned"
    assert (await fresh.execute_with_multi_model("coding_agent", TASK)).cached


@pytest.mark.parametrize(
    ("run_id", "score", "comment", "told"),
    [
        pytest.param("unknown", 1.0, "", "No answer of a run 'unknown'", id="a run that there is not"),
        pytest.param("", 1.0, "", "No answer of a run ''", id="no run"),
        pytest.param("unknown", 2.0, "", "from 0", id="too good"),
        pytest.param("unknown", 1.0, "x" * 10_001, "10001 characters", id="too long a comment"),
    ],
)
async def test_feedback_that_cannot_be_kept_is_refused(
    run_id: str, score: float, comment: str, told: str, settings: Settings
) -> None:
    with pytest.raises(InputError, match=told):
        await executor_of(settings).record_feedback(run_id, score, comment)


async def test_a_tenant_neither_rates_nor_learns_from_runs_of_another(settings: Settings) -> None:
    theirs, ours = (executor_of(settings, ymera_tenant=name) for name in ("acme", None))
    result = await run(theirs)
    with pytest.raises(InputError, match="No answer of a run"):
        await ours.record_feedback(result.run_id, 0)
    assert await ours.services.outcomes.rows() == []
    assert len(await theirs.services.outcomes.rows()) == 3


# --- what it changes ---------------------------------------------------------------------------------------


async def test_twenty_runs_with_feedback_change_the_plan_and_the_reason_says_so(settings: Settings) -> None:
    executor = executor_of(settings)
    first = await run(executor)
    same = RunContext(
        model=primary(first)
    )  # else later ones would go elsewhere as soon as the first ones are seen
    for _ in range(20):
        await executor.record_feedback((await run(executor, context=same)).run_id, 0.1)
    after = await run(executor_of(settings))
    assert primary(after) != primary(first)
    assert after.plan is not None
    alone = await run(executor_of(settings), context=same)
    assert alone.plan is not None
    assert re.search(
        r"measured: \S+ of \d+ good, expected 0\.9\d → 0\.[0-5]", alone.plan["phases"][1]["reason"]
    )


async def test_what_a_run_is_said_to_take_follows_what_runs_took(settings: Settings) -> None:
    first = predicted(await run(executor_of(settings)))
    for _ in range(20):
        await run(executor_of(settings))
    result = await run(executor_of(settings))
    last, took = predicted(result), result.phase_results[1].attempts[0]
    assert last["seconds"] < first["seconds"] / 10
    assert last["output_tokens"] < first["output_tokens"] / 10
    low, high = last["between"]["output_tokens"]
    assert low <= took["usage"]["output_tokens"] <= high
    assert high - low < first["between"]["output_tokens"][1] - first["between"]["output_tokens"][0]


def predicted(result: MultiModelResult) -> Prediction:
    assert result.plan is not None
    generation = result.plan["phases"][1]["predicted"]
    assert generation is not None
    return generation


async def test_feedback_works_the_same_over_postgresql(settings: Settings, postgres_url: str) -> None:
    executor = executor_of(settings, ymera_database_url=SecretStr(postgres_url))
    for _ in range(3):
        await executor.record_feedback((await run(executor)).run_id, 0.0, "no")
    rows = await executor.services.outcomes.rows()
    assert [row["quality"] for row in rows if row["phase"] == "generation"] == [0.0] * 3
    fresh = executor_of(settings, ymera_database_url=SecretStr(postgres_url)).matcher
    await fresh.look()
    history = fresh.experience.known.history
    assert history is not None
    assert {phase for _, (_, phase) in history.known} == {"planning", "generation", "review"}


# --- as files ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
async def test_outcomes_go_out_and_in_again_unchanged_and_once(
    kind: str, settings: Settings, tmp_path: Path
) -> None:
    executor = executor_of(settings, ymera_outcome_texts=True)
    await executor.record_feedback((await run(executor)).run_id, 1, "good \N{SNOWMAN}")
    rows = await executor.services.outcomes.rows()
    write_rows(tmp_path / f"rows.{kind}", rows)
    other = executor_of(settings, ymera_data_dir=tmp_path / "elsewhere")
    for new in (len(rows), 0):
        assert await other.services.outcomes.take_in(read_rows(tmp_path / f"rows.{kind}")) == new
    assert await other.services.outcomes.rows() == rows
    assert await executor.services.outcomes.take_in(read_rows(tmp_path / f"rows.{kind}")) == 0


async def test_the_domain_that_was_read_goes_along(settings: Settings, tmp_path: Path) -> None:
    outcomes = executor_of(settings).services.outcomes
    await outcomes.take_in([GOOD | {"domain_read": 0.75}])
    (row,) = await outcomes.rows()
    other = executor_of(settings, ymera_data_dir=tmp_path / "elsewhere").services.outcomes
    await other.take_in([row])
    assert [(row["domain"], row["domain_read"]) for row in await other.rows()] == [("a", 0.75)]


async def test_a_row_of_an_older_release_is_taken_in_and_nothing_is_said_of_its_trial(
    settings: Settings,
) -> None:
    outcomes = executor_of(settings).services.outcomes
    assert await outcomes.take_in([GOOD]) == 1
    (row,) = await outcomes.rows()
    assert (row["trial"], row["arm"], row["run_begun_at"], row["domain_read"]) == ("", "", None, None)


async def test_a_run_that_is_handed_in_again_after_its_end_has_ended(settings: Settings) -> None:
    outcomes = executor_of(settings).services.outcomes
    under_way = GOOD | {"trial": "t-1", "arm": "usual", "unit": "u", "run_begun_at": 1.0}
    over = under_way | {"run_ended": "succeeded", "run_ended_at": 2.0}
    for row, new in ((under_way, 1), (over, 0), (under_way, 0)):
        assert await outcomes.take_in([row]) == new
    assert [(row["run_ended"], row["run_ended_at"]) for row in await outcomes.rows()] == [("succeeded", 2.0)]


GOOD: dict[str, Any] = {
    **dict.fromkeys(OF_CALL, 0),
    **{"run": "r", "attempt": "generation-1", "agent": "a", "phase": "generation", "provider": "groq"},
    **{"model": "m", "outcome": "answered", "domain": "a", "complexity": "", "speed": "", "creativity": ""},
    **{"task": "", "decision": "", "comment": "", "quality": 1, "score": None},
}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"quality": 1.5}, "quality is 1.5, not a number from 0 to 1"),
        ({"quality": True}, "quality is True"),
        ({"seconds": -1}, "seconds is -1"),
        ({"input_tokens": 0.5}, "input_tokens is 0.5"),
        ({"model": ""}, "model is ''"),
        ({"run": 3}, "run is 3, not a text"),
        ({"started_at": None}, "started_at is None"),
        ({"cost_usd": 1e300}, "cost_usd is 1e"),
        ({"domain_read": 2}, "domain_read is 2, not a number from 0 to 1"),
        ({"arm": None}, "arm is None, not a text"),
        ({"trial": "t-1", "arm": "usual"}, "a run of a trial has arm, unit and run_begun_at"),
        ({"arm": "usual"}, "without a trial it has none of arm, unit"),
        ({"more": 1}, "has 'more'"),
    ],
    ids=str,
)
async def test_a_row_that_is_none_is_refused_with_its_number_and_none_is_taken(
    change: dict[str, Any], told: str, settings: Settings
) -> None:
    outcomes = executor_of(settings).services.outcomes
    with pytest.raises(InputError, match=f"Row 2.*{told}"):
        await outcomes.take_in([GOOD, GOOD | {"run": "s"} | change])
    assert await outcomes.rows() == []
    assert await outcomes.take_in([GOOD]) == 1


@pytest.mark.parametrize("row", [None, [], "x", 3])
async def test_what_is_no_row_is_refused(row: Any, settings: Settings) -> None:
    with pytest.raises(InputError, match="Row 1 is no object"):
        await executor_of(settings).services.outcomes.take_in([row])


# --- the commands ------------------------------------------------------------------------------------------


def ymera(*words: str) -> Result:
    return CliRunner().invoke(app, list(words), prog_name="ymera")


async def _some_runs(score: float) -> MultiModelResult:
    executor = executor_of(load_settings())
    for _ in range(3):
        result = await run(executor)
        await executor.record_feedback(result.run_id, score)
    return result


def test_the_commands_show_rate_export_and_import(own_logging: None, tmp_path: Path) -> None:
    assert "No outcomes yet" in ymera("outcomes").stderr
    result = asyncio.run(_some_runs(0.5))
    noted = ymera("feedback", result.run_id, "0.75", "--comment", "better", "--json")
    assert json.loads(noted.stdout) == {"run_id": result.run_id, "score": 0.75, "comment": "better"}
    shown = json.loads(ymera("outcomes", "--json").stdout)
    generation = next(each for each in shown if each["phase"] == "generation")
    assert (generation["domain"], generation["outcomes"], generation["good"]) == ("coding_agent", 3.0, 1.8)
    assert generation["low"] < generation["estimate"] < generation["high"]
    assert primary(result) in ymera("outcomes").stdout.replace("\n", "")
    file = tmp_path / "rows.jsonl"
    assert json.loads(ymera("outcomes", "export", str(file), "--json").stdout) == {"exported": 9}
    assert json.loads(ymera("outcomes", "import", str(file), "--json").stdout) == {"imported": 0}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("feedback", "unknown", "1"), "No answer of a run"),
        (("feedback", "unknown", "7"), "The score is 7.0"),
        (("outcomes", "import", "nowhere.jsonl"), "cannot be read"),
        (("outcomes", "import", "rows.csv"), "of no known kind"),
        (("outcomes", "export", "nowhere/rows.jsonl"), "cannot be written"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_a_command_that_cannot_be_carried_out_says_so_in_a_line(
    words: tuple[str, ...], told: str, own_logging: None, no_models_at_home: None
) -> None:
    result = ymera(*words)
    assert result.exit_code == 2
    assert told in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("text", ["{", "[" * 100_000, "NaN", "\x00"], ids=["cut", "deep", "NaN", "NUL"])
def test_a_line_that_is_no_json_is_named(text: str, tmp_path: Path, own_logging: None) -> None:
    (tmp_path / "rows.jsonl").write_text(f"\n{text}\n", "utf-8")
    result = ymera("outcomes", "import", str(tmp_path / "rows.jsonl"))
    assert result.exit_code == 2
    assert "Line 2" in result.stderr
