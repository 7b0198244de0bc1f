"""What a person is asked at a gate, what may be answered there, and what an answer changes."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ymera.routing import flow
from ymera.routing.approvals import (
    FORMS,
    Answer,
    approval,
    gates_in,
    judged,
    known_gates,
    left_out,
    put_first,
    question,
    read_answer,
    reopened,
    replies,
)
from ymera.routing.attempts import Gate, Reply, RunView, Verdict
from ymera.routing.errors import InputError
from ymera.routing.limits import LARGEST_PARAMETERS

from .test_flow import attempt, candidate, planned, run

PLANNING, GENERATION = planned("planning", "a:1"), planned("generation", "a:1", "b:1")
REVIEW, REFINEMENT = planned("review", "b:1"), planned("refinement", "a:1")
ALL = run(PLANNING, GENERATION, REVIEW, REFINEMENT)


def test_gates_are_known_by_name_and_come_in_their_order() -> None:
    assert known_gates(["review", "plan", "review"]) == ("plan", "review")
    with pytest.raises(InputError, match=r"no approval of 'money', 'time'\. Use 'plan' or 'review'"):
        known_gates(["money", "plan", "time"])


def test_a_gate_stands_where_its_phase_does() -> None:
    assert gates_in([["planning"], ["generation", "research"]], ("plan", "review")) == ("plan",)


@pytest.mark.parametrize(
    ("view", "drawn", "warned"),
    [
        pytest.param(ALL, ("plan", "review"), [], id="all are there"),
        pytest.param(
            run(PLANNING, GENERATION),
            ("plan",),
            ["no approval of the review: the run has no phase review"],
            id="a phase is not",
        ),
    ],
)
def test_a_gate_that_a_run_does_without_is_warned_of(
    view: RunView, drawn: Collection[Gate], warned: list[str]
) -> None:
    assert left_out(view["plan"], drawn, ("plan", "review")) == warned


def test_a_gate_that_was_asked_for_and_is_not_there_stops_the_run() -> None:
    assert left_out(ALL["plan"], (), ()) == []
    with pytest.raises(InputError, match="no gate for the approval of the review"):
        left_out(ALL["plan"], ("plan",), ("plan", "review"))


@pytest.mark.parametrize(
    ("view", "gate", "remakes", "may"),
    [
        pytest.param(ALL, "plan", (), ["approve", "edit", "reject"], id="the plan"),
        pytest.param(
            ALL, "review", ("generation", "review"), ["accept", "revise", "model"], id="all of a review"
        ),
        pytest.param(
            run(GENERATION, REVIEW), "review", ("generation", "review"), ["accept", "model"], id="none mends"
        ),
        pytest.param(
            run(REVIEW, REFINEMENT),
            "review",
            ("generation", "review"),
            ["accept", "revise"],
            id="none made it",
        ),
        pytest.param(ALL, "review", (), ["accept", "revise"], id="none can make it again"),
    ],
)
def test_only_what_the_run_can_do_may_be_answered(
    view: RunView, gate: Gate, remakes: tuple[str, ...], may: list[str]
) -> None:
    assert list(replies(view, gate, remakes)) == may


def test_the_question_about_the_plan_names_who_is_to_come() -> None:
    view = run(PLANNING, GENERATION, planned("review"), attempts=[attempt("planning", 1, "a:1")])
    asked = question(view, "plan", "1. Read.", FORMS["plan"])
    assert (asked["text"], asked["models"]) == ("1. Read.", {"generation": "a:1"})


@pytest.mark.parametrize(
    ("gate", "value", "answer"),
    [
        pytest.param("plan", "approve", Answer("approve"), id="a word"),
        pytest.param("plan", " approve\n", Answer("approve"), id="a word with blanks"),
        pytest.param(
            "plan", '{"decision": "reject"}', Answer("reject"), id="JSON, what is optional left out"
        ),
        pytest.param(
            "plan", {"decision": "edit", "text": "1. No."}, Answer("edit", "1. No."), id="with a field"
        ),
        pytest.param("review", {"decision": "model", "model": "b:1"}, Answer("model", "b:1"), id="a model"),
    ],
)
def test_an_answer_is_a_word_an_object_or_its_json(gate: Gate, value: Any, answer: Answer) -> None:
    assert read_answer(value, FORMS[gate]) == answer


def test_an_answer_has_an_end() -> None:
    with pytest.raises(InputError, match=f"{LARGEST_PARAMETERS} are taken"):
        read_answer({"decision": "edit", "text": "x" * (LARGEST_PARAMETERS + 1)}, FORMS["plan"])


FIELDS = st.sampled_from(["decision", "text", "why", "note", "model", "x"])
WORDS = st.sampled_from(["approve", "edit", "reject", "accept", "revise", "model"])


@given(
    st.recursive(
        st.none() | st.booleans() | st.text() | st.integers(),
        lambda value: st.lists(value) | st.dictionaries(FIELDS, value | WORDS),
    )
)
def test_whatever_is_given_is_an_answer_of_the_vocabulary_or_an_input_error(value: object) -> None:
    for forms in FORMS.values():
        try:
            answer = read_answer(value, forms)
        except InputError:
            continue
        form = forms[answer.decision]
        assert bool(answer.said.strip()) or form.optional or not form.field


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (Answer("accept"), ("accept", ["found"])),
        (Answer("revise", "name the units"), ("revise", ["name the units", "found"])),
        (Answer("model", "b:1"), ("revise", ["The result is made again by b:1.", "found"])),
    ],
    ids=["accept", "revise", "model"],
)
def test_an_answer_becomes_the_verdict_beside_what_the_review_found(
    answer: Answer, verdict: tuple[str, list[str]]
) -> None:
    before = Verdict(decision="revise", findings=["found"], checks=[])
    said = judged(answer, before)
    assert (said["decision"], said["findings"]) == verdict
    assert judged(answer, None)["findings"] == verdict[1][:-1]


def test_a_model_that_is_asked_for_comes_first_and_once() -> None:
    plan = put_first(ALL["plan"], "generation", candidate("b:1"))
    assert [flow.key_of(c) for c in flow.ranking(plan["phases"][1])] == ["b:1", "a:1"]
    assert plan["phases"][0] == ALL["plan"]["phases"][0]


def test_phases_that_are_opened_again_begin_anew_and_keep_their_numbers() -> None:
    made = [attempt("generation", 1, "a:1"), attempt("review", 1, "b:1")]
    view = run(GENERATION, REVIEW, attempts=made)
    view = RunView(**{**view, "reopened": reopened(view, ["generation", "review"])})
    assert (flow.attempts_of(view, "generation"), flow.answer_of(view, "review")) == ([], None)
    assert len(flow.made_in(view, "generation")) == 1
    again = RunView(**{**view, "attempts": [*made, attempt("generation", 2, "b:1")]})
    assert [a["id"] for a in flow.attempts_of(again, "generation")] == ["generation-2"]
    assert reopened(again, ["review"]) == {"generation": 1, "review": 1}


@pytest.mark.parametrize(
    ("gate", "decisions", "step"),
    [
        pytest.param("plan", [], "next", id="nobody was asked"),
        pytest.param("plan", ["approve"], "next", id="approved"),
        pytest.param("plan", ["reject"], "rejected", id="rejected"),
        pytest.param("review", ["model"], "another model", id="another model"),
        pytest.param("review", ["model", "accept"], "next", id="accepted at last"),
    ],
)
def test_the_last_answer_says_what_follows_its_gate(
    gate: Gate, decisions: list[Reply], step: flow.Step
) -> None:
    other: Gate = "review" if gate == "plan" else "plan"
    view = run(PLANNING, REVIEW, approvals=[approval(gate, Answer(decision), 0.0) for decision in decisions])
    assert (flow.behind_gate(view, gate), flow.behind_gate(view, other)) == (step, "next")
