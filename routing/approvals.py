"""What a person is asked at a gate, what may be answered, and what an answer changes."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, get_args

from typing_extensions import TypedDict

from .attempts import Approval, Gate, Reply, RunView, Verdict
from .errors import InputError
from .flow import answer_of, made_in, phase_plan, ranking, status
from .layout import Layout
from .limits import LARGEST_PARAMETERS
from .records import Candidate, PhasePlan, Strategy

GATES: tuple[Gate, ...] = get_args(Gate)
BEHIND: dict[Gate, str] = {"plan": "planning", "review": "review"}
"""The phase behind which each gate stands."""


class Question(TypedDict, total=False):
    """What a run that waits at a gate asks.

    Args:
        text: what is to be judged: the plan, or the result.
        verdict: what the review says of the result.
        models: who is to take each phase that comes (`provider:model`), at the gate of the plan.
        answers: what may be answered, each with the field that it needs.
        problem: what was wrong with the answer before.
    """

    gate: Gate
    text: str
    verdict: Verdict | None
    models: dict[str, str]
    answers: list[dict[str, str]]
    problem: str


class Form(NamedTuple):
    """An answer that may be given: its field, what that holds, and whether it may be left out."""

    field: str = ""
    holds: str = ""
    optional: bool = False


FORMS: dict[Gate, dict[Reply, Form]] = {
    "plan": {
        "approve": Form(),
        "edit": Form("text", "the plan as it should be"),
        "reject": Form("why", "why the run is to stop", optional=True),
    },
    "review": {
        "accept": Form(),
        "revise": Form("note", "what is to be mended"),
        "model": Form("model", "provider:model that makes the result again"),
    },
}


class Answer(NamedTuple):
    """What a person decided at a gate. `said` is the plan, the reason, the note or the model that goes with it."""

    decision: Reply
    said: str = ""


def known_gates(names: Iterable[str]) -> tuple[Gate, ...]:
    """Return gates in their order.

    Raises:
        InputError: one of them does not exist.
    """
    wanted = list(names)
    unknown = [name for name in wanted if name not in GATES]
    if unknown:
        raise InputError(
            f"There is no approval of {', '.join(map(repr, unknown))}. Use {' or '.join(map(repr, GATES))}."
        )
    return tuple(gate for gate in GATES if gate in wanted)


def gates_in(layout: Layout | Sequence[Sequence[str]], wanted: Collection[Gate]) -> tuple[Gate, ...]:
    """Return the gates that find their phase in a layout."""
    there = {phase for group in layout for phase in group}
    return tuple(gate for gate in GATES if gate in wanted and BEHIND[gate] in there)


def left_out(plan: Strategy, drawn: Collection[str], wanted: Collection[str]) -> list[str]:
    """Return a warning for every gate that a run was to have and does without, since it has no phase before it.

    Raises:
        InputError: the graph has no gate where one was asked for. It would go on unapproved.
    """
    phases = [phase["phase"] for phase in plan["phases"]]
    warnings = []
    for gate in (gate for gate in GATES if gate in wanted):
        if BEHIND[gate] not in phases:
            warnings.append(f"no approval of the {gate}: the run has no phase {BEHIND[gate]}")
        elif gate not in drawn:
            raise InputError(
                f"This graph has no gate for the approval of the {gate}. "
                "Take the graph with_approvals (in Python: build(gates=…)), or leave `approve` empty."
            )
    return warnings


def awaits(run: RunView, gates: Collection[str], phases: Collection[str]) -> bool:
    """Say whether a person is still asked behind these phases of a run that would else have come to its result.

    Args:
        gates: those that the run has.
    """
    return any(BEHIND[gate] in phases for gate in GATES if gate in gates) and status(run) == "succeeded"


def replies(run: RunView, gate: Gate, remakes: Sequence[str]) -> dict[Reply, Form]:
    """Return what may be answered at a gate of this run.

    Args:
        remakes: the phases that another model's turn would open again, the one that it makes first.
    """
    forms = dict(FORMS[gate])
    names = [plan["phase"] for plan in run["plan"]["phases"]]
    behind = names[names.index(BEHIND[gate]) + 1 :]
    if not any(plan["skipped_when_accepted"] for plan in run["plan"]["phases"] if plan["phase"] in behind):
        forms.pop("revise", None)
    if not remakes or phase_plan(run, remakes[0]) is None:
        forms.pop("model", None)
    return forms


def question(run: RunView, gate: Gate, text: str, forms: Mapping[Reply, Form]) -> Question:
    """Return what is asked at a gate; `text` is what is to be judged."""
    asked = Question(gate=gate, text=text, answers=[_shown(reply, form) for reply, form in forms.items()])
    if gate == "review":
        return {**asked, "verdict": run.get("verdicts", {}).get(BEHIND[gate])}
    coming = [plan for plan in run["plan"]["phases"] if not answer_of(run, plan["phase"])]
    firsts = {plan["phase"]: plan["primary_model"] for plan in coming}
    models = {phase: f"{first['provider']}:{first['model']}" for phase, first in firsts.items() if first}
    return {**asked, "models": models}


def _shown(reply: Reply, form: Form) -> dict[str, str]:
    return {"decision": reply, **({form.field: form.holds} if form.field else {})}


def check_answer(value: object, asked: Question) -> None:
    """Raise InputError for an answer that is none of those that a question names."""
    named = [answer["decision"] for answer in asked["answers"]]
    read_answer(value, {reply: form for reply, form in FORMS[asked["gate"]].items() if reply in named})


def read_answer(value: object, forms: Mapping[Reply, Form]) -> Answer:
    """Read a person's answer from a closed vocabulary.

    Args:
        value: an object such as `{"decision": "revise", "note": "…"}`, its JSON text, or a decision alone.

    Raises:
        InputError: it is none of the forms; the message lists them.
    """
    given = _object(value)
    form = next((form for reply, form in forms.items() if reply == given.get("decision")), None)
    if form is None:
        raise InputError(f"{_told(value)} is no answer here. {_wanted(forms)}")
    unknown = sorted(set(given) - {"decision", form.field})
    said: Any = given.get(form.field, "") if form.field else ""
    if unknown or not isinstance(said, str) or not (said.strip() or form.optional or not form.field):
        raise InputError(f"{_told(value)} is not complete, or says too much. {_wanted(forms)}")
    if len(said) > LARGEST_PARAMETERS:
        raise InputError(
            f"The answer's {form.field} has {len(said)} characters; {LARGEST_PARAMETERS} are taken."
        )
    return Answer(given["decision"], said)


def _object(value: object) -> dict[str, Any]:
    if isinstance(value, str):
        try:
            return _object_in(json.loads(value))
        except (ValueError, RecursionError):
            return {"decision": value.strip()}
    return _object_in(value)


def _object_in(value: object) -> dict[str, Any]:
    return dict(value) if isinstance(value, Mapping) else {}


def _told(value: object) -> str:
    return f"{value!r:.200}"


def _wanted(forms: Mapping[Reply, Form]) -> str:
    shown = (json.dumps(_shown(reply, form)) for reply, form in forms.items())
    return f"Answer with one of: {'; '.join(shown)}."


def judged(answer: Answer, before: Verdict | None) -> Verdict:
    """Return the verdict that a person's answer makes of the review's."""
    found, checks = (before["findings"], before["checks"]) if before else ([], [])
    if answer.decision == "accept":
        return Verdict(decision="accept", findings=found, checks=checks)
    note = answer.said if answer.decision == "revise" else f"The result is made again by {answer.said}."
    return Verdict(decision="revise", findings=[note, *found], checks=checks)


def reopened(run: RunView, phases: Iterable[str]) -> dict[str, int]:
    """Return how many attempts of each phase no longer count, once `phases` are opened again."""
    return {**run.get("reopened", {}), **{phase: len(made_in(run, phase)) for phase in phases}}


def put_first(plan: Strategy, phase: str, candidate: Candidate) -> Strategy:
    """Return the plan in which a model takes a phase first, and those that were there are its fallbacks."""
    return {**plan, "phases": [_led(p, candidate) if p["phase"] == phase else p for p in plan["phases"]]}


def _led(plan: PhasePlan, candidate: Candidate) -> PhasePlan:
    name = (candidate["provider"], candidate["model"])
    rest = [other for other in ranking(plan) if (other["provider"], other["model"]) != name]
    return {
        **plan,
        "primary_model": candidate,
        "fallback_models": rest,
        "score": candidate["score"],
        "reason": candidate["reason"],
    }


def approval(gate: Gate, answer: Answer, at: float) -> Approval:
    """Return the record that stays of an answer; the text of an edited plan is kept as the phase's output alone."""
    said = "" if answer.decision == "edit" else answer.said
    return Approval(gate=gate, decision=answer.decision, said=said, at=at)


def after_answer(run: RunView, update: Mapping[str, Any]) -> RunView:
    """Return a run as it stands once what an answer changes in its state is written."""
    return RunView(
        {
            **run,
            "plan": update.get("plan", run["plan"]),
            "verdicts": {**run.get("verdicts", {}), **update.get("verdicts", {})},
            "reopened": update.get("reopened", run.get("reopened", {})),
            "approvals": [*run.get("approvals", []), *update["approvals"]],
        }
    )
