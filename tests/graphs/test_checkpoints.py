"""Where runs last: the same in SQLite and PostgreSQL, encrypted where asked, and never a way in."""

from __future__ import annotations

import asyncio
import os
import re
import sqlite3
import sys
import zlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, closing
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock

import psycopg
import pytest
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.conformance import checkpointer_test, validate
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from psycopg_pool import AsyncConnectionPool
from pydantic import SecretStr

from ymera.executor import MultiModelExecutor
from ymera.graphs import checkpoints
from ymera.graphs import postgres as postgres_module
from ymera.graphs import serializer as serializer_module
from ymera.graphs.checkpoints import open_checkpoints
from ymera.graphs.serializer import StrictSerializer
from ymera.graphs.workflow import build
from ymera.nodes.encryption import Cipher
from ymera.nodes.settings import Settings, load_settings
from ymera.results import MultiModelResult
from ymera.routing.errors import InputError

from ..scripted import Line, Script, scripted_services
from ..servers.postgres import Postgres, all_bytes

KEY = "0123456789abcdef" * 2
TASK = "Write a function that greets the guest CANARY-TASK-ü."
PARAMETERS = {"style": "CANARY-PARAMETER", "count": 7_654_321}
CANARIES = (b"CANARY-TASK", b"CANARY-PARAMETER", b"CANARY-ANSWER", b"7654321")
AGENT = "coding_agent"


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, settings: Settings) -> Settings:
    """The settings of a fresh machine with either store."""
    if request.param == "postgres":
        monkeypatch.setenv("YMERA_DATABASE_URL", request.getfixturevalue("postgres_url"))
    return load_settings()


@pytest.fixture
def sealed(store: Settings) -> Settings:
    return with_key(store, KEY)


def with_key(settings: Settings, key: str | None) -> Settings:
    return settings.model_copy(update={"langgraph_aes_key": SecretStr(key) if key else None})


def stored_bytes(settings: Settings) -> bytes:
    """Return all that stands in the store, of checkpoints and of results."""
    if settings.ymera_database_url:
        return all_bytes(settings.ymera_database_url.get_secret_value())
    return b"".join(each.read_bytes() for each in sorted(settings.ymera_data_dir.iterdir()))


def executor(settings: Settings, script: Script | None = None) -> MultiModelExecutor:
    script = script or Script(otherwise=Line(text="CANARY-ANSWER " * 5))
    return MultiModelExecutor(services=scripted_services(script, settings))


async def run(settings: Settings, thread: str = "one", task: str = TASK) -> MultiModelResult:
    result = await executor(settings).execute_with_multi_model(AGENT, task, PARAMETERS, thread_id=thread)
    assert result.success, result.error
    return result


def change(settings: Settings, sqlite: str, postgres: str, *parameters: object) -> int:
    """Change rows behind the store's back; return how many."""
    if settings.ymera_database_url:
        with psycopg.connect(settings.ymera_database_url.get_secret_value()) as connection:
            return connection.execute(postgres.encode(), parameters).rowcount
    with closing(sqlite3.connect(settings.checkpoints)) as db, db:
        return db.execute(sqlite, parameters).rowcount


# --- both stores -------------------------------------------------------------------------------------------


async def test_a_run_lasts_and_is_read_back_by_another_process(store: Settings) -> None:
    result = await run(store)
    again = await executor(store).resume("one")
    assert again.final_result == result.final_result
    assert again.phase_results == result.phase_results


async def test_a_task_with_any_character_lasts(store: Settings) -> None:
    odd = "A NUL \x00, a \x1f, \u2028, a \ufffe and a 🙂: explain them."
    await run(store, task=odd)
    async with open_checkpoints(store) as saver:
        graph = build(None, scripted_services(Script(), store)).compile(checkpointer=saver)
        state = await graph.aget_state({"configurable": {"thread_id": "one"}})
    assert state.values["task_description"] == odd


