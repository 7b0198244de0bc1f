"""What attempts change in the state: each is kept, and an answer is judged, checked, taken or left."""

from __future__ import annotations

from functools import reduce
from typing import Any, cast

from ..routing.approvals import awaits
from ..routing.attempts import Attempt, Check, Fault, Verdict
from ..routing.outcomes import quality_of_checks
from .detouring import after, may_turn, turned
from .job import Made
from .results import taken, why_not_taken
from .state import add_usage
from .verdicts import describe, with_checks
from .visit import Visit

Update = dict[str, Any]
Marks = dict[str, Any]
"""What is added to an attempt once its answer was looked at."""


async def update_of(visit: Visit, made: list[Made]) -> Update:
    """Return what the attempts change in the state: all of them are kept, the first answer counts."""
    update: Update = {
        "attempts": [*(_not_again(one.attempt) for one in made[:-1]), made[-1].attempt],
        "usage": reduce(add_usage, (one.attempt["usage"] for one in made)),
    }
    best = next((one for one in made if one.ok), None)
    if best is None:
        return _noted(visit, update)
    marks, answered = await _answered(visit, best)
    for verdict in answered.get("verdicts", {}).values():
        _tell_outcome(visit, verdict)
    if marks:
        marked = cast("Attempt", {**best.attempt, **marks})
        update["attempts"] = [marked if a is best.attempt else a for a in update["attempts"]]
    update = {**update, **answered}
    if may_turn(visit.state, visit.phase):
        update = turned(visit.state, update, visit.phase.name, visit.catalogue, marks.get("checks", ()))
    return _noted(visit, update)


def _noted(visit: Visit, update: Update) -> Update:
    """Return what changes in the state; of a run in a trial its end is noted, if this is it."""
    if "trial" in visit.run["plan"]:
        run = after(visit.state, update)
        if not awaits(run, visit.state.get("gates", []), [visit.phase.name]):
            visit.services.note_end(visit.state["run_id"], run)
    return update


def _tell_outcome(visit: Visit, verdict: Verdict) -> None:
    """Write down what a verdict says of the answer that it judged."""
    if judged := visit.standing:
        visit.services.outcomes.judged(visit.state["run_id"], judged["id"], verdict)


def _not_again(attempt: Attempt) -> Attempt:
    """Return an attempt beside which another one was made: the phase goes on from the later one."""
    fault = attempt["fault"]
    if fault is None or "retry" not in fault:
        return attempt
    return {**attempt, "fault": Fault(kind=fault["kind"], message=fault["message"], then=fault["then"])}


async def _answered(visit: Visit, made: Made) -> tuple[Marks, Update]:
    """Return what an answer adds to its attempt, and what it changes in the state."""
    phase, answer = visit.phase, made.answer
    if phase.judges and answer.verdict is not None:
        verdict = with_checks(answer.verdict, list(visit.checks))
        return {}, {"verdicts": {phase.name: verdict}, "phase_outputs": {phase.name: describe(verdict)}}
    update: Update = {"phase_outputs": {phase.name: answer.text}}
    if not phase.produces:
        return {}, update
    checks = await _checks(visit, answer.text)
    judged = any(_judges(visit, plan["phase"]) for plan in visit.run["plan"]["phases"])
    quality = quality_of_checks(checks, judged=judged)
    visit.services.outcomes.checked(visit.state["run_id"], made.job.id, checks, quality)
    if note := why_not_taken(visit.state, checks, visit.checks):
        return {"checks": checks, "note": note}, update
    return {"checks": checks}, update | taken(visit.state, answer.text)


def _judges(visit: Visit, phase: str) -> bool:
    profile = visit.catalogue.phases.get(phase)
    return profile is not None and profile.judges


async def standing_checks(visit: Visit) -> tuple[Check, ...]:
    """Return what the checks say of the result as it stands: what its attempt keeps, else they are made now."""
    result = visit.state.get("final_result", "")
    if not result or not (visit.phase.judges or visit.phase.produces):
        return ()
    answer = visit.standing
    if answer and visit.state.get("phase_outputs", {}).get(answer["phase"]) == result and "checks" in answer:
        return tuple(answer["checks"])
    return tuple(await _checks(visit, result))


async def _checks(visit: Visit, text: str) -> list[Check]:
    """Return what the checks of the run's agent say of a text."""
    return await visit.services.checker.check(text, visit.agent.checks, visit.state["task_parameters"])
