"""The embedded models whose weights lie here, asked what `benchmarks.embedded` asks: section `embedded`.

It takes some minutes a model, and is left out where no weights lie here.
"""

from __future__ import annotations

import asyncio

from . import embedded
from .findings import Effort, Findings, Table
from .weights_here import MISSING, models_here

HEADS = (
    "model",
    "functions passed",
    "SQL right",
    "prompt tokens a second",
    "output tokens a second",
    "opened, s",
)


async def measure(effort: Effort) -> Findings:
    """Measure every model that is here, one after the other."""
    names = models_here()
    if not names:
        return Findings(left_out=[MISSING.format("what the embedded models can do")])
    # In threads of its own: it waits for the models' server as a script does.
    found = {name: await asyncio.to_thread(embedded.measure, name) for name in names}
    rows = [
        [
            name,
            *(f"{len(seen['passed'][kind])}/{_asked(seen, kind)}" for kind in ("functions", "statements")),
            f"{seen['prompt_tokens_per_second']}",
            f"{seen['output_tokens_per_second']}",
            f"{seen['open_seconds']}",
        ]
        for name, seen in found.items()
    ]
    return Findings(tables=[Table(title="Embedded models", heads=HEADS, rows=rows)], figures=found)


def _asked(seen: dict[str, dict[str, list[str]]], kind: str) -> int:
    return len(seen["passed"][kind]) + len(seen["failed"][kind])
