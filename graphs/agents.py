"""One compiled graph for each agent, by its name: LangGraph's servers and Studio draw each with its own phases."""

from __future__ import annotations

from ..nodes.services import default_services
from .workflow import agent_graph

# The servers look names up in the module itself; an agent of the user's catalogue file is there as well.
globals().update({name: agent_graph(name) for name in default_services().matcher.agent_profiles})
