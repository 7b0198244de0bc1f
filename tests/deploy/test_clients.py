"""What clients see of the server, and what its instances know of one another."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest
import pytest_asyncio
from langgraph_sdk.errors import APIStatusError, NotFoundError
from langgraph_sdk.schema import Checkpoint

from tests.kills.schedule import AGENTS
from tests.servers.faulty import Fault
from tests.servers.postgres import Postgres

from .fleet import DEPLOY, Instance
from .place import KEY, OTHER_KEY, Place, opened, until

pytestmark = [pytest.mark.deploy, pytest.mark.timeout(900), pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    async with opened(postgres.new_database(), tmp_path_factory.mktemp("fleet"), slow_s=0.2) as place:
        yield place


def asked(copy: str, module: str = "m0") -> dict[str, str]:
    return {"task": f"Write module {module} of the import service (copy {copy}), with sessions and roles"}


def made_by(place: Place, run_id: str) -> Instance:
    """Return the instance that made a run, told by its log."""
    told = [
        instance
        for instance in place.fleet.instances
        for line in instance.log.read_text().splitlines()
        if "Worker picked up run" in line and run_id in line
    ]
    return told[0]


async def test_it_serves_the_graphs_of_langgraph_json_and_draws_them(place: Place) -> None:
    async with place.client(place.fleet.instances[0]) as client:
        found = {a["graph_id"]: a for a in await client.assistants.search()}
        named = json.loads((DEPLOY.parent / "langgraph.json").read_text())["graphs"]
        assert found.keys() == named.keys()
        drawn = await client.assistants.get_graph(found["coding_agent"]["assistant_id"])
        edges = {(edge["source"], edge["target"], edge.get("data")) for edge in drawn["edges"]}
        assert ("generation", "generation", "fallback") in {
            (a, b, str(c).split(" or ")[-1]) for a, b, c in edges
        }


async def test_nobody_gets_in_without_a_key_and_nobody_sees_anothers_threads(place: Place) -> None:
    for key in ("", "no such key"):
        async with place.client(place.fleet.instances[0], key) as client:
            with pytest.raises(APIStatusError) as refused:
                await client.threads.create()
            assert refused.value.status_code == 401
    async with place.client(place.fleet.instances[0]) as ours:
        thread = await ours.threads.create()
        await ours.runs.wait(thread["thread_id"], "coding_agent", input=asked("1-1"))
    async with place.client(place.fleet.instances[1], OTHER_KEY) as theirs:
        with pytest.raises(NotFoundError):
            await theirs.threads.get_state(thread["thread_id"])
        with pytest.raises(NotFoundError):
            await theirs.runs.create(thread["thread_id"], "coding_agent", input=asked("1-2"))
        assert await theirs.threads.search() == []


async def test_a_client_waits_at_one_instance_and_reads_at_the_other(place: Place) -> None:
    first, second = place.fleet.instances
    async with place.client(first) as client:
        thread = await client.threads.create()
        values = await client.runs.wait(thread["thread_id"], "coding_agent", input=asked("2-1"))
    async with place.client(second) as client:
        state = await client.threads.get_state(thread["thread_id"])
    assert isinstance(values, dict)
    assert isinstance(state["values"], dict)
    assert values["final_result"].startswith("The generation of m0")
    assert (state["next"], state["values"]["final_result"]) == ([], values["final_result"])


async def test_a_stream_carries_attempts_and_tokens_whichever_instance_makes_the_run(place: Place) -> None:
    kinds: set[str] = set()
    async with place.client(place.fleet.instances[0]) as client:
        for number in range(4):
            stream = client.runs.stream(
                None,
                "coding_agent",
                input=asked(f"3-{number}"),
                stream_mode=["updates", "custom", "messages"],
            )
            kinds |= {part.event async for part in stream}
    assert {"updates", "custom"} <= kinds
    assert any(kind.startswith("messages") for kind in kinds)
    assert "error" not in kinds


async def test_a_run_that_is_interrupted_goes_on_where_it_stood(place: Place) -> None:
    async with place.client(place.fleet.instances[0]) as client:
        thread = await client.threads.create()
        await client.runs.wait(
            thread["thread_id"], "coding_agent", input=asked("4-1"), interrupt_before=["review"]
        )
        state = await client.threads.get_state(thread["thread_id"])
        assert state["next"] == ["review"]
        calls = len(place.witness.seen["4-1"])
        here = cast("Checkpoint", {})  # a run without an input must name one
        values = await client.runs.wait(thread["thread_id"], "coding_agent", checkpoint=here)
        assert isinstance(values, dict)
        assert set(values["phase_outputs"]) == {"planning", "generation", "review"}
        assert len(place.witness.seen["4-1"]) == calls + 1


async def test_what_one_instance_learns_of_a_failing_model_the_other_knows(place: Place) -> None:
    model = place.witness.seen["2-1"][0].model
    provider = place.witness.seen["2-1"][0].provider
    place.witness.script(provider, [Fault("429", retry_after="60")], model=model)
    makers = set()
    for number in range(12):
        async with place.client(place.fleet.instances[number % 2]) as client:
            thread = await client.threads.create()
            await client.runs.wait(thread["thread_id"], "coding_agent", input=asked(f"5-{number}"))
            [run] = await client.runs.list(thread["thread_id"])
            makers.add(made_by(place, run["run_id"]).port)
            if number and len(makers) == 2:
                break
    assert len(makers) == 2
    models = [seen.model for n in range(12) for seen in place.witness.seen.get(f"5-{n}", ())]
    assert model not in models
    assert [row for row in place.rows("SELECT circuit FROM ymera.cooldowns") if model in row[0]]
    assert place.rows("SELECT count(*) > 0 FROM ymera.attempts") == [(True,)]
    assert [path.name for i in place.fleet.instances for path in i.data.rglob("*.sqlite*")] == []


async def test_a_batch_sent_to_one_instance_survives_the_other(place: Place, tmp_path: Path) -> None:
    modules = sorted(AGENTS)
    lines = [
        {"id": f"t{n}", "agent": AGENTS[modules[n % 4]], **asked(f"6-{n}", modules[n % 4])} for n in range(24)
    ]
    tasks = tmp_path / "tasks.jsonl"
    tasks.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    victim, other = place.fleet.instances
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "from ymera.cli import main; main()", "batch", str(tasks), "--server", other.url,
        "--quiet", env={**os.environ, "LANGGRAPH_API_KEY": KEY}, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    await until(lambda: len(place.owned(victim)) > 2 or process.returncode is not None, 60)
    victim.send(signal.SIGKILL)
    told, _ = await asyncio.wait_for(process.communicate(), 120)
    assert process.returncode == 0, told.decode()[-1500:]
    results = [json.loads(line) for line in (tmp_path / "tasks.results.jsonl").read_text().splitlines()]
    assert len(results) == len(lines)
    assert {result["id"] for result in results} == {line["id"] for line in lines}
