"""What an attempt cost, in USD.

genai-prices knows prices by date and time of day; where it has none, the catalogue's own price counts; where
that is missing too, the cost is unknown (None), never 0.
"""

from __future__ import annotations

import importlib
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ..routing.records import ModelProfile

if TYPE_CHECKING:
    from langchain_core.messages.ai import UsageMetadata


def load() -> None:
    """Import the price table (about half a second): call it in a thread before the first `cost`."""
    importlib.import_module("genai_prices")


def cost(model: ModelProfile, served_model: str | None, usage: UsageMetadata, at: datetime) -> float | None:
    """Return the cost of one call in USD, by the model that was served where that is known.

    Args:
        usage: token counts as LangChain reports them.
        at: when the call was made, with its time zone.
    """
    price = model.price
    if price is not None and price.input == price.output == 0:
        return 0.0
    for name in dict.fromkeys([served_model or model.model_id, model.model_id]):
        found = _listed(model.provider, name, usage, at)
        if found is not None:
            return found
    if price is None:
        return None
    return (usage["input_tokens"] * price.input + usage["output_tokens"] * price.output) / 1e6


def _listed(provider: str, model: str, usage: UsageMetadata, at: datetime) -> float | None:
    from genai_prices import Usage, calc_price

    counted: dict[str, Any] = {"input_tokens": usage["input_tokens"], "output_tokens": usage["output_tokens"]}
    if cached := usage.get("input_token_details", {}).get("cache_read"):
        counted["cache_read_tokens"] = cached
    try:
        priced = calc_price(Usage(**counted), model_ref=model, provider_id=provider, genai_request_timestamp=at)
    except LookupError:
        return None
    return float(priced.total_price)
