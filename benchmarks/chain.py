"""The barest LangGraph chain that does a run's work: a node a phase, which streams the model and writes its answer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import aiosqlite
from langchain_core.language_models import BaseChatModel
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph
from typing_extensions import TypedDict

from ymera.nodes.state import merge_all

from .instant import PHASES, TASK
from .turns import Side


class ChainState(TypedDict, total=False):
    """The state of the barest chain."""

    task: str
    outputs: Annotated[dict[str, str], lambda left, right: merge_all(left or {}, [right])]


def chain(model: BaseChatModel) -> StateGraph[Any, Any, Any, Any]:
    """Return the chain, ready to be compiled."""
    graph = StateGraph(ChainState)
    for before, phase in zip([START, *PHASES], PHASES, strict=False):
        graph.add_node(phase, _link(model, phase))
        graph.add_edge(before, phase)
    graph.add_edge(PHASES[-1], END)
    return graph


def _link(model: BaseChatModel, phase: str) -> Any:
    async def node(state: ChainState) -> ChainState:
        answer = "".join([str(chunk.text) async for chunk in model.astream(state["task"])])
        return {"outputs": {phase: answer}}

    return node


def chain_side(model: BaseChatModel, saver: BaseCheckpointSaver[Any] | None, prefix: str = "") -> Side:
    """Return a run of the chain; with a saver its steps are kept as YMERA's are, one after the other."""
    compiled = chain(model).compile(checkpointer=saver)
    how: dict[str, Any] = {"durability": "sync"} if saver else {}
    return lambda i: compiled.ainvoke({"task": TASK}, thread(f"{prefix}{i}"), **how)


def thread(name: object) -> Any:
    """Return the config of a run on a thread of that name."""
    return {"configurable": {"thread_id": str(name)}}


@asynccontextmanager
async def chain_saver(
    kind: str, folder: Path, url: str = ""
) -> AsyncIterator[BaseCheckpointSaver[Any] | None]:
    """Open the saver of a kind as LangGraph brings it.

    Args:
        url: the PostgreSQL database for the saver of that kind.
    """
    match kind:
        case "none":
            yield None
        case "memory":
            yield InMemorySaver()
        case "SQLite":
            async with aiosqlite.connect(folder / "chain.sqlite") as connection:
                # The same pragmas on both sides, so that the ratio speaks of the graph and not of the disk.
                await connection.execute("PRAGMA journal_mode=WAL")
                await connection.execute("PRAGMA synchronous=NORMAL")
                yield AsyncSqliteSaver(connection)
        case "PostgreSQL":
            from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver

            async with AsyncPostgresSaver.from_conn_string(url) as saver:
                await saver.setup()
                yield saver
        case _:
            raise ValueError(f"no kind of saver: {kind!r}")
