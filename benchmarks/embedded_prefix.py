"""How much of a prompt an embedded model need not read again: a part of section `embedded`.

The runner keeps what it has read, and reads a new prompt from where it differs. Two tasks are given to all six phases
on one model, one after the other: within a run each phase begins with its own instructions, so that little is
taken again; from run to run the instructions are the same. Of the prompts kept beside those in the slots, the runner
takes only one of which a quarter fits (llama.cpp, build 11549, tools/server/server-task.cpp): a phase whose answers are
long begins anew even so.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ymera import MultiModelExecutor, MultiModelResult, RunContext
from ymera.nodes.availability import EMBEDDED
from ymera.nodes.embedded import close_all
from ymera.nodes.matching import AgentModelMatcher
from ymera.nodes.settings import load_settings
from ymera.routing.catalogue import builtin_catalogue
from ymera.routing.prediction import count_tokens
from ymera.routing.records import PhaseProfile

from .embedded import read
from .findings import Effort, Findings, Table
from .instant import PHASES

AGENT = "coding_agent"
MOST_TASKS = 2
HEADS = (
    *("run", "phase", "tokens sent", "taken from an earlier prompt", "read"),
    "task and outputs that an earlier phase of the run was shown too (about)",
)
UNABLE = "what an embedded model need not read again: none that is here may stand in all six phases"


@dataclass(frozen=True, kw_only=True)
class Shown:
    """The prompt of one phase, in tokens. `repeated` is our own count, the others are the runner's."""

    run: int
    phase: str
    sent: int
    taken: int
    repeated: int


async def measure(names: Sequence[str], effort: Effort) -> Findings:
    """Give the first functions of `benchmarks.embedded`, two at most, to all phases of one model, in turn."""
    able = [
        model.name for model in builtin_catalogue().models.values() if not set(model.never_for) & {*PHASES}
    ]
    if not (fit := [name for name in names if name in able]):
        return Findings(left_out=[UNABLE])
    tasks = [item["task"] for item in read("functions")["functions"][: min(MOST_TASKS, effort.rounds)]]
    try:
        shown = [each for run, task in enumerate(tasks, 1) for each in await _shown(run, task, fit[0])]
    finally:
        close_all()
    return findings_of_prompts(fit[0], shown)


async def _shown(run: int, task: str, name: str) -> list[Shown]:
    catalogue = builtin_catalogue()
    always = {
        phase: replace(profile, skipped_when_accepted=False) for phase, profile in catalogue.phases.items()
    }
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        settings = load_settings().model_copy(update={"ymera_data_dir": Path(folder)})
        matcher = AgentModelMatcher(settings, replace(catalogue, phases=always))
        async with MultiModelExecutor(matcher=matcher) as executor:
            context = RunContext(providers=[EMBEDDED], model=name)
            result = await executor.execute_with_multi_model(
                AGENT, task, enable_phases=PHASES, context=context, use_cache=False
            )
    repeated = repeated_tokens(task, outputs_of(result), always)
    return [
        Shown(
            run=run,
            phase=phase.phase,
            sent=phase.attempts[0]["usage"]["input_tokens"],
            taken=phase.attempts[0]["usage"]["cached_tokens"],
            repeated=repeated[phase.phase],
        )
        for phase in result.phase_results
    ]


def outputs_of(result: MultiModelResult) -> dict[str, str]:
    """Return what each phase has answered, in the order of the run."""
    return {phase.phase: str(phase.result) for phase in result.phase_results}


def repeated_tokens(
    task: str, outputs: Mapping[str, str], phases: Mapping[str, PhaseProfile]
) -> dict[str, int]:
    """Return for each phase the tokens of the task and of outputs that an earlier phase was shown too.

    Args:
        outputs: of the phases, in the order of the run.
    """
    seen: set[str] = set()
    repeated: dict[str, int] = {}
    for phase in outputs:
        reads = {name for name in phases[phase].reads if name in outputs}
        again = sum(count_tokens(outputs[name]) for name in reads & seen)
        repeated[phase] = again + (count_tokens(task) if repeated else 0)
        seen |= reads
    return repeated


def findings_of_prompts(name: str, shown: Sequence[Shown]) -> Findings:
    """Return the table and the figures of what was shown."""
    rows = [
        [str(each.run), each.phase, *map(str, (each.sent, each.taken, each.sent - each.taken, each.repeated))]
        for each in shown
    ]
    for run in dict.fromkeys(each.run for each in shown):
        mine = [each for each in shown if each.run == run]
        sent, taken, again = (
            sum(getattr(each, part) for each in mine) for part in ("sent", "taken", "repeated")
        )
        rows.append(
            [str(run), "all", f"{sent}", f"{taken} ({taken / sent:.0%})", f"{sent - taken}", f"{again}"]
        )
    note = (
        f"{name} in all six phases, two tasks one after the other; refinement is made whatever the review says. The "
        "last column would be taken again if the instructions stood behind the task and the outputs."
    )
    return Findings(
        tables=[Table(title="Prompts that are not read again", heads=HEADS, rows=rows, note=note)],
        figures={"model": name, "prompts": [asdict(each) for each in shown]},
    )