async def test_runs_of_an_event_loop_share_one_saver_and_the_last_one_closes_it(store: Settings) -> None:
    async with open_checkpoints(store) as one, open_checkpoints(load_settings()) as other:
        assert one is other
    async with open_checkpoints(store) as later:
        assert later is not one
        assert [each async for each in later.alist(None)] == []


@pytest.mark.parametrize(("within", "times"), [(True, 1), (False, 3)])
async def test_within_async_with_the_store_stays_open_from_run_to_run(
    store: Settings, monkeypatch: pytest.MonkeyPatch, within: bool, times: int
) -> None:
    opening = AsyncMock(side_effect=checkpoints._opened)
    monkeypatch.setattr(checkpoints, "_opened", opening)
    async with AsyncExitStack() as stack:
        several = executor(store)
        if within:
            await stack.enter_async_context(several)
        for number in range(3):
            assert (await several.execute_with_multi_model(AGENT, f"{TASK} no. {number}")).success
        assert opening.await_count == times
    async with open_checkpoints(store):
        assert opening.await_count == times + 1, "it was closed at the end"


async def test_a_result_that_is_stored_opens_no_store_of_runs(
    store: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    await executor(store).execute_with_multi_model(AGENT, TASK)
    monkeypatch.setattr(checkpoints, "_opened", AsyncMock(side_effect=AssertionError))
    async with executor(store) as within:
        assert (await within.execute_with_multi_model(AGENT, TASK)).cached


async def test_what_has_stayed_open_is_not_closed_by_another_event_loop(
    store: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    opening = AsyncMock(side_effect=checkpoints._opened)
    monkeypatch.setattr(checkpoints, "_opened", opening)
    async with executor(store) as within:
        assert (await within.execute_with_multi_model(AGENT, TASK)).success
        assert (await asyncio.to_thread(within.execute_sync, AGENT, f"{TASK} once more")).success
        assert opening.await_count == 2, "one of each loop"
        assert (await within.execute_with_multi_model(AGENT, f"{TASK} and again")).success
        assert opening.await_count == 2, "still open here"


async def test_with_another_key_another_saver_is_opened(store: Settings, sealed: Settings) -> None:
    async with open_checkpoints(store) as one, open_checkpoints(sealed) as other:
        assert one is not other


async def test_many_runs_at_once_share_the_store(store: Settings) -> None:
    shared = executor(store)
    runs = [shared.execute_with_multi_model(AGENT, f"{TASK} no. {i}") for i in range(12)]
    assert all(result.success for result in await asyncio.gather(*runs))


PROCESSES = """
import asyncio, os, sys
from tests.scripted import Line, Script, scripted_services
from ymera.executor import MultiModelExecutor
from ymera.graphs.workflow import build
from ymera.nodes.settings import load_settings

async def work(name):
    services = scripted_services(Script(otherwise=Line(text="an answer " * 200)), load_settings())
    executor = MultiModelExecutor(services=services)
    runs = [executor.execute_with_multi_model("coding_agent", f"Task {name}-{i}") for i in range(4)]
    return sum(result.success for result in await asyncio.gather(*runs))

begin, wait = os.pipe()
children = []
for name in range(8):
    children.append(os.fork())  # what is imported is imported once; nothing is opened yet
    if not children[-1]:
        os.close(wait)
        os.read(begin, 1)  # until the parent lets go of it: all begin at once
        os._exit(asyncio.run(work(name)))
os.close(wait)
print([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children])
"""


async def test_eight_processes_on_one_new_store_lose_no_run(store: Settings) -> None:
    pipe = asyncio.subprocess.PIPE
    command = (sys.executable, "-W", "error", "-c", PROCESSES)
    root = Path(__file__).parents[2]
    parent = await asyncio.create_subprocess_exec(
        *command, stdout=pipe, stderr=pipe, cwd=root, env=os.environ
    )
    said, complaints = await parent.communicate()
    assert (said.decode().strip(), complaints.decode()) == (str([4] * 8), "")


# --- encryption --------------------------------------------------------------------------------------------


async def test_without_a_key_the_texts_of_a_run_stand_in_the_store(store: Settings) -> None:
    await run(store)
    held = stored_bytes(store)
    assert all(canary in held for canary in CANARIES[:3]), "what the next test looks for can be found"


async def test_with_a_key_nothing_of_a_run_stands_readable_in_the_store(sealed: Settings) -> None:
    result = await run(sealed)
    held = stored_bytes(sealed)
    assert b"planning" in held, "the names of channels and phases are no secret"
    assert [canary for canary in CANARIES if canary in held] == []
    assert (await executor(sealed).resume("one")).final_result == result.final_result


async def test_with_a_key_a_stored_result_is_found_again_and_is_not_readable(sealed: Settings) -> None:
    first = await executor(sealed).execute_with_multi_model(AGENT, TASK, PARAMETERS)
    again = await executor(sealed).execute_with_multi_model(AGENT, TASK, PARAMETERS)
    assert (first.cached, again.cached) == (False, True)
    assert again.final_result == first.final_result
    other = await executor(with_key(sealed, "another key here")).execute_with_multi_model(
        AGENT, TASK, PARAMETERS
    )
    assert not other.cached


@pytest.mark.parametrize(
    ("written", "read", "said"),
    [
        (None, KEY, "not encrypted as LANGGRAPH_AES_KEY asks"),
        (KEY, "another key here", "encrypted with another key, or changed since"),
        (KEY, None, "A stored value is encrypted. Give the key"),
    ],
    ids=["plaintext", "another key", "no key"],
)
async def test_what_the_key_does_not_open_is_refused_in_one_error(
    store: Settings, written: str | None, read: str | None, said: str
) -> None:
    await run(with_key(store, written))
    with pytest.raises(InputError, match=re.escape(said)) as caught:
        await executor(with_key(store, read)).resume("one")
    assert KEY not in str(caught.value)
    assert "another key here" not in str(caught.value)


async def test_plaintext_among_encrypted_values_is_refused(sealed: Settings) -> None:
    await run(sealed)
    kind, data = JsonPlusSerializer().dumps_typed([{"phase": "planning"}])
    assert change(
        sealed,
        "UPDATE writes SET type = ?, value = ? WHERE channel = 'plan'",
        "UPDATE ymera.checkpoint_writes SET type = %s, blob = %s WHERE channel = 'plan'",
        *(kind, data),
    )
    with pytest.raises(InputError, match="not encrypted as LANGGRAPH_AES_KEY asks"):
        await executor(sealed).resume("one")


async def test_a_plain_value_in_the_readable_column_of_postgresql_is_refused(
    postgres_url: str, settings: Settings
) -> None:
    sealed = with_key(settings.model_copy(update={"ymera_database_url": SecretStr(postgres_url)}), KEY)
    await run(sealed)
    planted = "UPDATE ymera.checkpoints SET checkpoint = jsonb_set(checkpoint, %s, %s)"
    for value in ('"do harm"', "null", "7", "true"):
        assert change(sealed, "", planted, ["channel_values", "attempts"], value)
        with pytest.raises(InputError, match="not encrypted as LANGGRAPH_AES_KEY asks"):
            await executor(sealed).resume("one")


async def test_a_changed_byte_is_refused(sealed: Settings) -> None:
    await run(sealed)
    assert change(
        sealed,
        "UPDATE writes SET value = CAST(substr(value, 1, length(value) - 2) || x'0000' AS BLOB) WHERE channel = 'plan'",
        "UPDATE ymera.checkpoint_writes SET blob = set_byte(blob, 40, 255 - get_byte(blob, 40)) WHERE channel = 'plan'",
    )
    with pytest.raises(InputError, match="changed since"):
        await executor(sealed).resume("one")


async def test_a_graph_that_is_compiled_keeps_the_serialiser_as_strict_as_it_was(sealed: Settings) -> None:
    async with open_checkpoints(sealed) as saver:
        graph = build((("planning",), ("generation",)), scripted_services(Script(), sealed)).compile(
            checkpointer=saver
        )
        assert graph.checkpointer is saver
        assert isinstance(saver.serde, StrictSerializer)


# --- the serialiser ----------------------------------------------------------------------------------------

VALUES: list[Any] = [None, b"bytes", "text ü", 7, 0.5, True, [], {"a": [1, {"b": None}]}, "x" * 100_000]


@pytest.mark.parametrize("cipher", [None, Cipher(KEY.encode())], ids=["plain", "encrypted"])
@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:20])
def test_a_value_of_the_state_comes_back_as_it_was(value: Any, cipher: Cipher | None) -> None:
    serde = StrictSerializer(cipher)
    kind, data = serde.dumps_typed(value)
    assert serde.loads_typed((kind, data)) == value
    assert kind.endswith("+aes") == (cipher is not None)
    assert serde.dumps_typed(value)[1] != data or cipher is None or value is None or not data


