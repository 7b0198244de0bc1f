from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.exceptions import ContextOverflowError, ModelRefusalError, OutputParserException
from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage
from langchain_core.messages.ai import add_ai_message_chunks
from langchain_core.runnables import Runnable

from ymera.nodes.faults import (
    LONGEST_MESSAGE,
    LONGEST_WAIT_S,
    fault_of,
    finish_fault,
    finish_reason,
    make_fault,
    redacted,
    retry_after,
    signs_of,
)
from ymera.nodes.providers import ChatModels
from ymera.nodes.settings import Settings, load_settings
from ymera.nodes.sse import BrokenReplyError, FailedReplyError, UnreadableReplyError
from ymera.routing import attempts
from ymera.routing.errors import InputError, WeightsError

from ..servers.cases import CASES, HUGE, Place
from ..servers.clients import MODELS, NAMES, PROVIDERS, key_of, point_at
from ..servers.dialects import DIALECTS
from ..servers.faulty import Answer, Fault, FaultName, FaultyServer, Reply

# --- what each client makes of each fault -----------------------------------------------------------------


ADDED_UP = {"usage twice", "length, said twice"}
"""LangChain adds up the chunks' usage: whoever joins them has to take the last that counts the input."""


@dataclass(frozen=True)
class Outcome:
    """What came of a call: the fault that is written down, and what the client had handed on by then."""

    fault: attempts.Fault | None
    message: AIMessage | None = None

    @property
    def kind(self) -> str | None:
        return self.fault and self.fault["kind"]

    @property
    def text(self) -> str:
        return self.message.text if self.message else ""

    @property
    def tokens(self) -> tuple[int, int] | None:
        usage = self.message and self.message.usage_metadata
        return (usage["input_tokens"], usage["output_tokens"]) if usage else None


async def outcome(models: ChatModels, name: str, settings: Settings, *, seconds: float = 20.0) -> Outcome:
    """Call a model as a phase does."""
    chat = await models.open(MODELS[name], max_output_tokens=100, temperature=0.3)
    return await outcome_of(chat, name, settings, seconds=seconds)


async def outcome_of(
    chat: Runnable[LanguageModelInput, AIMessage], name: str, settings: Settings, *, seconds: float = 20.0
) -> Outcome:
    chunks: list[Any] = []
    try:
        async with asyncio.timeout(seconds):
            async for chunk in chat.astream("Say hello."):
                chunks.append(chunk)
    except Exception as error:  # noqa: BLE001 - whatever a client raises is under test
        return Outcome(fault_of(error, PROVIDERS[name], settings), added(chunks))
    return Outcome(finish_fault(added(chunks) or AIMessage("")), added(chunks))


def added(chunks: list[Any]) -> AIMessage | None:
    if len(chunks) > 1:
        return add_ai_message_chunks(*chunks)
    return (
        chunks[0] if chunks else None
    )  # a client that does not stream hands on a message, which is no chunk


