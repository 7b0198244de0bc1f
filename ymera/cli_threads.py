"""The commands on threads: what is kept, what happened, and how else it might have gone on."""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, TypeVar

import typer

from .inputs import read_age, read_text, settings_with
from .options import AsJson, CatalogueFile, EditOutput, Quiet, Temperature, TheModel, Verbose
from .routing.errors import InputError
from .terminal import harmless, print_json, say, show_logs

if TYPE_CHECKING:
    from .nodes.services import Services

Made = TypeVar("Made")
OneThread: TypeAlias = Annotated[
    str, typer.Argument(metavar="THREAD", help="A thread (see `ymera threads`).")
]

threads_app = typer.Typer(rich_markup_mode=None)


@threads_app.callback(invoke_without_command=True)
def threads(
    ctx: typer.Context,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="So many of the latest.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List the threads that are kept; show, delete or prune them."""
    show_logs(0)
    if ctx.invoked_subcommand:
        if as_json:
            raise InputError(
                f"--json stands behind the command: ymera threads {ctx.invoked_subcommand} --json."
            )
        return
    from .threads import list_threads

    listed = _done(list_threads(_services(None), limit))
    if as_json:
        print_json([asdict(thread) for thread in listed])
    elif not listed:
        say("No thread is kept.")
    else:
        from .report import put
        from .thread_views import threads_view

        put(threads_view(listed))


@threads_app.command()
def show(thread: OneThread, as_json: AsJson = False) -> None:
    """Show what is kept of a thread, and its run's result."""
    from .threads import open_thread, summary_of

    services = _services(None)

    async def look() -> Any:
        summary = await summary_of(thread, services)
        async with open_thread(thread, services) as opened:
            return summary, opened.result

    summary, result = _done(look())
    if as_json:
        print_json({**asdict(summary), "result": asdict(result)})
        return
    from .report import console, put, result_view
    from .thread_views import thread_lines

    for line in thread_lines(summary):
        typer.echo(harmless(line))
    put(result_view(result, width=console().width))


@threads_app.command()
def delete(
    thread: Annotated[list[str], typer.Argument(metavar="THREAD…", help="Threads to delete.")],
    as_json: AsJson = False,
) -> None:
    """Delete threads with all that is kept of them."""
    from .threads import delete_threads

    _done(delete_threads(thread, _services(None)))
    if as_json:
        print_json({"deleted": thread})
    else:
        say(f"Deleted: {', '.join(thread)}")


@threads_app.command()
def prune(
    older_than: Annotated[
        str | None, typer.Option(metavar="AGE", help="Threads not written for so long: 12h, 30d, 4w.")
    ] = None,
    keep: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="All but so many of the latest.")
    ] = None,
    max_bytes: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="All but the latest that fit into so many bytes.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Delete old threads; none that was written within the last hour."""
    from .routing.retention import Keep
    from .threads import prune_threads

    limits = Keep(seconds=read_age(older_than), threads=keep, bytes=max_bytes)
    if limits == Keep():
        raise InputError(
            "Say which threads are to go: --older-than 30d, --keep 100, --max-bytes 500000000, or several of them."
        )
    gone = _done(prune_threads(limits, _services(None)))
    if as_json:
        print_json({"deleted": [asdict(thread) for thread in gone]})
    else:
        say(f"Deleted {len(gone)} thread(s), {sum(thread.bytes for thread in gone)} bytes.")


def history(thread: OneThread, as_json: AsJson = False) -> None:
    """Show what happened on a thread, step by step."""
    show_logs(0)
    from .time_travel import history as history_of

    steps = _done(history_of(thread, _services(None)))
    if as_json:
        print_json([asdict(step) for step in steps])
    else:
        from .report import put
        from .thread_views import history_view

        put(history_view(steps))


def compare(
    thread: OneThread,
    other: Annotated[str, typer.Argument(metavar="OTHER", help="Another thread.")],
    as_json: AsJson = False,
) -> None:
    """Show what differs between the runs of two threads."""
    show_logs(0)
    _show_comparison(thread, other, _services(None), as_json=as_json)


def fork(
    thread: OneThread,
    at: Annotated[
        str, typer.Option(metavar="PHASE", help="The phase from which on the fork goes its own way.")
    ],
    model: TheModel = None,
    edit: EditOutput = None,
    into: Annotated[
        str | None, typer.Option("--thread", metavar="NEW", help="The name of the new thread.")
    ] = None,
    temperature: Temperature = 0.0,
    catalogue: CatalogueFile = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    verbose: Verbose = 0,
) -> None:
    """Run a thread again from a phase on, with another model or output, and compare the two."""
    show_logs(verbose)
    from .executor import MultiModelExecutor
    from .nodes.state import RunContext
    from .running import Show, Start, judge, run_through
    from .time_travel import Change
    from .time_travel import fork as make_fork

    executor = MultiModelExecutor(settings_with(catalogue))
    change = Change(model=model, output=read_text(edit, "--edit"))
    new = _done(make_fork(thread, at, executor.services, change, into=into))
    context = RunContext(temperature=temperature)
    start = Start(thread_id=new, begun=True, context=context)
    show = Show(as_json=as_json, quiet=quiet)
    result = run_through(executor, executor.stream_resumed(new, context), show, start)
    _show_comparison(thread, new, executor.services, as_json=as_json)
    raise typer.Exit(judge(result))


def _show_comparison(thread: str, other: str, services: Services, *, as_json: bool) -> None:
    from .time_travel import compare as compare_both

    comparison = _done(compare_both(thread, other, services))
    if as_json:
        print_json(asdict(comparison))
    else:
        from .report import put
        from .thread_views import comparison_view

        put(comparison_view(comparison))


def _services(catalogue: CatalogueFile) -> Services:
    from .nodes.services import make_services

    return make_services(settings_with(catalogue))


def _done(work: Coroutine[Any, Any, Made]) -> Made:
    import asyncio

    return asyncio.run(work)
