"""The result of a run, computed from its state."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from functools import cache
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from .routing.approvals import Question
from .routing.attempts import Approval, Attempt, Detour, RunView, Verdict
from .routing.errors import InputError
from .routing.flow import (
    answer_of,
    failure,
    key_of,
    made_in,
    ranking,
    skip_reason,
    status,
    stopped_by_budget,
)
from .routing.forks import PERSON, Origin, own
from .routing.records import Strategy

if TYPE_CHECKING:
    from pydantic import TypeAdapter

    from .nodes.state import State


FORMAT = 5
"""Counted up when the fields of a result change: results stored in another form are then not taken."""


@dataclass(kw_only=True)
class PhaseResult:
    """What a phase did. `execution_time` in seconds and `cost` in USD count all of its attempts."""

    phase: str
    model_used: str
    provider_used: str
    success: bool
    result: Any
    execution_time: float
    tokens_used: int
    error: str | None
    reason: str = ""
    cost: float = 0.0
    attempts: list[Attempt] = field(default_factory=list)
    verdict: Verdict | None = None


@dataclass(kw_only=True)
class MultiModelResult:
    """What a run did. Seconds, tokens, USD.

    Args:
        run_id: the name under which feedback on it is given.
        phase_results: the phases that were run, in the order of the plan; failed ones too.
        skipped_phases: phases passed by or not reached, each with the reason.
        total_cost: a lower bound where `cost_known` is false; in part counted by us where `cost_estimated` is true.
        stopped_by_budget: the sentence that says which limit ended the run, if one did.
        cached: the result was stored by an earlier run.
        waiting: what the run asks a person; it goes on with the answer.
        approvals: what a person decided.
        detours: how the run has left the order of its phases, and why.
        forked_from: of a fork, where it comes from, and what was paid there; the costs here are its own alone.
    """

    strategy_type: str
    total_phases: int
    successful_phases: int
    phase_results: list[PhaseResult]
    final_result: Any
    total_execution_time: float
    total_tokens_used: int
    total_cost: float
    models_used: list[str]
    success: bool
    thread_id: str = ""
    run_id: str = ""
    agent_name: str = ""
    error: str | None = None
    skipped_phases: dict[str, str] = field(default_factory=dict)
    cost_known: bool = True
    cost_estimated: bool = False
    stopped_by_budget: str | None = None
    plan: Strategy | None = None
    cached: bool = False
    waiting: Question | None = None
    approvals: list[Approval] = field(default_factory=list)
    detours: list[Detour] = field(default_factory=list)
    forked_from: Origin | None = None

    def to_json(self) -> str:
        """Return the result as one JSON document."""
        return json.dumps(self, default=_fields_of, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> MultiModelResult:
        """Return the result that `to_json` wrote.

        Raises:
            InputError: the text is another one; the message shows none of it.
        """
        from pydantic import ValidationError

        try:
            return _stored_form().validate_json(text, strict=True)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False, include_context=False)[0]
            where = ".".join(map(str, first["loc"])) or "the whole"
            raise InputError(
                f"A stored result is not what YMERA writes: {where}: {first['msg']}. "
                "Remove results.sqlite from the data directory, or set YMERA_CACHE_TTL=0."
            ) from None


def _fields_of(record: Any) -> dict[str, Any]:
    """Return a dataclass's fields, for `json`. `asdict` would first copy every value below them."""
    return {each.name: getattr(record, each.name) for each in fields(record)}


@cache
def _stored_form() -> TypeAdapter[MultiModelResult]:
    from pydantic import TypeAdapter

    return TypeAdapter(MultiModelResult)