@pytest.fixture
def placed(faulty: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> Callable[[Place], Settings]:
    """Point every client at the faulty server, or at a place where no server is."""

    def place(where: Place) -> Settings:
        for variable in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.delenv(variable, raising=False)
            monkeypatch.delenv(variable.lower(), raising=False)
        if where != "here":
            host = "nobody.invalid" if where == "no such host" else f"127.0.0.1:{closed_port()}"
            point_at(monkeypatch, lambda provider: f"http://{host}/{provider}{DIALECTS[provider].path}")
        return load_settings()

    return place


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


async def settled() -> set[asyncio.Task[Any]]:
    """Return the tasks of this loop, once those that are about to end have done so."""
    for _ in range(20):
        await asyncio.sleep(0)
    return asyncio.all_tasks()


@pytest.mark.parametrize("title", CASES)
@pytest.mark.parametrize("name", NAMES)
async def test_every_fault_of_every_client_has_its_kind(
    name: str,
    title: str,
    faulty: FaultyServer,
    placed: Callable[[Place], Settings],
    caplog: pytest.LogCaptureFixture,
) -> None:
    case = CASES[title]
    if name in case.not_for:
        pytest.skip("it takes this client too long")
    faulty.script(name, [case.reply])
    settings, before = placed(case.place), await settled()
    models = ChatModels(settings, PROVIDERS)
    found = await outcome(models, name, settings, seconds=0.2 if case.endless else 20.0)
    await models.close()

    assert (found.kind, len(faulty.requests)) == (case.kind_for(name), 1 if case.place == "here" else 0)
    assert key_of(name) not in json.dumps(found.fault) + caplog.text
    assert await faulty.left_alone()
    assert await settled() <= before
    if title in HUGE:
        assert faulty.sent < 20 * 2**20
        return
    assert is_true(found, case.reply)
    if found.tokens and title not in ADDED_UP:
        assert found.tokens == billed(faulty)


def billed(server: FaultyServer) -> tuple[int, int]:
    [bill] = server.billed.values()
    return bill.input_tokens, bill.output_tokens


def is_true(found: Outcome, reply: Reply) -> bool:
    """Say whether a text is what was sent: a success the whole of it, a failure not more than its beginning."""
    whole = Answer().text
    if isinstance(reply, Answer):
        whole = reply.text + reply.afterthought
    return found.text == whole if found.kind is None else whole.startswith(found.text)


@pytest.mark.parametrize(
    ("reply", "kind"),
    [(Answer('{"a": ', finish="length"), "length_reached"), (Answer(finish="filter"), "refused")],
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
    assert (await outcome_of(chat.bind(response_format=wanted), name, faulty_settings)).kind == kind


@pytest.mark.parametrize(
    "fault", ["400", "401", "403", "429", "500", "error_event", "error_first", "error_in_200"]
)
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
    written = (await outcome(models, name, faulty_settings)).fault
    assert written is not None
    assert "no good" in written["message"]
    shown = json.dumps(written) + "".join(record.getMessage() for record in caplog.records)
    assert key_of(name) not in shown
    assert "sk-proj" not in shown


async def test_the_providers_own_words_are_quoted_with_advice(
    models: ChatModels, faulty: FaultyServer, faulty_settings: Settings
) -> None:
    faulty.script("groq", [Fault("401", message="No such key.")])
    assert (await outcome(models, "groq", faulty_settings)).fault == {
        "kind": "authentication",
        "message": "the key was not accepted: No such key. Check that GROQ_CANARY_KEY is set and valid.",
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
        (UnicodeDecodeError("utf-8", b"\xe9", 0, 1, "invalid"), "malformed"),
        (UnreadableReplyError("it is a web page"), "malformed"),
        (BrokenReplyError("ReadError"), "cut_short"),
        (FailedReplyError({"error": {"message": "m"}}), "server_error"),
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
    "page",
    ["<html>my diary</html>", '{"id": "my diary', '[{"error": "my diary"'],
    ids=["page", "object", "list"],
)
async def test_a_body_that_is_no_message_is_not_quoted_as_one(
    page: str, models: ChatModels, faulty: FaultyServer, faulty_settings: Settings
) -> None:
    faulty.script("google", [Fault("500", message=page)])
    fault = (await outcome(models, "google", faulty_settings)).fault
    assert fault is not None
    assert "diary" not in fault["message"]


@pytest.mark.parametrize(
    ("body", "kind", "quoted"),
    [
        ({"error": {"code": 502, "message": "m"}}, "server_error", "m"),
        ({"error": {"code": 503, "message": "m", "status": "UNAVAILABLE"}}, "overloaded", "m"),
        ({"error": {"code": 429, "message": "m"}, "choices": []}, "rate_limited", "m"),
        ({"error": {"message": "m", "type": "insufficient_quota"}}, "quota_spent", "m"),
        ({"type": "error", "error": {"type": "overloaded_error", "message": "m"}}, "overloaded", "m"),
        ({"object": "error", "message": "m", "type": "rate_limited", "code": "1300"}, "rate_limited", "m"),
        ({"error": "m"}, "server_error", "m"),
        ({"message": None}, "server_error", "the reply holds an error"),
    ],
    ids=[
        "OpenRouter",
        "Google",
        "beside choices",
        "OpenAI",
        "Anthropic",
        "Mistral",
        "a text",
        "nothing said",
    ],
)
def test_an_error_inside_a_reply_has_the_kind_that_its_code_tells(
    body: dict[str, Any], kind: str, quoted: str, settings: Settings
) -> None:
    fault = fault_of(FailedReplyError(body), PROVIDERS["openai"], settings)
    assert fault["kind"] == kind
    assert f": {quoted}. " in fault["message"]


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
        (AIMessage("yes", response_metadata={"finish_reason": "length"}), "length_reached"),
        (AIMessage("yes", response_metadata={"stop_reason": "max_tokens"}), "length_reached"),
        (AIMessage("yes", response_metadata={"finish_reason": "stopstop"}), None),
        (AIMessage("yes", response_metadata={"finish_reason": "lengthlength"}), "length_reached"),
        (AIMessage("yes", response_metadata={"stop_reason": "max_tokens" * 3}), "length_reached"),
        (AIMessage("", response_metadata={"finish_reason": "length"}), "length_reached"),
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
    fault = (await outcome(models, name, faulty_settings)).fault
    assert fault is not None
    assert len(fault["message"]) <= LONGEST_MESSAGE
    assert fault["message"].endswith("_CANARY_KEY is set and valid.")


# --- how long to wait -------------------------------------------------------------------------------------


async def waited(models: ChatModels, name: str) -> float | None:
    chat = await models.open(MODELS[name], max_output_tokens=100, temperature=0.3)
    with pytest.raises(Exception) as caught:
        async for _ in chat.astream("Say hello."):
            pass
    return retry_after(caught.value)


@pytest.mark.parametrize("name", NAMES)
async def test_the_wait_that_a_provider_asks_for_is_found(
    name: str, models: ChatModels, faulty: FaultyServer
) -> None:
    replies = ["7", "0.5", "Fri, 31 Jan 2025 00:00:00 GMT", "soon", ""]
    faulty.script(name, [Fault("429", retry_after=text) for text in replies])
    assert [await waited(models, name) for _ in replies] == [7.0, 0.5, 0.0, None, None]


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault("429", retry_delay="34.074824224s"), 34.074824224),
        (Fault("429", retry_delay="3s", retry_after="5"), 5.0),
        (Fault("429"), None),
        (Fault("error_event", says="429", retry_delay="3s"), 3.0),
    ],
    ids=["RetryInfo", "the header before it", "neither", "in a stream"],
)
async def test_googles_retry_info_is_found(
    fault: Fault, expected: float | None, models: ChatModels, faulty: FaultyServer
) -> None:
    faulty.script("google", [fault])
    assert await waited(models, "google") == expected


