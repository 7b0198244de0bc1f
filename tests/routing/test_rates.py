"""Allowances that refill, what a request waits for, and whose turn is next."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ymera.routing.rates import MINUTE, UNLIMITED, Bucket, Hold, Rate, Ring, Room, rate_of
from ymera.routing.records import ProviderProfile

ROW = ProviderProfile(
    name="p", title="P", chat_model="m:C", package="p", requests_per_minute=30, concurrency=4
)


@pytest.mark.parametrize(
    ("own", "rate"),
    [
        ({}, Rate(requests_per_minute=30, concurrency=4)),
        ({"requests_per_minute": 5}, Rate(requests_per_minute=5, concurrency=4)),
        ({"tokens_per_minute": 6000}, Rate(requests_per_minute=30, tokens_per_minute=6000, concurrency=4)),
        ({"concurrency": None}, Rate(requests_per_minute=30)),
        ({"concurrency": None, "requests_per_minute": None}, UNLIMITED),
    ],
    ids=["the row's alone", "one in place of the row's", "one more", "one lifted", "all lifted"],
)
def test_own_limits_are_laid_over_those_of_the_row(own: Mapping[str, int | None], rate: Rate) -> None:
    assert rate_of(ROW, own) == rate


@pytest.mark.parametrize(
    ("taken", "amount", "at", "seconds"),
    [
        ([], 60, 0, 0),
        ([], 1, 0, -59),
        ([(60, 0)], 1, 0, 1),
        ([(60, 0)], 1, 1, 0),
        ([(60, 0)], 30, 10, 20),
        ([(60, 0)], 60, 1_000, 0),
        ([(60, 0), (60, 1_000)], 60, 1_000, 60),
        ([], 500, 0, 0),
        ([(1, 0)], 500, 0, 1),
        ([(180, 0)], 1, 0, 121),
        ([(60, 0), (-30, 0)], 30, 0, 0),
        ([(60, 0), (-30, 90)], 60, 90, 0),
        ([(60, 0), (-30, 90), (60, 90)], 1, 90, 1),
        ([(60, 0), (30, 90)], 60, 90, 30),
    ],
    ids=[
        "a full bucket gives all it has",
        "room for 59 more is 59 s ahead",
        "an empty one a drop a second",
        "a second later the drop is there",
        "it refills with the time",
        "it is never more than full",
        "what was full long ago gives its minute once",
        "more than it holds goes when it is full",
        "and waits until it is",
        "what it owes is refilled first",
        "what is put back can be taken",
        "putting back does not make it more than full",
        "not even for later",
        "what is counted on top is missing later",
    ],
)
def test_a_bucket_says_when_it_has_room(
    taken: list[tuple[float, float]], amount: float, at: float, seconds: float
) -> None:
    bucket = Bucket(60)
    for count, now in taken:
        bucket.take(count, now)
    assert bucket.ready_in(amount, at) == pytest.approx(seconds, abs=1e-9)


def test_what_goes_first_counts_as_taken() -> None:
    bucket = Bucket(60)
    bucket.take(50, 0)
    assert bucket.ready_in(5, 10, before=30) == pytest.approx(15)
    assert bucket.ready_in(20, 10) == pytest.approx(0), "asking takes nothing"


@given(
    per_minute=st.integers(1, 10_000),
    steps=st.lists(st.tuples(st.integers(1, 30_000), st.floats(0, 100)), min_size=1, max_size=30),
)
def test_no_window_lets_more_through_than_a_burst_and_what_is_refilled(
    per_minute: int, steps: list[tuple[int, float]]
) -> None:
    bucket, now, taken = Bucket(per_minute), 0.0, [(0.0, 0)]
    for amount, pause in steps:
        now += pause
        now += max(0.0, bucket.ready_in(amount, now))
        bucket.take(amount, now)
        taken.append((now, amount))
    for first in range(len(taken)):
        through = 0
        for at, amount in taken[first:]:
            through += amount
            refilled = (at - taken[first][0]) * per_minute / MINUTE
            excess = max(0, amount - per_minute)  # of the last one, if it is larger than the bucket
            assert through <= (per_minute + refilled) * (1 + 1e-9) + excess


RATE = Rate(requests_per_minute=2, tokens_per_minute=600, concurrency=3)


@pytest.mark.parametrize(
    ("entered", "tokens", "before", "hold"),
    [
        ([], 600, [], None),
        ([100, 100], 100, [], Hold(limit="2 requests a minute", seconds=30)),
        ([500], 200, [], Hold(limit="600 tokens a minute", seconds=10)),
        ([500, 100], 200, [], Hold(limit="2 requests a minute, 600 tokens a minute", seconds=30)),
        ([500, 400], 200, [], Hold(limit="2 requests a minute, 600 tokens a minute", seconds=50)),
        ([100], 100, [100], Hold(limit="2 requests a minute", seconds=30)),
        ([100], 100, [500], Hold(limit="2 requests a minute, 600 tokens a minute", seconds=30)),
        ([1], 1, [1, 1], Hold(limit="2 requests a minute, 3 at a time", seconds=60, open_ended=True)),
    ],
    ids=[
        "nothing",
        "requests",
        "tokens",
        "both, requests longer",
        "both, tokens longer",
        "a request that goes first",
        "tokens that go first",
        "a place as well",
    ],
)
def test_room_says_what_a_request_waits_for(
    entered: list[int], tokens: int, before: list[int], hold: Hold | None
) -> None:
    room = Room(RATE)
    for count in entered:
        room.enter(count, 0)
    found = room.hold(tokens, 0, before)
    assert (found and found.limit) == (hold and hold.limit)
    assert (found and found.open_ended) == (hold and hold.open_ended)
    assert (found.seconds if found else 0) == pytest.approx(hold.seconds if hold else 0)


def test_a_place_is_free_again_when_a_request_leaves() -> None:
    room = Room(Rate(concurrency=1))
    room.enter(1, 0)
    assert room.hold(1, 0) == Hold(limit="1 at a time", open_ended=True)
    room.leave()
    assert room.hold(1, 0) is None


def served(ring: Ring[str]) -> list[str]:
    """Serve everybody; an item is named after its run and its number there: a1."""
    order = []
    while (item := ring.first()) is not None:
        ring.serve(item[0], item)
        order.append(item)
    return order


@pytest.mark.parametrize(
    ("arrivals", "order"),
    [
        ("a1 a2 a3 b1", "a1 b1 a2 a3"),
        ("a1 a2 b1 b2 c1", "a1 b1 c1 a2 b2"),
        ("a1 b1 a2 b2", "a1 b1 a2 b2"),
    ],
)
def test_between_runs_it_goes_round_and_within_a_run_in_order(arrivals: str, order: str) -> None:
    ring: Ring[str] = Ring()
    for item in arrivals.split():
        ring.add(item[0], item)
    assert served(ring) == order.split()


def test_a_run_that_comes_back_stands_behind_those_who_wait() -> None:
    ring: Ring[str] = Ring()
    for item in ("a1", "b1", "c1"):
        ring.add(item[0], item)
    ring.serve("a", "a1")
    ring.add("a", "a2")
    assert served(ring) == ["b1", "c1", "a2"]


def test_who_goes_away_costs_its_run_no_turn() -> None:
    ring: Ring[str] = Ring()
    for item in ("a1", "b1", "a2", "c1"):
        ring.add(item[0], item)
    ring.remove("a", "a1")
    ring.remove("c", "c1")
    ring.remove("c", "c1")
    assert served(ring) == ["a2", "b1"]


RUNS = st.sampled_from("abcd")


@given(st.lists(st.one_of(RUNS, st.none()), max_size=40), RUNS)
def test_who_is_before_a_newcomer_is_served_before_it_and_nobody_else(
    events: list[str | None], run: str
) -> None:
    ring: Ring[str] = Ring()
    for number, event in enumerate(events):  # a run's name: it asks for a turn; None: somebody is served
        if event is not None:
            ring.add(event, f"{event}{number}")
        elif (first := ring.first()) is not None:
            ring.serve(first[0], first)
    before = list(ring.before(run))
    ring.add(run, f"{run}!")
    order = served(ring)
    assert set(order[: order.index(f"{run}!")]) == set(before)
    assert len(before) == len(set(before))


@given(st.lists(st.one_of(RUNS, st.none()), max_size=60))
def test_while_a_run_waits_no_other_gets_two_turns(events: list[str | None]) -> None:
    ring: Ring[str] = Ring()
    waiting: dict[str, list[str]] = {run: [] for run in "abcd"}
    passed: dict[str, list[str]] = {run: [] for run in "abcd"}
    for number, event in enumerate([*events, *[None] * len(events)]):
        if event is not None:
            ring.add(event, f"{event}{number}")
            waiting[event].append(f"{event}{number}")
            continue
        if (first := ring.first()) is None:
            continue
        ring.serve(first[0], first)
        assert waiting[first[0]].pop(0) == first
        for run in waiting:
            passed[run] = [*passed[run], first[0]] if waiting[run] and run != first[0] else []
            assert len(passed[run]) == len(set(passed[run]))
    assert not any(waiting.values())
