"""What the runs of a trial come to, and what can be said of its arms: tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import strategies as st

from ymera.routing.standings import (
    SUCCEEDED,
    Settled,
    TrialRun,
    blocks,
    outcome_of,
    settled,
    standings,
    stopped,
)
from ymera.routing.trials import Arm, Trial

TRIAL = Trial(name="cheap-code", arms=(Arm(name="usual"), Arm(name="thrifty", thrift=0.5)))
units = st.text(max_size=30)


def a_run(arm: str = "usual", unit: str = "u", at: float = 0.0, **known: Any) -> TrialRun:
    usual: dict[str, Any] = {"begun_at": at, "ended_at": at, "settled_at": at, "ended": SUCCEEDED}
    return TrialRun(**{"arm": arm, "unit": unit, **usual, **known})


@pytest.mark.parametrize(
    ("known", "quality", "success"),
    [
        pytest.param({"ended": ""}, None, None, id="under way"),
        pytest.param({"ended": "", "verdict": "revise"}, None, None, id="under way, sent back"),
        pytest.param({}, None, 1, id="a result that nobody judged"),
        pytest.param({"verdict": "accept"}, 1, 1, id="accepted"),
        pytest.param({"verdict": "revise"}, 0, 1, id="sent back"),
        pytest.param({"verdict": "accept", "score": 0.3}, 0.3, 1, id="accepted, and scored by a person"),
        pytest.param({"verdict": "revise", "score": 1.0}, 1.0, 1, id="sent back, and scored by a person"),
        pytest.param({"ended": "failed"}, 0, 0, id="no result"),
        pytest.param({"ended": "failed", "verdict": "accept"}, 0, 0, id="no result, after a verdict"),
        pytest.param({"ended": "budget"}, 0, 0, id="stopped by a budget"),
        pytest.param({"ended": "no_model"}, 0, 0, id="nobody to make it"),
    ],
)
def test_what_a_run_came_to(known: dict[str, Any], quality: float | None, success: float | None) -> None:
    assert outcome_of(a_run(**known), "quality") == quality
    assert outcome_of(a_run(**known), "success") == success


def test_a_task_counts_once_with_its_first_run_of_which_something_is_known() -> None:
    runs = [
        a_run(unit="one", at=3, verdict="revise"),
        a_run(unit="one", at=2, verdict="accept"),
        a_run(unit="one", at=1),
        a_run(unit="two", at=1.5, settled_at=9, score=0.5),
        a_run(unit="three", at=1.7, settled_at=9, score=0.1, verdict="accept"),
        a_run(arm="thrifty", unit="three", at=0, verdict="accept"),
    ]
    assert settled(runs, TRIAL.control, "quality") == [
        Settled(1.7, 0.1),
        Settled(2, 1),
        Settled(9, 0.5),
    ]


@pytest.mark.parametrize(
    ("shares", "found"),
    [
        pytest.param((1, 1), [(4, 0.5), (5, 1.0), (6, 0.0)], id="equal"),
        pytest.param((1, 2), [(5, 0.75)], id="a small arm"),
        pytest.param((2, 1), [(4, 0.5)], id="a large arm"),
        pytest.param((3, 4), [(4, 0.5), (5, 1.0), (6, 0.0)], id="nearly equal"),
    ],
)
def test_outcomes_are_compared_block_by_block(
    shares: tuple[int, int], found: list[tuple[float, float]]
) -> None:
    tried = [Settled(at, value) for at, value in ((1, 1), (2, 1), (3, 0))]
    control = [Settled(at, value) for at, value in ((4, 1), (5, 0), (6, 1))]
    assert blocks(tried, control, shares) == found


# --- what can be said of arms ------------------------------------------------------------------------------


def runs_of(usual: Sequence[float], thrifty: Sequence[float]) -> list[TrialRun]:
    return [
        a_run(arm, f"{arm} {number}", at=float(number), score=score, cost_usd=0.5, seconds=2.0)
        for arm, scores in (("usual", usual), ("thrifty", thrifty))
        for number, score in enumerate(scores)
    ]


@pytest.mark.parametrize(
    ("usual", "thrifty", "margins", "standing"),
    [
        pytest.param([], [], {}, "open", id="nothing is known"),
        pytest.param([1] * 5, [0] * 5, {}, "open", id="too little is known"),
        pytest.param([1] * 20, [0] * 20, {}, "harm", id="surely worse"),
        pytest.param([0] * 20, [1] * 20, {}, "better", id="surely better"),
        pytest.param([1] * 200, [0.8] * 200, {"harm": 0.5}, "worse", id="worse, within what is allowed"),
        pytest.param([0.5] * 200, [0.7] * 200, {"gain": 0.5}, "open", id="better, by less than is asked for"),
        pytest.param([0.5] * 200, [0.5] * 200, {}, "open", id="equal"),
    ],
)
def test_what_is_said_of_an_arm(
    usual: list[float], thrifty: list[float], margins: dict[str, Any], standing: str
) -> None:
    trial, runs = replace(TRIAL, **margins), runs_of(usual, thrifty)
    control, arm = standings(trial, runs)
    assert (control.standing, arm.standing) == ("control", standing)
    assert set(stopped(trial, runs)) == ({"thrifty"} if standing == "harm" else set())
    assert (arm.since is not None) == (standing in ("harm", "better"))


def test_an_arm_stays_stopped_whatever_comes_of_the_control() -> None:
    until = runs_of([1] * 20, [0] * 20)
    since = stopped(TRIAL, until)["thrifty"]
    assert stopped(TRIAL, runs_of([1] * 20 + [0] * 500, [0] * 20))["thrifty"] == since
    assert "thrifty" not in stopped(TRIAL, [run for run in until if run.begun_at < since])


def test_an_arm_is_given_runs_again_where_scores_say_that_it_did_no_harm() -> None:
    runs = [
        replace(run, score=None, verdict="accept" if run.score else "revise")
        for run in runs_of([1] * 20, [0] * 20)
    ]
    assert "thrifty" in stopped(TRIAL, runs)
    corrected = [replace(run, score=1.0, settled_at=99.0) for run in runs]
    assert stopped(TRIAL, corrected) == {}


def test_more_arms_make_it_take_longer_to_be_sure() -> None:
    runs = runs_of([1] * 40, [0] * 40)
    several = replace(TRIAL, arms=(*TRIAL.arms, *(Arm(name=str(number)) for number in range(6))))
    assert stopped(TRIAL, runs)["thrifty"] < stopped(several, runs)["thrifty"]


def test_how_many_more_outcomes_are_needed_is_foretold() -> None:
    usual, thrifty = [1, 1, 1, 0, 1], [1, 0, 1, 0, 1]
    _, before = standings(TRIAL, runs_of(usual, thrifty))
    assert before.more is not None
    times = (5 + before.more) / 5
    assert (
        standings(TRIAL, runs_of(usual * round(times + 1), thrifty * round(times + 1)))[1].standing == "harm"
    )
    assert standings(TRIAL, runs_of(usual * int(times - 1), thrifty * int(times - 1)))[1].standing == "open"


def test_what_runs_cost_and_took_stands_beside() -> None:
    runs = [*runs_of([1, 0], [1]), a_run("thrifty", "x", ended="", cost_usd=9.0)]
    control, arm = standings(TRIAL, runs)
    assert (control.runs, control.ended, control.outcomes, control.mean) == (2, 2, 2, 0.5)
    assert (arm.runs, arm.ended, arm.outcomes, arm.usd, arm.seconds) == (2, 1, 1, 0.5, 2.0)
    assert control.low < 0.5 < control.high
