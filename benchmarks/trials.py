"""How often a trial says something that is not so, and how soon it says what is: simulated.

    python -m benchmarks.trials [--streams 1000] [--docs docs/trials.md]

Streams of outcomes are looked at after every one. Seeded; two minutes on one core, nothing but the package.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from math import sqrt
from pathlib import Path
from random import Random
from statistics import NormalDist

from ymera.routing.sequential import first_above
from ymera.routing.standings import SUCCEEDED, Settled, TrialRun, blocks, stopped
from ymera.routing.trials import Arm, Trial

Outcome = Callable[[Random], float]
BEGIN, END = "<!-- tables: begin -->", "<!-- tables: end -->"
ERROR_RATE = 0.05
OUTCOMES = 2_000
SEED = 12
LEAST = 20
"""Outcomes a side from which on the usual test is tried: with fewer it holds for none of these distributions."""


def accepted(share: float) -> Outcome:
    """Return verdicts, of which a share accepts."""
    return lambda random: float(random.random() < share)


def scores(good: float, bad: float) -> Outcome:
    """Return scores of a beta distribution."""
    return lambda random: random.betavariate(good, bad)


def steps(*values: float) -> Outcome:
    """Return scores of a few steps, as people give them."""
    return lambda random: random.choice(values)


DISTRIBUTIONS: Mapping[str, Outcome] = {
    "verdicts, one of ten accepts": accepted(0.1),
    "verdicts, half accept": accepted(0.5),
    "verdicts, nine of ten accept": accepted(0.9),
    "scores, most of them high (beta 8, 2)": scores(8, 2),
    "scores of 0, 0.5, 0.9 and 1, half of them 1": steps(0, 0.5, 0.9, 1, 1, 1),
    "nearly always accepted (99 of 100)": accepted(0.99),
}
SHARES = ((1, 1), (1, 4))


def stream(
    random: Random, tried: Outcome, control: Outcome, outcomes: int, shares: tuple[int, int]
) -> list[float]:
    """Return what the blocks of a trial come to, of so many outcomes of both arms together."""
    own = outcomes * shares[0] // sum(shares)
    arms = [
        [Settled(float(number), outcome(random)) for number in range(count)]
        for outcome, count in ((tried, own), (control, outcomes - own))
    ]
    return [block.value for block in blocks(arms[0], arms[1], shares)]


def is_alarm(values: Sequence[float]) -> bool:
    """Say whether a trial ever calls one of two equal arms worse or better."""
    rate = ERROR_RATE / 2
    return any(first_above(each, 0.5, rate) is not None for each in (values, [1 - value for value in values]))


def is_alarm_of_the_usual_test(values: Sequence[float]) -> bool:
    """Say whether a paired z-test of the same error rate does, looked at after every outcome."""
    beyond = NormalDist().inv_cdf(1 - ERROR_RATE / 2)
    total = squares = 0.0
    for number, value in enumerate(values, 1):
        total, squares = total + value - 0.5, squares + (value - 0.5) ** 2
        spread = squares / number - (total / number) ** 2
        if number >= LEAST and spread > 0 and abs(total) / sqrt(number * spread) > beyond:
            return True
    return False


def false_alarms(
    outcome: Outcome,
    *,
    streams: int,
    outcomes: int = OUTCOMES,
    shares: tuple[int, int] = (1, 1),
    alarm: Callable[[Sequence[float]], bool] = is_alarm,
) -> float:
    """Return the share of trials of two equal arms in which there is ever an alarm."""
    random = Random(SEED)
    made = (stream(random, outcome, outcome, outcomes, shares) for _ in range(streams))
    return sum(alarm(values) for values in made) / streams


def rescored(random: Random, runs: int) -> Iterator[list[TrialRun]]:
    """Yield the runs of two equal arms as they are known after each tenth.

    One of four has no verdict; people score as many as a third of the runs, some of them twice, whatever the verdict.
    """
    known: list[TrialRun] = []
    for number in range(runs):
        run = TrialRun(
            arm=random.choice(("a", "b")),
            unit=str(number),
            begun_at=number,
            ended_at=number,
            settled_at=number,
            ended=SUCCEEDED,
            verdict=random.choice(("", "revise", "accept", "accept")),
        )
        known.append(run)
        late = random.randrange(len(known))
        if random.random() < 1 / 3:
            score = random.choice((0.0, 0.5, 0.9, 1.0))
            known[late] = replace(known[late], score=score, settled_at=number)
        if number % 10 == 9:
            yield known


def false_alarms_with_late_scores(*, streams: int, runs: int = 400) -> float:
    """Return in what share of trials one of two equal arms is ever seen as worse than the other."""
    random = Random(SEED)
    arms = (Arm(name="a"), Arm(name="b"))
    ways = [Trial(name="equal", arms=each, error_rate=ERROR_RATE) for each in (arms, arms[::-1])]
    alarms = (
        any(stopped(trial, known) for known in rescored(random, runs) for trial in ways)
        for _ in range(streams)
    )
    return sum(alarms) / streams


def outcomes_until_harm(tried: Outcome, control: Outcome, *, streams: int, outcomes: int) -> list[float]:
    """Return after how many outcomes of the arm harm is sure: infinity where it is not, within the stream."""
    random = Random(SEED)
    found = []
    for _ in range(streams):
        values = stream(random, tried, control, 2 * outcomes, (1, 1))
        after = first_above((1 - value for value in values), 0.5, ERROR_RATE / 2)
        found.append(float("inf") if after is None else float(after))
    return found


def tables(streams: int) -> str:
    """Return all tables as Markdown."""
    return "\n\n".join("\n".join(part) for part in (_alarms(streams), _harms(streams)))


def _alarms(streams: int) -> Iterator[str]:
    yield f"**Two equal arms, {OUTCOMES:,} outcomes, looked at after each: trials with a false alarm, of {streams:,}**"
    yield ""
    yield "| outcomes | shares | this | a z-test, looked at as often |"
    yield "| --- | --- | --- | --- |"
    for name, outcome in DISTRIBUTIONS.items():
        for shares in SHARES:
            ours = false_alarms(outcome, streams=streams, shares=shares)
            usual = false_alarms(outcome, streams=streams, shares=shares, alarm=is_alarm_of_the_usual_test)
            yield f"| {name} | {shares[0]} : {shares[1]} | {ours:.1%} | {usual:.1%} |"
    late = false_alarms_with_late_scores(streams=max(1, streams // 5))
    yield (
        f"| verdicts, scored by people later (400 runs, {max(1, streams // 5):,} trials) "
        f"| 1 : 1 | {late:.1%} | |"
    )


def _harms(streams: int) -> Iterator[str]:
    yield "**A worse arm: outcomes of it until harm is sure**"
    yield ""
    yield "| control accepted | arm accepted | half of the trials | nine of ten |"
    yield "| --- | --- | --- | --- |"
    for control, tried in (
        (0.9, 0.0),
        (0.9, 0.5),
        (0.9, 0.7),
        (0.9, 0.8),
        (0.5, 0.3),
        (0.5, 0.4),
        (0.8, 0.75),
    ):
        found = outcomes_until_harm(
            accepted(tried), accepted(control), streams=max(1, streams // 4), outcomes=6_000
        )
        half, most = (sorted(found)[len(found) * tenth // 10] for tenth in (5, 9))
        yield f"| {control:.0%} | {tried:.0%} | {half:.0f} | {most:.0f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--streams", type=int, default=1_000, help="simulated trials of each kind")
    parser.add_argument("--docs", type=Path, help="page whose tables are written anew")
    arguments = parser.parse_args()
    text = tables(arguments.streams)
    print(text)
    if arguments.docs:
        before, rest = arguments.docs.read_text("utf-8").split(BEGIN)
        after = rest.split(END)[1]
        arguments.docs.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", "utf-8")


if __name__ == "__main__":
    main()
