from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from importlib import import_module
from typing import Any

import pytest
from langchain_core.messages import AIMessageChunk

from ymera.nodes.providers import ChatModels, idle_seconds, is_loopback
from ymera.nodes.settings import Settings, load_settings
from ymera.routing.catalogue import builtin_catalogue
from ymera.routing.errors import InputError
from ymera.routing.records import ModelProfile

from ..servers.aimock import ANSWER, Aimock
from ..servers.clients import MODELS, NAMES, PROVIDERS, key_of, model, point_at
from ..servers.faulty import Answer, Fault, FaultyServer

EVERY = (*NAMES, "local")


async def ask(models: ChatModels, profile: ModelProfile, *, tokens: int = 500) -> AIMessageChunk:
    chat = await models.open(profile, max_output_tokens=tokens, temperature=0.3)
    whole: Any = None
    async for chunk in chat.astream("Say hello."):
        whole = chunk if whole is None else whole + chunk
    assert isinstance(whole, AIMessageChunk)
    return whole


@pytest.mark.parametrize("name", EVERY)
async def test_a_streamed_answer_is_whole_and_counted(
    name: str, models: ChatModels, faulty: FaultyServer
) -> None:
    faulty.script(name, [Answer("Hello to you.", input_tokens=21, output_tokens=4)])
    answer = await ask(models, MODELS[name])
    assert answer.text == "Hello to you."
    assert answer.usage_metadata is not None
    assert (answer.usage_metadata["input_tokens"], answer.usage_metadata["output_tokens"]) == (21, 4)
    assert [(request.provider, request.model) for request in faulty.requests] == [
        (name, MODELS[name].model_id)
    ]


@pytest.mark.parametrize("fault", ["429", "500", "529", "reset", "cut"])
@pytest.mark.parametrize("name", EVERY)
async def test_a_failing_provider_is_asked_exactly_once(
    name: str, fault: Any, models: ChatModels, faulty: FaultyServer
) -> None:
    faulty.script(name, then=Fault(fault))
    with pytest.raises(Exception):  # noqa: B017 - each client has its own; test_faults.py tells them apart
        await ask(models, MODELS[name])
    assert len(faulty.requests) == 1


@pytest.mark.parametrize("name", NAMES)
async def test_every_client_understands_a_server_by_other_people(
    name: str, aimock: Aimock, monkeypatch: pytest.MonkeyPatch
) -> None:
    point_at(monkeypatch, aimock.base_url)
    await asyncio.to_thread(aimock.reset)
    models = ChatModels(load_settings(), PROVIDERS)
    answer = await ask(models, MODELS[name])
    await models.close()
    assert answer.text == ANSWER
    assert len(await asyncio.to_thread(aimock.journal)) == 1


def bound(body: dict[str, Any]) -> Any:
    generation = body.get("generationConfig", {})
    words = ("max_completion_tokens", "max_tokens")
    return generation.get("maxOutputTokens", next((body[word] for word in words if word in body), None))


@pytest.mark.parametrize("name", EVERY)
async def test_the_bound_of_the_answer_reaches_the_provider(
    name: str, models: ChatModels, faulty: FaultyServer
) -> None:
    await ask(models, MODELS[name], tokens=321)
    assert bound(faulty.requests[0].body) == 321


@pytest.mark.parametrize("name", ["deepseek", "local"])
async def test_servers_that_are_like_openai_get_the_older_word_for_the_bound(
    name: str, models: ChatModels, faulty: FaultyServer
) -> None:
    await ask(models, MODELS[name], tokens=321)
    assert faulty.requests[0].body["max_tokens"] == 321
    assert "max_completion_tokens" not in faulty.requests[0].body


async def test_no_more_is_asked_for_than_the_model_can_write(
    models: ChatModels, faulty: FaultyServer
) -> None:
    await ask(models, model("claude-sonnet-5-5", "anthropic", 4_000), tokens=30_000)
    assert bound(faulty.requests[0].body) == 4_000


def test_the_catalogue_knows_which_models_reason_as_langchain_does() -> None:
    known = {
        "anthropic": "langchain_anthropic",
        "azure": "langchain_openai",
        "google": "langchain_google_genai",
        "groq": "langchain_groq",
        "mistral": "langchain_mistralai",
        "openai": "langchain_openai",
    }
    profiles = {name: import_module(f"{package}.data._profiles")._PROFILES for name, package in known.items()}
    told = {
        key: profiles[model.provider][model.model_id].get("reasoning_output", False)
        for key, model in builtin_catalogue().models.items()
        if model.model_id in profiles.get(model.provider, {})
    }
    assert len(told) > 20
    assert {key: builtin_catalogue().models[key].reasons for key in told} == told


@pytest.mark.parametrize(
    ("name", "provider", "sent"),
    [("gpt-4o", "openai", 0.3), ("gpt-6-sol", "openai", None), ("claude-sonnet-5-5", "anthropic", None)],
)
async def test_a_model_that_refuses_a_temperature_gets_none(
    name: str, provider: str, sent: float | None, models: ChatModels, faulty: FaultyServer
) -> None:
    await ask(models, model(name, provider))
    assert faulty.requests[0].body.get("temperature") == sent


@pytest.mark.parametrize("name", EVERY)
async def test_no_call_waits_for_a_connection_of_another(
    name: str, models: ChatModels, faulty: FaultyServer
) -> None:
    at_once = 110  # more than httpx opens by itself
    faulty.script(name, then=Fault("silent"))
    calls = [asyncio.create_task(ask(models, MODELS[name])) for _ in range(at_once)]
    async with asyncio.timeout(30):
        while len(faulty.requests) < at_once:
            await asyncio.sleep(0.01)
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)


