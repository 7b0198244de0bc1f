"""What an attempt cost, in USD.

genai-prices knows prices by date and time of day; where it has none, the catalogue's own price counts; where
that is missing too, the cost is unknown (None), never 0.
"""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING

from langchain_core.messages.ai import UsageMetadata

from ..routing.records import ModelProfile, Price

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, Provider


async def cost(
    model: ModelProfile, served_model: str | None, usage: UsageMetadata, at: datetime
) -> float | None:
    """Return the cost of one call in USD, by the model that was served where that is known.

    Args:
        usage: token counts as LangChain reports them.
        at: when the call was made, with its time zone.
    """
    price = model.price
    if price is not None and price.input == price.output == 0:
        return 0.0
    if "genai_prices" not in sys.modules:
        # The table takes half a second to import: not on the event loop.
        await asyncio.to_thread(_listed, model.provider, model.model_id)
    listed = _listed(model.provider, served_model or model.model_id)
    listed = listed or _listed(model.provider, model.model_id)
    # What a server counts is not to be trusted: a negative number, or more cached than there were.
    read, written = max(usage["input_tokens"], 0), max(usage["output_tokens"], 0)
    if listed is not None:
        cached = min(usage.get("input_token_details", {}).get("cache_read") or 0, read)
        counted = {"input_tokens": read, "output_tokens": written, "cache_read_tokens": max(cached, 0)}
        return _priced(listed, counted, at)
    return None if price is None else (read * price.input + written * price.output) / 1e6


async def rates(model: ModelProfile, input_tokens: int) -> Price | None:
    """Return what a call of about this size costs now, USD per million tokens; None where it is not known."""
    now, size = datetime.now(UTC), max(input_tokens, 1)
    sent = await cost(model, None, UsageMetadata(input_tokens=size, output_tokens=0, total_tokens=size), now)
    both = UsageMetadata(input_tokens=size, output_tokens=1_000, total_tokens=size + 1_000)
    whole = await cost(model, None, both, now)
    if sent is None or whole is None:
        return None
    return Price(input=sent * 1e6 / size, output=(whole - sent) * 1e3)


@lru_cache(maxsize=1024)
def _listed(provider: str, model: str) -> tuple[Provider, ModelInfo] | None:
    """Return the table's entry for a model. Misses are remembered too: the table searches anew each time."""
    from genai_prices.data_snapshot import get_snapshot

    try:
        return get_snapshot().find_provider_model(model, None, provider, None)
    except LookupError:
        return None


def _priced(listed: tuple[Provider, ModelInfo], counted: dict[str, int], at: datetime) -> float:
    provider, model = listed
    rates = vars(model.get_prices(at))
    known = {name: rate for name, rate in rates.items() if rate is not None and not name.startswith("_")}
    into, out = known.get("input_mtok"), known.get("output_mtok")
    plain = not counted["cache_read_tokens"] and "requests_kcount" not in known
    if plain and isinstance(into, Decimal) and isinstance(out, Decimal):
        # Without tiers and caches: what the table's own sum comes to, at a hundredth of its time.
        return float(counted["input_tokens"] * into + counted["output_tokens"] * out) / 1e6
    from genai_prices import Usage

    return float(model.calc_price(Usage(**counted), provider, genai_request_timestamp=at).total_price)
