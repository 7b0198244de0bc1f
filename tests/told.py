"""Rows of calls whose tasks were of domains that their callers named (made up)."""

from __future__ import annotations

import time
from typing import Any

from ymera.nodes.outcome_rows import AMOUNTS, COUNTS, PERHAPS, WORDS

BEGAN = time.time() - 3_600
BILLS = (
    "Compute the invoice of customer {number} with discounts and tax for the accounting month",
    "Sum up the payments that customer {number} still owes, and draft the reminder of the invoice",
)
PARSERS = (
    "Parse the grammar rule {number} into tokens and build its syntax tree",
    "Tokenise the source file {number}, then report where its syntax breaks the grammar",
)


def told(
    count: int = 30, billing: dict[str, Any] | None = None, parsers: dict[str, Any] | None = None
) -> list[dict[str, Any]]:
    """Return a row for each of so many tasks of two domains of the coding agent, in turn.

    Args:
        billing, parsers: what stands in the rows of that domain besides; `{number}` in a task is its own.
    """
    rows = []
    for number in range(count):
        for domain, texts, besides in (("billing", BILLS, billing), ("parsers", PARSERS, parsers)):
            row = (
                _row(f"{domain} {number}", number)
                | {"domain": domain, "task": texts[number % 2]}
                | (besides or {})
            )
            rows.append({**row, "task": row["task"].format(number=number)})
    return rows


def _row(run: str, number: int) -> dict[str, Any]:
    return {
        **dict.fromkeys(WORDS, ""),
        **dict.fromkeys((*COUNTS, *AMOUNTS), 0),
        **dict.fromkeys(PERHAPS),
        **{"run": run, "attempt": "generation-1", "agent": "coding_agent", "phase": "generation"},
        **{"outcome": "answered", "provider": "groq", "model": "llama", "started_at": BEGAN + number},
    }
