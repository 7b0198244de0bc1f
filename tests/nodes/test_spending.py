"""The file of daily budgets: shared by processes, kept when they die, clear about what is wrong with it."""

from __future__ import annotations

import asyncio
import logging
import signal
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ymera.nodes.spending import Spending
from ymera.nodes.state import NO_USAGE
from ymera.routing.attempts import Usage
from ymera.routing.budget import Ask, Grant
from ymera.routing.errors import InputError
from ymera.routing.records import Price

from .daily_file import spent_by_day, spent_today

LAST_MINUTE = datetime(2026, 11, 24, 23, 59, tzinfo=UTC).timestamp()


def ask(name: str) -> Ask:
    """Return a call that costs a cent at most."""
    price = Price(input=0, output=10.0)
    tokens = {"input_tokens": 0, "output_tokens": 1_000, "least_tokens": 1_000}
    return Ask(id=name, run="r", provider="openai", key_mark="k", price=price, **tokens)


def cost(usd: float) -> Usage:
    return Usage({**NO_USAGE, "cost_usd": usd})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "new" / "spending.sqlite"


@pytest.fixture
def spending(file: Path) -> Spending:
    return Spending(file, lambda: LAST_MINUTE)


CHILD = """
import asyncio, os, signal, sys, time
from pathlib import Path
from ymera.nodes.spending import Spending
from ymera.routing.budget import Ask, Grant
from ymera.routing.records import Price

spending = Spending(Path(sys.argv[1]), lambda: 0.0)

def ask(name):
    tokens = dict(input_tokens=0, output_tokens=1_000, least_tokens=1_000)
    return Ask(id=name, run="r", provider="openai", key_mark="k", price=Price(input=0, output=10.0), **tokens)
"""

WORK = """
usage = dict(input_tokens=0, output_tokens=0, cost_usd=float(sys.argv[2]), unpriced=0)

async def work(name):
    granted = 0
    for number in range(40):
        call = ask(f"{name}-{number}")
        if isinstance(await spending.reserve(call, 1.0), Grant):
            granted += 1
            await spending.settle(call, usage)
    return granted

async def main():
    print("ready", flush=True)
    begin = float(sys.stdin.readline())
    while time.time() < begin:
        pass
    return sum(await asyncio.gather(*(work(name) for name in range(8))))

print(asyncio.run(main()))
"""


async def side_by_side(code: str, *arguments: str) -> list[int]:
    """Return what two processes count that set to work at the same moment."""
    pipe = asyncio.subprocess.PIPE
    command = (sys.executable, "-c", code, *arguments)
    children = [await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe) for _ in range(2)]
    for child in children:
        assert child.stdout
        assert await child.stdout.readline() == b"ready\n"
    begin = f"{time.time() + 0.05}\n".encode()
    said = await asyncio.gather(*(child.communicate(begin) for child in children))
    return [int(out) for out, _ in said]


@pytest.mark.parametrize("usd", [0.01, 0.008, 0.0025])
async def test_processes_on_one_file_never_overspend(file: Path, usd: float) -> None:
    calls = sum(await side_by_side(CHILD + WORK, str(file), str(usd)))
    total = spent_today(file)["openai", "k"]
    assert total == round(calls * usd * 1e9)
    assert total <= 1_000_000_000
    assert calls == 100 if usd == 0.01 else calls > 100, "what is settled for less may be spent again"


