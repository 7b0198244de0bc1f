"""The workflow: one small graph per layout.

    match ─▶ planning ─▶ research ┐                 ┌─▶ refinement ─▶ validation ─▶ END
        ↺ retry, fallback         ├─▶ join ─▶ review┤
                       generation ┘                 └─ accepted ─▶ …

A phase node makes one attempt. The edge behind it asks `routing.flow` what follows from the state: the same
phase again with the same model (`retry`) or its next candidate (`fallback`), the next phase (`next`; after a phase
that is not critical `next or skip`), past a phase that an accepting verdict makes needless (`accepted`), the `abort`
node (`failed`) or the end (`budget`). Phases that run side by side are one-node subgraphs ("lanes"), whose loops
turn independently; a join node behind them decides once over all.

Where a run is to wait for a person, a gate stands behind the phase that is judged: `approve_plan` (edges `next`
and `rejected`) and `approve_review` (edges `next`, `accepted`, and `another model`, which leads back).

What was judged may lead a run out of the order of its phases (`routing.ways`): edges `escalate` and `again` lead back,
`mend first` and `enough` past what comes next. Where a person decides, none of them is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from copy import copy
from dataclasses import dataclass
from functools import lru_cache, partial, reduce
from typing import Any, TypeAlias

from langchain_core.messages import AIMessage
from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.config import get_config
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph

from ..nodes.gate import gate_node
from ..nodes.journal import place_in
from ..nodes.match import DEFAULT_AGENT, match_node
from ..nodes.phase import phase_node
from ..nodes.services import Services, default_services
from ..nodes.state import (
    NO_USAGE,
    PlainNode,
    Rematched,
    RunContext,
    RunInput,
    RunOutput,
    State,
    add_usage,
    answer_id,
    view,
)
from ..routing.approvals import BEHIND, GATES, awaits, gates_in, known_gates
from ..routing.attempts import Gate, RunView
from ..routing.catalogue import Catalogue
from ..routing.flow import Step, behind_gate, failure, joined, outcome, passed_by, status
from ..routing.layout import Layout, arrange, sequence
from ..routing.matcher import find_agent, find_phases
from ..routing.records import PhaseProfile
from ..routing.task import PLAIN
from ..routing.ways import between, first_made, maker, place_of, ways

Workflow: TypeAlias = CompiledStateGraph[State, RunContext, RunInput, RunOutput]
_Graph: TypeAlias = StateGraph[State, RunContext, RunInput, RunOutput]


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


def join_node(services: Services, group: tuple[str, ...]) -> PlainNode:
    """Return the node that waits for phases side by side; the edge behind decides over all of them."""

    async def join(state: State) -> dict[str, Any]:
        if not awaits(run := view(state), state.get("gates", []), group):
            services.note_end(state["run_id"], run)
        return {}

    return join


def lane(phase: str, services: Services, layout: Layout) -> PlainNode:
    """Return a node that runs a phase beside others, its fallback loop turning on its own."""
    graph = StateGraph(State, context_schema=RunContext)
    graph.add_node("attempt", phase_node(phase, services, layout))
    graph.add_edge(START, "attempt")

    profile = services.matcher.catalogue.phases.get(phase)
    steps: list[Step] = ["retry", "fallback"]
    if profile and profile.produces:
        steps.append("escalate")
    once_more = " or ".join(steps)

    def after(state: State) -> str:
        return once_more if outcome(view(state), phase) in steps else "done"

    graph.add_conditional_edges("attempt", Rule("lane", after), {once_more: "attempt", "done": END})
    compiled = graph.compile(name=phase)

    async def run(state: State) -> dict[str, Any]:
        services.journal.notice(place_in(get_config(), state["run_id"]))
        inside = {channel: value for channel, value in state.items() if channel != "messages"}
        after: dict[str, Any] = await compiled.ainvoke(inside)  # type: ignore[call-overload]
        return {**_what_is_new(state, after, phase), **_what_is_planned(state, after, phase)}

    return run


def _what_is_new(before: State, after: dict[str, Any], phase: str) -> dict[str, Any]:
    """Return what a lane did: handing back the rest would make the reducers count it twice."""
    attempts = after.get("attempts", [])[len(before.get("attempts", [])) :]
    detours = after.get("detours", [])[len(before.get("detours", [])) :]
    update: dict[str, Any] = {
        "attempts": attempts,
        "usage": reduce(add_usage, (attempt["usage"] for attempt in attempts), NO_USAGE),
        "detours": detours,
    }
    own = {phase, *(leapt for detour in detours for leapt in detour["leaps"])}
    for channel in ("phase_outputs", "verdicts"):
        update[channel] = {name: value for name, value in after.get(channel, {}).items() if name in own}
    if any(attempt["ok"] for attempt in attempts) and after.get("final_result"):
        update["final_result"] = after["final_result"]
    return update


def _what_is_planned(before: State, after: dict[str, Any], phase: str) -> dict[str, Any]:
    """Return the plan of a lane's phase where it was matched again."""
    if after["plan"] == before["plan"]:
        return {}
    return {"plan": Rematched(rematched=[p for p in after["plan"]["phases"] if p["phase"] == phase])}


