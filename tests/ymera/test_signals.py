"""SIGTERM and Ctrl-C to real processes: wherever they come, the run is kept and goes on, and the books agree."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tests.servers.faulty import Answer, Fault, FaultyServer, Reply
from ymera.cli import app

pytestmark = pytest.mark.usefixtures("own_logging", "no_models_at_home")
TASK = "Create a FastAPI endpoint for user management"
PLAN = Answer(text="1. Write the route.", input_tokens=101, output_tokens=7)
CODE = Answer(text="```python\nprint('hello')\n```", input_tokens=203, output_tokens=11)
PAGE = Answer(text="# The page", input_tokens=307, output_tokens=13)
ACCEPT = Answer(text='{"findings": [], "decision": "accept"}', input_tokens=401, output_tokens=17)
LATE_S = 1.0
"""Seconds that an answer takes which is waited for."""
STRUCK_IN_AN_IMPORT = """
import os, sys

class Struck:
    def find_spec(self, name, path=None, target=None):
        if name == "langgraph":
            sys.meta_path.remove(self)
            os.kill(os.getpid(), {number})

sys.meta_path.insert(0, Struck())
from ymera.cli import main
main()
"""
"""The command is there, the run is not: packages are being imported."""
START_S = 60.0
EXIT_S = 30.0


@dataclass(frozen=True, kw_only=True)
class Moment:
    """When a signal comes.

    Args:
        replies: what the provider says, in order.
        requests: of which the last has come when the signal is sent; or a word on the standard error is waited for.
        bound: YMERA_DRAIN_SECONDS.
        then: what the provider says to the resumed run.
        made: requests of both together.
        lost: attempts that are given up.
    """

    signal: signal.Signals
    replies: Sequence[Reply]
    requests: int = 2
    word: str = ""
    bound: str = "8"
    agent: str = "coding_agent"
    then: Sequence[Reply] = (ACCEPT,)
    made: int = 3
    lost: int = 0


def later(answer: Answer) -> Answer:
    return Answer(
        text=answer.text,
        wait_s=LATE_S,
        input_tokens=answer.input_tokens,
        output_tokens=answer.output_tokens,
    )


MOMENTS = {
    "in a call that ends in time": Moment(signal=signal.SIGTERM, replies=[PLAN, later(CODE)]),
    "in a call that does not": Moment(
        signal=signal.SIGINT,
        replies=[PLAN, Fault("silent")],
        bound="0.5",
        then=[CODE, ACCEPT],
        made=4,
        lost=1,
    ),
    "in a stream that stands still": Moment(
        signal=signal.SIGTERM,
        replies=[PLAN, Fault("stall")],
        bound="0.5",
        then=[CODE, ACCEPT],
        made=4,
        lost=1,
    ),
    "as a phase has ended": Moment(
        signal=signal.SIGINT, replies=[PLAN, later(CODE)], word="planning: groq:", made=3
    ),
    "beside each other, in time": Moment(
        signal=signal.SIGTERM,
        replies=[later(PAGE), later(PAGE)],
        agent="documentation_agent",
    ),
    "beside each other, one for ever": Moment(
        signal=signal.SIGINT,
        replies=[PAGE, Fault("silent")],
        bound="0.5",
        agent="documentation_agent",
        then=[PAGE, ACCEPT],
        made=4,
        lost=1,
    ),
}


def process(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", "from ymera.cli import main; main()", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for_requests(server: FaultyServer, count: int) -> None:
    deadline = time.monotonic() + START_S
    while len(server.requests) < count:
        assert time.monotonic() < deadline, "the run makes no requests"
        time.sleep(0.02)


def wait_for_word(run: subprocess.Popen[str], word: str) -> None:
    assert run.stderr is not None
    for line in run.stderr:
        if word in line:
            return
    raise AssertionError(f"the run never said {word!r}")


def resumed(told: str) -> dict[str, Any]:
    """Carry out the command that an interrupted run has named."""
    command = shlex.split(told.partition("with: ymera ")[2])
    result = CliRunner().invoke(app, [*command, "--json"], prog_name="ymera")
    assert result.exit_code == 0, result.output
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def attempts_of(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [attempt for phase in document["phase_results"] for attempt in phase["attempts"]]


def agree(document: dict[str, Any], server: FaultyServer) -> None:
    """See that the run has counted what the provider has billed: no call twice, and none forgotten."""
    counted = [a["usage"] for a in attempts_of(document) if not a["usage"]["estimated"]]
    billed = server.billed.values()
    assert sum(u["input_tokens"] for u in counted) == sum(b.input_tokens for b in billed)
    assert sum(u["output_tokens"] for u in counted) == sum(b.output_tokens for b in billed)
    assert len(attempts_of(document)) == len(server.requests)


@pytest.mark.parametrize("moment", MOMENTS.values(), ids=MOMENTS.keys())
def test_wherever_it_comes_the_run_is_kept_and_nothing_is_paid_twice(
    groq: FaultyServer, monkeypatch: pytest.MonkeyPatch, moment: Moment
) -> None:
    monkeypatch.setenv("YMERA_DRAIN_SECONDS", moment.bound)
    groq.script("groq", moment.replies)
    run = process("run", TASK, "--agent", moment.agent, "--no-cache")
    if moment.word:
        wait_for_word(run, moment.word)
    else:
        wait_for_requests(groq, moment.requests)
    began = time.monotonic()
    run.send_signal(moment.signal)
    out, err = run.communicate(timeout=EXIT_S)
    assert time.monotonic() - began < float(moment.bound) + 5
    assert (run.returncode, out) == (75, "")
    assert "Stopping: calls in hand may end within" in err
    told = err.splitlines()[-1]
    assert told.startswith("Interrupted. Resume with: ymera resume ")

    groq.script("groq", moment.then)
    document = resumed(told)
    assert document["success"] is True
    assert len(groq.requests) == moment.made
    lost = [a for a in attempts_of(document) if a["fault"] and a["fault"]["kind"] == "interrupted"]
    assert len(lost) == moment.lost
    agree(document, groq)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_before_a_run_there_is_nothing_to_resume(groq: FaultyServer, number: signal.Signals) -> None:
    command = [sys.executable, "-c", STRUCK_IN_AN_IMPORT.format(number=int(number)), "run", TASK, "-v"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=EXIT_S, check=False)
    assert (run.returncode, run.stdout, groq.requests) == (75, "", [])
    assert "Interrupted before" in run.stderr.splitlines()[-1]


def test_a_run_that_ends_while_it_is_told_to_stop_has_its_result(groq: FaultyServer) -> None:
    groq.script("groq", [PLAN, CODE, later(ACCEPT)])
    run = process("run", TASK, "--json", "--no-cache")
    wait_for_requests(groq, 3)
    run.send_signal(signal.SIGTERM)
    out, _ = run.communicate(timeout=EXIT_S)
    assert run.returncode == 0
    assert json.loads(out)["success"] is True


def test_a_second_signal_ends_the_process_at_once_and_the_run_is_kept_all_the_same(
    groq: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("YMERA_DRAIN_SECONDS", "60")
    groq.script("groq", [PLAN, Fault("silent")])
    run = process("run", TASK, "--thread", "mine")
    wait_for_requests(groq, 2)
    run.send_signal(signal.SIGTERM)
    wait_for_word(run, "Stopping: ")
    began = time.monotonic()
    run.send_signal(signal.SIGINT)
    run.communicate(timeout=EXIT_S)
    assert run.returncode == -signal.SIGINT
    assert time.monotonic() - began < 5
    groq.script("groq", [CODE, ACCEPT])
    document = resumed("with: ymera resume mine")
    assert len(groq.requests) == 4
    agree(document, groq)


def test_a_resumed_run_may_be_stopped_again(groq: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YMERA_DRAIN_SECONDS", "0.3")
    groq.script("groq", [PLAN, Fault("silent"), Fault("silent")])
    command = ["run", TASK, "--thread", "a b", "--hedge", "--temperature", "0.5", "--output", "answer.md"]
    for requests in (2, 3):
        run = process(*command)
        wait_for_requests(groq, requests)
        run.send_signal(signal.SIGTERM)
        _, err = run.communicate(timeout=EXIT_S)
        told = err.splitlines()[-1]
        command = shlex.split(told.partition("with: ymera ")[2])
        assert command == ["resume", "a b", "--temperature", "0.5", "--output", "answer.md", "--hedge"]
    groq.script("groq", [CODE, ACCEPT])
    document = resumed(told)
    assert len(attempts_of(document)) == 5
    agree(document, groq)


def ymera(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), prog_name="ymera")


def test_a_thread_has_one_run_at_a_time_over_all_processes(groq: FaultyServer) -> None:
    groq.script("groq", [PLAN, Fault("silent")])
    run = process("run", TASK, "--thread", "mine")
    wait_for_requests(groq, 2)
    for command in (["resume", "mine"], ["run", TASK, "--thread", "mine"]):
        refused = ymera(*command)
        assert refused.exit_code == 2, refused.output
        assert refused.stderr.splitlines()[-1].startswith("Another run is under way on thread 'mine'")
    assert len(groq.requests) == 2
    run.kill()
    run.communicate(timeout=EXIT_S)
    groq.script("groq", [CODE, ACCEPT])
    document = resumed("with: ymera resume mine")
    assert len(groq.requests) == 4
    assert document["success"] is True


@pytest.mark.parametrize("thread", ["a\nb", "\x1b]0;x", "", " ", "x" * 201], ids=repr)
@pytest.mark.parametrize("command", [["resume"], ["run", TASK, "--thread"]], ids=["resume", "run"])
def test_a_thread_that_is_no_name_is_refused_in_one_line(command: list[str], thread: str) -> None:
    refused = ymera(*command, thread)
    assert refused.exit_code == 2
    told = refused.stderr.splitlines()[-1]
    assert "The thread " in told or "'--thread': it is empty" in told
    assert "\x1b" not in told
