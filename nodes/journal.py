"""The journal of attempts: a row for each call, written before it is sent and completed once it is over.

A run that is resumed knows from its state alone what was kept. A call that was under way when its process died, or
whose answer came but was not kept any more, is not there; its row is, and with it what it has cost. What is judged of
the answer later (nodes/outcomes.py) goes into the same row, and from there into the next match. No word of a prompt or
an answer stands here, unless the settings ask for the task's.
"""

from __future__ import annotations

import asyncio
import logging
import math
import re
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver

from ..routing.attempts import Attempt, Usage
from ..routing.errors import InputError
from ..routing.outcomes import ANSWERED, quality_of_end
from .database import Database, DatabaseError, Rows
from .encryption import Cipher

CALL = (
    "thread, run, attempt, checkpoint, tenant, agent, phase, provider, model, started_at, outcome, seconds, "
    "input_tokens, output_tokens, cached_tokens, reasoning_tokens, cost_usd, unpriced, estimated"
)
"""Columns of a call, in the order in which a row of it is read."""
ABOUT = "domain, complexity, speed, creativity, task"
BEGIN = f"INSERT INTO calls ({CALL}, {ABOUT}) VALUES ({', '.join('?' * 24)}) ON CONFLICT DO NOTHING"
END = """
UPDATE calls SET outcome = ?, seconds = ?, input_tokens = ?, output_tokens = ?, cached_tokens = ?,
    reasoning_tokens = ?, cost_usd = ?, unpriced = ?, estimated = ?, first_token_seconds = ?, quality = ?,
    settled_at = ?
WHERE thread = ? AND run = ? AND attempt = ? AND checkpoint = ?
"""
OF_PHASE = f"SELECT {CALL} FROM calls WHERE thread = ? AND run = ? AND phase = ? ORDER BY started_at"
FORGET = "UPDATE calls SET thread = '', task = '', comment = '' WHERE thread = ?"
"""What a thread's calls cost and how good they were says nothing of the thread; its words go."""
PRUNE = """
DELETE FROM calls WHERE started_at < ?
    OR started_at < (SELECT started_at FROM calls ORDER BY started_at DESC LIMIT 1 OFFSET ?)
"""

PRUNE_TRIALS = "DELETE FROM trial_runs WHERE begun_at < ?"
READ = (
    "INSERT INTO domains_read (tenant, run, probability, read_at) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"
)
PRUNE_READ = "DELETE FROM domains_read WHERE read_at < ?"

DAY_SECONDS = 86_400.0
LEAST_DAYS = 1.0
"""Rows of calls under way are kept for a day, whatever is learned from them."""
KEPT_ROWS = 100_000
"""Rows that are kept at most."""
PRUNED_EVERY = 1_000
"""Rows that a process writes before it looks for rows to be removed."""

MOST_AFRESH = 10_000
"""Runs that are known to have begun here; of others it is looked up whether calls were lost."""

UNDER_WAY = ""
"""Outcome of a call that has not ended, as far as we know."""

Statement = tuple[str, tuple[object, ...]]
Result = TypeVar("Result")

