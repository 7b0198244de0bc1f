"""Which arm a task meets, and what can be said of the arms: tables and properties."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import sqrt
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inline_snapshot import snapshot

from ymera.routing.catalogue import builtin_catalogue
from ymera.routing.errors import CatalogueError
from ymera.routing.matcher import TaskRequest, Wishes
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
from ymera.routing.trial_files import read_trial
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


# --- what a run came to ------------------------------------------------------------------------------------


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


def test_an_arm_stays_stopped_whatever_comes_later() -> None:
    until = runs_of([1] * 20, [0] * 20)
    since = stopped(TRIAL, until)["thrifty"]
    assert since == stopped(TRIAL, runs_of([1] * 20 + [0] * 500, [0] * 20 + [1] * 500))["thrifty"]
    assert "thrifty" not in stopped(TRIAL, [run for run in until if run.begun_at < since])


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


# --- the file ----------------------------------------------------------------------------------------------

FILE = """
name = "cheap-code"
agents = ["coding_agent"]
measure = "success"
harm = 0.05
gain = 0.02
error_rate = 0.01

[[arms]]
name = "usual"
share = 3

[[arms]]
name = "thrifty"
thrift = 1
haste = 0.5
attempts = 2
strategy = "multi_model"
model = "codestral-latest"
"""


def read(tmp_path: Path, text: str) -> Trial:
    (tmp_path / "trial.toml").write_text(text, "utf-8")
    return read_trial(tmp_path / "trial.toml", builtin_catalogue())


def test_a_file_holds_a_trial(tmp_path: Path) -> None:
    assert read(tmp_path, FILE) == Trial(
        name="cheap-code",
        agents=("coding_agent",),
        measure="success",
        harm=0.05,
        gain=0.02,
        error_rate=0.01,
        arms=(
            Arm(name="usual", share=3),
            Arm(
                name="thrifty",
                thrift=1,
                haste=0.5,
                attempts=2,
                strategy="multi_model",
                model="codestral-latest",
            ),
        ),
    )


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        pytest.param('name = "cheap-code"', "", snapshot("trial.toml: name: is missing"), id="no name"),
        pytest.param(
            "harm = 0.05",
            "harm = 1",
            snapshot("trial.toml: harm: must be less than 1 (got 1)"),
            id="a margin of everything",
        ),
        pytest.param(
            "gain = 0.02",
            "gian = 0.02",
            snapshot(
                "trial.toml: gian: is no key of this table (did you mean 'gain'?), "
                "allowed: name, agents, measure, harm, gain, error_rate, arms"
            ),
            id="a key that is none",
        ),
        pytest.param(
            '"success"',
            '"speed"',
            snapshot(
                "trial.toml: measure: is none of the allowed words (got 'speed'), allowed: 'quality' or 'success'"
            ),
            id="a measure that is none",
        ),
        pytest.param(
            "0.01",
            "0",
            snapshot("trial.toml: error_rate: must be greater than or equal to 0.000001 (got 0)"),
            id="never wrong",
        ),
        pytest.param(
            "thrift = 1",
            "thrift = 2",
            snapshot("trial.toml: arms.thrifty.thrift: must be less than or equal to 1 (got 2)"),
            id="too much thrift",
        ),
        pytest.param(
            "haste = 0.5",
            "hast = 0.5",
            snapshot(
                "trial.toml: arms.thrifty.hast: is no key of this table (did you mean 'haste'?), "
                "allowed: name, share, strategy, model, thrift, haste, attempts, rounds"
            ),
            id="a wish that is none",
        ),
        pytest.param(
            "share = 3",
            "share = 0",
            snapshot("trial.toml: arms.usual.share: must be greater than or equal to 1 (got 0)"),
            id="a share of none",
        ),
        pytest.param(
            'name = "thrifty"',
            'name = "usual"',
            snapshot("trial.toml: arms.usual: is given twice"),
            id="two arms of a name",
        ),
        pytest.param(
            'name = "thrifty"',
            "",
            snapshot("trial.toml: arms.2.name: is missing"),
            id="an arm without a name",
        ),
        pytest.param(
            '"coding_agent"',
            '"nobody"',
            snapshot(
                "trial.toml: agents: names no agent (got 'nobody'), allowed: analysis_agent, coding_agent, "
                "database_agent, documentation_agent, web_scraping_agent"
            ),
            id="an agent that is none",
        ),
        pytest.param(
            '"codestral-latest"',
            '"gpt-99"',
            snapshot(
                "trial.toml: arms.thrifty.model: names no model (got 'gpt-99'), allowed: see `ymera models`"
            ),
            id="a model that is none",
        ),
        pytest.param(
            '[[arms]]\nname = "usual"\nshare = 3',
            "",
            snapshot(
                "trial.toml: arms: holds too few (got [{'name': 'thrifty', 'thrift': 1, 'haste': 0.5, "
                "'attempts': 2, 'strategy': 'multi_model', 'model': 'codestral-latest'}]), allowed: 2 or more"
            ),
            id="one arm",
        ),
    ],
)
def test_a_fault_of_the_file_is_named_with_what_would_be_right(
    old: str, new: str, fault: str, tmp_path: Path
) -> None:
    with pytest.raises(CatalogueError) as raised:
        read(tmp_path, FILE.replace(old, new, 1))
    assert str(raised.value).replace(f"{tmp_path}/", "") == fault


def test_all_faults_come_at_once(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError) as raised:
        read(tmp_path, FILE.replace("thrift = 1", "thrift = 2").replace("share = 3", "share = 0"))
    assert len(raised.value.faults) == 2


def test_a_file_that_is_no_toml_is_named_with_the_line(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match=r"trial\.toml: not valid TOML: .*line 9"):
        read(tmp_path, FILE.replace("[[arms]]", "[arms", 1))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match=r"none\.toml: cannot be read"):
        read_trial(tmp_path / "none.toml", builtin_catalogue())
