"""What an attempt took: reported, estimated, or unknown."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage

from ymera.nodes.state import NO_USAGE
from ymera.nodes.usage import usage_of
from ymera.routing.faults import FaultKind
from ymera.routing.records import ModelProfile, Price

from ..servers.clients import model

PRICED = ModelProfile(
    name="m", provider="mine", model_id="m", scores={}, context_tokens=8_000, max_output_tokens=1_000,
    price=Price(input=1.0, output=2.0),
)  # fmt: skip
FREE = ModelProfile(
    name="m", provider="mine", model_id="m", scores={}, context_tokens=8_000, max_output_tokens=1_000,
    price=Price(input=0.0, output=0.0),
)  # fmt: skip
REPORT: Any = {
    "input_tokens": 100,
    "output_tokens": 50,
    "total_tokens": 150,
    "input_token_details": {"cache_read": 40},
    "output_token_details": {"reasoning": 30},
}


@pytest.mark.parametrize(
    ("message", "kind", "expected"),
    [
        (
            AIMessage("x" * 80, usage_metadata=REPORT),
            None,
            {
                "input_tokens": 100,
                "output_tokens": 50,
                "cached_tokens": 40,
                "reasoning_tokens": 30,
                "cost_usd": 2e-4,
            },
        ),
        (
            AIMessage("x" * 80, usage_metadata=REPORT),
            "length_reached",
            {
                "input_tokens": 100,
                "output_tokens": 50,
                "cached_tokens": 40,
                "reasoning_tokens": 30,
                "cost_usd": 2e-4,
            },
        ),
        (
            AIMessage("x" * 80),
            "cut_short",
            {"input_tokens": 500, "output_tokens": 20, "cost_usd": 5.4e-4, "estimated": 1},
        ),
        (None, "cancelled", {"unpriced": 1}),
        (None, "timed_out", {"unpriced": 1}),
        (None, "authentication", {}),
        (None, "server_error", {}),
        (AIMessage(""), "empty", {}),
    ],
    ids=[
        "as reported",
        "a failed answer is paid too",
        "broken off: counted by us",
        "cancelled before a word: nobody knows",
        "late: nobody knows",
        "refused: nothing",
        "an error: nothing",
        "nothing said, nothing reported",
    ],
)
async def test_the_usage_of_an_attempt(
    message: AIMessage | None, kind: FaultKind | None, expected: dict[str, float]
) -> None:
    usage = await usage_of(PRICED, message, 0.0, prompt_tokens=500, kind=kind)
    assert usage == {**NO_USAGE, **expected, "cost_usd": pytest.approx(expected.get("cost_usd", 0.0))}


async def test_a_model_of_unknown_price_is_unpriced_even_where_tokens_are_reported() -> None:
    usage = await usage_of(
        model("m", "mine"), AIMessage("x", usage_metadata=REPORT), 0.0, prompt_tokens=5, kind=None
    )
    assert (usage["input_tokens"], usage["cost_usd"], usage["unpriced"]) == (100, 0.0, 1)


async def test_a_free_model_costs_nothing_however_it_ends() -> None:
    usage = await usage_of(FREE, None, 0.0, prompt_tokens=5, kind="timed_out")
    assert usage == NO_USAGE
