"""The node that chooses: it reads the input and writes the plan into the state."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import Any

from langchain_core.messages import BaseMessage
from langgraph.config import get_stream_writer
from langgraph.runtime import Runtime
from langgraph.types import Overwrite

from ..routing.errors import InputError
from ..routing.layout import Layout
from ..routing.matcher import TaskRequest, Wishes
from ..routing.records import is_json
from .services import Services
from .state import NO_USAGE, Node, RunContext, State

DEFAULT_AGENT = "coding_agent"
"""Agent of a run that names none."""


def request_of(state: State, default_agent: str) -> TaskRequest:
    """Return what the input asks for.

    Raises:
        InputError: there is no task, or the parameters are not JSON.
    """
    parameters = state.get("parameters") or {}
    if not isinstance(parameters, dict) or not is_json(parameters):
        raise InputError(f"The parameters are not a JSON object: {parameters!r:.200}.")
    return TaskRequest(
        agent_name=state.get("agent") or default_agent,
        description=state.get("task") or _asked(state.get("messages", [])),
        parameters=parameters,
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
        return wishes
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
        strict=wishes.strict if context.strict is None else context.strict,
    )


def match_node(services: Services, layout: Layout, default_agent: str = DEFAULT_AGENT) -> Node:
    """Return the node that chooses for a graph of this layout.

    It begins a run afresh: what an earlier run left on the thread is put aside (its checkpoints keep it).
    """

    async def match(state: State, runtime: Runtime[RunContext]) -> dict[str, Any]:
        request = request_of(state, default_agent)
        plan = await services.matcher.choose(request, wishes_of(runtime.context, services, layout))
        get_stream_writer()({"event": "planned", "strategy": plan})
        return {
            "task_description": request.description,
            "task_parameters": dict(request.parameters),
            "plan": plan,
            "layout": [list(group) for group in layout],
            "attempts": Overwrite([]),
            "phase_outputs": Overwrite({}),
            "verdicts": Overwrite({}),
            "usage": Overwrite(NO_USAGE),
            "final_result": "",
            "answer_id": str(uuid.uuid4()),
            "error": "",
        }

    return match
