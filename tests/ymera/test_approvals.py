"""A run that waits for a person where none is there: it is told with the commands that answer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.servers.faulty import Answer, FaultyServer
from ymera.cli import app

pytestmark = pytest.mark.usefixtures("own_logging", "no_models_at_home")
TASK = "Create a FastAPI endpoint for user management"
PLAN = Answer(text="1. Write the route.")
CODE = Answer(text="```python\nprint('hello')\n```")
BETTER = Answer(text="```python\nprint('hello, all')\n```")
ACCEPT = Answer(text='{"findings": [], "decision": "accept"}')


def ymera(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), prog_name="ymera")


def told(result: Result) -> list[str]:
    """Return the commands that a waiting run has named."""
    lines = result.stderr.splitlines()
    return [line.strip() for line in lines[lines.index("The run waits for an answer:") + 1 :]]


def test_a_run_without_a_terminal_ends_with_75_and_the_commands_that_answer(groq: FaultyServer) -> None:
    groq.script("groq", [PLAN])
    result = ymera("run", TASK, "--approve", "plan", "--thread", "t", "--temperature", "0.5", "--quiet")
    assert result.exit_code == 75, result.output
    assert "1. Write the route." in result.stdout
    start = "ymera resume t --temperature 0.5 --answer"
    assert told(result) == [f"{start} approve", f"{start} edit --edit FILE", f"{start} reject --why TEXT"]


def test_json_says_for_what_the_run_waits_and_the_answer_pays_nothing_twice(
    groq: FaultyServer, tmp_path: Path
) -> None:
    groq.script("groq", [PLAN, CODE, ACCEPT, BETTER])
    waiting = ymera("run", TASK, "--approve", "plan,review", "--thread", "t", "--json")
    document = json.loads(waiting.stdout)
    assert (waiting.exit_code, document["success"], document["error"]) == (75, False, None)
    assert (document["waiting"]["gate"], document["waiting"]["text"]) == ("plan", PLAN.text)

    (tmp_path / "plan.md").write_text("1. Read the file.", encoding="utf-8")
    reviewed = ymera("resume", "t", "--answer", "edit", "--edit", str(tmp_path / "plan.md"), "--json")
    assert reviewed.exit_code == 75, reviewed.output
    assert json.loads(reviewed.stdout)["waiting"]["text"] == CODE.text
    assert "1. Read the file." in str(groq.sent_to("groq")[1])

    mended = ymera("resume", "t", "--answer", "revise", "--note", "greet all of them", "--json")
    document = json.loads(mended.stdout)
    assert (mended.exit_code, document["final_result"]) == (0, BETTER.text)
    assert "greet all of them" in str(groq.sent_to("groq")[3])
    assert len(groq.sent_to("groq")) == 4
    assert [given["decision"] for given in document["approvals"]] == ["edit", "revise"]


def test_a_rejected_plan_ends_the_run_with_1_and_the_reason(groq: FaultyServer) -> None:
    groq.script("groq", [PLAN])
    ymera("run", TASK, "--approve", "plan", "--thread", "t")
    result = ymera("resume", "t", "--answer", "reject", "--why", "it is too short", "--json")
    assert (result.exit_code, json.loads(result.stdout)["error"]) == (
        1,
        "The plan was rejected: it is too short",
    )


def test_resuming_without_an_answer_asks_again_and_pays_nothing(groq: FaultyServer) -> None:
    groq.script("groq", [PLAN])
    asked = ymera("run", TASK, "--approve", "plan", "--thread", "t")
    again = ymera("resume", "t")
    assert (again.exit_code, told(again)) == (75, told(asked))
    assert len(groq.sent_to("groq")) == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        pytest.param(["--answer", "accept"], "'accept'} is no answer here.", id="of another gate"),
        pytest.param(["--answer", "edit"], "--answer edit needs --edit FILE", id="an edit without a file"),
        pytest.param(
            ["--answer", "approve", "--note", "x"], "--note does not belong to", id="a note too many"
        ),
        pytest.param(["--note", "x"], "--note does not belong to a resume without --answer", id="no answer"),
        pytest.param(["--answer", "edit", "--edit", "none.md"], "--edit cannot be read", id="no such file"),
        pytest.param(["--answer", "perhaps"], "perhaps", id="no such answer"),
    ],
)
def test_a_wrong_answer_is_one_clear_error_and_the_run_waits_as_before(
    groq: FaultyServer, options: list[str], said: str
) -> None:
    groq.script("groq", [PLAN])
    asked = ymera("run", TASK, "--approve", "plan", "--thread", "t")
    wrong = ymera("resume", "t", *options)
    assert (wrong.exit_code, said in wrong.output) == (2, True), wrong.output
    assert told(ymera("resume", "t")) == told(asked)


def test_an_answer_to_a_run_that_asks_nothing_is_refused(groq: FaultyServer) -> None:
    groq.script("groq", [PLAN, CODE, ACCEPT])
    assert ymera("run", TASK, "--thread", "t").exit_code == 0
    result = ymera("resume", "t", "--answer", "approve")
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (
        2,
        "This run waits for no answer. Resume it without one.",
    )


def test_there_is_no_approval_of_anything_else(groq: FaultyServer) -> None:
    result = ymera("run", TASK, "--approve", "plan,money")
    assert (result.exit_code, result.stderr) == (
        2,
        "There is no approval of 'money'. Use 'plan' or 'review'.\n",
    )


def test_the_drawing_shows_the_gates_that_are_asked_for() -> None:
    drawn = ymera("graph", "--approve", "review").stdout
    assert ("approve_review" in drawn, "approve_plan" in drawn) == (True, False)
