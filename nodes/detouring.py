"""Whether a run leaves its order behind a phase: asked once the phase has answered, and written into the state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langgraph.config import get_stream_writer

from ..routing.approvals import BEHIND
from ..routing.attempts import Check, Detour, RunView, Verdict
from ..routing.catalogue import Catalogue
from ..routing.detours import Behind, detour, may_leave
from ..routing.records import PhaseProfile
from .state import Rematched, State, add_usage, put_plan, view
from .verdicts import describe


def after(state: State, update: dict[str, Any]) -> RunView:
    """Return a run as it stands once an update is written."""
    run = view(state)
    return RunView(
        {
            **run,
            "plan": put_plan(run["plan"], [update["plan"]]) if "plan" in update else run["plan"],
            "detours": [*run["detours"], *update.get("detours", [])],
            "attempts": [*run["attempts"], *update["attempts"]],
            "verdicts": {**run["verdicts"], **update.get("verdicts", {})},
            "usage": add_usage(run["usage"], update["usage"]),
        }
    )


def may_turn(state: State, phase: PhaseProfile) -> bool:
    """Say whether a run may leave its order behind a phase: not where a person decides, nor where nothing allows it."""
    plan = state["plan"]
    if not (phase.judges or phase.produces) or not may_leave(plan):
        return False
    return not any(BEHIND[gate] == phase.name for gate in state.get("gates", []))


def turned(
    state: State, update: dict[str, Any], phase: str, catalogue: Catalogue, checks: Sequence[Check]
) -> dict[str, Any]:
    """Return the update of a phase that has answered, with the detour that follows from it, if one does.

    Args:
        checks: those of the answer, where it is one that is checked.
    """
    failed = [f"{check['name']}: {check['detail']}" for check in checks if not check["passed"]]
    behind = Behind(run=after(state, update), phase=phase, catalogue=catalogue, failed=failed)
    decided = detour(behind)
    if decided is None:
        return update
    found = decided.detour
    get_stream_writer()({"event": "detour", "phase": phase, "way": found["way"], "why": found["because"]})
    outputs = {**update.get("phase_outputs", {}), **_instead(found, failed, catalogue)}
    more = {**update, "detours": [found], "phase_outputs": outputs}
    return more | {"plan": Rematched(rematched=[decided.plan])} if decided.plan else more


def _instead(found: Detour, failed: list[str], catalogue: Catalogue) -> dict[str, str]:
    """Return what stands for the judgement that is passed over: the checks that failed, which the mender is to read."""
    if found["way"] != "mend first":
        return {}
    said = describe(Verdict(decision="revise", findings=failed, checks=[]))
    return {phase: said for phase in found["leaps"] if catalogue.phases[phase].judges}


def led_from(run: RunView, phase: str, catalogue: Catalogue) -> str | None:
    """Return the judge that has sent a result back to a phase which does not read it otherwise; None: nobody did."""
    last = next((d for d in reversed(run.get("detours", [])) if d["to"] == phase), None)
    if last is None or last["way"] != "again":
        return None
    judge = catalogue.phases.get(last["phase"])
    return judge.name if judge and judge.judges else None
