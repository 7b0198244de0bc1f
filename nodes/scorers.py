"""Scorers that other packages bring: entry points of the group `ymera.scorers`."""

from __future__ import annotations

from functools import cache
from typing import TypeGuard

from ..routing.scoring import WeightedScorer
from .packages import brought

GROUP = "ymera.scorers"


@cache
def installed_scorers() -> tuple[WeightedScorer, ...]:
    """Return the scorers of all installed packages, by their names.

    Raises:
        InputError: one of them cannot be loaded, or is none.
    """
    return tuple(brought(GROUP, "scorer", kind="a WeightedScorer", is_one=_is_scorer).values())


def _is_scorer(part: object) -> TypeGuard[WeightedScorer]:
    return isinstance(part, WeightedScorer)