_logger = logging.getLogger("ymera.journal")


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where in a thread a call is made: behind which checkpoint of the whole run.

    A resumed run stands behind the same checkpoint as the one that was killed; one that was forked, or sent back to
    an earlier step, behind a checkpoint of its own. A run of which nothing is kept has no thread.

    Args:
        resumed: the run goes on here from what was kept of it.
    """

    thread: str = ""
    run: str
    checkpoint: str = ""
    saver: BaseCheckpointSaver[Any] | None = None
    resumed: bool = False

    async def keeps(self, checkpoint: str) -> bool:
        """Say whether a checkpoint of this thread was kept: its process may have died before it was."""
        if self.saver is None:
            return False
        where = {"thread_id": self.thread, "checkpoint_ns": "", "checkpoint_id": checkpoint}
        return await self.saver.aget_tuple({"configurable": where}) is not None


@dataclass(frozen=True, kw_only=True)
class About:
    """What a call was for: the domain of the task, how it was read, and its text where the settings ask for it.

    Args:
        domain_read: how probable the domain is, where it was read in the text.
    """

    domain: str = ""
    domain_read: float | None = None
    complexity: str = ""
    speed: str = ""
    creativity: str = ""
    task: str = ""


NOTHING = About()


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
    about: About = NOTHING


def place_in(config: RunnableConfig, run: str) -> Place:
    """Return the place of the node that has this config."""
    configurable = config.get("configurable", {})
    # The keys that LangGraph hands to each node; its `Runtime` tells neither the saver nor the whole run's checkpoint.
    saver, checkpoints = configurable.get("__pregel_checkpointer"), configurable.get("checkpoint_map") or {}
    if not isinstance(saver, BaseCheckpointSaver) or "" not in checkpoints:
        return Place(run=run)
    return Place(
        thread=str(configurable["thread_id"]),
        run=run,
        checkpoint=str(checkpoints[""]),
        saver=saver,
        resumed=bool(configurable.get("__pregel_resuming")),
    )


class Journal:
    """The journal of all processes. Any thread and event loop of the process may use it.

    One thread does the work in the order in which it was asked for. A journal that cannot be used is logged and does
    without: the calls of a killed run then cost what its state knows.

    Args:
        tenant: whose attempts these are; empty: nobody's in particular.
        days: for which outcomes are learned from; 0: none are, and calls that no run can come back to are not
            written down.
        cipher: encrypts the words that stand here.
        clock: epoch seconds.
    """

    def __init__(
        self,
        database: Database,
        *,
        tenant: str = "",
        days: float = 180.0,
        cipher: Cipher | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.tenant = tenant
        self._database, self._days, self._cipher, self._clock = database, days, cipher, clock
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ymera-journal")
        self._written = 0
        self._afresh: dict[str, None] = {}

    def begins(self, run: str) -> None:
        """Note a run that begins in this process: until it is resumed, none of its calls can be lost."""
        if len(self._afresh) >= MOST_AFRESH:
            self._afresh.pop(next(iter(self._afresh)), None)
        self._afresh[run] = None

    def notice(self, place: Place) -> None:
        """Note where a run is resumed. LangGraph says so in the first step alone, and in no graph within another."""
        if place.resumed:
            self._afresh.pop(place.run, None)

    async def lost(self, place: Place, phase: str, known: Collection[str]) -> list[Entry]:
        """Return the calls of a phase that were made at this place and of which its state knows nothing.

        Args:
            known: the attempts of which the state knows.
        """
        self.notice(place)
        if place.run in self._afresh:
            return []
        rows = await asyncio.get_running_loop().run_in_executor(self._thread, self._rows, place, phase)
        unknown = [entry for entry in map(_entry, rows) if entry.attempt not in known]
        return [e for e in unknown if e.checkpoint == place.checkpoint or not await place.keeps(e.checkpoint)]

    async def begin(self, place: Place, entry: Entry) -> None:
        """Write down that a call is about to be sent; when this returns, a killed process has left it there.

        A call that no run can come back to is not waited for.
        """
        begun = [(BEGIN, _row(place, self.tenant, entry, self.sealed(entry.about.task)))]
        if (probability := entry.about.domain_read) is not None:
            begun.append((READ, (self.tenant, place.run, probability, entry.started_at)))
        if not place.thread:
            if self._days:
                self._thread.submit(self._begin, begun)
            return
        await asyncio.get_running_loop().run_in_executor(self._thread, self._begin, begun)

    def end(self, place: Place, attempt: Attempt) -> None:
        """Write down what a call took. Not waited for: the state that is to know it is written meanwhile."""
        if place.thread or self._days:
            self._thread.submit(self._change, (END, _ended(place, attempt, self._clock())))

    def change(self, sql: str, values: tuple[object, ...]) -> None:
        """Run a statement after all that was written before. Not waited for."""
        self._thread.submit(self._change, (sql, values))

    async def within(self, work: Callable[[Rows], Result]) -> Result:
        """Return what comes of work within one transaction, after all that was written before.

        Raises:
            InputError: the journal cannot be used.
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._within, work)

    def sealed(self, text: str) -> str:
        """Return a text as it is stored."""
        # Neither database takes half of a surrogate pair, nor PostgreSQL a NUL.
        told = text.replace("\0", "").encode("utf-8", "replace").decode()
        return self._cipher.seal(told) if self._cipher and told else told

    def opened(self, stored: str) -> str:
        """Return a text as it was given.

        Raises:
            ValueError: it was not encrypted with this key.
        """
        return self._cipher.open(stored) if self._cipher and stored else stored

    async def forget(self, threads: Iterable[str]) -> None:
        """Forget which calls were those of threads that are deleted (by their names in the store), and their words."""
        for thread in threads:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._change, (FORGET, (thread,)))

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

    def _begin(self, begun: Sequence[Statement]) -> None:
        self._change(*begun)
        if self._written % PRUNED_EVERY == 0:
            oldest = (self._clock() - max(self._days, LEAST_DAYS) * DAY_SECONDS,)
            self._thread.submit(
                self._change, (PRUNE, (*oldest, KEPT_ROWS - 1)), (PRUNE_TRIALS, oldest), (PRUNE_READ, oldest)
            )
        self._written += 1

    def _change(self, *statements: Statement) -> None:
        try:
            if len(statements) == 1:
                self._database.write(*statements[0])
                return
            with self._database.transaction() as rows:
                for sql, values in statements:
                    rows.execute(sql, values)
        except DatabaseError as error:
            self._complain(error)

    def _within(self, work: Callable[[Rows], Result]) -> Result:
        try:
            with self._database.transaction() as rows:
                return work(rows)
        except DatabaseError as error:
            place, cure = self._database.place, self._database.cure
            raise InputError(f"The journal of attempts {place} cannot be used: {error}. {cure}.") from error

    def _complain(self, error: DatabaseError) -> None:
        _logger.warning(
            "The journal of attempts is not kept: %s cannot be used: %s", self._database.place, error
        )


def _row(place: Place, tenant: str, entry: Entry, task: str) -> tuple[object, ...]:
    said = (tenant, entry.agent, entry.phase, entry.provider, entry.model)
    which = (place.thread, place.run, entry.attempt, entry.checkpoint)
    about = (entry.about.domain, entry.about.complexity, entry.about.speed, entry.about.creativity, task)
    return (*which, *said, entry.started_at, entry.outcome, entry.seconds, *_counts(entry.usage), *about)


def _ended(place: Place, attempt: Attempt, now: float) -> tuple[object, ...]:
    outcome = attempt["fault"]["kind"] if attempt["fault"] else ANSWERED
    which = (place.thread, place.run, attempt["id"], place.checkpoint)
    quality = quality_of_end(outcome)
    settled = (attempt["first_token_seconds"], quality, None if quality is None else now)
    return (outcome, attempt["seconds"], *_counts(attempt["usage"]), *settled, *which)


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
