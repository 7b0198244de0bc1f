from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from blockbuster import blockbuster_ctx
from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.ai import add_ai_message_chunks
from langchain_core.runnables import Runnable

from ymera.nodes.embedded import Endpoint, close_all, model_names, open_server
from ymera.nodes.installed import is_installed
from ymera.nodes.providers import ChatModels
from ymera.nodes.runner import availability, runner_fault
from ymera.nodes.settings import Settings, load_settings
from ymera.nodes.structured import bound_to_schema
from ymera.nodes.verdicts import SCHEMA, parse_verdict
from ymera.nodes.weights_manifest import built_in_manifest
from ymera.routing.catalogue import builtin_catalogue
from ymera.routing.errors import InputError, WeightsError

from .gguf_files import BASE, CHAT, gguf

SMALL, LARGE = "qwen2.5-coder-0.5b", "qwen2.5-coder-1.5b"
EMBEDDED = pytest.mark.embedded

# --- without models --------------------------------------------------------------------------------------


def offline(tmp_path: Path, **more: Any) -> Settings:
    return Settings(ymera_cache_dir=tmp_path / "cache", ymera_downloads=False, **more)


def test_weights_that_may_be_fetched_count_as_available(tmp_path: Path) -> None:
    assert availability(SMALL, Settings(ymera_cache_dir=tmp_path)) is None


def test_weights_that_may_not_be_fetched_are_told_with_the_mend(tmp_path: Path) -> None:
    assert f"ymera models pull {SMALL}" in str(availability(SMALL, offline(tmp_path)))


def test_a_local_file_cut_short_makes_a_model_unavailable(tmp_path: Path) -> None:
    (tmp_path / "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf").write_bytes(b"GGUF")
    assert "cut short" in str(availability(SMALL, offline(tmp_path, ymera_local_dir=tmp_path)))


def test_a_model_of_the_users_own_is_available_where_its_file_is(tmp_path: Path) -> None:
    (tmp_path / "here.gguf").write_bytes(gguf(CHAT))
    models = {"here": tmp_path / "here.gguf", "gone": tmp_path / "gone.gguf"}
    settings = offline(tmp_path, ymera_local_models=models)
    assert availability("here", settings) is None
    assert str(tmp_path / "gone.gguf") in str(availability("gone", settings))


def test_a_missing_runner_is_told_with_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    request.addfinalizer(is_installed.cache_clear)
    is_installed.cache_clear()
    assert availability(SMALL, offline(tmp_path)) == "xllamacpp is not installed: pip install 'ymera[local]'"


ASK_RUNNER = """
from ymera.nodes.runner import availability, runner_fault
from ymera.nodes.settings import Settings
print(runner_fault())
print(availability("qwen2.5-coder-0.5b", Settings()))
"""


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (
            "libgomp.so.1: cannot open shared object file: No such file or directory",
            "apt-get install libgomp1",
        ),
        ("wrong ELF class", "wrong ELF class"),
    ],
)
def test_a_runner_that_does_not_load_is_told_with_the_mend_from_then_on(
    tmp_path: Path, fault: str, said: str
) -> None:
    (tmp_path / "xllamacpp.py").write_text(f"raise ImportError({fault!r})\n")
    done = subprocess.run(
        [sys.executable, "-c", ASK_RUNNER],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    first, second = done.stdout.splitlines()
    assert said in first
    assert first == second


def test_the_runner_loads_here() -> None:
    assert runner_fault() is None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(gguf(BASE), "no chat template", id="a base model"),
        pytest.param(gguf(CHAT)[:300], "cut short", id="cut short"),
        pytest.param(gguf(CHAT), "cannot be loaded", id="without the tensors of its kind"),
        pytest.param(b"<html>", "no GGUF file", id="another kind of file"),
    ],
)
async def test_a_file_of_the_users_own_that_is_no_chat_model_is_refused(
    tmp_path: Path, content: bytes, said: str
) -> None:
    (tmp_path / "mine.gguf").write_bytes(content)
    with pytest.raises(WeightsError, match=said):
        await open_server("mine", offline(tmp_path, ymera_local_models={"mine": tmp_path / "mine.gguf"}))


async def test_an_unknown_name_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=rf"'gpt-9'.*{SMALL}"):
        await open_server("gpt-9", offline(tmp_path))


@contextmanager
def server_that_says(answer: bytes) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/v1/models" else 404)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_server_of_the_users_own_tells_its_models_whatever_the_proxy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with server_that_says(b'{"data": [{"id": "llama3"}, {"id": "phi"}]}') as address:
        assert model_names(f"{address}/v1") == ["llama3", "phi"]


