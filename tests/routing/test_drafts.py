"""What earlier plans were kept for changes no later one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ymera.routing import ranking
from ymera.routing.catalogue import builtin_catalogue
from ymera.routing.history import History, Place
from ymera.routing.matcher import TaskRequest, Wishes, make_strategy
from ymera.routing.records import ModelProfile, Strategy
from ymera.routing.world import Memo, World

CATALOGUE = builtin_catalogue()
TODAY = date(2026, 11, 25)
PROVIDERS = sorted(CATALOGUE.providers)
LONG = "Sort these names. " * 12_000
"""Some 54,000 tokens: more than the smaller windows hold."""


def among(providers: frozenset[str]) -> Callable[[ModelProfile], str | None]:
    return lambda model: None if model.provider in providers else f"no key for {model.provider}"


def measured() -> History:
    history = History(lambda model, place: 0.7)
    history.add_sums("mistral:codestral-latest", Place("coding_agent", "generation"), outcomes=40, total=10)
    return history


def asked(task: str, wishes: Wishes, agent: str, phases: list[str] | None, world: World) -> Strategy:
    # The same reading for all: else no two tasks of different length would be of one case.
    given = {"complexity": "normal"}
    request = TaskRequest(agent_name=agent, description=task, parameters=given, phases=phases)
    return make_strategy(request, wishes, world)


WISHES = st.builds(
    Wishes,
    strategy=st.sampled_from(["auto", "single_model", "multi_model"]),
    model=st.sampled_from([None, None, None, "codestral-latest", "gpt-4o"]),
    attempts=st.integers(1, 5),
    usd=st.sampled_from([None, 1.0]),
    parallel=st.integers(1, 2),
    thrift=st.sampled_from([0.0, 0.0, 0.4]),
)
ASKED = st.tuples(
    st.sampled_from(["Sort names", "Urgent: a complex distributed system", "A simple page", LONG]),
    WISHES,
    st.sampled_from(["coding_agent", "research_agent", "nobody_in_particular"]),
    st.sampled_from([None, ["generation"], ["planning", "generation", "review"]]),
)
LEFT_OUT = st.frozensets(st.sampled_from(PROVIDERS), max_size=3)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(ASKED, LEFT_OUT), min_size=2, max_size=6), st.booleans())
def test_a_plan_is_the_same_whatever_was_planned_before(
    runs: list[tuple[tuple[str, Wishes, str, list[str] | None], frozenset[str]]], learned: bool
) -> None:
    memo: Memo = {}
    for (task, wishes, agent, phases), left_out in runs:
        there = frozenset(PROVIDERS) - left_out | {"mistral", "openai"}
        history = measured() if learned else None
        world = World(catalogue=CATALOGUE, unavailable=among(there), today=TODAY, history=history)
        known = asked(task, wishes, agent, phases, replace(world, memo=memo))
        assert known == asked(task, wishes, agent, phases, world)


@pytest.mark.parametrize(
    "tasks",
    [
        pytest.param(["Sort names", LONG], id="a long task after a short one"),
        pytest.param([LONG, "Sort names"], id="a short task after a long one"),
    ],
)
def test_models_that_one_task_is_too_long_for_are_rejected_for_that_task_alone(tasks: list[str]) -> None:
    world = World(catalogue=CATALOGUE, unavailable=lambda model: None, today=TODAY)
    told = {task: str(asked(task, Wishes(), "coding_agent", None, world)["phases"]) for task in tasks}
    assert "its window has" in told[LONG]
    assert "its window has" not in told["Sort names"]


def test_what_a_caller_does_to_a_plan_stays_with_that_plan() -> None:
    world = World(catalogue=CATALOGUE, unavailable=lambda model: None, today=TODAY)
    first = asked("Sort names", Wishes(), "coding_agent", None, world)
    expected = asked("Sort names", Wishes(), "coding_agent", None, replace(world, memo={}))
    for _ in range(2):
        emptied(asked("Sort names", Wishes(), "coding_agent", None, world))
    assert asked("Sort names", Wishes(), "coding_agent", None, world) == expected == first


def emptied(value: Any) -> None:
    """Empty every list and every object within a plan, the innermost first."""
    inner = list(value.values()) if isinstance(value, dict) else value
    for each in inner:
        if isinstance(each, dict | list):
            emptied(each)
    value.clear()


@pytest.mark.parametrize("attempts", range(1, 6))
def test_no_more_plans_of_a_case_are_kept_than_the_bound_says(
    attempts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranking, "MOST_DRAFTS", 2)
    world = World(catalogue=CATALOGUE, unavailable=lambda model: None, today=TODAY)
    for most in range(1, attempts + 1):
        asked("Sort names", Wishes(attempts=most), "coding_agent", None, world)
    assert max(len(scored.drafts) for scored in world.memo.values()) <= 2
