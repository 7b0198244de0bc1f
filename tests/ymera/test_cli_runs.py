"""Runs from the command line, over real HTTP to the loopback provider."""

from __future__ import annotations

import json
import shlex
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tests.servers.faulty import Answer, Fault, FaultyServer
from ymera.cli import app

pytestmark = pytest.mark.usefixtures("own_logging", "no_models_at_home")
TASK = "Create a FastAPI endpoint for user management"
PLAN = Answer(text="1. Write the route.")
CODE = Answer(text="```python\nprint('[bold]hello[/bold]')\n```")
ACCEPT = Answer(text='{"findings": [], "decision": "accept"}')
RESULT_FIELDS = {
    "strategy_type",
    "total_phases",
    "successful_phases",
    "phase_results",
    "final_result",
    "total_execution_time",
    "total_tokens_used",
    "total_cost",
    "models_used",
    "success",
    "thread_id",
}
PHASE_FIELDS = {
    "phase",
    "model_used",
    "provider_used",
    "success",
    "result",
    "execution_time",
    "tokens_used",
    "error",
    "attempts",
    "reason",
    "cost",
}


def ymera(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), prog_name="ymera")


def process(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", "from ymera.cli import main; main()", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_run_prints_the_answer_then_who_did_what(groq: FaultyServer) -> None:
    groq.script("groq", [Fault("503"), Fault("503"), PLAN, CODE, ACCEPT])
    result = ymera("run", TASK)
    assert result.exit_code == 0, result.output
    answer, _, table = result.stdout.partition("\n phase")
    assert answer.strip() == CODE.text
    for told in (
        "planning",
        "groq",
        "fallback",
        "verdict: accept",
        "skipped: the review accepted",
        "multi_model:",
    ):
        assert told in table
    assert "planning: failed after" in result.stderr
    assert "before openai/gpt-oss-120b is tried again" in result.stderr
    assert "planning: fallback no. 1: groq:" in result.stderr
    assert "generation: groq:" in result.stderr
    assert "\x1b" not in result.output


def test_json_is_one_document_on_the_standard_output_and_progress_goes_to_the_other(
    groq: FaultyServer,
) -> None:
    groq.script("groq", [PLAN, CODE, ACCEPT])
    out, err = (run := process("run", TASK, "--json")).communicate(timeout=60)
    document = json.loads(out)
    assert run.returncode == 0
    assert document.keys() >= RESULT_FIELDS
    assert document["success"] is True
    assert document["final_result"] == CODE.text
    assert [phase["phase"] for phase in document["phase_results"]] == ["planning", "generation", "review"]
    for phase in document["phase_results"]:
        assert phase.keys() >= PHASE_FIELDS
        assert phase["attempts"][0]["model"]
    assert "planning: groq:" in err


def test_the_parameters_of_the_command_line_reach_the_model(groq: FaultyServer) -> None:
    groq.script("groq", [CODE])
    options = ["--phases", "generation", "--param", "language=python", "--params", '{"users": 5}']
    assert ymera("run", TASK, *options, "--temperature", "0.5").exit_code == 0
    (request,) = groq.sent_to("groq")
    assert '"language": "python"' in str(request.body["messages"])
    assert '"users": 5' in str(request.body["messages"])
    assert request.body["temperature"] == 0.5


def test_quiet_prints_the_answer_alone(groq: FaultyServer) -> None:
    groq.script("groq", [CODE])
    result = ymera("run", TASK, "--phases", "generation", "--quiet")
    assert (result.exit_code, result.stdout, result.stderr) == (0, f"{CODE.text}\n", "")


def test_on_a_terminal_a_text_of_a_model_is_shown_and_not_obeyed(
    groq: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    groq.script("groq", [Answer(text="# Title\n\n[red]plain[/red] \x1b]0;owned\x07 end")])
    result = ymera("run", "[blink]task[/blink]", "--phases", "generation")
    assert result.exit_code == 0, result.output
    assert "[red]plain[/red]" in result.stdout
    assert "\x1b]" not in result.output
    assert "\x1b[1m" in result.stdout


def test_a_stored_result_is_shown_again_unless_it_is_not_wanted(groq: FaultyServer) -> None:
    groq.script("groq", then=CODE)
    first = ymera("run", TASK, "--phases", "generation")
    again = ymera("run", TASK, "--phases", "generation")
    assert "stored result" not in first.stdout
    assert "stored result of an earlier run" in again.stdout
    assert len(groq.sent_to("groq")) == 1
    ymera("run", TASK, "--phases", "generation", "--no-cache")
    assert len(groq.sent_to("groq")) == 2


def test_the_answer_goes_to_a_file(groq: FaultyServer, tmp_path: Path) -> None:
    groq.script("groq", [CODE])
    result = ymera("run", TASK, "--phases", "generation", "--output", str(tmp_path / "answer.md"))
    assert result.exit_code == 0
    assert (tmp_path / "answer.md").read_text() == f"{CODE.text}\n"
    assert CODE.text not in result.stdout


def test_a_run_without_success_ends_with_1_and_writes_no_file(groq: FaultyServer, tmp_path: Path) -> None:
    groq.script("groq", then=Fault("401"))
    result = ymera("run", TASK, "--output", str(tmp_path / "answer.md"))
    assert result.exit_code == 1
    assert "All phases failed" in result.stderr
    assert "failed: groq:" in result.stdout
    assert not (tmp_path / "answer.md").exists()


def test_a_run_stopped_by_its_budget_ends_with_4_and_says_so(groq: FaultyServer, tmp_path: Path) -> None:
    groq.script("groq", [PLAN, CODE])
    options = ["--budget-tokens", "20", "--output", str(tmp_path / "answer.md"), "--json"]
    result = ymera("run", TASK, *options)
    assert result.exit_code == 4
    assert "Stopped by the budget" in result.stderr
    document = json.loads(result.stdout)
    assert document["success"] is False
    assert document["stopped_by_budget"]
    assert not (tmp_path / "answer.md").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_an_interrupted_run_says_how_it_goes_on_and_pays_nothing_twice(
    groq: FaultyServer, number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("YMERA_DRAIN_SECONDS", "0.5")
    groq.script("groq", [PLAN, Fault("silent")])
    run = process("run", TASK, "--temperature", "0.5", "--json")
    wait_for_requests(groq, 2)
    run.send_signal(number)
    out, err = run.communicate(timeout=30)
    assert run.returncode == 75
    told = err.splitlines()[-1]
    assert told.startswith("Interrupted. Resume with: ymera resume ")
    assert json.loads(out) == {"success": False, "error": told, "exit_code": 75}

    groq.script("groq", [CODE, ACCEPT])
    document = resumed(told)
    assert document["success"] is True
    assert [phase["phase"] for phase in document["phase_results"]] == ["planning", "generation", "review"]
    assert len(groq.sent_to("groq")) == 4


def wait_for_requests(server: FaultyServer, count: int) -> None:
    deadline = time.monotonic() + 60
    while len(server.requests) < count:
        assert time.monotonic() < deadline, "the run makes no requests"
        time.sleep(0.05)


def resumed(told: str) -> Any:
    """Carry out the command that an interrupted run has named."""
    command = shlex.split(told.partition("with: ymera ")[2])
    assert command[0] == "resume"
    assert command[2:] == ["--temperature", "0.5"]
    result = ymera(*command, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


STUBBORN = """
import asyncio
from ymera.running import Show, Start, carry_out

class Stubborn:
    async def __aenter__(self):
        return self
    async def __aexit__(self, *error):
        pass
    @property
    def matcher(self):
        return self
    async def ready(self):
        pass
    def request_drain(self):
        print("asked to stop", flush=True)

async def events():
    print("running", flush=True)
    await asyncio.sleep(600)
    yield {}

carry_out(Stubborn(), events(), Show(quiet=True), Start(thread_id=None, begun=False, context=None))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_a_second_signal_ends_the_process_at_once(number: signal.Signals) -> None:
    with subprocess.Popen([sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "running\n"
        run.send_signal(number)
        assert run.stdout.readline() == "asked to stop\n"
        run.send_signal(number)
        assert run.wait(30) == -number


def test_checkpoints_that_hold_nonsense_are_told_with_the_mend(groq: FaultyServer, tmp_path: Path) -> None:
    groq.script("groq", [CODE])
    assert ymera("run", TASK, "--phases", "generation", "--thread", "mine").exit_code == 0
    with sqlite3.connect(tmp_path / "data" / "checkpoints.sqlite") as database:
        database.execute("UPDATE checkpoints SET checkpoint = X'c1c1c1'")
    database.close()
    result = ymera("resume", "mine")
    assert result.exit_code == 2
    assert "'mine' cannot be read" in result.stderr
    assert "another thread" in result.stderr
