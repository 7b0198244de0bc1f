"""One compiled graph for each built-in agent: LangGraph's servers and Studio draw each with its own phases."""

from __future__ import annotations

from .workflow import agent_graph

coding_agent = agent_graph("coding_agent")
database_agent = agent_graph("database_agent")
analysis_agent = agent_graph("analysis_agent")
web_scraping_agent = agent_graph("web_scraping_agent")
documentation_agent = agent_graph("documentation_agent")
