"""The runs of a batch in this process."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from .asked import check_models
from .batch import LeftUnfinishedError, Spend
from .batch_tasks import BatchTask
from .events import ProgressEvent
from .executor import MultiModelExecutor
from .nodes.availability import EMBEDDED
from .nodes.match import wishes_of
from .nodes.state import RunContext
from .results import MultiModelResult
from .routing.errors import InputError, NoRunError, RunInterrupted
from .routing.matcher import TaskRequest
from .routing.records import Strategy


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is asked of all tasks of a batch whose lines say nothing else.

    Args:
        context: fields of `RunContext`.
    """

    agent: str
    phases: list[str] | None
    context: Mapping[str, Any]

    def agent_of(self, task: BatchTask) -> str:
        """Return the agent that a task is for."""
        return task.agent or self.agent

    def phases_of(self, task: BatchTask) -> list[str] | None:
        """Return the phases of a task; None: those of its agent."""
        return self.phases if task.phases is None else task.phases

    def context_of(self, task: BatchTask) -> RunContext:
        """Return the settings of a task's run.

        Raises:
            InputError: a field is wrong.
        """
        try:
            context = RunContext.model_validate({**self.context, **task.context})
        except ValidationError as error:
            faults = (
                f"{'.'.join(map(str, e['loc']))}: {e['msg']} (got {e['input']!r:.80})" for e in error.errors()
            )
            raise InputError(f'"context": {"; ".join(faults)}.') from None
        if context.approve:
            raise InputError('"context": approve: nobody is asked in a batch. Leave it out.')
        return context


@dataclass(kw_only=True)
class Here:
    """Runs through an executor of this process."""

    executor: MultiModelExecutor
    asked: Asked
    _stopped: bool = False

    def context(self, task: BatchTask) -> RunContext:
        """Return the settings of a task's run."""
        return self.asked.context_of(task)

    async def run(
        self, task: BatchTask, thread_id: str, context: RunContext, spend: Spend
    ) -> MultiModelResult:
        """Run a task on a thread, or go on with what is there, or return what was finished there."""
        last: ProgressEvent = {}
        try:
            async with aclosing(self._events(task, thread_id, context)) as events:
                async for last in events:
                    if last["event"] == "attempt_ended":
                        usage = last["attempt"]["usage"]
                        spend(usage["cost_usd"], usage["input_tokens"] + usage["output_tokens"])
        except RunInterrupted:
            raise LeftUnfinishedError from None
        return last["result"]

    async def stop(self) -> None:
        """Drain the runs."""
        self._stopped = True
        await self.executor.drain()

    def kept_open(self) -> MultiModelExecutor:
        """Keep open what the runs share, and close it in the end."""
        return self.executor

    async def _events(
        self, task: BatchTask, thread_id: str, context: RunContext
    ) -> AsyncGenerator[ProgressEvent, None]:
        try:
            async with aclosing(self.executor.stream_resumed(thread_id, context, tokens=False)) as events:
                async for event in events:
                    yield event
            return
        except NoRunError:
            pass  # the usual case: it has not been begun
        if self._stopped:
            raise LeftUnfinishedError
        await self.executor.matcher.ready()  # the first tasks of a batch are planned as its last ones
        new = self.executor.stream(
            self.asked.agent_of(task),
            task.task,
            task.parameters,
            self.asked.phases_of(task),
            context=context,
            thread_id=thread_id,
            use_cache=False,  # the result file and the threads are the batch's memory
            tokens=False,
        )
        async with aclosing(new) as events:
            async for event in events:
                yield event


def checker(place: Here, planned: Callable[[Strategy], object]) -> Callable[[BatchTask], None]:
    """Return a check of tasks: whether they can be run here. Each kind of task is planned once.

    Args:
        planned: is told of each plan.
    """
    executor, asked, seen = place.executor, place.asked, set[bytes]()

    def check(task: BatchTask) -> None:
        context = asked.context_of(task)
        kind = [asked.agent_of(task), asked.phases_of(task), context.model_dump_json()]
        digest = hashlib.sha256(repr(kind).encode()).digest()
        if digest in seen:
            return
        request = TaskRequest(
            agent_name=asked.agent_of(task),
            description=task.task,
            parameters=task.parameters,
            phases=asked.phases_of(task),
        )
        plan = executor.matcher.strategy(request, wishes_of(context, executor.services))
        check_models(plan, executor.matcher.catalogue)
        seen.add(digest)
        planned(plan)

    return check


def is_embedded(plan: Strategy) -> bool:
    """Say whether a plan begins a phase with a model that runs in this process."""
    first = [phase["primary_model"] for phase in plan["phases"] if phase["primary_model"]]
    return any(choice["provider"] == EMBEDDED for choice in first)