@pytest.mark.parametrize("answer", [b"<html>", b"[]", b'{"models": []}', b'{"data": [1]}'])
def test_an_answer_that_is_not_openais_is_told(answer: bytes) -> None:
    with server_that_says(answer) as address, pytest.raises(InputError, match="not answered in OpenAI's way"):
        model_names(f"{address}/v1")


@pytest.mark.parametrize("path", ["", "/v2"])
def test_an_address_without_its_v1_is_told(path: str) -> None:
    with server_that_says(b"{}") as address, pytest.raises(InputError, match="end in /v1"):
        model_names(f"{address}{path}")


def test_a_server_that_is_not_there_is_told() -> None:
    with pytest.raises(InputError, match="Is the server running"):
        model_names("http://127.0.0.1:9/v1")


# --- with the real models --------------------------------------------------------------------------------


@pytest.fixture
def here() -> Settings:
    return load_settings()


@pytest_asyncio.fixture
async def models(here: Settings) -> AsyncIterator[ChatModels]:
    opened = ChatModels(here, builtin_catalogue().providers)
    yield opened
    await opened.close()


async def chat(models: ChatModels, name: str, tokens: int = 48) -> Runnable[LanguageModelInput, AIMessage]:
    profile = builtin_catalogue().models[f"embedded:{name}"]
    return await models.open(profile, max_output_tokens=tokens, temperature=0.0)


async def endless(models: ChatModels, tokens: int) -> Runnable[LanguageModelInput, AIMessage]:
    """Return a model that goes on until its tokens are spent."""
    return (await chat(models, SMALL, tokens)).bind(extra_body={"ignore_eos": True, "max_tokens": tokens})


async def slots(endpoint: Endpoint) -> list[bool]:
    """Return for each slot of a server whether it is at work."""
    address = endpoint.base_url.removesuffix("/v1") + "/slots"
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        reply = await client.get(address, headers={"Authorization": f"Bearer {endpoint.api_key}"})
    return [slot["is_processing"] for slot in reply.json()]


async def until(endpoint: Endpoint, wanted: list[bool]) -> None:
    async with asyncio.timeout(60):
        while sorted(await slots(endpoint)) != wanted:
            await asyncio.sleep(0.05)


@EMBEDDED
async def test_a_server_is_opened_off_the_loop_and_once(here: Settings) -> None:
    with blockbuster_ctx():
        first, second = await asyncio.gather(open_server(SMALL, here), open_server(SMALL, here))
    assert first == second
    assert first.api_key not in repr(first)


@EMBEDDED
async def test_a_server_keeps_its_model_from_repeating_itself(here: Settings) -> None:
    endpoint = await open_server(SMALL, here)
    address = endpoint.base_url.removesuffix("/v1") + "/props"
    async with httpx.AsyncClient(trust_env=False) as client:
        told = await client.get(address, headers={"Authorization": f"Bearer {endpoint.api_key}"})
    settings = told.json()["default_generation_settings"]["params"]
    assert settings["repeat_penalty"] == pytest.approx(built_in_manifest()[SMALL].repetition)


@EMBEDDED
async def test_both_models_answer_several_calls_at_once(models: ChatModels) -> None:
    asked = [await chat(models, name) for name in (SMALL, LARGE, SMALL, LARGE)]
    questions = ["Name a colour.", "Name a fruit.", "Name a city.", "Name a river."]
    answers = await asyncio.gather(
        *(model.ainvoke(text) for model, text in zip(asked, questions, strict=True))
    )
    assert all(answer.text for answer in answers)
    served = [answer.response_metadata["model_name"] for answer in answers]
    assert served == [SMALL, LARGE, SMALL, LARGE]


@EMBEDDED
async def test_a_stream_ends_with_its_reason_and_its_tokens(models: ChatModels) -> None:
    chunks = [chunk async for chunk in (await endless(models, 16)).astream("Count from 1 to 100.")]
    whole = add_ai_message_chunks(*[chunk for chunk in chunks if isinstance(chunk, AIMessageChunk)])
    assert len(chunks) > 1
    assert whole.response_metadata["finish_reason"] == "length"
    assert whole.usage_metadata
    assert whole.usage_metadata["output_tokens"] == 16