@dataclass(frozen=True, kw_only=True)
class _Drawing:
    """One layout with the phases that stand in it, and its gates. Ends of an edge: step → nodes."""

    layout: Layout
    phases: Mapping[str, PhaseProfile]
    gates: tuple[Gate, ...] = ()

    def starts(self, i: int) -> tuple[str, ...]:
        """Return the nodes with which group `i` begins; behind the last group, the end."""
        return self.layout[i] if i < len(self.layout) else (END,)

    def gates_behind(self, i: int) -> tuple[Gate, ...]:
        """Return the gates behind group `i`, in their order."""
        return tuple(gate for gate in self.gates if BEHIND[gate] in self.layout[i])

    def ends(self, i: int) -> dict[Step, tuple[str, ...]]:
        """Return where the run may go behind group `i`."""
        group, gates = self.layout[i], self.gates_behind(i)
        ends: dict[Step, tuple[str, ...]] = {"retry": group, "fallback": group} if len(group) == 1 else {}
        ends |= {"next": (gate_name(gates[0]),)} if gates else {**self.onward(i), **self.aside(i)}
        if any(self.phases[phase].critical for phase in group):
            ends["failed"] = ("abort",)
        return {**ends, "budget": (END,)}

    def ends_of_gate(self, gate: Gate, i: int) -> dict[Step, tuple[str, ...]]:
        """Return where the run may go behind a gate of group `i`."""
        gates = self.gates_behind(i)
        after = gates[gates.index(gate) + 1 :]
        ends: dict[Step, tuple[str, ...]] = {"next": (gate_name(after[0]),)} if after else self.onward(i)
        if gate == "plan":
            return {**ends, "rejected": ("abort",)}
        made = maker(self.layout, self.phases, i)
        return ends if made is None else {**ends, "another model": self.layout[made]}

    def onward(self, i: int) -> dict[Step, tuple[str, ...]]:
        """Return where the run may go once group `i`, with its gates, is done."""
        ends: dict[Step, tuple[str, ...]] = {"next": self.starts(i + 1)}
        return {**ends, "accepted": self.starts(i + 2)} if self.needless(i + 1) else ends

    def aside(self, i: int) -> dict[Step, tuple[str, ...]]:
        """Return where the ways behind group `i` lead. Phases side by side turn back inside their lanes."""
        found = ways(self.layout, self.phases, i)
        if len(self.layout[i]) > 1:
            found.pop("escalate", None)
        return {way: self.starts(self._place(to)) for way, to in found.items()}

    def _place(self, phase: str) -> int:
        place = place_of(self.layout, phase)
        return len(self.layout) if place is None else place

    def remakes(self, gate: Gate, i: int) -> tuple[str, ...]:
        """Return the phases that another model's turn opens again, the one that it makes first."""
        made = maker(self.layout, self.phases, i)
        if made is None:
            return ()
        first = first_made(self.layout[made], self.phases)
        return (first, *between(self.layout, first, BEHIND[gate]), BEHIND[gate])

    def needless(self, i: int) -> bool:
        """Say whether group `i` is a phase that an accepting verdict makes needless."""
        group = self.starts(i)
        return len(group) == 1 and group[0] in self.phases and self.phases[group[0]].skipped_when_accepted

    def step(self, i: int, state: State) -> Step:
        """Return the step behind group `i`."""
        run, group = view(state), self.layout[i]
        step = outcome(run, group[0]) if len(group) == 1 else joined(run, group)
        return step if self.gates_behind(i) else self._or_past(step, i, run)

    def step_of_gate(self, gate: Gate, i: int, state: State) -> Step:
        """Return the step behind a gate of group `i`."""
        run = view(state)
        step = behind_gate(run, gate)
        return self._or_past(step, i, run) if gate == self.gates_behind(i)[-1] else step

    def _or_past(self, step: Step, i: int, run: RunView) -> Step:
        past = step == "next" and self.needless(i + 1) and passed_by(run, self.starts(i + 1)[0])
        return "accepted" if past else step

    def words(self, i: int) -> dict[Step, str]:
        """Return what the steps behind group `i` are called in the drawing."""
        skippable = any(not self.phases[phase].critical for phase in self.layout[i])
        word = "next" if self.gates_behind(i) else self.word(i)
        return {"next": f"{word} or skip" if skippable else word}

    def word(self, i: int) -> str:
        """Return what the way on from group `i` is called."""
        return "next" if i + 1 < len(self.layout) else "done"


def gate_name(gate: Gate) -> str:
    """Return the name of a gate's node."""
    return f"approve_{gate}"


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
        # A run that was resumed may be stopped by a phase that was critical when it was planned, and no longer is.
        return [labels[node] for node in ends.get(step(state), ends["next"])]

    graph.add_conditional_edges(
        source, Rule(f"after {source}", decide), {label: n for n, label in labels.items()}
    )


