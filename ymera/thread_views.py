"""How threads, their history and comparisons look to a person."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.syntax import Syntax
from rich.text import Text

from .report import console, dollars, table_of, verdict_lines
from .terminal import harmless

if TYPE_CHECKING:
    from .results import MultiModelResult
    from .threads import ThreadSummary
    from .time_travel import Comparison, HistoryStep


def threads_view(threads: Sequence[ThreadSummary]) -> RenderableType:
    """Return threads, one a row."""
    table = table_of()
    table.add_column("thread", overflow="fold", ratio=1)
    table.add_column("status", no_wrap=True)
    table.add_column("started", width=10)
    for thread in threads:
        cost = _cost(thread.cost if thread.cost_known else None, thread.cost)
        about = f"{thread.thread_id}\n{thread.agent}: {thread.task}" if thread.agent else thread.thread_id
        table.add_row(*map(_cell, (about, f"{thread.status}\n{cost}", _when(thread.started))))
    return table


def thread_lines(thread: ThreadSummary) -> list[str]:
    """Return what is known of one thread besides its result."""
    held = f"{thread.checkpoints} checkpoints, {thread.bytes} bytes"
    return [
        f"Thread {thread.thread_id}: {thread.status}. {thread.agent}: {thread.task}",
        f"Started {_when(thread.started)}, last written {_when(thread.last)}, {held}",
    ]


def history_view(steps: Sequence[HistoryStep]) -> RenderableType:
    """Return what happened on a thread, one step a row."""
    table = table_of()
    table.add_column("time", width=10)
    table.add_column("step", overflow="fold")
    table.add_column("took", justify="right", no_wrap=True)
    table.add_column("what came of it", overflow="fold", ratio=1)
    for step in steps:
        table.add_row(*map(_cell, _history_row(step)))
    return table


def _history_row(step: HistoryStep) -> tuple[str, ...]:
    name = {"plan": "match", "answer": f"approve_{step.name}", "stop": "abort"}.get(step.what, step.attempt)
    came = "\n".join([step.detail, *verdict_lines(step.verdict), step.checkpoint])
    if step.what != "attempt":
        return (_when(step.at), name, "", came)
    cost = "inherited" if step.inherited else _cost(step.cost, 0.0)
    took = f"{step.seconds:.1f} s\n{step.tokens} tokens\n{cost}"
    return (_when(step.at), f"{name}\n{step.model}", took, came)


def comparison_view(comparison: Comparison) -> RenderableType:
    """Return two runs side by side: who did what, what was decided, the sums, and what differs in the result."""
    table = table_of("")
    for result in comparison.results:
        table.add_column(harmless(result.thread_id), overflow="fold", ratio=1)
    for phase, models in comparison.models.items():
        table.add_row(*map(_cell, (phase, *(model or "–" for model in models))))
    for phase, verdicts in comparison.verdicts.items():
        table.add_row(*map(_cell, (f"verdict of {phase}", *(verdict or "–" for verdict in verdicts))))
    for name, cells in _sums(comparison.results).items():
        table.add_row(*map(_cell, (name, *cells)))
    return Group(table, *_diff(comparison.diff))


def _sums(results: tuple[MultiModelResult, MultiModelResult]) -> dict[str, list[str]]:
    return {
        "outcome": [_outcome(result) for result in results],
        "cost": [_paid(result) for result in results],
        "seconds": [f"{result.total_execution_time:.1f}" for result in results],
        "tokens": [str(result.total_tokens_used) for result in results],
    }


def _outcome(result: MultiModelResult) -> str:
    if result.waiting:
        return f"waits for an answer to the {result.waiting['gate']}"
    return "succeeded" if result.success else result.error or result.stopped_by_budget or "unfinished"


def _paid(result: MultiModelResult) -> str:
    own = _cost(result.total_cost if result.cost_known else None, result.total_cost)
    origin = result.forked_from
    return f"{own}, and {dollars(origin['usage']['cost_usd'])} inherited" if origin else own


def _diff(diff: str) -> list[RenderableType]:
    if not diff:
        return [Text("The final results are the same.")]
    shown = harmless(diff)
    return [Syntax(shown, "diff", theme="ansi_dark") if console().is_terminal else Text(shown)]


def _cost(known: float | None, at_least: float) -> str:
    if known is None:
        return f"≥ {dollars(at_least)}" if at_least else "unknown"
    return dollars(known)


def _when(at: float) -> str:
    return datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M:%S") if at else "–"


def _cell(text: str) -> Text:
    return Text(harmless(text))
