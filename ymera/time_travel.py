"""What happened on a thread step by step, and how else it might have gone on."""

from __future__ import annotations

import difflib
import time
import uuid
from collections.abc import AsyncGenerator, Collection, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

from .graphs.workflow import node_before
from .nodes.gate import model_for
from .nodes.kept import check_kept
from .nodes.services import Services
from .nodes.state import NO_USAGE, State, add_usage, view
from .nodes.verdicts import WANTED, describe, parse_verdict
from .results import MultiModelResult
from .routing.approvals import put_first
from .routing.attempts import Attempt, Verdict
from .routing.errors import InputError, ResumeError
from .routing.flow import answer_of, attempts_of, made_in, phase_plan
from .routing.forks import Origin, by_hand, inherited
from .routing.limits import check_name
from .routing.records import Candidate
from .thread_run import config_of, readable, sole
from .threads import OpenThread, open_thread

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig
    from langgraph.types import StateSnapshot

Value = TypeVar("Value")

CARRIED = (
    "task_description",
    "task_parameters",
    "messages",
    "format",
    "wanted",
    "plan",
    "layout",
    "final_result",
    "gates",
    "approvals",
    "reopened",
    "detours",
)
"""Channels that a fork takes over as they stood."""


@dataclass(frozen=True, kw_only=True)
class HistoryStep:
    """Something that happened on a thread. Seconds, tokens, USD.

    Args:
        what: the plan was made, a model was called, a person answered, the run left its order, the run stopped.
        at: when, in epoch seconds.
        name: the phase, or what was judged.
        detail: what came of it.
        cost: None where it is not known.
        checkpoint: the first checkpoint that holds it.
    """

    what: Literal["plan", "attempt", "answer", "detour", "stop"]
    at: float
    name: str
    detail: str
    checkpoint: str
    attempt: str = ""
    model: str = ""
    verdict: Verdict | None = None
    seconds: float = 0.0
    tokens: int = 0
    cost: float | None = 0.0
    inherited: bool = False


