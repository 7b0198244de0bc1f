from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.exceptions import ContextOverflowError, ModelRefusalError, OutputParserException
from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage
from langchain_core.runnables import Runnable

from ymera.nodes.faults import (
    LONGEST_MESSAGE,
    fault_of,
    finish_fault,
    finish_reason,
    make_fault,
    redacted,
    retry_after,
    signs_of,
)
from ymera.nodes.providers import ChatModels
from ymera.nodes.settings import Settings
from ymera.routing import records
from ymera.routing.errors import InputError, WeightsError

from ..servers.clients import MODELS, NAMES, PROVIDERS, key_of
from ..servers.faulty import Answer, Fault, FaultName, FaultyServer, Reply

# --- what each client makes of each fault -----------------------------------------------------------------

SAME_EVERYWHERE: dict[str, tuple[Reply, str | None]] = {
    "whole": (Answer(), None),
    "without the closing line": (Answer(done=False), None),
    "400": (Fault("400"), "bug"),
    "401": (Fault("401"), "authentication"),
    "402": (Fault("402"), "quota_spent"),
    "403": (Fault("403"), "authentication"),
    "404": (Fault("404"), "not_found"),
    "408": (Fault("408"), "timed_out"),
    "413": (Fault("413"), "request_too_large"),
    "429": (Fault("429"), "rate_limited"),
    "500": (Fault("500"), "server_error"),
    "502": (Fault("502"), "server_error"),
    "504": (Fault("504"), "timed_out"),
    "529": (Fault("529"), "overloaded"),
    "context": (Fault("context"), "context_too_long"),
    "filter": (Fault("filter"), "refused"),
    "quota": (Fault("quota"), "quota_spent"),
    "reset": (Fault("reset"), "unreachable"),
    "silent": (Fault("silent"), "timed_out"),
    "stall before the first word": (Fault("stall_first"), "timed_out"),
    "stall": (Fault("stall"), "timed_out"),
    "cut": (Fault("cut"), "cut_short"),
    "a line that is no JSON": (Fault("bad_json"), "malformed"),
    "empty choices": (Fault("empty_choices"), "empty"),
    "no finish reason": (Answer(finish=None), "cut_short"),
    "length": (Answer(finish="length"), "cut_short"),
    "filter in 200": (Answer(finish="filter"), "refused"),
    "blank": (Answer("  "), "empty"),
}
NEVER_ENDING = (Fault("silent"), Fault("stall_first"), Fault("stall"))
# Gemini says UNAVAILABLE with 503. Mistral's and Cohere's clients pass over an error inside a stream, which
# then ends without a finish reason. A document in place of a stream is no event at all to the OpenAI family.
DIFFERENT: dict[str, tuple[Reply, dict[str, str]]] = {
    "503": (Fault("503"), dict.fromkeys(NAMES, "server_error") | {"google": "overloaded"}),
    "error in the stream": (
        Fault("error_event"),
        dict.fromkeys(NAMES, "server_error") | {"mistral": "cut_short", "cohere": "cut_short"},
    ),
    "error in 200": (
        Fault("error_in_200"),
        dict.fromkeys(NAMES, "empty")
        | {"google": "server_error", "mistral": "malformed", "cohere": "malformed"},
    ),
}


async def outcome(
    models: ChatModels, name: str, settings: Settings, *, seconds: float = 30.0
) -> records.Fault | None:
    """Call a model as a phase does, and return the fault that is written down."""
    chat = await models.open(MODELS[name], max_output_tokens=100, temperature=0.3)
    return await outcome_of(chat, name, settings, seconds=seconds)


async def outcome_of(
    chat: Runnable[LanguageModelInput, AIMessage], name: str, settings: Settings, *, seconds: float = 30.0
) -> records.Fault | None:
    whole: Any = None
    try:
        async with asyncio.timeout(seconds):
            async for chunk in chat.astream("Say hello."):
                whole = chunk if whole is None else whole + chunk
    except Exception as error:  # noqa: BLE001 - whatever a client raises is under test
        return fault_of(error, PROVIDERS[name], settings)
    return finish_fault(whole)


