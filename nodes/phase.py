"""The node of a phase: one attempt with one model. A model's failure goes into the state, it raises nothing."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.ai import add_ai_message_chunks
from langchain_core.runnables import RunnableConfig
from langgraph.config import get_config, get_stream_writer
from langgraph.runtime import Runtime

from ..routing.flow import attempts_of, next_candidate, over_budget, passed_by
from ..routing.matcher import find_agent
from ..routing.prediction import answer_tokens
from ..routing.records import (
    AgentTaskProfile,
    Attempt,
    Candidate,
    Fault,
    ModelProfile,
    PhaseProfile,
    ProviderProfile,
    Usage,
    Verdict,
)
from . import prices
from .faults import fault_of, finish_fault, keys_of, make_fault, redacted
from .prompts import Material, messages
from .services import Services
from .state import NO_USAGE, Node, RunContext, State, answer_id, view
from .structured import bound_to_schema
from .tracing import hide_keys, trace_outcome
from .validators import check, passes
from .verdicts import SCHEMA, describe, parse_verdict, with_checks

if TYPE_CHECKING:
    from langchain_core.language_models import LanguageModelInput
    from langchain_core.messages import BaseMessage
    from langchain_core.runnables import Runnable

Update = dict[str, Any]

_logger = logging.getLogger("ymera.phase")

NO_WISHES = RunContext()
"""The settings of a run whose caller gives none."""

QUICKLY_CHECKED = 2_000
"""Characters up to which a result is checked on the event loop, where its checks take a millisecond at most."""
QUICK_CHECKS = {"python", "markdown"}
"""Checks that are quick on short texts; the others load a parser first."""


@dataclass(frozen=True, kw_only=True)
class Turn:
    """Whose turn it is in a phase, as the state says: a candidate of the plan."""

    phase: str
    agent_name: str
    candidate: Candidate
    number: int


@dataclass(frozen=True, kw_only=True)
class Job:
    """One attempt to be made: by which model, in which phase, for which agent, and how."""

    phase: PhaseProfile
    agent: AgentTaskProfile
    model: ModelProfile
    provider: ProviderProfile
    candidate: Candidate
    number: int
    timeout: float
    temperature: float

    @property
    def id(self) -> str:
        """Name of the attempt within its run; every streamed chunk carries it."""
        return f"{self.phase.name}-{self.number}"


@dataclass(kw_only=True)
class Answer:
    """What came of an attempt, filled while it runs, so that a failure keeps what was there."""

    message: AIMessage | None = None
    first_token_seconds: float | None = None
    fault: Fault | None = None
    verdict: Verdict | None = None
    chunks: list[AIMessageChunk] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The answer's text."""
        return str(self.message.text).strip() if self.message else ""


def phase_node(phase: str, services: Services) -> Node:
    """Return the node of a phase.

    It does nothing where the run does without the phase or no candidate is left; the edge behind it then says
    where the run goes.
    """

    async def node(state: State, runtime: Runtime[RunContext]) -> Update:
        run = view(state)
        candidate = next_candidate(run, phase)
        if candidate is None or passed_by(run, phase) or over_budget(run):
            return {}
        number = len(attempts_of(run, phase)) + 1
        turn = Turn(phase=phase, agent_name=run["plan"]["agent_name"], candidate=candidate, number=number)
        job = _job(turn, runtime.context or NO_WISHES, services)
        if job is None:
            return {"attempts": [_gone(turn)], "usage": NO_USAGE}
        write = get_stream_writer()
        write({"event": "attempt_started", **_label(job)})
        started_at, clock = time.time(), time.perf_counter()
        answer = await _attempt(job, state, services)
        seconds = time.perf_counter() - clock
        attempt = await _record(job, answer, started_at, seconds)
        update = await _update(job, answer, attempt, state)
        write({"event": "attempt_ended", "attempt": update["attempts"][0]})
        _log(update["attempts"][0])
        trace_outcome(_label(job), update["attempts"][0])
        return update

    return node


def _log(attempt: Attempt) -> None:
    name = f"{attempt['id']} {attempt['provider']}:{attempt['model']}"
    if fault := attempt["fault"]:
        _logger.info(
            "%s failed after %.1f s: %s: %s", name, attempt["seconds"], fault["kind"], fault["message"]
        )
        return
    usage = attempt["usage"]
    said = (name, attempt["seconds"], usage["input_tokens"], usage["output_tokens"])
    _logger.info("%s answered in %.1f s, %d tokens in, %d out", *said)
    if note := attempt.get("note"):
        _logger.info("%s: %s", name, note)


