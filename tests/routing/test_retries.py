"""Whether a model is tried again, and when: a table over the fault table, and what must always hold."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ymera.routing.attempts import Again
from ymera.routing.faults import TABLE, FaultKind
from ymera.routing.retries import JITTER, Situation, retry_after_fault

FIRST = Situation(tries=1, left=300.0, others=True, shrinkable=True)


@pytest.mark.parametrize(
    ("kind", "again", "wait"),
    [
        ("rate_limited", "same", 1.0),
        ("overloaded", "same", 0.5),
        ("server_error", "same", 0.5),
        ("unreachable", "same", 0.3),
        ("malformed", "same", 0.2),
        ("context_too_long", "compact", 0.0),
        ("request_too_large", "compact", 0.0),
        ("schema_not_met", "repair", 0.0),
    ],
)
def test_these_kinds_are_tried_again_once(kind: FaultKind, again: Again, wait: float) -> None:
    assert retry_after_fault(kind, FIRST) == {"again": again, "wait": wait}
    assert retry_after_fault(kind, replace(FIRST, tries=2)) is None


def test_a_call_that_was_interrupted_is_made_again_twice() -> None:
    waits = [retry_after_fault("interrupted", replace(FIRST, tries=tries)) for tries in (1, 2, 3)]
    assert waits == [{"again": "same", "wait": 0.0}, {"again": "same", "wait": 0.0}, None]


def test_no_other_kind_is() -> None:
    others = [kind for kind, profile in TABLE.kinds.items() if profile.retry is None]
    assert len(others) == len(TABLE.kinds) - 9
    assert [retry_after_fault(kind, FIRST) for kind in others] == [None] * len(others)


@pytest.mark.parametrize(
    ("asked", "left", "others", "wait"),
    [
        (2.0, 300.0, True, 2.0),
        (19.0, 300.0, True, 19.0),
        (60.0, 300.0, True, None),
        (60.0, 300.0, False, 60.0),
        (60.0, 59.0, False, None),
        (2.0, 1.5, True, None),
        (0.0, 300.0, True, 0.0),
    ],
    ids=[
        "asked for",
        "still short",
        "another model answers sooner",
        "nobody else is there",
        "not within the phase's time",
        "not even a short one",
        "at once",
    ],
)
def test_what_a_provider_asks_for_is_waited_out_within_bounds(
    asked: float, left: float, others: bool, wait: float | None
) -> None:
    retry = retry_after_fault("rate_limited", replace(FIRST, asked=asked, left=left, others=others))
    assert (retry and retry["wait"]) == wait


def test_what_cannot_be_made_shorter_is_not_sent_again() -> None:
    assert retry_after_fault("context_too_long", replace(FIRST, shrinkable=False)) is None


@given(
    st.sampled_from(list(TABLE.kinds)),
    st.integers(1, 10),
    st.one_of(st.none(), st.floats(0, 1e9)),
    st.floats(0, 600),
    st.tuples(st.booleans(), st.booleans(), st.floats(0, 1)),
)
def test_a_retry_never_outlasts_the_phase(
    kind: FaultKind, tries: int, asked: float | None, left: float, rest: tuple[bool, bool, float]
) -> None:
    others, shrinkable, chance = rest
    situation = Situation(
        tries=tries, asked=asked, left=left, others=others, shrinkable=shrinkable, chance=chance
    )
    retry = retry_after_fault(kind, situation)
    profile = TABLE.kinds[kind].retry
    if retry is None:
        return
    assert profile is not None
    assert tries <= profile.times
    assert retry["wait"] <= left
    own = profile.wait_s * 2 ** (tries - 1)
    assert (
        retry["wait"] == pytest.approx(asked, abs=1e-3)
        if asked is not None
        else retry["wait"] <= own * (1 + JITTER) + 1e-3
    )
