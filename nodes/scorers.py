"""Scorers that other packages bring: entry points of the group `ymera.scorers`."""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points

from ..routing.errors import InputError
from ..routing.scoring import WeightedScorer

GROUP = "ymera.scorers"


@cache
def installed_scorers() -> tuple[WeightedScorer, ...]:
    """Return the scorers of all installed packages, by their names.

    Raises:
        InputError: one of them cannot be loaded, or is none.
    """
    return tuple(_loaded(point) for point in sorted(entry_points(group=GROUP)))


def _loaded(point: EntryPoint) -> WeightedScorer:
    package = point.dist.name if point.dist else "an unknown package"
    try:
        found = point.load()
    except Exception as error:  # whatever a package does while it is imported
        raise InputError(
            f"The scorer {point.name!r} of {package} cannot be loaded: {type(error).__name__}: {error}. "
            f"Mend {point.value}, or uninstall the package."
        ) from error
    if not isinstance(found, WeightedScorer):
        raise InputError(
            f"The scorer {point.name!r} of {package} is none: {point.value} must be a WeightedScorer, "
            f"and is {type(found).__name__}."
        )
    return found
