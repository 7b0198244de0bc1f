"""The embedded models together against each alone, wall time and pass rate of whole runs: section `together`.

The tasks are the functions of data/functions.toml, with the phases and prompts of `coding_agent`. Sides take turns, and
each task begins with another side. Every run finds servers that have read no prompt, and no history: otherwise a later
side would be spared what an earlier one has read, and plan by its outcomes. Loading is not counted. It takes about
twenty minutes on two idle cores, and is left out where there are not two models.

The models' code is run here, in a process of its own with a time limit but without a sandbox.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ymera import MultiModelExecutor, MultiModelResult, RunContext
from ymera.nodes.availability import EMBEDDED
from ymera.nodes.embedded import close_all, open_server
from ymera.nodes.settings import load_settings

from .embedded import code_of, holds, read
from .findings import Effort, Findings, Table
from .proportions import wilson
from .turns import ratios, spread
from .weights_here import MISSING, models_here

TOGETHER = "together"
AGENT = "coding_agent"
FEWEST = 2
SUBJECT = "the embedded models together against each alone"
HEADS = (
    *("models", "functions passed (95 % interval)", "passed before the review", "wall of a run, s"),
    *("together / this", "CPU of a run, s", "all runs, s", "tokens read and made"),
)

Item = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Ran:
    """What one run of one task came to.

    Args:
        passed: whether the code of the result kept the asserts.
        draft_passed: the same of what the generation phase made, before review and refinement.
        models: which model did which phase.
        seconds: of each phase, by the run's own account.
        cpu_s: of this process, the models' threads included.
        decision: of the review; empty where none was made.
        error: why there is no result.
    """

    task: str
    wall_s: float
    cpu_s: float
    passed: bool
    draft_passed: bool
    models: Mapping[str, str]
    seconds: Mapping[str, float]
    tokens: int
    decision: str = ""
    error: str | None = None


async def measure(effort: Effort) -> Findings:
    """Let the models that are here do the tasks, together and each alone."""
    names = models_here()
    if len(names) < FEWEST:
        return Findings(left_out=[MISSING.format(SUBJECT)])
    items = read("functions")["functions"][: effort.runs]
    contexts = contexts_of(names)
    # What the first run of a process imports would be counted to whichever side comes first.
    await _run(items[0], RunContext(model=names[-1]), names[-1:], phases=["generation"])
    runs: dict[str, list[Ran]] = {side: [] for side in contexts}
    for number, item in enumerate(items):
        for side in turned(list(contexts), number):
            opened = names if side == TOGETHER else [side]
            runs[side].append(await _run(item, contexts[side], opened))
    return findings_of_runs(runs)


def contexts_of(names: Sequence[str]) -> dict[str, RunContext]:
    """Return the settings of the runs of each side: all of these models, and each alone."""
    together = RunContext(strategy="multi_model", providers=[EMBEDDED])
    return {TOGETHER: together} | {name: RunContext(model=name) for name in names}


def turned(sides: Sequence[str], number: int) -> list[str]:
    """Return the sides in the order of this round: each begins one in so many."""
    first = number % len(sides)
    return [*sides[first:], *sides[:first]]


async def _run(
    item: Item, context: RunContext, opened: Sequence[str], *, phases: Sequence[str] | None = None
) -> Ran:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        settings = load_settings().model_copy(
            update={"ymera_data_dir": Path(folder), "ymera_downloads": False}
        )
        for name in opened:
            await open_server(name, settings)
        try:
            async with MultiModelExecutor(settings) as executor:
                return await run_of(executor, item, context, phases)
        finally:
            await asyncio.to_thread(close_all)


async def run_of(
    executor: MultiModelExecutor, item: Item, context: RunContext, phases: Sequence[str] | None = None
) -> Ran:
    """Run a task, and its code against the asserts."""
    cpu, begin = time.process_time(), time.perf_counter()
    result = await executor.execute_with_multi_model(
        AGENT, item["task"], enable_phases=phases, context=context, use_cache=False
    )
    wall_s, cpu_s = time.perf_counter() - begin, time.process_time() - cpu
    drafts = [phase.result for phase in result.phase_results if phase.phase == "generation"]
    return Ran(
        task=item["name"],
        wall_s=wall_s,
        cpu_s=cpu_s,
        passed=await _holds(result.final_result, item),
        draft_passed=await _holds(drafts[0] if drafts else None, item),
        models={phase.phase: phase.model_used for phase in result.phase_results},
        seconds={phase.phase: phase.execution_time for phase in result.phase_results},
        tokens=result.total_tokens_used,
        decision=_decision(result),
        error=result.error,
    )


async def _holds(answer: object, item: Item) -> bool:
    return isinstance(answer, str) and await asyncio.to_thread(holds, code_of(answer), item["asserts"])


def _decision(result: MultiModelResult) -> str:
    decisions = [phase.verdict["decision"] for phase in result.phase_results if phase.verdict]
    return decisions[0] if decisions else ""


def findings_of_runs(runs: Mapping[str, Sequence[Ran]]) -> Findings:
    """Return the tables and the figures of what was run."""
    of_runs = Table(
        title="The embedded models together and each alone: whole runs",
        heads=HEADS,
        rows=[_row(side, each, runs[TOGETHER]) for side, each in runs.items()],
        note=_note(runs),
    )
    return Findings(
        tables=[of_runs, _table_of_phases(runs)],
        figures={side: [asdict(ran) for ran in each] for side, each in runs.items()},
    )


def _row(side: str, runs: Sequence[Ran], together: Sequence[Ran]) -> list[str]:
    walls = [ran.wall_s for ran in runs]
    passed = sum(ran.passed for ran in runs)
    low, high = wilson(passed, len(runs))
    return [
        side,
        f"{passed} of {len(runs)} ({low:.0%} … {high:.0%})",
        f"{sum(ran.draft_passed for ran in runs)}",
        f"{spread(walls)}",
        f"{ratios([ran.wall_s for ran in together], walls)}",
        f"{spread([ran.cpu_s for ran in runs])}",
        f"{sum(walls):.0f}",
        f"{sum(ran.tokens for ran in runs):,}",
    ]


def _note(runs: Mapping[str, Sequence[Ran]]) -> str:
    lines = [
        "One run a function and side, temperature 0: a small sample, as the intervals (Wilson's) say.",
        "Medians (quartiles), ratios within a function; the models were loaded before.",
        *(_compared(side, each, runs[TOGETHER]) for side, each in runs.items() if side != TOGETHER),
    ]
    if failed := sum(ran.error is not None for each in runs.values() for ran in each):
        lines.append(f"{failed} of the runs ended without a result.")
    return " ".join(lines)


def _compared(side: str, alone: Sequence[Ran], together: Sequence[Ran]) -> str:
    """Say on which functions the two differ: the pass rates alone hide what one gains and the other loses."""
    mine, theirs = ({ran.task for ran in runs if ran.passed} for runs in (together, alone))
    return (
        f"Of the functions, {len(mine - theirs)} passed together that failed with {side} alone, and "
        f"{len(theirs - mine)} the other way round."
    )


def _table_of_phases(runs: Mapping[str, Sequence[Ran]]) -> Table:
    told = [_reviewed(side, each) for side, each in runs.items()]
    return Table(
        title="The same runs, phase by phase",
        heads=("models", "phase", "done by", "runs", "s"),
        rows=[
            _row_of_phase(side, phase, [ran for ran in each if phase in ran.models])
            for side, each in runs.items()
            for phase in dict.fromkeys(phase for ran in each for phase in ran.models)
        ],
        note=" ".join([*filter(None, told), "A phase for which no model of a side is fit is passed by."]),
    )


def _row_of_phase(side: str, phase: str, runs: Sequence[Ran]) -> list[str]:
    models = ", ".join(sorted({ran.models[phase] for ran in runs}))
    return [side, phase, models, str(len(runs)), str(spread([ran.seconds[phase] for ran in runs]))]


def _reviewed(side: str, runs: Sequence[Ran]) -> str:
    decisions = [ran.decision for ran in runs if ran.decision]
    if not decisions:
        return ""
    return (
        f"The review of {side} asked for a revision in {decisions.count('revise')} of {len(decisions)} runs."
    )