async def test_a_model_is_opened_once_for_all_bounds_of_an_answer(models: ChatModels) -> None:
    chats = await asyncio.gather(
        *(models.open(MODELS["openai"], max_output_tokens=n, temperature=0.0) for n in (10, 10, 20))
    )
    clients = {id(getattr(chat, "bound")) for chat in chats}  # noqa: B009 - LangChain's binding, of no public type
    other = await models.open(MODELS["openai"], max_output_tokens=10, temperature=0.5)
    assert len(clients) == 1
    assert id(getattr(other, "bound")) not in clients  # noqa: B009


def test_every_event_loop_gets_clients_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_CANARY_KEY", key_of("openai"))
    models = ChatModels(load_settings(), PROVIDERS)

    async def answers(count: int) -> list[str]:
        async with FaultyServer() as server:
            monkeypatch.setenv("YMERA_OPENAI_BASE_URL", server.base_url("openai"))
            texts = [str((await ask(models, MODELS["openai"])).text) for _ in range(count)]
            await models.close()
        return texts

    for _ in range(2):
        assert asyncio.run(answers(2)) == [Answer().text] * 2


@pytest.mark.parametrize("name", ["openai", "azure", "groq", "anthropic", "cohere", "local"])
async def test_a_proxy_of_the_environment_is_not_asked_on_this_machine(
    name: str, models: ChatModels, faulty: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    for variable in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(variable, raising=False)
    assert (await ask(models, MODELS[name])).text == Answer().text


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:8080/v1", True),
        ("http://localhost:11434/v1", True),
        ("http://[::1]:1234", True),
        ("https://api.openai.com/v1", False),
        ("https://127.0.0.1.example.com", False),
        ("", False),
        (None, False),
    ],
)
def test_loopback_is_told_by_the_host(url: str | None, expected: bool) -> None:
    assert is_loopback(url) is expected


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080/v1", "http://localhost:11434/v1"])
def test_a_connection_to_a_server_of_this_machine_is_given_up_before_the_server_closes_it(url: str) -> None:
    closed_by_llama_cpp_s = 5
    assert idle_seconds(url) < closed_by_llama_cpp_s
    assert idle_seconds("https://api.openai.com/v1") == closed_by_llama_cpp_s


async def test_a_missing_package_is_named_with_what_to_install(models: ChatModels) -> None:
    missing = replace(
        PROVIDERS["openai"], chat_model="langchain_nowhere:ChatNowhere", package="ymera[nowhere]"
    )
    elsewhere = ChatModels(load_settings(), {"openai": missing})
    with pytest.raises(
        ImportError, match=r"langchain-nowhere is not installed: pip install 'ymera\[nowhere\]'"
    ):
        await elsewhere.open(MODELS["openai"], max_output_tokens=10, temperature=0.0)


async def test_a_missing_key_is_named(settings: Settings) -> None:
    with pytest.raises(InputError, match="OPENAI_CANARY_KEY is not set"):
        await ChatModels(settings, PROVIDERS).open(MODELS["openai"], max_output_tokens=10, temperature=0.0)


async def test_an_unknown_provider_is_named_with_those_that_are_known(settings: Settings) -> None:
    with pytest.raises(InputError, match=r"No provider 'nobody' for model 'x'\. Known: anthropic, azure"):
        await ChatModels(settings, PROVIDERS).open(
            model("x", "nobody"), max_output_tokens=10, temperature=0.0
        )


def two_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIRST_KEY", "  ")


@pytest.mark.parametrize(
    ("change", "prepare", "expected"),
    [
        ({}, lambda m: m.setenv("GROQ_CANARY_KEY", "k"), None),
        ({}, lambda m: None, "GROQ_CANARY_KEY is not set"),
        ({}, lambda m: m.setenv("GROQ_CANARY_KEY", "  "), "GROQ_CANARY_KEY is not set"),
        ({"variables": ("FIRST_KEY", "SECOND")}, two_variables, "FIRST_KEY and SECOND are not set"),
        (
            {"variables": (), "chat_model": "langchain_nowhere:X", "package": "ymera[x]"},
            lambda m: None,
            "langchain-nowhere is not installed: pip install 'ymera[x]'",
        ),
        ({"retired_on": date(2026, 1, 1)}, lambda m: None, "Groq ended its API on 2026-01-01"),
    ],
    ids=["usable", "no key", "blank key", "two variables", "not installed", "the provider's API has ended"],
)
def test_availability_gives_the_reason(
    change: dict[str, Any],
    prepare: Callable[[pytest.MonkeyPatch], None],
    expected: str | None,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prepare(monkeypatch)
    models = ChatModels(settings, {"groq": replace(PROVIDERS["groq"], **change)})
    assert models.availability(MODELS["groq"]) == expected


def test_a_server_of_ones_own_is_available_once_its_address_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    reason = ChatModels(load_settings(), PROVIDERS).availability(MODELS["local"])
    assert reason == "YMERA_LOCAL_BASE_URL is not set"
    monkeypatch.setenv("YMERA_LOCAL_BASE_URL", "http://127.0.0.1:11434/v1")
    assert ChatModels(load_settings(), PROVIDERS).availability(MODELS["local"]) is None


@pytest.mark.parametrize("name", NAMES)
async def test_a_key_is_sent_to_the_provider_and_shown_nowhere(
    name: str, models: ChatModels, faulty: FaultyServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    chat = await models.open(MODELS[name], max_output_tokens=100, temperature=0.3)
    async for _ in chat.astream("Say hello."):
        pass
    assert key_of(name) in " ".join(faulty.requests[0].headers.values())
    shown = [repr(models), repr(chat), str(chat), caplog.text]
    assert [text for text in shown if key_of(name) in text] == []