@pytest.mark.parametrize("name", NAMES)
async def test_every_fault_of_every_client_has_its_kind(
    name: str, models: ChatModels, faulty: FaultyServer, faulty_settings: Settings
) -> None:
    rows = SAME_EVERYWHERE | {title: (reply, kinds[name]) for title, (reply, kinds) in DIFFERENT.items()}
    found = {}
    for title, (reply, _) in rows.items():
        faulty.reset()
        faulty.script(name, [reply])
        seconds = 0.3 if reply in NEVER_ENDING else 30.0
        fault = await outcome(models, name, faulty_settings, seconds=seconds)
        found[title] = (fault and fault["kind"], len(faulty.requests))
    assert found == {title: (kind, 1) for title, (_, kind) in rows.items()}


async def test_a_server_that_is_not_there_is_unreachable(
    models: ChatModels, faulty: FaultyServer, faulty_settings: Settings
) -> None:
    await faulty.__aexit__(None, None, None)
    kinds = {}
    for name in NAMES:
        fault = await outcome(models, name, faulty_settings)
        kinds[name] = fault and (fault["kind"], fault["then"])
    assert kinds == dict.fromkeys(NAMES, ("unreachable", "drop_provider"))


@pytest.mark.parametrize(
    ("reply", "kind"),
    [(Answer('{"a": ', finish="length"), "cut_short"), (Answer(finish="filter"), "refused")],
    ids=["cut", "filtered"],
)
@pytest.mark.parametrize("name", ["openai", "azure", "deepseek", "groq", "mistral"])
async def test_an_answer_asked_for_as_json_has_the_same_kinds(
    name: str,
    reply: Reply,
    kind: str,
    models: ChatModels,
    faulty: FaultyServer,
    faulty_settings: Settings,
) -> None:
    faulty.script(name, [reply])
    wanted = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}}
    chat = await models.open(MODELS[name], max_output_tokens=100, temperature=0.3)
    fault = await outcome_of(chat.bind(response_format=wanted), name, faulty_settings)
    assert fault is not None
    assert fault["kind"] == kind


@pytest.mark.parametrize("fault", ["400", "401", "403", "429", "500", "error_event", "error_in_200"])
@pytest.mark.parametrize("name", NAMES)
async def test_a_key_that_a_provider_repeats_is_not_passed_on(
    name: str,
    fault: FaultName,
    models: ChatModels,
    faulty: FaultyServer,
    faulty_settings: Settings,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, logger="ymera")
    faulty.script(name, [Fault(fault, message=f"Your key {key_of(name)} or sk-proj-12345678 is no good.")])
    written = await outcome(models, name, faulty_settings)
    assert written is not None
    shown = json.dumps(written) + "".join(record.getMessage() for record in caplog.records)
    assert key_of(name) not in shown
    assert "sk-proj" not in shown


async def test_the_providers_own_words_are_quoted_with_advice(
    models: ChatModels, faulty: FaultyServer, faulty_settings: Settings
) -> None:
    faulty.script("groq", [Fault("401", message="No such key.")])
    assert await outcome(models, "groq", faulty_settings) == {
        "kind": "authentication",
        "message": "the key was not accepted: No such key. "
        "Check that GROQ_CANARY_KEY is set, valid and allowed to use the model.",
        "then": "drop_provider",
    }


