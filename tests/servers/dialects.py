"""The five wire formats in which a provider answers or refuses, as bytes: no sockets here.

Groq, Mistral and DeepSeek speak OpenAI's format with their own words for usage and errors.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from .refusals import Refusal
from .replies import Answer, Event, Tokens

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """How one provider writes things.

    Args:
        path: what follows the server's address in the base URL.
        no_choices: a reply without any choice; None where the format has no choices.
        error_event: an error inside a stream.
    """

    stream: Callable[[Answer, str], list[Event]]
    whole: Callable[[Answer, str], Json]
    refusal: Callable[[Refusal], Json]
    path: str = ""
    no_choices: Json | None = None
    error_event: Callable[[Refusal], Event]


def sse(payload: Json, event: str = "", tokens: Tokens | None = None) -> Event:
    """Write one server-sent event."""
    name = f"event: {event}\n" if event else ""
    return Event(f"{name}data: {json.dumps(payload)}\n\n".encode(), tokens)


def _reports(answer: Answer) -> list[Answer]:
    """Return the answer as its reports of usage have it, the last one in full."""
    early = replace(answer, output_tokens=answer.output_tokens // 2)
    return {"none": [], "twice": [early, answer]}.get(answer.usage, [answer])


# --- OpenAI and those who speak like it -------------------------------------------------------------------

_OPENAI_FINISH = {"stop": "stop", "length": "length", "filter": "content_filter"}


def _openai_chunk(model: str, delta: Json, finish: str | None = None) -> Json:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": model,
        "choices": [choice],
    }


def _openai_usage(answer: Answer) -> Json:
    total = answer.input_tokens + answer.output_tokens
    return {
        "prompt_tokens": answer.input_tokens,
        "completion_tokens": answer.output_tokens,
        "total_tokens": total,
    }


def _openai_body(answer: Answer, model: str) -> list[Json]:
    said = "" if answer.finish == "filter" else answer.text
    words = replace(answer, text=said).words
    first = _openai_chunk(model, {"role": "assistant", "content": ""})
    return [first, *(_openai_chunk(model, {"content": word}) for word in words)]


def _closing(answer: Answer) -> list[Event]:
    return [Event(b"data: [DONE]\n\n")] if answer.done else []


def _afterthought(answer: Answer, model: str) -> list[Event]:
    return [sse(_openai_chunk(model, {"content": answer.afterthought}))] if answer.afterthought else []


def openai_stream(answer: Answer, model: str) -> list[Event]:
    """Usage comes in a chunk of its own, without choices."""
    if answer.usage == "beside":
        return mistral_stream(answer, model)
    events = [sse(chunk) for chunk in _openai_body(answer, model)]
    if answer.finish:
        events.append(sse(_openai_chunk(model, {}, _OPENAI_FINISH[answer.finish])))
        events += _afterthought(answer, model)
        for report in _reports(answer):
            usage = {"choices": [], "usage": _openai_usage(report)}
            events.append(sse(_openai_chunk(model, {}) | usage, tokens=report.tokens))
    return events + _closing(answer)


def groq_stream(answer: Answer, model: str) -> list[Event]:
    """Usage stands under `x_groq` of the last chunk."""
    return _beside(answer, model, lambda usage: {"x_groq": {"id": "req_1", "usage": usage}})


def mistral_stream(answer: Answer, model: str) -> list[Event]:
    """Usage stands in the last chunk, beside its choice."""
    return _beside(answer, model, lambda usage: {"usage": usage})


def _beside(answer: Answer, model: str, place: Callable[[Json], Json]) -> list[Event]:
    events = [sse(chunk) for chunk in _openai_body(answer, model)]
    if answer.finish:
        last = _openai_chunk(model, {"content": ""}, _OPENAI_FINISH[answer.finish])
        reports = [
            sse(last | place(_openai_usage(report)), tokens=report.tokens) for report in _reports(answer)
        ]
        events += (reports or [sse(last)]) + _afterthought(answer, model)
    return events + _closing(answer)


def openai_whole(answer: Answer, model: str) -> Json:
    said = "" if answer.finish == "filter" else answer.text
    finish = _OPENAI_FINISH[answer.finish] if answer.finish else None
    choice = {"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": finish}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": model,
        "choices": [choice],
        "usage": _openai_usage(answer),
    }


def openai_refusal(refusal: Refusal) -> Json:
    kind = "invalid_request_error" if refusal.status < 500 else "server_error"
    error = {"message": refusal.message, "type": kind, "param": None, "code": refusal.code}
    return {"error": error}


def mistral_refusal(refusal: Refusal) -> Json:
    return {"object": "error", "message": refusal.message, "type": refusal.code, "code": "1000"}


_OPENAI_EMPTY = {
    "id": "chatcmpl-1",
    "object": "chat.completion.chunk",
    "created": 1_700_000_000,
    "model": "m",
    "choices": [],
}

OPENAI = Dialect(
    stream=openai_stream,
    whole=openai_whole,
    refusal=openai_refusal,
    path="/v1",
    no_choices=_OPENAI_EMPTY,
    error_event=lambda refusal: sse(openai_refusal(refusal)),
)
MISTRAL = replace(
    OPENAI,
    stream=mistral_stream,
    refusal=mistral_refusal,
    error_event=lambda refusal: sse(mistral_refusal(refusal)),
)


# --- Gemini -----------------------------------------------------------------------------------------------

_GOOGLE_RPC = "type.googleapis.com/google.rpc"
_GEMINI_FINISH = {"stop": "STOP", "length": "MAX_TOKENS"}


def _gemini_chunk(answer: Answer, model: str, text: str, *, part: float = 1.0) -> Json:
    """Write a chunk; `part` of the output has been written with it."""
    return {
        "candidates": [{"content": {"role": "model", "parts": [{"text": text}]}, "index": 0}],
        "usageMetadata": _gemini_usage(_so_far(answer, part)),
        "modelVersion": model,
    }


def _so_far(answer: Answer, part: float) -> Answer:
    return replace(answer, output_tokens=int(answer.output_tokens * part))


def _gemini_usage(answer: Answer) -> Json:
    if answer.usage == "none":
        return {}
    return {
        "promptTokenCount": answer.input_tokens,
        "candidatesTokenCount": answer.output_tokens,
        "totalTokenCount": answer.input_tokens + answer.output_tokens,
    }


def _gemini_blocked(answer: Answer, model: str) -> Json:
    return {
        "promptFeedback": {"blockReason": "PROHIBITED_CONTENT"},
        "usageMetadata": {"promptTokenCount": answer.input_tokens, "totalTokenCount": answer.input_tokens},
        "modelVersion": model,
    }


def gemini_stream(answer: Answer, model: str) -> list[Event]:
    """Every chunk has the tokens so far."""
    if answer.finish == "filter":
        return [sse(_gemini_blocked(answer, model), tokens=(answer.input_tokens, 0))]
    words = answer.words
    parts = [(number + 1) / len(words) for number in range(len(words))]
    chunks = [_gemini_chunk(answer, model, word, part=part) for word, part in zip(words, parts, strict=True)]
    if answer.finish:
        chunks[-1]["candidates"][0]["finishReason"] = _GEMINI_FINISH[answer.finish]
    if answer.afterthought:
        chunks.append(_gemini_chunk(answer, model, answer.afterthought))
    told = [None if answer.usage == "none" else _so_far(answer, part).tokens for part in [*parts, 1.0]]
    return [sse(chunk, tokens=tokens) for chunk, tokens in zip(chunks, told, strict=False)]


def gemini_whole(answer: Answer, model: str) -> Json:
    if answer.finish == "filter":
        return _gemini_blocked(answer, model)
    body = _gemini_chunk(answer, model, answer.text)
    if answer.finish:
        body["candidates"][0]["finishReason"] = _GEMINI_FINISH[answer.finish]
    return body


def gemini_refusal(refusal: Refusal) -> Json:
    error: Json = {"code": refusal.status, "message": refusal.message, "status": refusal.code}
    details: list[Json] = []
    if refusal.quota:
        violation = {"quotaId": refusal.quota, "quotaDimensions": {"location": "global"}}
        details.append({"@type": f"{_GOOGLE_RPC}.QuotaFailure", "violations": [violation]})
    if refusal.retry_delay:
        details.append({"@type": f"{_GOOGLE_RPC}.RetryInfo", "retryDelay": refusal.retry_delay})
    return {"error": error | ({"details": details} if details else {})}


GEMINI = Dialect(
    stream=gemini_stream,
    whole=gemini_whole,
    refusal=gemini_refusal,
    no_choices={"candidates": [], "modelVersion": "m"},
    error_event=lambda refusal: sse(gemini_refusal(refusal)),
)


# --- Anthropic --------------------------------------------------------------------------------------------

_ANTHROPIC_FINISH = {"stop": "end_turn", "length": "max_tokens", "filter": "refusal"}


def _anthropic_message(answer: Answer, model: str, content: list[Json], finish: str | None) -> Json:
    usage = {"input_tokens": answer.input_tokens, "output_tokens": answer.output_tokens}
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        "stop_reason": finish,
        "stop_sequence": None,
        "usage": usage,
    }


def anthropic_stream(answer: Answer, model: str) -> list[Event]:
    """Usage is reported when the answer is finished; what the first event says of it is preliminary."""
    words = [] if answer.finish == "filter" else answer.words
    start = _anthropic_message(replace(answer, output_tokens=1), model, [], None)
    block = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    events = [_anthropic_event({"type": "message_start", "message": start}), _anthropic_event(block)]
    events += [_anthropic_word(word) for word in words]
    if answer.finish:
        events.append(_anthropic_event({"type": "content_block_stop", "index": 0}))
        ending = {"stop_reason": _ANTHROPIC_FINISH[answer.finish], "stop_sequence": None}
        for report in _reports(answer) or [replace(answer, input_tokens=0, output_tokens=0)]:
            usage = {"input_tokens": report.input_tokens, "output_tokens": report.output_tokens}
            last = {"type": "message_delta", "delta": ending, "usage": usage}
            events.append(_anthropic_event(last, report.tokens))
        events += [_anthropic_word(answer.afterthought)] if answer.afterthought else []
        events += [_anthropic_event({"type": "message_stop"})] if answer.done else []
    return events


def _anthropic_event(event: Json, tokens: Tokens | None = None) -> Event:
    return sse(event, event["type"], tokens)


def _anthropic_word(word: str) -> Event:
    delta = {"type": "text_delta", "text": word}
    return _anthropic_event({"type": "content_block_delta", "index": 0, "delta": delta})


def anthropic_whole(answer: Answer, model: str) -> Json:
    content = [] if answer.finish == "filter" else [{"type": "text", "text": answer.text}]
    finish = _ANTHROPIC_FINISH[answer.finish] if answer.finish else None
    return _anthropic_message(answer, model, content, finish)


def anthropic_refusal(refusal: Refusal) -> Json:
    return {"type": "error", "error": {"type": refusal.code, "message": refusal.message}}


ANTHROPIC = Dialect(
    stream=anthropic_stream,
    whole=anthropic_whole,
    refusal=anthropic_refusal,
    error_event=lambda refusal: sse(anthropic_refusal(refusal), "error"),
)


# --- Cohere -----------------------------------------------------------------------------------------------

_COHERE_FINISH = {"stop": "COMPLETE", "length": "MAX_TOKENS", "filter": "ERROR_TOXIC"}


def _cohere_usage(answer: Answer) -> Json:
    counted = {"input_tokens": answer.input_tokens, "output_tokens": answer.output_tokens}
    return {"billed_units": counted, "tokens": counted}


def cohere_stream(answer: Answer, model: str) -> list[Event]:
    """Usage stands in the last event, always and once."""
    words = [] if answer.finish == "filter" else answer.words
    start = {"message": {"role": "assistant", "content": []}}
    block = {"message": {"content": {"type": "text", "text": ""}}}
    events = [
        sse({"type": "message-start", "id": "co_1", "delta": start}, "message-start"),
        sse({"type": "content-start", "index": 0, "delta": block}, "content-start"),
        *(_cohere_word(word) for word in words),
    ]
    if answer.finish:
        events.append(sse({"type": "content-end", "index": 0}, "content-end"))
        ending = {"finish_reason": _COHERE_FINISH[answer.finish], "usage": _cohere_usage(answer)}
        events.append(_cohere_end(ending, answer.tokens))
        events += [_cohere_word(answer.afterthought)] if answer.afterthought else []
    return events + _closing(answer)


def _cohere_word(word: str) -> Event:
    delta = {"message": {"content": {"text": word}}}
    return sse({"type": "content-delta", "index": 0, "delta": delta}, "content-delta")


def _cohere_end(delta: Json, tokens: Tokens | None = None) -> Event:
    return sse({"type": "message-end", "id": "co_1", "delta": delta}, "message-end", tokens)


def _cohere_error(refusal: Refusal) -> Event:
    """Write an error in the place that the format has for it: beside the finish reason."""
    return _cohere_end({"finish_reason": "ERROR", "error": refusal.message})


def cohere_whole(answer: Answer, model: str) -> Json:
    content = [] if answer.finish == "filter" else [{"type": "text", "text": answer.text}]
    finish = _COHERE_FINISH[answer.finish] if answer.finish else None
    message = {"role": "assistant", "content": content}
    return {"id": "co_1", "finish_reason": finish, "message": message, "usage": _cohere_usage(answer)}


def cohere_refusal(refusal: Refusal) -> Json:
    return {"id": "co_1", "message": refusal.message}


COHERE = Dialect(
    stream=cohere_stream,
    whole=cohere_whole,
    refusal=cohere_refusal,
    error_event=_cohere_error,
)

DIALECTS: dict[str, Dialect] = {
    "openai": OPENAI,
    "local": OPENAI,
    "azure": replace(OPENAI, path=""),
    "deepseek": OPENAI,
    "groq": replace(OPENAI, stream=groq_stream, path=""),
    "mistral": MISTRAL,
    "google": GEMINI,
    "anthropic": ANTHROPIC,
    "cohere": COHERE,
}
