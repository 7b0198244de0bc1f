"""Tenants that share a data directory, or a database, see nothing of one another: no thread, no history, no result."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import SecretStr

from tests.scripted import Line, Script, scripted_services
from ymera.executor import MultiModelExecutor
from ymera.nodes.settings import Settings
from ymera.routing.errors import ResumeError, YmeraError
from ymera.threads import delete_threads, list_threads
from ymera.time_travel import compare, fork, history

TASK = ("coding_agent", "Write a greeting.")
THREAD = "the-same-name"


@dataclass
class Tenant:
    """A process of a tenant; its models answer in the tenant's name."""

    name: str | None
    folder: Path
    url: str | None = None

    def __post_init__(self) -> None:
        url = SecretStr(self.url) if self.url else None
        settings = Settings(ymera_data_dir=self.folder, ymera_tenant=self.name, ymera_database_url=url)
        self.script = Script(otherwise=Line(text=f"answer for {self.name}"))
        self.executor = MultiModelExecutor(services=scripted_services(self.script, settings))
        self.services = self.executor.services

    async def threads(self) -> list[str]:
        return [thread.thread_id for thread in await list_threads(self.services)]


Pair = tuple[Tenant, Tenant]
NAMES = [("acme", "acme2"), ("acme", None), (None, "acme"), ("a", "A"), ("a.b", "a-b")]


@pytest.fixture(params=NAMES, ids=lambda pair: f"{pair[0]} and {pair[1]}")
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Pair:
    one, other = request.param
    return Tenant(one, tmp_path), Tenant(other, tmp_path)


async def test_a_stored_result_is_its_tenants_alone(pair: Pair) -> None:
    one, other = pair
    assert not (await one.executor.execute_with_multi_model(*TASK)).cached
    theirs = await other.executor.execute_with_multi_model(*TASK)
    assert (theirs.cached, theirs.final_result) == (False, f"answer for {other.name}")
    again = await one.executor.execute_with_multi_model(*TASK)
    assert (again.cached, again.final_result) == (True, f"answer for {one.name}")


async def test_threads_of_one_name_are_two(pair: Pair) -> None:
    one, other = pair
    mine = await one.executor.execute_with_multi_model(*TASK, thread_id=THREAD)
    with pytest.raises(ResumeError):
        await other.executor.resume(THREAD)
    theirs = await other.executor.execute_with_multi_model(*TASK, thread_id=THREAD)
    assert (mine.thread_id, theirs.thread_id) == (THREAD, THREAD)
    assert (await one.executor.resume(THREAD)).final_result == f"answer for {one.name}"
    assert (await other.executor.resume(THREAD)).final_result == f"answer for {other.name}"


async def test_a_list_shows_ones_own_threads(pair: Pair) -> None:
    one, other = pair
    await one.executor.execute_with_multi_model(*TASK, thread_id="mine")
    assert (await one.threads(), await other.threads()) == (["mine"], [])
    await other.executor.execute_with_multi_model(*TASK, thread_id="theirs")
    assert (await one.threads(), await other.threads()) == (["mine"], ["theirs"])


async def test_nobody_reads_forks_compares_or_deletes_anothers_thread(pair: Pair) -> None:
    one, other = pair
    await one.executor.execute_with_multi_model(*TASK, thread_id="mine")
    await other.executor.execute_with_multi_model(*TASK, thread_id="theirs")
    for reached in ("mine", f"tenant:{one.name or ''}:mine", "tenant::mine"):
        with pytest.raises(YmeraError):
            await history(reached, other.services)
        with pytest.raises(YmeraError):
            await fork(reached, "review", other.services)
        with pytest.raises(YmeraError):
            await compare("theirs", reached, other.services)
        with pytest.raises(YmeraError):
            await delete_threads([reached], other.services)
    assert await one.threads() == ["mine"]
    assert (await one.executor.resume("mine")).success


async def test_tenants_stay_apart_in_postgresql(tmp_path: Path, postgres_url: str) -> None:
    one, other = Tenant("acme", tmp_path, postgres_url), Tenant("acme2", tmp_path, postgres_url)
    await test_a_stored_result_is_its_tenants_alone((one, other))
    await test_threads_of_one_name_are_two((one, other))


async def test_whoever_has_no_tenant_finds_what_was_kept_before_there_were_any(tmp_path: Path) -> None:
    nobody = Tenant(None, tmp_path)
    await nobody.executor.execute_with_multi_model(*TASK, thread_id=THREAD)
    with closing(sqlite3.connect(tmp_path / "checkpoints.sqlite")) as db:
        assert db.execute("SELECT DISTINCT thread_id FROM checkpoints").fetchall() == [(THREAD,)]
