"""Whatever comes when, is cancelled or gives up: limits hold, nobody starves, nothing is left behind."""

from __future__ import annotations

from collections import defaultdict
from math import inf

from hypothesis import given
from hypothesis import settings as tests
from hypothesis import strategies as st

from tests.nodes.gate_stories import Request, story_of
from ymera.routing.rates import UNLIMITED, Rate

LIMITS = st.one_of(st.none(), st.integers(1, 40))
RATES = st.builds(
    Rate,
    requests_per_minute=LIMITS,
    tokens_per_minute=LIMITS,
    concurrency=st.one_of(st.none(), st.integers(1, 4)),
).filter(lambda rate: rate != UNLIMITED)
WHOLE = st.integers(0, 90).map(float)  # whole seconds, so that much happens at the same time
PATIENT = st.builds(
    Request,
    run=st.sampled_from("abc"),
    tokens=st.integers(0, 60),
    at=WHOLE,
    lasts=st.integers(0, 9).map(float),
)
ANY = st.builds(
    Request,
    run=st.sampled_from("abc"),
    tokens=st.integers(0, 60),
    at=WHOLE,
    lasts=st.integers(0, 9).map(float),
    patience=st.one_of(st.just(inf), WHOLE),
    used=st.one_of(st.none(), st.integers(0, 90)),
    cancelled_at=st.one_of(st.just(inf), WHOLE),
)


def within(limit: int | None, taken: list[tuple[float, int]]) -> bool:
    """Say whether no window lets more through than a full bucket, what is refilled, and what its last one exceeds."""
    if limit is None:
        return True
    return all(
        sum(amount for _, amount in taken[first:last]) + min(limit, taken[last][1])
        <= limit + (taken[last][0] - taken[first][0]) * limit / 60 + 1e-5
        for first in range(len(taken))
        for last in range(first, len(taken))
    )


@tests(deadline=None)
@given(rate=RATES, requests=st.lists(PATIENT, max_size=25))
def test_everybody_is_served_within_the_limits(rate: Rate, requests: list[Request]) -> None:
    story = story_of(rate, *requests)
    assert len(story.entered) == len(requests)
    assert story.most <= (rate.concurrency or inf)
    assert within(rate.requests_per_minute, [(at, 1) for at, _ in story.entered])
    assert within(rate.tokens_per_minute, [(at, request.tokens) for at, request in story.entered])


@tests(deadline=None)
@given(rate=RATES, requests=st.lists(ANY, max_size=25))
def test_whoever_is_cancelled_or_goes_the_others_are_served_fairly(
    rate: Rate, requests: list[Request]
) -> None:
    story = story_of(rate, *requests)
    assert story.most <= (rate.concurrency or inf)
    assert story.inside == 0
    assert within(rate.requests_per_minute, [(at, 1) for at, _ in story.entered])
    patient = [one for one in requests if one.patience == one.cancelled_at == inf]
    served = [one for _, one in story.entered]
    assert all(one in served for one in patient)
    waiting: dict[str, list[Request]] = defaultdict(list)
    passed: dict[str, list[str]] = defaultdict(list)
    for event, request in story.events:
        line = waiting[request.run]
        if event == "comes":
            line.append(request)
        elif request in line:
            assert event == "goes" or line[0] is request, "first come, first served"
            line.remove(request)
            if not line:
                passed.pop(request.run, None)  # who comes later stands behind all others
            if event == "enters":
                others = [run for run in waiting if waiting[run] and run != request.run]
                passed = defaultdict(list, {run: [*passed[run], request.run] for run in others})
                assert all(len(runs) == len(set(runs)) for runs in passed.values()), "no run goes twice"
    assert not any(waiting.values())