# --- errors that no server makes --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (TimeoutError(), "timed_out"),
        (asyncio.CancelledError(), "cancelled"),
        (ImportError("langchain-x is not installed"), "not_installed"),
        (WeightsError("the weights are cut short"), "not_installed"),
        (InputError("X_KEY is not set"), "authentication"),
        (OutputParserException("no JSON"), "schema_not_met"),
        (ContextOverflowError(), "context_too_long"),
        (ModelRefusalError(), "refused"),
        (json.JSONDecodeError("Expecting value", "the body", 0), "malformed"),
        (ConnectionRefusedError("refused"), "unreachable"),
        (httpx.ReadTimeout("slow"), "timed_out"),
        (httpx.ConnectError("no route"), "unreachable"),
        (ValueError("No generation chunks were returned"), "empty"),
        (ValueError("something else"), "bug"),
        (KeyError("choices"), "bug"),
        (FileNotFoundError("a file of ours"), "bug"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_an_error_without_a_server_has_its_kind(error: BaseException, kind: str, settings: Settings) -> None:
    assert fault_of(error, PROVIDERS["openai"], settings)["kind"] == kind


def test_a_bug_is_logged_whole_and_its_text_stays_out_of_the_state(
    settings: Settings, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_CANARY_KEY", key_of("openai"))
    try:
        raise LookupError(f"prompt: my diary, key {key_of('openai')}")
    except LookupError as error:
        fault = fault_of(error, PROVIDERS["openai"], settings)
    assert (fault["kind"], "diary" in fault["message"], "LookupError" in fault["message"]) == (
        "bug",
        False,
        True,
    )
    [record] = caplog.records
    assert record.name == "ymera"
    assert "raise LookupError" in record.getMessage()
    assert key_of("openai") not in record.getMessage()


def test_the_body_of_a_reply_is_never_quoted(settings: Settings) -> None:
    error = json.JSONDecodeError("Expecting value", '{"echo": "my diary"}', 0)
    assert "diary" not in fault_of(error, PROVIDERS["openai"], settings)["message"]
    body = {"detail": [{"msg": "too long", "input": "my diary"}]}
    response = httpx.Response(422, json=body, request=httpx.Request("POST", "http://x"))
    strange = httpx.HTTPStatusError("Error response: my diary", request=response.request, response=response)
    assert "diary" not in fault_of(strange, PROVIDERS["mistral"], settings)["message"]


@pytest.mark.parametrize(
    ("code", "expected"),
    [("rate_limit_exceeded", "rate_limit_exceeded"), (400, "exceed_context_size_error"), (None, None)],
    ids=["a word", "llama.cpp: a number, its type tells", "nothing"],
)
def test_the_providers_code_is_its_word(code: object, expected: str | None) -> None:
    error = {"code": code, "type": "exceed_context_size_error" if code == 400 else None, "message": "m"}
    response = httpx.Response(400, json={"error": error}, request=httpx.Request("POST", "http://x"))
    signs = signs_of(httpx.HTTPStatusError("text", request=response.request, response=response))
    assert (signs.code, signs.status, signs.message) == (expected, 400, "m")


# --- answers that came without an error -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        (AIMessage("yes", response_metadata={"finish_reason": "stop"}), None),
        (AIMessage("yes", response_metadata={"finish_reason": "STOP"}), None),
        (AIMessage("yes", response_metadata={"stop_reason": "end_turn"}), None),
        (AIMessage("yes", additional_kwargs={"finish_reason": "COMPLETE"}), None),
        (AIMessage("yes", response_metadata={"finish_reason": "a word of tomorrow"}), None),
        (AIMessage([{"type": "text", "text": "yes"}], response_metadata={"finish_reason": "STOP"}), None),
        (AIMessage("yes"), "cut_short"),
        (AIMessage("yes", response_metadata={"finish_reason": "length"}), "cut_short"),
        (AIMessage("yes", response_metadata={"stop_reason": "max_tokens"}), "cut_short"),
        (AIMessage("", response_metadata={"finish_reason": "length"}), "cut_short"),
        (AIMessage("", response_metadata={"stop_reason": "refusal"}), "refused"),
        (AIMessage("y", response_metadata={"finish_reason": "SAFETY"}), "refused"),
        (AIMessage("", response_metadata={"prompt_feedback": {"block_reason": "SAFETY"}}), "refused"),
        (
            AIMessage("", additional_kwargs={"refusal": "no"}, response_metadata={"finish_reason": "stop"}),
            "refused",
        ),
        (AIMessage("y", response_metadata={"finish_reason": "insufficient_system_resource"}), "server_error"),
        (AIMessage(" \n", response_metadata={"finish_reason": "stop"}), "empty"),
        (AIMessage(""), "empty"),
        (
            AIMessage(
                [{"type": "reasoning", "reasoning": "hm"}], response_metadata={"finish_reason": "stop"}
            ),
            "empty",
        ),
    ],
    ids=lambda value: repr(finish_reason(value)) if isinstance(value, AIMessage) else None,
)
def test_an_answer_counts_only_when_it_is_whole(message: AIMessage, kind: str | None) -> None:
    fault = finish_fault(message)
    assert (fault and fault["kind"]) == kind