@dataclass(frozen=True, kw_only=True)
class Change:
    """What a fork does otherwise in its phase.

    Args:
        model: who makes it, as `--model` takes it.
        output: the text that takes the place of its output.
    """

    model: str | None = None
    output: str | None = None


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two runs side by side.

    Args:
        results: of both threads, as they stand; the costs of a fork are its own alone.
        models: who answered each phase, in each of them ("" where nobody did).
        verdicts: what each judging phase decided, in each of them.
        diff: what differs in the final results, as a unified diff; empty where nothing does.
    """

    results: tuple[MultiModelResult, MultiModelResult]
    models: dict[str, tuple[str, str]]
    verdicts: dict[str, tuple[str, str]]
    diff: str


async def history(thread_id: str, services: Services) -> list[HistoryStep]:
    """Return what happened in the newest run of a thread, in order.

    Raises:
        ResumeError: there is no such thread.
    """
    async with open_thread(thread_id, services) as thread, aclosing(_snapshots(thread)) as snapshots:
        seen = [snapshot async for snapshot in snapshots]
    steps: list[HistoryStep] = []
    before: Any = {}
    for snapshot in reversed(seen):
        steps += _steps(before, snapshot)
        before = snapshot.values
    return steps


async def _snapshots(thread: OpenThread) -> AsyncGenerator[StateSnapshot, None]:
    """Yield what the newest run of a thread has left, the newest first.

    Raises:
        InputError: it cannot be read.
    """
    # Declared as an iterator, it is a generator; one that is left open holds the store.
    kept = cast("AsyncGenerator[StateSnapshot, None]", thread.graph.aget_state_history(thread.config))
    with readable(thread.id):
        async with aclosing(kept) as snapshots:
            async for snapshot in snapshots:
                if snapshot.values.get("run_id") != thread.state["run_id"]:
                    return
                check_kept(snapshot.values, snapshot.metadata)
                yield snapshot


def _steps(before: Any, snapshot: StateSnapshot) -> list[HistoryStep]:
    """Return what a checkpoint holds that the one before it did not."""
    now = cast("State", snapshot.values)
    checkpoint = str(snapshot.config["configurable"]["checkpoint_id"])
    at = _epoch(snapshot.created_at)
    steps: list[HistoryStep] = []
    for attempt in now.get("attempts", [])[len(before.get("attempts", [])) :]:
        steps.append(_attempted(attempt, now, checkpoint))
    for given in now.get("approvals", [])[len(before.get("approvals", [])) :]:
        detail = f"{given['decision']}: {given['said']}" if given["said"] else given["decision"]
        steps.append(
            HistoryStep(
                what="answer", at=given["at"], name=given["gate"], detail=detail, checkpoint=checkpoint
            )
        )
    for taken in now.get("detours", [])[len(before.get("detours", [])) :]:
        detail = f"{taken['way']}: {taken['because']}"
        steps.append(
            HistoryStep(what="detour", at=at, name=taken["phase"], detail=detail, checkpoint=checkpoint)
        )
    if now.get("error") and not before.get("error"):
        steps.append(HistoryStep(what="stop", at=at, name="", detail=now["error"], checkpoint=checkpoint))
    begun = [] if before else [_planned(now, at, checkpoint)]
    return [*begun, *sorted(steps, key=lambda step: step.at)]


def _epoch(created_at: str | None) -> float:
    from datetime import datetime

    return datetime.fromisoformat(created_at).timestamp() if created_at else 0.0


def _planned(state: State, at: float, checkpoint: str) -> HistoryStep:
    plan, origin = state["plan"], state.get("origin")
    detail = f"{plan['strategy_type']} for {plan['agent_name']}: {plan['reason']}"
    if origin:
        detail = f"forked from thread {origin['thread_id']} before {origin['phase']}"
    return HistoryStep(what="plan", at=at, name="", detail=detail, checkpoint=checkpoint)


def _attempted(attempt: Attempt, state: State, checkpoint: str) -> HistoryStep:
    usage, fault = attempt["usage"], attempt["fault"]
    run, phase = view(state), attempt["phase"]
    verdict = run["verdicts"].get(phase) if answer_of(run, phase) == attempt else None
    detail = f"{fault['kind']}: {fault['message']}" if fault else "answered"
    return HistoryStep(
        what="attempt",
        at=attempt["started_at"],
        name=phase,
        detail=f"{detail}; {attempt['note']}" if "note" in attempt else detail,
        checkpoint=checkpoint,
        attempt=attempt["id"],
        model=f"{attempt['provider']}:{attempt['model']}",
        verdict=verdict,
        seconds=attempt["seconds"],
        tokens=usage["input_tokens"] + usage["output_tokens"],
        cost=None if usage["unpriced"] else usage["cost_usd"],
        inherited=attempt.get("inherited", False),
    )


async def fork(
    thread_id: str, phase: str, services: Services, change: Change | None = None, *, into: str | None = None
) -> str:
    """Make a new thread that stands where another one stood before a phase, and return its name. Resume it to run it.

    The other thread stays as it is. What was done in phases beside `phase` is taken over too.

    Args:
        into: the name of the new thread.

    Raises:
        ResumeError: there is no such thread, its run never came to this phase, or the new name is taken, or a run
            is under way there.
        InputError: the phase is unknown, the model cannot be taken, or a verdict's text is none.
        NoUsableModelError: the model cannot be called.
    """
    if into is not None:
        check_name("thread", into)
    change, new = change or Change(), into or str(uuid.uuid4())
    async with open_thread(thread_id, services) as thread:
        values = await _state_before(thread, phase)
        candidate = await model_for(phase, change.model, values, services) if change.model else None
        state = _forked(thread, phase, values, candidate)
        state["final_result"] = _made_aside(phase, state, thread, services)
        if change.output is not None:
            state |= _written(phase, change.output, state, services)
        async with sole(new, services.settings):
            await _write(state, thread, phase, config_of(new, services.settings), new)
    return new


async def _write(state: State, thread: OpenThread, phase: str, config: RunnableConfig, new: str) -> None:
    """Write the state with which a fork begins."""
    with readable(new):
        taken = (await thread.graph.aget_state(config)).values
    if taken:
        raise ResumeError(f"There is a thread {new!r} already. Name another one for the fork.")
    before = node_before(phase, thread.layout, thread.state.get("gates", []))
    made = await thread.graph.aupdate_state(config, state, as_node=before)
    if phase not in (await thread.graph.aget_state(made)).next:
        raise ResumeError(f"The run of thread {thread.id!r} cannot be forked before {phase}.")


async def _state_before(thread: OpenThread, phase: str) -> State:
    """Return the state that a run had right before a phase, the last time that it came to it."""
    plan = thread.state["plan"]
    if phase_plan(view(thread.state), phase) is None:
        names = ", ".join(planned["phase"] for planned in plan["phases"])
        raise InputError(f"The run of thread {thread.id!r} has no phase {phase!r}. Its phases: {names}.")
    async with aclosing(_snapshots(thread)) as snapshots:
        async for snapshot in snapshots:
            values = cast("State", snapshot.values)
            if phase in snapshot.next and not attempts_of(view(values), phase):
                return values
    reached = [p["phase"] for p in plan["phases"] if made_in(view(thread.state), p["phase"])]
    raise ResumeError(
        f"The run of thread {thread.id!r} never came to {phase}. It came to: {', '.join(reached) or 'no phase'}."
    )


def _forked(thread: OpenThread, phase: str, values: State, candidate: Candidate | None) -> State:
    """Return the state with which a fork begins."""
    now, group = thread.state, next(group for group in thread.layout if phase in group)
    before, aside = values.get("attempts", []), [name for name in group if name != phase]
    known = {attempt["id"] for attempt in before}
    taken = [*before, *(a for a in now["attempts"] if a["phase"] in aside and a["id"] not in known)]
    carried = {channel: values[channel] for channel in CARRIED if channel in values}  # type: ignore[literal-required]
    forked: dict[str, Any] = {
        **carried,
        "run_id": str(uuid.uuid4()),
        "attempts": inherited(taken, candidate),
        "phase_outputs": values.get("phase_outputs", {}) | _of(aside, now.get("phase_outputs", {})),
        "verdicts": values.get("verdicts", {}) | _of(aside, now.get("verdicts", {})),
        "usage": NO_USAGE,
        "error": "",
        "origin": Origin(
            thread_id=thread.id,
            phase=phase,
            usage=reduce(add_usage, (attempt["usage"] for attempt in taken), NO_USAGE),
        ),
    }
    if candidate:
        forked["plan"] = put_first(values["plan"], phase, candidate)
    return cast("State", forked)


def _of(names: Collection[str], by_name: Mapping[str, Value]) -> dict[str, Value]:
    return {name: value for name, value in by_name.items() if name in names}


def _made_aside(phase: str, state: State, thread: OpenThread, services: Services) -> str:
    """Return the result that a phase beside `phase` has made, or the one that stood before."""
    phases, outputs = services.matcher.catalogue.phases, state["phase_outputs"]
    aside = next(group for group in thread.layout if phase in group)
    made = [outputs[name] for name in aside if name != phase and name in outputs and phases[name].produces]
    return made[-1] if made else state.get("final_result", "")


def _written(phase: str, text: str, state: State, services: Services) -> State:
    """Return what changes where a text takes the place of a phase's output."""
    profile = services.matcher.catalogue.phases[phase]
    number = len(made_in(view(state), phase)) + 1
    attempts = [*state["attempts"], by_hand(phase, number, time.time(), NO_USAGE)]
    written = State(attempts=attempts, phase_outputs={**state["phase_outputs"], phase: text})
    if profile.judges:
        verdict = parse_verdict(text)
        if verdict is None:
            raise InputError(f"The text is no verdict, which {phase} gives. Write {WANTED}.")
        outputs = {**state["phase_outputs"], phase: describe(verdict)}
        return {
            **written,
            "verdicts": {**state.get("verdicts", {}), phase: verdict},
            "phase_outputs": outputs,
        }
    return {**written, "final_result": text} if profile.produces else written


