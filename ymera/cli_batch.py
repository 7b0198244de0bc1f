"""The command that runs many tasks."""

# Typer makes a command of a function's parameters: hence functions with more of them than five.

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from .exits import Interrupted
from .inputs import check_providers, read_names, settings_with
from .options import (
    Agent,
    AroundRefusals,
    AsJson,
    Attempts,
    BudgetSeconds,
    BudgetTokens,
    BudgetUsd,
    CatalogueFile,
    Hedge,
    Model,
    Phases,
    Provider,
    Quiet,
    Strategy,
    Strict,
    Temperature,
    Timeout,
    Verbose,
)
from .routing.errors import InputError
from .signals import first_signal
from .terminal import print_json, say, show_logs

if TYPE_CHECKING:
    from .batch import Batch, Bounds, Place, Report
    from .batch_here import Asked
    from .batch_tasks import BatchTask
    from .routing.records import Strategy as Plan

DEFAULT_AGENT = "coding_agent"
DEFAULT_ATTEMPTS = 4
DEFAULT_JOBS = 8
MOST_JOBS = 1000

TasksFile: TypeAlias = Annotated[
    Path,
    typer.Argument(
        metavar="TASKS", exists=True, dir_okay=False, help='One JSON object a line: {"task": "Say hello"}.'
    ),
]
Jobs: TypeAlias = Annotated[
    int, typer.Option("--jobs", "-j", min=1, max=MOST_JOBS, help="Tasks under way at a time.")
]
Results: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="Result file, a JSON document a line; without it, TASKS with the ending .results.jsonl.",
    ),
]
Name: TypeAlias = Annotated[
    str | None,
    typer.Option(
        help="Name of the batch: its threads are named after it; without it, the result file's path."
    ),
]
BatchUsd: TypeAlias = Annotated[
    float | None, typer.Option(min=0, help="USD after which the whole batch stops.")
]
BatchTokens: TypeAlias = Annotated[
    int | None, typer.Option(min=1, help="Tokens after which the whole batch stops.")
]
RetryFailed: TypeAlias = Annotated[
    bool, typer.Option("--retry-failed", help="Run the tasks again whose runs ended without success.")
]
Server: TypeAlias = Annotated[
    str | None,
    typer.Option(metavar="URL", help="Run the tasks on this Agent Protocol server instead of here."),
]
Assistant: TypeAlias = Annotated[
    str | None,
    typer.Option(help="The server's assistant that runs the tasks; without it, that of each task's agent."),
]


def batch(
    tasks: TasksFile,
    output: Results = None,
    jobs: Jobs = DEFAULT_JOBS,
    name: Name = None,
    retry_failed: RetryFailed = False,
    batch_usd: BatchUsd = None,
    batch_tokens: BatchTokens = None,
    server: Server = None,
    assistant: Assistant = None,
    agent: Agent = DEFAULT_AGENT,
    phases: Phases = None,
    strategy: Strategy = None,
    model: Model = None,
    provider: Provider = None,
    budget_usd: BudgetUsd = None,
    budget_tokens: BudgetTokens = None,
    budget_seconds: BudgetSeconds = None,
    attempts: Attempts = DEFAULT_ATTEMPTS,
    timeout: Timeout = None,
    hedge: Hedge = False,
    around_refusals: AroundRefusals = False,
    temperature: Temperature = 0.0,
    strict: Strict = None,
    catalogue: CatalogueFile = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    verbose: Verbose = 0,
) -> None:
    """Run many tasks, so many at a time; the same command again goes on."""
    show_logs(verbose)
    results = _result_file(tasks, output)

    from .batch import Bounds
    from .batch_here import Asked

    asked = Asked(
        agent=agent,
        phases=read_names(phases),
        context={
            "strategy": strategy,
            "model": model,
            "providers": provider or [],
            "attempts": attempts,
            "phase_timeout": timeout,
            "budget_usd": budget_usd,
            "budget_tokens": budget_tokens,
            "budget_seconds": budget_seconds,
            "hedge": hedge,
            "route_around_refusals": around_refusals,
            "temperature": temperature,
            "strict": strict,
        },
    )
    bounds = Bounds(jobs=jobs, usd=batch_usd, tokens=batch_tokens, retry_failed=retry_failed)
    if server is None:
        place, check = _here(asked, catalogue, jobs)
    else:
        place, check = _there(asked, server, assistant, catalogue)
    order = Order(tasks=tasks, output=results, name=name or str(results.resolve()), bounds=bounds)
    report = carry_out(order, place, check, quiet=quiet)
    _tell(report, results, as_json=as_json, quiet=quiet)
    raise typer.Exit(report.exit_code)


