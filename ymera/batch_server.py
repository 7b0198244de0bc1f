"""The runs of a batch on an Agent Protocol server, such as `langgraph dev` or aegra."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any, cast

import httpx
from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import APIStatusError, ConflictError, NotFoundError
from langgraph_sdk.schema import Assistant, Checkpoint

from .batch import LeftUnfinishedError, PlaceGoneError, Spend
from .batch_here import Asked
from .batch_tasks import BatchTask
from .nodes.state import RunContext, RunInput, State
from .results import MultiModelResult, result_of
from .routing.errors import InputError

PATIENCE_S = 60.0
"""How long a server may be out of reach: as long as its restart, or another's taking over, may take."""
PAUSE_S = 1.0
"""Between two attempts to reach it."""
PAGE = 100
"""Assistants asked for at a time: aegra gives no more."""
UNDER_WAY = ("pending", "running")
PASSING_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(kw_only=True)
class There:
    """Runs on a server. A run that was begun goes on there, whatever becomes of this process.

    Args:
        assistant: what runs the tasks; None: the one that is named as the task's agent.
        patience: seconds for which the server may be out of reach.
    """

    client: LangGraphClient
    url: str
    asked: Asked
    assistant: str | None = None
    patience: float = PATIENCE_S
    pause: float = PAUSE_S
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)

    def context(self, task: BatchTask) -> RunContext:
        """Return the settings of a task's run."""
        return self.asked.context_of(task)

    def assistant_of(self, task: BatchTask) -> str:
        """Return the assistant that runs a task."""
        return self.assistant or self.asked.agent_of(task)

    async def run(
        self, task: BatchTask, thread_id: str, context: RunContext, spend: Spend
    ) -> MultiModelResult:
        """Run a task on a thread, or go on with what is there, or return what was finished there."""
        work = asyncio.create_task(self._patiently(task, thread_id, context))
        stop = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                raise LeftUnfinishedError
            return work.result()
        finally:
            work.cancel()
            stop.cancel()
            await asyncio.gather(work, stop, return_exceptions=True)

    async def stop(self) -> None:
        """Wait for no run any longer; they go on at the server."""
        self._stopping.set()

    def kept_open(self) -> LangGraphClient:
        """Keep the connections open, and close them in the end."""
        return self.client

    async def _patiently(self, task: BatchTask, thread_id: str, context: RunContext) -> MultiModelResult:
        """Begin again with looking at the thread wherever the server is out of reach for a while."""
        reached = time.monotonic()
        while True:
            try:
                return await self._finished(task, thread_id, context)
            except httpx.ReadTimeout:
                reached = time.monotonic()  # it is there: the run takes long
            except ConflictError:
                pass  # another run has begun on the thread: the next look finds it
            except APIStatusError as error:
                if error.status_code not in PASSING_STATUS:
                    raise PlaceGoneError(_refused(self.url, error)) from error
                _check_patience(self.url, reached, self.patience, error)
            except httpx.TransportError as error:
                _check_patience(self.url, reached, self.patience, error)
            await asyncio.sleep(self.pause)

    async def _finished(self, task: BatchTask, thread_id: str, context: RunContext) -> MultiModelResult:
        clock = time.monotonic()
        await self.client.threads.create(
            thread_id=thread_id, if_exists="do_nothing", metadata={"ymera_batch_task": task.id}
        )
        values, unfinished = await self._state(thread_id)
        said: Any = None
        if unfinished or not values.get("plan"):
            run_id = await self._under_way(thread_id) or await self._begin(task, thread_id, context, values)
            said = await self.client.runs.join(thread_id, run_id)
            values, unfinished = await self._state(thread_id)
        if unfinished or not values.get("plan"):
            raise InputError(f"The server ended the run without a result: {_error_of(said)}.")
        return result_of(values, thread_id=thread_id, seconds=time.monotonic() - clock)

    async def _state(self, thread_id: str) -> tuple[State, bool]:
        """Return a thread's state, and whether its run is unfinished."""
        try:
            seen = await self.client.threads.get_state(thread_id)
        except NotFoundError:  # no run has begun there
            return State(), False
        return cast("State", seen["values"] or {}), bool(seen["next"])

    async def _under_way(self, thread_id: str) -> str | None:
        """Return the run that is under way on a thread."""
        runs = await self.client.runs.list(thread_id)
        return next((run["run_id"] for run in runs if run["status"] in UNDER_WAY), None)

    async def _begin(self, task: BatchTask, thread_id: str, context: RunContext, values: State) -> str:
        """Begin a run, or go on with the one that was left unfinished."""
        new = RunInput(task=task.task, agent=self.asked.agent_of(task), parameters=dict(task.parameters))
        if (phases := self.asked.phases_of(task)) is not None:
            new["phases"] = phases
        run = await self.client.runs.create(
            thread_id,
            self.assistant_of(task),
            input=None if values.get("plan") else cast("dict[str, Any]", new),
            checkpoint=cast("Checkpoint", {}),  # aegra takes no run without an input that names none
            context=context.model_dump(mode="json", exclude_defaults=True),
            multitask_strategy="reject",
            durability="sync",
        )
        return run["run_id"]


def _check_patience(url: str, reached: float, patience: float, error: Exception) -> None:
    if time.monotonic() - reached > patience:
        raise PlaceGoneError(f"{url} cannot be reached: {type(error).__name__}: {error}.") from error


def _refused(url: str, error: APIStatusError) -> str:
    return f"{url} refuses: {error.status_code}: {error.message}. Check the address and LANGGRAPH_API_KEY."


def _error_of(said: object) -> str:
    error = said.get("__error__") if isinstance(said, dict) else None
    return str(error.get("message", error) if isinstance(error, dict) else error or "it gives no reason")


def connect(url: str) -> LangGraphClient:
    """Return a client that waits for its turn where more tasks are under way than it has connections."""
    return get_client(url=url, timeout=(5, 300, 300, None))


async def _every_assistant(client: LangGraphClient) -> list[Assistant]:
    found: list[Assistant] = []
    while page := await client.assistants.search(limit=PAGE, offset=len(found)):
        found += page
        if len(page) < PAGE:
            break
    return found


async def known_assistants(url: str) -> set[str]:
    """Return the names by which a server's assistants can be called.

    Raises:
        InputError: no Agent Protocol server answers there, or it wants another key.
    """
    try:
        async with connect(url) as client:
            found = await _every_assistant(client)
    except APIStatusError as error:
        raise InputError(_refused(url, error)) from error
    except (httpx.TransportError, httpx.InvalidURL, ValueError) as error:
        raise InputError(
            f"{url} cannot be reached: {error}. Give the address of an Agent Protocol server."
        ) from error
    return {name for a in found for name in (a["assistant_id"], a["graph_id"])}


def checker(place: There, known: Collection[str]) -> Callable[[BatchTask], None]:
    """Return a check of tasks: whether the server has what runs them. Agents and phases are the server's matter."""

    def check(task: BatchTask) -> None:
        place.context(task)
        if place.assistant_of(task) not in known:
            raise InputError(
                f"{place.url} has no assistant {place.assistant_of(task)!r}. Name one with --assistant; "
                f"known: {', '.join(sorted(known))}."
            )

    return check
