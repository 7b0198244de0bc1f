"""The threads that are kept: listed, shown, deleted, pruned, in both stores and for each tenant alone."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest
from dirty_equals import IsPartialDict
from pydantic import SecretStr
from typer.testing import CliRunner, Result

from tests.scripted import Line, Script, scripted_services
from tests.servers.faulty import Answer, FaultyServer
from ymera import MultiModelExecutor, ResumeError, RunContext, Settings
from ymera.cli import app
from ymera.nodes.calls import SCHEMA
from ymera.nodes.database import open_database
from ymera.routing.errors import ThreadBusyError
from ymera.routing.retention import Keep
from ymera.routing.tenants import stored_thread
from ymera.threads import delete_threads, list_threads, prune_threads, summary_of

TASK = "Create a FastAPI endpoint for user management"
CODE = Answer(text="print('hello')")
DOWN = ConnectionError("no route to host")


def executor_of(script: Script, settings: Settings) -> MultiModelExecutor:
    return MultiModelExecutor(services=scripted_services(script, settings))


@pytest.fixture(params=["sqlite", "postgres"])
def stored(request: pytest.FixtureRequest, settings: Settings) -> Settings:
    """The settings of each of the two stores."""
    if request.param == "sqlite":
        return settings
    url: str = request.getfixturevalue("postgres_url")
    return settings.model_copy(update={"ymera_database_url": SecretStr(url)})


async def test_threads_are_listed_the_latest_first_with_how_they_stand(stored: Settings) -> None:
    script = Script()
    executor = executor_of(script, stored)
    await executor.execute_with_multi_model("coding_agent", f"{TASK} {'and more ' * 20}", thread_id="done")
    await executor.execute_with_multi_model(
        "coding_agent", TASK, thread_id="asks", context=RunContext(approve=["plan"])
    )
    await executor.execute_with_multi_model(
        "database_agent", TASK, thread_id="poor", context=RunContext(budget_tokens=1)
    )
    script.otherwise = Line(error=DOWN)
    await executor.execute_with_multi_model("coding_agent", TASK, thread_id="down")
    listed = await list_threads(executor.services)
    assert [(thread.thread_id, thread.agent, thread.status) for thread in listed] == [
        ("down", "coding_agent", "failed"),
        ("poor", "database_agent", "budget"),
        ("asks", "coding_agent", "waiting"),
        ("done", "coding_agent", "succeeded"),
    ]
    done = listed[-1]
    assert done.task == f"{TASK} and more and m…"
    assert (done.cost > 0, done.started <= done.last, done.checkpoints > 3, done.bytes > 1_000) == (True,) * 4
    assert [thread.thread_id for thread in await list_threads(executor.services, 1)] == ["down"]


async def test_a_deleted_thread_is_gone_and_the_others_stay(stored: Settings) -> None:
    executor = executor_of(Script(), stored)
    for name in ("a", "b"):
        await executor.execute_with_multi_model("coding_agent", TASK, thread_id=name, use_cache=False)
    with pytest.raises(ResumeError, match=r"No thread .c. in .*`ymera threads` lists them"):
        await delete_threads(["a", "c"], executor.services)
    await delete_threads(["a"], executor.services)
    assert [thread.thread_id for thread in await list_threads(executor.services)] == ["b"]
    with pytest.raises(ResumeError):
        await executor.resume("a")
    assert (await executor.resume("b")).success


async def test_a_thread_whose_run_is_under_way_cannot_be_deleted(stored: Settings) -> None:
    script = Script()
    executor = executor_of(script, stored)
    await executor.execute_with_multi_model("coding_agent", TASK, thread_id="done", use_cache=False)
    async with under_way(executor, script, "busy"):
        with pytest.raises(ThreadBusyError, match="Another run is under way on thread 'busy'"):
            await delete_threads(["done", "busy"], executor.services)
        assert {t.thread_id: t.status for t in await list_threads(executor.services)} == {
            "done": "succeeded",
            "busy": "unfinished",
        }
    await delete_threads(["done", "busy", "busy"], executor.services)
    assert await list_threads(executor.services) == []


@asynccontextmanager
async def under_way(executor: MultiModelExecutor, script: Script, thread_id: str) -> AsyncIterator[None]:
    """Hold a run in the middle of its first call, and give it up at the end."""
    before, script.otherwise = script.otherwise, Line(text="half an answer", stands_still_after=1)
    async with aclosing(executor.stream("coding_agent", TASK, thread_id=thread_id)) as events:
        async for event in events:
            if event["event"] == "attempt_started":
                break
        yield
    script.otherwise = before


async def test_deleting_a_thread_takes_what_the_journal_holds_of_it_and_of_no_other_tenants(
    stored: Settings,
) -> None:
    mine, theirs = (
        executor_of(Script(), stored.model_copy(update={"ymera_tenant": name})) for name in ("ann", "bob")
    )
    for executor in (mine, theirs):
        for name in ("a", "b"):
            await executor.execute_with_multi_model("coding_agent", TASK, thread_id=name, use_cache=False)
    before = journalled(stored)
    assert (len(before), len(set(before))) == (4 * 3, 4)
    await delete_threads(["a"], mine.services)
    left = journalled(stored)
    assert set(before) - set(left) == {stored_thread("ann", "a")}
    assert len(left) == 3 * 3


def journalled(settings: Settings) -> list[str]:
    """Return the threads of all rows of the journal."""
    journal = open_database(settings, "journal", SCHEMA, patience=5)
    try:
        with journal.reading() as rows:
            return [str(thread) for (thread,) in rows.execute("SELECT thread FROM calls WHERE thread <> ''")]
    finally:
        journal.close()


async def test_pruning_spares_what_was_written_within_the_hour(stored: Settings) -> None:
    executor = executor_of(Script(), stored)
    await executor.execute_with_multi_model("coding_agent", TASK, thread_id="a")
    assert await prune_threads(Keep(threads=0), executor.services) == []


async def test_pruning_keeps_the_latest_threads(settings: Settings) -> None:
    executor = executor_of(Script(), settings)
    for name in ("first", "second", "third"):
        await executor.execute_with_multi_model("coding_agent", TASK, thread_id=name, use_cache=False)
    let_age(settings, hours=2)
    gone = await prune_threads(Keep(threads=2), executor.services)
    assert [thread.thread_id for thread in gone] == ["first"]
    assert await prune_threads(Keep(seconds=86_400.0), executor.services) == []
    assert {thread.thread_id for thread in await prune_threads(Keep(seconds=3_600.0), executor.services)} == {
        "second",
        "third",
    }


async def test_pruning_passes_by_a_run_that_is_under_way_and_clears_the_journal(settings: Settings) -> None:
    script = Script()
    executor = executor_of(script, settings)
    await executor.execute_with_multi_model("coding_agent", TASK, thread_id="old", use_cache=False)
    async with under_way(executor, script, "busy"):
        let_age(settings, hours=2)  # a call may wait for its turn for long
        gone = await prune_threads(Keep(bytes=0), executor.services)
        assert [thread.thread_id for thread in gone] == ["old"]
        assert set(journalled(settings)) == {"busy"}


def let_age(settings: Settings, *, hours: int) -> None:
    """Make the checkpoints of a file older: their ids tell when they were made (UUID version 6)."""
    steps = hours * 3_600 * 10**7
    with sqlite3.connect(settings.checkpoints) as connection:
        for (name,) in connection.execute("SELECT DISTINCT checkpoint_id FROM checkpoints").fetchall():
            digits = name.replace("-", "")
            time = int(digits[:12] + digits[13:16], 16) - steps
            aged = f"{time:015x}"
            new = f"{aged[:8]}-{aged[8:12]}-6{aged[12:15]}-{digits[16:20]}-{digits[20:]}"
            for table, column in (
                ("checkpoints", "checkpoint_id"),
                ("checkpoints", "parent_checkpoint_id"),
                ("writes", "checkpoint_id"),
            ):
                connection.execute(f"UPDATE {table} SET {column} = ? WHERE {column} = ?", (new, name))
    connection.close()


async def test_tenants_see_and_delete_their_own_threads_alone(settings: Settings) -> None:
    of = {
        name: executor_of(Script(), settings.model_copy(update={"ymera_tenant": name}))
        for name in ("ann", "bob")
    }
    for executor in of.values():
        await executor.execute_with_multi_model("coding_agent", TASK, thread_id="same", use_cache=False)
    await of["ann"].execute_with_multi_model("coding_agent", TASK, thread_id="hers", use_cache=False)
    assert [t.thread_id for t in await list_threads(of["bob"].services)] == ["same"]
    with pytest.raises(ResumeError):
        await delete_threads(["hers"], of["bob"].services)
    with pytest.raises(ResumeError):
        await summary_of("hers", of["bob"].services)
    await delete_threads(["same"], of["bob"].services)
    assert {t.thread_id for t in await list_threads(of["ann"].services)} == {"same", "hers"}
    assert await list_threads(executor_of(Script(), settings).services) == []


async def test_a_thread_that_cannot_be_read_is_listed_as_such(settings: Settings) -> None:
    executor = executor_of(Script(), settings)
    await executor.execute_with_multi_model("coding_agent", TASK, thread_id="t")
    with sqlite3.connect(settings.checkpoints) as connection:
        connection.execute("UPDATE checkpoints SET checkpoint = x'c1'")
    connection.close()
    assert [thread.status for thread in await list_threads(executor.services)] == ["unreadable"]
    await delete_threads(["t"], executor.services)
    assert await list_threads(executor.services) == []


# From the command line.


def ymera(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), prog_name="ymera")


@pytest.mark.usefixtures("own_logging", "no_models_at_home")
def test_the_commands_list_show_and_delete(groq: FaultyServer) -> None:
    groq.script("groq", [CODE])
    assert ymera("run", TASK, "--thread", "t", "--phases", "generation").exit_code == 0
    assert "succeeded" in ymera("threads").stdout
    (listed,) = json.loads(ymera("threads", "--json").stdout)
    assert listed == IsPartialDict(thread_id="t", agent="coding_agent", task=TASK, status="succeeded")
    shown = ymera("threads", "show", "t")
    assert (shown.exit_code, "Thread t: succeeded." in shown.stdout, "generation" in shown.stdout) == (
        0,
        True,
        True,
    )
    assert json.loads(ymera("threads", "show", "t", "--json").stdout)["result"]["final_result"] == CODE.text
    assert json.loads(ymera("threads", "prune", "--max-bytes", "0", "--json").stdout) == {"deleted": []}
    assert json.loads(ymera("threads", "delete", "t", "--json").stdout) == {"deleted": ["t"]}
    assert json.loads(ymera("threads", "--json").stdout) == []
    assert (ymera("threads").stdout, ymera("threads").stderr) == ("", "No thread is kept.\n")


@pytest.mark.usefixtures("own_logging", "no_models_at_home")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(["delete", "none"], "No thread 'none' in", id="no such thread"),
        pytest.param(["show", "none"], "No thread 'none' in", id="nothing to show"),
        pytest.param(["--json", "prune"], "--json stands behind the command", id="an option too early"),
        pytest.param(["prune"], "Say which threads are to go: --older-than 30d, --keep 100", id="no limit"),
        pytest.param(
            ["prune", "--max-bytes", "-1"], "Invalid value for '--max-bytes'", id="less than nothing"
        ),
        pytest.param(["prune", "--older-than", "soon"], "The age 'soon' is none.", id="no age"),
        pytest.param(["prune", "--older-than", "-3d"], "The age '-3d' is none.", id="an age of the future"),
    ],
)
def test_wrong_use_is_one_clear_error(tmp_path: Path, arguments: list[str], said: str) -> None:
    result = ymera("threads", *arguments)
    assert (result.exit_code, said in result.stderr) == (2, True), result.output
