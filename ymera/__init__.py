"""YMERA: one task through several language models, each phase on the model that suits it best.

The names below are the public interface. They are imported when first used: `import ymera` itself is instant.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .events import ProgressEvent
    from .executor import MultiModelExecutor, get_multi_model_executor
    from .nodes.matching import AgentModelMatcher
    from .nodes.reader import TaskReader
    from .nodes.services import get_agent_model_matcher
    from .nodes.settings import Settings
    from .nodes.state import RunContext
    from .results import MultiModelResult, PhaseResult
    from .routing.errors import (
        CatalogueError,
        InputError,
        NoUsableModelError,
        ResumeError,
        RunInterrupted,
        UnknownAgentError,
        WeightsError,
        YmeraError,
    )
    from .routing.records import AgentTaskProfile, ModelProfile, PhaseProfile, Strategy, TaskPhase

_HOMES = {
    "AgentModelMatcher": "nodes.matching",
    "AgentTaskProfile": "routing.records",
    "CatalogueError": "routing.errors",
    "InputError": "routing.errors",
    "ModelProfile": "routing.records",
    "MultiModelExecutor": "executor",
    "MultiModelResult": "results",
    "NoUsableModelError": "routing.errors",
    "PhaseProfile": "routing.records",
    "PhaseResult": "results",
    "ProgressEvent": "events",
    "ResumeError": "routing.errors",
    "RunContext": "nodes.state",
    "RunInterrupted": "routing.errors",
    "Settings": "nodes.settings",
    "Strategy": "routing.records",
    "TaskPhase": "routing.records",
    "TaskReader": "nodes.reader",
    "UnknownAgentError": "routing.errors",
    "WeightsError": "routing.errors",
    "YmeraError": "routing.errors",
    "get_agent_model_matcher": "nodes.services",
    "get_multi_model_executor": "executor",
}

__all__ = [
    "AgentModelMatcher",
    "AgentTaskProfile",
    "CatalogueError",
    "InputError",
    "ModelProfile",
    "MultiModelExecutor",
    "MultiModelResult",
    "NoUsableModelError",
    "PhaseProfile",
    "PhaseResult",
    "ProgressEvent",
    "ResumeError",
    "RunContext",
    "RunInterrupted",
    "Settings",
    "Strategy",
    "TaskPhase",
    "TaskReader",
    "UnknownAgentError",
    "WeightsError",
    "YmeraError",
    "get_agent_model_matcher",
    "get_multi_model_executor",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
