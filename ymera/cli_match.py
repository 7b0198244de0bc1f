"""The commands that show who would do a task, without running it."""

# Typer makes a command of a function's parameters: hence functions with more of them than five.

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import typer

from .exits import NO_MODEL, SUCCESS
from .inputs import check_providers, read_names, read_parameters, read_task, settings_with
from .options import (
    DEFAULT_AGENT,
    DEFAULT_ATTEMPTS,
    Agent,
    AsJson,
    Attempts,
    BudgetUsd,
    CatalogueFile,
    LeastQuality,
    Model,
    MostSeconds,
    MostUsd,
    Param,
    Params,
    Phases,
    Provider,
    Rounds,
    Strategy,
    Strict,
    Task,
    Thrift,
    Verbose,
)
from .terminal import print_json, say, show_logs

if TYPE_CHECKING:
    from .nodes.matching import AgentModelMatcher
    from .routing.matcher import TaskRequest, Wishes
    from .routing.records import Strategy as Plan


def match(
    task: Task,
    agent: Agent = DEFAULT_AGENT,
    param: Param = None,
    params: Params = None,
    phases: Phases = None,
    strategy: Strategy = None,
    model: Model = None,
    provider: Provider = None,
    thrift: Thrift = None,
    most_usd: MostUsd = None,
    most_seconds: MostSeconds = None,
    least_quality: LeastQuality = None,
    rounds: Rounds = None,
    budget_usd: BudgetUsd = None,
    attempts: Attempts = DEFAULT_ATTEMPTS,
    strict: Strict = None,
    catalogue: CatalogueFile = None,
    as_json: AsJson = False,
    verbose: Verbose = 0,
) -> None:
    """Show who would do a task, and why."""
    show_logs(verbose)
    import asyncio

    from .nodes.matching import AgentModelMatcher
    from .routing.matcher import TaskRequest

    matcher = AgentModelMatcher(settings_with(catalogue))
    check_providers(provider or [], matcher.catalogue.providers)
    wishes = replace(
        matcher.wishes,
        strategy=strategy or matcher.wishes.strategy,
        model=model,
        providers=tuple(provider or []),
        usd=budget_usd,
        thrift=matcher.wishes.thrift if thrift is None else thrift,
        most_usd=most_usd,
        most_seconds=most_seconds,
        least_quality=least_quality,
        rounds=matcher.wishes.rounds if rounds is None else rounds,
        attempts=attempts,
        strict=matcher.wishes.strict if strict is None else strict,
        free=not (strategy or model or provider or attempts != DEFAULT_ATTEMPTS)
        and all(each is None for each in (thrift, rounds, most_usd, most_seconds, least_quality)),
    )
    request = TaskRequest(
        agent_name=agent,
        description=read_task(task),
        parameters=read_parameters(params, param or []),
        phases=read_names(phases),
    )
    plan = asyncio.run(_chosen(matcher, request, wishes))
    if as_json:
        print_json(plan)
    else:
        from .report import put, strategy_view

        put(strategy_view(plan, every=verbose > 0))
    for warning in plan["warnings"]:
        say(f"warning: {warning}")
    unmanned = [
        phase["phase"] for phase in plan["phases"] if phase["critical"] and phase["primary_model"] is None
    ]
    if unmanned:
        say(f"No usable model for {', '.join(unmanned)}. `ymera models` says what it takes to use each.")
    raise typer.Exit(NO_MODEL if unmanned else SUCCESS)


async def _chosen(matcher: AgentModelMatcher, request: TaskRequest, wishes: Wishes) -> Plan:
    await matcher.ready()
    return await matcher.choose(request, wishes)


async def _read(matcher: AgentModelMatcher, request: TaskRequest) -> TaskRequest:
    await matcher.ready()
    await matcher.look()
    read, _ = await matcher.read(request)
    return read


def frontier(
    task: Task,
    agent: Agent = DEFAULT_AGENT,
    param: Param = None,
    params: Params = None,
    phases: Phases = None,
    strategy: Strategy = None,
    provider: Provider = None,
    catalogue: CatalogueFile = None,
    as_json: AsJson = False,
) -> None:
    """Show the plans for a task from the best to the cheapest, as predicted."""
    show_logs(0)
    import asyncio

    from .nodes.matching import AgentModelMatcher
    from .routing.matcher import TaskRequest

    matcher = AgentModelMatcher(settings_with(catalogue))
    check_providers(provider or [], matcher.catalogue.providers)
    request = TaskRequest(
        agent_name=agent,
        description=read_task(task),
        parameters=read_parameters(params, param or []),
        phases=read_names(phases),
    )
    request = asyncio.run(_read(matcher, request))
    wishes = replace(
        matcher.wishes,
        strategy=strategy or matcher.wishes.strategy,
        providers=tuple(provider or []),
    )
    points = matcher.front(request, wishes)
    if as_json:
        print_json([asdict(point) for point in points])
    else:
        from .report import front_view, put

        put(front_view(points))
