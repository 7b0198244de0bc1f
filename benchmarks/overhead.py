"""What the workflow costs beside the barest LangGraph chain: six phases over an instant model.

    python -m benchmarks.overhead --json FILE

Both sides stream the same answer of the same in-process chat model once a phase, in one process, run by run in
turn, so that a busy machine slows both; the figures are medians of CPU time after `gc.freeze()`, and ratios of
them. The chain's nodes do nothing but stream the model and write its answer.

The model answers without any delay in `TOKENS` chunks, the mean of a phase in the embedded models' coding run.
`one_chunk` holds the same ratios for an answer of a single chunk: everything that is left is then overhead.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import platform
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import aiosqlite
from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph
from typing_extensions import TypedDict

from ymera.graphs.checkpoints import open_checkpoints
from ymera.graphs.workflow import build
from ymera.nodes.matching import AgentModelMatcher
from ymera.nodes.services import services_over
from ymera.nodes.settings import Settings
from ymera.nodes.state import RunContext, merge_all
from ymera.routing.catalogue import builtin_catalogue
from ymera.routing.records import ModelProfile

PHASES = ["planning", "research", "generation", "review", "refinement", "validation"]
TASK = "Build the importer that the finance team needs for its monthly statements"
TOKENS = 157
"""Chunks of an answer: 77, 243, 64 and 245 tokens were measured for the four phases of the embedded coding run."""
VERDICT = '{"findings": ["the header line is missing"], "decision": "revise"}'
METADATA = {"model_name": "instant", "finish_reason": "stop"}


class InstantModel(BaseChatModel):
    """A chat model that answers at once, in so many chunks: a verdict first, which judging phases ask for."""

    chunks: int = TOKENS

    @property
    def _llm_type(self) -> str:
        return "instant"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        message = AIMessage(VERDICT, response_metadata=METADATA)
        return ChatResult(generations=[ChatGeneration(message=message)])

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return self._generate(messages)

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        raise AssertionError("both sides call the model asynchronously")

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        for i in range(self.chunks - 1):
            yield ChatGenerationChunk(message=AIMessageChunk(content=" word" if i else VERDICT))
        usage = UsageMetadata(input_tokens=10, output_tokens=self.chunks, total_tokens=10 + self.chunks)
        last = VERDICT if self.chunks == 1 else " word"
        yield ChatGenerationChunk(
            message=AIMessageChunk(content=last, response_metadata=METADATA, usage_metadata=usage)
        )


@dataclass
class InstantModels:
    """A source of models that are all the instant one."""

    model: InstantModel

    async def open(self, model: ModelProfile, *, max_output_tokens: int, temperature: float) -> InstantModel:
        return self.model

    async def close(self) -> None:
        """Nothing to close."""


class OpenMatcher(AgentModelMatcher):
    """A matcher for which every model may be called."""

    def unavailable(self, model: ModelProfile) -> str | None:
        return None


class ChainState(TypedDict, total=False):
    """The state of the barest chain."""

    task: str
    outputs: Annotated[dict[str, str], lambda left, right: merge_all(left or {}, [right])]


def chain(model: InstantModel) -> StateGraph[Any, Any, Any, Any]:
    """The barest chain: a node a phase, plain edges."""
    graph = StateGraph(ChainState)
    for before, phase in zip([START, *PHASES], PHASES, strict=False):
        graph.add_node(phase, _link(model, phase))
        graph.add_edge(before, phase)
    graph.add_edge(PHASES[-1], END)
    return graph


def _link(model: InstantModel, phase: str) -> Any:
    async def node(state: ChainState) -> ChainState:
        answer = "".join([str(chunk.text) async for chunk in model.astream(state["task"])])
        return {"outputs": {phase: answer}}

    return node


def workflow(model: InstantModel, folder: Path) -> StateGraph[Any, Any, Any, Any]:
    """The workflow with all six phases, over the same model."""
    settings = Settings(ymera_data_dir=folder)
    matcher = OpenMatcher(settings, builtin_catalogue())
    return build(tuple((phase,) for phase in PHASES), services_over(InstantModels(model), matcher))


@asynccontextmanager
async def savers(kind: str, folder: Path) -> AsyncIterator[tuple[BaseCheckpointSaver[Any] | None, Any]]:
    """The chain's saver and the workflow's: none, in memory, or each its own SQLite file."""
    if kind == "none":
        yield None, None
    elif kind == "memory":
        yield InMemorySaver(), InMemorySaver()
    else:
        async with (
            aiosqlite.connect(folder / "chain.sqlite") as connection,
            open_checkpoints(Settings(ymera_checkpoints=str(folder / "workflow.sqlite"))) as saver,
        ):
            # The same pragmas on both sides, so that the ratio speaks of the graph and not of the disk.
            await connection.execute("PRAGMA journal_mode=WAL")
            await connection.execute("PRAGMA synchronous=NORMAL")
            yield AsyncSqliteSaver(connection), saver


async def measure(kind: str, runs: int, chunks: int = TOKENS) -> dict[str, float]:
    """Run both sides in turn and return the medians: CPU and wall milliseconds, and their ratios."""
    model = InstantModel(chunks=chunks)
    with tempfile.TemporaryDirectory() as name:
        async with savers(kind, Path(name)) as (theirs, ours):
            plain = chain(model).compile(checkpointer=theirs)
            full = workflow(model, Path(name)).compile(checkpointer=ours)
            asked = {"task": TASK, "agent": "coding_agent", "phases": PHASES}
            sides: dict[str, Callable[[int], Awaitable[Any]]] = {
                "chain": lambda i: plain.ainvoke({"task": TASK}, _thread(i)),
                "workflow": lambda i: full.ainvoke(asked, _thread(i), context=RunContext()),
            }
            taken = await _interleaved(sides, runs)
    chain_cpu, workflow_cpu = (statistics.median(cpu for cpu, _ in taken[side]) for side in sides)
    chain_wall, workflow_wall = (statistics.median(wall for _, wall in taken[side]) for side in sides)
    return {
        "chain_cpu_ms": chain_cpu,
        "workflow_cpu_ms": workflow_cpu,
        "ratio": workflow_cpu / chain_cpu,
        "chain_wall_ms": chain_wall,
        "workflow_wall_ms": workflow_wall,
        "ratio_wall": workflow_wall / chain_wall,
    }


def _thread(i: int) -> Any:
    return {"configurable": {"thread_id": str(i)}}


async def _interleaved(
    sides: dict[str, Callable[[int], Awaitable[Any]]], runs: int
) -> dict[str, list[tuple[float, float]]]:
    taken: dict[str, list[tuple[float, float]]] = {side: [] for side in sides}
    warm_up = max(5, runs // 10)
    for i in range(warm_up + runs):
        if i == warm_up:
            gc.collect()
            gc.freeze()
        for side, run in sides.items():
            cpu, wall = time.process_time(), time.perf_counter()
            await run(i)
            if i >= warm_up:
                taken[side].append(((time.process_time() - cpu) * 1e3, (time.perf_counter() - wall) * 1e3))
    gc.unfreeze()
    return taken


def main() -> None:
    """Measure, print a table, write the figures."""
    parser = argparse.ArgumentParser(description="Six phases over an instant model against the barest chain.")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("--runs", type=int, default=200, help="runs of each side and saver")
    arguments = parser.parse_args()
    parts = {kind: asyncio.run(measure(kind, arguments.runs)) for kind in ("none", "memory", "sqlite")}
    figures = {
        **{f"ratio_{kind}": round(part["ratio"], 3) for kind, part in parts.items()},
        "ms_per_phase_sqlite": round(parts["sqlite"]["workflow_wall_ms"] / len(PHASES), 3),
        "ms_overhead_per_phase": round(
            (parts["none"]["workflow_cpu_ms"] - parts["none"]["chain_cpu_ms"]) / len(PHASES), 3
        ),
        "one_chunk": {
            f"ratio_{kind}": round(asyncio.run(measure(kind, arguments.runs, 1))["ratio"], 3)
            for kind in ("none", "memory", "sqlite")
        },
        "parts": parts,
        "runs": arguments.runs,
        "machine": {"python": platform.python_version(), "system": platform.platform()},
    }
    print(
        f"{'saver':8} {'chain':>10} {'workflow':>10} {'ratio':>7}   CPU ms a run, median of {arguments.runs}"
    )
    for kind, part in parts.items():
        print(f"{kind:8} {part['chain_cpu_ms']:10.3f} {part['workflow_cpu_ms']:10.3f} {part['ratio']:7.2f}")
    print(f"a durable phase on SQLite: {figures['ms_per_phase_sqlite']} ms (wall)")
    print(f"overhead of a phase without saver: {figures['ms_overhead_per_phase']} ms (CPU)")
    print(f"ratios with an answer of one chunk: {figures['one_chunk']}")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
