"""Many runs in one process: the real graph over real HTTP to a provider in another process, at realistic latencies.

    python -m benchmarks.many_runs [--runs 1000] [--at-once 1000] [--over-s 0] [--stores client none sqlite postgres]

Every run has three phases, one after the other. The provider begins an answer after a while (log-normal) and then
writes it word by word; how long it took for each run is in its own books, so that what YMERA adds is a run's wall time
less its provider's. 61 words a second is the pace that was measured with the embedded model of 1.7 billion parameters,
157 words the mean answer of the embedded coding run (`benchmarks.instant`); a first word after 0.5 s in the middle is
taken, not measured.

Each connection is an open file: the limit (`ulimit -n`) is raised as far as it may be, and must be above twice
`--at-once`.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import quantiles

from pydantic import SecretStr

from ymera import MultiModelExecutor, RunContext
from ymera.graphs import build
from ymera.nodes.matching import AgentModelMatcher
from ymera.nodes.services import Services, make_services
from ymera.nodes.settings import Settings
from ymera.nodes.state import RunInput
from ymera.routing.catalogue import builtin_catalogue, extend

from .descriptors import allow_files
from .ours import catalogue_text
from .paced import Books, Pace, running
from .systems import Route

PHASES = ("planning", "generation", "review")
CONTEXT = RunContext(providers=["first"])
STORES = ("client", "none", "sqlite", "postgres")
"""Where runs are kept; `client`: no run at all, but the same calls of the same client."""
TICK_S = 0.01
WARM_UP = 50
PACE = Pace(first_s=0.5, sigma=0.5, words_per_s=61.0, words=157)

Run = Callable[[int], Awaitable[bool]]
"""Make a run, by its number; says whether it ended well."""


@dataclass(frozen=True, kw_only=True)
class Load:
    """How many runs are made, how many of them at once, and over how many seconds their starts are spread."""

    runs: int
    at_once: int
    over_s: float = 0.0


@dataclass(kw_only=True)
class Measured:
    """What was seen: seconds by run, seconds by which the event loop was late, bytes, CPU seconds."""

    seconds: dict[int, float] = field(default_factory=dict)
    failed: list[int] = field(default_factory=list)
    lags: list[float] = field(default_factory=list)
    wall_s: float = 0.0
    cpu_s: float = 0.0
    resident_before: int = 0
    resident_most: int = 0
    resident_after: int = 0


@dataclass(frozen=True, kw_only=True)
class Row:
    """A line of the report: milliseconds, KiB, of one store."""

    store: str
    runs: int
    failed: int
    at_once: int
    wall_s: float
    provider_s_p50: float
    added_ms_p50: float
    added_ms_p99: float
    lag_ms_p50: float
    lag_ms_p99: float
    lag_ms_max: float
    cpu_ms_a_run: float
    kib_a_run_at_once: float
    kib_a_run_left: float


@asynccontextmanager
async def connected(store: str, base_url: str, database_url: str | None) -> AsyncIterator[Run]:
    """Set YMERA up with a store of checkpoints."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        url = SecretStr(database_url) if store == "postgres" and database_url else None
        settings = Settings(ymera_data_dir=Path(folder), ymera_database_url=url)
        route = Route(base_url=base_url, primary="first-model", fallback="second-model")
        catalogue = extend(builtin_catalogue(), catalogue_text(route))
        services = make_services(matcher=AgentModelMatcher(settings, catalogue))
        try:
            yield {"client": _called, "none": _bare}.get(store, _executed)(services)
        finally:
            await services.models.close()


def _called(services: Services) -> Run:
    model = services.matcher.catalogue.models["first:first-model"]

    async def run(number: int) -> bool:
        said = []
        for phase in PHASES:
            chat = await services.models.open(model, max_output_tokens=1000, temperature=0.0)
            asked = f"{_task(number)} {'Your decision, please.' if phase == 'review' else ''}"
            said.append([chunk async for chunk in chat.astream(asked)])
        return all(said)

    return run


def _bare(services: Services) -> Run:
    graph = build(tuple((phase,) for phase in PHASES), services).compile()

    async def run(number: int) -> bool:
        asked = RunInput(task=_task(number), agent="caller", phases=list(PHASES))
        state = await graph.ainvoke(asked, context=CONTEXT)
        return bool(state.get("final_result"))

    return run


def _executed(services: Services) -> Run:
    executor = MultiModelExecutor(services=services)

    async def run(number: int) -> bool:
        result = await executor.execute_with_multi_model(
            "caller", _task(number), {}, PHASES, context=CONTEXT, use_cache=False
        )
        return result.success

    return run


def _task(number: int) -> str:
    return f"Say hello in run no. {number}."