@EMBEDDED
async def test_a_verdict_is_bound_by_its_schema(models: ChatModels) -> None:
    catalogue = builtin_catalogue()
    profile = catalogue.models[f"embedded:{LARGE}"]
    model = await chat(models, LARGE, tokens=300)
    bound = bound_to_schema(model, profile, catalogue.providers["embedded"], SCHEMA)
    answer = await bound.ainvoke(
        "Review this code. Task: add two numbers.\n\ndef add(a, b):\n    return a - b\n"
    )
    assert parse_verdict(answer.text)


@EMBEDDED
async def test_the_beginning_of_a_known_prompt_is_not_read_again(models: ChatModels) -> None:
    model = await chat(models, SMALL, tokens=4)
    prompt = "You are given a list of rules. " * 40
    await model.ainvoke(f"{prompt} Say yes.")
    again = await model.ainvoke(f"{prompt} Say no.")
    assert again.usage_metadata
    assert again.usage_metadata["input_token_details"]["cache_read"] > 200


@EMBEDDED
async def test_the_loop_goes_on_while_tokens_are_made(models: ChatModels) -> None:
    model, turns = await endless(models, 64), 0
    answer = asyncio.create_task(model.ainvoke("Count from 1 to 100."))
    while not answer.done():
        await asyncio.sleep(0.001)
        turns += 1
    assert turns > 64


@EMBEDDED
async def test_a_cancelled_stream_frees_its_slot(models: ChatModels, here: Settings) -> None:
    endpoint, model = await open_server(SMALL, here), await endless(models, 6000)

    async def listen() -> None:
        async for _ in model.astream("Count from 1 to 100."):
            pass

    call = asyncio.create_task(listen())
    await until(endpoint, [False, True])
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await until(endpoint, [False, False])


@EMBEDDED
async def test_a_caller_without_the_key_is_kept_out(here: Settings) -> None:
    endpoint = await open_server(SMALL, here)
    async with httpx.AsyncClient(trust_env=False) as client:
        reply = await client.get(f"{endpoint.base_url.removesuffix('/v1')}/slots")
    assert reply.status_code == 401


@EMBEDDED
async def test_a_prompt_longer_than_the_window_is_a_fault_and_not_cut(models: ChatModels) -> None:
    with pytest.raises(Exception, match="exceeds the available context size"):
        await (await chat(models, SMALL)).ainvoke("word " * 9_000)


@EMBEDDED
async def test_a_file_of_the_users_own_is_served_under_its_name(here: Settings) -> None:
    file = here.ymera_cache_dir / "models" / "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf"
    settings = here.model_copy(update={"ymera_local_models": {"mine": file}})
    endpoint = await open_server("mine", settings)
    async with httpx.AsyncClient(trust_env=False) as client:
        reply = await client.get(
            f"{endpoint.base_url}/models", headers={"Authorization": f"Bearer {endpoint.api_key}"}
        )
    assert [model["id"] for model in reply.json()["data"]] == ["mine"]


@EMBEDDED
async def test_closing_shuts_the_port_and_the_next_call_opens_anew(here: Settings) -> None:
    before = await open_server(SMALL, here)
    await asyncio.to_thread(close_all)
    async with httpx.AsyncClient(trust_env=False) as client:
        with pytest.raises(httpx.ConnectError):
            await client.get(f"{before.base_url}/models")
    after = await open_server(SMALL, here)
    assert await slots(after) == [False, False]


END_WHILE_ANSWERING = """
import asyncio, json, sys, threading, time
import httpx
from ymera.nodes.embedded import open_server
from ymera.nodes.settings import load_settings

endpoint = asyncio.run(open_server("qwen2.5-coder-0.5b", load_settings()))
headers = {"Authorization": f"Bearer {endpoint.api_key}"}
body = {"messages": [{"role": "user", "content": "Count."}], "ignore_eos": True, "max_tokens": 6000}
body |= json.loads(sys.argv[1])

def ask():
    try:
        httpx.post(f"{endpoint.base_url}/chat/completions", headers=headers, json=body, timeout=600, trust_env=False)
    except httpx.HTTPError as error:
        print(type(error).__name__, flush=True)

threading.Thread(target=ask, daemon=True).start()
busy = endpoint.base_url.removesuffix("/v1") + "/slots"
while not any(slot["is_processing"] for slot in httpx.get(busy, headers=headers, trust_env=False).json()):
    time.sleep(0.05)
"""


@EMBEDDED
@pytest.mark.parametrize("stream", [True, False])
def test_a_process_ends_cleanly_while_an_answer_is_being_made(stream: bool) -> None:
    done = subprocess.run(
        [sys.executable, "-c", END_WHILE_ANSWERING, json.dumps({"stream": stream})],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
