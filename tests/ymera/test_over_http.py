"""The real graph with the real clients over real HTTP: the provider mock, and a server that fails on purpose."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio

from tests.servers.aimock import Aimock, running_aimock
from tests.servers.faulty import Answer, Fault, FaultyServer
from tests.stored import bytes_of
from ymera import MultiModelExecutor, RunContext
from ymera.nodes.settings import load_settings
from ymera.routing.catalogue import builtin_catalogue

TASK = "Create a FastAPI endpoint for user management"
PLAN = Answer(text="1. Keep users in a dict. 2. Add the routes.")
CODE = Answer(text="Here it is:\n```python\nprint('hello')\n```\n")
ACCEPT = Answer(text='{"findings": [], "decision": "accept"}')
REVISE = Answer(text='{"findings": ["the route for deleting is missing"], "decision": "revise"}')
PROVIDERS = [p for p in builtin_catalogue().providers.values() if p.variables and p.name != "ai21"]


def unlock(monkeypatch: pytest.MonkeyPatch, base_url: Callable[[str], str], *names: str) -> None:
    """Set keys and addresses of the named providers, or of all."""
    for provider in PROVIDERS:
        if names and provider.name not in names:
            continue
        for variable in provider.variables:
            monkeypatch.setenv(variable, f"canary-{provider.name}-0123456789")
        monkeypatch.setenv(f"YMERA_{provider.name.upper()}_BASE_URL", base_url(provider.name))


@pytest_asyncio.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FaultyServer]:
    async with FaultyServer() as server:
        unlock(monkeypatch, server.base_url)
        yield server


@pytest_asyncio.fixture
async def executor(server: FaultyServer) -> AsyncIterator[MultiModelExecutor]:
    async with MultiModelExecutor(load_settings()) as executor:
        yield executor


async def test_each_phase_reaches_the_provider_of_its_model(
    server: FaultyServer, executor: MultiModelExecutor
) -> None:
    server.script("groq", [PLAN])
    server.script("mistral", [CODE, CODE])
    server.script("anthropic", [REVISE])
    result = await executor.execute_with_multi_model("coding_agent", TASK, {"language": "python"})
    assert result.success, result.error
    assert [(p.phase, p.provider_used) for p in result.phase_results] == [
        ("planning", "groq"),
        ("generation", "mistral"),
        ("review", "anthropic"),
        ("refinement", "mistral"),
    ]
    assert len(server.requests) == 4
    assert result.cost_known
    assert result.total_cost > 0
    assert result.final_result == CODE.text.strip()


async def test_what_a_phase_reads_reaches_its_model_fenced_and_nothing_else_does(
    server: FaultyServer, executor: MultiModelExecutor
) -> None:
    server.script("groq", [PLAN])
    server.script("mistral", [CODE, CODE])
    server.script("anthropic", [REVISE])
    await executor.execute_with_multi_model("coding_agent", TASK, {"language": "python"})
    planning, generation, review, refinement = (str(request.body) for request in server.requests)
    assert "<output" not in planning.split("Task:")[-1]
    assert "Keep users in a dict" in generation
    assert "print('hello')" in review.replace("\\", "")
    assert "the route for deleting is missing" in refinement
    assert "Keep users in a dict" not in refinement
    assert "passed: Python block 1 compiles; Python block 1 lints" in review
    assert not any("Python block 1" in body for body in (planning, generation))


@pytest.mark.parametrize(
    ("fault", "wasted"),
    [
        ("401", 1),
        ("404", 1),
        ("429", 2),
        ("500", 2),
        ("529", 2),
        ("reset", 2),
        ("cut", 1),
        ("bad_json_only", 2),
        ("error_in_200", 2),
    ],
)
async def test_a_broken_first_choice_is_answered_by_the_next_with_as_many_requests_wasted_as_the_table_says(
    server: FaultyServer, executor: MultiModelExecutor, fault: str, wasted: int
) -> None:
    server.script("groq", then=PLAN)
    server.script("mistral", then=Fault(fault))  # type: ignore[arg-type]
    server.script("deepseek", then=CODE)
    server.script("anthropic", then=ACCEPT)
    result = await executor.execute_with_multi_model(
        "coding_agent", TASK, enable_phases=["planning", "generation"]
    )
    generation = result.phase_results[1]
    assert (result.success, generation.success) == (True, True)
    assert [attempt["ok"] for attempt in generation.attempts] == [False] * wasted + [True]
    assert len(server.sent_to("mistral")) == wasted
    assert "fallback no. 1: codestral-latest failed" in generation.reason


async def test_a_truncated_answer_is_never_a_success(
    server: FaultyServer, executor: MultiModelExecutor
) -> None:
    for provider in ("groq", "mistral", "deepseek", "google", "anthropic", "openai", "azure", "cohere"):
        server.script(provider, then=Answer(text="half an ans", finish=None))
    result = await executor.execute_with_multi_model("coding_agent", TASK)
    assert not result.success
    assert result.error is not None
    assert result.error.startswith("All phases failed: planning has no candidate left.")
    assert {a["fault"]["kind"] for p in result.phase_results for a in p.attempts if a["fault"]} == {
        "cut_short"
    }


async def test_no_key_appears_in_a_result_or_a_checkpoint(
    server: FaultyServer, executor: MultiModelExecutor
) -> None:
    for provider in PROVIDERS:
        server.script(
            provider.name, then=Fault("401", message=f"wrong key canary-{provider.name}-0123456789")
        )
    result = await executor.execute_with_multi_model("coding_agent", TASK)
    assert not result.success
    assert "canary" not in result.to_json()
    held = b"".join(bytes_of(p) for p in executor.settings.ymera_data_dir.rglob("*") if p.is_file())
    assert b"rejected" in held, "the plan stands there, compressed: what is looked for would be seen"
    assert b"canary" not in held


async def test_a_silent_provider_is_given_up_after_the_first_token_timeout(
    server: FaultyServer, executor: MultiModelExecutor
) -> None:
    server.script("groq", then=Fault("silent"))
    server.script("google", then=PLAN)
    server.script("mistral", then=CODE)
    result = await executor.execute_with_multi_model(
        "coding_agent",
        TASK,
        enable_phases=["planning", "generation"],
        context=RunContext(first_token_timeout=0.5),
    )
    first = result.phase_results[0].attempts[0]
    assert first["fault"] is not None
    assert first["fault"]["kind"] == "timed_out"
    assert result.success


async def test_runs_side_by_side_do_not_mix(server: FaultyServer, executor: MultiModelExecutor) -> None:
    for provider in ("groq", "mistral", "anthropic"):
        server.script(provider, then=CODE)
    tasks = [f"Write the module number {i} of the import service" for i in range(8)]
    results = await asyncio.gather(
        *(
            executor.execute_with_multi_model("coding_agent", t, enable_phases=["planning", "generation"])
            for t in tasks
        )
    )
    assert all(result.success for result in results)
    for i, task in enumerate(tasks):
        assert sum(f"number {i} of" in str(request.body) for request in server.requests) == 2, task


@pytest.mark.parametrize("name", [p.name for p in PROVIDERS])
async def test_a_run_on_one_providers_models_alone_works_against_the_provider_mock(
    monkeypatch: pytest.MonkeyPatch, aimock: Aimock, name: str
) -> None:
    unlock(monkeypatch, aimock.base_url, name)
    async with MultiModelExecutor(load_settings()) as executor:
        result = await executor.execute_with_multi_model(
            agent_name="coding_agent",
            task_description="Create hello world function",
            task_parameters={"language": "python"},
            enable_phases=["planning", "generation"],
            context=RunContext(providers=[name]),
        )
    assert result.successful_phases > 0
    assert result.final_result is not None
    assert {phase.provider_used for phase in result.phase_results} == {name}


async def test_the_integration_test_of_the_specification(monkeypatch: pytest.MonkeyPatch) -> None:
    fixtures = [
        {
            "match": {"userMessage": "<output"},
            "response": {"content": '{"findings": [], "decision": "accept"}'},
        },
        {"match": {}, "response": {"content": "```python\ndef hello():\n    print('Hello, world!')\n```"}},
    ]
    with running_aimock(fixtures) as mock:
        unlock(monkeypatch, mock.base_url)
        async with MultiModelExecutor(load_settings()) as executor:
            result = await executor.execute_with_multi_model(
                agent_name="coding_agent",
                task_description="Create hello world function",
                task_parameters={"language": "python"},
            )
    assert result.successful_phases > 0
    assert result.final_result is not None
