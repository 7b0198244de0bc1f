"""What is measured of a text without its words."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from ymera.routing.shape import READ_CHARACTERS, shape_of

QUESTION = "What is 3 times 4?\nA. 7\nB. 12\nC. 34\nD. 1"


@given(text=st.text(max_size=400))
def test_every_text_has_as_many_measures_and_all_of_them_are_numbers(text: str) -> None:
    shape = shape_of(text)
    assert len(shape) == len(shape_of(""))
    assert all(math.isfinite(measure) for measure in shape)


@given(text=st.text(max_size=200))
def test_a_text_always_has_the_same_shape(text: str) -> None:
    assert shape_of(text) == shape_of(text)


def test_options_and_numbers_are_seen() -> None:
    shape, bare = shape_of(QUESTION), shape_of("What is three times four?")
    assert shape[3] == 4
    assert bare[3] == 0
    assert shape[16] == 1  # every option is a number
    assert shape[10] > bare[10] == 0  # the question names two


def test_what_follows_far_behind_is_not_read() -> None:
    text = "a" * READ_CHARACTERS
    assert shape_of(text) == shape_of(text + " 12 + 3 = 15?")


def test_numbers_as_long_as_a_page_are_no_trouble() -> None:
    assert math.isfinite(sum(shape_of("9" * READ_CHARACTERS)))
