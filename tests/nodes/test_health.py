"""What is known of failing models: shared by threads, event loops and processes, and never a reason to fail."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from ymera.nodes import health as health_module
from ymera.nodes.health import LOOK_SECONDS, Health, mark_of
from ymera.routing.records import ModelProfile

SECRET = "sk-canary-0123456789abcdef"
MARK = mark_of([SECRET])
ONE = ModelProfile(
    name="one", provider="acme", model_id="one", scores={}, context_tokens=1, max_output_tokens=1
)


class Clock:
    """A clock that only the test moves."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "data" / "health.sqlite"


async def fail(health: Health, times: int = 1) -> None:
    for _ in range(times):
        await health.report(ONE, "server_error", key_mark=MARK)


def rows(file: Path) -> dict[str, str]:
    with sqlite3.connect(file) as db:
        found = dict(db.execute("SELECT circuit, cooldown FROM cooldowns"))
    db.close()
    return found


def bytes_of(file: Path) -> bytes:
    """Return what stands in a file and in those that SQLite keeps beside it."""
    return b"".join(each.read_bytes() for each in sorted(file.parent.iterdir()))


# --- one process -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["memory", "file"])
async def test_a_model_that_fails_is_left_alone_until_a_probe_succeeds(
    file: Path, clock: Clock, where: str
) -> None:
    health = Health(file if where == "file" else None, clock=clock)
    assert await health.begin(ONE, MARK, 30)
    await fail(health, 2)
    assert (
        health.why_avoided(ONE, MARK) == "cooling down for 10 s after 2 failures (the provider had an error)"
    )
    assert health.why_avoided(ONE, mark_of(["another key"])) is None
    assert not await health.begin(ONE, MARK, 30)
    clock.now += 10
    begun = await asyncio.gather(*(health.begin(ONE, MARK, 30) for _ in range(20)))
    assert sum(begun) == 1
    await health.report(ONE, None, key_mark=MARK)
    assert health.why_avoided(ONE, MARK) is None
    assert await health.begin(ONE, MARK, 30)
    assert not file.exists() or rows(file) == {}


async def test_as_long_as_nothing_fails_nothing_is_written(file: Path, clock: Clock) -> None:
    health = Health(file, clock=clock)
    await health.look()
    assert await health.begin(ONE, MARK, 30)
    await health.report(ONE, None, key_mark=MARK)
    await health.report(ONE, "refused", key_mark=MARK, asked=30)
    assert not file.parent.exists()
    await fail(health, 2)
    written = bytes_of(file)
    assert not await health.begin(ONE, MARK, 30)
    await health.report(ONE, "refused", key_mark=MARK)
    await health.report(ONE, None, key_mark="another key's")
    assert bytes_of(file) == written


async def test_a_key_reaches_neither_the_file_nor_its_fingerprint(file: Path, clock: Clock) -> None:
    await Health(file, clock=clock).report(ONE, "authentication", key_mark=MARK)
    assert MARK.encode() in bytes_of(file)
    for part in (SECRET, SECRET[3:], SECRET[-8:]):
        assert part.encode() not in bytes_of(file)


@pytest.mark.parametrize(
    ("one", "other"),
    [([SECRET], []), ([SECRET], [SECRET + "x"]), (["a", "b"], ["b", "a"]), (["ab"], ["a", "b"])],
    ids=str,
)
def test_other_keys_have_other_fingerprints(one: list[str], other: list[str]) -> None:
    assert mark_of(one) != mark_of(other)
    assert mark_of(one) == mark_of(tuple(one))
    assert len(mark_of(one)) == 12
    assert mark_of([]) == ""


