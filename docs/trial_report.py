"""The report of a trial on docs/trials.md: of runs that are made up, seeded."""

from __future__ import annotations

from datetime import UTC, datetime
from random import Random

from rich.console import Console

from ymera.report import PLAIN_WIDTH
from ymera.routing.standings import SUCCEEDED, TrialRun, standings, stopped
from ymera.routing.trials import Arm, Trial, assignment
from ymera.trial_view import trial_view

TRIAL = Trial(
    name="cheap-code",
    agents=("coding_agent",),
    arms=(
        Arm(name="usual", share=2),
        Arm(name="thrifty", thrift=0.5),
        Arm(name="one-model", strategy="single_model"),
    ),
)
ACCEPTED = {"usual": 0.85, "thrifty": 0.83, "one-model": 0.5}
USD = {"usual": 0.0061, "thrifty": 0.0017, "one-model": 0.0042}
BEGUN = datetime(2026, 11, 1, tzinfo=UTC).timestamp()
RUNS = 300


def report() -> str:
    """Return what `ymera trial` shows of 300 runs, one an hour, whose arms are accepted as often as ACCEPTED says."""
    random, runs = Random(1), list[TrialRun]()
    for number in range(RUNS):
        at = BEGUN + 3600 * number
        arm = assignment(TRIAL, f"task {number}", stopped(TRIAL, runs))["arm"]
        runs.append(
            TrialRun(
                arm=arm,
                unit=str(number),
                begun_at=at,
                ended_at=at + 60,
                settled_at=at + 60,
                ended=SUCCEEDED,
                verdict="accept" if random.random() < ACCEPTED[arm] else "revise",
                cost_usd=USD[arm] * random.uniform(0.7, 1.3),
                seconds=random.uniform(12, 40),
            )
        )
    console = Console(width=PLAIN_WIDTH, highlight=False, color_system=None)
    with console.capture() as caught:
        console.print(trial_view(TRIAL, standings(TRIAL, runs)))
    return "\n".join(line.rstrip() for line in caught.get().splitlines())
