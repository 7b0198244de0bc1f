"""How the arms of a trial stand: what their runs came to, and what can be said of it for sure.

An arm is compared with the control block by block: its next outcome with the control's next (where the shares differ,
with the mean of the next few). Differences of blocks are bounded, and independent of one another where the tasks are;
what changes for all with time cancels out; and it does no harm that the runs of one arm are judged more often.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from .outcomes import quality_of_verdict
from .sequential import first_above, interval, is_above, needed
from .trials import Arm, Measure, Trial

SUCCEEDED = "succeeded"
Standing = Literal["control", "harm", "better", "worse", "open"]


@dataclass(frozen=True, kw_only=True)
class TrialRun:
    """A run of a trial, as it is known.

    Args:
        unit: the mark of what was asked.
        ended: how it ended, as a run's status; empty: it has not, as far as is known.
        settled_at: when the last thing was learned of it (epoch seconds, as `begun_at` and `ended_at`).
        score: what a person said of it, 0..1.
        verdict: the last one given in it: `accept`, `revise`, or empty.
        cost_usd: a lower bound where prices are not known. `seconds` is that of its calls.
    """

    arm: str
    unit: str
    begun_at: float
    ended: str = ""
    ended_at: float = 0.0
    settled_at: float = 0.0
    score: float | None = None
    verdict: str = ""
    cost_usd: float = 0.0
    seconds: float = 0.0


class Settled(NamedTuple):
    """An outcome, 0..1, and since when it is known (epoch seconds)."""

    at: float
    value: float


@dataclass(frozen=True, kw_only=True)
class ArmStanding:
    """How an arm stands.

    Args:
        runs: that were given the arm; `ended` of them have come to an end.
        outcomes: tasks of which an outcome is known; one counts once, whoever asks it again.
        mean: of the outcomes; `low` and `high` bound what it comes to in the long run.
        difference: to the control's, with the same bounds; None for the control, and before there are any.
        usd, seconds: means of the runs that have ended, without bounds.
        since: when it was sure that the arm does harm, or is better (epoch seconds).
        more: outcomes of the arm until something is sure, if what comes is like what came; None: not foreseeable.
    """

    arm: str
    runs: int
    ended: int
    outcomes: int
    mean: float | None
    low: float
    high: float
    difference: float | None
    least_difference: float | None
    most_difference: float | None
    usd: float | None
    seconds: float | None
    standing: Standing
    since: float | None
    more: int | None


def outcome_of(run: TrialRun, measure: Measure) -> float | None:
    """Return what a run came to, 0..1; None where that is not known.

    A run without a result is worth nothing: else an arm that breaks would never be stopped. Of the others, the word
    of a person counts before that of a judging phase.
    """
    if not run.ended:
        return None
    if measure == "success":
        return float(run.ended == SUCCEEDED)
    if run.score is not None:
        return run.score
    if run.ended != SUCCEEDED:
        return 0.0
    match run.verdict:
        case "accept" | "revise":
            return quality_of_verdict(run.verdict)
    return None


def settled(runs: Iterable[TrialRun], arm: Arm, measure: Measure) -> list[Settled]:
    """Return the outcomes of an arm in the order in which they were known: of each task, its first run's.

    A score that corrects a verdict stands in its place: were it moved to the end, all blocks behind it would be others,
    and each such shuffle one more chance of a false alarm.
    """
    found: dict[str, Settled] = {}
    for run in sorted(runs, key=lambda run: run.begun_at):
        value = outcome_of(run, measure) if run.arm == arm.name and run.unit not in found else None
        if value is not None:
            found[run.unit] = Settled(_known_at(run, measure), value)
    return sorted(found.values(), key=lambda each: each.at)


def _known_at(run: TrialRun, measure: Measure) -> float:
    """Return since when a run has an outcome, whatever it was at first."""
    unscored = outcome_of(replace(run, score=None), measure)
    return run.settled_at if unscored is None else run.ended_at


def blocks(tried: Sequence[Settled], control: Sequence[Settled], shares: tuple[int, int]) -> list[Settled]:
    """Return the differences between an arm and the control, block by block, each as (1 + difference) / 2.

    Args:
        shares: of the arm, and of the control.
    """
    own, others = max(1, round(shares[0] / shares[1])), max(1, round(shares[1] / shares[0]))
    pairs = zip(_means(tried, own), _means(control, others), strict=False)
    return [Settled(max(a.at, b.at), (1 + a.value - b.value) / 2) for a, b in pairs]


def _means(outcomes: Sequence[Settled], size: int) -> list[Settled]:
    """Return the mean of each so many outcomes; those that are left over wait for more."""
    whole = range(0, len(outcomes) - size + 1, size)
    groups = [outcomes[start : start + size] for start in whole]
    return [Settled(group[-1].at, sum(each.value for each in group) / size) for group in groups]


def stopped(trial: Trial, runs: Sequence[TrialRun]) -> dict[str, float]:
    """Return the arms that surely do more harm than is allowed, and since when that is sure (epoch seconds)."""
    control = settled(runs, trial.control, trial.measure)
    found = {}
    for arm in trial.others:
        tried = settled(runs, arm, trial.measure)
        since = _harmful(trial, blocks(tried, control, (arm.share, trial.control.share)))
        if since is not None:
            found[arm.name] = since
    return found


def _rate(trial: Trial) -> float:
    """Return the error rate of one bound: so many are looked at together."""
    return trial.error_rate / (2 * len(trial.others))


def _harmful(trial: Trial, found: Sequence[Settled]) -> float | None:
    mirrored = [Settled(each.at, 1 - each.value) for each in found]
    return _sure_since(mirrored, (1 + trial.harm) / 2, _rate(trial))


def _better(trial: Trial, found: Sequence[Settled]) -> float | None:
    return _sure_since(found, (1 + trial.gain) / 2, _rate(trial))


def _sure_since(found: Sequence[Settled], mean: float, rate: float) -> float | None:
    """Return since when it is sure that the mean is above another; None where it is not now.

    It does not count that it once seemed sure: scores may have corrected that since, and to go through all earlier
    times again at each correction would be as many more chances of a false alarm.
    """
    values = [each.value for each in found]
    after = first_above(values, mean, rate) if is_above(values, mean, rate) else None
    return None if after is None else max(each.at for each in found[:after])


def standings(trial: Trial, runs: Sequence[TrialRun]) -> list[ArmStanding]:
    """Return how the arms of a trial stand, the control first."""
    control = settled(runs, trial.control, trial.measure)
    return [
        _standing(trial, arm, [run for run in runs if run.arm == arm.name], control) for arm in trial.arms
    ]


def _standing(trial: Trial, arm: Arm, runs: Sequence[TrialRun], control: Sequence[Settled]) -> ArmStanding:
    ended = [run for run in runs if run.ended]
    tried = settled(runs, arm, trial.measure)
    values = [each.value for each in tried]
    low, high = interval(values, trial.error_rate)
    compared = _Compared.of(trial, arm, tried, control)
    return ArmStanding(
        arm=arm.name,
        runs=len(runs),
        ended=len(ended),
        outcomes=len(tried),
        mean=_mean(values),
        low=low,
        high=high,
        difference=compared.difference,
        least_difference=compared.least,
        most_difference=compared.most,
        usd=_mean([run.cost_usd for run in ended]),
        seconds=_mean([run.seconds for run in ended]),
        standing=compared.standing,
        since=compared.since,
        more=compared.more,
    )


@dataclass(frozen=True, kw_only=True)
class _Compared:
    """An arm beside the control."""

    standing: Standing = "open"
    difference: float | None = None
    least: float | None = None
    most: float | None = None
    since: float | None = None
    more: int | None = None

    @classmethod
    def of(cls, trial: Trial, arm: Arm, tried: Sequence[Settled], control: Sequence[Settled]) -> _Compared:
        if arm == trial.control:
            return cls(standing="control")
        found = blocks(tried, control, (arm.share, trial.control.share))
        values = [each.value for each in found]
        if not values:
            return cls()
        low, high = (2 * bound - 1 for bound in interval(values, 2 * _rate(trial)))
        harmful, better = _harmful(trial, found), _better(trial, found)
        standing: Standing = "harm" if harmful else "better" if better else "worse" if high < 0 else "open"
        return cls(
            standing=standing,
            difference=2 * sum(values) / len(values) - 1,
            least=low,
            most=high,
            since=harmful or better,
            more=_more(trial, arm, values) if standing == "open" else None,
        )


def _more(trial: Trial, arm: Arm, values: Sequence[float]) -> int | None:
    """Return how many outcomes of an arm are missing until harm or gain is sure, if they are like those before."""
    harm = needed((1 - value for value in values), (1 + trial.harm) / 2, _rate(trial))
    gain = needed(values, (1 + trial.gain) / 2, _rate(trial))
    least = min((each for each in (harm, gain) if each is not None), default=None)
    own = max(1, round(arm.share / trial.control.share))
    return None if least is None else (least - len(values)) * own


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
