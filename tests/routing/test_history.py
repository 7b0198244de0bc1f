"""What outcomes say: little at first, more with every one, and nothing of a model as it used to be."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ymera.routing.history import Estimate, History, Outcome, Place, explore

CODE, PROSE = Place("coding_agent", "generation"), Place("writing_agent", "generation")
PRIOR = {"strong": 0.8, "weak": 0.6}
shares = st.floats(0, 1, allow_nan=False)


def known(prior: dict[str, float] | None = None) -> History:
    expected = PRIOR if prior is None else prior
    return History(lambda model, place: expected[model])


def after(history: History, model: str, place: Place, outcomes: int, right: float, seed: int = 0) -> History:
    random = Random(seed)
    for _ in range(outcomes):
        history.add(Outcome(model=model, place=place, quality=float(random.random() < right)))
    return history


@pytest.mark.parametrize("model", PRIOR)
def test_without_outcomes_the_prior_stands(model: str) -> None:
    estimate = known().estimate(model, CODE)
    assert (estimate.mean, estimate.outcomes) == (PRIOR[model], 0)


@given(prior=shares, right=shares, outcomes=st.integers(1, 3_000))
def test_an_estimate_lies_between_the_prior_and_what_was_seen(
    prior: float, right: float, outcomes: int
) -> None:
    history = known({"one": prior})
    history.add_sums("one", CODE, outcomes=outcomes, total=right * outcomes)
    low, high = sorted((prior, right))
    assert low - 1e-9 <= history.estimate("one", CODE).mean <= high + 1e-9


@given(prior=shares, right=shares, few=st.integers(1, 500), more=st.integers(1, 500))
def test_more_of_the_same_moves_an_estimate_further_and_makes_it_surer(
    prior: float, right: float, few: int, more: int
) -> None:
    estimates = []
    for outcomes in (few, few + more):
        history = known({"one": prior})
        history.add_sums("one", CODE, outcomes=outcomes, total=right * outcomes)
        estimates.append(history.estimate("one", CODE))
    first, second = estimates
    assert abs(second.mean - right) <= abs(first.mean - right) + 1e-9
    assert second.deviation <= first.deviation + 0.05  # a mean nearer to the middle varies more


def test_outcomes_handed_over_as_sums_say_the_same_as_one_by_one() -> None:
    singly = after(known(), "weak", CODE, 50, 0.9)
    random, right = Random(0), 0
    for _ in range(50):
        right += random.random() < 0.9
    at_once = known()
    at_once.add_sums("weak", CODE, outcomes=50, total=right)
    expected = at_once.estimate("weak", CODE)
    assert singly.estimate("weak", CODE).mean == pytest.approx(expected.mean, abs=0.01)


def test_a_lucky_start_does_not_overtake_a_long_record() -> None:
    history = known()
    history.add_sums("strong", CODE, outcomes=200, total=160)
    history.add_sums("weak", CODE, outcomes=5, total=5)
    assert history.estimate("weak", CODE).mean < history.estimate("strong", CODE).mean


def test_a_long_record_overtakes_the_prior() -> None:
    history = known()
    history.add_sums("strong", CODE, outcomes=100, total=50)
    history.add_sums("weak", CODE, outcomes=100, total=95)
    assert history.estimate("weak", CODE).mean > history.estimate("strong", CODE).mean


def test_what_a_model_does_in_one_place_speaks_for_it_in_others_but_less() -> None:
    history = known()
    for place, total in ((CODE, 95), (PROSE, 60)):
        history.add_sums("strong", place, outcomes=100, total=80)
        history.add_sums("weak", place, outcomes=100, total=total)
    elsewhere = history.estimate("weak", Place("data_agent", "generation")).mean
    assert PRIOR["weak"] < elsewhere < history.estimate("weak", CODE).mean


def test_a_place_that_is_hard_for_those_who_were_there_is_expected_to_be_hard_for_others() -> None:
    history = known(PRIOR | {"new": 0.7})
    for model, prior in PRIOR.items():
        history.add_sums(model, CODE, outcomes=200, total=200 * (prior - 0.3))
        history.add_sums(model, PROSE, outcomes=200, total=200 * prior)
    assert history.estimate("new", CODE).mean < 0.6
    assert history.estimate("new", PROSE).mean == pytest.approx(0.7, abs=0.15)


@pytest.mark.parametrize("seed", range(5))
def test_a_model_that_gets_worse_is_noticed_soon_and_judged_anew(seed: int) -> None:
    history = after(known(), "strong", CODE, 1_000, 0.8, seed)
    assert history.changed == []
    after(history, "strong", CODE, 60, 0.2, seed + 100)
    assert set(history.changed) == {"strong"}
    assert history.estimate("strong", CODE).mean < 0.6


def test_a_steady_model_is_hardly_ever_taken_for_changed() -> None:
    alarms = [len(after(known(), "strong", CODE, 3_000, 0.8, seed).changed) for seed in range(5)]
    assert sum(alarms) <= 1


@pytest.mark.parametrize(
    ("estimates", "boldness", "allowed"),
    [
        pytest.param({"a": Estimate(0.8, 0.0, 9), "b": Estimate(0.7, 0.0, 9)}, 1.0, {"a"}, id="sure of both"),
        pytest.param({"a": Estimate(0.8, 0.2, 0), "b": Estimate(0.7, 0.2, 0)}, 0.0, {"a"}, id="never bold"),
        pytest.param({"a": Estimate(0.8, 0.2, 0), "b": Estimate(0.7, 0.2, 0)}, 1.0, {"a", "b"}, id="unsure"),
        pytest.param({"a": Estimate(0.9, 0.02, 0), "b": Estimate(0.2, 0.02, 0)}, 1.0, {"a"}, id="far apart"),
    ],
)
def test_only_what_might_be_the_best_is_tried(
    estimates: dict[str, Estimate], boldness: float, allowed: set[str]
) -> None:
    random = Random(0)
    assert {explore(estimates, random, boldness) for _ in range(200)} == allowed
