"""One attempt: one model is called once, within its turn, its budget and its provider's rate.

What a failure is and what follows from it stands in the record that comes out (`Made`). Only the end of a
cancelled run is raised on, once what the call may have cost is settled.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import time
from collections.abc import Coroutine
from typing import Any, TypeVar, cast

from langgraph.config import get_stream_writer

from ..routing.attempts import Attempt, Fault, Usage
from ..routing.budget import is_free
from ..routing.faults import FaultKind
from ..routing.prediction import count_tokens, least_tokens, output_bound, with_safety
from ..routing.retries import Situation, retry_after_fault
from . import prices
from .budgets import Ask, Refusal
from .call import call
from .faults import keys_of, make_fault
from .gates import TooLong
from .health import mark_of
from .hedge import Contender
from .job import Answer, Job, Made
from .journal import Entry
from .services import Services
from .state import NO_USAGE
from .tracing import trace_outcome
from .usage import served_model, usage_of
from .verdicts import SCHEMA

LONGEST_PARTIAL = 20_000
"""Characters of a broken answer that are kept."""

Result = TypeVar("Result")

_logger = logging.getLogger("ymera.phase")


async def attempt(job: Job, services: Services, contender: Contender[Made]) -> Made:
    """Call a model once and write down what came of it.

    Raises:
        CancelledError: the run was cancelled; what was begun is settled before.
    """
    answer = Answer()
    ask = await _finished(_ask(job, services), contender)
    try:
        if not contender.lost:
            await _within_limits(job, services, contender, answer, ask)
    except asyncio.CancelledError:
        if not contender.lost:
            answer.take_in()
            answer.fault = make_fault("cancelled", "the run was cancelled")
            await _finished(_made(job, answer, services, ask), contender)
            raise
    if contender.lost:
        answer.take_in()
        answer.fault = make_fault("cancelled", "another model answered first")
    return await _finished(_made(job, answer, services, ask, lost=contender.lost), contender)


async def _finished(work: Coroutine[Any, Any, Result], contender: Contender[Made]) -> Result:
    """Return what comes of work that a cancellation must not break off: what was begun is settled first."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        result = await task
        if contender.lost:
            return result
        raise


async def _within_limits(
    job: Job, services: Services, contender: Contender[Made], answer: Answer, ask: Ask
) -> None:
    """Wait for the turn, reserve what the call may cost, and call."""
    await _wait(job, services)
    grant = await services.budgets.reserve(ask, job.limits, job.spent)
    if isinstance(grant, Refusal):
        answer.fault = make_fault("over_budget", grant.why)
        if grant.scope == "day":  # the key's budget: none of its models can be paid any more
            answer.fault["then"] = "drop_provider"
        return
    turn = services.gates.turn(
        job.provider.name,
        run=job.run_id,
        tokens=ask.input_tokens + ask.least_tokens,
        patience=job.bounds.left - answer.seconds,
        waiting=lambda seconds, why: _say_waiting(job, seconds, why),
    )
    try:
        async with turn as place:
            answer.waited = answer.seconds
            await services.journal.begin(job.place, _entry(job, ask))
            get_stream_writer()({"event": "attempt_started", **job.label})
            await call(job, services, answer, contender, grant.output_tokens)
            if not answer.sent:
                place.settle(0)
            elif answer.message is not None and (counted := answer.message.usage_metadata):
                place.settle(counted["total_tokens"])
    except TooLong as error:
        answer.fault = make_fault("rate_limited", str(error))


async def _wait(job: Job, services: Services) -> None:
    seconds = job.not_before - time.time()
    if seconds > 0:
        _say_waiting(job, seconds, f"before {job.model.name} is tried again")
        await services.pause(seconds)


def _say_waiting(job: Job, seconds: float | None, why: str) -> None:
    get_stream_writer()({"event": "waiting", **job.label, "seconds": seconds, "why": why})


async def _ask(job: Job, services: Services) -> Ask:
    told = [str(message.text) for message in job.request]
    if job.phase.judges:  # providers bill the schema that goes along
        told.append(json.dumps(SCHEMA))
    sent = with_safety(sum(count_tokens(text) for text in told))
    limited = job.limits["usd"] is not None or job.limits["tokens"] is not None
    priced = limited or services.budgets.has_daily_limit(job.provider.name)
    return Ask(
        id=f"{job.run_id}/{job.id}",
        run=job.run_id,
        provider=job.provider.name,
        key_mark=mark_of(keys_of(job.provider, services.settings)),
        price=await prices.rates(job.model, sent) if priced else job.model.price,
        input_tokens=sent,
        output_tokens=output_bound(job.phase, job.model),
        least_tokens=least_tokens(job.phase, job.model),
    )


