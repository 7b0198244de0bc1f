"""What an attempt cost: the price table first, the catalogue where it has none, unknown where neither knows."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages.ai import InputTokenDetails, UsageMetadata

from ymera.nodes.prices import cost
from ymera.routing.catalogue import builtin_catalogue
from ymera.routing.records import ModelProfile, Price

BUILTIN = builtin_catalogue()
LISTED = BUILTIN.models["openai:gpt-6.1-terra"]
UNLISTED = replace(
    LISTED, name="mine", model_id="nobody-has-this-model", provider="local", price=Price(input=2, output=8)
)
UNKNOWN = replace(UNLISTED, price=None)
FREE = BUILTIN.models["embedded:qwen2.5-coder-1.5b"]
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def usage(read: int = 1000, written: int = 500, cached: int | None = None) -> UsageMetadata:
    counted = UsageMetadata(input_tokens=read, output_tokens=written, total_tokens=read + written)
    if cached is not None:
        counted["input_token_details"] = InputTokenDetails(cache_read=cached)
    return counted


@pytest.mark.parametrize(
    ("model", "served", "usd"),
    [
        pytest.param(LISTED, None, 0.0035, id="listed: 1 and 5 USD a million"),
        pytest.param(LISTED, "gpt-6.1-terra", 0.0035, id="listed, and the provider tells its name"),
        pytest.param(LISTED, "gpt-4o", 0.0075, id="another model was served: its price"),
        pytest.param(
            LISTED, "a-name-that-nobody-lists", 0.0035, id="an unknown name was served: the model's price"
        ),
        pytest.param(UNLISTED, None, 0.006, id="not listed: the catalogue's own price"),
        pytest.param(UNKNOWN, None, None, id="neither knows: unknown, never 0"),
        pytest.param(FREE, None, 0.0, id="an embedded model is free"),
        pytest.param(FREE, "gpt-4o", 0.0, id="an embedded model is free whatever it calls itself"),
    ],
)
async def test_the_cost_of_a_call(model: ModelProfile, served: str | None, usd: float | None) -> None:
    found = await cost(model, served, usage(), NOW)
    assert found == (None if usd is None else pytest.approx(usd))


async def test_a_price_counts_at_the_day_and_hour_of_the_call() -> None:
    model = BUILTIN.models["deepseek:deepseek-chat"]
    day, night = [await cost(model, None, usage(), NOW.replace(hour=hour)) for hour in (12, 19)]
    assert day is not None
    assert night is not None
    assert night < day


async def test_cached_tokens_are_cheaper() -> None:
    fresh, cached = [await cost(LISTED, None, usage(cached=n), NOW) for n in (0, 1000)]
    assert fresh is not None
    assert cached is not None
    assert 0 < cached < fresh


async def test_every_model_that_may_be_called_today_has_a_price_or_none_at_all() -> None:
    for model in BUILTIN.models.values():
        found = await cost(model, None, usage(), NOW)
        if model.provider == "embedded":
            assert found == 0
        elif model.price is None:
            assert found is None or found > 0
        else:
            assert found is not None, model.key
            assert found > 0, model.key


COUNTS = st.integers(-1_000_000, 100_000_000)


@given(COUNTS, COUNTS, st.none() | COUNTS, st.sampled_from([LISTED, UNLISTED, UNKNOWN, FREE]))
async def test_whatever_a_server_counts_the_cost_is_unknown_or_not_negative(
    read: int, written: int, cached: int | None, model: ModelProfile
) -> None:
    found = await cost(model, None, usage(read, written, cached), NOW)
    assert found is None if model is UNKNOWN else found is not None and found >= 0
