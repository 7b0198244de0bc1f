"""A run on its thread: what stands there, the graph on which it began, and how it goes on."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, aclosing, contextmanager
from dataclasses import dataclass
from typing import Any, cast

from langchain_core.messages import AIMessageChunk
from langchain_core.runnables import RunnableConfig
from langgraph.runtime import RunControl
from langgraph.types import Command, StateSnapshot, StreamMode

from .events import ProgressEvent
from .graphs.checkpoints import Saver
from .graphs.workflow import Workflow, build, over
from .nodes.kept import UNREADABLE, check_kept
from .nodes.replanning import check_to_come
from .nodes.services import Services
from .nodes.settings import Settings
from .nodes.state import RunContext, RunInput, State, check_format, view
from .nodes.thread_lock import sole_run
from .results import result_of
from .routing.approvals import Question, check_answer, known_gates
from .routing.errors import InputError, NoRunError, ResumeError
from .routing.flow import status
from .routing.layout import Layout
from .routing.records import Strategy
from .routing.tenants import stored_thread, thread_of

BEFORE_THE_PLAN = {"__start__", "match"}
"""Nodes before which a run has not begun: there is no plan to go on with."""


@dataclass(frozen=True, kw_only=True)
class Leg:
    """A part of a run's way: from where it stands to its end, or to where it stops.

    Args:
        start: the input of a new run, or the answer to a question; None: it goes on.
        tokens: the pieces of answers are told too.
    """

    graph: Workflow
    config: RunnableConfig
    start: RunInput | Command[Any] | None
    context: RunContext
    tokens: bool


def layout_of(state: State) -> Layout:
    """Return the groups of phases of the graph on which a run began."""
    return tuple(tuple(group) for group in state["layout"])


def graph_of(state: State, services: Services, saver: Saver) -> Workflow:
    """Return the graph on which a run began, over a store. Phases that the catalogue lacks today are passed by."""
    layout, phases = layout_of(state), services.matcher.catalogue.phases
    gone = tuple(phase for group in layout for phase in group if phase not in phases)
    graph = build(layout, services, gates=known_gates(state.get("gates", [])), gone=gone)
    return over(graph, saver)


def question_of(seen: StateSnapshot) -> Question | None:
    """Return what a run asks that waits for a person."""
    return cast("Question", seen.interrupts[0].value) if seen.interrupts else None


def config_of(thread_id: str, settings: Settings, plan: Strategy | None = None) -> RunnableConfig:
    """Return the config with which a tenant's thread is found in the store.

    Args:
        plan: of a run that is about to go; its trace then says at the root what it is.
    """
    said = {"agent": plan["agent_name"], "strategy": plan["strategy_type"]} if plan else {}
    stored = stored_thread(settings.ymera_tenant, thread_id)
    return {"configurable": {"thread_id": stored}, "run_name": "ymera", "metadata": said}


def sole(thread_id: str, settings: Settings) -> AbstractAsyncContextManager[None]:
    """Hold a tenant's thread for one run. Raises what `sole_run` does."""
    return sole_run(settings, stored_thread(settings.ymera_tenant, thread_id), thread_id)


def is_unfinished(seen: StateSnapshot) -> bool:
    """Say whether a run has steps to come. One whose answer is kept but not taken in yet is not in `next`."""
    return bool(seen.tasks)


async def look(thread_id: str, services: Services, saver: Saver) -> StateSnapshot:
    """Return what stands on a thread: of the run there, what the graph of all phases makes of it.

    Raises:
        InputError: it cannot be read.
        ResumeError: a newer release has written it.
    """
    graph = over(build(None, services), saver)
    with readable(thread_id):
        seen = await graph.aget_state(config_of(thread_id, services.settings))
        check_format(cast("State", seen.values))
        check_kept(seen.values, seen.metadata)
    return seen


@contextmanager
def readable(thread_id: str) -> Iterator[None]:
    """Turn what a store of no use raises into one InputError."""
    try:
        yield
    except UNREADABLE as error:
        raise InputError(
            f"The checkpoints of thread {thread_id!r} cannot be read: {error}. "
            "Run the task on another thread, or move the file away (YMERA_CHECKPOINTS names it)."
        ) from error


