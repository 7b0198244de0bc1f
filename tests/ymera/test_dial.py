"""The dial as callers turn it: options, settings of a run and of the process, and the front as a table."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tests.scripted import Script, scripted_services
from ymera import MultiModelExecutor, MultiModelResult, RunContext, Settings
from ymera.cli import app

TASK = "Create an API endpoint for user management with sessions, roles and pages"


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch, own_logging: None, no_models_at_home: None) -> None:
    for name in ("MISTRAL_API_KEY", "OPENAI_API_KEY", "GROQ_API_KEY"):
        monkeypatch.setenv(name, "no-one-is-called")


def ymera(*words: str) -> Result:
    return CliRunner().invoke(app, list(words), prog_name="ymera", catch_exceptions=False)


def planned(*words: str) -> dict[str, Any]:
    told = ymera("match", TASK, "--json", *words)
    assert told.exit_code == 0, told.output
    plan: dict[str, Any] = json.loads(told.stdout)
    return plan


def test_the_front_is_listed_from_the_best_to_the_cheapest(keys: None) -> None:
    points = json.loads(ymera("frontier", TASK, "--json").stdout)
    costs = [point["predicted"]["cost_usd"] for point in points]
    assert len(points) > 1
    assert costs == sorted(costs, reverse=True)
    shown = ymera("frontier", TASK).stdout
    assert shown.count("▇") > 10
    assert points[0]["models"]["generation"].split(":")[1] in shown.replace("\n", "")


def test_options_turn_the_dial_of_a_plan(keys: None) -> None:
    dear, cheap = planned(), planned("--thrift", "1")
    assert cheap["predicted"]["cost_usd"] < dear["predicted"]["cost_usd"]
    assert planned("--most-usd", "0.003")["predicted"]["cost_usd"] <= 0.003
    assert planned("--least-quality", "0.85")["predicted"]["quality"] >= 0.85
    assert planned("--most-seconds", "16")["predicted"]["seconds"] <= 16


def test_the_setting_turns_it_for_every_plan_and_an_option_wins(
    keys: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = planned()
    monkeypatch.setenv("YMERA_THRIFT", "1")
    assert planned()["predicted"]["cost_usd"] < usual["predicted"]["cost_usd"]
    assert planned("--thrift", "0")["predicted"] == usual["predicted"]


@pytest.mark.parametrize(
    "words",
    [("--thrift", "2"), ("--most-usd", "-1"), ("--most-seconds", "0"), ("--least-quality", "1.5")],
    ids=lambda words: " ".join(words),
)
def test_a_dial_beyond_its_scale_is_refused(words: tuple[str, ...], keys: None) -> None:
    assert ymera("match", TASK, *words).exit_code == 2


@pytest.mark.parametrize("given", [{"thrift": 1.0}, {"most_usd": 0.0}], ids=str)
async def test_a_run_is_planned_with_its_own_dial(given: dict[str, Any], settings: Settings) -> None:
    async def run(context: RunContext) -> MultiModelResult:
        executor = MultiModelExecutor(services=scripted_services(Script(), settings))
        return await executor.execute_with_multi_model("coding_agent", TASK, context=context)

    usual, cheap = await asyncio.gather(run(RunContext()), run(RunContext(**given)))
    assert cheap.success
    assert cheap.plan is not None
    assert usual.plan is not None
    assert (cheap.plan["predicted"]["cost_usd"] or 0) < (usual.plan["predicted"]["cost_usd"] or 0)
    assert cheap.models_used != usual.models_used