def _job(turn: Turn, context: RunContext, services: Services) -> Job | None:
    """Return the attempt to be made; None where the catalogue has changed since the plan and lacks the model."""
    catalogue = services.matcher.catalogue
    model = catalogue.models.get(f"{turn.candidate['provider']}:{turn.candidate['model']}")
    if model is None:
        return None
    agent, _ = find_agent(turn.agent_name, catalogue, strict=False)
    return Job(
        phase=catalogue.phases[turn.phase],
        agent=agent,
        model=model,
        provider=catalogue.providers[model.provider],
        candidate=turn.candidate,
        number=turn.number,
        timeout=context.phase_timeout or services.settings.phase_timeout,
        temperature=context.temperature,
    )


def _gone(turn: Turn) -> Attempt:
    """Return the attempt that was not made, because its model is no longer in the catalogue."""
    return Attempt(
        id=f"{turn.phase}-{turn.number}",
        phase=turn.phase,
        number=turn.number,
        model=turn.candidate["model"],
        provider=turn.candidate["provider"],
        served_model=None,
        ok=False,
        fault=make_fault("not_found", "the plan's model is no longer in the catalogue"),
        started_at=time.time(),
        seconds=0.0,
        first_token_seconds=None,
        usage=NO_USAGE,
    )


def _label(job: Job) -> dict[str, Any]:
    """Return what events, stream metadata and traces say of an attempt."""
    return {
        "phase": job.phase.name,
        "attempt_id": job.id,
        "model": job.model.name,
        "provider": job.model.provider,
        "reason": job.candidate["reason"],
        "fallback": job.number - 1,
    }


async def _attempt(job: Job, state: State, services: Services) -> Answer:
    answer = Answer()
    deadline = asyncio.timeout(job.timeout)
    try:
        # Opening is local work (an import, or the download of an embedded model): it is not the model's time.
        model = await _open(job, services)
        async with deadline:
            await _listen(model.astream(_prompt(job, state), _config(job, services)), answer)
        answer.message = _joined(answer.chunks)
        answer.fault = _judge(job, answer)
    except Exception as error:  # noqa: BLE001 - whatever a client raises is the outcome of the attempt
        answer.message = _joined(answer.chunks) if answer.chunks else None
        if deadline.expired():
            answer.fault = make_fault("timed_out", f"Phase execution timeout after {job.timeout:g} s")
        else:
            answer.fault = fault_of(error, job.provider, services.settings)
    return answer


async def _open(job: Job, services: Services) -> Runnable[LanguageModelInput, AIMessage]:
    tokens = answer_tokens(job.phase, job.model)
    model = await services.models.open(job.model, max_output_tokens=tokens, temperature=job.temperature)
    return bound_to_schema(model, job.model, job.provider, SCHEMA) if job.phase.judges else model


def _prompt(job: Job, state: State) -> list[BaseMessage]:
    material = Material(
        task_description=state["task_description"],
        task_parameters=state["task_parameters"],
        phase_outputs=state.get("phase_outputs", {}),
    )
    return messages(job.phase, job.agent, job.model, material)


def _judge(job: Job, answer: Answer) -> Fault | None:
    """Return what is wrong with a whole answer: not finished, empty, or no verdict where one was asked for."""
    found = finish_fault(answer.message or AIMessage(""))
    if found is None and job.phase.judges:
        answer.verdict = parse_verdict(answer.text)
        if answer.verdict is None:
            return make_fault("schema_not_met", "the answer holds no verdict (accept or revise)")
    return found


async def _listen(stream: Any, answer: Answer) -> None:
    """Take in a stream of chunks, keeping what has come when it breaks."""
    clock = time.perf_counter()
    async for chunk in stream:
        if answer.first_token_seconds is None and chunk.content:
            answer.first_token_seconds = time.perf_counter() - clock
        answer.chunks.append(chunk)


