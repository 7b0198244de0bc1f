"""The graphs of langgraph.json for a server that loads files: aegra takes no module's name."""

from __future__ import annotations

from typing import Any

from ymera.graphs import agents
from ymera.graphs import graph as workflow
from ymera.graphs.workflow import with_approvals

__all__ = ["with_approvals", "workflow"]


def __getattr__(name: str) -> Any:
    """Return the graph of an agent, one of the user's catalogue file included."""
    return getattr(agents, name)