@dataclass(frozen=True, kw_only=True)
class Order:
    """What a batch is to do, and under which name."""

    tasks: Path
    output: Path
    name: str
    bounds: Bounds


def _result_file(tasks: Path, output: Path | None) -> Path:
    path = tasks.with_suffix(".results.jsonl") if output is None else output
    if path.is_dir() or not path.parent.is_dir():
        raise InputError(f"The results cannot go to {str(path)!r}: name a file in a folder that exists.")
    if path.exists() and path.samefile(tasks):
        raise InputError(f"The results cannot go to {str(path)!r}: that is the file of the tasks.")
    return path


def _here(asked: Asked, catalogue: Path | None, jobs: int) -> tuple[Place, Callable[[BatchTask], None]]:
    """Return this process as the place where the runs are made, and its check of the tasks."""
    from .batch_here import Here, checker, is_embedded
    from .executor import MultiModelExecutor
    from .nodes.embedded import SLOTS

    executor = MultiModelExecutor(settings_with(catalogue))
    check_providers(asked.context["providers"], executor.matcher.catalogue.providers)
    told: list[Plan] = []

    def planned(plan: Plan) -> None:
        if jobs > SLOTS and not told and is_embedded(plan):
            told.append(plan)
            say(
                f"The embedded models work on this machine's processor, {SLOTS} answers at a time: "
                f"{jobs} jobs do no harm, and are no faster than {SLOTS}."
            )

    place = Here(executor=executor, asked=asked)
    return place, checker(place, planned)


def _there(
    asked: Asked, url: str, assistant: str | None, catalogue: Path | None
) -> tuple[Place, Callable[[BatchTask], None]]:
    """Return a server as the place where the runs are made, and its check of the tasks."""
    import asyncio

    from .batch_server import There, checker, connect, known_assistants

    if catalogue is not None:
        raise InputError(
            "--catalogue does not go with --server: the server has its own. Leave one of them out."
        )
    known = asyncio.run(known_assistants(url))
    place = There(client=connect(url), url=url, asked=asked, assistant=assistant)
    return place, checker(place, known)


def carry_out(order: Order, place: Place, check: Callable[[BatchTask], None], *, quiet: bool) -> Report:
    """Check the tasks, run what is not finished, and return how the batch stands.

    Raises:
        InputError: tasks are faulty, or a file is of no use.
        Interrupted: by SIGINT or SIGTERM; a second one ends the process at once.
    """
    import asyncio

    from .batch import Batch, Report, meet
    from .batch_results import open_results
    from .batch_tasks import check_tasks, read_tasks
    from .batch_view import batch_progress, summary_lines
    from .report import console

    report = Report(tasks=check_tasks(order.tasks, check))
    with open_results(order.output) as results:
        report.paid = results.paid
        if results.earlier:
            meet(read_tasks(order.tasks), results, order.bounds, report)
        with batch_progress(console(stderr=True), report, quiet=quiet) as view:
            batch = Batch(
                name=order.name,
                tasks=read_tasks(order.tasks),
                results=results,
                place=place,
                bounds=order.bounds,
                report=report,
                view=view,
            )
            asyncio.run(_watched(batch))
    if report.interrupted:
        lines = [
            *summary_lines(report, str(order.output)),
            f"{report.interrupted} Go on with: {_same_command()}",
        ]
        raise Interrupted("\n".join(lines))
    return report


def _same_command() -> str:
    return shlex.join(["ymera", *sys.argv[1:]])


async def _watched(batch: Batch) -> None:
    """Run a batch that the first SIGINT or SIGTERM interrupts; the second one ends the process."""
    import asyncio

    loop = asyncio.get_running_loop()
    async with batch.place.kept_open():
        with first_signal(lambda: loop.call_soon_threadsafe(batch.interrupt)):
            await batch.run()


def _tell(report: Report, output: Path, *, as_json: bool, quiet: bool) -> None:
    from .batch_view import summary, summary_lines

    if report.stopped_by_budget:
        say(
            f"Stopped by the batch's budget: {report.stopped_by_budget}. The same command goes on with a larger one."
        )
    if as_json:
        print_json(summary(report, str(output)))
    elif not quiet:
        typer.echo("\n".join(summary_lines(report, str(output))))
