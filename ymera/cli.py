"""The command line. Whatever is slow to import is imported inside the command that needs it."""

# Typer makes a command of a function's parameters: hence functions with more of them than five.

from __future__ import annotations

import atexit
import gc
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .answers import read_options
from .cli_batch import batch
from .cli_match import frontier, match
from .cli_models import models_app
from .cli_outcomes import feedback, outcomes_app
from .cli_threads import compare, fork, history, threads_app
from .cli_trial import trial
from .exits import FAILED, SUCCESS, Commands
from .inputs import (
    check_output,
    check_providers,
    read_names,
    read_parameters,
    read_task,
    read_text,
    settings_with,
)
from .options import (
    DEFAULT_AGENT,
    DEFAULT_ATTEMPTS,
    Agent,
    AnotherModel,
    AnswerWith,
    Approve,
    AroundRefusals,
    AsJson,
    Attempts,
    BudgetSeconds,
    BudgetTokens,
    BudgetUsd,
    CatalogueFile,
    EditWith,
    Hedge,
    LeastQuality,
    Model,
    MostSeconds,
    MostUsd,
    NoCache,
    Note,
    Output,
    Param,
    Params,
    Phases,
    Probe,
    ProbeTimeout,
    Provider,
    Quiet,
    Rounds,
    Strategy,
    Strict,
    Task,
    Temperature,
    Thread,
    Thrift,
    Timeout,
    Verbose,
    Why,
)
from .routing.approvals import known_gates
from .terminal import print_json, show_logs

if TYPE_CHECKING:
    from .nodes.state import RunContext
    from .routing.records import AgentTaskProfile

app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    rich_markup_mode=None,  # plain help: rich would double the time that --help takes
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help="Run one task through several language models, each phase on the model that suits it best.",
    epilog=(
        "Exit codes: 0 success, 1 the run ended without success, 2 bad input or settings, 3 no usable model, "
        "4 stopped by a budget, 75 interrupted and resumable."
    ),
)
app.add_typer(models_app, name="models")
app.add_typer(threads_app, name="threads")
app.add_typer(outcomes_app, name="outcomes")

COLLECT_AFTER = 50_000
"""New objects after which Python looks for garbage, in place of 700 (2,000 in newer ones): nearly all that a command
makes until it begins stays to its end, and is looked through in vain again and again."""


def main() -> None:
    """Run the command line, as the console script does."""
    gc.set_threshold(COLLECT_AFTER)
    atexit.register(gc.freeze)  # registered first, it comes last: what is left then ends with the process
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="replace")
    # As Ctrl-C, until a run heeds both: what was not begun is not worth more than a word.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    _keep(sys.argv[1:2])
    app(prog_name="ymera")


def _keep(asked: Sequence[str]) -> None:
    """Leave the app none but the command that is asked for: Typer makes all ready that there are, each in its turn."""
    commands = [each for each in app.registered_commands if each.callback and each.callback.__name__ in asked]
    groups = [each for each in app.registered_groups if each.name in asked]
    if commands or groups:
        app.registered_commands, app.registered_groups = commands, groups


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"ymera {version('ymera')}")
        raise typer.Exit


