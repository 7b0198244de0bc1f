"""The journal of attempts: a row for each call, written before it is sent and completed once it is over.

A run that is resumed knows from its state alone what was kept. A call that was under way when its process died, or
whose answer came but was not kept any more, is not there; its row is, and with it what it has cost. No word of a
prompt or an answer stands here.
"""

from __future__ import annotations

import asyncio
import logging
import math
import re
import time
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver

from ..routing.records import Attempt, Usage
from .database import Database, DatabaseError

SCHEMA = """
CREATE TABLE IF NOT EXISTS attempts (
    thread TEXT NOT NULL,
    run TEXT NOT NULL,
    attempt TEXT NOT NULL,
    checkpoint TEXT NOT NULL,
    tenant TEXT NOT NULL,
    agent TEXT NOT NULL,
    phase TEXT NOT NULL,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    started_at DOUBLE PRECISION NOT NULL,
    outcome TEXT NOT NULL,
    seconds DOUBLE PRECISION NOT NULL,
    input_tokens BIGINT NOT NULL,
    output_tokens BIGINT NOT NULL,
    cached_tokens BIGINT NOT NULL,
    reasoning_tokens BIGINT NOT NULL,
    cost_usd DOUBLE PRECISION NOT NULL,
    unpriced INTEGER NOT NULL,
    estimated INTEGER NOT NULL,
    PRIMARY KEY (thread, run, attempt, checkpoint)
)
"""
BEGIN = f"INSERT INTO attempts VALUES ({', '.join('?' * 19)}) ON CONFLICT DO NOTHING"
END = """
UPDATE attempts SET outcome = ?, seconds = ?, input_tokens = ?, output_tokens = ?, cached_tokens = ?,
    reasoning_tokens = ?, cost_usd = ?, unpriced = ?, estimated = ?
WHERE thread = ? AND run = ? AND attempt = ? AND checkpoint = ?
"""
OF_PHASE = "SELECT * FROM attempts WHERE thread = ? AND run = ? AND phase = ? ORDER BY started_at"
FORGET = "DELETE FROM attempts WHERE thread = ?"
PRUNE = """
DELETE FROM attempts WHERE started_at < ?
    OR started_at < (SELECT started_at FROM attempts ORDER BY started_at DESC LIMIT 1 OFFSET ?)
"""

BUSY_SECONDS = 10.0
"""How long a writer waits for another process."""
KEPT_SECONDS = 180 * 86_400.0
KEPT_ROWS = 100_000
"""How long rows are kept, and how many at most."""
PRUNED_EVERY = 1_000
"""Rows that a process writes before it looks for rows to be removed."""

UNDER_WAY, ANSWERED = "", "answered"
"""Outcomes beside the kinds of faults."""

_logger = logging.getLogger("ymera.journal")


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where in a thread a call is made: behind which checkpoint of the whole run.

    A resumed run stands behind the same checkpoint as the one that was killed; one that was forked, or sent back to
    an earlier step, behind a checkpoint of its own.
    """

    thread: str
    run: str
    checkpoint: str
    saver: BaseCheckpointSaver[Any]

    async def keeps(self, checkpoint: str) -> bool:
        """Say whether a checkpoint of this thread was kept: its process may have died before it was."""
        where = {"thread_id": self.thread, "checkpoint_ns": "", "checkpoint_id": checkpoint}
        return await self.saver.aget_tuple({"configurable": where}) is not None


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A row. While the call is under way its usage is what it takes at least, as far as we can tell."""

    attempt: str
    checkpoint: str
    agent: str
    phase: str
    provider: str
    model: str
    started_at: float
    outcome: str = UNDER_WAY
    seconds: float = 0.0
    usage: Usage


def place_in(config: RunnableConfig, run: str) -> Place | None:
    """Return the place of the node that has this config; None where nothing is kept of the run."""
    configurable = config.get("configurable", {})
    # The keys that LangGraph hands to each node; its `Runtime` tells neither the saver nor the whole run's checkpoint.
    saver, checkpoints = configurable.get("__pregel_checkpointer"), configurable.get("checkpoint_map") or {}
    if not isinstance(saver, BaseCheckpointSaver) or "" not in checkpoints:
        return None
    return Place(thread=str(configurable["thread_id"]), run=run, checkpoint=str(checkpoints[""]), saver=saver)


