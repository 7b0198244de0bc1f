"""What the journal adds to the start of `ymera match`, a process each."""

from __future__ import annotations

import os
import resource
import subprocess
import sysconfig
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np

from ymera.nodes.calls import open_calls
from ymera.nodes.outcome_rows import OF_CALL
from ymera.nodes.settings import load_settings
from ymera.routing.catalogue import builtin_catalogue

STARTS = 9
TASK = "Write a function that sorts a list of names."
_INSERT = (
    f"INSERT INTO calls (thread, checkpoint, tenant, {', '.join(OF_CALL)}) "
    f"VALUES ('', '', '', {', '.join('?' * len(OF_CALL))})"
)


def starts(outcomes: int) -> dict[str, float]:
    """Return the CPU seconds of `ymera match` without a journal and with so many rows in it: medians, taken in turns.

    Of the processor, not of the wall: what else the machine does would drown the difference.
    """
    with TemporaryDirectory() as without, TemporaryDirectory() as filled:
        fill(Path(filled), outcomes)
        folders = {
            "`ymera match` without a journal, CPU s": without,
            f"`ymera match` with {outcomes:,} rows in the journal, CPU s": filled,
        }
        times: dict[str, list[float]] = {name: [] for name in folders}
        for _ in range(STARTS):
            for name, folder in folders.items():
                times[name].append(_start(folder))
    return {name: median(each) for name, each in times.items()}


def _start(folder: str) -> float:
    command = [str(Path(sysconfig.get_path("scripts")) / "ymera"), "match", TASK]
    begun = _processor()
    # 3: no model is usable without a key; the plan is made all the same.
    done = subprocess.run(
        command, env={**os.environ, "YMERA_DATA_DIR": folder}, capture_output=True, text=True
    )
    if done.returncode not in (0, 3):
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}: {done.stderr}")
    return _processor() - begun


def _processor() -> float:
    """Return the processor's seconds that all ended processes of this one have taken."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def fill(folder: Path, outcomes: int) -> None:
    """Write a journal of calls that were answered and judged, of all models, agents and phases of the catalogue."""
    catalogue, random = builtin_catalogue(), np.random.default_rng(0)
    models, agents, phases = list(catalogue.models.values()), list(catalogue.agents), list(catalogue.phases)
    settings = load_settings().model_copy(update={"ymera_data_dir": folder, "ymera_database_url": None})
    database, began = open_calls(settings), time.time() - outcomes
    with database.transaction() as rows:
        for number in range(outcomes):
            model = models[random.integers(len(models))]
            agent, phase = agents[random.integers(len(agents))], phases[random.integers(len(phases))]
            good = float(random.random() < 0.7)
            row = dict.fromkeys(OF_CALL, 0) | {
                **dict.fromkeys(("complexity", "speed", "creativity"), "normal"),
                **{"task": "", "comment": "", "decision": "accept" if good else "revise"},
                **{"run": f"run-{number}", "attempt": "1", "agent": agent, "domain": agent, "phase": phase},
                **{"provider": model.provider, "model": model.name, "outcome": "answered", "quality": good},
                **{"seconds": 2.0, "output_tokens": 300, "input_tokens": 500},
                **{"started_at": began + number, "settled_at": began + number + 1},
            }
            rows.execute(_INSERT, [row[name] for name in OF_CALL])
    database.close()
