"""What a person sees of a batch: a bar on a terminal, a line for each task elsewhere, and the sum at the end."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from .batch import Report
from .batch_results import Job, Totals
from .report import Spent, cost_text
from .results import MultiModelResult
from .terminal import harmless


@dataclass(kw_only=True)
class SilentBatch:
    """A view for `--quiet`: nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def finished(self, job: Job, result: MultiModelResult, failure: str | None) -> None:
        """Keep silent."""


@dataclass(kw_only=True)
class BatchLines(SilentBatch):
    """A view for logs and pipes: a line for each task that is finished."""

    out: Console
    report: Report

    def finished(self, job: Job, result: MultiModelResult, failure: str | None) -> None:
        """Print the task's line."""
        line = f"{self.report.finished}/{self.report.tasks} {_line(job, result, failure)}"
        self.out.print(Text(harmless(line)), soft_wrap=True)


class BatchBar:
    """A view for terminals: how far the batch is, drawn anew four times a second; failures stand above it."""

    def __init__(self, out: Console, report: Report) -> None:
        self._out, self._report = out, report
        self._live = Live(console=out, get_renderable=self._bar, refresh_per_second=4, transient=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def finished(self, job: Job, result: MultiModelResult, failure: str | None) -> None:
        """Print a task that failed."""
        if failure is not None:
            self._out.print(Text(harmless(_line(job, result, failure))))

    def _bar(self) -> RenderableType:
        report = self._report
        line = Table.grid(padding=(0, 1))
        bar = ProgressBar(total=max(report.tasks, 1), completed=report.finished, width=30)
        told = f"{report.finished}/{report.tasks}, {report.running} running, {report.done.failed} failed"
        line.add_row(bar, f"{told}, {report.paid.tokens} tokens, {paid_text(report.paid)}")
        return line


BatchProgress = SilentBatch | BatchBar


def batch_progress(out: Console, report: Report, *, quiet: bool) -> BatchProgress:
    """Return the view that suits the console on which it is shown."""
    if quiet:
        return SilentBatch()
    return BatchBar(out, report) if out.is_terminal else BatchLines(out=out, report=report)


def _line(job: Job, result: MultiModelResult, failure: str | None) -> str:
    if failure is not None:
        why = result.stopped_by_budget or result.error or "the run ended without a result"
        return f"{job.task.id}: {failure}: {why}"
    return (
        f"{job.task.id}: succeeded in {result.total_execution_time:.1f} s, {result.total_tokens_used} tokens, "
        f"{_cost(result.total_cost, known=result.cost_known, estimated=result.cost_estimated)}"
    )


def paid_text(paid: Totals) -> str:
    """Return what a batch has cost, in words."""
    return _cost(paid.usd, known=paid.cost_known, estimated=paid.cost_estimated)


def _cost(usd: float, *, known: bool, estimated: bool) -> str:
    return cost_text(Spent(usd=usd, unpriced=int(not known), estimated=int(estimated), at_home=False))


def summary(report: Report, output: str) -> dict[str, Any]:
    """Return the sum of a batch as `--json` prints it."""
    return {
        "success": report.exit_code == 0 and not report.interrupted,
        "tasks": report.tasks,
        "succeeded": report.done.succeeded,
        "failed": report.done.failed,
        "left": report.left,
        "finished_earlier": report.earlier,
        "failures": dict(report.done.failures.most_common()),
        "total_cost": round(report.paid.usd, 8),
        "cost_known": report.paid.cost_known,
        "cost_estimated": report.paid.cost_estimated,
        "total_tokens_used": report.paid.tokens,
        "total_execution_time": round(report.seconds, 4),
        "stopped_by_budget": report.stopped_by_budget,
        "output": output,
    }


def summary_lines(report: Report, output: str) -> list[str]:
    """Return the sum of a batch as a person reads it."""
    done, earlier = report.done, f" ({report.earlier} by earlier starts)" if report.earlier else ""
    lines = [
        f"{report.tasks} tasks: {done.succeeded} succeeded, {done.failed} failed{earlier}, {report.left} left; "
        f"{report.paid.tokens} tokens, {paid_text(report.paid)}, {report.seconds:.1f} s"
    ]
    lines += [f"  {kind}: {count}" for kind, count in done.failures.most_common()]
    return [*lines, f"Results: {output}"]
