"""`ymera doctor --probe` over real HTTP: who is asked, what is told, what it costs, and that no key is shown."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from tests.servers.aimock import Aimock
from tests.servers.faulty import Answer, Fault, FaultyServer, Reply
from tests.servers.langsmith import RecordingServer
from ymera.cli import app
from ymera.nodes.embedded import close_all
from ymera.nodes.matching import AgentModelMatcher
from ymera.nodes.settings import Settings, load_settings
from ymera.nodes.weights import pull
from ymera.probe import cheapest, targets
from ymera.routing.catalogue import builtin_catalogue
from ymera.routing.records import ModelProfile, Price

pytestmark = pytest.mark.usefixtures("own_logging", "no_models_at_home")
PROVIDERS = {
    provider.name: provider
    for provider in builtin_catalogue().providers.values()
    if provider.variables and provider.retired_on is None
}
TODAY = date(2026, 11, 24)
SMALL = "qwen2.5-coder-0.5b"
AT_HOME = os.environ.get("YMERA_CACHE_DIR")
LIMIT = "1.5"
"""Seconds for a provider that stays silent: enough for all eight to be asked on a busy machine."""


def key_of(provider: str) -> str:
    return f"canary-{provider}-0123456789"


@pytest_asyncio.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FaultyServer]:
    """All eight providers, each with a key of its own."""
    async with FaultyServer() as server:
        for provider in PROVIDERS.values():
            for variable in provider.variables:
                monkeypatch.setenv(variable, key_of(provider.name))
            monkeypatch.setenv(f"YMERA_{provider.name.upper()}_BASE_URL", server.base_url(provider.name))
        yield server


async def doctor(*options: str) -> Result:
    """Run the command in a thread: it makes an event loop of its own, and this one serves it."""
    return await asyncio.to_thread(CliRunner().invoke, app, ["doctor", *options], prog_name="ymera")


def probed(result: Result) -> dict[str, dict[str, Any]]:
    """Return the probes of a document, by provider."""
    findings = json.loads(result.stdout)["findings"]
    return {found["name"]: found for found in findings if found["area"] == "probe" and "model" in found}


def all_said(result: Result) -> str:
    """Return what the sum below the probes says."""
    return str(next(f["detail"] for f in json.loads(result.stdout)["findings"] if f["name"] == "all"))


# --- every client, every kind of trouble ------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Case:
    """A reply of every provider, and what is to be told of it.

    Args:
        mend: what the advice must say, with the provider's {variable} and {title}.
        of_the_key: the variable of the key is named.
        else_kinds: providers whose words mean another kind.
    """

    reply: Reply
    kind: str | None = None
    reachable: bool = True
    mend: str = ""
    of_the_key: bool = False
    else_kinds: Mapping[str, str] = field(default_factory=dict)
    options: tuple[str, ...] = ()


CASES = {
    "an answer": Case(reply=Answer("OK")),
    "an answer that reaches its limit": Case(reply=Answer("OK OK OK", finish="length")),
    "a refused key": Case(
        reply=Fault("401"), kind="authentication", mend="Check that {variable} is set", of_the_key=True
    ),
    "a key that may not use the model": Case(
        reply=Fault("403"), kind="not_allowed", mend="Ask {title} for access", of_the_key=True
    ),
    "a spent quota": Case(
        reply=Fault("quota"), kind="quota_spent", mend="billing at {title}", of_the_key=True
    ),
    "an unknown model": Case(reply=Fault("404"), kind="not_found", mend="Check the model's id"),
    "a rate limit": Case(
        reply=Fault("429", message="Slow down."), kind="rate_limited", mend="ask {title} for a higher limit"
    ),
    "a broken server": Case(
        reply=Fault("503"), kind="server_error", mend="Try again later", else_kinds={"google": "overloaded"}
    ),
    "a gateway that waited in vain": Case(
        reply=Fault("504"), kind="timed_out", mend="see whether {title} is down"
    ),
    "a reset connection": Case(
        reply=Fault("reset"), kind="unreachable", reachable=False, mend="the address of {title}"
    ),
    "silence": Case(
        reply=Fault("silent"),
        kind="timed_out",
        reachable=False,
        mend="Raise --probe-timeout",
        options=("--probe-timeout", LIMIT),
    ),
    "a standstill": Case(
        reply=Fault("stall"),
        kind="timed_out",
        mend="Raise --probe-timeout",
        # Eight clients are to have heard a word by then, on a busy machine too.
        options=("--probe-timeout", "5"),
    ),
    "a cut stream": Case(reply=Fault("cut"), kind="cut_short", mend="Try again later"),
    "a stream without a finish reason": Case(reply=Answer("OK", finish=None), kind="cut_short"),
    "a filtered answer": Case(
        reply=Answer(finish="filter"), kind="refused", mend="choose another model of {title}"
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_every_client_tells_what_came_of_its_one_request(server: FaultyServer, case: Case) -> None:
    for provider in PROVIDERS:
        server.script(provider, then=case.reply)
    result = await doctor("--probe", "--json", *case.options)
    found = probed(result)
    assert found.keys() == PROVIDERS.keys()
    assert {name: (one["fault_kind"], one["reachable"], one["variable"]) for name, one in found.items()} == {
        name: (
            case.else_kinds.get(name, case.kind),
            case.reachable,
            provider.variables[0] if case.of_the_key else None,
        )
        for name, provider in PROVIDERS.items()
    }
    for name, one in found.items():
        words = {"variable": PROVIDERS[name].variables[0], "title": PROVIDERS[name].title}
        assert one["ok"] is (case.kind is None)
        assert (one["fault_message"] is None) is (case.kind is None)
        assert case.mend.format_map(words) in one["mend"]
        assert one["mend"] == "" if case.kind is None else one["mend"] not in one["detail"]
    assert sorted(request.provider for request in server.requests) == sorted(PROVIDERS)
    assert result.exit_code == (0 if case.kind is None else 1)
    assert json.loads(result.stdout)["ok"] is (case.kind is None)


async def test_an_answer_is_told_with_its_seconds_its_model_its_tokens_and_its_cost(
    server: FaultyServer,
) -> None:
    for provider in PROVIDERS:
        server.script(provider, then=Answer("OK", wait_s=0.3, input_tokens=21, output_tokens=2))
    result = await doctor("--probe", "--json")
    found = probed(result)
    for name, one in found.items():
        assert 0.3 <= one["first_token_seconds"] <= one["seconds"] < 10
        assert one["served_model"] == (
            None if name == "cohere" else one["model"]
        )  # Cohere's streams do not say
        assert one["detail"].startswith(f"{one['model']}: first token after 0.")
        assert (one["input_tokens"], one["output_tokens"], one["estimated"]) == (21, 2, False), name
        assert 0 < one["cost_usd"] < 0.001
    assert all_said(result).startswith(f"8 of 8 answered; {8 * 23} tokens, $0.0000")


async def test_the_answer_is_bound_and_a_model_that_reasons_has_room_for_its_thoughts(
    server: FaultyServer,
) -> None:
    await doctor("--probe")
    bounds = {request.provider: request.body.get("max_completion_tokens") for request in server.requests}
    assert builtin_catalogue().models["openai:gpt-6-luna"].reasons
    assert bounds["openai"] == 16 + 1_024
    assert not builtin_catalogue().models["cohere:command-r7b-12-2024"].reasons
    assert [request.body["max_tokens"] for request in server.sent_to("cohere")] == [16]


async def test_a_provider_that_is_asked_in_vain_leaves_the_others_as_they_are(server: FaultyServer) -> None:
    server.script("openai", then=Fault("silent"))
    server.script("groq", then=Fault("401"))
    server.script("cohere", then=Fault("stall"))
    result = await doctor("--probe", "--json", "--probe-timeout", LIMIT)
    found = probed(result)
    assert {name for name, one in found.items() if not one["ok"]} == {"openai", "groq", "cohere"}
    assert found["openai"]["seconds"] == pytest.approx(float(LIMIT), abs=0.5)
    assert found["openai"]["first_token_seconds"] is None
    assert found["openai"]["cost_usd"] is None
    assert "cost is unknown" in found["openai"]["detail"]
    assert found["groq"]["cost_usd"] == 0
    assert found["cohere"]["estimated"]
    assert found["cohere"]["cost_usd"] > 0
    assert all_said(result).startswith("5 of 8 answered; ")
    assert "≥ $" in all_said(result)
    assert result.exit_code == 1


async def test_all_providers_are_asked_side_by_side(server: FaultyServer) -> None:
    for provider in PROVIDERS:
        server.script(provider, then=Fault("silent"))
    await doctor("--probe", "--probe-timeout", LIMIT)
    asked_at = [request.at for request in server.requests]
    assert len(asked_at) == len(PROVIDERS)
    assert max(asked_at) - min(asked_at) < float(LIMIT)


async def test_no_key_appears_whatever_a_provider_repeats(server: FaultyServer) -> None:
    for provider in PROVIDERS:
        server.script(provider, then=Fault("401", message=f"The key {key_of(provider)} is wrong."))
    for options in (["--probe", "--json"], ["--probe"]):
        result = await doctor(*options)
        assert "The key [hidden] is wrong" in " ".join(result.stdout.split())
        assert "canary" not in result.stdout + result.stderr


async def test_the_table_tells_the_same_and_the_standard_error_who_is_asked(server: FaultyServer) -> None:
    server.script("groq", then=Fault("401"))
    result = await doctor("--probe")
    lines = " ".join(result.stdout.split())
    assert "BAD probe groq openai/gpt-oss-20b: the key was not accepted: Incorrect API key" in lines
    assert "→ Check that GROQ_API_KEY is set and valid." in lines
    assert "ok probe openai gpt-6-luna: first token after" in lines
    assert result.stderr.startswith(
        "Asking anthropic, azure, cohere, deepseek, google, groq, mistral, openai"
    )


async def test_without_the_option_nobody_is_asked(server: FaultyServer) -> None:
    result = await doctor("--json")
    assert result.exit_code == 0
    assert server.requests == []
    assert not any(found["area"] == "probe" for found in json.loads(result.stdout)["findings"])
    assert {tuple(found) for found in json.loads(result.stdout)["findings"]} == {
        ("area", "name", "ok", "detail", "mend")
    }


async def test_what_a_probe_finds_counts_for_the_next_match(server: FaultyServer) -> None:
    server.script("groq", [Fault("401")])
    await doctor("--probe")
    matcher = AgentModelMatcher()
    await matcher.health.look()
    groq = [model for model in matcher.models.values() if model.provider == "groq"]
    assert {matcher.cooling(model) for model in groq} == {
        "the key was not accepted; it is tried again when the key changes"
    }
    await doctor("--probe")
    await asyncio.sleep(0.3)  # the file is looked at four times a second at most
    await matcher.health.look()
    assert {matcher.cooling(model) for model in groq} == {None}


async def test_a_probe_is_not_traced(server: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a process of its own: langsmith reads the environment once."""
    with RecordingServer() as recorder:
        monkeypatch.setenv("LANGSMITH_TRACING", "true")
        monkeypatch.setenv("LANGSMITH_ENDPOINT", recorder.url)
        monkeypatch.setenv("LANGSMITH_API_KEY", "dummy")
        process = await program("doctor", "--probe", "--json")
        await process.communicate()
        assert process.returncode == 0
    assert len(server.requests) == len(PROVIDERS)
    assert recorder.paths == []