def test_what_langgraphs_own_encrypted_serialiser_writes_is_read_and_the_other_way_round() -> None:
    from langgraph.checkpoint.serde.encrypted import EncryptedSerializer

    theirs, ours = (
        EncryptedSerializer.from_pycryptodome_aes(key=KEY.encode()),
        StrictSerializer(Cipher(KEY.encode())),
    )
    assert ours.loads_typed(theirs.dumps_typed({"a": 1})) == theirs.loads_typed(ours.dumps_typed({"a": 1}))


@pytest.mark.parametrize("kind", ["json", "pickle", "", "msgpack+rot13", "msgpack+aes"])
def test_a_kind_that_no_run_writes_is_not_read(kind: str) -> None:
    with pytest.raises(InputError):
        StrictSerializer().loads_typed((kind, b"{}"))


def test_a_long_value_is_stored_compressed() -> None:
    value = [{"provider": "groq", "reason": f"ranked {n}"} for n in range(200)]
    kind, data = StrictSerializer().dumps_typed(value)
    assert (kind, len(data) * 4 < len(JsonPlusSerializer().dumps_typed(value)[1])) == ("msgpack.zlib", True)


def test_a_value_that_was_written_before_values_were_compressed_is_read() -> None:
    value = {"plan": "x" * 10_000}
    assert StrictSerializer().loads_typed(JsonPlusSerializer().dumps_typed(value)) == value