def result_of(
    state: State, *, thread_id: str, seconds: float, waiting: Question | None = None
) -> MultiModelResult:
    """Compute the result of a run from its state.

    Args:
        seconds: how long the caller waited.
        waiting: what the run asks, where it waits for a person.
    """
    run = RunView(
        plan=state["plan"],
        attempts=state.get("attempts", []),
        verdicts=state.get("verdicts", {}),
        usage=state["usage"],
        approvals=state.get("approvals", []),
        reopened=state.get("reopened", {}),
        detours=state.get("detours", []),
    )
    how, usage, names = status(run), state["usage"], [plan["phase"] for plan in run["plan"]["phases"]]
    phases = [_phase(run, state, name) for name in names if made_in(run, name)]
    final = state.get("final_result") or None
    answers = [a for name in names for a in made_in(run, name) if a["ok"] and a["provider"] != PERSON]
    return MultiModelResult(
        strategy_type=run["plan"]["strategy_type"],
        total_phases=len(phases),
        successful_phases=sum(phase.success for phase in phases),
        phase_results=phases,
        final_result=final,
        total_execution_time=round(seconds, 4),
        total_tokens_used=usage["input_tokens"] + usage["output_tokens"],
        total_cost=round(usage["cost_usd"], 8),
        models_used=list(dict.fromkeys(_name(a) for a in answers)),
        success=how == "succeeded" and final is not None,
        thread_id=thread_id,
        run_id=state.get("run_id", ""),
        agent_name=run["plan"]["agent_name"],
        error=state.get("error") or (failure(run) if how in ("failed", "no_model") else None),
        skipped_phases={n: reason for n in names if not made_in(run, n) and (reason := skip_reason(run, n))},
        cost_known=usage["unpriced"] == 0,
        cost_estimated=usage["estimated"] > 0,
        stopped_by_budget=stopped_by_budget(run) if how == "budget" else None,
        plan=run["plan"],
        waiting=waiting,
        approvals=run["approvals"],
        detours=run["detours"],
        forked_from=state.get("origin"),
    )


def _phase(run: RunView, state: State, name: str) -> PhaseResult:
    attempts, answer = made_in(run, name), answer_of(run, name)
    shown, paid = answer or attempts[-1], own(attempts)
    fault = shown["fault"]
    plan = next(plan for plan in run["plan"]["phases"] if plan["phase"] == name)
    called = (shown["provider"], shown["model"])
    chosen = [c for c in ranking(plan) if (c["provider"], c["model"]) == called]
    return PhaseResult(
        phase=name,
        model_used=_name(shown),
        provider_used=shown["provider"],
        success=answer is not None,
        result=state.get("phase_outputs", {}).get(name),
        execution_time=round(sum(a["seconds"] for a in paid), 4),
        tokens_used=sum(a["usage"]["input_tokens"] + a["usage"]["output_tokens"] for a in paid),
        error=f"{fault['kind']}: {fault['message']}" if fault else None,
        reason=_reason(attempts, chosen[0]["reason"] if chosen else "", shown.get("note", "")),
        cost=round(sum(a["usage"]["cost_usd"] for a in paid), 8),
        attempts=attempts,
        verdict=run["verdicts"].get(name),
    )


def _reason(attempts: list[Attempt], chosen: str, note: str) -> str:
    """Return why this model answered: what failed before it, what speaks for it, what became of the answer."""
    return "; ".join(part for part in (*_steps(attempts), chosen, note) if part)


def _steps(attempts: list[Attempt]) -> Iterator[str]:
    """Yield what led from each attempt to the next one."""
    tried: list[str] = []
    for made, following in zip_longest(attempts, attempts[1:]):
        tried += [key_of(made)] if key_of(made) not in tried else []
        for other in made.get("avoided", []):
            yield f"passed over {other['model']}: {other['reason']}"
        if made["fault"] is None:
            continue
        why = f"{made['model']} failed ({made['fault']['kind']})"
        same = following is not None and following.get("again") and key_of(following) == key_of(made)
        yield f"tried again: {why}" if same else f"fallback no. {len(tried)}: {why}"


def _name(attempt: Attempt) -> str:
    return attempt["served_model"] or attempt["model"]