async def find_run(thread_id: str, services: Services, saver: Saver) -> tuple[Workflow, StateSnapshot] | None:
    """Return the graph of the run on a thread and how it stands; None where no run has begun there.

    Raises:
        InputError, ResumeError: as `look` does.
    """
    state = cast("State", (await look(thread_id, services, saver)).values)
    if not state.get("plan") or not state.get("layout"):
        return None
    graph = graph_of(state, services, saver)
    with readable(thread_id):
        seen = await graph.aget_state(config_of(thread_id, services.settings))
    return None if BEFORE_THE_PLAN & {task.name for task in seen.tasks} else (graph, seen)


async def take_up(
    thread_id: str, services: Services, saver: Saver, *, context: RunContext, answer: Any = None
) -> tuple[Workflow, RunnableConfig, Command[Any] | None]:
    """Return with what the run of a thread goes on.

    Args:
        answer: to the question with which it waits.

    Raises:
        NoRunError: none has begun there.
        ResumeError, NoUsableModelError: it cannot go on in the world of today.
        InputError: the answer is none of those that may be given.
    """
    found = await find_run(thread_id, services, saver)
    if found is None:
        raise NoRunError(f"No run to resume on thread {thread_id!r} in {services.settings.store_of_runs}.")
    graph, seen = found
    if is_unfinished(seen):
        await check_to_come(cast("State", seen.values), context, services)
    config = config_of(thread_id, services.settings, seen.values["plan"])
    return graph, config, None if answer is None else _answered(seen, answer)


def _answered(seen: StateSnapshot, answer: Mapping[str, str] | str) -> Command[Any]:
    asked = question_of(seen)
    if asked is None:
        raise ResumeError("This run waits for no answer. Resume it without one.")
    check_answer(answer, asked)
    return Command(resume=answer)


async def go(leg: Leg, settings: Settings, control: RunControl) -> AsyncGenerator[ProgressEvent, None]:
    """Run the graph and yield its events, the result last.

    Raises:
        GraphDrained: `control` was asked to drain, and the steps under way have ended.
        ResumeError: the graph had no step left although the run has not come to its end.
    """
    clock = time.perf_counter()
    stored: str = leg.config["configurable"]["thread_id"]
    thread_id = thread_of(settings.ymera_tenant, stored) or stored
    yield ProgressEvent(event="started", thread_id=thread_id)
    modes: list[StreamMode] = ["custom", "messages"] if leg.tokens else ["custom"]
    parts = leg.graph.astream(
        leg.start,
        leg.config,
        context=leg.context,
        stream_mode=modes,
        subgraphs=True,
        durability="sync",
        control=control,
    )
    # Declared as an iterator, it is a generator, and must be closed where the caller stops early.
    async with aclosing(cast("AsyncGenerator[Any, None]", parts)) as stream:
        async for _, mode, part in stream:
            event = _token(*part) if mode == "messages" else cast("ProgressEvent", part)
            if event is not None:
                yield event
    seen = await leg.graph.aget_state(leg.config)
    for event in ended(thread_id, seen, time.perf_counter() - clock):
        yield event


def ended(thread_id: str, seen: StateSnapshot, seconds: float) -> list[ProgressEvent]:
    """Return the last events of a run.

    Raises:
        ResumeError: it has not come to its end, nor does it wait for anybody.
    """
    state, waiting = cast("State", seen.values), question_of(seen)
    if waiting is None and not state.get("error") and status(view(state)) == "running":
        raise ResumeError(
            f"The run on thread {thread_id!r} has phases to come, but its graph has no step left: it was begun on "
            "a graph of another layout. Run the task on another thread."
        )
    result = result_of(state, thread_id=thread_id, seconds=seconds, waiting=waiting)
    finished = ProgressEvent(event="finished", result=result)
    if waiting is None:
        return [finished]
    return [ProgressEvent(event="waiting_for_approval", thread_id=thread_id, question=waiting), finished]


def _token(chunk: Any, metadata: Mapping[str, Any]) -> ProgressEvent | None:
    """Return the event of a streamed chunk; None for what is no text of an attempt."""
    text = str(chunk.text) if isinstance(chunk, AIMessageChunk) else ""
    if not text or "attempt_id" not in metadata:
        return None
    return ProgressEvent(event="token", phase=metadata["phase"], attempt_id=metadata["attempt_id"], text=text)
