"""Whether an answer becomes the run's result, and what that changes in the state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.messages import AIMessage

from ..routing.attempts import Check
from .state import State, answer_id
from .validators import passes


def why_not_taken(state: State, new: Sequence[Check], old: Sequence[Check]) -> str | None:
    """Return why an answer does not replace the result as it stands: it fails more checks; None where it does.

    Args:
        new: checks of the answer.
        old: checks of the result as it stands.
    """
    if not state.get("final_result") or passes(new) >= passes(old):
        return None
    failed = "; ".join(f"{check['name']}: {check['detail']}" for check in new if not check["passed"])
    return f"kept the earlier result: it fails fewer checks than this one ({failed})"


def taken(state: State, text: str) -> dict[str, Any]:
    """Return what changes in the state when a text becomes the run's result."""
    update: dict[str, Any] = {"final_result": text}
    if state.get("messages"):
        update["messages"] = [AIMessage(text, id=answer_id(state))]
    return update
