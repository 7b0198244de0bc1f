"""A run that was given up, whose checkpoints are then tampered with, and what a resume makes of them."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import aclosing, closing
from pathlib import Path

import psycopg

from tests.scripted import Line, Script, scripted_services
from ymera.executor import MultiModelExecutor
from ymera.nodes.settings import Settings
from ymera.routing.errors import YmeraError

from .audit import audit

THREAD = "hostile"
TASK = "Write a greeting to the harbourmaster."
ANSWER = "an answer about lighthouses"
REFUSED = (
    "The checkpoints of thread 'hostile' cannot be read:",
    "No run to resume on thread 'hostile'",
    "The run on thread 'hostile' ",
    "A stored",
)
"""How what is said of checkpoints that are no good begins."""


async def give_up(settings: Settings) -> None:
    """Make a run and leave it in its second phase."""
    script = Script(otherwise=Line(text=ANSWER))
    executor = MultiModelExecutor(services=scripted_services(script, settings))
    stream = executor.stream("coding_agent", TASK, {"port": "the old one"}, thread_id=THREAD)
    async with aclosing(stream) as events:
        ended = False
        async for event in events:
            if ended and event["event"] == "attempt_started":
                return
            ended = ended or event["event"] == "attempt_ended"


async def resumed(settings: Settings, *, connects: bool = False) -> str:
    """Resume the thread; return the error, or nothing where what is kept was no more than data.

    Args:
        connects: the store is reached over a connection.
    """
    executor = MultiModelExecutor(services=scripted_services(Script(), settings))
    with audit(inside=settings.ymera_data_dir) as heard:
        try:
            await executor.resume(THREAD)
        except YmeraError as error:
            said = str(error)
        else:
            said = ""
    assert [e for e in heard.found if not (connects and e.startswith("socket."))] == []
    assert "\n" not in said
    return said


def closed_file(settings: Settings) -> Path:
    """Return the checkpoint file, with all of it in the one file."""
    with closing(sqlite3.connect(settings.checkpoints)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return Path(settings.checkpoints)


NEWEST = "(SELECT checkpoint_id FROM checkpoints ORDER BY checkpoint_id DESC LIMIT 1)"


def tamper(store: Path | str, query: str, values: Sequence[object] = ()) -> None:
    """Change rows of a checkpoint file, or of a database by its URL; `?` marks a value."""
    if isinstance(store, Path):
        with closing(sqlite3.connect(store)) as db:
            assert db.execute(query, tuple(values)).rowcount
            db.commit()
        return
    with psycopg.connect(store, options="-c search_path=ymera") as server:
        assert server.execute(query.replace("?", "%s").encode(), tuple(values)).rowcount
