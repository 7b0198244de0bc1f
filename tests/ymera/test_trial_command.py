"""What a trial needs of the settings, and how the command line shows it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.scripted import (
    OpenMatcher,
)
from ymera import InputError, Settings
from ymera.cli import app
from ymera.nodes.trials import Trials
from ymera.routing.catalogue import builtin_catalogue
from ymera.routing.matcher import TaskRequest
from ymera.routing.trials import Arm, Trial

TASK = "Create an API endpoint for user management with sessions, roles and pages"
MODEL = "mistral-small-latest"
TRIAL = Trial(name="one-model", arms=(Arm(name="usual"), Arm(name="one", model=MODEL)))


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        pytest.param({"ymera_outcome_days": 0}, "YMERA_OUTCOME_DAYS is 0", id="outcomes are not kept"),
        pytest.param({"enable_multi_model": False}, "ENABLE_MULTI_MODEL=false", id="one model alone"),
    ],
)
def test_a_trial_of_no_use_is_refused(fields: dict[str, Any], told: str, settings: Settings) -> None:
    trial = replace(TRIAL, arms=(Arm(name="usual"), Arm(name="several", strategy="multi_model")))
    with pytest.raises(InputError, match=told):
        Trials(trial, settings.model_copy(update=fields))


@pytest.mark.parametrize(
    ("arms", "told"),
    [
        pytest.param((Arm(name="usual"),), "arms holds 1, allowed: 2 to 8", id="one arm"),
        pytest.param((Arm(name="a"), Arm(name="a")), "arms.a is given twice", id="one name"),
        pytest.param((Arm(name="a"), Arm(name="b", model="x")), "names no model .got 'x'", id="no model"),
    ],
)
def test_a_trial_made_by_hand_is_checked_too(arms: tuple[Arm, ...], told: str, settings: Settings) -> None:
    with pytest.raises(InputError, match=told):
        OpenMatcher(settings, builtin_catalogue(), trial=Trial(name="t", arms=arms))


FILE = """
name = "thrift"

[[arms]]
name = "usual"

[[arms]]
name = "thrifty"
thrift = 0.6
"""


def command(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments), prog_name="ymera")


def test_the_command_shows_how_the_arms_stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "trial.toml").write_text(FILE)
    told = command("trial", str(tmp_path / "trial.toml"))
    assert told.exit_code == 0, told.output
    assert "thrifty: no difference shown yet" in told.output
    monkeypatch.setenv("YMERA_TRIAL", str(tmp_path / "trial.toml"))
    found = json.loads(command("trial", "--json").stdout)
    assert (found["name"], found["error_rate"]) == ("thrift", 0.05)
    assert [(arm["arm"], arm["standing"]) for arm in found["arms"]] == [
        ("usual", "control"),
        ("thrifty", "open"),
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param(None, "There is no trial", id="none"),
        pytest.param(FILE.replace("0.6", "6"), "arms.thrifty.thrift: must be less than", id="a wrong one"),
    ],
)
def test_the_command_without_a_trial_says_what_is_missing(
    text: str | None, told: str, tmp_path: Path
) -> None:
    if text:
        (tmp_path / "trial.toml").write_text(text)
    result = command("trial", *([str(tmp_path / "trial.toml")] if text else []))
    assert result.exit_code == 2
    assert told in result.output


def test_match_shows_the_arm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "trial.toml").write_text(FILE)
    monkeypatch.setenv("YMERA_TRIAL", str(tmp_path / "trial.toml"))
    monkeypatch.setenv("GROQ_API_KEY", "x")
    plan = json.loads(command("match", TASK, "--json").stdout)
    assert plan["trial"]["reason"] in plan["reason"]
    assert plan["dial"]["thrift"] == (0.6 if plan["trial"]["arm"] == "thrifty" else 0)
    assert "trial" not in json.loads(command("match", TASK, "--thrift", "0", "--json").stdout)


def test_a_trial_that_is_there_no_more_leaves_wishes_as_they_are(settings: Settings) -> None:
    given = {"trial": "gone", "arm": "gone", "reason": ""}
    matcher = OpenMatcher(settings, builtin_catalogue(), trial=TRIAL)
    wishes = matcher.wishes
    assert matcher.trials.followed(wishes, given) == wishes  # type: ignore[arg-type]
    request = TaskRequest(agent_name="coding_agent", description=TASK)
    assert Trials(None, settings).given(request, replace(wishes, free=True), matcher.catalogue).arm is None
