"""The node of a phase: one attempt with one model. A model's failure goes into the state, it raises nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce
from time import perf_counter
from typing import Any, cast

from langgraph.config import get_config, get_stream_writer
from langgraph.runtime import Runtime

from ..routing.attempts import Attempt, Check, Fault, RunView, Verdict
from ..routing.catalogue import Catalogue
from ..routing.flow import (
    Turn,
    answer_of,
    attempt_seconds,
    attempts_of,
    is_lost,
    key_of,
    made_in,
    next_turn,
    passed_by,
    phase_plan,
    stopped_by_budget,
    untried,
)
from ..routing.forks import own
from ..routing.layout import Layout
from ..routing.matcher import find_agent
from ..routing.outcomes import domain_of, judged_by, quality_of_checks
from ..routing.prediction import first_token_seconds
from ..routing.records import AgentTaskProfile, Candidate, ModelProfile, PhaseProfile, Rejected
from .attempt import attempt
from .detouring import after, led_from, may_turn, turned
from .faults import keys_of
from .health import mark_of
from .hedge import Contender, race
from .job import Bounds, Job, Made
from .journal import About, Place, place_in
from .losses import lost_attempts, most_of
from .prompts import Material, mending, messages
from .replanning import as_catalogued, match_again, why_lost
from .results import taken, why_not_taken
from .services import Services
from .state import NO_USAGE, Node, Rematched, RunContext, State, add_usage, check_layout, view
from .verdicts import WANTED, describe, with_checks

Update = dict[str, Any]
Marks = dict[str, Any]
"""What is added to an attempt once its answer was looked at."""

NO_WISHES = RunContext()
"""The settings of a run whose caller gives none."""

TOO_LONG = {"context_too_long", "request_too_large"}
"""Faults after which a model is shown half as much of the earlier outputs."""


@dataclass(frozen=True, kw_only=True)
class Visit:
    """One visit to a phase's node: the run as it stands, and what its caller wishes.

    Args:
        checks: what the checks say of the result as it stands, in a phase that judges or replaces it.
    """

    phase: PhaseProfile
    catalogue: Catalogue
    state: State
    run: RunView
    context: RunContext
    services: Services
    place: Place
    checks: tuple[Check, ...] = ()

    @property
    def made(self) -> list[Attempt]:
        """The attempts made in the phase so far."""
        return attempts_of(self.run, self.phase.name)

    @property
    def number(self) -> int:
        """The number of the phase's next attempt; those that no longer count have theirs."""
        return len(made_in(self.run, self.phase.name)) + 1

    def model(self, candidate: Candidate) -> ModelProfile | None:
        """Return a candidate's model; None where the catalogue has changed since the plan and lacks it."""
        return self.catalogue.models.get(key_of(candidate))

    @property
    def agent(self) -> AgentTaskProfile:
        """The profile of the run's agent."""
        return find_agent(self.run["plan"]["agent_name"], self.catalogue, strict=False)[0]

    @property
    def standing(self) -> Attempt | None:
        """The attempt whose answer stands as the run's result when the phase begins; None where a person wrote it."""
        producing = {name for name, phase in self.catalogue.phases.items() if phase.produces}
        return judged_by(self.run, self.phase.name, producing)

    def key_mark(self, model: ModelProfile) -> str:
        """Return the fingerprint of the key with which a model is called."""
        return mark_of(keys_of(self.catalogue.providers[model.provider], self.services.settings))


def phase_node(phase: str, services: Services, layout: Layout) -> Node:
    """Return the node of a phase in a graph of this layout.

    It does nothing where the run does without the phase or nobody's turn is left; the edge behind it then says
    where the run goes.
    """

    async def node(state: State, runtime: Runtime[RunContext]) -> Update:
        run, catalogue = view(state), services.matcher.catalogue
        check_layout(state, layout)
        plan = phase_plan(run, phase)
        if plan is None or answer_of(run, phase):
            return {}
        if (today := as_catalogued(plan, catalogue)) != plan:
            return {"plan": Rematched(rematched=[today])}
        if phase not in catalogue.phases:
            return {}
        visit = Visit(
            phase=catalogue.phases[phase],
            catalogue=catalogue,
            state=state,
            run=run,
            context=runtime.context or NO_WISHES,
            services=services,
            place=place_in(get_config(), state["run_id"]),
        )
        return await _visited(visit)

    return node


async def _visited(visit: Visit) -> Update:
    if lost := await _lost(visit):
        return {"attempts": lost, "usage": reduce(add_usage, (a["usage"] for a in lost))}
    if passed_by(visit.run, visit.phase.name) or stopped_by_budget(visit.run):
        return {}
    await visit.services.health.look()
    turn, avoided = await _whose_turn(visit)
    if turn is None:
        return {}
    model = visit.model(turn.candidate)
    why = await why_lost(turn.candidate, model, visit.services)
    if model is None or why:
        return await _matched_again(visit, why or "")
    visit = replace(visit, checks=await _standing_checks(visit))
    return await _update(visit, await _attempts(visit, _job(visit, turn, model, avoided)))


async def _matched_again(visit: Visit, why: str) -> Update:
    """Return the phase's plan with the models of today; the edge behind leads back here."""
    phase = visit.phase.name
    plan = await match_again(visit.state, phase, why, visit.context, visit.services)
    get_stream_writer()({"event": "rematched", "phase": phase, "why": why})
    return {"plan": Rematched(rematched=[plan])}


