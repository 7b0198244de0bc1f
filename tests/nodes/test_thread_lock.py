"""One run at a time on a thread: over the tasks of a process, over processes, and for no longer than they live."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import pytest
from pydantic import SecretStr

from ymera.nodes.settings import Settings
from ymera.nodes.thread_lock import sole_run
from ymera.routing.errors import InputError, ThreadBusyError

HOLDER = """
import asyncio, sys
from ymera.nodes.settings import load_settings
from ymera.nodes.thread_lock import sole_run

async def hold():
    async with sole_run(load_settings(), sys.argv[1], sys.argv[1]):
        print("held", flush=True)
        await asyncio.sleep(600)

asyncio.run(hold())
"""


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    if request.param == "sqlite":
        settings.ymera_data_dir.mkdir(parents=True, exist_ok=True)
        return settings
    url = request.getfixturevalue("postgres_url")
    monkeypatch.setenv("YMERA_DATABASE_URL", url)
    return settings.model_copy(update={"ymera_database_url": SecretStr(url)})


@contextmanager
def another_process(thread: str) -> Iterator[subprocess.Popen[str]]:
    """A process that holds a thread."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, thread], stdout=subprocess.PIPE, text=True
    ) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            yield holder
        finally:
            holder.kill()


async def taken(settings: Settings, thread: str) -> bool:
    """Say whether somebody else has a thread."""
    try:
        async with sole_run(settings, thread, thread):
            return False
    except ThreadBusyError:
        return True


async def test_a_thread_is_its_processs_for_as_long_as_that_lives(store: Settings) -> None:
    with another_process("a") as holder:
        assert await taken(store, "a")
        assert not await taken(store, "b")
        assert await taken(store, "a"), "who was refused must not free it"
        holder.send_signal(signal.SIGSTOP)
        assert await taken(store, "a"), "a process that was stopped may go on"
        holder.kill()
        holder.wait()
        async with asyncio.timeout(5):
            while await taken(store, "a"):
                await asyncio.sleep(0.01)


async def test_a_thread_is_its_runs_within_a_process_too(store: Settings) -> None:
    async with sole_run(store, "a", "a"), sole_run(store, "b", "b"):
        assert await taken(store, "a")
        assert await taken(store, "b")
    assert not await taken(store, "a")


async def test_a_thread_that_was_freed_is_another_processs(store: Settings) -> None:
    async with sole_run(store, "b", "b"):
        async with sole_run(store, "a", "a"):
            pass
        with another_process("a"):
            assert await taken(store, "a")
            assert await taken(store, "b")
    assert not await taken(store, "b")


async def test_a_run_that_is_cancelled_while_it_takes_its_thread_leaves_it_free(store: Settings) -> None:
    async def run() -> None:
        async with sole_run(store, "a", "a"):
            await asyncio.sleep(600)

    for steps in range(6):
        task = asyncio.create_task(run())
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert not await taken(store, "a"), steps


async def test_a_run_that_is_cancelled_while_it_frees_its_thread_leaves_it_free(store: Settings) -> None:
    ended, go_on = asyncio.Event(), Event()

    async def run() -> None:
        async with sole_run(store, "a", "a"):
            # The one thread that might free it is busy until the run has been cancelled.
            asyncio.get_running_loop().run_in_executor(None, go_on.wait)
            ended.set()

    with ThreadPoolExecutor(1) as only:
        asyncio.get_running_loop().set_default_executor(only)
        task = asyncio.create_task(run())
        await ended.wait()
        task.cancel()
        await asyncio.sleep(0)
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not await taken(store, "a")


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="handles are counted in /proc")
async def test_many_threads_are_held_by_one_handle(settings: Settings) -> None:
    settings.ymera_data_dir.mkdir(parents=True)
    before = _handles()
    names = [f"t{number}" for number in range(200)]
    held = [sole_run(settings, name, name) for name in names]
    for each in held:
        await each.__aenter__()
    assert _handles() == before + 1
    for each in held:
        await each.__aexit__(None, None, None)
    assert _handles() == before
    assert Path(f"{settings.checkpoints}.lock").stat().st_size == 0


def _handles() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def test_a_store_that_is_not_there_is_told(settings: Settings) -> None:
    with pytest.raises(InputError, match="its threads cannot be locked"):
        await taken(settings.model_copy(update={"ymera_checkpoints": "/nowhere/runs.sqlite"}), "a")