@pytest.mark.parametrize(
    ("stored", "why"),
    [
        pytest.param(b"no zlib", "not as it was written", id="another format"),
        pytest.param(zlib.compress(b"x" * 999)[:-3], "its end is missing", id="cut"),
        pytest.param(
            zlib.compress(b"\0" * 10_000_000), "at most 1000000 are stored", id="few bytes for very many"
        ),
    ],
)
def test_a_compressed_value_that_is_none_is_refused(
    stored: bytes, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serializer_module, "LARGEST_VALUE", 1_000_000)
    with pytest.raises(InputError, match=why):
        StrictSerializer().loads_typed(("msgpack.zlib", stored))


def test_a_value_that_could_not_be_read_back_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serializer_module, "LARGEST_VALUE", 1000)
    serde = StrictSerializer()
    assert serde.loads_typed(serde.dumps_typed("x" * 900)) == "x" * 900
    with pytest.raises(InputError, match="at most 1000 are stored and read"):
        serde.dumps_typed("x" * 1100)
    with pytest.raises(InputError, match="at most 1000 are stored and read"):
        serde.loads_typed(("msgpack", b"x" * 1100))


# --- a database that cannot be used -------------------------------------------------------------------------

AWAY = "postgresql://me:pass%40word@127.0.0.1:9/ymera"


