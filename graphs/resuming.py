"""Whether a compiled graph can go on with the run that stands on a thread."""

from __future__ import annotations

from typing import cast

from langchain_core.runnables import RunnableConfig

from ..nodes.state import State, view
from ..routing.errors import NoRunError, ResumeError
from ..routing.flow import status
from .workflow import Workflow


async def check_resumable(graph: Workflow, config: RunnableConfig) -> None:
    """Raise where a graph cannot go on with a thread's run: LangGraph itself would end at once, and say nothing.

    Whoever resumes with `graph.ainvoke(None, config)` asks this first. The executor need not: it builds the graph on
    which the run began.

    Args:
        graph: compiled, with the saver that keeps the thread.

    Raises:
        NoRunError: no run has begun there.
        ResumeError: it was begun on a graph of another layout, or by a newer release.
    """
    seen = await graph.aget_state(config)
    state = cast("State", seen.values)
    if not state.get("plan"):
        raise NoRunError("No run has begun on this thread.")
    if seen.tasks or status(view(state)) != "running":
        return
    phases = [phase for group in state["layout"] for phase in group]
    lacking = [phase for phase in phases if phase not in graph.nodes]
    raise ResumeError(
        f"The run on this thread was begun on a graph of the phases {', '.join(phases)}; this graph lacks "
        f"{', '.join(lacking) or 'its next step'}. Resume it with the executor, or on the graph that build(...) makes "
        "of the run's own layout."
    )
