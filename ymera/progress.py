"""What a person sees while a run is under way: a table that moves on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from .report import MEGABYTE, Spent, console, cost_text, fallback_text, fault_text, spent
from .terminal import harmless

if TYPE_CHECKING:
    from .events import ProgressEvent
    from .nodes.weights_sources import Progress as Step
    from .nodes.weights_sources import Report
    from .results import MultiModelResult
    from .routing.attempts import Attempt
    from .routing.records import Strategy

RowState = Literal["waiting", "running", "answered", "failed", "skipped"]


class Progress(Protocol):
    """A view of a run: entered while it lasts, and told of every event."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def tell(self, event: ProgressEvent) -> None:
        """Take in what has happened."""
        ...


class Silent:
    """A view for `--quiet`: nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def tell(self, event: ProgressEvent) -> None:
        """Keep silent."""


@dataclass(kw_only=True)
class PlainLines(Silent):
    """A view for logs and pipes: a line for each attempt, for each phase passed by, and for each download."""

    out: Console
    downloading: dict[str, bool] = field(default_factory=dict)

    def tell(self, event: ProgressEvent) -> None:
        """Print the line of an event that has one."""
        match event["event"]:
            case "planned":
                for line in _plan_lines(event["strategy"]):
                    self._print(line)
            case "download":
                self._download(event)
            case "waiting":
                self._print(f"{event['phase']}: {_waiting(event)}")
            case "rematched":
                self._print(f"{event['phase']}: {_rematched(event)}")
            case "detour":
                self._print(f"{event['phase']}: {_detour(event)}")
            case "draining":
                self._print(_draining(event))
            case "attempt_started" if event.get("again"):
                self._print(f"{event['phase']}: {_name(event)} again")
            case "attempt_started" if event["fallback"]:
                self._print(f"{event['phase']}: fallback no. {event['fallback']}: {_name(event)}")
            case "attempt_ended":
                self._print(_attempt_line(event["attempt"]))
            case "finished":
                for name, reason in event["result"].skipped_phases.items():
                    self._print(f"{name}: {reason}")

    def _download(self, event: ProgressEvent) -> None:
        model, done, total = event["model"], event["done_bytes"], event["total_bytes"]
        if model not in self.downloading:
            self.downloading[model] = False
            self._print(f"{model}: fetching {total / MEGABYTE:.0f} MB of weights, once")
        if done >= total and not self.downloading[model]:
            self.downloading[model] = True
            self._print(f"{model}: weights are here")

    def _print(self, line: str) -> None:
        self.out.print(Text(harmless(line)), soft_wrap=True)


def _name(event: ProgressEvent) -> str:
    return f"{event['provider']}:{event['model']}"


def _waiting(event: ProgressEvent) -> str:
    """Say for what a phase waits, and how long where that is known."""
    seconds = event["seconds"]
    return f"waiting {event['why']}" if seconds is None else f"waiting {seconds:.1f} s {event['why']}"


def _rematched(event: ProgressEvent) -> str:
    return f"matched again: {event['why']}"


def _detour(event: ProgressEvent) -> str:
    return f"{event['way']}: {event['why']}"


def _draining(event: ProgressEvent) -> str:
    seconds = event["seconds"] or 0.0
    return f"Stopping: calls in hand may end within {seconds:g} s. Another Ctrl-C stops at once."


def _plan_lines(plan: Strategy) -> list[str]:
    return [f"plan: {plan['strategy_type']}: {plan['reason']}", *(f"warning: {w}" for w in plan["warnings"])]


def _attempt_line(attempt: Attempt) -> str:
    if not attempt["ok"]:
        return f"{attempt['phase']}: failed after {attempt['seconds']:.1f} s: {fault_text(attempt)}"
    tokens = attempt["usage"]["input_tokens"] + attempt["usage"]["output_tokens"]
    name = f"{attempt['provider']}:{attempt['model']}"
    return (
        f"{attempt['phase']}: {name} answered in {attempt['seconds']:.1f} s, "
        f"{tokens} tokens, {cost_text(spent([attempt]))}"
    )


@dataclass(kw_only=True)
class Row:
    """What is known of a phase so far. `streamed` counts the pieces of the answer that is being written."""

    phase: str
    state: RowState = "waiting"
    model: str = ""
    provider: str = ""
    began: float = 0.0
    streamed: int = 0
    notes: list[str] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)

    def start(self, event: ProgressEvent) -> None:
        """Begin an attempt."""
        self.state, self.began, self.streamed = "running", time.monotonic(), 0
        self.model, self.provider = event["model"], event["provider"]

    def end(self, attempt: Attempt) -> None:
        """Take in an attempt that ended."""
        self.attempts.append(attempt)
        self.model, self.provider = attempt["model"], attempt["provider"]
        self.state = "answered" if attempt["ok"] else "failed"
        if not attempt["ok"]:
            self.notes.append(fallback_text(attempt))

    @property
    def seconds(self) -> float:
        """Seconds of all attempts, the one under way too."""
        running = time.monotonic() - self.began if self.state == "running" else 0.0
        return running + sum(attempt["seconds"] for attempt in self.attempts)

    @property
    def tokens(self) -> str:
        """Tokens of all attempts; about as many as pieces came in while one is under way."""
        counted = sum(a["usage"]["input_tokens"] + a["usage"]["output_tokens"] for a in self.attempts)
        return f"~{counted + self.streamed}" if self.state == "running" else str(counted)

    @property
    def cost(self) -> Spent:
        """Money of the attempts that ended."""
        return spent(self.attempts)


@dataclass(kw_only=True)
class Board:
    """The rows of all phases, and what is being fetched, as events told of them."""

    rows: dict[str, Row] = field(default_factory=dict)
    downloads: dict[str, tuple[int, int]] = field(default_factory=dict)

    def tell(self, event: ProgressEvent) -> None:
        """Take in what has happened."""
        match event["event"]:
            case "planned":
                self.rows |= {p["phase"]: Row(phase=p["phase"]) for p in event["strategy"]["phases"]}
            case "download":
                self.downloads[event["model"]] = (event["done_bytes"], event["total_bytes"])
            case "waiting":
                self._row(event["phase"]).notes.append(_waiting(event))
            case "rematched":
                self._row(event["phase"]).notes.append(_rematched(event))
            case "detour":
                self._row(event["phase"]).notes.append(_detour(event))
            case "attempt_started":
                self._row(event["phase"]).start(event)
            case "token":
                self._row(event["phase"]).streamed += 1
            case "attempt_ended":
                self._row(event["attempt"]["phase"]).end(event["attempt"])
            case "finished":
                self._finish(event["result"])

    def _row(self, phase: str) -> Row:
        return self.rows.setdefault(phase, Row(phase=phase))

    def _finish(self, result: MultiModelResult) -> None:
        for name, reason in result.skipped_phases.items():
            row = self._row(name)
            row.state, row.notes = "skipped", [reason]

    def view(self) -> RenderableType:
        """Return the table as it stands now."""
        table = Table(box=None, pad_edge=False, header_style="bold")
        for heading in ("phase", "model", "provider", "state"):
            table.add_column(heading, overflow="fold")
        for heading in ("seconds", "tokens", "cost"):
            table.add_column(heading, justify="right", no_wrap=True)
        table.add_column("", overflow="fold", ratio=1)
        for row in list(self.rows.values()):
            table.add_row(*(Text(harmless(text)) for text in _cells(row)))
        parts = [table] if self.rows else []
        return Group(*parts, *(_bar(model, *bytes_) for model, bytes_ in list(self.downloads.items())))


def _cells(row: Row) -> tuple[str, ...]:
    notes = "\n".join(row.notes)
    if row.state in ("waiting", "skipped"):
        return (row.phase, "", "", row.state, "", "", "", notes)
    cost = cost_text(row.cost) if row.attempts else ""
    return (row.phase, row.model, row.provider, row.state, f"{row.seconds:.1f}", row.tokens, cost, notes)


def _bar(model: str, done: int, total: int) -> RenderableType:
    line = Table.grid(padding=(0, 1))
    bar = ProgressBar(total=max(total, 1), completed=done, width=30)
    told = f"{done / MEGABYTE:.0f} of {total / MEGABYTE:.0f} MB"
    line.add_row(Text(harmless(f"fetching {model}")), bar, told)
    return line


class LiveTable:
    """A view for terminals: a row for each phase, drawn anew eight times a second.

    Args:
        out: the console of the terminal.
        keep: leave the table there when the run has ended.
    """

    def __init__(self, out: Console, *, keep: bool) -> None:
        self._board = Board()
        self._out = out
        self._live = Live(
            console=out, get_renderable=self._board.view, refresh_per_second=8, transient=not keep
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def tell(self, event: ProgressEvent) -> None:
        """Take in what has happened; the warnings of the plan are printed above the table."""
        self._board.tell(event)
        if event["event"] == "draining":
            self._out.print(Text(_draining(event)))
        if event["event"] == "planned":
            for line in _plan_lines(event["strategy"]):
                self._out.print(Text(harmless(line)))


def progress_on(out: Console, *, quiet: bool, keep: bool) -> Progress:
    """Return the view that suits the console on which it is shown."""
    if quiet:
        return Silent()
    return LiveTable(out, keep=keep) if out.is_terminal else PlainLines(out=out)


@contextmanager
def fetching(*, quiet: bool) -> Iterator[Report]:
    """Show the steps of a fetch outside a run, as they would be shown in one."""
    with progress_on(console(stderr=True), quiet=quiet, keep=True) as progress:

        def report(step: Step) -> None:
            progress.tell(
                {
                    "event": "download",
                    "model": step.name,
                    "done_bytes": step.done_bytes,
                    "total_bytes": step.total_bytes,
                }
            )

        yield report