async def test_a_server_that_is_away_is_one_clear_error_without_the_password(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("YMERA_DATABASE_URL", AWAY)
    monkeypatch.setenv("YMERA_CACHE_TTL", "0")
    with pytest.raises(
        InputError, match=r"^The PostgreSQL database of YMERA_DATABASE_URL cannot be used: "
    ) as caught:
        await run(load_settings())
    (line,) = str(caught.value).splitlines()
    assert not any(part in f"{line}{caught.value.__cause__!r}" for part in ("pass", "word"))


@pytest.mark.parametrize("package", ["psycopg", "psycopg_pool", "langgraph.checkpoint.postgres.aio"])
async def test_without_its_package_the_extra_is_named(
    package: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("YMERA_DATABASE_URL", AWAY)
    monkeypatch.setenv("YMERA_CACHE_TTL", "0")
    monkeypatch.delitem(sys.modules, "ymera.graphs.postgres", raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=r"YMERA_DATABASE_URL.*pip install 'ymera\[postgres\]'"):
        await run(load_settings())


async def test_without_its_package_encryption_names_the_extra(
    sealed: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "Crypto.Cipher.AES", None)
    with pytest.raises(InputError, match=r"LANGGRAPH_AES_KEY.*pip install 'ymera\[encryption\]'"):
        async with open_checkpoints(sealed):
            pass


async def test_connections_that_the_server_cut_are_replaced(
    postgres: Postgres, postgres_url: str, settings: Settings
) -> None:
    at_server = settings.model_copy(update={"ymera_database_url": SecretStr(postgres_url)})
    async with open_checkpoints(at_server) as saver:
        await run(at_server)
        assert postgres.end_connections()
        assert await saver.aget_tuple({"configurable": {"thread_id": "one"}})
        await run(at_server, thread="two")
    async with executor(at_server) as within:
        for number in range(2):
            result = await within.execute_with_multi_model(AGENT, f"{TASK} no. {number}")
            assert result.success, result.error
            assert postgres.end_connections() > 1


async def test_a_connection_is_asked_whether_it_stands_once_it_was_quiet_for_a_while(
    postgres_url: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    asking = AsyncMock(side_effect=AsyncConnectionPool.check_connection)
    monkeypatch.setattr(AsyncConnectionPool, "check_connection", asking)
    async with executor(
        settings.model_copy(update={"ymera_database_url": SecretStr(postgres_url)})
    ) as within:
        counts = []
        for seconds in (60, 60, 0):
            monkeypatch.setattr(postgres_module, "TRUSTED_SECONDS", seconds)
            await within.execute_with_multi_model(AGENT, TASK, use_cache=False)
            counts.append(asking.await_count)
    first, second, third = counts
    assert 1 <= first <= second <= postgres_module.CONNECTIONS
    assert third > second + postgres_module.CONNECTIONS


# --- LangGraph's own suite for savers -----------------------------------------------------------------------


@pytest.mark.parametrize("key", [None, KEY], ids=["plain", "encrypted"])
async def test_the_savers_pass_langgraphs_own_suite(
    key: str | None, store: Settings, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    numbers = iter(range(100))

    @checkpointer_test(name=request.node.name)
    async def fresh() -> AsyncIterator[BaseCheckpointSaver[str]]:
        place: dict[str, Any] = {"ymera_checkpoints": str(tmp_path / f"{next(numbers)}.sqlite")}
        if store.ymera_database_url:
            url = request.getfixturevalue("postgres").new_database()
            place = {"ymera_database_url": SecretStr(url)}
        async with open_checkpoints(with_key(store.model_copy(update=place), key)) as saver:
            yield saver

    report = await validate(fresh)
    assert {name: result.failures for name, result in report.results.items() if result.failures} == {}
    assert report.passed_all_base()
    assert sum(result.tests_passed for result in report.results.values()) >= 50
