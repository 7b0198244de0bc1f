"""One budget of a day for many runs at once, at a provider that bills each answer with all that it may have."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.servers.faulty import Answer, FaultyServer, Request
from ymera import MultiModelExecutor, MultiModelResult, RunContext

from .books import cost_of
from .test_soak import opened

AT_ONCE = 64
USD = 0.02


def as_dear_as_it_gets(request: Request) -> Answer:
    body = request.body
    text = "".join(message["content"] for message in body["messages"])
    return Answer("word", wait_s=0.02, input_tokens=len(text) // 4, output_tokens=body["max_tokens"])


async def test_sixty_four_runs_on_one_budget_of_a_day_never_overspend(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("YMERA_DAILY_USD", json.dumps({"mistral": USD}))
    server = FaultyServer()
    server.answer(as_dear_as_it_gets)

    async def one(executor: MultiModelExecutor, number: int) -> MultiModelResult:
        context = RunContext(providers=["mistral"])
        task = f"Write module m{number} of the import service"
        return await executor.execute_with_multi_model(
            "coding_agent", task, None, ["generation"], context=context, use_cache=False
        )

    async with opened(monkeypatch, server) as executor:
        results = await asyncio.gather(*(one(executor, number) for number in range(AT_ONCE)))
    bills = [
        cost_of(("", "", provider, model), (billed.input_tokens, billed.output_tokens)) or 0.0
        for (provider, model), billed in server.billed.items()
    ]
    assert 0.5 * USD < sum(bills) <= USD
    assert sum(result.total_cost for result in results) == pytest.approx(sum(bills), abs=1e-6)
    refused = [result for result in results if not result.success]
    assert refused
    assert len(refused) < AT_ONCE
    assert all("today's 0.02 USD" in str(result.stopped_by_budget) for result in refused)