# --- what may be shown ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "key",
    [
        "sk-proj-AbCd1234efgh5678",
        "sk-ant-api03-AbCd1234",
        "gsk_AbCd1234efgh",
        "AIzaSyA1234567890abcdef",
        "sk-abc***************wxyz",
        "0123456789abcdef0123456789abcdef",
        "AbCdEfGh1234IjKlMnOp5678QrStUvWx9012YzAb",
    ],
)
@pytest.mark.parametrize("text", ["Incorrect API key provided: {}.", "{}", "key={}&x=1", "Bearer {}"])
def test_what_looks_like_a_key_is_hidden(key: str, text: str) -> None:
    assert key not in redacted(text.format(key))


@pytest.mark.parametrize(
    "text",
    [
        "This model's maximum context length is 8192 tokens. However, your messages have 9001 tokens.",
        "Rate limit reached for gpt-4o in organization: 30000 tokens per minute.",
        "models/gemini-2.5-flash-preview-09-2025 is not found for API version v1beta",
        "task-oriented risk-averse desk-research",
    ],
)
def test_ordinary_words_are_left_alone(text: str) -> None:
    assert redacted(text) == text


@given(st.text(), st.text("abcXYZ0189", min_size=8), st.text())
def test_a_given_key_is_never_left_in_a_text(before: str, key: str, after: str) -> None:
    assert key not in redacted(before + key + after, [key])


@given(st.text(max_size=2_000))
def test_a_message_is_never_too_long_for_the_state(detail: str) -> None:
    assert len(make_fault("timed_out", detail)["message"]) <= LONGEST_MESSAGE


@pytest.mark.parametrize("name", ["openai", "mistral"])
async def test_a_long_message_keeps_its_advice(
    name: str, models: ChatModels, faulty: FaultyServer, faulty_settings: Settings
) -> None:
    faulty.script(name, [Fault("401", message="so " * 500)])
    fault = await outcome(models, name, faulty_settings)
    assert fault is not None
    assert len(fault["message"]) <= LONGEST_MESSAGE
    assert fault["message"].endswith("is set, valid and allowed to use the model.")


# --- how long to wait -------------------------------------------------------------------------------------


async def waited(models: ChatModels, name: str) -> float | None:
    chat = await models.open(MODELS[name], max_output_tokens=100, temperature=0.3)
    with pytest.raises(Exception) as caught:
        await chat.ainvoke("Say hello.")
    return retry_after(caught.value)


@pytest.mark.parametrize("name", NAMES)
async def test_the_wait_that_a_provider_asks_for_is_found(
    name: str, models: ChatModels, faulty: FaultyServer
) -> None:
    replies = ["7", "0.5", "Fri, 31 Jan 2025 00:00:00 GMT", "soon"]
    faulty.script(name, [Fault("429", retry_after=text) for text in replies] + [Fault("500")])
    found = [await waited(models, name) for _ in range(5)]
    assert found[:3] == [7.0, 0.5, 0.0]
    assert found[3:] == ([3.0, None] if name == "google" else [None, None])


def test_an_error_without_headers_asks_for_no_wait() -> None:
    assert retry_after(TimeoutError()) is None