class RefusedError(Exception):
    """An error with headers of its own, as Cohere's have."""

    def __init__(self, **headers: str) -> None:
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"retry_after": "-5"}, None),
        ({"retry_after": "nan"}, None),
        ({"retry_after": "inf"}, None),
        ({"retry_after": "1e12"}, None),
        ({"retry_after": "9" * 400}, LONGEST_WAIT_S),
        ({"retry_after": "Fri, 31 Dec 9999 23:59:59 GMT"}, LONGEST_WAIT_S),
        ({"retry_after": "Fri, 31 Dec 1999 23:59:59 GMT"}, 0.0),
        ({"retry_after": "Fri, 31 Dec 1999 23:59:59"}, None),
        ({"retry_after_ms": "1500", "retry_after": "2"}, 1.5),
    ],
)
def test_an_absurd_wait_is_none_or_a_day(headers: dict[str, str], expected: float | None) -> None:
    assert retry_after(RefusedError(**headers)) == expected


@given(st.text())
def test_whatever_a_header_says_a_wait_is_none_or_up_to_a_day(text: str) -> None:
    found = retry_after(RefusedError(retry_after=text))
    assert found is None or 0 <= found <= LONGEST_WAIT_S


def test_a_date_to_come_is_waited_for() -> None:
    then = datetime.now(UTC) + timedelta(seconds=60)
    found = retry_after(RefusedError(retry_after=format_datetime(then, usegmt=True)))
    assert found is not None
    assert 50 < found <= 60


def test_an_error_without_headers_asks_for_no_wait() -> None:
    assert retry_after(TimeoutError()) is None
