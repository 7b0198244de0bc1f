"""One run from the command line: watched, interruptible, and told as an answer, a table or a document."""

from __future__ import annotations

import asyncio
import shlex
import sqlite3
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from .answers import commands
from .asking import ask, can_ask, told
from .exits import FAILED, INTERRUPTED, OUT_OF_BUDGET, SUCCESS, Interrupted
from .progress import Progress, progress_on
from .report import answer_view, console, put, result_view
from .routing.errors import InputError, RunInterrupted
from .signals import first_signal
from .terminal import harmless, print_json, say

if TYPE_CHECKING:
    from .events import ProgressEvent
    from .executor import MultiModelExecutor
    from .nodes.state import RunContext
    from .results import MultiModelResult
    from .routing.approvals import Question


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


@dataclass(frozen=True, kw_only=True)
class Start:
    """Where a run stands when the command begins.

    Args:
        thread_id: its thread, where the caller named it.
        begun: the thread holds a run already.
        context: the run's settings, which count again behind each answer of a person.
    """

    thread_id: str | None
    begun: bool
    context: RunContext


async def _follow(
    executor: MultiModelExecutor, events: AsyncGenerator[ProgressEvent, None], progress: Progress
) -> MultiModelResult:
    """Show the events and return the result, which the last of them carries."""
    last: ProgressEvent = {}
    call_soon = asyncio.get_running_loop().call_soon_threadsafe
    with first_signal(lambda: call_soon(executor.request_drain)):
        async with executor, aclosing(events) as stream:
            with progress:
                async for last in stream:
                    progress.tell(last)
    return last["result"]


def _interruption(thread_id: str, show: Show, *, resumable: bool) -> str:
    """Return what to tell whoever interrupted a run."""
    if not resumable:
        return "Interrupted before the run had begun: there is nothing to resume. Start it again."
    return f"Interrupted. Resume with: {shlex.join(['ymera', 'resume', thread_id, *show.again])}"


def carry_out(
    executor: MultiModelExecutor,
    events: AsyncGenerator[ProgressEvent, None],
    show: Show,
    start: Start,
) -> int:
    """Carry out a run of the executor, show it, and return the exit code. Raises what `run_through` does."""
    result = run_through(executor, events, show, start)
    with first_signal(lambda: None):  # it has come to its end: that is told
        return _tell(result, show)


def run_through(
    executor: MultiModelExecutor,
    events: AsyncGenerator[ProgressEvent, None],
    show: Show,
    start: Start,
) -> MultiModelResult:
    """Carry out a run of the executor, show its progress, and return its result.

    Where the run waits for a person and one is there, they are asked and the run goes on.

    Raises:
        Interrupted: by SIGINT or SIGTERM; a second one ends the process at once.
        InputError: the checkpoint file is of no use, or the answer's file cannot be written.
    """
    result = _carried_out(executor, events, show, start)
    while result.waiting and not show.as_json and can_ask():
        try:
            answer = ask(result.waiting, executor.settings.editor)
            if answer is None:
                break
            events = executor.stream_resumed(result.thread_id, start.context, answer=answer)
            start = replace(start, thread_id=result.thread_id, begun=True)
            result = _carried_out(executor, events, show, start)
        except InputError as error:  # the answer was none, and the run waits as before
            say(f"{error}\n")
    return result


def _carried_out(
    executor: MultiModelExecutor,
    events: AsyncGenerator[ProgressEvent, None],
    show: Show,
    start: Start,
) -> MultiModelResult:
    progress = progress_on(console(stderr=True), quiet=show.quiet, keep=not console().is_terminal)
    try:
        with asyncio.Runner() as runner:
            if not start.begun:
                runner.run(executor.matcher.ready())
            return runner.run(_follow(executor, events, progress))
    except RunInterrupted as stop:
        raise Interrupted(_interruption(stop.thread_id, show, resumable=stop.resumable)) from None
    except KeyboardInterrupt:  # before the first signal is heeded
        raise Interrupted(_interruption(start.thread_id or "", show, resumable=start.begun)) from None
    except sqlite3.Error as error:
        raise InputError(
            f"The checkpoint file cannot be used: {error}. "
            "Move it away, or name another with YMERA_CHECKPOINTS."
        ) from error


def _tell(result: MultiModelResult, show: Show) -> int:
    if result.waiting:
        return _tell_waiting(result, result.waiting, show)
    written = _write_answer(result, show.output)
    if show.as_json:
        print_json(asdict(result))
    else:
        _print(result, show, answer=not written)
    return judge(result)


def _tell_waiting(result: MultiModelResult, asked: Question, show: Show) -> int:
    """Show what a run asks that waits, and the commands that answer."""
    if show.as_json:
        print_json(asdict(result))
    elif not can_ask():  # who has just been asked has seen it
        for line in told(asked):
            typer.echo(harmless(line))
    return judge(result, show.again)


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


def judge(result: MultiModelResult, again: Sequence[str] = ()) -> int:
    """Say what is wrong with a run, or how it goes on, and return the exit code."""
    if result.waiting:
        say("The run waits for an answer:")
        for command in commands(result.waiting, result.thread_id, again):
            say(f"  {command}")
        return INTERRUPTED
    if result.success:
        return SUCCESS
    kept = " What stands above is its result so far." if result.final_result is not None else ""
    if result.stopped_by_budget:
        say(f"Stopped by the budget: {result.stopped_by_budget}.{kept}")
        return OUT_OF_BUDGET
    say(result.error or f"The run ended without success.{kept}")
    return FAILED