@app.callback()
def _ymera(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Take the options that stand before a command."""


@app.command()
def run(
    task: Task,
    agent: Agent = DEFAULT_AGENT,
    param: Param = None,
    params: Params = None,
    phases: Phases = None,
    thread: Thread = None,
    strategy: Strategy = None,
    model: Model = None,
    provider: Provider = None,
    thrift: Thrift = None,
    most_usd: MostUsd = None,
    most_seconds: MostSeconds = None,
    least_quality: LeastQuality = None,
    rounds: Rounds = None,
    budget_usd: BudgetUsd = None,
    budget_tokens: BudgetTokens = None,
    budget_seconds: BudgetSeconds = None,
    attempts: Attempts = DEFAULT_ATTEMPTS,
    timeout: Timeout = None,
    hedge: Hedge = False,
    around_refusals: AroundRefusals = False,
    approve: Approve = None,
    temperature: Temperature = 0.0,
    strict: Strict = None,
    no_cache: NoCache = False,
    catalogue: CatalogueFile = None,
    output: Output = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    verbose: Verbose = 0,
) -> None:
    """Run a task: its answer, then who did what."""
    show_logs(verbose)
    check_output(output)
    description, parameters = read_task(task), read_parameters(params, param or [])
    settings = settings_with(catalogue)

    from .executor import MultiModelExecutor
    from .nodes.state import RunContext
    from .running import Show, Start, carry_out

    executor = MultiModelExecutor(settings)
    check_providers(provider or [], executor.matcher.catalogue.providers)
    context = RunContext(
        strategy=strategy,
        model=model,
        providers=provider or [],
        attempts=attempts,
        phase_timeout=timeout,
        thrift=thrift,
        most_usd=most_usd,
        most_seconds=most_seconds,
        least_quality=least_quality,
        rounds=rounds,
        budget_usd=budget_usd,
        budget_tokens=budget_tokens,
        budget_seconds=budget_seconds,
        hedge=hedge,
        route_around_refusals=around_refusals,
        temperature=temperature,
        strict=strict,
        approve=list(known_gates(read_names(approve) or [])),
    )
    events = executor.stream(
        agent,
        description,
        parameters,
        read_names(phases),
        context=context,
        thread_id=thread,
        use_cache=not no_cache,
    )
    show = Show(as_json=as_json, quiet=quiet, output=output, again=_again(catalogue, output, context))
    raise typer.Exit(carry_out(executor, events, show, Start(thread_id=thread, begun=False, context=context)))


def _again(catalogue: CatalogueFile, output: Output, context: RunContext) -> tuple[str, ...]:
    """Return the options that a run needs again when it is resumed."""
    given = {"--catalogue": catalogue, "--temperature": context.temperature or None, "--output": output}
    flags = {"--hedge": context.hedge, "--around-refusals": context.route_around_refusals}
    words = [word for name, value in given.items() if value is not None for word in (name, str(value))]
    return (*words, *(name for name, wanted in flags.items() if wanted))


@app.command()
def resume(
    thread: Annotated[
        str, typer.Argument(metavar="THREAD", help="The thread that the interrupted run named.")
    ],
    answer: AnswerWith = None,
    edit: EditWith = None,
    note: Note = None,
    model: AnotherModel = None,
    why: Why = None,
    hedge: Hedge = False,
    around_refusals: AroundRefusals = False,
    temperature: Temperature = 0.0,
    catalogue: CatalogueFile = None,
    output: Output = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    verbose: Verbose = 0,
) -> None:
    """Go on with an interrupted run, or with one that waits for an answer."""
    show_logs(verbose)
    check_output(output)
    text = read_text(edit, "--edit")
    answered = read_options(answer, {"text": text, "note": note, "model": model, "why": why})
    settings = settings_with(catalogue)

    from .executor import MultiModelExecutor
    from .nodes.state import RunContext
    from .running import Show, Start, carry_out

    context = RunContext(temperature=temperature, hedge=hedge, route_around_refusals=around_refusals)
    executor = MultiModelExecutor(settings)
    events = executor.stream_resumed(thread, context, answer=answered)
    show = Show(as_json=as_json, quiet=quiet, output=output, again=_again(catalogue, output, context))
    raise typer.Exit(carry_out(executor, events, show, Start(thread_id=thread, begun=True, context=context)))


@app.command()
def agents(catalogue: CatalogueFile = None, as_json: AsJson = False) -> None:
    """List the agents with their phases."""
    show_logs(0)
    from .nodes.matching import load_catalogue

    listed = [_agent(profile) for profile in load_catalogue(settings_with(catalogue)).agents.values()]
    if as_json:
        print_json(listed)
    else:
        from .report import agents_view, put

        put(agents_view(listed))


def _agent(profile: AgentTaskProfile) -> dict[str, Any]:
    return {
        "agent_name": profile.agent_name,
        "task_type": profile.task_type,
        "description": profile.description,
        "phases": [str(phase) for phase in profile.phases_needed],
        "preferred_models": list(profile.preferred_models),
        "can_use_multiple_models": profile.can_use_multiple_models,
        "requirements": dict(profile.requirements),
        "checks": list(profile.checks),
    }


@app.command()
def graph(
    agent: Agent = DEFAULT_AGENT,
    phases: Phases = None,
    approve: Approve = None,
    xray: Annotated[bool, typer.Option("--xray", help="Show what is inside each node.")] = False,
    catalogue: CatalogueFile = None,
    as_json: AsJson = False,
) -> None:
    """Draw an agent's workflow (Mermaid)."""
    show_logs(0)
    settings = settings_with(catalogue)

    from .graphs.workflow import build
    from .nodes.services import make_services
    from .routing.layout import arrange
    from .routing.matcher import find_agent, find_phases
    from .routing.task import PLAIN

    services = make_services(settings)
    known = services.matcher.catalogue
    profile, _ = find_agent(agent, known, strict=True)
    found = find_phases(read_names(phases), profile, known)
    layout, _ = arrange(found, profile, PLAIN, parallel=settings.max_parallel_phases)
    gates = known_gates(read_names(approve) or [])
    compiled = build(layout, services, agent, gates=gates).compile(name=agent)
    drawing = compiled.get_graph(xray=xray).draw_mermaid()
    if as_json:
        print_json(
            {"agent": profile.agent_name, "phases": [phase.name for phase in found], "mermaid": drawing}
        )
    else:
        typer.echo(drawing)


@app.command()
def doctor(probe: Probe = False, probe_timeout: ProbeTimeout = 20.0, as_json: AsJson = False) -> None:
    """Check keys, settings, models and files."""
    show_logs(0)
    from .doctor import examine

    examination = examine()
    findings = examination.findings
    if probe and examination.matcher:
        from .probe import probe_providers

        findings = findings + probe_providers(examination.matcher, probe_timeout)
    if as_json:
        print_json(
            {"ok": all(f.ok is not False for f in findings), "findings": [asdict(f) for f in findings]}
        )
    else:
        from .report import findings_view, put

        put(findings_view(findings))
    raise typer.Exit(SUCCESS if all(finding.ok is not False for finding in findings) else FAILED)


for _command in (match, frontier, batch, history, fork, compare, feedback, trial):
    app.command()(_command)
