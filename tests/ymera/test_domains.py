"""From texts whose callers named a domain to the plan, the rows and the resumed run of a task whose caller does not."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from typer.testing import CliRunner

from tests.scripted import Line, Script, scripted_services
from tests.servers.faulty import FaultyServer
from tests.told import BILLS, PARSERS, told
from ymera import MultiModelExecutor, MultiModelResult, Settings
from ymera.cli import app
from ymera.graphs.workflow import agent_layout, build
from ymera.nodes.outcomes import Outcomes
from ymera.nodes.services import make_services
from ymera.routing.records import PhasePlan, Strategy

BILL, PARSER = BILLS[0].format(number=77), PARSERS[0].format(number=77)
USUAL, GOOD = ("mistral", "codestral-latest"), ("deepseek", "deepseek-flash")
PHASES = ["generation", "review"]


@pytest.fixture
def own(settings: Settings) -> Settings:
    return settings.model_copy(update={"ymera_outcome_texts": True})


def rows() -> list[dict[str, Any]]:
    """Return outcomes in which the usual model fails at bills, and the other one at parsers."""
    found = []
    for (provider, model), in_bills, in_parsers in ((USUAL, 0.0, 1.0), (GOOD, 1.0, 0.0)):
        named = {"provider": provider, "model": model}
        each = told(
            count=40, billing={"quality": in_bills, **named}, parsers={"quality": in_parsers, **named}
        )
        found += [{**row, "run": f"{model} {row['run']}", "settled_at": row["started_at"]} for row in each]
    return found


async def executor_of(
    own: Settings, script: Script | None = None, taken: list[dict[str, Any]] | None = None
) -> MultiModelExecutor:
    """Return the executor of a process that has learned what there is."""
    executor = MultiModelExecutor(services=scripted_services(script or Script(), own))
    await executor.services.outcomes.take_in(taken or [])
    await executor.matcher.ready()
    return executor


async def run(executor: MultiModelExecutor, task: str, **given: Any) -> MultiModelResult:
    return await executor.execute_with_multi_model(
        "coding_agent", task, enable_phases=PHASES, use_cache=False, **given
    )


def plan_of(result: MultiModelResult) -> Strategy:
    assert result.plan is not None
    return result.plan


def first(plan: Strategy, phase: str = "generation") -> str:
    found: PhasePlan = next(each for each in plan["phases"] if each["phase"] == phase)
    assert found["primary_model"] is not None
    return found["primary_model"]["model"]


async def stored(outcomes: Outcomes, run_id: str) -> set[tuple[str, float | None]]:
    return {(row["domain"], row["domain_read"]) for row in await outcomes.rows() if row["run"] == run_id}


async def test_the_plan_follows_the_domain_that_is_read_and_says_so(own: Settings) -> None:
    executor = await executor_of(own, taken=rows())
    bill, parser = [plan_of(await run(executor, task)) for task in (BILL, PARSER)]
    assert (first(bill), first(parser)) == (GOOD[1], USUAL[1])
    assert bill["domain"]["name"] == "billing"
    sure = f"{bill['domain']['probability']:.2f}"
    assert f"domain 'billing', read in the task's text ({sure} sure)" in bill["reason"]
    assert "measured: 40 of 40 good" in bill["phases"][0]["reason"]
    given = await run(executor, BILL, task_parameters={"domain": "billing"})
    assert [p["primary_model"] for p in plan_of(given)["phases"]] == [
        p["primary_model"] for p in bill["phases"]
    ]
    assert "domain" not in plan_of(given)


async def test_what_comes_of_it_is_kept_under_that_domain_and_marked_as_read(own: Settings) -> None:
    executor = await executor_of(own, taken=rows())
    read, given = await run(executor, BILL), await run(executor, BILL, task_parameters={"domain": "billing"})
    outcomes = executor.services.outcomes
    assert await stored(outcomes, read.run_id) == {("billing", plan_of(read)["domain"]["probability"])}
    assert await stored(outcomes, given.run_id) == {("billing", None)}


async def test_a_graph_without_an_executor_learns_while_it_runs(own: Settings) -> None:
    services = scripted_services(Script(), own)
    await services.outcomes.take_in(rows())
    graph = build(agent_layout("coding_agent", services), services).compile(checkpointer=InMemorySaver())
    plans = []
    for thread in ("first", "second"):
        config: Any = {"configurable": {"thread_id": thread}}
        await graph.ainvoke({"task": BILL, "phases": PHASES}, config)
        plans.append((await graph.aget_state(config)).values["plan"])
        await services.matcher.ready()
    assert plans[1]["domain"]["name"] == "billing"


async def test_a_resumed_run_keeps_its_domain_where_it_could_be_read_no_more(
    own: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = Script(otherwise=Line(text="late", seconds=30))
    executor = await executor_of(own, script, rows())
    task = asyncio.create_task(run(executor, BILL, thread_id="t"))
    while not script.calls:
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    without_extra(monkeypatch)
    after = await executor_of(own)
    of_today = {key: model for key, model in after.matcher.models.items() if model.provider == USUAL[0]}
    after.matcher.models = of_today  # both phases are matched again
    result = await after.resume("t")
    assert result.success
    assert plan_of(result)["domain"]["name"] == "billing"
    assert "measured: 0 of 40 good" in str(plan_of(result)["phases"][0]), "of bills, as at first"
    assert len(await stored(after.services.outcomes, result.run_id)) == 1


async def test_a_run_that_began_by_its_agents_name_keeps_to_that(own: Settings) -> None:
    script = Script(otherwise=Line(text="late", seconds=30))
    executor = await executor_of(own, script)
    task = asyncio.create_task(run(executor, BILL, thread_id="t"))
    while not script.calls:
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    after = await executor_of(own, taken=rows())
    del after.matcher.models[":".join(USUAL)]
    result = await after.resume("t")
    assert "domain" not in plan_of(result)
    assert await stored(after.services.outcomes, result.run_id) == {("coding_agent", None)}
    assert "of 40 good" not in str(plan_of(result)["phases"]), "matched again as of another domain"


def without_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the import of what reads texts fail, as where the extra is not installed."""
    monkeypatch.delitem(sys.modules, "ymera.nodes.classifier", raising=False)
    monkeypatch.setitem(sys.modules, "sklearn.linear_model", None)


