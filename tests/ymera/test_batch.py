"""Many tasks from one file: over real HTTP to the loopback provider, killed and started again."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from tests.servers.faulty import Answer, Fault, FaultyServer, Reply, Request
from ymera.batch import Bounds, room, trial_of
from ymera.batch_results import Outcome, open_results
from ymera.batch_tasks import SHOWN_FAULTS, check_tasks, read_tasks
from ymera.cli import app
from ymera.routing.errors import InputError

pytestmark = pytest.mark.usefixtures("own_logging", "no_models_at_home")
PATIENCE_S = 30


def ymera(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), prog_name="ymera")


def process(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", "from ymera.cli import main; main()", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def write(path: Path, *lines: object) -> Path:
    path.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines))
    return path


def some(count: int, **said: object) -> list[dict[str, object]]:
    """Return lines of as many tasks, of one phase each."""
    return [
        {"id": f"t{n}", "task": f"Say hello no. {n}.", "phases": ["generation"], **said} for n in range(count)
    ]


def documents(path: Path) -> dict[str, dict[str, Any]]:
    """Return the last document of each task."""
    return {said["id"]: said for said in map(json.loads, path.read_text().splitlines())}


def asked(groq: FaultyServer) -> Counter[str]:
    """Return how often each task reached the provider."""
    bodies = [json.dumps(request.body) for request in groq.sent_to("groq")]
    return Counter(f"t{body.partition('Say hello no. ')[2].partition('.')[0]}" for body in bodies)


def until(met: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not met():
        assert time.monotonic() < end
        time.sleep(0.005)


# --- the file of tasks -----------------------------------------------------------------------------------

FAULTS = {
    "no JSON": ("{task", "not JSON"),
    "NaN": ('{"task": "x", "parameters": {"a": NaN}}', "NaN is no JSON value"),
    "a list": ([1], "not a JSON object: [1]"),
    "without a task": ({"id": "a"}, '"task" is missing'),
    "an empty task": ({"task": " "}, "The task is empty"),
    "a task that is a number": ({"task": 1}, "The task is not a text"),
    "an unknown key": ({"task": "x", "prompt": "y"}, "unknown key 'prompt'. Known keys: id, task, agent"),
    "an empty id": ({"task": "x", "id": ""}, "The id is no name"),
    "an id of control characters": ({"task": "x", "id": "a\x1b"}, "control characters"),
    "parameters in a list": ({"task": "x", "parameters": [1]}, "'parameters' is not an object: [1]"),
    "phases in a text": ({"task": "x", "phases": "generation"}, "'phases' is not a list"),
    "an unknown phase": ({"task": "x", "phases": ["dance"]}, "Unknown phase 'dance'"),
    "an unknown setting": ({"task": "x", "context": {"colour": 1}}, '"context": colour'),
    "a setting out of its range": ({"task": "x", "context": {"attempts": 0}}, '"context": attempts'),
    "a gate": ({"task": "x", "context": {"approve": ["plan"]}}, "nobody is asked in a batch"),
}


@pytest.mark.parametrize(("line", "told"), FAULTS.values(), ids=FAULTS.keys())
def test_a_faulty_line_is_told_with_its_number_before_anything_is_paid(
    groq: FaultyServer, tmp_path: Path, line: object, told: str
) -> None:
    tasks = write(tmp_path / "tasks.jsonl", {"task": "sound"}, "", line)
    result = ymera("batch", str(tasks))
    assert result.exit_code == 2
    assert f"{tasks}:3: " in result.stderr
    assert told in result.stderr
    assert not groq.requests
    assert not (tmp_path / "tasks.results.jsonl").exists()


def test_all_faulty_lines_are_told_at_once_and_many_are_counted(tmp_path: Path) -> None:
    tasks = write(tmp_path / "tasks.jsonl", *["no JSON"] * (SHOWN_FAULTS + 5), {"task": "sound"})
    with pytest.raises(InputError) as caught:
        check_tasks(tasks, lambda task: None)
    assert str(caught.value).count("not JSON") == SHOWN_FAULTS
    assert "… and 5 more faulty lines." in str(caught.value)


def test_two_lines_of_one_id_are_told_and_equal_lines_without_one_are_two_tasks(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r":2: the id 'a' is that of line 1 too"):
        check_tasks(write(tmp_path / "a.jsonl", *[{"id": "a", "task": "x"}] * 2), lambda task: None)
    first, second = read_tasks(write(tmp_path / "b.jsonl", *[{"task": "x"}] * 2))
    assert second.id == f"{first.id}-2"
    assert first.thread("b", 0) != second.thread("b", 0)


def test_a_file_without_tasks_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no task"):
        check_tasks(write(tmp_path / "tasks.jsonl", "", " "), lambda task: None)


def test_a_line_keeps_its_id_and_thread_when_lines_come_and_go_and_loses_them_when_it_changes(
    tmp_path: Path,
) -> None:
    [before] = read_tasks(write(tmp_path / "tasks.jsonl", {"task": "x", "agent": "coding_agent"}))
    _, moved = read_tasks(
        write(tmp_path / "tasks.jsonl", {"task": "y"}, {"agent": "coding_agent", "task": "x"})
    )
    assert (moved.id, moved.thread("b", 0)) == (before.id, before.thread("b", 0))
    [changed] = read_tasks(write(tmp_path / "tasks.jsonl", {"task": "x", "agent": "analysis_agent"}))
    assert changed.key != before.key
    assert (
        len({before.thread("b", 0), before.thread("c", 0), before.thread("b", 1), changed.thread("b", 0)})
        == 4
    )


def test_the_lines_of_the_document_are_tasks(tmp_path: Path) -> None:
    page = Path(__file__).parents[2] / "docs" / "batch.md"
    lines = [line for line in page.read_text("utf-8").splitlines() if line.startswith("{")]
    assert check_tasks(write(tmp_path / "tasks.jsonl", *lines), lambda task: None) == 3


# --- runs ------------------------------------------------------------------------------------------------


def test_every_task_has_a_document_and_the_sum_is_told(groq: FaultyServer, tmp_path: Path) -> None:
    tasks = write(
        tmp_path / "tasks.jsonl", *some(6), {"id": "own", "task": "Sum up.", "phases": ["generation"]}
    )
    groq.answer(lambda request: Fault("401") if "no. 3." in json.dumps(request.body) else Answer("hello"))
    result = ymera("batch", str(tasks), "--json", "--jobs", "1", "--attempts", "1")
    found = documents(tmp_path / "tasks.results.jsonl")
    assert result.exit_code == 1
    assert found.keys() == {*(f"t{n}" for n in range(6)), "own"}
    assert found["own"]["final_result"] == "hello"
    assert found["own"]["line"] == 7
    assert "plan" not in found["own"]
    summary = json.loads(result.stdout)
    assert (summary["tasks"], summary["left"], summary["success"]) == (7, 0, False)
    assert summary["total_cost"] == pytest.approx(sum(said["total_cost"] for said in found.values()))
    assert summary["failures"]["authentication"] == 1
    assert [said["failure"] for said in found.values()].count("authentication") == 1


def test_the_same_command_again_runs_nothing_and_failures_only_where_that_is_wanted(
    groq: FaultyServer, tmp_path: Path
) -> None:
    tasks = write(tmp_path / "tasks.jsonl", *some(3))
    broken: list[Reply] = [Fault("400", message="no")]
    groq.answer(
        lambda request: broken[0] if "no. 1." in json.dumps(request.body) and broken else Answer("hello")
    )
    command = ["batch", str(tasks), "--json", "--attempts", "1"]
    assert ymera(*command).exit_code == 1
    sent = len(groq.requests)
    again = ymera(*command)
    assert (again.exit_code, len(groq.requests)) == (1, sent)
    assert json.loads(again.stdout)["finished_earlier"] == 3
    broken.clear()
    mended = ymera(*command, "--retry-failed")
    assert mended.exit_code == 0, mended.output
    assert len(groq.requests) == sent + 1
    assert documents(tmp_path / "tasks.results.jsonl")["t1"]["trial"] == 1
    assert ymera(*command).exit_code == 0


def test_what_the_command_says_counts_where_the_line_says_nothing(groq: FaultyServer, tmp_path: Path) -> None:
    warm, plain = some(2)
    tasks = write(tmp_path / "tasks.jsonl", warm | {"context": {"temperature": 0.9}}, plain)
    assert ymera("batch", str(tasks), "--temperature", "0.5", "--jobs", "1").exit_code == 0
    assert [request.body["temperature"] for request in groq.requests] == [0.9, 0.5]


def test_no_more_tasks_are_under_way_than_jobs(groq: FaultyServer, tmp_path: Path) -> None:
    together: list[int] = []

    def answer(request: Request) -> Reply:
        together.append(groq.open_connections)
        return Answer("hello", wait_s=0.02)

    groq.answer(answer)
    tasks = write(tmp_path / "tasks.jsonl", *some(12))
    assert ymera("batch", str(tasks), "--jobs", "3", "--quiet").exit_code == 0
    assert max(together) == 3


def test_quiet_prints_nothing(groq: FaultyServer, tmp_path: Path) -> None:
    result = ymera("batch", str(write(tmp_path / "tasks.jsonl", *some(2))), "--quiet")
    assert (result.exit_code, result.output) == (0, "")


def test_without_a_usable_model_nothing_begins(tmp_path: Path) -> None:
    result = ymera("batch", str(write(tmp_path / "tasks.jsonl", *some(2))))
    assert result.exit_code == 3
    assert not (tmp_path / "tasks.results.jsonl").exists()


@pytest.mark.parametrize("output", ["tasks.jsonl", "nowhere/results.jsonl", "."])
def test_an_output_that_cannot_be_written_is_told_before_anything_is_paid(
    groq: FaultyServer, tmp_path: Path, output: str
) -> None:
    result = ymera("batch", str(write(tmp_path / "tasks.jsonl", *some(1))), "--output", output)
    assert result.exit_code == 2
    assert "The results cannot go to" in result.stderr
    assert not groq.requests


# --- kills -----------------------------------------------------------------------------------------------


@pytest.fixture
def slow(groq: FaultyServer) -> FaultyServer:
    groq.answer(lambda request: Answer("hello", wait_s=0.1))
    return groq


def test_a_killed_batch_goes_on_where_it_was(slow: FaultyServer, tmp_path: Path) -> None:
    tasks, results = write(tmp_path / "tasks.jsonl", *some(12)), tmp_path / "tasks.results.jsonl"
    command = ["batch", str(tasks), "--jobs", "3", "--json"]
    killed = process(*command)
    until(lambda: results.exists() and len(results.read_bytes().splitlines()) >= 3)
    killed.kill()
    killed.communicate()
    paid = asked(slow)
    finished = documents(results)
    again = ymera(*command)
    assert again.exit_code == 0, again.output
    assert documents(results).keys() == {f"t{n}" for n in range(12)}
    twice = {name for name, count in asked(slow).items() if count > 1}
    assert twice <= paid.keys() - finished.keys()
    assert len(twice) <= 3  # what was in flight
    lines = results.read_text().splitlines()
    assert len(lines) == 12


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_signal_lets_calls_end_begins_no_other_and_tells_how_to_go_on(
    slow: FaultyServer, tmp_path: Path, number: signal.Signals
) -> None:
    tasks = write(tmp_path / "tasks.jsonl", *some(30))
    command = ["batch", str(tasks), "--jobs", "3", "--json"]
    stopped = process(*command)
    until(lambda: len(slow.requests) >= 4)
    stopped.send_signal(number)
    out, told = stopped.communicate(timeout=PATIENCE_S)
    assert stopped.returncode == 75, told
    assert json.loads(out)["exit_code"] == 75
    assert "Interrupted. Go on with: ymera batch " in told
    assert len(slow.requests) < 30
    again = ymera(*command)
    assert again.exit_code == 0, again.output
    assert set(asked(slow).values()) == {1}  # nothing was given up, so nothing is paid twice


def test_half_a_line_is_dropped_and_its_task_is_read_from_its_thread(
    slow: FaultyServer, tmp_path: Path
) -> None:
    tasks, results = write(tmp_path / "tasks.jsonl", *some(3)), tmp_path / "tasks.results.jsonl"
    assert ymera("batch", str(tasks), "--jobs", "1").exit_code == 0
    whole = results.read_bytes()
    results.write_bytes(whole[:-20])
    assert ymera("batch", str(tasks), "--jobs", "1").exit_code == 0
    assert len(slow.requests) == 3
    before, after = (json.loads(text.splitlines()[-1]) for text in (whole, results.read_bytes()))
    for said in (before, after):
        del said["total_execution_time"]
    assert before == after


def test_a_lost_result_file_costs_nothing_and_another_name_runs_anew(
    slow: FaultyServer, tmp_path: Path
) -> None:
    tasks, results = write(tmp_path / "tasks.jsonl", *some(2)), tmp_path / "tasks.results.jsonl"
    assert ymera("batch", str(tasks)).exit_code == 0
    results.unlink()
    assert ymera("batch", str(tasks)).exit_code == 0
    assert (len(slow.requests), len(documents(results))) == (2, 2)
    assert ymera("batch", str(tasks), "--output", "other.jsonl").exit_code == 0
    assert len(slow.requests) == 4


def test_two_batches_do_not_write_to_one_file(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    with (
        open_results(path),
        pytest.raises(InputError, match="Another `ymera batch` writes"),
        open_results(path),
    ):
        pass


def test_a_file_that_holds_something_else_is_not_touched(groq: FaultyServer, tmp_path: Path) -> None:
    other = write(tmp_path / "notes.txt", "my notes")
    result = ymera("batch", str(write(tmp_path / "tasks.jsonl", *some(1))), "--output", str(other))
    assert result.exit_code == 2
    assert "is no line of a result file" in result.stderr
    assert other.read_text() == "my notes\n"


# --- budgets ---------------------------------------------------------------------------------------------


def billed(tokens: int) -> Answer:
    return Answer("hello", input_tokens=tokens // 2, output_tokens=tokens // 2)


def test_the_batch_ends_where_its_budget_ends_and_goes_on_with_a_larger_one(
    groq: FaultyServer, tmp_path: Path
) -> None:
    groq.answer(lambda request: billed(1000))
    tasks, results = write(tmp_path / "tasks.jsonl", *some(8)), tmp_path / "tasks.results.jsonl"
    stopped = ymera("batch", str(tasks), "--jobs", "1", "--batch-tokens", "2500", "--json")
    summary = json.loads(stopped.stdout)
    assert stopped.exit_code == 4
    assert "of 2500 tokens are spent" in summary["stopped_by_budget"]
    assert summary["left"] > 0
    sent = asked(groq)
    more = ymera("batch", str(tasks), "--jobs", "1", "--batch-tokens", "1000000", "--retry-failed")
    assert more.exit_code == 0, more.output
    assert all(said["success"] for said in documents(results).values())
    assert sent.keys() < asked(groq).keys()


ROOM = {
    "no bound": ((None, 9.0, [(None, 9.0)], 5.0), "yes"),
    "fits": ((10.0, 3.0, [(4.0, 1.0)], 3.0), "yes"),
    "fits when another gives back": ((10.0, 3.0, [(4.0, 1.0)], 4.0), "wait"),
    "nothing will come back": ((10.0, 3.0, [(4.0, 4.0)], 4.0), "no"),
    "too large by itself": ((10.0, 0.0, [], 11.0), "no"),
    "no cap, some left": ((10.0, 9.0, [(None, 0.5)], None), "yes"),
    "no cap, none left": ((10.0, 9.0, [(None, 1.0)], None), "no"),
    "zero": ((0.0, 0.0, [], None), "no"),
}


@pytest.mark.parametrize(("given", "expected"), ROOM.values(), ids=ROOM.keys())
def test_a_run_begins_where_what_it_may_spend_fits(given: Any, expected: str) -> None:
    assert room(*given) == expected


amounts = st.integers(0, 100).map(float)


@given(bound=amounts, paid=amounts, caps=st.lists(st.tuples(amounts, amounts)), cap=amounts)
def test_runs_with_budgets_of_their_own_never_spend_more_than_the_batch_may(
    bound: float, paid: float, caps: list[tuple[float, float]], cap: float
) -> None:
    running: list[tuple[float | None, float]] = [(most, min(spent, most)) for most, spent in caps]
    if room(bound, paid, running, cap) == "yes":
        assert paid + sum(most or 0.0 for most, _ in running) + cap <= bound


TRIALS = {
    "never run": (None, False, 0),
    "succeeded": (Outcome(failure=None, ran=True, trial=0), True, None),
    "failed": (Outcome(failure="auth", ran=True, trial=0), False, None),
    "failed, to be run again": (Outcome(failure="auth", ran=True, trial=1), True, 2),
    "not resumable, to be run again": (
        Outcome(failure="not_resumable", ran=False, trial=0),
        True,
        1,
    ),
    "had not begun": (Outcome(failure="no_model", ran=False, trial=1), False, 1),
}


@pytest.mark.parametrize(("outcome", "retry", "expected"), TRIALS.values(), ids=TRIALS.keys())
def test_a_task_is_run_until_it_is_finished(
    outcome: Outcome | None, retry: bool, expected: int | None
) -> None:
    assert trial_of(outcome, Bounds(jobs=1, retry_failed=retry)) == expected
