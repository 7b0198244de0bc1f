"""The commands on outcomes: what is known of models, what a person says of a run, and outcomes as files."""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, TypeVar

import typer

from .inputs import settings_with
from .options import AsJson, CatalogueFile
from .terminal import print_json, say, show_logs

if TYPE_CHECKING:
    from .nodes.services import Services

OutcomeFile: TypeAlias = Annotated[
    Path, typer.Argument(metavar="FILE", help="A file whose name ends with .jsonl or .parquet.")
]

Made = TypeVar("Made")

outcomes_app = typer.Typer(rich_markup_mode=None)


@outcomes_app.callback(invoke_without_command=True)
def outcomes(ctx: typer.Context, catalogue: CatalogueFile = None, as_json: AsJson = False) -> None:
    """Show what was measured of the models; export and import outcomes."""
    show_logs(0)
    if ctx.invoked_subcommand:
        return
    from .measured import measured_of

    found = _done(measured_of(_services(catalogue)))
    if as_json:
        print_json([asdict(each) for each in found])
    elif found:
        from .measured import measured_view
        from .report import put

        put(measured_view(found))
    else:
        say("No outcomes yet: a review's verdict makes some, and so does `ymera feedback`.")


@outcomes_app.command("export")
def export_outcomes(file: OutcomeFile, as_json: AsJson = False) -> None:
    """Write the outcomes of all calls into a file."""
    from .outcome_files import check_kind, write_rows

    check_kind(file)
    rows = _done(_services(None).outcomes.rows())
    write_rows(file, rows)
    _told("exported", len(rows), as_json)


@outcomes_app.command("import")
def import_outcomes(file: OutcomeFile, as_json: AsJson = False) -> None:
    """Take in the outcomes of a file; those that are known already are passed over."""
    from .outcome_files import read_rows

    taken = _done(_services(None).outcomes.take_in(read_rows(file)))
    _told("imported", taken, as_json)


def feedback(
    run: Annotated[str, typer.Argument(metavar="RUN", help="The run's id: `run_id` of its result.")],
    score: Annotated[float, typer.Argument(metavar="SCORE", help="From 0 (useless) to 1 (as it should be).")],
    comment: Annotated[str, typer.Option(metavar="TEXT", help="Why; kept beside the score.")] = "",
    as_json: AsJson = False,
) -> None:
    """Say how good a run's result was: the next runs are planned with it."""
    show_logs(0)
    _done(_services(None).outcomes.rate(run, score, comment))
    if as_json:
        print_json({"run_id": run, "score": score, "comment": comment})
    else:
        say(f"Noted: {score:g} for run {run}.")


def _told(done: str, count: int, as_json: bool) -> None:
    if as_json:
        print_json({done: count})
    else:
        say(f"{count} outcomes {done}.")


def _services(catalogue: Path | None) -> Services:
    from .nodes.services import make_services

    return make_services(settings_with(catalogue))


def _done(work: Coroutine[Any, Any, Made]) -> Made:
    import asyncio

    return asyncio.run(work)