class Journal:
    """The journal of all processes. Any thread and event loop of the process may use it.

    One thread does the work in the order in which it was asked for. A journal that cannot be used is logged and does
    without: the calls of a killed run then cost what its state knows.

    Args:
        tenant: whose attempts these are; empty: nobody's in particular.
        clock: epoch seconds.
    """

    def __init__(
        self, database: Database, *, tenant: str = "", clock: Callable[[], float] = time.time
    ) -> None:
        self._database, self._tenant, self._clock = database, tenant, clock
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ymera-journal")
        self._written = 0

    async def lost(self, place: Place, phase: str, known: Collection[str]) -> list[Entry]:
        """Return the calls of a phase that were made at this place and of which its state knows nothing.

        Args:
            known: the attempts of which the state knows.
        """
        rows = await asyncio.get_running_loop().run_in_executor(self._thread, self._rows, place, phase)
        unknown = [entry for entry in map(_entry, rows) if entry.attempt not in known]
        return [e for e in unknown if e.checkpoint == place.checkpoint or not await place.keeps(e.checkpoint)]

    async def begin(self, place: Place, entry: Entry) -> None:
        """Write down that a call is about to be sent; when this returns, a killed process has left it there."""
        row = _row(place, self._tenant, entry)
        await asyncio.get_running_loop().run_in_executor(self._thread, self._begin, row)

    def end(self, place: Place, attempt: Attempt) -> None:
        """Write down what a call took. Not waited for: the state that is to know it is written meanwhile."""
        self._thread.submit(self._change, END, _ended(place, attempt))

    async def forget(self, threads: Iterable[str]) -> None:
        """Delete what stands here of threads that are deleted, by their names in the store."""
        for thread in threads:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._change, FORGET, (thread,))

    def _rows(self, place: Place, phase: str) -> list[tuple[Any, ...]]:
        try:
            with self._database.reading() as rows:
                found = rows.execute(OF_PHASE, (place.thread, place.run, phase))
            if not all(map(_is_sound, found)):
                raise DatabaseError("a row in it is not what YMERA writes")
            return found
        except DatabaseError as error:
            self._complain(error)
            return []

    def _begin(self, row: tuple[object, ...]) -> None:
        self._change(BEGIN, row)
        if self._written % PRUNED_EVERY == 0:
            self._thread.submit(self._change, PRUNE, (self._clock() - KEPT_SECONDS, KEPT_ROWS - 1))
        self._written += 1

    def _change(self, sql: str, values: tuple[object, ...]) -> None:
        try:
            with self._database.transaction() as rows:
                rows.execute(sql, values)
        except DatabaseError as error:
            self._complain(error)

    def _complain(self, error: DatabaseError) -> None:
        _logger.warning(
            "The journal of attempts is not kept: %s cannot be used: %s", self._database.place, error
        )


def _row(place: Place, tenant: str, entry: Entry) -> tuple[object, ...]:
    said = (tenant, entry.agent, entry.phase, entry.provider, entry.model)
    which = (place.thread, place.run, entry.attempt, entry.checkpoint)
    return (*which, *said, entry.started_at, entry.outcome, entry.seconds, *_counts(entry.usage))


def _ended(place: Place, attempt: Attempt) -> tuple[object, ...]:
    outcome = attempt["fault"]["kind"] if attempt["fault"] else ANSWERED
    which = (place.thread, place.run, attempt["id"], place.checkpoint)
    return (outcome, attempt["seconds"], *_counts(attempt["usage"]), *which)


def _counts(usage: Usage) -> tuple[object, ...]:
    tokens = (
        usage["input_tokens"],
        usage["output_tokens"],
        usage["cached_tokens"],
        usage["reasoning_tokens"],
    )
    return (*tokens, usage["cost_usd"], usage["unpriced"], usage["estimated"])


def _is_sound(row: tuple[Any, ...]) -> bool:
    """Say whether a row holds what its columns are for: SQLite keeps anything in any of them."""
    sound = all(isinstance(value, kind) for value, kind in zip(row, _KINDS, strict=True))
    numbers = [value for value in row if isinstance(value, _NUMBER)]
    return sound and all(0 <= n < math.inf for n in numbers) and _ATTEMPT.fullmatch(row[2]) is not None


_ATTEMPT = re.compile(r".+-[0-9]{1,6}")
_NUMBER = (int, float)
_KINDS: tuple[type | tuple[type, ...], ...] = (
    *(str,) * 9, _NUMBER, str, _NUMBER, *(int,) * 4, _NUMBER, int, int
)  # fmt: skip


def _entry(row: tuple[Any, ...]) -> Entry:
    _, _, attempt, checkpoint, _, agent, phase, provider, model, started_at, outcome, seconds, *counts = row
    into, out, cached, reasoning, cost, unpriced, estimated = counts
    return Entry(
        attempt=attempt,
        checkpoint=checkpoint,
        agent=agent,
        phase=phase,
        provider=provider,
        model=model,
        started_at=started_at,
        outcome=outcome,
        seconds=seconds,
        usage=Usage(
            input_tokens=into,
            output_tokens=out,
            cached_tokens=cached,
            reasoning_tokens=reasoning,
            cost_usd=cost,
            unpriced=unpriced,
            estimated=estimated,
        ),
    )