DIE = """
asyncio.run(spending.reserve(ask("lost"), 1.0))
print("reserved", flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


async def test_the_reservation_of_a_process_that_dies_stays_counted(file: Path) -> None:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CHILD + DIE, str(file), stdout=asyncio.subprocess.PIPE
    )
    said, _ = await child.communicate()
    assert (said, child.returncode) == (b"reserved\n", -signal.SIGKILL)
    assert spent_today(file) == {("openai", "k"): 10_000_000}


async def test_the_day_turns_at_midnight_utc_and_a_call_is_settled_on_its_day(file: Path) -> None:
    now = [LAST_MINUTE]
    spending = Spending(file, lambda: now[0])
    assert isinstance(await spending.reserve(ask("late"), 0.01), Grant)
    now[0] += 59
    assert not isinstance(await spending.reserve(ask("too late"), 0.01), Grant)
    now[0] += 1
    assert isinstance(await spending.reserve(ask("early"), 0.01), Grant)
    await spending.settle(ask("late"), cost(0.003))
    assert spent_by_day(file) == {
        ("2026-11-24", "openai", "k"): 3_000_000,
        ("2026-11-25", "openai", "k"): 10_000_000,
    }


async def test_a_budget_that_was_lowered_since_grants_nothing_more(spending: Spending) -> None:
    assert isinstance(await spending.reserve(ask("a"), 1.0), Grant)
    assert not isinstance(await spending.reserve(ask("b"), 0.005), Grant)


@contextmanager
def in_use(file: Path) -> Iterator[None]:
    """Hold the file as another process would."""
    with closing(sqlite3.connect(file, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        yield
        db.execute("ROLLBACK")


async def test_a_new_file_that_another_process_is_making_is_waited_for(
    file: Path, spending: Spending
) -> None:
    file.parent.mkdir()
    with in_use(file):
        waiting = asyncio.ensure_future(spending.reserve(ask("a"), 1.0))
        await asyncio.sleep(0.05)
        assert not waiting.done()
    assert isinstance(await waiting, Grant)


async def test_a_reservation_that_is_cancelled_while_it_waits_keeps_nothing(
    file: Path, spending: Spending
) -> None:
    await spending.reserve(ask("a"), 1.0)
    with in_use(file):
        waiting = [asyncio.ensure_future(spending.reserve(ask(name), 1.0)) for name in "bc"]
        await asyncio.sleep(0.05)
        for task in waiting:
            task.cancel()
        ends = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(end) for end in ends] == [asyncio.CancelledError] * 2
    await spending.settle(ask("a"), cost(0.001))
    assert spent_today(file) == {("openai", "k"): 1_000_000}


async def test_a_settlement_that_is_cancelled_counts_all_the_same(file: Path, spending: Spending) -> None:
    for name in "ab":
        await spending.reserve(ask(name), 1.0)
    with in_use(file):
        settling = [asyncio.ensure_future(spending.settle(ask(name), cost(0.001))) for name in "ab"]
        await asyncio.sleep(0.05)
        for task in settling:
            task.cancel()
        await asyncio.gather(*settling, return_exceptions=True)
    await spending.reserve(ask("c"), 1.0)
    assert spent_today(file) == {("openai", "k"): 12_000_000}


def spoil(file: Path) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(b"This is no database at all." * 100)


def be_a_folder(file: Path) -> None:
    file.mkdir(parents=True)


def other_columns(file: Path) -> None:
    file.parent.mkdir(exist_ok=True)
    with closing(sqlite3.connect(file)) as db:
        db.execute("CREATE TABLE spending (key TEXT, usd REAL)")


def folder_is_a_file(file: Path) -> None:
    file.parent.write_text("a file")


@pytest.mark.parametrize("damage", [spoil, be_a_folder, other_columns, folder_is_a_file])
async def test_a_limit_that_cannot_be_checked_refuses_with_one_clear_message(
    file: Path, spending: Spending, damage: Callable[[Path], None]
) -> None:
    damage(file)
    for _ in range(2):
        with pytest.raises(InputError) as caught:
            await spending.reserve(ask("a"), 1.0)
        (line,) = str(caught.value).splitlines()
        assert line.startswith(
            f"The daily budget of openai cannot be checked: {str(file)!r} cannot be used: "
        )
        assert line.endswith("or unset YMERA_DAILY_USD.")


async def test_a_file_that_another_holds_too_long_is_told_in_the_same_way(file: Path) -> None:
    spending = Spending(file, lambda: LAST_MINUTE, patience=0.05)
    await spending.reserve(ask("a"), 1.0)
    with in_use(file), pytest.raises(InputError, match="cannot be used: database is locked"):
        await spending.reserve(ask("b"), 1.0)
    assert isinstance(await spending.reserve(ask("b"), 1.0), Grant), "and it is used again when it is free"


async def test_a_settlement_that_cannot_be_written_is_logged_and_the_answer_not_lost(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spending = Spending(file, lambda: LAST_MINUTE, patience=0.05)
    await spending.reserve(ask("a"), 1.0)
    with in_use(file), caplog.at_level(logging.WARNING, "ymera.budgets"):
        await spending.settle(ask("a"), cost(0.001))
    assert [record.getMessage() for record in caplog.records] == [
        f"What openai cost is not settled, its reservation stays: {str(file)!r} cannot be used: database is locked"
    ]
    assert spent_today(file) == {("openai", "k"): 10_000_000}


async def test_a_file_that_was_removed_begins_anew(file: Path, spending: Spending) -> None:
    await spending.reserve(ask("a"), 0.01)
    for each in file.parent.iterdir():
        each.unlink()
    assert isinstance(await spending.reserve(ask("b"), 0.01), Grant)
    await spending.settle(ask("a"), cost(0))
    assert spent_today(file) == {("openai", "k"): 0}


async def test_a_name_is_data_and_no_sql(file: Path, spending: Spending) -> None:
    odd = Ask(**{**vars(ask("a")), "key_mark": "'; DROP TABLE spending; --"})
    await spending.reserve(odd, 1.0)
    assert spent_today(file) == {("openai", "'; DROP TABLE spending; --"): 10_000_000}


async def test_no_connection_is_left_open_when_nobody_needs_it(file: Path) -> None:
    spending = Spending(file, lambda: LAST_MINUTE)
    await spending.reserve(ask("a"), 1.0)
    assert len(list(file.parent.iterdir())) == 3, "the file and SQLite's two beside it"
    del spending
    async with asyncio.timeout(5):
        while len(list(file.parent.iterdir())) > 1:  # its thread lets go of it a moment later
            await asyncio.sleep(0.001)
    assert file.exists()