async def compare(thread_id: str, other: str, services: Services) -> Comparison:
    """Return what differs between the runs of two threads.

    Raises:
        ResumeError: there is no such thread.
    """
    async with open_thread(thread_id, services) as one, open_thread(other, services) as two:
        both = (one, two)
        runs = (view(one.state), view(two.state))
        results = (one.result, two.result)
    names = dict.fromkeys(plan["phase"] for run in runs for plan in run["plan"]["phases"])
    verdicts = {name: (_verdict(both[0], name), _verdict(both[1], name)) for name in names}
    answers = {name: (answer_of(runs[0], name), answer_of(runs[1], name)) for name in names}
    return Comparison(
        results=results,
        models={name: (_model(one), _model(two)) for name, (one, two) in answers.items()},
        verdicts={name: pair for name, pair in verdicts.items() if any(pair)},
        diff=_diff(*results),
    )


def _model(answer: Attempt | None) -> str:
    return f"{answer['provider']}:{answer['model']}" if answer else ""


def _verdict(thread: OpenThread, phase: str) -> str:
    verdict = thread.state.get("verdicts", {}).get(phase)
    return verdict["decision"] if verdict else ""


def _diff(one: MultiModelResult, other: MultiModelResult) -> str:
    before, after = (str(result.final_result or "").splitlines() for result in (one, other))
    return "\n".join(difflib.unified_diff(before, after, one.thread_id, other.thread_id, lineterm=""))
