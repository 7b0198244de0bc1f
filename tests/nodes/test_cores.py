from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ymera.nodes.cores import Threads, choose_threads, usable_cores


@pytest.mark.parametrize(
    ("cores", "decode", "batch"),
    [
        pytest.param(1, 1, 1, id="one core"),
        pytest.param(2, 1, 2, id="one core is left to others"),
        pytest.param(8, 7, 8, id="a desktop"),
        pytest.param(64, 8, 8, id="no more than eight on a large machine"),
    ],
)
def test_threads_leave_a_core_to_others(cores: int, decode: int, batch: int) -> None:
    assert choose_threads(cores) == Threads(decode=decode, batch=batch)


@given(cores=st.integers(1, 512), wished=st.integers(1, 64))
def test_a_wish_overrides(cores: int, wished: int) -> None:
    assert choose_threads(cores, wished) == Threads(decode=wished, batch=wished)


def test_usable_cores_are_at_least_one_and_no_more_than_the_machine_has() -> None:
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)
