"""Many tasks at once: so many at a time, within one budget, each finished once however often the batch is started."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

from .batch_results import NO_MODEL, Job, Outcome, ResultFile, Totals, failure_of, not_run
from .batch_tasks import BatchTask
from .exits import FAILED, OUT_OF_BUDGET, SUCCESS
from .routing.errors import InputError, NoUsableModelError, ResumeError, WeightsError, YmeraError

if TYPE_CHECKING:
    from .nodes.state import RunContext
    from .results import MultiModelResult

KINDS: dict[type[YmeraError], str] = {
    NoUsableModelError: NO_MODEL,
    WeightsError: "no_weights",
    ResumeError: "not_resumable",
    InputError: "bad_input",
}
"""What the failures are called of tasks for which no run had begun."""
INTERRUPTED: Literal["interrupted"] = "interrupted"

Spend = Callable[[float, int], None]
"""Takes in what a run has spent since the last time: USD, tokens."""


class LeftUnfinishedError(Exception):
    """A run was given up for now; its thread goes on with it at the next start."""


class PlaceGoneError(Exception):
    """No run can be made any more for now; the message says why."""


class Place(Protocol):
    """Where the runs of a batch are made."""

    def context(self, task: BatchTask) -> RunContext:
        """Return the settings of a task's run."""
        ...

    async def run(
        self, task: BatchTask, thread_id: str, context: RunContext, spend: Spend
    ) -> MultiModelResult:
        """Run a task on a thread, or go on with what is there, or return what was finished there.

        Raises:
            YmeraError: no run could begin.
            LeftUnfinishedError: the place was told to stop.
            PlaceGoneError: neither this task nor another can be run for now.
        """
        ...

    async def stop(self) -> None:
        """Let no run begin another step."""
        ...

    def kept_open(self) -> AbstractAsyncContextManager[object]:
        """Keep open what the runs share, and close it in the end."""
        ...


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """How much is done at once, and in all. None: any amount.

    Args:
        jobs: tasks under way at a time.
        usd, tokens: of the whole batch, earlier starts included.
        retry_failed: tasks whose run ended without success are run again.
    """

    jobs: int
    usd: float | None = None
    tokens: int | None = None
    retry_failed: bool = False


@dataclass(kw_only=True)
class Report:
    """How a batch stands.

    Args:
        tasks: in the file.
        done: what became of those that are finished, earlier starts included.
        earlier: how many were finished by earlier starts.
        paid: what all lines of the result file add up to.
        stopped_by_budget: the sentence that says which limit stopped the batch, if one did.
        interrupted: why it stopped before its end; None: it did not.
    """

    tasks: int
    done: Totals = field(default_factory=Totals)
    earlier: int = 0
    running: int = 0
    paid: Totals = field(default_factory=Totals)
    seconds: float = 0.0
    stopped_by_budget: str | None = None
    interrupted: str | None = None

    @property
    def finished(self) -> int:
        """How many tasks are finished."""
        return self.done.succeeded + self.done.failed

    @property
    def left(self) -> int:
        """How many tasks have no result yet."""
        return self.tasks - self.finished

    @property
    def exit_code(self) -> int:
        """How a command ends whose batch was not interrupted."""
        if self.stopped_by_budget and self.left:
            return OUT_OF_BUDGET
        return FAILED if self.done.failed or self.left else SUCCESS


@dataclass(kw_only=True)
class _Running:
    """A run under way: what it may spend at most where that is known, and what it has spent since this start."""

    usd_cap: float | None
    tokens_cap: int | None
    usd: float = 0.0
    tokens: int = 0

    @classmethod
    def of(cls, context: RunContext) -> _Running:
        """Return a run that is about to begin with these settings."""
        return cls(usd_cap=context.budget_usd, tokens_cap=context.budget_tokens)


Held = tuple[float | None, float, list[tuple[float | None, float]]]
"""Of a budget: its bound, what is paid, and of each run under way what it may spend at most and has spent."""
Room = Literal["yes", "wait", "no"]


def room(
    bound: float | None, paid: float, running: list[tuple[float | None, float]], cap: float | None
) -> Room:
    """Say whether another run fits into a budget.

    Args:
        paid: by runs that are over.
        running: of each run under way, what it may spend at most and what it has spent.
        cap: what the new one may spend at most; where that is not known, it fits while anything is left.
    """
    if bound is None:
        return "yes"
    reserved = sum(spent if most is None else max(most, spent) for most, spent in running)
    fits = paid + reserved < bound if cap is None else paid + reserved + cap <= bound
    if fits:
        return "yes"
    # What is reserved and not spent comes back when those runs are over.
    returns = any(most is not None and spent < most for most, spent in running)
    return "wait" if returns else "no"


def exceeded(bound: float | None, paid: float, running: list[tuple[float | None, float]]) -> bool:
    """Say whether runs, some without a budget of their own, have spent what the batch may."""
    if bound is None or all(most is not None for most, _ in running):
        return False
    return paid + sum(spent for _, spent in running) >= bound


class View(Protocol):
    """What a person sees of a batch."""

    def finished(self, job: Job, result: MultiModelResult, failure: str | None) -> None:
        """Take in that a task is finished."""
        ...


