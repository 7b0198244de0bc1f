"""One run from the command line: watched, interruptible, and told as an answer, a table or a document."""

from __future__ import annotations

import asyncio
import shlex
import signal
import sqlite3
import threading
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import typer

from .exits import FAILED, OUT_OF_BUDGET, SUCCESS, Interrupted
from .progress import Progress, progress_on
from .report import answer_view, console, put, result_view
from .routing.errors import InputError
from .terminal import print_json, say

if TYPE_CHECKING:
    from .events import ProgressEvent
    from .executor import MultiModelExecutor
    from .results import MultiModelResult


@dataclass(frozen=True, kw_only=True)
class Show:
    """How a run is shown.

    Args:
        as_json: the result as one document on the standard output, and nothing else there.
        quiet: the answer alone, without progress and table.
        output: the file that takes the answer.
        again: options that the run needs again when it is resumed.
    """

    as_json: bool = False
    quiet: bool = False
    output: Path | None = None
    again: tuple[str, ...] = ()


@dataclass(kw_only=True)
class _Watch:
    """What is known of a run while it lasts: its thread, and whether there is something to resume."""

    executor: MultiModelExecutor
    progress: Progress
    thread_id: str
    begun: bool = False
    again: tuple[str, ...] = ()

    async def follow(self, events: AsyncGenerator[ProgressEvent, None]) -> MultiModelResult:
        """Show the events and return the result, which the last of them carries."""
        last: ProgressEvent = {}
        task = asyncio.current_task()
        with _signals_cancel(task):
            async with self.executor, aclosing(events) as stream:
                with self.progress as progress:
                    async for last in stream:
                        self._note(last)
                        progress.tell(last)
        return last["result"]

    def _note(self, event: ProgressEvent) -> None:
        if event["event"] == "started":
            self.thread_id = event["thread_id"]
        # Only the step behind the plan proves that the plan is kept.
        self.begun = self.begun or event["event"] == "attempt_started"

    @property
    def interruption(self) -> str:
        """What to tell whoever interrupted the run."""
        if not self.begun:
            return "Interrupted before the run had begun: there is nothing to resume. Start it again."
        return f"Interrupted. Resume with: {shlex.join(['ymera', 'resume', self.thread_id, *self.again])}"


def carry_out(
    executor: MultiModelExecutor,
    events: AsyncGenerator[ProgressEvent, None],
    show: Show,
    *,
    thread_id: str | None,
    begun: bool,
) -> int:
    """Carry out a run of the executor, show it, and return the exit code.

    `thread_id` is the run's thread where the caller named it; `begun` says that it holds a run already.

    Raises:
        Interrupted: by SIGINT or SIGTERM; a second one ends the process at once.
        InputError: the checkpoint file is of no use, or the answer's file cannot be written.
    """
    out = console(stderr=True)
    progress = progress_on(out, quiet=show.quiet, keep=not console().is_terminal)
    watch = _Watch(
        executor=executor, progress=progress, thread_id=thread_id or "", begun=begun, again=show.again
    )
    try:
        with asyncio.Runner() as runner:
            result = runner.run(watch.follow(events))
    except (KeyboardInterrupt, asyncio.CancelledError):
        raise Interrupted(watch.interruption) from None
    except sqlite3.Error as error:
        raise InputError(
            f"The checkpoint file cannot be used: {error}. "
            "Move it away, or name another with YMERA_CHECKPOINTS."
        ) from error
    return _tell(result, show)


@contextmanager
def _signals_cancel(task: asyncio.Task[Any] | None) -> Iterator[None]:
    """Let the first SIGINT or SIGTERM cancel a task; the second one ends the process, as it would have."""
    if task is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = task.get_loop()

    def cancel(number: int, _: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        loop.call_soon_threadsafe(task.cancel)

    # A program started in the background by a shell has SIGINT ignored: that stays.
    heeded = [n for n in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(n) is not signal.SIG_IGN]
    before = {number: signal.signal(number, cancel) for number in heeded}
    try:
        yield
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is cancel:  # where it is not, the process is about to end
                signal.signal(number, handler)


def _tell(result: MultiModelResult, show: Show) -> int:
    written = _write_answer(result, show.output)
    if show.as_json:
        print_json(asdict(result))
    else:
        _print(result, show, answer=not written)
    return _judge(result)


def _write_answer(result: MultiModelResult, output: Path | None) -> bool:
    """Write the answer of a run that succeeded; the answer of another one is no answer to rely on."""
    if output is None or not result.success:
        return False
    try:
        output.write_text(f"{result.final_result}\n", encoding="utf-8", errors="replace")
    except OSError as error:
        kept = shlex.join(["ymera", "resume", result.thread_id])
        raise InputError(f"The answer cannot be written: {error}. It is kept: {kept}") from error
    say(f"Answer written to {output}")
    return True


def _print(result: MultiModelResult, show: Show, *, answer: bool) -> None:
    if answer and result.final_result is not None:
        text = str(result.final_result)
        if console().is_terminal:
            put(answer_view(text))
        else:
            typer.echo(text)
    if not show.quiet:
        put(result_view(result, width=console().width))


def _judge(result: MultiModelResult) -> int:
    """Say what is wrong with a run, and return the exit code."""
    if result.success:
        return SUCCESS
    kept = " What stands above is its result so far." if result.final_result is not None else ""
    if result.stopped_by_budget:
        say(f"Stopped by the budget: {result.stopped_by_budget}.{kept}")
        return OUT_OF_BUDGET
    say(result.error or f"The run ended without success.{kept}")
    return FAILED
