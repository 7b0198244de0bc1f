"""The Python face: run a task, watch it, resume it, stop it."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import replace
from functools import lru_cache
from typing import Any, Self, cast

from .asked import Asked, check_models, is_run_of, request_of
from .draining import Drained, Ride
from .events import ProgressEvent
from .graphs.checkpoints import Checkpoints, Saver
from .graphs.workflow import build, over
from .nodes.availability import EMBEDDED
from .nodes.database import place_of
from .nodes.embedded import fetched
from .nodes.encryption import cipher_of
from .nodes.ledger import ResultCache
from .nodes.match import wishes_of
from .nodes.matching import AgentModelMatcher
from .nodes.replanning import check_to_come
from .nodes.services import Services, default_services, make_services
from .nodes.settings import Settings
from .nodes.state import RunContext, State
from .results import MultiModelResult
from .routing.approvals import gates_in, known_gates
from .routing.errors import InputError, RunInterrupted
from .routing.limits import check_name
from .routing.matcher import TaskRequest
from .routing.records import Strategy
from .thread_run import Leg, config_of, ended, find_run, go, is_unfinished, sole, take_up


class MultiModelExecutor:
    """Run tasks through several models.

    After `async with`, what the runs have opened stays open for the next ones until its end.

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
            place_of(self.settings, "results"),
            ttl=self.settings.ymera_cache_ttl,
            size=self.settings.ymera_cache_size,
            cipher=cipher_of(self.settings.langgraph_aes_key),
        )
        self._checkpoints = Checkpoints(self.settings)
        self._rides: set[Ride] = set()

    async def __aenter__(self) -> Self:
        self._checkpoints.stay_open()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close what this event loop has open, at the providers and in the stores; the next run opens it anew."""
        try:
            await self._checkpoints.close()
        finally:
            await self.services.models.close()

    def request_drain(self) -> None:
        """Tell all runs under way to stop, from any thread; return at once.

        A call in hand may end within YMERA_DRAIN_SECONDS and is given up then. What was done is kept; whoever waits
        for a run gets RunInterrupted, or its result where it came to its end meanwhile. Runs that begin later are
        not concerned.
        """
        for ride in list(self._rides):
            ride.drain()

    async def drain(self) -> None:
        """`request_drain`, then wait until the runs have stopped. Not for the task that watches one of them."""
        rides = list(self._rides)
        self.request_drain()
        await asyncio.gather(*(asyncio.wrap_future(ride.over) for ride in rides))

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

        Cancelled (`task.cancel()`, `asyncio.timeout`), it gives the call in hand up at once and keeps what was done:
        `resume` goes on with it. `drain` lets the call end first.

        Raises:
            InputError: the request is wrong.
            NoUsableModelError: no model may be called for a critical phase.
            ThreadBusyError: another run is under way on the thread.
            RunInterrupted: it was drained; `resume` goes on with it.
        """
        events = self.stream(
            agent_name,
            task_description,
            task_parameters,
            enable_phases,
            context=context,
            thread_id=thread_id,
            use_cache=use_cache,
            tokens=False,
        )
        return await _result(events)

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
        tokens: bool = True,
    ) -> AsyncGenerator[ProgressEvent, None]:
        """Run a task and yield what happens; the last event is `finished`.

        Arguments and errors as for `execute_with_multi_model`; without `tokens`, the pieces of answers are left out.
        """
        request = request_of(agent_name, task_description, task_parameters, enable_phases)
        if thread_id is not None:
            check_name("thread", thread_id)
        with self._ride(thread_id or str(uuid.uuid4())) as ride:
            asked = await self._asked(
                request,
                context or RunContext(),
                ride.thread_id,
                named=thread_id is not None,
                use_cache=use_cache,
            )
            key = asked.cache_key(self.matcher)
            if asked.reads_cache and (stored := await self._stored(key)):
                yield ProgressEvent(event="finished", result=stored)
                return
            plan = await self.matcher.choose(request, asked.wishes)
            check_models(plan, self.matcher.catalogue)
            events = self._carried(ride, self._events(asked, plan, ride, key=key, tokens=tokens))
            async with aclosing(events):
                async for event in events:
                    yield event

    async def resume(
        self,
        thread_id: str,
        context: RunContext | None = None,
        *,
        answer: Mapping[str, str] | str | None = None,
    ) -> MultiModelResult:
        """Go on with the unfinished run of a thread, or return the result of its finished one.

        Args:
            answer: to the question with which the run waits (`MultiModelResult.waiting` says what may be answered).

        Raises:
            ResumeError: the thread is unknown, its run had not begun, or it waits for no answer.
            InputError: the answer is none of those that may be given; the run waits as before.
        """
        return await _result(self.stream_resumed(thread_id, context, answer=answer))

    async def stream_resumed(
        self,
        thread_id: str,
        context: RunContext | None = None,
        *,
        answer: Mapping[str, str] | str | None = None,
        tokens: bool = True,
    ) -> AsyncGenerator[ProgressEvent, None]:
        """`resume`, yielding what happens."""
        check_name("thread", thread_id)
        with self._ride(thread_id) as ride:
            events = self._carried(ride, self._resumed(ride, context or RunContext(), answer, tokens=tokens))
            async with aclosing(events):
                async for event in events:
                    if answer is not None and (problem := event.get("question", {}).get("problem")):
                        raise InputError(problem)
                    yield event

    async def record_feedback(self, run_id: str, score: float, comment: str = "") -> None:
        """Say how good a run's result was; the next runs are planned with it.

        Args:
            run_id: `MultiModelResult.run_id`.
            score: 0 (useless) to 1 (as it should be); a later word takes the place of an earlier one.
            comment: kept beside it.

        Raises:
            InputError: the score is none, or no answer of such a run is known.
        """
        await self.services.outcomes.rate(run_id, score, comment)

    @contextmanager
    def _ride(self, thread_id: str) -> Iterator[Ride]:
        """Keep account of a run as long as it is under way."""
        ride = Ride(thread_id, self.settings.ymera_drain_seconds)
        self._rides.add(ride)
        try:
            yield ride
        finally:
            self._rides.discard(ride)
            ride.end()

    async def _carried(
        self, ride: Ride, run: AsyncGenerator[ProgressEvent, None]
    ) -> AsyncGenerator[ProgressEvent, None]:
        """Yield the events of a run; where it was drained, of its result if it has come to its end all the same.

        Raises:
            RunInterrupted: it has not.
        """
        try:
            async with aclosing(ride.events(run)) as events:
                async for event in events:
                    yield event
        except Drained:
            async with self._checkpoints.opened() as saver:
                found = await find_run(ride.thread_id, self.services, saver)
            if found is None or is_unfinished(found[1]):
                raise RunInterrupted(ride.thread_id, resumable=found is not None) from None
            for event in ended(ride.thread_id, found[1], ride.seconds):
                yield event

    async def _resumed(
        self, ride: Ride, context: RunContext, answer: Mapping[str, str] | str | None, *, tokens: bool
    ) -> AsyncGenerator[ProgressEvent, None]:
        async with self._checkpoints.opened() as saver, sole(ride.thread_id, self.settings):
            graph, config, start = await take_up(
                ride.thread_id, self.services, saver, context=context, answer=answer
            )
            leg = Leg(graph=graph, config=config, start=start, context=context, tokens=tokens)
            async with aclosing(go(leg, self.settings, ride.control)) as events:
                async for event in events:
                    yield event

    async def _asked(
        self, request: TaskRequest, context: RunContext, thread_id: str, *, named: bool, use_cache: bool
    ) -> Asked:
        wishes = wishes_of(context, self.services)
        return Asked(
            request=request,
            context=context,
            wishes=wishes,
            usual=await self.matcher.unmoved(request, wishes),
            thread_id=thread_id,
            named=named,
            # What a person decided belongs to this run alone.
            reads_cache=use_cache and not named and not context.approve,
            writes_cache=use_cache and not context.approve,
        )

    async def _stored(self, key: str) -> MultiModelResult | None:
        stored = await self._cache.get(key)
        return None if stored is None else replace(MultiModelResult.from_json(stored), cached=True)

    async def _events(
        self, asked: Asked, plan: Strategy, ride: Ride, *, key: str, tokens: bool
    ) -> AsyncGenerator[ProgressEvent, None]:
        async with aclosing(self._fetch(plan)) as downloads:
            async for event in downloads:
                yield event
        async with self._checkpoints.opened() as saver, sole(asked.thread_id, self.settings):
            leg = await self._first_leg(asked, plan, saver, tokens=tokens)
            async with aclosing(go(leg, self.settings, ride.control)) as events:
                async for event in events:
                    if event["event"] == "finished" and asked.keeps(event["result"]):
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

    async def _first_leg(self, asked: Asked, plan: Strategy, saver: Saver, *, tokens: bool) -> Leg:
        """Return how a run begins; where the thread holds an unfinished run of the same, how that one goes on."""
        found = await find_run(asked.thread_id, self.services, saver) if asked.named else None
        if (
            found is not None
            and is_unfinished(found[1])
            and is_run_of(state := cast("State", found[1].values), asked, plan)
        ):
            await check_to_come(state, asked.context, self.services)
            graph, start = found[0], None
        else:
            layout = tuple(tuple(group) for group in plan["layout"])
            gates = gates_in(layout, known_gates(asked.context.approve))
            graph, start = over(build(layout, self.services, gates=gates), saver), asked.input
        config = config_of(asked.thread_id, self.settings, plan)
        return Leg(
            graph=graph, config=config, start=start, context=asked.context.planned(plan), tokens=tokens
        )


@lru_cache(maxsize=1)
def get_multi_model_executor() -> MultiModelExecutor:
    """Return the executor of this process, made from the environment on first use."""
    return MultiModelExecutor(services=default_services())


async def _result(events: AsyncGenerator[ProgressEvent, None]) -> MultiModelResult:
    """Return the result with which a stream of events ends."""
    result = [event["result"] async for event in events if event["event"] == "finished"]
    return result[-1]
