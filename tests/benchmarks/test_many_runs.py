"""Many runs at once in one process, over HTTP to a provider in another: all end well, and nothing of them is left."""

from __future__ import annotations

import asyncio
import sys
import threading
from pathlib import Path

import pytest

from benchmarks.many_runs import PHASES, Load, Measured, Row, connected, measure, row_of
from benchmarks.paced import Books, Pace, Served, running

RUNS = 60
PACE = Pace(first_s=0.05, sigma=0.5, words_per_s=400.0, words=20)


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def own_threads() -> set[str]:
    """Return the threads that are not of asyncio's pool, which stays."""
    return {thread.name for thread in threading.enumerate() if not thread.name.startswith("asyncio_")}


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("store", ["none", "sqlite"])
async def test_all_of_many_runs_end_well_and_leave_neither_files_nor_threads_nor_tasks(store: str) -> None:
    load = Load(runs=RUNS, at_once=RUNS)
    files, threads = open_files(), own_threads()
    with running(PACE) as server:
        async with connected(store, server.base_url, None) as run:
            seen = await measure(run, load, range(RUNS))
        books = server.end()
    assert seen.failed == []
    assert len(seen.seconds) == RUNS
    assert {name: served.requests for name, served in books.runs.items()} == {
        str(number): len(PHASES) for number in range(RUNS)
    }
    assert books.most_at_once > 1
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert open_files() < files + RUNS / 6  # a few for the process's own stores, none for a run
    assert own_threads() - threads <= {"ymera-journal_0"}  # one of the process, for its journal


def test_what_the_provider_took_is_taken_off_and_failed_runs_add_nothing() -> None:
    seen = Measured(seconds={0: 1.5, 1: 2.5, 2: 9.0}, failed=[2], lags=[0.0, 0.002], cpu_s=0.3, wall_s=9.0)
    books = Books(runs={"0": Served(1.0, 3), "1": Served(2.0, 3)})
    row: Row = row_of("none", Load(runs=3, at_once=3), seen, books)
    assert (row.failed, row.added_ms_p50, row.added_ms_p99) == (1, 500.0, 500.0)
    assert (row.cpu_ms_a_run, row.lag_ms_max) == (100.0, 2.0)
