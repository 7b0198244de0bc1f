"""A plan in a world that has changed since: who was lost to a phase that is still to come is replaced today."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

from ..routing.catalogue import Catalogue
from ..routing.domains import settled
from ..routing.errors import NoUsableModelError, ResumeError
from ..routing.flow import answer_of, key_of, next_turn, passed_by
from ..routing.matcher import TaskRequest, Wishes
from ..routing.records import Candidate, Dial, ModelProfile, PhasePlan, Strategy
from .availability import EMBEDDED
from .services import Services
from .state import RunContext, State, Wanted, view


async def why_lost(candidate: Candidate, model: ModelProfile | None, services: Services) -> str | None:
    """Return why a model of the plan can no longer be called; None where it can.

    Args:
        model: the candidate in the catalogue of today.
    """
    key = key_of(candidate)
    if model is None:
        return f"{key} is no longer in the catalogue"
    today = datetime.now(UTC).date()
    if model.is_retired(today):
        return services.matcher.catalogue.resolve(key, today).reason or f"{key} is retired"
    # Of an embedded model, the weights are looked for on the disk.
    asked = partial(services.matcher.unavailable, model)
    why = await asyncio.to_thread(asked) if model.provider == EMBEDDED else asked()
    return f"{key}: {why}" if why else None


def as_catalogued(plan: PhasePlan, catalogue: Catalogue) -> PhasePlan:
    """Return the plan of a phase with what the catalogue of today says of it.

    Raises:
        ResumeError: the catalogue no longer has the phase, and the run cannot do without it.
    """
    profile = catalogue.phases.get(plan["phase"])
    if profile is None:
        return _without(plan)
    return {
        **plan,
        "critical": profile.critical,
        "skipped_when_accepted": profile.skipped_when_accepted,
    }


def _without(plan: PhasePlan) -> PhasePlan:
    why = f"the phase {plan['phase']!r} is no longer in the catalogue"
    if plan["critical"]:
        raise ResumeError(
            f"The run cannot go on: {why}. Resume it with the catalogue with which it began (YMERA_CATALOGUE), "
            "or run the task again."
        )
    return {**plan, "primary_model": None, "fallback_models": [], "reason": why}


async def match_again(
    state: State, phase: str, why: str, context: RunContext, services: Services
) -> PhasePlan:
    """Return the plan of a phase with the models of today, as the run's caller wished for them.

    Args:
        why: what has changed; it becomes the reason.
        context: what the caller wishes who goes on with the run.

    Raises:
        NoUsableModelError: there is none, and the run cannot do without the phase.
        InputError: what the caller wished for is no longer in the catalogue.
    """
    plan, phases = state["plan"], services.matcher.catalogue.phases
    there = [planned["phase"] for planned in plan["phases"] if planned["phase"] in phases]
    request = TaskRequest(
        agent_name=plan["agent_name"],
        description=state["task_description"],
        parameters=state["task_parameters"],
        domain=settled(plan, state["task_parameters"]),
        # What makes the result may be done, and gone: the matcher wants one all the same.
        phases=[*there, *(name for name, profile in phases.items() if profile.produces and profile.critical)],
    )
    chosen = await services.matcher.choose(request, _wishes(state, context, services))
    new = next(planned for planned in chosen["phases"] if planned["phase"] == phase)
    if new["primary_model"] is None and new["critical"]:
        rejected = "".join(
            f"\n  {r}" for r in dict.fromkeys(f"{r['provider']}: {r['reason']}" for r in new["rejected"])
        )
        raise NoUsableModelError(
            f"The run cannot go on: no usable model for {phase}. {why}. "
            f"Put that right, or set another provider's key, and resume it. Looked at:{rejected}"
        )
    return _with_reason(new, f"matched again, since {why}")


def _with_reason(plan: PhasePlan, why: str) -> PhasePlan:
    first = plan["primary_model"]
    if first is not None:
        first = {**first, "reason": f"{why}; {first['reason']}"}
    return {**plan, "primary_model": first, "reason": f"{why}; {plan['reason']}"}


def _wishes(state: State, context: RunContext, services: Services) -> Wishes:
    plan, own = state["plan"], services.matcher.wishes
    limits, wanted = plan["limits"], state.get("wanted") or _as_planned(plan, services.matcher.catalogue)
    dial = plan.get("dial") or Dial(thrift=own.thrift, haste=own.haste)
    return replace(
        own,
        thrift=dial["thrift"],
        haste=dial["haste"],
        strategy=plan["strategy_type"] if services.settings.enable_multi_model else own.strategy,
        model=context.model or wanted["model"],
        providers=tuple(context.providers or wanted["providers"]),
        attempts=limits["attempts"],
        usd=limits["usd"],
        tokens=limits["tokens"],
        seconds=limits["seconds"],
        phase_seconds=limits["phase_seconds"],
        rounds=limits.get("rounds", 0),
        strict=own.strict if context.strict is None else context.strict,
    )


def _as_planned(plan: Strategy, catalogue: Catalogue) -> Wanted:
    """Return what a state that does not say it lets us do: no provider is asked that was not planned with."""
    planned = [
        c for p in plan["phases"] for c in (p["primary_model"], *p["fallback_models"]) if c is not None
    ]
    providers = [
        name for name in dict.fromkeys(c["provider"] for c in planned) if name in catalogue.providers
    ]
    if not providers:
        raise ResumeError(
            "The run cannot go on: none of the providers with which an older release planned it is there today. "
            "Run the task again."
        )
    return Wanted(model=None, providers=providers)


async def check_to_come(state: State, context: RunContext, services: Services) -> None:
    """Raise what a run would stop with as soon as it goes on in the world of today; nothing is changed.

    Raises:
        ResumeError, NoUsableModelError, InputError: as `as_catalogued` and `match_again` do.
    """
    run, catalogue = view(state), services.matcher.catalogue
    for plan in run["plan"]["phases"]:
        phase = plan["phase"]
        turn = None if answer_of(run, phase) or passed_by(run, phase) else next_turn(run, phase)
        if turn is None:
            continue
        as_catalogued(plan, catalogue)
        if phase not in catalogue.phases:
            continue
        if why := await why_lost(turn.candidate, catalogue.models.get(key_of(turn.candidate)), services):
            await match_again(state, phase, why, context, services)
