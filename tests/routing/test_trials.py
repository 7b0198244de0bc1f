"""Which arm a task meets, and what can be said of the arms: tables and properties."""

from __future__ import annotations

from dataclasses import replace
from math import sqrt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inline_snapshot import snapshot

from ymera.routing.matcher import TaskRequest, Wishes
from ymera.routing.trials import Arm, Trial, arm_of, assignment, unit_of

TRIAL = Trial(name="cheap-code", arms=(Arm(name="usual"), Arm(name="thrifty", thrift=0.5)))
units = st.text(max_size=30)


# --- who meets which arm -----------------------------------------------------------------------------------


def test_a_task_meets_the_same_arm_in_every_release() -> None:
    assert [arm_of(TRIAL, f"task {number}").name for number in range(8)] == snapshot(
        ["thrifty", "thrifty", "thrifty", "usual", "thrifty", "usual", "usual", "thrifty"]
    )


@given(shares=st.lists(st.integers(1, 5), min_size=2, max_size=8), name=st.sampled_from(["a", "b", "c"]))
def test_arms_are_met_in_the_proportion_of_their_shares(shares: list[int], name: str) -> None:
    arms = tuple(Arm(name=str(number), share=share) for number, share in enumerate(shares))
    met = [arm_of(Trial(name=name, arms=arms), f"task {number}").name for number in range(2_000)]
    for arm in arms:
        share = arm.share / sum(shares)
        noise = 5 * sqrt(2_000 * share * (1 - share))
        assert abs(met.count(arm.name) - 2_000 * share) <= noise


def test_trials_of_other_names_part_the_tasks_in_other_ways() -> None:
    other = replace(TRIAL, name="other")
    differs = sum(arm_of(TRIAL, str(n)) != arm_of(other, str(n)) for n in range(1_000))
    assert 400 < differs < 600


@given(unit=units)
def test_a_stopped_arm_is_given_to_nobody_and_everyone_else_keeps_theirs(unit: str) -> None:
    trial = replace(TRIAL, arms=(*TRIAL.arms, Arm(name="third", share=2)))
    own = arm_of(trial, unit).name
    given = assignment(trial, unit, {"third": 0.0})
    assert given["arm"] == ("usual" if own == "third" else own)
    assert ("stopped on 1970-01-01 00:00 UTC" in given["reason"]) == (own == "third")


@pytest.mark.parametrize(
    ("request_", "agent", "same"),
    [
        pytest.param(TaskRequest(agent_name="a", description="t", parameters={"y": 2, "x": 1}), "a", True,
                     id="the order of parameters"),
        pytest.param(TaskRequest(agent_name="other", description="t", parameters={"x": 1, "y": 2}), "a", True,
                     id="another word for the agent"),
        pytest.param(TaskRequest(agent_name="a", description="t", parameters={"x": 1, "y": 2}, phases=["p"]),
                     "a", True, id="phases"),
        pytest.param(TaskRequest(agent_name="a", description="t", parameters={"x": 1}), "a", False,
                     id="other parameters"),
        pytest.param(TaskRequest(agent_name="a", description="u", parameters={"x": 1, "y": 2}), "a", False,
                     id="another task"),
        pytest.param(TaskRequest(agent_name="a", description="t", parameters={"x": 1, "y": 2}), "b", False,
                     id="another agent"),
    ],
)  # fmt: skip
def test_what_counts_as_the_same_task(request_: TaskRequest, agent: str, same: bool) -> None:
    asked = TaskRequest(agent_name="a", description="t", parameters={"x": 1, "y": 2})
    assert (unit_of(request_, agent) == unit_of(asked, "a")) == same


@pytest.mark.parametrize(
    ("arm", "wishes"),
    [
        pytest.param(Arm(name="a"), Wishes(thrift=0.3, haste=0.2), id="nothing"),
        pytest.param(Arm(name="a", thrift=0.0), Wishes(haste=0.2), id="thrift of none"),
        pytest.param(Arm(name="a", haste=1.0), Wishes(thrift=0.3, haste=1.0), id="haste"),
        pytest.param(Arm(name="a", model="m"), Wishes(thrift=0.3, haste=0.2, model="m"), id="model"),
        pytest.param(
            Arm(name="a", strategy="single_model"),
            Wishes(thrift=0.3, haste=0.2, strategy="single_model"),
            id="strategy",
        ),
        pytest.param(Arm(name="a", attempts=1), Wishes(thrift=0.3, haste=0.2, attempts=1), id="attempts"),
    ],
)
def test_an_arm_changes_what_it_names_and_nothing_else(arm: Arm, wishes: Wishes) -> None:
    assert arm.over(Wishes(thrift=0.3, haste=0.2)) == wishes


@pytest.mark.parametrize(
    "changed",
    [
        {"harm": 0.1},
        {"measure": "success"},
        {"error_rate": 0.1},
        {"arms": TRIAL.arms[::-1]},
        {"agents": ("a",)},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_a_trial_that_was_changed_begins_anew(changed: dict[str, Any]) -> None:
    assert replace(TRIAL, **changed).mark != TRIAL.mark
    assert replace(TRIAL).mark == TRIAL.mark