def _entry(job: Job, ask: Ask) -> Entry:
    """Return what the journal says of a call that is about to be sent: until more is known, its input alone counts."""
    price = ask.price
    cost = ask.input_tokens * price.input / 1e6 if price else 0.0
    return Entry(
        attempt=job.id,
        checkpoint=job.place.checkpoint,
        agent=job.agent.agent_name,
        phase=job.phase.name,
        provider=job.model.provider,
        model=job.model.name,
        started_at=time.time(),
        usage=Usage(
            {
                **NO_USAGE,
                "input_tokens": ask.input_tokens,
                "cost_usd": cost,
                "unpriced": 0 if is_free(price) else 1,
                "estimated": 1,
            }
        ),
        about=job.about,
    )


async def _made(job: Job, answer: Answer, services: Services, ask: Ask, *, lost: bool = False) -> Made:
    """Settle an attempt: its usage, its budget, what it says about the model; then write it down."""
    seconds = answer.seconds
    kind = cast("FaultKind", answer.fault["kind"]) if answer.fault else None
    usage = NO_USAGE
    if answer.sent:
        usage = await usage_of(
            job.model, answer.message, answer.started_at, prompt_tokens=ask.input_tokens, kind=kind
        )
    await services.budgets.settle(ask, usage)  # first of all: a run that is cancelled now must not leave it
    # A call that was never made gives a probe back that it had claimed.
    outcome = kind if answer.sent else "cancelled"
    await services.health.report(job.model, outcome, asked=answer.asked, key_mark=ask.key_mark)
    cooling = services.health.why_avoided(job.model, ask.key_mark) is not None
    if answer.first_token_seconds is not None:
        services.latencies.add(job.model.key, answer.first_token_seconds)
    elif lost or kind == "timed_out":  # without the slow ones, what counts as slow would become ever less
        services.latencies.add(job.model.key, seconds)
    fault = _with_what_follows(job, answer, seconds, cooling=cooling)
    made = Made(job=job, answer=answer, attempt=_record(job, answer, fault, seconds, usage))
    services.journal.end(job.place, made.attempt)
    get_stream_writer()({"event": "attempt_ended", "attempt": made.attempt})
    log(made.attempt)
    trace_outcome(job.label, made.attempt)
    return made


def _record(job: Job, answer: Answer, fault: Fault | None, seconds: float, usage: Usage) -> Attempt:
    record = Attempt(
        id=job.id,
        phase=job.phase.name,
        number=job.number,
        model=job.model.name,
        provider=job.model.provider,
        served_model=served_model(answer.message),
        ok=fault is None,
        fault=fault,
        started_at=answer.started_at,
        seconds=round(seconds, 4),
        first_token_seconds=answer.first_token_seconds,
        usage=usage,
    )
    if answer.waited >= 0.001:
        record["waited"] = round(answer.waited, 4)
    if job.again:
        record["again"] = job.again
    if job.avoided:
        record["avoided"] = list(job.avoided)
    if fault and answer.text:
        record["partial"] = answer.text[:LONGEST_PARTIAL]
    return record


def _with_what_follows(job: Job, answer: Answer, seconds: float, *, cooling: bool) -> Fault | None:
    """Return the fault of an attempt, with whether its model is tried again.

    A model that is cooling down is not while another one is left, unless its provider says when to come back.
    """
    fault = answer.fault
    if fault is None or not answer.sent:
        return fault
    if fault["kind"] == "refused" and job.reroutes:
        fault = Fault({**fault, "then": "next"})
    if cooling and job.others and answer.asked is None:
        return fault
    situation = Situation(
        tries=job.tries,
        asked=answer.asked,
        left=job.bounds.left - answer.waited - seconds,
        others=job.others,
        shrinkable=job.shrinkable,
        chance=random.random(),
    )
    retry = retry_after_fault(cast("FaultKind", fault["kind"]), situation)
    return Fault({**fault, "retry": retry}) if retry else fault


def log(attempt: Attempt) -> None:
    """Log the end of an attempt; no word of prompt or answer reaches the log."""
    name = f"{attempt['id']} {attempt['provider']}:{attempt['model']}"
    if fault := attempt["fault"]:
        said = (name, attempt["seconds"], fault["kind"], fault["message"])
        _logger.info("%s failed after %.1f s: %s: %s", *said)
        return
    usage = attempt["usage"]
    counts = (name, attempt["seconds"], usage["input_tokens"], usage["output_tokens"])
    _logger.info("%s answered in %.1f s, %d tokens in, %d out", *counts)