async def test_without_the_extra_plans_are_what_they_were(
    own: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = plan_of(await run(await executor_of(own.model_copy(update={"ymera_outcome_texts": False})), BILL))
    without_extra(monkeypatch)
    plan = plan_of(await run(await executor_of(own, taken=rows()), BILL))
    assert "domain" not in plan
    assert (plan["reason"], first(plan)) == (usual["reason"], first(usual))


async def test_a_stored_result_is_found_whatever_is_read(own: Settings) -> None:
    executor = await executor_of(own)
    first = await executor.execute_with_multi_model("coding_agent", BILL)
    again = await (await executor_of(own, taken=rows())).execute_with_multi_model("coding_agent", BILL)
    assert (again.cached, again.run_id) == (True, first.run_id)


def test_the_commands_that_plan_once_wait_for_what_there_is_to_learn(
    own_logging: None, no_models_at_home: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("YMERA_OUTCOME_TEXTS", "true")
    monkeypatch.setenv("MISTRAL_API_KEY", "dummy")
    monkeypatch.setenv("DEEPSEEK_API_KEY", "dummy")
    asyncio.run(make_services().outcomes.take_in(rows()))
    words = ["match", BILL, "--agent", "coding_agent"]
    plan = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)
    assert (plan["domain"]["name"], first(plan)) == ("billing", GOOD[1])
    assert "domain 'billing', read in the task's text" in " ".join(
        CliRunner().invoke(app, words).stdout.split()
    )
    points = json.loads(CliRunner().invoke(app, ["frontier", *words[1:], "--json"]).stdout)
    assert points[0]["models"]["generation"] == ":".join(GOOD)


def test_a_run_from_the_command_line_is_planned_by_the_domain_that_is_read(
    groq: FaultyServer, no_models_at_home: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("YMERA_OUTCOME_TEXTS", "true")
    asyncio.run(make_services().outcomes.take_in(rows()))
    said = CliRunner().invoke(
        app, ["run", BILL, "--agent", "coding_agent", "--phases", "generation", "--json"]
    )
    document = json.loads(said.stdout)
    assert document["success"] is True
    assert document["plan"]["domain"]["name"] == "billing"


def test_every_task_of_a_batch_is_planned_by_the_domain_that_is_read(
    groq: FaultyServer, no_models_at_home: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("YMERA_OUTCOME_TEXTS", "true")
    asyncio.run(make_services().outcomes.take_in(rows()))
    texts = [BILLS[0].format(number=number) for number in (77, 78, 79)]
    tasks, results = tmp_path / "tasks.jsonl", tmp_path / "results.jsonl"
    tasks.write_text("".join(json.dumps({"task": text, "agent": "coding_agent"}) + "\n" for text in texts))
    words = ["batch", str(tasks), "--output", str(results), "--phases", "generation"]
    said = CliRunner().invoke(app, words)
    assert said.exit_code == 0, said.output
    noted = asyncio.run(make_services().outcomes.rows())
    runs = {row["run"] for row in noted if row["domain"] == "billing" and row["domain_read"] is not None}
    assert len(runs) == len(texts)


async def test_no_word_of_a_text_reaches_the_log(own: Settings, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "ymera")
    executor = await executor_of(own, taken=rows())
    await run(executor, BILL)
    told = [record.getMessage() for record in caplog.records if record.name.startswith("ymera")]
    assert any("domain 'billing'" in message for message in told)
    assert not any(word in message for message in told for word in ("customer", "grammar"))
