"""The call itself: a model is opened, listened to within its limits, and its answer judged. It raises nothing."""

from __future__ import annotations

import asyncio
from math import inf
from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig
from langgraph.config import get_config

from ..routing.attempts import Fault
from .faults import fault_of, finish_fault, make_fault, redacted, retry_after, secrets_of
from .hedge import Contender
from .job import Answer, Job, Made
from .patience import Patience
from .services import Services
from .sse import asked_tokens
from .structured import bound_to_schema
from .tracing import hide_keys
from .verdicts import SCHEMA, parse_verdict

if TYPE_CHECKING:
    from langchain_core.language_models import LanguageModelInput
    from langchain_core.runnables import Runnable


async def call(
    job: Job, services: Services, answer: Answer, contender: Contender[Made], output_tokens: int
) -> None:
    """Call a model and fill `answer`: its message and its verdict, or its fault with what came before it."""
    limit = Patience()
    try:
        # Opening is local work (an import, or the download of an embedded model): it is not the model's time.
        chat = await _open(job, services, output_tokens)
        asked_tokens.set(output_tokens)
        answer.begin()
        answer.sent = True
        async with limit:
            await _listen(chat.astream(job.request, _config(job, services)), job, answer, contender, limit)
        answer.take_in()
        answer.fault = _judge(job, answer)
    except Exception as error:  # noqa: BLE001 - whatever a client raises is the outcome of the attempt
        answer.take_in()
        if limit.expired():
            answer.fault = _too_late(job, answer)
        else:
            answer.fault = fault_of(error, job.provider, services.settings)
            answer.asked = retry_after(error)


async def _open(job: Job, services: Services, output_tokens: int) -> Runnable[LanguageModelInput, AIMessage]:
    chat = await services.models.open(job.model, max_output_tokens=output_tokens, temperature=job.temperature)
    return bound_to_schema(chat, job.model, job.provider, SCHEMA) if job.phase.judges else chat


async def _listen(stream: Any, job: Job, answer: Answer, contender: Contender[Made], limit: Patience) -> None:
    """Take in a stream of chunks, keeping what has come when it breaks or stands still.

    One timer stands for all three limits. It is not set anew with every piece of the answer but a tenth late, so that
    it holds for a while: setting it takes longer than taking in a piece.
    """
    now, chunks, pieces = asyncio.get_running_loop().time, answer.chunks, aiter(stream)
    end = now() + job.bounds.left - answer.waited
    limit.set(now() + job.bounds.first_token, end=end)
    async for chunk in pieces:
        chunks.append(chunk)
        if says_something(chunk):
            answer.first_token_seconds = answer.seconds
            contender.begun.set()
            break
    slack, set_anew = job.bounds.silence / 10, -inf
    async for chunk in pieces:
        chunks.append(chunk)
        if (at := now()) > set_anew:
            set_anew = at + slack
            limit.set(set_anew + job.bounds.silence, end=end)


def says_something(chunk: AIMessage) -> bool:
    """Tell text and thoughts from the empty piece with which many streams begin."""
    return bool(chunk.content or chunk.additional_kwargs.get("reasoning_content"))


def _too_late(job: Job, answer: Answer) -> Fault:
    bounds = job.bounds
    if answer.waited + answer.seconds >= bounds.left:
        seconds = job.limits["phase_seconds"] if job.limits["seconds"] is None else round(bounds.left, 1)
        return make_fault("timed_out", f"Phase execution timeout after {seconds:g} s")
    if answer.first_token_seconds is None:
        return make_fault("timed_out", f"the answer did not begin within {bounds.first_token:g} s")
    return make_fault("stalled", f"the answer came to a standstill: nothing for {bounds.silence:g} s")


def _judge(job: Job, answer: Answer) -> Fault | None:
    """Return what is wrong with a whole answer: not finished, empty, or no verdict where one was asked for."""
    found = finish_fault(answer.message or AIMessage(""))
    if found is None and job.phase.judges:
        answer.verdict = parse_verdict(answer.text)
        if answer.verdict is None:
            return make_fault("schema_not_met", "the answer holds no verdict (accept or revise)")
    return found


def _config(job: Job, services: Services) -> RunnableConfig:
    """Return the run's config with what belongs to this attempt: its name and labels in streams and traces."""
    config = get_config()
    hide_keys(config, lambda text: redacted(text, secrets_of(job.provider, services.settings)))
    return {
        **config,
        "run_name": f"{job.id} {job.model.name}",
        "metadata": {**config.get("metadata", {}), **job.label},
        "tags": [*config.get("tags", ()), job.phase.name],
    }
