"""What other packages bring along, by entry points."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TypeGuard, TypeVar

from ..routing.errors import InputError

Part = TypeVar("Part")

OURS = "ymera."
"""What the names of our groups begin with."""


@cache
def installed_points() -> Mapping[str, Sequence[EntryPoint]]:
    """Return what installed packages bring, by group; to find it, a file of each of them is read, once a process."""
    found = entry_points()
    return {group: sorted(found.select(group=group)) for group in found.groups if group.startswith(OURS)}


def brought(
    group: str, noun: str, *, kind: str, is_one: Callable[[object], TypeGuard[Part]]
) -> dict[str, Part]:
    """Return what all installed packages bring in a group, by its names, in their order.

    Args:
        noun: what it is called in an error.
        kind: what its object must be, in words.
        is_one: says whether an object is.

    Raises:
        InputError: one of them cannot be loaded or is none, or two have the same name.
    """
    found: dict[str, Part] = {}
    for point in installed_points().get(group, ()):
        if point.name in found:
            raise InputError(
                f"Two packages bring a {noun} {point.name!r}; one of them is {_package(point)}. Uninstall one."
            )
        part = _loaded(point, noun)
        if not is_one(part):
            raise InputError(
                f"The {noun} {point.name!r} of {_package(point)} is none: {point.value} must be {kind}, "
                f"and is {type(part).__name__}."
            )
        found[point.name] = part
    return found


def _loaded(point: EntryPoint, noun: str) -> object:
    try:
        return point.load()
    except Exception as error:  # whatever a package does while it is imported
        raise InputError(
            f"The {noun} {point.name!r} of {_package(point)} cannot be loaded: {type(error).__name__}: {error}. "
            f"Mend {point.value}, or uninstall the package."
        ) from error


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist else "an unknown package"
