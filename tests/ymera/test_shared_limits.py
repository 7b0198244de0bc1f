"""Budgets and rates that runs side by side share, over real HTTP."""

from __future__ import annotations

import asyncio
import json
from itertools import pairwise

import pytest

from tests.servers.faulty import Answer, FaultyServer
from ymera import MultiModelExecutor, RunContext
from ymera.nodes.settings import load_settings
from ymera.routing.catalogue import builtin_catalogue

RUNS = 64
MODEL = builtin_catalogue().models["openai:gpt-4o"]
CODE = Answer("```python\nprint('hello')\n```", input_tokens=150, output_tokens=200)


def unlock(monkeypatch: pytest.MonkeyPatch, server: FaultyServer) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "canary-openai-0123456789")
    monkeypatch.setenv("YMERA_OPENAI_BASE_URL", server.base_url("openai"))


async def test_sixty_four_runs_on_one_days_budget_never_overspend(monkeypatch: pytest.MonkeyPatch) -> None:
    limit = 0.25
    async with FaultyServer() as server:
        unlock(monkeypatch, server)
        monkeypatch.setenv("YMERA_DAILY_USD", str(limit))
        server.script("openai", then=CODE)
        async with MultiModelExecutor(load_settings()) as executor:
            results = await asyncio.gather(
                *(
                    executor.execute_with_multi_model(
                        "coding_agent",
                        f"Write module {number} of the import service",
                        enable_phases=["planning", "generation"],
                        context=RunContext(model=MODEL.name),
                    )
                    for number in range(RUNS)
                )
            )
        billed = server.billed["openai", MODEL.model_id]
    assert MODEL.price is not None
    cost = (billed.input_tokens * MODEL.price.input + billed.output_tokens * MODEL.price.output) / 1e6
    assert sum(result.total_cost for result in results) == pytest.approx(cost)
    assert 0.5 * limit < cost <= limit
    stopped = [result for result in results if result.stopped_by_budget]
    assert all(result.success or result in stopped for result in results)
    assert 0 < len(stopped) < RUNS
    assert all("day" in (result.stopped_by_budget or "") for result in stopped)


async def test_runs_wait_for_their_turn_at_a_provider_and_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    async with FaultyServer() as server:
        unlock(monkeypatch, server)
        monkeypatch.setenv("YMERA_RATES", json.dumps({"openai": {"concurrency": 1}}))
        server.script("openai", then=Answer(CODE.text, wait_s=0.05))
        async with MultiModelExecutor(load_settings()) as executor:

            async def events_of(number: int) -> list[str]:
                stream = executor.stream(
                    "coding_agent", f"Write module {number}", enable_phases=["planning", "generation"]
                )
                return [str(event.get("why", event["event"])) async for event in stream]

            told = await asyncio.gather(*(events_of(number) for number in range(4)))
    assert all(events[-1] == "finished" for events in told)
    assert any("for a turn at openai (1 at a time)" in events for events in told)
    calls = sorted(request.at for request in server.requests)
    assert len(calls) == 8
    assert all(later - earlier >= 0.045 for earlier, later in pairwise(calls))
