"""The node of a gate: it asks a person, and turns the answer into state. It calls no model.

LangGraph runs a node that was interrupted again from its top once the answer is there: whatever stands before
`interrupt` must be cheap and change nothing.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from langgraph.types import interrupt

from ..routing.approvals import (
    BEHIND,
    Answer,
    Question,
    after_answer,
    approval,
    judged,
    put_first,
    question,
    read_answer,
    reopened,
    replies,
)
from ..routing.attempts import Gate
from ..routing.domains import settled
from ..routing.errors import InputError, NoUsableModelError
from ..routing.flow import answer_of, key_of, made_in, phase_plan
from ..routing.matcher import TaskRequest
from ..routing.outcomes import judged_by, quality_of_approval
from ..routing.records import Candidate
from .services import Services
from .state import PlainNode, State, view
from .verdicts import describe

Update = dict[str, Any]


def gate_node(gate: Gate, services: Services, remakes: Sequence[str] = ()) -> PlainNode:
    """Return the node of a gate. It asks nothing where the run does without the phase before it.

    Args:
        remakes: the phases that are made again where a person asks for another model, which makes the first.
    """

    async def node(state: State) -> Update:
        run = view(state)
        if phase_plan(run, BEHIND[gate]) is None:
            return {}
        forms = replies(run, gate, remakes)
        asked = question(run, gate, _judged_text(state, gate), forms)
        while True:
            given = interrupt(asked)
            try:
                answer = read_answer(given, forms)
                update = await _update(state, gate, answer, services, remakes)
            except (InputError, NoUsableModelError) as error:
                asked = Question(**{**asked, "problem": str(error)})
            else:
                update = {**update, "approvals": [approval(gate, answer, time.time())]}
                _note(state, gate, answer, update, services)
                return update

    return node


def _note(state: State, gate: Gate, answer: Answer, update: Update, services: Services) -> None:
    """Write down what a person says of what was judged; of a run in a trial its end too, if this is it."""
    run, run_id = view(state), state["run_id"]
    if gate == "plan":
        made, quality = answer_of(run, BEHIND[gate]), quality_of_approval(answer.decision)
        if made and quality is not None:
            services.outcomes.approved(run_id, made["id"], quality)
    else:
        producing = {name for name, phase in services.matcher.catalogue.phases.items() if phase.produces}
        if standing := judged_by(run, BEHIND[gate], producing):
            services.outcomes.judged(run_id, standing["id"], update["verdicts"][BEHIND[gate]])
    services.note_end(run_id, after_answer(run, update))


def _judged_text(state: State, gate: Gate) -> str:
    return (
        state.get("phase_outputs", {}).get(BEHIND[gate], "")
        if gate == "plan"
        else state.get("final_result", "")
    )


async def _update(
    state: State, gate: Gate, answer: Answer, services: Services, remakes: Sequence[str]
) -> Update:
    """Return what an answer changes in the state.

    Raises:
        InputError, NoUsableModelError: the model that was asked for cannot be taken.
    """
    run, phase = view(state), BEHIND[gate]
    if answer.decision == "edit":
        return {"phase_outputs": {phase: answer.said}}
    if gate == "plan":
        return {}
    update: Update = {}
    if answer.decision == "model":
        candidate = await model_for(remakes[0], answer.said, state, services)
        if any(a["ok"] and key_of(a) == key_of(candidate) for a in made_in(run, remakes[0])):
            raise InputError(
                f"{key_of(candidate)} has answered {remakes[0]} in this run already. Name another model."
            )
        answer = answer._replace(said=key_of(candidate))
        update = {
            "plan": put_first(run["plan"], remakes[0], candidate),
            "reopened": reopened(run, remakes),
            "final_result": "",
        }
    verdict = judged(answer, run["verdicts"].get(phase))
    return {**update, "verdicts": {phase: verdict}, "phase_outputs": {phase: describe(verdict)}}


async def model_for(phase: str, name: str, state: State, services: Services) -> Candidate:
    """Return a model as the candidate for a phase of a run.

    Args:
        name: as `--model` takes it; a retired model's successor comes in its place.

    Raises:
        InputError: there is no such model.
        NoUsableModelError: it cannot be called.
    """
    request = TaskRequest(
        agent_name=state["plan"]["agent_name"],
        description=state["task_description"],
        parameters=state["task_parameters"],
        phases=[planned["phase"] for planned in state["plan"]["phases"]],
        domain=settled(state["plan"], state["task_parameters"]),
    )
    chosen = await services.matcher.choose(request, replace(services.matcher.wishes, model=name))
    planned = next(plan for plan in chosen["phases"] if plan["phase"] == phase)
    candidate = planned["primary_model"]
    if candidate is None:
        why = next((r["reason"] for r in planned["rejected"]), planned["reason"])
        raise NoUsableModelError(f"{name!r} cannot take {phase}: {why}.")
    return candidate
