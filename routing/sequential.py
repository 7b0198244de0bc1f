"""Bounds on a mean that hold at every time, however often one looks: won by betting.

Whoever doubts that the mean of values in 0..1 is at most `m` stakes in each round a fraction of a capital of 1 on a
value above it, which pays `value / m`. Where the doubt is wrong the capital grows in no round on average, and so ever
comes to `1 / error_rate` with at most that probability (Ville's inequality). No distribution is assumed, none of the
bounds is asymptotic. The capital is spread evenly over several fractions, since nobody knows the best beforehand.

Sources: Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting", JRSS B 86 (2024); the
spread over fractions: Orabona and Jun, "Tight concentrations and confidence sequences from the regret of universal
portfolio", IEEE Transactions on Information Theory 70 (2024).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from math import ceil, exp, log
from operator import mul

FRACTIONS = tuple(0.9 / 2**halved for halved in range(8))
"""Of the capital, staked in each round: the larger ones see a large difference soon, the smaller ones a small one."""
HALVINGS = 40
"""Steps in which a bound is narrowed down."""
FARTHEST = 1_000
"""Times as many values as there are, beyond which nothing is foretold."""


def interval(values: Iterable[float], error_rate: float) -> tuple[float, float]:
    """Return between what the mean of values in 0..1 lies.

    Args:
        error_rate: the probability that the mean is ever outside, however often one looks.
    """
    counts = Counter(values)
    mirrored = Counter({1 - value: count for value, count in counts.items()})
    return _least(counts, error_rate / 2), 1 - _least(mirrored, error_rate / 2)


def is_above(values: Iterable[float], mean: float, error_rate: float) -> bool:
    """Say whether it is sure that the mean of values is above `mean`; arguments as for `first_above`."""
    return _is_sure(Counter(values), mean, error_rate)


def first_above(values: Iterable[float], mean: float, error_rate: float) -> int | None:
    """Return after how many values it was sure that their mean is above `mean`; None where it is not yet.

    Args:
        mean: more than 0.
        error_rate: the probability that this is ever said of a mean that is not above.
    """
    capitals, enough = [1 / len(FRACTIONS)] * len(FRACTIONS), 1 / error_rate
    grows: dict[float, list[float]] = {}  # verdicts come to a few values, which need not be worked out again
    for number, value in enumerate(values, 1):
        if value not in grows:
            grows[value] = [1 - f + f * value / mean for f in FRACTIONS]
        capitals = list(map(mul, capitals, grows[value]))
        if sum(capitals) >= enough:
            return number
    return None


def needed(values: Iterable[float], mean: float, error_rate: float) -> int | None:
    """Return how many values make sure that their mean is above `mean`, if more come like these; None: too many."""
    counts = Counter(values)
    if _is_sure(counts, mean, error_rate):
        return counts.total()
    low, high = 1.0, float(FARTHEST)
    if not counts or not _is_sure(_times(counts, high), mean, error_rate):
        return None
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if _is_sure(_times(counts, middle), mean, error_rate):
            high = middle
        else:
            low = middle
    return ceil(high * counts.total())


def _least(counts: Mapping[float, float], error_rate: float) -> float:
    """Return the largest mean that is surely too small."""
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if _is_sure(counts, middle, error_rate):
            low = middle
        else:
            high = middle
    return low


def _is_sure(counts: Mapping[float, float], mean: float, error_rate: float) -> bool:
    return _log_capital(counts, mean) >= -log(error_rate)


def _log_capital(counts: Mapping[float, float], mean: float) -> float:
    """Return the logarithm of the capital after values, of which it does not matter in what order they came."""
    won = [sum(n * log(1 - f + f * value / mean) for value, n in counts.items()) for f in FRACTIONS]
    most = max(won)
    return most + log(sum(exp(each - most) for each in won) / len(FRACTIONS))


def _times(counts: Mapping[float, float], factor: float) -> dict[float, float]:
    return {value: count * factor for value, count in counts.items()}
