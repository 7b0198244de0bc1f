"""Whether what a checkpoint holds is what a run has written: a file from outside may hold anything."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from ..routing.attempts import Approval, Attempt, Detour, Usage, Verdict
from ..routing.records import Strategy

UNREADABLE = (
    sqlite3.DatabaseError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    RecursionError,
    NotImplementedError,
)
"""How LangGraph fails on a store that is no store, or holds what no run has written."""


class _Kept(TypedDict, total=False):
    """The channels from which a run goes on."""

    task_description: str
    task_parameters: dict[str, Any]
    run_id: str
    plan: Strategy
    layout: list[list[str]]
    attempts: list[Attempt]
    phase_outputs: dict[str, str]
    verdicts: dict[str, Verdict]
    usage: Usage
    approvals: list[Approval]
    reopened: dict[str, int]
    detours: list[Detour]
    gates: list[str]
    final_result: str
    error: str


def check_kept(values: Mapping[str, Any], metadata: Mapping[str, Any] | None) -> None:
    """Check the state of a thread as it was read back; a channel that holds nothing yet is right.

    Args:
        metadata: the checkpoint's own, from which LangGraph counts its steps; None where there is no checkpoint.

    Raises:
        ValueError: a channel holds something else than a run writes; the message names it, and shows none of it.
    """
    if metadata is not None and not isinstance(metadata.get("step"), int):
        raise ValueError("the checkpoint does not say which step it is")
    try:
        _adapter().validate_python({name: value for name, value in values.items() if value}, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise ValueError(f"{where}: {first['msg']}") from None


@cache
def _adapter() -> TypeAdapter[_Kept]:
    return TypeAdapter(_Kept)
