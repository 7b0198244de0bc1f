"""The five wire formats in which a provider answers or refuses, as bytes: no sockets here.

Groq, Mistral and DeepSeek speak OpenAI's format with their own words for usage and errors.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

from .refusals import Refusal

Finish = Literal["stop", "length", "filter"]
Json = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """A healthy answer, streamed word by word.

    Args:
        text: what the model says.
        finish: why it ended; None: the stream ends cleanly without saying why.
        wait_s: seconds between the headers and the first word.
        done: send the format's own closing line (`[DONE]`).
    """

    text: str = "Hello from the model."
    finish: Finish | None = "stop"
    wait_s: float = 0.0
    done: bool = True
    input_tokens: int = 11
    output_tokens: int = 7

    @property
    def words(self) -> list[str]:
        """The pieces that are streamed."""
        return [word + " " for word in self.text.split(" ")[:-1]] + [self.text.split(" ")[-1]]


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """How one provider writes things.

    Args:
        path: what follows the server's address in the base URL.
        no_choices: a reply without any choice; None where the format has no choices.
    """

    stream: Callable[[Answer, str], list[bytes]]
    whole: Callable[[Answer, str], Json]
    refusal: Callable[[Refusal], Json]
    path: str = ""
    no_choices: Json | None = None
    error_event: Callable[[Refusal], bytes]


def sse(payload: Json, event: str = "") -> bytes:
    """Write one server-sent event."""
    name = f"event: {event}\n" if event else ""
    return f"{name}data: {json.dumps(payload)}\n\n".encode()


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


def _closing(answer: Answer) -> list[bytes]:
    return [b"data: [DONE]\n\n"] if answer.done else []


def openai_stream(answer: Answer, model: str) -> list[bytes]:
    """Usage comes in a chunk of its own, without choices."""
    chunks = _openai_body(answer, model)
    if answer.finish:
        chunks.append(_openai_chunk(model, {}, _OPENAI_FINISH[answer.finish]))
        chunks.append(_openai_chunk(model, {}) | {"choices": [], "usage": _openai_usage(answer)})
    return [sse(chunk) for chunk in chunks] + _closing(answer)


def groq_stream(answer: Answer, model: str) -> list[bytes]:
    """Usage stands under `x_groq` of the last chunk."""
    chunks = _openai_body(answer, model)
    if answer.finish:
        last = _openai_chunk(model, {}, _OPENAI_FINISH[answer.finish])
        chunks.append(last | {"x_groq": {"id": "req_1", "usage": _openai_usage(answer)}})
    return [sse(chunk) for chunk in chunks] + _closing(answer)


def mistral_stream(answer: Answer, model: str) -> list[bytes]:
    """Usage stands in the last chunk, beside its choice."""
    chunks = _openai_body(answer, model)
    if answer.finish:
        last = _openai_chunk(model, {"content": ""}, _OPENAI_FINISH[answer.finish])
        chunks.append(last | {"usage": _openai_usage(answer)})
    return [sse(chunk) for chunk in chunks] + _closing(answer)


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

_GEMINI_FINISH = {"stop": "STOP", "length": "MAX_TOKENS"}


def _gemini_chunk(answer: Answer, model: str, text: str) -> Json:
    return {
        "candidates": [{"content": {"role": "model", "parts": [{"text": text}]}, "index": 0}],
        "usageMetadata": {
            "promptTokenCount": answer.input_tokens,
            "candidatesTokenCount": answer.output_tokens,
            "totalTokenCount": answer.input_tokens + answer.output_tokens,
        },
        "modelVersion": model,
    }


def _gemini_blocked(answer: Answer, model: str) -> Json:
    return {
        "promptFeedback": {"blockReason": "PROHIBITED_CONTENT"},
        "usageMetadata": {"promptTokenCount": answer.input_tokens, "totalTokenCount": answer.input_tokens},
        "modelVersion": model,
    }


def gemini_stream(answer: Answer, model: str) -> list[bytes]:
    if answer.finish == "filter":
        return [sse(_gemini_blocked(answer, model))]
    chunks = [_gemini_chunk(answer, model, word) for word in answer.words]
    if answer.finish:
        chunks[-1]["candidates"][0]["finishReason"] = _GEMINI_FINISH[answer.finish]
    return [sse(chunk) for chunk in chunks]


def gemini_whole(answer: Answer, model: str) -> Json:
    if answer.finish == "filter":
        return _gemini_blocked(answer, model)
    body = _gemini_chunk(answer, model, answer.text)
    if answer.finish:
        body["candidates"][0]["finishReason"] = _GEMINI_FINISH[answer.finish]
    return body


def gemini_refusal(refusal: Refusal) -> Json:
    error: Json = {"code": refusal.status, "message": refusal.message, "status": refusal.code}
    if refusal.status == 429:
        kind = "type.googleapis.com/google.rpc.RetryInfo"
        error["details"] = [{"@type": kind, "retryDelay": "3s"}]
    return {"error": error}


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


def anthropic_stream(answer: Answer, model: str) -> list[bytes]:
    words = [] if answer.finish == "filter" else answer.words
    events: list[Json] = [
        {"type": "message_start", "message": _anthropic_message(answer, model, [], None)},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    ]
    for word in words:
        delta = {"type": "text_delta", "text": word}
        events.append({"type": "content_block_delta", "index": 0, "delta": delta})
    if answer.finish:
        usage = {"input_tokens": answer.input_tokens, "output_tokens": answer.output_tokens}
        ending = {"stop_reason": _ANTHROPIC_FINISH[answer.finish], "stop_sequence": None}
        events.append({"type": "content_block_stop", "index": 0})
        events.append({"type": "message_delta", "delta": ending, "usage": usage})
        if answer.done:
            events.append({"type": "message_stop"})
    return [sse(event, event["type"]) for event in events]


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


def cohere_stream(answer: Answer, model: str) -> list[bytes]:
    words = [] if answer.finish == "filter" else answer.words
    start = {"message": {"role": "assistant", "content": []}}
    events: list[Json] = [
        {"type": "message-start", "id": "co_1", "delta": start},
        {
            "type": "content-start",
            "index": 0,
            "delta": {"message": {"content": {"type": "text", "text": ""}}},
        },
    ]
    for word in words:
        delta = {"message": {"content": {"text": word}}}
        events.append({"type": "content-delta", "index": 0, "delta": delta})
    if answer.finish:
        ending = {"finish_reason": _COHERE_FINISH[answer.finish], "usage": _cohere_usage(answer)}
        events.append({"type": "content-end", "index": 0})
        events.append({"type": "message-end", "id": "co_1", "delta": ending})
    return [sse(event, event["type"]) for event in events] + _closing(answer)


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
    error_event=lambda refusal: sse(cohere_refusal(refusal), "message-end"),
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
