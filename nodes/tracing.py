"""What LangSmith is told of an attempt beyond what LangChain says by itself, and what it must not be told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler, BaseCallbackManager
from langchain_core.runnables import RunnableConfig
from langchain_core.tracers import LangChainTracer, Run
from langsmith.run_helpers import get_current_run_tree

from ..routing.attempts import Attempt

Hide = Callable[[str], str]


class KeylessTracer(LangChainTracer):
    """A tracer that hides keys in the errors of model calls: some servers repeat the key that they refuse.

    It stands in for another tracer: the same tree, the same destination.
    """

    def __init__(self, tracer: LangChainTracer, hide: Hide) -> None:
        vars(self).update(vars(tracer))
        self._tracer = tracer
        self._hide = hide

    def copy_with_metadata_defaults(
        self, *, metadata: Mapping[str, str] | None = None, tags: list[str] | None = None
    ) -> KeylessTracer:
        """Return a tracer of this kind with more metadata; LangChain makes one for every call."""
        return KeylessTracer(
            self._tracer.copy_with_metadata_defaults(metadata=metadata, tags=tags), self._hide
        )

    def _on_llm_error(self, run: Run) -> None:
        run.error = _hidden(run.error, self._hide)
        run.outputs = _hidden(run.outputs, self._hide)  # LangChain puts the body of the refusal there
        super()._on_llm_error(run)


def hide_keys(config: RunnableConfig, hide: Hide) -> None:
    """Let the errors of the model calls of a node pass through `hide` before they are traced.

    The node's own callbacks are changed, not a copy of them: LangChain finds them again in the context, and
    would trace a call twice.
    """
    manager = config.get("callbacks")
    if isinstance(manager, BaseCallbackManager):
        for handlers in (manager.handlers, manager.inheritable_handlers):
            handlers[:] = [_keyless(handler, hide) for handler in handlers]


def _keyless(handler: BaseCallbackHandler, hide: Hide) -> BaseCallbackHandler:
    return KeylessTracer(handler, hide) if isinstance(handler, LangChainTracer) else handler


def _hidden(value: Any, hide: Hide) -> Any:
    """Return JSON whose texts have passed through `hide`."""
    match value:
        case str():
            return hide(value)
        case list():
            return [_hidden(item, hide) for item in value]
        case dict():
            return {key: _hidden(item, hide) for key, item in value.items()}
    return value


def trace_outcome(label: Mapping[str, Any], attempt: Attempt) -> None:
    """Write on the run of the node what is known once its attempt is over; untraced, there is no run.

    `cost_usd` is None where it is not known.
    """
    run = get_current_run_tree()
    if run is None:
        return
    usage, fault = attempt["usage"], attempt["fault"]
    outcome = {
        "ok": attempt["ok"],
        "fault": fault["kind"] if fault else None,
        "cost_usd": None if usage["unpriced"] else usage["cost_usd"],
        "input_tokens": usage["input_tokens"],
        "output_tokens": usage["output_tokens"],
    }
    run.add_metadata({**label, **outcome})
