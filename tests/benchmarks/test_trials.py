"""A trial's false alarms, simulated: no more than its error rate, though it is looked at after every outcome."""

from __future__ import annotations

import sys
from math import sqrt
from pathlib import Path

import pytest

from benchmarks import trials
from benchmarks.trials import (
    DISTRIBUTIONS,
    ERROR_RATE,
    SHARES,
    accepted,
    false_alarms,
    false_alarms_with_late_scores,
    is_alarm_of_the_usual_test,
    outcomes_until_harm,
)


def most(streams: int) -> float:
    """Return what the share of alarms comes to at most, but for once in 700 tests, where the error rate holds."""
    return ERROR_RATE + 3 * sqrt(ERROR_RATE * (1 - ERROR_RATE) / streams)


def test_of_a_thousand_trials_of_equal_arms_few_raise_an_alarm() -> None:
    assert false_alarms(accepted(0.5), streams=1_000) <= most(1_000)


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_whatever_the_outcomes_are_like_few_trials_raise_an_alarm(name: str) -> None:
    assert false_alarms(DISTRIBUTIONS[name], streams=150) <= most(150)


@pytest.mark.parametrize("shares", SHARES, ids=str)
def test_shares_that_differ_raise_no_more(shares: tuple[int, int]) -> None:
    assert false_alarms(accepted(0.8), streams=200, shares=shares) <= most(200)


def test_the_same_simulation_finds_out_a_test_that_does_not_hold() -> None:
    alarms = false_alarms(accepted(0.5), streams=100, alarm=is_alarm_of_the_usual_test)
    assert alarms > 4 * ERROR_RATE


def test_scores_that_correct_verdicts_later_raise_no_more() -> None:
    assert false_alarms_with_late_scores(streams=40, runs=200) <= most(40)


@pytest.mark.parametrize(
    ("control", "tried", "within"),
    [(0.9, 0.0, 20), (0.9, 0.5, 100), (0.5, 0.3, 500), (0.5, 0.4, 2_000)],
    ids=["it breaks", "much worse", "worse by a fifth", "worse by a tenth"],
)
def test_harm_is_noticed(control: float, tried: float, within: int) -> None:
    found = outcomes_until_harm(accepted(tried), accepted(control), streams=100, outcomes=within)
    assert sum(after <= within for after in found) >= 95


def test_the_tables_are_written_into_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{trials.BEGIN}\nold\n{trials.END}\nafter\n", "utf-8")
    monkeypatch.setattr(trials, "OUTCOMES", 20)
    monkeypatch.setattr(sys, "argv", ["trials", "--streams", "4", "--docs", str(page)])
    trials.main()
    text = page.read_text("utf-8")
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert capsys.readouterr().out.strip() in text