async def measure(run: Run, load: Load, numbers: range) -> Measured:
    """Make the runs and watch the process meanwhile."""
    seen, places = Measured(), asyncio.Semaphore(load.at_once)
    gc.collect()
    seen.resident_before = seen.resident_most = resident()

    async def one(number: int) -> None:
        await asyncio.sleep(load.over_s * (number - numbers.start) / len(numbers))
        async with places:
            clock = time.perf_counter()
            if not await run(number):
                seen.failed.append(number)
            seen.seconds[number] = time.perf_counter() - clock

    watch = asyncio.create_task(_watch(seen))
    cpu, clock = time.process_time(), time.perf_counter()
    await asyncio.gather(*(one(number) for number in numbers))
    seen.wall_s, seen.cpu_s = time.perf_counter() - clock, time.process_time() - cpu
    watch.cancel()
    gc.collect()
    seen.resident_after = resident()
    return seen


async def _watch(seen: Measured) -> None:
    """Note by how much the loop is late, and the memory once a second."""
    ticks = 0
    while True:
        clock = time.perf_counter()
        await asyncio.sleep(TICK_S)
        seen.lags.append(max(time.perf_counter() - clock - TICK_S, 0.0))
        ticks += 1
        if ticks % 20 == 0:
            seen.resident_most = max(seen.resident_most, resident())


def resident() -> int:
    """Return the bytes that this process has in memory; 0 where the system does not tell."""
    if sys.platform != "linux":
        return 0
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def row_of(store: str, load: Load, seen: Measured, books: Books) -> Row:
    """Return what was measured, with what the provider took for itself taken off."""
    provider = [books.runs[str(number)].seconds for number in seen.seconds if str(number) in books.runs]
    added = [
        1e3 * (seconds - books.runs[str(number)].seconds)
        for number, seconds in seen.seconds.items()
        if number not in seen.failed
    ]
    lags = [1e3 * lag for lag in seen.lags]
    at_once = min(load.at_once, len(seen.seconds))
    return Row(
        store=store,
        runs=len(seen.seconds),
        failed=len(seen.failed),
        at_once=at_once,
        wall_s=round(seen.wall_s, 1),
        provider_s_p50=round(_cut(provider, 50), 2),
        added_ms_p50=round(_cut(added, 50), 1),
        added_ms_p99=round(_cut(added, 99), 1),
        lag_ms_p50=round(_cut(lags, 50), 1),
        lag_ms_p99=round(_cut(lags, 99), 1),
        lag_ms_max=round(max(lags), 1),
        cpu_ms_a_run=round(1e3 * seen.cpu_s / len(seen.seconds), 1),
        kib_a_run_at_once=round((seen.resident_most - seen.resident_before) / at_once / 1024, 1),
        kib_a_run_left=round((seen.resident_after - seen.resident_before) / len(seen.seconds) / 1024, 1),
    )


def _cut(values: Sequence[float], percent: int) -> float:
    return quantiles(values, n=100, method="inclusive")[percent - 1]


async def measured(store: str, load: Load, pace: Pace, database_url: str | None = None) -> Row:
    """Measure one store; some runs before it, which are not counted, open what is opened once."""
    with running(pace) as server:
        async with connected(store, server.base_url, database_url) as run:
            await measure(run, load, range(-WARM_UP, 0))
            seen = await measure(run, load, range(load.runs))
        return row_of(store, load, seen, server.end())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Many runs in one process.")
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--at-once", type=int, default=1000)
    parser.add_argument("--over-s", type=float, default=0.0, help="seconds over which the starts are spread")
    parser.add_argument("--stores", nargs="+", choices=STORES, default=["client", "none", "sqlite"])
    parser.add_argument("--database-url", help="PostgreSQL for the store of that name")
    parser.add_argument("--words", type=int, default=PACE.words, help="of an answer")
    parser.add_argument("--words-per-s", type=float, default=PACE.words_per_s)
    parser.add_argument("--first-s", type=float, default=PACE.first_s, help="median until an answer begins")
    parser.add_argument("--json", type=Path, help="file for the figures")
    given = parser.parse_args()
    if allow_files() < 2 * given.at_once:
        parser.error(
            f"each run needs a connection: raise `ulimit -n` above {2 * given.at_once}, or lower --at-once"
        )
    load = Load(runs=given.runs, at_once=given.at_once, over_s=given.over_s)
    pace = Pace(first_s=given.first_s, sigma=PACE.sigma, words_per_s=given.words_per_s, words=given.words)
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, {pace}")
    rows = []
    for store in given.stores:
        rows.append(asdict(asyncio.run(measured(store, load, pace, given.database_url))))
        print("  ".join(f"{name} {value}" for name, value in rows[-1].items()), flush=True)
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
