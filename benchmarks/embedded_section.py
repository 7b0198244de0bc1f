"""The embedded models whose weights lie here: section `embedded`.

What they can do, how fast they are beside llama.cpp's own bench, what they need not read again, and what batches gain.
The section is left out where no weights lie here.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence

from . import embedded, embedded_batch, embedded_prefix, embedded_speed
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
    """Measure every model that is here, part by part."""
    names = models_here()
    if not names:
        return Findings(left_out=[MISSING.format("what the embedded models can do")])
    parts = {
        "abilities": _abilities,
        "speed": embedded_speed.measure,
        "prefix": embedded_prefix.measure,
        "batch": embedded_batch.measure,
    }
    found: dict[str, Findings] = {}
    for part, measured in parts.items():
        clock = time.monotonic()
        found[part] = await measured(names, effort)
        print(f"embedded, {part}: {time.monotonic() - clock:.0f} s", file=sys.stderr, flush=True)
    return joined(found)


def joined(parts: dict[str, Findings]) -> Findings:
    """Return the findings of all parts as one; the figures stand under the names of the parts."""
    return Findings(
        tables=[table for part in parts.values() for table in part.tables],
        marks=[mark for part in parts.values() for mark in part.marks],
        figures={name: part.figures for name, part in parts.items()},
        left_out=[line for part in parts.values() for line in part.left_out],
    )


async def _abilities(names: Sequence[str], effort: Effort) -> Findings:
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