def _joined(chunks: list[AIMessageChunk]) -> AIMessage:
    """Return the chunks as one message: text, metadata and usage.

    Text is joined by itself and only chunks that tell more are merged: merging every chunk of a long answer takes
    longer than all else that is done with it.
    """
    if len(chunks) == 1:  # a client that does not stream hands on a whole message, which is no chunk
        return chunks[0]
    texts = [chunk.content for chunk in chunks]
    if not all(type(text) is str for text in texts):
        return add_ai_message_chunks(*chunks)
    telling = [c for c in chunks if c.usage_metadata or c.response_metadata or c.additional_kwargs]
    merged = (
        add_ai_message_chunks(*telling) if len(telling) > 1 else (telling or [AIMessageChunk(content="")])[0]
    )
    return merged.model_copy(update={"content": "".join(cast("list[str]", texts))})


def _config(job: Job, services: Services) -> RunnableConfig:
    """Return the run's config with what belongs to this attempt: its name and labels in streams and traces."""
    config = get_config()
    hide_keys(config, lambda text: redacted(text, keys_of(job.provider, services.settings)))
    return {
        **config,
        "run_name": f"{job.id} {job.model.name}",
        "metadata": {**config.get("metadata", {}), **_label(job)},
        "tags": [*config.get("tags", ()), job.phase.name],
    }


async def _record(job: Job, answer: Answer, started_at: float, seconds: float) -> Attempt:
    return Attempt(
        id=job.id,
        phase=job.phase.name,
        number=job.number,
        model=job.model.name,
        provider=job.model.provider,
        served_model=_served(answer.message),
        ok=answer.fault is None,
        fault=answer.fault,
        started_at=started_at,
        seconds=round(seconds, 4),
        first_token_seconds=answer.first_token_seconds,
        usage=await _usage(job.model, answer.message, started_at),
    )


def _served(message: AIMessage | None) -> str | None:
    """Return the model that answered, where the provider tells."""
    served = message.response_metadata.get("model_name") if message else None
    return str(served) if served else None


async def _usage(model: ModelProfile, message: AIMessage | None, started_at: float) -> Usage:
    """Return tokens and cost. Without a report of the provider an attempt that had begun to answer is unpriced."""
    counted = message.usage_metadata if message else None
    if counted is None:
        return Usage({**NO_USAGE, "unpriced": 1 if message and message.content else 0})
    cost = await prices.cost(model, _served(message), counted, datetime.fromtimestamp(started_at, UTC))
    return Usage(
        input_tokens=counted["input_tokens"],
        output_tokens=counted["output_tokens"],
        cached_tokens=counted.get("input_token_details", {}).get("cache_read", 0) or 0,
        reasoning_tokens=counted.get("output_token_details", {}).get("reasoning", 0) or 0,
        cost_usd=cost or 0.0,
        unpriced=1 if cost is None else 0,
    )


async def _update(job: Job, answer: Answer, attempt: Attempt, state: State) -> Update:
    update: Update = {"attempts": [attempt], "usage": attempt["usage"]}
    if not attempt["ok"]:
        return update
    if job.phase.judges and answer.verdict is not None:
        checks = await _checks(job, state.get("final_result", ""), state)
        verdict = with_checks(answer.verdict, checks)
        return {
            **update,
            "verdicts": {job.phase.name: verdict},
            "phase_outputs": {job.phase.name: describe(verdict)},
        }
    update["phase_outputs"] = {job.phase.name: answer.text}
    if job.phase.produces:
        update |= await _result(job, answer.text, attempt, state)
    return update


async def _result(job: Job, text: str, attempt: Attempt, state: State) -> Update:
    """Take the text as the run's result, unless it fails more checks than the result that it should replace."""
    before = state.get("final_result", "")
    if before:
        old, new = await _checks(job, before, state), await _checks(job, text, state)
        if passes(new) < passes(old):
            failed = "; ".join(f"{c['name']}: {c['detail']}" for c in new if not c["passed"])
            note = f"kept the earlier result: it fails fewer checks than this one ({failed})"
            return {"attempts": [Attempt({**attempt, "note": note})]}
    update: Update = {"final_result": text}
    if state.get("messages"):
        update["messages"] = [AIMessage(text, id=answer_id(state))]
    return update


async def _checks(job: Job, text: str, state: State) -> list[Any]:
    quick = QUICK_CHECKS.issuperset(job.agent.checks) and "schema" not in state["task_parameters"]
    if quick and len(text) <= QUICKLY_CHECKED:
        return check(text, job.agent.checks, state["task_parameters"])
    return await asyncio.to_thread(check, text, job.agent.checks, state["task_parameters"])