@dataclass(kw_only=True)
class Batch:
    """The tasks of one file on their way into one result file.

    Args:
        name: of the batch: the threads are named after it.
        tasks: those of the file.
    """

    name: str
    tasks: Iterator[BatchTask]
    results: ResultFile
    place: Place
    bounds: Bounds
    report: Report
    view: View
    _running: dict[str, _Running] = field(default_factory=dict)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _writing: asyncio.Lock = field(default_factory=asyncio.Lock)
    _moved: asyncio.Event = field(default_factory=asyncio.Event)
    _closed: bool = False
    _stopping: asyncio.Task[None] | None = None

    async def run(self) -> Report:
        """Run what is not finished, and return how the batch stands then.

        Raises:
            OSError: the result file cannot be written.
        """
        clock = time.monotonic()
        workers = [asyncio.create_task(self._work()) for _ in range(self.bounds.jobs)]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
            if self._stopping is not None:
                await self._stopping
        self.report.seconds = time.monotonic() - clock
        return self.report

    def interrupt(self, why: str = "Interrupted.") -> None:
        """Begin no other task, and give up those under way at their next step; call it on the event loop."""
        self.report.interrupted = self.report.interrupted or why
        self._stop()

    def _stop(self) -> None:
        if self._stopping is None:
            self._stopping = asyncio.create_task(self.place.stop())
        self._close()

    def _close(self) -> None:
        """Begin no other task; those under way go on."""
        self._closed = True
        self._moved.set()

    async def _work(self) -> None:
        while (job := await self._next()) is not None:
            await self._carry_out(job)

    async def _next(self) -> Job | None:
        """Return the next task that may begin; None where no other will."""
        async with self._turn:
            job = await self._unfinished()
            if job is None or not await self._has_room(running := _Running.of(self.place.context(job.task))):
                return None
            self._running[job.task.key] = running
            self.report.running += 1
            return job

    async def _unfinished(self) -> Job | None:
        while (
            self._stopping is None and (task := await asyncio.to_thread(next, self.tasks, None)) is not None
        ):
            trial = trial_of(self.results.earlier.get(task.key), self.bounds)
            if trial is not None:
                return Job(task=task, trial=trial)
        return None

    async def _has_room(self, new: _Running) -> bool:
        """Say whether a run may begin, waiting for others to end where that depends on what they leave."""
        while not self._closed:
            rooms = {
                room(*held, cap)
                for held, cap in zip(self._held(), (new.usd_cap, new.tokens_cap), strict=True)
            }
            if rooms == {"yes"}:
                return True
            if "no" in rooms:
                self.report.stopped_by_budget = self._why()
                self._close()
            else:
                self._moved.clear()
                await self._moved.wait()
        return False

    def _held(self) -> tuple[Held, Held]:
        """Return how much of the batch's USD and tokens is paid and reserved."""
        paid, running = self.results.paid, self._running.values()
        return (
            (self.bounds.usd, paid.usd, [(run.usd_cap, run.usd) for run in running]),
            (self.bounds.tokens, paid.tokens, [(run.tokens_cap, run.tokens) for run in running]),
        )

    async def _carry_out(self, job: Job) -> None:
        running = self._running[job.task.key]

        def spend(usd: float, tokens: int) -> None:
            running.usd += usd
            running.tokens += tokens
            self._watch_budget()

        try:
            result, failure = await self._result(job, spend)
            async with self._writing:
                await asyncio.to_thread(self.results.append, job, result, failure)
            self.report.done.count(failure)
            self.view.finished(job, result, failure)
        except LeftUnfinishedError:
            # No line says it yet; the one that will, at another start, counts these too.
            self.results.paid.usd += running.usd
            self.results.paid.tokens += running.tokens
        except PlaceGoneError as error:
            self.interrupt(str(error))
        finally:
            del self._running[job.task.key]
            self.report.running -= 1
            self._moved.set()

    async def _result(self, job: Job, spend: Spend) -> tuple[MultiModelResult, str | None]:
        """Return what came of a task, and the kind of what went wrong."""
        context = self.place.context(job.task)
        try:
            result = await self.place.run(job.task, job.task.thread(self.name, job.trial), context, spend)
        except YmeraError as error:
            kind = next(kind for type_, kind in KINDS.items() if isinstance(error, type_))
            return not_run(str(error)), kind
        return result, failure_of(result)

    def _watch_budget(self) -> None:
        """Stop where runs that have no budget of their own have spent what the batch may."""
        if self._stopping is None and any(exceeded(*held) for held in self._held()):
            self.report.stopped_by_budget = self._why()
            self._stop()

    def _why(self) -> str:
        """Return the sentence that says which limit stopped the batch."""
        (most_usd, usd, runs), (most_tokens, tokens, _) = self._held()
        usd += sum(spent for _, spent in runs)
        said = [] if most_usd is None else [f"${usd:.4f} of ${most_usd:.4f} are spent"]
        said += [] if most_tokens is None else [f"{tokens} of {most_tokens} tokens are spent"]
        return f"{' and '.join(said)}; what is left is not enough for another task"


def trial_of(outcome: Outcome | None, bounds: Bounds) -> int | None:
    """Return which trial of a task has to be made; None where it is finished."""
    if outcome is None:
        return 0
    if outcome.failure is not None and bounds.retry_failed:
        return outcome.trial + 1
    return None if outcome.ran else outcome.trial


def meet(tasks: Iterator[BatchTask], results: ResultFile, bounds: Bounds, report: Report) -> None:
    """Count the tasks that earlier starts have finished."""
    for task in tasks:
        outcome = results.earlier.get(task.key)
        if outcome is not None and trial_of(outcome, bounds) is None:
            report.done.count(outcome.failure)
            report.earlier += 1
