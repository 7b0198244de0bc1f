"""Bounds that hold however often one looks: exactly, for all short sequences, and their properties."""

from __future__ import annotations

from itertools import product
from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ymera.routing.sequential import first_above, interval, is_above, needed

values = st.lists(st.sampled_from([0.0, 0.25, 0.5, 0.9, 1.0]), min_size=1, max_size=60)
means = st.floats(0.05, 0.95)
rates = st.sampled_from([0.01, 0.05, 0.2])


@pytest.mark.parametrize("mean", [0.1, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("rate", [0.05, 0.2])
def test_of_all_sequences_of_twelve_no_more_than_the_error_rate_raise_a_false_alarm(
    mean: float, rate: float
) -> None:
    chance = sum(
        prod(mean if value else 1 - mean for value in each)
        for each in product((0.0, 1.0), repeat=12)
        if first_above(each, mean, rate) is not None
    )
    assert chance <= rate
    assert chance > 0 or mean == 0.9, "it is never sure of anything"


@given(values=values, rate=rates)
def test_what_was_seen_lies_within_its_bounds(values: list[float], rate: float) -> None:
    low, high = interval(values, rate)
    assert 0 <= low <= sum(values) / len(values) + 1e-9
    assert sum(values) / len(values) - 1e-9 <= high <= 1


@given(values=values, rate=rates)
def test_the_order_of_the_values_makes_no_difference_to_their_bounds(
    values: list[float], rate: float
) -> None:
    assert interval(sorted(values), rate) == pytest.approx(interval(values, rate))


@given(values=values, rate=rates)
def test_more_of_the_same_narrows_the_bounds(values: list[float], rate: float) -> None:
    low, high = interval(values, rate)
    narrower = interval(values * 4, rate)
    assert narrower[0] >= low - 1e-9
    assert narrower[1] <= high + 1e-9


@given(values=values)
def test_to_be_wrong_less_often_widens_the_bounds(values: list[float]) -> None:
    (low, high), wider = interval(values, 0.2), interval(values, 0.01)
    assert wider[0] <= low
    assert wider[1] >= high


@given(values=values)
def test_the_bounds_of_mirrored_values_are_mirrored(values: list[float]) -> None:
    low, high = interval(values, 0.05)
    assert interval([1 - value for value in values], 0.05) == pytest.approx((1 - high, 1 - low))


@given(values=values, mean=means, rate=rates)
def test_it_is_sure_as_soon_as_the_lower_bound_has_come_to_the_mean(
    values: list[float], mean: float, rate: float
) -> None:
    after = first_above(values, mean, rate)
    sure = [number for number in range(1, len(values) + 1) if interval(values[:number], 2 * rate)[0] > mean]
    assert after == (sure[0] if sure else None)
    assert is_above(values, mean, rate) == (len(values) in sure)


@given(values=st.lists(st.floats(0, 0.5), max_size=200))
def test_of_values_that_are_never_above_it_is_never_sure(values: list[float]) -> None:
    assert first_above(values, 0.5, 0.5) is None


@given(values=values, mean=means, rate=rates)
def test_as_many_as_are_foretold_are_needed(values: list[float], mean: float, rate: float) -> None:
    foretold = needed(values, mean, rate)
    if foretold is None:
        assert interval(values * 100, 2 * rate)[0] <= mean
        return
    times = foretold / len(values)
    whole = values * int(-(-times // 1))
    assert interval(whole, 2 * rate)[0] >= mean - 1e-6
    if times >= 2:
        assert interval(values * int((times * len(values) - 1) // len(values)), 2 * rate)[0] <= mean + 1e-6


def test_of_nothing_nothing_is_known() -> None:
    assert interval([], 0.05) == pytest.approx((0, 1))
    assert first_above([], 0.5, 0.05) is needed([], 0.5, 0.05) is None
