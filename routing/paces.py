"""How long answers are and how long they take: distributions, moved by what was seen and no further than it carries.

Lengths and times are spread over orders of magnitude, so their logarithms are what is counted. The catalogue's
estimate stands for `STRENGTH` answers that have been seen (normal-inverse-gamma).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from .history import NINE_OF_TEN

STRENGTH = 5.0
"""Answers for which the catalogue's estimate stands."""
SPREAD = 0.8
"""Standard deviation of the logarithm beforehand: nine of ten lie within a factor of 3.7."""
LEAST = 1e-3
"""Smaller values count as this."""


class Seen(NamedTuple):
    """Values that were seen: how many, the mean of their logarithms, and the sum of its squared errors."""

    number: int = 0
    mean: float = 0.0
    squares: float = 0.0


class Pace(NamedTuple):
    """What was seen of a model's answers in a phase: seconds in all, and tokens of output."""

    seconds: Seen = Seen()
    tokens: Seen = Seen()


class Spread(NamedTuple):
    """A distribution: its middle (half lie above), and the standard deviation of the logarithm."""

    middle: float
    spread: float

    @property
    def between(self) -> tuple[float, float]:
        """Between what nine of ten lie."""
        reach = math.exp(NINE_OF_TEN * self.spread)
        return self.middle / reach, self.middle * reach


def seen(values: Sequence[float]) -> Seen:
    """Sum values up."""
    logs = [math.log(max(value, LEAST)) for value in values]
    if not logs:
        return Seen()
    mean = math.fsum(logs) / len(logs)
    return Seen(len(logs), mean, math.fsum((log - mean) ** 2 for log in logs))


def expected(beforehand: float, known: Seen) -> Spread:
    """Return the distribution of the next value, where so much was expected before anything was seen."""
    prior, count = math.log(max(beforehand, LEAST)), STRENGTH + known.number
    mean = (STRENGTH * prior + known.number * known.mean) / count
    apart = STRENGTH * known.number / count * (known.mean - prior) ** 2
    variance = (STRENGTH * SPREAD**2 + known.squares + apart) / count
    # The mean itself is not sure. Without anything seen, the spread is what it was said to be.
    unsure = 1 + (1 / count if known.number else 0.0)
    return Spread(math.exp(mean), math.sqrt(variance * unsure))


def added(parts: Iterable[Spread]) -> Spread:
    """Return the distribution of a sum of values that do not hang together (as lognormal: Fenton and Wilkinson)."""
    mean = variance = 0.0
    for part in parts:
        width = math.expm1(part.spread**2)
        own = part.middle * math.exp(part.spread**2 / 2)
        mean += own
        variance += own**2 * width
    if not mean:
        return Spread(0.0, 0.0)
    spread = math.log1p(variance / mean**2)
    return Spread(mean * math.exp(-spread / 2), math.sqrt(spread))


def spread_of(middle: float, between: Sequence[float]) -> Spread:
    """Return the distribution of which the middle and the bounds are known."""
    low, high = between
    if low <= 0 or high <= low:
        return Spread(middle, 0.0)
    return Spread(middle, math.log(high / low) / (2 * NINE_OF_TEN))
