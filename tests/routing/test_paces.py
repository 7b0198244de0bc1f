"""How long answers are and take: what was seen moves the estimate, and bounds hold what they say."""

from __future__ import annotations

import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ymera.routing.paces import LEAST, SPREAD, Seen, Spread, added, expected, seen, spread_of

amounts = st.floats(0.01, 1e6)
spreads = st.builds(Spread, amounts, st.floats(0.01, 1.5))


@given(beforehand=amounts)
def test_before_anything_was_seen_the_estimate_stands_with_a_wide_spread(beforehand: float) -> None:
    found = expected(beforehand, Seen())
    assert found.middle == pytest.approx(beforehand)
    assert found.spread == pytest.approx(SPREAD)


@given(beforehand=amounts, value=amounts, number=st.integers(1, 200))
def test_what_was_seen_moves_the_middle_towards_it(beforehand: float, value: float, number: int) -> None:
    found = expected(beforehand, seen([value] * number))
    low, high = sorted((beforehand, value))
    assert low * 0.999 <= found.middle <= high * 1.001
    further = expected(beforehand, seen([value] * (number + 50)))
    assert abs(math.log(further.middle / value)) <= abs(math.log(found.middle / value)) + 1e-9


@pytest.mark.parametrize("number", [5, 20, 100, 500])
def test_nine_of_ten_values_to_come_lie_between_the_bounds(number: int) -> None:
    random, inside = Random(number), []
    for _ in range(400):
        middle, spread = random.uniform(5, 50), random.uniform(0.3, 0.9)
        drawn = [random.lognormvariate(math.log(middle), spread) for _ in range(number + 1)]
        low, high = expected(12.0, seen(drawn[:-1])).between
        inside.append(low <= drawn[-1] <= high)
    assert sum(inside) / len(inside) == pytest.approx(0.9, abs=0.06)


@given(parts=st.lists(spreads, min_size=1, max_size=6))
def test_a_sum_has_the_mean_of_its_parts_and_is_steadier_than_they_are(parts: list[Spread]) -> None:
    whole = added(parts)
    means = [part.middle * math.exp(part.spread**2 / 2) for part in parts]
    assert whole.middle * math.exp(whole.spread**2 / 2) == pytest.approx(sum(means), rel=1e-6)
    assert whole.spread <= max(part.spread for part in parts) + 1e-9


def test_nine_of_ten_sums_lie_between_the_bounds_of_their_sum() -> None:
    random = Random(1)
    parts = [Spread(10.0, 0.6), Spread(30.0, 0.8), Spread(5.0, 0.3)]
    low, high = added(parts).between
    sums = [sum(random.lognormvariate(math.log(p.middle), p.spread) for p in parts) for _ in range(4_000)]
    assert (
        0.88 <= sum(low <= each <= high for each in sums) / len(sums) <= 0.96
    )  # a little wide, as is known of it


@given(part=spreads)
def test_a_distribution_is_known_by_its_middle_and_its_bounds(part: Spread) -> None:
    found = spread_of(part.middle, part.between)
    assert found.middle == part.middle
    assert found.spread == pytest.approx(part.spread)


@pytest.mark.parametrize("between", [[0.0, 0.0], [0.0, 5.0], [3.0, 3.0], [5.0, 3.0]], ids=str)
def test_bounds_without_room_between_them_are_a_sure_value(between: list[float]) -> None:
    assert spread_of(3.0, between) == (3.0, 0.0)


def test_nothing_adds_up_to_nothing() -> None:
    assert added([]) == (0.0, 0.0)
    assert seen([]) == Seen()
    assert seen([0.0]).mean == math.log(LEAST)
