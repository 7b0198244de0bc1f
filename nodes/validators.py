"""Deterministic checks on a result: which there are. They err less than a small model's verdict.

To add one, write a function from text and parameters to `Check`s and name it in `VALIDATORS`; an agent's
profile says by `checks` which ones its results must pass. A check that finds nothing to look at says nothing.
No code of a model is ever run. Users add theirs to `matcher.validators`, packages by the entry points of the group
`ymera.validators`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any, TypeGuard

from ..routing.attempts import Check
from ..routing.errors import InputError
from .json_checks import asks_for_json, json_text
from .markdown_checks import markdown
from .packages import brought
from .python_checks import python_code
from .sql_checks import sql_code

GROUP = "ymera.validators"

Validator = Callable[[str, Mapping[str, Any]], list[Check]]
"""From an answer's text and the task's parameters to what was checked; none where there is nothing to look at."""

VALIDATORS: dict[str, Validator] = {
    "python": python_code,
    "sql": sql_code,
    "json": json_text,
    "markdown": markdown,
}


@cache
def installed_validators() -> Mapping[str, Validator]:
    """Return the validators of all installed packages, by their names.

    Raises:
        InputError: one of them cannot be loaded, is none, or has the name of a built-in one.
    """
    found = brought(GROUP, "validator", kind="a function", is_one=_is_validator)
    if taken := sorted(set(found) & set(VALIDATORS)):
        raise InputError(
            f"A package brings a validator {taken[0]!r}, as a built-in one is called. Uninstall it, or have it "
            "named otherwise."
        )
    return found


def _is_validator(part: object) -> TypeGuard[Validator]:
    return callable(part)


def wanted(names: Iterable[str], parameters: Mapping[str, Any]) -> list[str]:
    """Return the checks to be made: those of a profile, and JSON's where the parameters hold a JSON Schema."""
    asked = list(names)
    return [*asked, "json"] if asks_for_json(parameters) and "json" not in asked else asked


def check(text: str, names: Iterable[str], parameters: Mapping[str, Any]) -> list[Check]:
    """Make the named built-in checks of a text."""
    return [result for name in wanted(names, parameters) for result in VALIDATORS[name](text, parameters)]


def passes(checks: Iterable[Check]) -> int:
    """Return a comparable measure of how well checks went: failed ones weigh, passed ones do not count up.

    An answer with two good blocks is not better than one with a single good block, so only failures count.
    """
    return -sum(1 for result in checks if not result["passed"])
