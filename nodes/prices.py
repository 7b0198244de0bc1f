"""What an attempt cost, in USD.

genai-prices knows prices by date and time of day; where it has none, the catalogue's own price counts; where
that is missing too, the cost is unknown (None), never 0.
"""

from __future__ import annotations

import asyncio
import sys
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ..routing.records import ModelProfile

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, Provider
    from langchain_core.messages.ai import UsageMetadata


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
    listed = _listed(model.provider, served_model or model.model_id) or _listed(
        model.provider, model.model_id
    )
    if listed is not None:
        return _priced(*listed, usage, at)
    if price is None:
        return None
    return (usage["input_tokens"] * price.input + usage["output_tokens"] * price.output) / 1e6


@lru_cache(maxsize=1024)
def _listed(provider: str, model: str) -> tuple[Provider, ModelInfo] | None:
    """Return the table's entry for a model. Misses are remembered too: the table searches them anew each time."""
    from genai_prices.data_snapshot import get_snapshot

    try:
        return get_snapshot().find_provider_model(model, None, provider, None)
    except LookupError:
        return None


def _priced(provider: Provider, model: ModelInfo, usage: UsageMetadata, at: datetime) -> float:
    from genai_prices import Usage

    counted: dict[str, Any] = {"input_tokens": usage["input_tokens"], "output_tokens": usage["output_tokens"]}
    if cached := usage.get("input_token_details", {}).get("cache_read"):
        counted["cache_read_tokens"] = cached
    return float(model.calc_price(Usage(**counted), provider, genai_request_timestamp=at).total_price)