def test_threads_with_event_loops_of_their_own_lose_no_failure(file: Path, clock: Clock) -> None:
    health = Health(file, clock=clock)
    threads = [threading.Thread(target=asyncio.run, args=(fail(health, 10),)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert "after 80 failures" in (health.why_avoided(ONE, MARK) or "")
    assert '"failures":80' in rows(file)[f"acme:one@{MARK}"]


# --- several processes -----------------------------------------------------------------------------------


async def test_processes_add_up_what_they_see(file: Path, clock: Clock) -> None:
    one, other = Health(file, clock=clock), Health(file, clock=clock)
    await fail(one)
    await fail(other)  # never looked, and yet it is the second failure
    assert other.why_avoided(ONE, MARK)
    assert one.why_avoided(ONE, MARK) is None
    clock.now += LOOK_SECONDS
    await one.look()
    assert one.why_avoided(ONE, MARK) == other.why_avoided(ONE, MARK)


async def test_of_several_processes_one_probes_and_its_success_counts_for_all(
    file: Path, clock: Clock
) -> None:
    all_of_them = [Health(file, clock=clock) for _ in range(4)]
    await fail(all_of_them[0], 2)
    clock.now += 10
    for health in all_of_them:
        await health.look()
        assert health.why_avoided(ONE, MARK) is None
    begun = await asyncio.gather(*(health.begin(ONE, MARK, 30) for health in all_of_them))
    assert sum(begun) == 1
    await all_of_them[begun.index(True)].report(ONE, None, key_mark=MARK)
    clock.now += LOOK_SECONDS
    assert all([await health.begin(ONE, MARK, 30) for health in all_of_them])


async def test_a_probe_that_died_with_its_process_blocks_for_its_time_alone(file: Path, clock: Clock) -> None:
    dying = Health(file, clock=clock)
    await fail(dying, 2)
    clock.now += 10
    assert await dying.begin(ONE, MARK, 30)
    del dying
    health = Health(file, clock=clock)
    assert not await health.begin(ONE, MARK, 30)
    clock.now += 30
    assert await health.begin(ONE, MARK, 30)


async def test_a_shorter_wait_seen_by_another_process_does_not_shorten_the_longer_one(
    file: Path, clock: Clock
) -> None:
    one, other = Health(file, clock=clock), Health(file, clock=clock)
    await one.report(ONE, "rate_limited", key_mark=MARK, asked=60)
    await other.report(ONE, "rate_limited", key_mark=MARK, asked=5)
    clock.now += 59
    for health in (one, other):
        assert not await health.begin(ONE, MARK, 30)


async def test_the_file_is_looked_at_four_times_a_second_at_most(file: Path, clock: Clock) -> None:
    one, other = Health(file, clock=clock), Health(file, clock=clock)
    await one.look()
    await fail(other, 2)
    clock.now += LOOK_SECONDS * 0.9
    await one.look()
    assert one.why_avoided(ONE, MARK) is None
    clock.now += LOOK_SECONDS * 0.1
    await one.look()
    assert one.why_avoided(ONE, MARK)


async def test_every_change_is_seen_however_fast_they_come(file: Path, clock: Clock) -> None:
    one, other = Health(file, clock=clock), Health(file, clock=clock)
    for number in (1, 2):
        await fail(one)
        clock.now += LOOK_SECONDS
        await other.look()
        assert bool(other.why_avoided(ONE, MARK)) == (number == 2)


async def test_an_unchanged_file_is_not_read_again(
    file: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    health = Health(file, clock=clock)
    await fail(health, 2)
    await health.look()
    monkeypatch.setattr(health_module, "_read", lambda database: pytest.fail("read again"))
    for _ in range(5):
        clock.now += LOOK_SECONDS
        await health.look()
    assert health.why_avoided(ONE, MARK)


async def test_all_runs_that_begin_together_know_what_is_in_the_file(file: Path, clock: Clock) -> None:
    await fail(Health(file, clock=clock), 2)
    fresh = Health(file, clock=clock)
    assert not any(await asyncio.gather(*(fresh.begin(ONE, MARK, 30) for _ in range(50))))


async def test_a_removed_file_is_forgotten(file: Path, clock: Clock) -> None:
    health = Health(file, clock=clock)
    await fail(health, 2)
    await health.look()
    for each in file.parent.iterdir():
        each.unlink()
    clock.now += LOOK_SECONDS
    assert await health.begin(ONE, MARK, 30)
    assert not file.exists()


CHILD = """
import asyncio, sys
from pathlib import Path
from blockbuster import blockbuster_ctx
from ymera.nodes.health import Health
from ymera.routing.records import ModelProfile

model = ModelProfile(name="one", provider="acme", model_id="one", scores={}, context_tokens=1, max_output_tokens=1)
file, mark = Path(sys.argv[1]), sys.argv[2]
"""
FAILING = """
async def main():
    with blockbuster_ctx():
        health = Health(file)
        await health.look()
        assert await health.begin(model, mark, 30)
        for _ in range(2):
            await health.report(model, "server_error", key_mark=mark)
        assert not await health.begin(model, mark, 30)
        await asyncio.sleep(0.3)
        await health.look()
    print(health.why_avoided(model, mark))

asyncio.run(main())
"""
PROBING = """
health = Health(file)
sys.stdin.readline()
print(asyncio.run(health.begin(model, mark, 30)))
"""


async def child(file: Path, code: str) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    command = (sys.executable, "-c", CHILD + code, str(file), MARK)
    return await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe)


async def said(process: asyncio.subprocess.Process) -> str:
    text, complaints = await process.communicate(b"\n")
    assert complaints.decode() == ""
    return text.decode().strip()


async def test_another_process_leaves_its_loop_free_and_is_heard_here(file: Path) -> None:
    health = Health(file)
    await health.look()
    assert health.why_avoided(ONE, MARK) is None
    assert (await said(await child(file, FAILING))).startswith("cooling down for 10 s after 2 failures")
    await health.look()
    assert "after 2 failures (the provider had an error)" in (health.why_avoided(ONE, MARK) or "")


async def test_of_processes_that_race_for_the_probe_one_wins(file: Path) -> None:
    await fail(Health(file, clock=lambda: 1_000_000.0), 2)
    processes = [await child(file, PROBING) for _ in range(3)]
    assert sorted(await asyncio.gather(*map(said, processes))) == ["False", "False", "True"]


# --- a file that cannot be used --------------------------------------------------------------------------


def spoil(file: Path) -> None:
    file.write_bytes(b"This is no database at all." * 100)


def be_a_folder(file: Path) -> None:
    file.mkdir()


def other_columns(file: Path) -> None:
    with sqlite3.connect(file) as db:
        db.execute("CREATE TABLE cooldowns (name TEXT)")
    db.close()


def no_folder(file: Path) -> None:
    file.parent.rmdir()
    file.parent.write_text("a file")


@pytest.mark.parametrize("damage", [spoil, be_a_folder, other_columns, no_folder])
@pytest.mark.parametrize("looking", [True, False], ids=["seen by a look", "seen by a failure"])
async def test_without_a_usable_file_memory_goes_on_alone_and_says_so_once(
    file: Path, clock: Clock, caplog: pytest.LogCaptureFixture, damage: Callable[[Path], None], looking: bool
) -> None:
    file.parent.mkdir()
    damage(file)
    health = Health(file, clock=clock)
    if looking:
        await health.look()
    await fail(health, 2)
    assert not await health.begin(ONE, MARK, 30)
    clock.now += 10
    assert await health.begin(ONE, MARK, 30)
    await health.report(ONE, None, key_mark=MARK)
    assert await health.begin(ONE, MARK, 30)
    assert [(record.name, record.levelname) for record in caplog.records] == [("ymera.health", "WARNING")]
    assert str(file) in caplog.text
    assert "goes on without it" in caplog.text


async def test_a_file_that_another_process_holds_costs_one_short_wait(
    file: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    health = Health(file, clock=clock, patience=0.1)
    await fail(health)
    with sqlite3.connect(file, isolation_level=None) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        loop = asyncio.get_running_loop()
        start = loop.time()
        await asyncio.gather(*(fail(health) for _ in range(20)))
        assert loop.time() - start < 1
    holder.close()
    assert "after 21 failures" in (health.why_avoided(ONE, MARK) or "")
    assert len(caplog.records) == 1


async def test_a_row_of_another_version_is_passed_over(file: Path, clock: Clock) -> None:
    await fail(Health(file, clock=clock), 2)
    with sqlite3.connect(file) as db:
        db.execute("INSERT INTO cooldowns VALUES ('acme@', '{\"kind\": \"of tomorrow\"}')")
        db.execute("INSERT INTO cooldowns VALUES (7, x'00ff')")
    db.close()
    health = Health(file, clock=clock)
    await health.look()
    assert health.why_avoided(ONE, "") is None
    assert health.why_avoided(ONE, MARK)
