"""`ymera batch --server`: tasks run by `langgraph dev`, each once, whatever becomes of the command that sent them."""

from __future__ import annotations

import json
import shutil
import sys
from asyncio import create_subprocess_exec, sleep
from asyncio.subprocess import PIPE, Process
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.graphs.test_studio import ROOT, serving
from tests.servers.faulty import Answer, Fault, FaultyServer
from ymera.batch import PlaceGoneError
from ymera.batch_here import Asked
from ymera.batch_server import There, connect
from ymera.batch_tasks import read_tasks

pytestmark = [pytest.mark.studio, pytest.mark.asyncio(loop_scope="module")]
COUNT = 6


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def provider() -> AsyncIterator[FaultyServer]:
    async with FaultyServer() as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def url(tmp_path_factory: pytest.TempPathFactory, provider: FaultyServer) -> AsyncIterator[str]:
    folder = tmp_path_factory.mktemp("server")
    shutil.copy(ROOT / "langgraph.json", folder)
    async with serving(folder, provider) as (address, _):
        yield address


@pytest.fixture
def tasks(tmp_path: Path, provider: FaultyServer) -> Path:
    provider.reset()
    provider.answer(lambda request: Answer("hello", wait_s=0.1))
    lines = [{"id": f"t{n}", "task": f"Say hello no. {n}.", "phases": ["generation"]} for n in range(COUNT)]
    path = tmp_path / "tasks.jsonl"
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return path


async def batch(*arguments: str) -> Process:
    command = [sys.executable, "-c", "from ymera.cli import main; main()", "batch", *arguments]
    return await create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE)


async def ended(process: Process) -> tuple[int | None, dict[str, Any]]:
    out, err = await process.communicate()
    return process.returncode, json.loads(out or b"{}") | {"told": err.decode()}


def documents(tasks: Path) -> dict[str, dict[str, Any]]:
    lines = tasks.with_suffix(".results.jsonl").read_text().splitlines()
    return {said["id"]: said for said in map(json.loads, lines)}


def asked(provider: FaultyServer) -> Counter[str]:
    bodies = [json.dumps(request.body) for request in provider.requests]
    return Counter(f"t{body.partition('Say hello no. ')[2].partition('.')[0]}" for body in bodies)


async def test_a_server_runs_the_tasks_and_the_results_are_as_full_as_here(
    url: str, provider: FaultyServer, tasks: Path
) -> None:
    code, summary = await ended(await batch(str(tasks), "--server", url, "--json"))
    assert (code, summary.get("succeeded")) == (0, COUNT), summary
    found = documents(tasks)
    assert found["t1"]["final_result"] == "hello"
    assert found["t1"]["phase_results"][0]["attempts"][0]["usage"]["input_tokens"] > 0
    assert asked(provider) == Counter({f"t{n}": 1 for n in range(COUNT)})


async def test_a_killed_command_finds_its_runs_again_and_none_is_made_twice(
    url: str, provider: FaultyServer, tasks: Path
) -> None:
    command = [str(tasks), "--server", url, "--json", "--name", "killed"]
    killed = await batch(*command)
    while len(provider.requests) < 3:
        await sleep(0.01)
    killed.kill()
    await killed.communicate()
    code, summary = await ended(await batch(*command))
    assert (code, summary.get("succeeded")) == (0, COUNT), summary
    assert asked(provider) == Counter({f"t{n}": 1 for n in range(COUNT)})


async def test_a_task_that_fails_there_is_a_failure_here(
    url: str, provider: FaultyServer, tasks: Path
) -> None:
    provider.answer(lambda request: Fault("400") if "no. 2." in json.dumps(request.body) else Answer("hello"))
    command = [str(tasks), "--server", url, "--json", "--name", "failing", "--attempts", "1"]
    code, summary = await ended(await batch(*command, "--provider", "openai"))
    assert (code, summary["failures"]) == (1, {"bad_request": 1}), summary


async def test_a_run_that_cannot_begin_there_says_why(url: str, tasks: Path) -> None:
    command = [str(tasks), "--server", url, "--json", "--name", "nobody", "--provider", "groq"]
    code, summary = await ended(await batch(*command))
    assert (code, summary["failures"]) == (1, {"no_model": COUNT}), summary
    assert "no usable model" in documents(tasks)["t0"]["error"]


async def test_an_assistant_that_the_server_has_not_is_told_before_anything_is_sent(
    url: str, provider: FaultyServer, tasks: Path
) -> None:
    code, summary = await ended(await batch(str(tasks), "--server", url, "--assistant", "nobody"))
    assert code == 2
    assert "has no assistant 'nobody'" in summary["told"]
    assert not provider.requests


async def test_a_server_out_of_reach_ends_the_batch_and_not_its_tasks(tasks: Path) -> None:
    asked_for = Asked(agent="coding_agent", phases=None, context={})
    [task, *_] = read_tasks(tasks)
    nowhere = "http://127.0.0.1:9"
    place = There(client=connect(nowhere), url=nowhere, asked=asked_for, patience=0.0, pause=0.0)
    async with place.kept_open():
        with pytest.raises(PlaceGoneError, match="cannot be reached"):
            await place.run(task, task.thread("b", 0), place.context(task), lambda usd, tokens: None)
