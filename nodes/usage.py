"""Tokens and money of one attempt: as the provider reports them, else estimated, else unknown; never a silent 0."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from langchain_core.messages.ai import UsageMetadata

from ..routing.attempts import Usage
from ..routing.faults import FaultKind
from ..routing.prediction import count_tokens
from ..routing.records import ModelProfile
from . import prices
from .state import NO_USAGE

if TYPE_CHECKING:
    from langchain_core.messages import AIMessage

MAYBE_BILLED: frozenset[FaultKind] = frozenset({"timed_out", "stalled", "cut_short", "cancelled"})
"""Faults after which a provider may have worked on a request although nothing of its answer came."""


async def usage_of(
    model: ModelProfile,
    message: AIMessage | None,
    started_at: float,
    *,
    prompt_tokens: int,
    kind: FaultKind | None,
) -> Usage:
    """Return what an attempt took.

    A provider's report counts. Where an answer broke off before the report, tokens are counted by us and the usage
    is marked as estimated; where nothing came and it may be billed all the same, it is marked as unpriced.

    Args:
        started_at: when the call was made, epoch seconds.
        prompt_tokens: our own count of what was sent.
        kind: why the attempt failed, if it did.
    """
    if message is not None and message.usage_metadata is not None:
        return await _priced(model, message, message.usage_metadata, started_at)
    if message is not None and message.content:
        written = count_tokens(message.text)
        counted = UsageMetadata(
            input_tokens=prompt_tokens, output_tokens=written, total_tokens=prompt_tokens + written
        )
        return Usage({**await _priced(model, message, counted, started_at), "estimated": 1})
    return Usage({**NO_USAGE, "unpriced": 1 if kind in MAYBE_BILLED and not _free(model) else 0})


async def _priced(
    model: ModelProfile, message: AIMessage, counted: UsageMetadata, started_at: float
) -> Usage:
    cost = await prices.cost(model, served_model(message), counted, datetime.fromtimestamp(started_at, UTC))
    return Usage(
        input_tokens=counted["input_tokens"],
        output_tokens=counted["output_tokens"],
        cached_tokens=counted.get("input_token_details", {}).get("cache_read", 0) or 0,
        reasoning_tokens=counted.get("output_token_details", {}).get("reasoning", 0) or 0,
        cost_usd=cost or 0.0,
        unpriced=1 if cost is None else 0,
        estimated=0,
    )


def _free(model: ModelProfile) -> bool:
    return model.price is not None and model.price.input == model.price.output == 0


def served_model(message: AIMessage | None) -> str | None:
    """Return the model that answered, where the provider tells."""
    served = message.response_metadata.get("model_name") if message else None
    return str(served) if served else None
