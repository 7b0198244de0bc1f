"""What the stores hold by thread, and how threads leave them: the same in SQLite and PostgreSQL."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.stores import measure, text_of
from ymera.graphs.checkpoints import open_checkpoints
from ymera.graphs.retention import delete_threads, stored_threads
from ymera.nodes.settings import Settings
from ymera.routing.retention import UNDER_WAY_SECONDS, Keep, StoredThread, expired

from .test_checkpoints import KEY, run, store, stored_bytes, with_key

__all__ = ["store"]

NOW = 1_000_000.0
DAY = 86_400.0


def thread(name: str, age: float, size: int = 10) -> StoredThread:
    return StoredThread(thread_id=name, first=0, last=NOW - age, checkpoints=1, bytes=size)


THREADS = [thread("day", DAY), thread("now", 1), thread("month", 30 * DAY), thread("week", 7 * DAY, size=50)]

CASES: dict[str, tuple[Keep, Sequence[str]]] = {
    "nothing limits": (Keep(), ()),
    "older than two days": (Keep(seconds=2 * DAY), ("week", "month")),
    "of exactly that age": (Keep(seconds=7 * DAY), ("month",)),
    "all but two": (Keep(threads=2), ("week", "month")),
    "all but what may be under way": (Keep(threads=0), ("day", "week", "month")),
    "as many as fit, the latest first": (Keep(bytes=30), ("week",)),
    "no bytes": (Keep(bytes=0), ("day", "week", "month")),
    "either limit": (Keep(seconds=10 * DAY, threads=2), ("week", "month")),
}


@pytest.mark.parametrize(("keep", "gone"), CASES.values(), ids=CASES.keys())
def test_a_thread_goes_if_any_limit_lets_it_go(keep: Keep, gone: Sequence[str]) -> None:
    assert [each.thread_id for each in expired(THREADS, keep, now=NOW)] == list(gone)


ages = st.floats(0, 100 * DAY)


@given(
    st.lists(st.tuples(ages, st.integers(0, 100)), max_size=12),
    st.builds(
        Keep,
        seconds=st.none() | ages,
        threads=st.none() | st.integers(0, 12),
        bytes=st.none() | st.integers(0, 500),
    ),
)
def test_what_is_kept_is_within_the_limits_or_may_be_under_way(
    made: list[tuple[float, int]], keep: Keep
) -> None:
    threads = [thread(str(i), age, size) for i, (age, size) in enumerate(made)]
    gone = expired(threads, keep, now=NOW)
    old = [each for each in threads if each not in gone and NOW - each.last >= UNDER_WAY_SECONDS]
    young = [each for each in threads if NOW - each.last < UNDER_WAY_SECONDS]
    assert not set(young) & set(gone)
    assert keep.seconds is None or all(NOW - each.last <= keep.seconds for each in old)
    assert keep.threads is None or len(old) <= max(0, keep.threads - len(young))
    assert keep.bytes is None or sum(each.bytes for each in old) <= max(
        0, keep.bytes - sum(each.bytes for each in young)
    )


async def test_threads_are_listed_with_their_times_and_sizes_and_deleted_as_a_whole(store: Settings) -> None:
    begun = time.time()
    await run(store, thread="one")
    await run(store, thread="two", task="Another task")
    async with open_checkpoints(store) as saver:
        two, one = await stored_threads(saver, None)
        assert (one.thread_id, two.thread_id) == ("one", "two")
        assert begun - 1 < one.first < one.last < two.first < two.last < time.time() + 1
        assert one.checkpoints > 3
        assert 1_000 < one.bytes < 1_000_000
        await delete_threads(saver, None, ["one", "unknown"])
        assert await stored_threads(saver, None) == [two]
    if store.ymera_database_url:
        assert b"CANARY-TASK" not in stored_bytes(store)


async def test_a_tenant_sees_and_deletes_its_own_threads_alone(store: Settings) -> None:
    await run(store, thread="shared name")
    await run(store.model_copy(update={"ymera_tenant": "acme"}), thread="shared name")
    async with open_checkpoints(store) as saver:
        everyone = {tenant: await stored_threads(saver, tenant) for tenant in (None, "acme", "other")}
        assert {tenant: [t.thread_id for t in found] for tenant, found in everyone.items()} == {
            None: ["shared name"],
            "acme": ["shared name"],
            "other": [],
        }
        await delete_threads(saver, "other", ["shared name"])
        await delete_threads(saver, "acme", ["shared name"])
        assert await stored_threads(saver, "acme") == []
        assert await stored_threads(saver, None) == everyone[None]


async def test_what_a_deleted_thread_took_is_given_back_to_the_disk(settings: Settings) -> None:
    await run(settings, task=text_of(500_000))  # hardly to be compressed
    async with open_checkpoints(settings) as saver:
        (held,) = await stored_threads(saver, None)
        assert held.bytes > 500_000
        await delete_threads(saver, None, [held.thread_id])
    assert (
        len(stored_bytes(settings)) < 280_000
    )  # five files with their tables and indexes (a table and two indexes more since), and the rows of the calls


@pytest.mark.parametrize("key", [None, KEY], ids=["plain", "encrypted"])
async def test_what_a_run_may_write_is_bounded_as_documented(store: Settings, key: str | None) -> None:
    """docs/stores.md: a fixed part, so many copies of the task and of the answers, and a part a failed attempt."""
    found = await measure(with_key(store, key), runs=1)
    assert found["fixed"] < 30_000
    assert found["copies_of_task"] <= 3.2
    assert found["copies_of_answers"] <= 1.2
    assert found["failed_attempt"] < 5_000
