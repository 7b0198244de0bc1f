"""Models about which little is known are tried out now and then, at a bounded cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from statistics import fmean
from typing import NamedTuple

from .history import Estimate, tried

MOST_TIMES_DEARER = 2.0
"""A model that is tried out costs at most so many times as much as the one in whose place it stands."""


@dataclass(frozen=True, kw_only=True)
class Exploration:
    """How models are tried out (Thompson sampling).

    Args:
        boldness: share of its uncertainty by which a model may be taken for better than it is expected to be, 0..1.
        random: a plan draws from it; the same state of it makes the same plan.
    """

    boldness: float
    random: Random


class Rival(NamedTuple):
    """A model that may come first, in one phase or in all of them.

    Args:
        estimates: what is expected of it in each.
        usd: what it is predicted to cost in all of them; infinite where nobody knows.
    """

    key: str
    score: float
    estimates: Sequence[Estimate]
    usd: float


def first_of(rivals: Sequence[Rival], exploration: Exploration) -> str:
    """Return the key of the model that comes first this once, of some in their usual order."""
    drawn = {
        rival.key: rival.score
        + fmean([tried(each, exploration.boldness, exploration.random) for each in rival.estimates])
        for rival in rivals
    }
    limit = rivals[0].usd * MOST_TIMES_DEARER
    allowed = [rival.key for rival in rivals if rival is rivals[0] or rival.usd <= limit]
    return max(allowed, key=drawn.__getitem__)