async def test_ctrl_c_ends_it_with_a_word_on_what_may_be_billed(server: FaultyServer) -> None:
    for provider in PROVIDERS:
        server.script(provider, then=Fault("silent"))
    process = await program("doctor", "--probe")
    while len(server.requests) < len(PROVIDERS):
        await asyncio.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, said = await process.communicate()
    assert process.returncode == 75
    assert said.decode().splitlines()[1:] == ["Interrupted. Requests that were under way may be billed."]


async def program(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", "from ymera.cli import main; main()", *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=dict(os.environ),
    )  # fmt: skip


@pytest.mark.parametrize("seconds", ["0", "-1", "soon", "601"])
def test_a_time_limit_must_be_one(seconds: str) -> None:
    result = CliRunner().invoke(app, ["doctor", "--probe", "--probe-timeout", seconds])
    assert result.exit_code == 2
    assert "--probe-timeout" in result.stderr


# --- who is asked -----------------------------------------------------------------------------------------


async def test_with_nobody_to_ask_that_is_told() -> None:
    result = await doctor("--probe", "--json")
    found = json.loads(result.stdout)["findings"][-1]
    assert (found["area"], found["ok"]) == ("probe", None)
    assert found["detail"].startswith("nobody to ask")


async def test_wrong_settings_are_told_instead(server: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHASE_TIMEOUT", "soon")
    result = await doctor("--probe")
    assert result.exit_code == 1
    assert "PHASE_TIMEOUT" in result.stdout
    assert server.requests == []


async def test_an_address_where_nobody_listens_is_told_as_unreachable(
    server: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("YMERA_GROQ_BASE_URL", "http://127.0.0.1:9")
    found = probed(await doctor("--probe", "--json"))["groq"]
    assert (found["fault_kind"], found["reachable"]) == ("unreachable", False)


async def test_a_server_of_the_users_own_is_asked_for_its_first_model(
    aimock: Aimock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("YMERA_LOCAL_BASE_URL", aimock.base_url("local"))
    result = await doctor("--probe", "--json")
    found = probed(result)
    assert found.keys() == {"local"}
    assert found["local"]["ok"]
    assert found["local"]["model"] == "gpt-4"
    assert found["local"]["cost_usd"] == 0
    assert result.exit_code == 0


async def test_a_server_of_the_users_own_that_is_down_is_told_and_the_others_are_asked(
    server: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("YMERA_LOCAL_BASE_URL", "http://127.0.0.1:9/v1")
    result = await doctor("--probe", "--json")
    own = next(f for f in json.loads(result.stdout)["findings"] if f["name"] == "own server")
    assert own["ok"] is False
    assert "YMERA_LOCAL_BASE_URL" in own["detail"]
    assert all(one["ok"] for one in probed(result).values())
    assert result.exit_code == 1


def test_weights_that_are_not_here_are_not_asked_for(tmp_path: Path) -> None:
    settings = Settings(ymera_cache_dir=tmp_path, ymera_downloads=False)
    assert targets(builtin_catalogue(), settings, TODAY) == []


def test_of_each_provider_its_cheapest_model_that_stays_is_asked(server: FaultyServer) -> None:
    asked = targets(builtin_catalogue(), load_settings(), TODAY)
    assert {target.provider.name: target.model.name for target in asked} == {
        "anthropic": "claude-haiku-5-5",
        "azure": "gpt-6-luna",
        "cohere": "command-r7b-12-2024",
        "deepseek": "deepseek-flash",
        "google": "gemini-2.5-flash-lite",
        "groq": "openai/gpt-oss-20b",
        "mistral": "mistral-small-latest",
        "openai": "gpt-6-luna",
    }


def model(
    name: str, price: Price | None, *, speed: float = 5, retires_on: date | None = None
) -> ModelProfile:
    return ModelProfile(
        name=name,
        provider="p",
        model_id=name,
        scores={"speed": speed},
        context_tokens=1_000,
        max_output_tokens=100,
        price=price,
        retires_on=retires_on,
    )


LOW, HIGH = Price(input=0.1, output=0.4), Price(input=2, output=8)
CHOICES = {
    "the cheaper one": (model("low", LOW, speed=1), model("high", HIGH, speed=9)),
    "the faster of two as cheap": (model("fast", LOW, speed=9), model("slow", LOW, speed=1)),
    "one with a price before one without": (model("priced", HIGH), model("unpriced", None)),
    "one that stays before one that leaves": (
        model("stays", HIGH),
        model("leaves", LOW, retires_on=date(2026, 12, 1)),
    ),
}


@pytest.mark.parametrize(("better", "worse"), CHOICES.values(), ids=CHOICES)
def test_the_model_to_ask_is(better: ModelProfile, worse: ModelProfile) -> None:
    assert cheapest([better, worse], TODAY) == cheapest([worse, better], TODAY) == better


MODELS = st.builds(
    model,
    st.text(),
    st.none() | st.builds(Price, input=st.floats(0, 9), output=st.floats(0, 9)),
    speed=st.floats(0, 10),
    retires_on=st.none() | st.dates(date(2026, 11, 25), date(2028, 1, 1)),
)


@given(st.lists(MODELS, max_size=6))
def test_a_model_is_asked_wherever_there_is_one(models: list[ModelProfile]) -> None:
    found = cheapest(models, TODAY)
    assert (found is None) is (models == [])
    assert found is None or (
        found in models and found.is_leaving(TODAY) is all(m.is_leaving(TODAY) for m in models)
    )


# --- without a key ----------------------------------------------------------------------------------------


@pytest.mark.embedded
async def test_embedded_weights_that_are_here_are_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    if AT_HOME is None:
        monkeypatch.delenv("YMERA_CACHE_DIR")
    else:
        monkeypatch.setenv("YMERA_CACHE_DIR", AT_HOME)
    await asyncio.to_thread(pull, SMALL, load_settings().model_copy(update={"ymera_downloads": True}))
    result = await doctor("--probe", "--json")
    close_all()
    found = probed(result)["embedded"]
    assert found["ok"], found
    assert found["model"] == SMALL
    assert 0 < found["first_token_seconds"] <= found["seconds"]
    assert found["input_tokens"] > 0
    assert found["cost_usd"] == 0
    assert all_said(result).endswith("free")