@lru_cache(maxsize=256)
def build(
    layout: Layout | None = None,
    services: Services | None = None,
    agent: str = DEFAULT_AGENT,
    *,
    gates: tuple[Gate, ...] = (),
    gone: tuple[str, ...] = (),
) -> _Graph:
    """Return the graph of a layout, ready to be compiled (with a checkpointer, say). The same call, the same graph.

    Args:
        layout: groups of phases; by default all phases of the catalogue, one after the other. A run passes by
            the phases that its agent does without.
        services: what the nodes work with; by default what the environment describes.
        agent: the agent of a run that names none.
        gates: where a run waits for a person; one whose phase is not in the layout is left out.
        gone: phases of the layout that the catalogue no longer has: a run that began with them passes them by.

    Raises:
        InputError: a phase of the layout, or a gate, is unknown.
    """
    services = services or default_services()
    catalogue = services.matcher.catalogue
    layout = layout or sequence(list(catalogue.phases.values()))
    gates = gates_in(layout, known_gates(gates))
    drawing = _Drawing(layout=layout, phases=_profiles(layout, gone, catalogue), gates=gates)
    graph = StateGraph(State, context_schema=RunContext, input_schema=RunInput, output_schema=RunOutput)
    graph.add_node("match", match_node(services, layout, agent, gates=gates))
    graph.add_node("abort", abort)
    graph.add_edge(START, "match")
    graph.add_edge("abort", END)
    start: dict[Step, tuple[str, ...]] = {"next": layout[0], "failed": ("abort",)}
    _connect(graph, "match", start, {"failed": "no model"}, _matched)
    for i in range(len(layout)):
        _add_group(graph, drawing, i, services)
    return graph


def _profiles(layout: Layout, gone: Collection[str], catalogue: Catalogue) -> dict[str, PhaseProfile]:
    """Return what the catalogue says of the phases of a layout; of those that are gone, that nothing hangs on them."""
    names = [phase for group in layout for phase in group]
    if not gone:
        return {p.name: p for p in find_phases(names, catalogue.default_agent, catalogue)}
    there = {name: catalogue.phases[name] for name in names if name not in gone}
    return there | {name: PhaseProfile(name=name, order=0, skills={}, prompt="") for name in gone}


def _matched(state: State) -> Step:
    return "failed" if status(view(state)) == "no_model" else "next"


def _add_group(graph: _Graph, drawing: _Drawing, i: int, services: Services) -> None:
    group = drawing.layout[i]
    last = group[0] if len(group) == 1 else f"join_{i}"
    if len(group) == 1:
        graph.add_node(last, phase_node(last, services, drawing.layout))
    else:
        graph.add_node(last, join_node(services, group))
        for phase in group:
            graph.add_node(phase, lane(phase, services, drawing.layout))
            graph.add_edge(phase, last)
    _connect(graph, last, drawing.ends(i), drawing.words(i), partial(drawing.step, i))
    for gate in drawing.gates_behind(i):
        graph.add_node(gate_name(gate), gate_node(gate, services, drawing.remakes(gate, i)))
        words: dict[Step, str] = {"next": drawing.word(i)}
        step = partial(drawing.step_of_gate, gate, i)
        _connect(graph, gate_name(gate), drawing.ends_of_gate(gate, i), words, step)


def node_before(phase: str, layout: Layout, gates: Collection[Gate]) -> str:
    """Return the node whose edge leads to the group of a phase."""
    i = next(i for i, group in enumerate(layout) if phase in group)
    if i == 0:
        return "match"
    group = layout[i - 1]
    behind = [gate_name(gate) for gate in gates_in(layout, gates) if BEHIND[gate] in group]
    return behind[-1] if behind else group[0] if len(group) == 1 else f"join_{i - 1}"


def agent_layout(agent: str, services: Services | None = None) -> Layout:
    """Return the layout in which an agent's phases run for a usual task."""
    services = services or default_services()
    catalogue = services.matcher.catalogue
    profile, _ = find_agent(agent, catalogue, strict=True)
    phases = find_phases(None, profile, catalogue)
    layout, _ = arrange(phases, profile, PLAIN, parallel=services.settings.max_parallel_phases)
    return layout


def over(graph: _Graph, saver: BaseCheckpointSaver[str]) -> Workflow:
    """Return a graph compiled over a store. Compiling takes milliseconds, and is done once for all stores."""
    compiled = copy(_compiled(graph))
    compiled.checkpointer = saver
    return compiled


@lru_cache(maxsize=256)
def _compiled(graph: _Graph) -> Workflow:
    return graph.compile(name="ymera")


def agent_graph(agent: str) -> Workflow:
    """Return the compiled graph of one agent, as LangGraph's servers load it."""
    return build(agent_layout(agent), agent=agent).compile(name=agent)


graph: Workflow = build().compile(name="ymera")
with_approvals: Workflow = build(gates=GATES).compile(name="ymera with approvals")
