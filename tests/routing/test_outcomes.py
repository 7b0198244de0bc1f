"""What an outcome says, and how outcomes move a plan."""

from __future__ import annotations

from datetime import date
from typing import Any, cast

import pytest

from ymera.routing.attempts import Attempt, RunView
from ymera.routing.catalogue import builtin_catalogue
from ymera.routing.errors import InputError
from ymera.routing.faults import TABLE
from ymera.routing.forks import PERSON
from ymera.routing.history import History, Place
from ymera.routing.matcher import TaskRequest, Wishes, judgement, make_strategy
from ymera.routing.outcomes import BAD_ANSWERS, check_score, domain_of, judged_by, quality_of_end
from ymera.routing.records import PhasePlan, Strategy
from ymera.routing.scoring import SCORERS
from ymera.routing.world import World

TODAY = date(2026, 11, 25)
CATALOGUE = builtin_catalogue()
TASK = TaskRequest(
    agent_name="coding_agent", description="Write an API with sessions, roles, pages and tests"
)


@pytest.mark.parametrize(
    ("parameters", "domain"),
    [
        ({}, "coding_agent"),
        ({"domain": "law"}, "law"),
        ({"domain": ""}, "coding_agent"),
        ({"domain": 3}, "coding_agent"),
        ({"domain": "x" * 101}, "coding_agent"),
    ],
)
def test_a_domain_is_named_by_the_parameters_or_else_the_agents(
    parameters: dict[str, Any], domain: str
) -> None:
    assert domain_of("coding_agent", parameters) == domain


def test_faults_of_the_answer_are_held_against_its_model_and_no_others() -> None:
    assert set(TABLE.kinds) >= BAD_ANSWERS
    assert {kind for kind in (*TABLE.kinds, "answered", "") if quality_of_end(kind) == 0} == BAD_ANSWERS
    assert quality_of_end("answered") is None


@pytest.mark.parametrize("score", [-0.01, 1.01, float("nan"), float("inf"), True, "1"])
def test_a_score_is_a_number_from_0_to_1(score: Any) -> None:
    with pytest.raises(InputError, match="from 0"):
        check_score(score)


# --- who is judged -----------------------------------------------------------------------------------------

PHASES = ("planning", "generation", "review", "refinement", "validation")
PRODUCING = {"generation", "refinement"}


def made(phase: str, at: float, **more: Any) -> Attempt:
    given = {"id": f"{phase}-1", "phase": phase, "started_at": at, "ok": True, "provider": "groq", **more}
    return cast("Attempt", given)


def view(*attempts: Attempt) -> RunView:
    plans = [cast("PhasePlan", {"phase": phase}) for phase in PHASES]
    return RunView(plan=cast("Strategy", {"phases": plans}), attempts=list(attempts))


@pytest.mark.parametrize(
    ("judge", "attempts", "judged"),
    [
        pytest.param("review", [made("planning", 1), made("generation", 2)], "generation-1", id="the result"),
        pytest.param("review", [made("planning", 1)], None, id="nothing to judge"),
        pytest.param("review", [made("generation", 2, ok=False)], None, id="no answer"),
        pytest.param(
            "validation",
            [made("generation", 2), made("refinement", 4)],
            "refinement-1",
            id="the later result",
        ),
        pytest.param(
            "review", [made("generation", 2), made("refinement", 4)], "generation-1", id="not a later one"
        ),
        pytest.param(
            "validation",
            [made("generation", 2), made("refinement", 4, note="kept the earlier result")],
            "generation-1",
            id="the one that was kept",
        ),
        pytest.param(
            "validation",
            [made("generation", 2), made("refinement", 4, provider=PERSON)],
            None,
            id="a person's",
        ),
        pytest.param("elsewhere", [made("generation", 2)], None, id="a phase that the plan lacks"),
    ],
)
def test_a_verdict_judges_the_answer_that_stood_as_the_result(
    judge: str, attempts: list[Attempt], judged: str | None
) -> None:
    found = judged_by(view(*attempts), judge, PRODUCING)
    assert (found and found["id"]) == judged


# --- what it changes ---------------------------------------------------------------------------------------


def world(history: History | None) -> World:
    return World(catalogue=CATALOGUE, unavailable=lambda model: None, today=TODAY, history=history)


def plan(history: History | None, request: TaskRequest = TASK) -> dict[str, PhasePlan]:
    phases = make_strategy(request, Wishes(strategy="multi_model", attempts=20), world(history))["phases"]
    return {phase["phase"]: phase for phase in phases}


def first(phase: PhasePlan) -> str:
    assert phase["primary_model"] is not None
    return f"{phase['primary_model']['provider']}:{phase['primary_model']['model']}"


def second(phase: PhasePlan) -> str:
    return f"{phase['fallback_models'][0]['provider']}:{phase['fallback_models'][0]['model']}"


def history() -> History:
    return History(judgement(CATALOGUE, SCORERS, TODAY))


def test_without_outcomes_a_history_changes_nothing() -> None:
    assert plan(history()) == plan(None)


def test_a_model_that_does_badly_loses_its_place_where_it_did_and_the_reason_says_so() -> None:
    before, past = plan(None)["generation"], history()
    best, next_best = first(before), second(before)
    past.add_sums(best, Place("coding_agent", "generation"), outcomes=40, total=4)
    past.add_sums(next_best, Place("coding_agent", "generation"), outcomes=40, total=38)
    after = plan(past)
    assert first(after["generation"]) == next_best
    assert "measured: 38 of 40 good, expected 0." in after["generation"]["reason"]
    told = {f"{c['provider']}:{c['model']}": c["reason"] for c in after["generation"]["fallback_models"]}
    assert "measured: 4 of 40 good" in told.get(best, "measured: 4 of 40 good")
    other = TaskRequest(agent_name="writing_agent", description="Write a poem about a lighthouse in winter")
    assert "measured" not in plan(past, other)["generation"]["reason"]


def test_outcomes_of_a_domain_count_for_tasks_that_name_it() -> None:
    past, best = history(), first(plan(None)["generation"])
    past.add_sums(best, Place("law", "generation"), outcomes=80, total=2)
    named = TaskRequest(
        agent_name=TASK.agent_name, description=TASK.description, parameters={"domain": "law"}
    )
    assert first(plan(past, named)["generation"]) != best


def test_what_a_catalogue_expects_beforehand_is_what_it_ranks_by() -> None:
    expected = judgement(CATALOGUE, SCORERS, TODAY)
    place = Place("coding_agent", "generation")
    by_prior = sorted(CATALOGUE.models, key=lambda key: -expected(key, place))
    ranked = plan(None)["generation"]
    assert first(ranked) in by_prior[:3]
    assert all(0 <= expected(key, place) <= 1 for key in CATALOGUE.models)
    assert expected("nobody:gone", place) == expected(first(ranked), Place("coding_agent", "gone")) == 0.5


def test_no_outcome_leads_out_of_the_scale() -> None:
    past = history()
    for number, key in enumerate(CATALOGUE.models):
        past.add_sums(key, Place("coding_agent", "generation"), outcomes=500, total=500 * (number % 2))
    generation = plan(past)["generation"]
    assert all(
        0 <= c["score"] <= 1 for c in [generation["primary_model"], *generation["fallback_models"]] if c
    )