async def _whose_turn(visit: Visit) -> tuple[Turn | None, list[Rejected]]:
    """Return whose turn it is, and who was passed over for it because it is cooling down."""
    avoided: dict[str, str] = {}
    if not visit.services.health.is_calm:
        left = untried(visit.run, visit.phase.name)
        avoided = {key_of(c): why for c in left if (why := _why_avoided(visit, c))}
    turn = next_turn(visit.run, visit.phase.name, avoided)
    while turn is not None and turn.again is None and key_of(turn.candidate) not in avoided:
        if await _begins(visit, turn.candidate):
            break
        avoided[key_of(turn.candidate)] = "another run is finding out whether it is back"
        turn = next_turn(visit.run, visit.phase.name, avoided)
    if turn is None or turn.again or not avoided or key_of(turn.candidate) in avoided:
        return turn, []
    better = [c for c in untried(visit.run, visit.phase.name) if c["score"] >= turn.candidate["score"]]
    return turn, [
        Rejected(model=c["model"], provider=c["provider"], reason=avoided[key_of(c)])
        for c in better
        if key_of(c) in avoided
    ]


def _why_avoided(visit: Visit, candidate: Candidate) -> str | None:
    model = visit.model(candidate)
    return visit.services.health.why_avoided(model, visit.key_mark(model)) if model else None


async def _begins(visit: Visit, candidate: Candidate) -> bool:
    """Say whether a model may be called now: of one that was cooling down, one call finds out for all."""
    model = visit.model(candidate)
    if model is None or visit.services.health.is_calm:
        return True
    seconds = min(attempt_seconds(visit.run, visit.phase.name), _first_token(visit, model))
    return await visit.services.health.begin(model, visit.key_mark(model), seconds)


def _first_token(visit: Visit, model: ModelProfile) -> float:
    provider = visit.catalogue.providers[model.provider]
    own = visit.context.first_token_timeout or visit.services.settings.first_token_timeout
    return own or first_token_seconds(model, provider)


def _job(visit: Visit, turn: Turn, model: ModelProfile, avoided: list[Rejected]) -> Job:
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
            first_token=_first_token(visit, model),
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
    return About(
        domain=domain_of(visit.run["plan"]["agent_name"], visit.state["task_parameters"]),
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


async def _lost(visit: Visit) -> list[Attempt]:
    """Return the calls of the phase of which the state knows nothing, because the run broke off before it did."""
    if not visit.place.thread:
        return []
    known = {attempt["id"] for attempt in visit.run["attempts"]}
    entries = await visit.services.journal.lost(visit.place, visit.phase.name, known)
    return lost_attempts(visit.run, visit.phase.name, entries)


async def _attempts(visit: Visit, job: Job) -> list[Made]:
    """Make the attempt; where the caller wishes it, with a second model beside one that is slow to begin."""
    services = visit.services
    delay = services.latencies.p95(job.model.key) if visit.context.hedge and not job.again else None
    first, began = _contender(job, services), perf_counter()
    if delay is None:
        return [await attempt(job, services, first)]
    return await race(
        first, lambda: _beside(visit, job, perf_counter() - began), delay=delay, won=lambda made: made.ok
    )


def _contender(job: Job, services: Services) -> Contender[Made]:
    return Contender(run=lambda contender: attempt(job, services, contender))


async def _beside(visit: Visit, job: Job, gone: float) -> Contender[Made] | None:
    """Return the next model, to be started beside one that is late; None where there is no other that may be called.

    Args:
        gone: seconds that the late one has taken already.
    """
    others = [c for c in untried(visit.run, visit.phase.name) if key_of(c) != job.model.key]
    ready = next((c for c in others if _why_avoided(visit, c) is None), None)
    model = visit.model(ready) if ready else None
    if ready is None or model is None or await why_lost(ready, model, visit.services):
        return None
    if not await _begins(visit, ready):
        return None
    other = _job(visit, Turn(ready), model, [])
    bounds = replace(other.bounds, left=other.bounds.left - gone)
    late = {**job.spent, f"{job.run_id}/{job.id}": NO_USAGE}
    other = replace(other, number=job.number + 1, fallback=job.fallback + 1, spent=late, bounds=bounds)
    return _contender(other, visit.services)


async def _update(visit: Visit, made: list[Made]) -> Update:
    """Return what the attempts change in the state: all of them are kept, the first answer counts."""
    update: Update = {
        "attempts": [*(_not_again(one.attempt) for one in made[:-1]), made[-1].attempt],
        "usage": reduce(add_usage, (one.attempt["usage"] for one in made)),
    }
    best = next((one for one in made if one.ok), None)
    if best is None:
        visit.services.note_end(visit.state["run_id"], after(visit.state, update))
        return update
    marks, answered = await _answered(visit, best)
    for verdict in answered.get("verdicts", {}).values():
        _tell_outcome(visit, verdict)
    if marks:
        marked = cast("Attempt", {**best.attempt, **marks})
        update["attempts"] = [marked if a is best.attempt else a for a in update["attempts"]]
    update = {**update, **answered}
    if may_turn(visit.state, visit.phase):
        update = turned(visit.state, update, visit.phase.name, visit.catalogue, marks.get("checks", ()))
    visit.services.note_end(visit.state["run_id"], after(visit.state, update))
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


async def _standing_checks(visit: Visit) -> tuple[Check, ...]:
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
