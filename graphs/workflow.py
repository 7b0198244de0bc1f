"""The workflow: one small graph per layout.

    match ─▶ planning ─▶ research ┐                 ┌─▶ refinement ─▶ validation ─▶ END
        ↺ retry, fallback         ├─▶ join ─▶ review┤
                       generation ┘                 └─ accepted ─▶ …

A phase node makes one attempt. The edge behind it asks `routing.flow` what follows from the state: the same
phase again with the same model (`retry`) or its next candidate (`fallback`), the next phase (`next`; after a phase
that is not critical `next or skip`), past a phase that an accepting verdict makes needless (`accepted`), the `abort`
node (`failed`) or the end (`budget`). Phases that run side by side are one-node subgraphs ("lanes"), whose loops
turn independently; a join node behind them decides once over all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial, reduce
from typing import Any, TypeAlias

from langchain_core.messages import AIMessage
from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph

from ..nodes.match import DEFAULT_AGENT, match_node
from ..nodes.phase import phase_node
from ..nodes.services import Services, default_services
from ..nodes.state import (
    NO_USAGE,
    PlainNode,
    RunContext,
    RunInput,
    RunOutput,
    State,
    add_usage,
    answer_id,
    view,
)
from ..routing.flow import Step, failure, joined, outcome, passed_by, status
from ..routing.layout import Layout, arrange, sequence
from ..routing.matcher import find_agent, find_phases
from ..routing.records import PhaseProfile, Reading

Workflow: TypeAlias = CompiledStateGraph[State, RunContext, RunInput, RunOutput]
_Graph: TypeAlias = StateGraph[State, RunContext, RunInput, RunOutput]
PLAIN = Reading(complexity="normal", speed="normal", creativity="normal", evidence=[])


class Rule(Runnable[State, Any]):
    """A pure function of the state as a conditional edge.

    A plain function would run in a thread and be traced (5.9 times the cost of the barest graph, measured).
    """

    def __init__(self, name: str, decide: Callable[[State], Any]) -> None:
        self.name = name
        self.decide = decide

    def invoke(self, input: State, config: RunnableConfig | None = None, **kwargs: Any) -> Any:  # noqa: A002
        return self.decide(input)

    async def ainvoke(self, input: State, config: RunnableConfig | None = None, **kwargs: Any) -> Any:  # noqa: A002
        return self.decide(input)


async def abort(state: State) -> dict[str, Any]:
    """Say why the run stopped without a result."""
    error = failure(view(state))
    answer = [AIMessage(error, id=answer_id(state))] if state.get("messages") else []
    return {"error": error, "messages": answer}


async def join(state: State) -> dict[str, Any]:
    """Wait for the phases side by side; the edge behind decides over all of them."""
    return {}


def lane(phase: str, services: Services) -> PlainNode:
    """Return a node that runs a phase beside others, its fallback loop turning on its own."""
    graph = StateGraph(State, context_schema=RunContext)
    graph.add_node("attempt", phase_node(phase, services))
    graph.add_edge(START, "attempt")

    def after(state: State) -> str:
        return "retry or fallback" if outcome(view(state), phase) in ("retry", "fallback") else "done"

    graph.add_conditional_edges("attempt", Rule("lane", after), {"retry or fallback": "attempt", "done": END})
    compiled = graph.compile(name=phase)

    async def run(state: State) -> dict[str, Any]:
        made = len(state.get("attempts", []))
        inside = {channel: value for channel, value in state.items() if channel != "messages"}
        after: dict[str, Any] = await compiled.ainvoke(inside)  # type: ignore[call-overload]
        return _what_is_new(after, made, phase)

    return run


def _what_is_new(after: dict[str, Any], made: int, phase: str) -> dict[str, Any]:
    """Return what a lane did: handing back the rest would make the reducers count it twice."""
    attempts = after.get("attempts", [])[made:]
    update: dict[str, Any] = {
        "attempts": attempts,
        "usage": reduce(add_usage, (attempt["usage"] for attempt in attempts), NO_USAGE),
    }
    for channel in ("phase_outputs", "verdicts"):
        update[channel] = {name: value for name, value in after.get(channel, {}).items() if name == phase}
    if any(attempt["ok"] for attempt in attempts) and after.get("final_result"):
        update["final_result"] = after["final_result"]
    return update


@dataclass(frozen=True, kw_only=True)
class _Drawing:
    """One layout with the phases that stand in it. Ends of an edge: step → nodes."""

    layout: Layout
    phases: Mapping[str, PhaseProfile]

    def starts(self, i: int) -> tuple[str, ...]:
        """Return the nodes with which group `i` begins; behind the last group, the end."""
        return self.layout[i] if i < len(self.layout) else (END,)

    def ends(self, i: int) -> dict[Step, tuple[str, ...]]:
        """Return where the run may go behind group `i`."""
        group = self.layout[i]
        ends: dict[Step, tuple[str, ...]] = {"retry": group, "fallback": group} if len(group) == 1 else {}
        ends["next"] = self.starts(i + 1)
        if self.needless(i + 1):
            ends["accepted"] = self.starts(i + 2)
        if any(self.phases[phase].critical for phase in group):
            ends["failed"] = ("abort",)
        return {**ends, "budget": (END,)}

    def needless(self, i: int) -> bool:
        """Say whether group `i` is a phase that an accepting verdict makes needless."""
        group = self.starts(i)
        return len(group) == 1 and group[0] in self.phases and self.phases[group[0]].skipped_when_accepted

    def step(self, i: int, state: State) -> Step:
        """Return the step behind group `i`."""
        run, group = view(state), self.layout[i]
        step = outcome(run, group[0]) if len(group) == 1 else joined(run, group)
        if step == "next" and self.needless(i + 1) and passed_by(run, self.starts(i + 1)[0]):
            return "accepted"
        return step

    def words(self, i: int) -> dict[Step, str]:
        """Return what the steps behind group `i` are called in the drawing."""
        word = "next" if i + 1 < len(self.layout) else "done"
        skippable = any(not self.phases[phase].critical for phase in self.layout[i])
        return {"next": f"{word} or skip" if skippable else word}


def _connect(
    graph: _Graph, source: str, ends: Mapping[Step, tuple[str, ...]], words: Mapping[Step, str], step: Any
) -> None:
    """Draw the conditional edges behind a node. Steps to one node share an edge, named by all of them."""
    names: dict[str, list[str]] = {}
    for name, nodes in ends.items():
        for node in nodes:
            word = words.get(name, name)
            names.setdefault(node, []).append(word if len(nodes) == 1 else f"{word} {node}")
    labels = {node: " or ".join(said) for node, said in names.items()}

    def decide(state: State) -> list[str]:
        return [labels[node] for node in ends[step(state)]]

    graph.add_conditional_edges(
        source, Rule(f"after {source}", decide), {label: n for n, label in labels.items()}
    )


@lru_cache(maxsize=256)
def build(
    layout: Layout | None = None, services: Services | None = None, agent: str = DEFAULT_AGENT
) -> _Graph:
    """Return the graph of a layout, ready to be compiled (with a checkpointer, say). The same call, the same graph.

    Args:
        layout: groups of phases; by default all phases of the catalogue, one after the other. A run passes by
            the phases that its agent does without.
        services: what the nodes work with; by default what the environment describes.
        agent: the agent of a run that names none.

    Raises:
        InputError: a phase of the layout is unknown.
    """
    services = services or default_services()
    catalogue = services.matcher.catalogue
    layout = layout or sequence(list(catalogue.phases.values()))
    names = [phase for group in layout for phase in group]
    known = find_phases(names, catalogue.default_agent, catalogue)
    drawing = _Drawing(layout=layout, phases={phase.name: phase for phase in known})
    graph = StateGraph(State, context_schema=RunContext, input_schema=RunInput, output_schema=RunOutput)
    graph.add_node("match", match_node(services, layout, agent))
    graph.add_node("abort", abort)
    graph.add_edge(START, "match")
    graph.add_edge("abort", END)
    start: dict[Step, tuple[str, ...]] = {"next": layout[0], "failed": ("abort",)}
    _connect(graph, "match", start, {"failed": "no model"}, _matched)
    for i in range(len(layout)):
        _add_group(graph, drawing, i, services)
    return graph


def _matched(state: State) -> Step:
    return "failed" if status(view(state)) == "no_model" else "next"


def _add_group(graph: _Graph, drawing: _Drawing, i: int, services: Services) -> None:
    group = drawing.layout[i]
    last = group[0] if len(group) == 1 else f"join_{i}"
    if len(group) == 1:
        graph.add_node(last, phase_node(last, services))
    else:
        graph.add_node(last, join)
        for phase in group:
            graph.add_node(phase, lane(phase, services))
            graph.add_edge(phase, last)
    _connect(graph, last, drawing.ends(i), drawing.words(i), partial(drawing.step, i))


def agent_layout(agent: str, services: Services | None = None) -> Layout:
    """Return the layout in which an agent's phases run for a usual task."""
    services = services or default_services()
    catalogue = services.matcher.catalogue
    profile, _ = find_agent(agent, catalogue, strict=True)
    phases = find_phases(None, profile, catalogue)
    layout, _ = arrange(phases, profile, PLAIN, parallel=services.settings.max_parallel_phases)
    return layout


def agent_graph(agent: str) -> Workflow:
    """Return the compiled graph of one agent, as LangGraph's servers load it."""
    return build(agent_layout(agent), agent=agent).compile(name=agent)


graph: Workflow = build().compile(name="ymera")
