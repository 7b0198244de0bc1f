"""From whose turn it is to the attempt to be made: by which model, with which request, within which bounds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..routing.domains import settled
from ..routing.flow import Turn, attempt_seconds, is_lost, key_of, untried
from ..routing.forks import own
from ..routing.records import ModelProfile, PhaseProfile, Rejected
from .detouring import led_from
from .job import Bounds, Job
from .journal import About
from .losses import most_of
from .prompts import Material, mending, messages
from .verdicts import WANTED
from .visit import Visit

TOO_LONG = {"context_too_long", "request_too_large"}
"""Faults after which a model is shown half as much of the earlier outputs."""


def job_of(visit: Visit, turn: Turn, model: ModelProfile, avoided: list[Rejected]) -> Job:
    """Return the attempt to be made."""
    made = visit.made
    settings, context = visit.services.settings, visit.context
    provider = visit.catalogue.providers[model.provider]
    tried = {key_of(a) for a in made} - {model.key}
    return Job(
        run_id=visit.state["run_id"],
        phase=visit.phase,
        agent=visit.agent,
        model=model,
        provider=provider,
        candidate=turn.candidate,
        number=visit.number,
        fallback=len(tried),
        request=_request(visit, model, turn),
        bounds=Bounds(
            left=attempt_seconds(visit.run, visit.phase.name),
            first_token=visit.first_token(model),
            silence=context.silence_timeout or settings.silence_timeout or provider.silence_s,
        ),
        limits=visit.run["plan"]["limits"],
        temperature=context.temperature,
        again=turn.again,
        tries=sum(key_of(a) == model.key and not is_lost(a) for a in made) + 1,
        others=any(key_of(c) != model.key for c in untried(visit.run, visit.phase.name)),
        shrinkable=any(visit.state.get("phase_outputs", {}).get(name) for name in visit.phase.reads),
        not_before=turn.not_before,
        avoided=tuple(avoided),
        spent={
            f"{visit.state['run_id']}/{a['id']}": most_of(a, visit.catalogue)
            for a in own(visit.run["attempts"])
        },
        reroutes=context.route_around_refusals,
        place=visit.place,
        about=_about(visit),
    )


def _about(visit: Visit) -> About:
    reading, task = visit.run["plan"]["reading"], visit.state["task_description"]
    domain = settled(visit.run["plan"], visit.state["task_parameters"])
    return About(
        domain=domain["name"],
        domain_read=domain.get("probability"),
        complexity=reading["complexity"],
        speed=reading["speed"],
        creativity=reading["creativity"],
        task=task if visit.services.settings.ymera_outcome_texts else "",
    )


def _request(visit: Visit, model: ModelProfile, turn: Turn) -> list[Any]:
    """Return the messages: with less of the earlier outputs where they were too long, or to mend an answer."""
    material = Material(
        task_description=visit.state["task_description"],
        task_parameters=visit.state["task_parameters"],
        phase_outputs=visit.state.get("phase_outputs", {}),
        checks=visit.checks if visit.phase.judges else (),
    )
    earlier = [a for a in visit.made if key_of(a) == model.key and a["fault"] and not is_lost(a)]
    too_long = sum(a["fault"] is not None and a["fault"]["kind"] in TOO_LONG for a in earlier)
    request = messages(_reading(visit), visit.agent, model, material, share=0.5**too_long)
    if turn.again == "repair" and earlier:
        return mending(request, earlier[-1].get("partial", ""), WANTED)
    return request


def _reading(visit: Visit) -> PhaseProfile:
    """Return the phase with what it reads: the judge that has sent its result back, too."""
    judge, reads = led_from(visit.run, visit.phase.name, visit.catalogue), visit.phase.reads
    return visit.phase if judge is None or judge in reads else replace(visit.phase, reads=(*reads, judge))
