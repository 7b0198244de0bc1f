"""The saver of the SQLite file: LangGraph's own, but each reading or writing takes one turn in its thread."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any, cast

import aiosqlite
import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.base.id import uuid6
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from ymera.graphs.serializer import StrictSerializer
from ymera.graphs.sqlite import PAGE, WAITING, SqliteSaver


@pytest.fixture
async def saver(tmp_path: Path) -> AsyncIterator[SqliteSaver]:
    opened = await SqliteSaver.opened(str(tmp_path / "runs.sqlite"), StrictSerializer())
    yield opened
    await opened.close()


def on(thread: str, **more: str) -> RunnableConfig:
    return {"configurable": {"thread_id": thread, "checkpoint_ns": "", **more}}


async def put(saver: Any, config: RunnableConfig, step: int) -> RunnableConfig:
    checkpoint = {**empty_checkpoint(), "id": str(uuid6()), "channel_values": {"step": step}}
    return cast("RunnableConfig", await saver.aput(config, checkpoint, {"step": step}, {}))


async def filled(saver: SqliteSaver, thread: str, steps: int) -> None:
    config = on(thread)
    for step in range(steps):
        config = await put(saver, config, step)


class Turns:
    """Counts what is asked of the saver's thread."""

    def __init__(self, saver: SqliteSaver, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        real = saver._thread.submit

        def submit(*work: Any) -> Any:
            self.count += 1
            return real(*work)

        monkeypatch.setattr(saver._thread, "submit", submit)


async def test_a_write_and_a_reading_take_one_turn_each(
    saver: SqliteSaver, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = Turns(saver, monkeypatch)
    config = await put(saver, on("a"), 0)
    await saver.aput_writes(config, [("one", 1), ("two", "2")], "task")
    assert turns.count == 2
    found = await saver.aget_tuple(config)
    assert turns.count == 3
    assert found is not None
    assert found.checkpoint["channel_values"] == {"step": 0}
    assert found.pending_writes == [("task", "one", 1), ("task", "two", "2")]


@pytest.mark.parametrize("limit", [None, 0, 1, PAGE, PAGE + 1, 3 * PAGE])
async def test_a_threads_steps_come_page_by_page_and_none_is_lost(
    limit: int | None, saver: SqliteSaver
) -> None:
    await filled(saver, "long", 2 * PAGE + 7)
    await filled(saver, "other", 3)
    steps = [each.metadata["step"] async for each in saver.alist(on("long"), limit=limit)]
    assert steps == list(range(2 * PAGE + 6, -1, -1))[:limit]


async def test_whoever_stops_early_has_read_one_page(
    saver: SqliteSaver, monkeypatch: pytest.MonkeyPatch
) -> None:
    await filled(saver, "long", 3 * PAGE)
    turns = Turns(saver, monkeypatch)
    async with aclosing(cast("Any", saver.alist(on("long")))) as steps:
        async for each in steps:
            assert each.metadata["step"] == 3 * PAGE - 1
            break
    assert turns.count == 1
    assert (await saver.aget_tuple(on("long"))) is not None, "nothing is held back"


async def test_the_steps_of_all_threads_are_listed(saver: SqliteSaver) -> None:
    await filled(saver, "a", PAGE)
    await filled(saver, "b", PAGE)
    assert len([each async for each in saver.alist(None)]) == 2 * PAGE


@pytest.mark.parametrize("before", [1, WAITING, 2 * WAITING])
async def test_what_was_asked_for_is_kept_though_its_caller_is_cancelled(
    saver: SqliteSaver, before: int
) -> None:
    held = threading.Event()
    busy = asyncio.gather(*(saver._away(lambda: held.wait(10)) for _ in range(before)))
    writing = asyncio.ensure_future(put(saver, on("a"), 7))
    await asyncio.sleep(0.01)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    held.set()
    await busy
    found = await saver.aget_tuple(on("a"))
    assert found is not None
    assert found.metadata["step"] == 7


async def test_the_event_loop_goes_on_while_the_file_is_held_by_another(
    saver: SqliteSaver, tmp_path: Path
) -> None:
    other = sqlite3.connect(tmp_path / "runs.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    writing = asyncio.ensure_future(put(saver, on("a"), 0))
    for _ in range(20):
        await asyncio.sleep(0.005)
    assert not writing.done()
    other.execute("COMMIT")
    other.close()
    await writing


async def test_langgraphs_own_saver_reads_what_this_one_wrote_and_the_other_way_round(
    saver: SqliteSaver, tmp_path: Path
) -> None:
    await filled(saver, "ours", 2)
    async with aiosqlite.connect(tmp_path / "runs.sqlite") as connection:
        theirs = AsyncSqliteSaver(connection, serde=StrictSerializer())
        await put(theirs, on("theirs"), 5)
        read = await theirs.aget_tuple(on("ours"))
    found = await saver.aget_tuple(on("theirs"))
    assert read is not None
    assert found is not None
    assert (read.metadata["step"], found.metadata["step"]) == (1, 5)


async def test_a_file_that_cannot_be_opened_leaves_no_thread_behind(tmp_path: Path) -> None:
    (tmp_path / "none.sqlite").write_text("no database, but long enough to be taken for one" * 9)
    with pytest.raises(sqlite3.DatabaseError):
        await SqliteSaver.opened(str(tmp_path / "none.sqlite"), StrictSerializer())
    for _ in range(200):
        if not any(each.name.startswith("ymera-checkpoints") for each in threading.enumerate()):
            return
        await asyncio.sleep(0.01)
    pytest.fail("its thread is still there")
