"""The threads that are kept: one of them opened with its run, all of them listed, some of them deleted."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Literal, cast

from langchain_core.runnables import RunnableConfig
from langgraph.types import StateSnapshot

from .graphs.checkpoints import Saver, open_checkpoints
from .graphs.retention import delete_threads as delete_stored
from .graphs.retention import stored_threads
from .graphs.workflow import Workflow
from .nodes.services import Services
from .nodes.state import NO_USAGE, State
from .results import MultiModelResult, result_of
from .routing.errors import InputError, NoRunError, ResumeError, ThreadBusyError
from .routing.flow import busy_seconds
from .routing.forks import own
from .routing.layout import Layout
from .routing.retention import Keep, StoredThread, expired
from .routing.tenants import stored_thread
from .thread_run import config_of, find_run, is_unfinished, layout_of, question_of, sole

ThreadStatus = Literal["succeeded", "failed", "budget", "waiting", "unfinished", "unreadable"]
FIRST_WORDS = 60
"""Characters of a task by which a thread is recognised."""


@dataclass(frozen=True, kw_only=True)
class ThreadSummary:
    """A thread in a list. Epoch seconds, USD.

    Args:
        task: its first words.
        status: of its newest run; `waiting` for a person's answer, `unfinished` and so to be resumed (or under way
            in another process), `unreadable` by this release or with this key.
        cost: a lower bound where `cost_known` is false; of a fork, its own alone.
    """

    thread_id: str
    agent: str
    task: str
    status: ThreadStatus
    started: float
    last: float
    cost: float
    cost_known: bool
    checkpoints: int
    bytes: int


@dataclass(frozen=True, kw_only=True)
class OpenThread:
    """A thread with the run that stands on it.

    Args:
        id: what its owner calls it.
        graph: the graph on which its run began, over the store.
    """

    id: str
    config: RunnableConfig
    seen: StateSnapshot
    graph: Workflow

    @property
    def state(self) -> State:
        """The run's state as it stands."""
        return cast("State", self.seen.values)

    @property
    def layout(self) -> Layout:
        """The groups of phases of the run's graph."""
        return layout_of(self.state)

    @property
    def result(self) -> MultiModelResult:
        """The run's result as it stands; its seconds are those in which a model was at work, or waited for."""
        seconds = busy_seconds(own(self.state.get("attempts", [])))
        return result_of(self.state, thread_id=self.id, seconds=seconds, waiting=question_of(self.seen))


@asynccontextmanager
async def open_thread(thread_id: str, services: Services) -> AsyncIterator[OpenThread]:
    """Open a thread of the store.

    Raises:
        ResumeError: there is no such thread, or no run on it.
        InputError: what is kept of it cannot be read.
    """
    async with open_checkpoints(services.settings) as saver:
        yield await _opened(thread_id, services, saver)


async def _opened(thread_id: str, services: Services, saver: Saver) -> OpenThread:
    found = await find_run(thread_id, services, saver)
    if found is None:
        raise NoRunError(f"No run on thread {thread_id!r} in {services.settings.store_of_runs}.")
    graph, seen = found
    return OpenThread(id=thread_id, config=config_of(thread_id, services.settings), seen=seen, graph=graph)


async def list_threads(services: Services, limit: int | None = None) -> list[ThreadSummary]:
    """Return the threads of the store, the latest first.

    Args:
        limit: so many of the latest; None: all. Each of them is read.
    """
    async with open_checkpoints(services.settings) as saver:
        stored = await stored_threads(saver, services.settings.ymera_tenant)
        return [await _summary(thread, services, saver) for thread in stored[:limit]]


async def summary_of(thread_id: str, services: Services) -> ThreadSummary:
    """Return what a list says of one thread.

    Raises:
        ResumeError: there is no such thread.
    """
    async with open_checkpoints(services.settings) as saver:
        stored = await stored_threads(saver, services.settings.ymera_tenant)
        thread = next((thread for thread in stored if thread.thread_id == thread_id), None)
        if thread is None:
            raise _unknown([thread_id], services)
        return await _summary(thread, services, saver)


async def _summary(stored: StoredThread, services: Services, saver: Saver) -> ThreadSummary:
    state = State()
    status: ThreadStatus
    try:
        thread = await _opened(stored.thread_id, services, saver)
        state, status = thread.state, status_of(thread)
    except NoRunError:  # its models are being chosen, or it was killed then
        status = "unfinished"
    except (InputError, ResumeError):
        status = "unreadable"
    usage = state.get("usage", NO_USAGE)
    task = " ".join(state.get("task_description", "").split())
    return ThreadSummary(
        thread_id=stored.thread_id,
        agent=state["plan"]["agent_name"] if "plan" in state else "",
        task=task if len(task) <= FIRST_WORDS else f"{task[:FIRST_WORDS]}…",
        status=status,
        started=stored.first,
        last=stored.last,
        cost=round(usage["cost_usd"], 8),
        cost_known=usage["unpriced"] == 0,
        checkpoints=stored.checkpoints,
        bytes=stored.bytes,
    )


def status_of(thread: OpenThread) -> ThreadStatus:
    """Return how the run of a thread stands."""
    if thread.seen.interrupts:
        return "waiting"
    if is_unfinished(thread.seen):
        return "unfinished"
    result = thread.result
    if result.success:
        return "succeeded"
    return "budget" if result.stopped_by_budget else "failed"


async def delete_threads(thread_ids: Sequence[str], services: Services) -> None:
    """Delete threads with all that is kept of them.

    Raises:
        ResumeError: one of them does not exist, or its run is under way (ThreadBusyError); then none is deleted.
    """
    async with open_checkpoints(services.settings) as saver, AsyncExitStack() as held:
        known = {thread.thread_id for thread in await stored_threads(saver, services.settings.ymera_tenant)}
        if unknown := [thread_id for thread_id in thread_ids if thread_id not in known]:
            raise _unknown(unknown, services)
        for thread_id in dict.fromkeys(thread_ids):
            await held.enter_async_context(sole(thread_id, services.settings))
        await _delete(thread_ids, services, saver)


async def prune_threads(keep: Keep, services: Services) -> list[StoredThread]:
    """Delete the threads that are too old, too many or too large, and return them; none whose run may be under way."""
    gone = []
    async with open_checkpoints(services.settings) as saver:
        stored = await stored_threads(saver, services.settings.ymera_tenant)
        for thread in expired(stored, keep, now=time.time()):
            with suppress(ThreadBusyError):
                async with sole(thread.thread_id, services.settings):
                    await _delete([thread.thread_id], services, saver)
                gone.append(thread)
    return gone


async def _delete(thread_ids: Sequence[str], services: Services, saver: Saver) -> None:
    tenant = services.settings.ymera_tenant
    await delete_stored(saver, tenant, thread_ids)
    await services.journal.forget(stored_thread(tenant, thread_id) for thread_id in thread_ids)


def _unknown(thread_ids: Sequence[str], services: Services) -> ResumeError:
    names = ", ".join(map(repr, thread_ids))
    return ResumeError(f"No thread {names} in {services.settings.store_of_runs}. `ymera threads` lists them.")
