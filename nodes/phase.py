"""The node of a phase: one attempt with one model. A model's failure goes into the state, it raises nothing."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from time import perf_counter
from typing import Any

from langgraph.config import get_config, get_stream_writer
from langgraph.runtime import Runtime

from ..routing.attempts import Attempt
from ..routing.flow import (
    Turn,
    answer_of,
    attempt_seconds,
    key_of,
    next_turn,
    passed_by,
    phase_plan,
    stopped_by_budget,
    untried,
)
from ..routing.layout import Layout
from ..routing.records import Candidate, Rejected
from .answers import standing_checks, update_of
from .attempt import attempt
from .hedge import Contender, race
from .job import Job, Made
from .jobs import job_of
from .journal import place_in
from .losses import lost_attempts
from .replanning import as_catalogued, match_again, why_lost
from .services import Services
from .state import NO_USAGE, Node, Rematched, RunContext, State, add_usage, check_layout, view
from .visit import Visit

Update = dict[str, Any]

NO_WISHES = RunContext()
"""The settings of a run whose caller gives none."""


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
    visit = replace(visit, checks=await standing_checks(visit))
    return await update_of(visit, await _attempts(visit, job_of(visit, turn, model, avoided)))


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
    seconds = min(attempt_seconds(visit.run, visit.phase.name), visit.first_token(model))
    return await visit.services.health.begin(model, visit.key_mark(model), seconds)


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
    other = job_of(visit, Turn(ready), model, [])
    bounds = replace(other.bounds, left=other.bounds.left - gone)
    late = {**job.spent, f"{job.run_id}/{job.id}": NO_USAGE}
    other = replace(other, number=job.number + 1, fallback=job.fallback + 1, spent=late, bounds=bounds)
    return _contender(other, visit.services)
