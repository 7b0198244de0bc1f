"""The node that chooses: it reads the input and writes the plan into the state."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Collection
from dataclasses import replace
from typing import Any

from langchain_core.messages import BaseMessage
from langgraph.config import get_stream_writer
from langgraph.runtime import Runtime
from langgraph.types import Overwrite

from ..routing.approvals import left_out
from ..routing.attempts import Gate, RunView
from ..routing.layout import Layout
from ..routing.matcher import TaskRequest, Wishes
from ..routing.records import Strategy
from .services import Services
from .state import NO_USAGE, STATE_FORMAT, Node, RunContext, State, Wanted

_logger = logging.getLogger("ymera.match")

DEFAULT_AGENT = "coding_agent"
"""Agent of a run that names none."""


def request_of(state: State, default_agent: str) -> TaskRequest:
    """Return what the input asks for, unchecked: that is the matcher's."""
    return TaskRequest(
        agent_name=state.get("agent") or default_agent,
        description=state.get("task") or _asked(state.get("messages", [])),
        parameters=state.get("parameters") or {},
        phases=state.get("phases") or None,
    )


def _asked(messages: list[Any]) -> str:
    """Return the text of the last message that a person wrote."""
    for message in reversed(messages):
        if isinstance(message, BaseMessage) and message.type == "human":
            return str(message.text)
    return ""


def wishes_of(context: RunContext | None, services: Services, layout: Layout | None = None) -> Wishes:
    """Return the process's wishes with those of this run on top."""
    wishes = replace(services.matcher.wishes, layout=layout)
    if context is None:
        return replace(wishes, free=True)
    return replace(
        wishes,
        # ENABLE_MULTI_MODEL=false forbids what a run may wish for.
        strategy=(context.strategy if services.settings.enable_multi_model else None) or wishes.strategy,
        model=context.model,
        providers=tuple(context.providers),
        attempts=context.attempts,
        usd=context.budget_usd,
        tokens=context.budget_tokens,
        seconds=context.budget_seconds,
        phase_seconds=context.phase_timeout or wishes.phase_seconds,
        rounds=wishes.rounds if context.rounds is None else context.rounds,
        thrift=wishes.thrift if context.thrift is None else context.thrift,
        most_usd=context.most_usd,
        most_seconds=context.most_seconds,
        least_quality=context.least_quality,
        strict=wishes.strict if context.strict is None else context.strict,
        free=_is_free(context),
    )


def _is_free(context: RunContext) -> bool:
    """Say whether the caller leaves it to us how the run is planned."""
    said = (context.strategy, context.model, context.thrift, context.rounds)
    aims = (context.most_usd, context.most_seconds, context.least_quality)
    usual = context.attempts == RunContext.model_fields["attempts"].default and not context.providers
    return usual and all(each is None for each in (*said, *aims))


def wanted_of(context: RunContext | None) -> Wanted:
    """Return what the caller of a run asks of its models."""
    context = context or RunContext()
    return Wanted(model=context.model, providers=list(context.providers))


def match_node(
    services: Services,
    layout: Layout,
    default_agent: str = DEFAULT_AGENT,
    *,
    gates: Collection[Gate] = (),
) -> Node:
    """Return the node that chooses for a graph of this layout with these gates.

    It begins a run afresh: what an earlier run left on the thread is put aside (its checkpoints keep it).
    """

    async def match(state: State, runtime: Runtime[RunContext]) -> dict[str, Any]:
        request, context = request_of(state, default_agent), runtime.context or RunContext()
        plan = context.plan or await services.matcher.choose(
            request, wishes_of(runtime.context, services, layout)
        )
        wanted = {*gates, *context.approve}
        plan = {**plan, "warnings": [*plan["warnings"], *left_out(plan, gates, wanted)]}
        get_stream_writer()({"event": "planned", "strategy": plan})
        _log(plan)
        run_id = str(uuid.uuid4())
        services.journal.begins(run_id)
        _note(services, run_id, request, plan)
        return {
            "task_description": request.description,
            "task_parameters": dict(request.parameters),
            "run_id": run_id,
            "format": STATE_FORMAT,
            "wanted": wanted_of(runtime.context),
            "plan": plan,
            "layout": [list(group) for group in layout],
            "attempts": Overwrite([]),
            "phase_outputs": Overwrite({}),
            "verdicts": Overwrite({}),
            "usage": Overwrite(NO_USAGE),
            "final_result": "",
            "error": "",
            "gates": list(gates),
            "approvals": Overwrite([]),
            "reopened": {},
            "detours": Overwrite([]),
            "origin": None,
        }

    return match


def _note(services: Services, run_id: str, request: TaskRequest, plan: Strategy) -> None:
    """Note that the run has an arm, and its end where it is over before it begins."""
    if noted := services.matcher.trials.begun(run_id, request, plan):
        services.journal.change(*noted)
        services.note_end(run_id, RunView(plan=plan))


def _log(plan: Strategy) -> None:
    """Log what was chosen and why; the task's words reach no log."""
    if not _logger.isEnabledFor(logging.INFO):
        return
    reading = plan["reading"]
    _logger.info("%s for %s: %s", plan["strategy_type"], plan["agent_name"], plan["reason"])
    for trait in ("complexity", "speed", "creativity"):
        _logger.debug("read: %s is %s", trait, reading[trait])
    for phase in plan["phases"]:
        first = phase["primary_model"]
        chosen = f"{first['provider']}:{first['model']} ({first['score']:.2f})" if first else "no model"
        _logger.info("%s: %s: %s", phase["phase"], chosen, phase["reason"])
        for other in phase["fallback_models"]:
            _logger.debug(
                "%s: then %s:%s (%.2f)", phase["phase"], other["provider"], other["model"], other["score"]
            )
        for passed in phase["rejected"]:
            _logger.debug(
                "%s: not %s:%s: %s", phase["phase"], passed["provider"], passed["model"], passed["reason"]
            )
