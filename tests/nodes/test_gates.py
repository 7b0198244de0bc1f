"""Turns at a provider: its limits hold, runs are served fairly, and whoever goes leaves no trace."""

from __future__ import annotations

import asyncio
from math import inf

import pytest

from tests.nodes.gate_stories import MadeUpTime, Request, on_made_up_time, see_nothing_left, story_of
from ymera.nodes.gates import Gates, TooLong, Turn
from ymera.routing.rates import UNLIMITED, Rate


@pytest.mark.parametrize(
    ("rate", "requests", "times"),
    [
        (Rate(requests_per_minute=3), [Request()] * 5, [0, 0, 0, 20, 40]),
        (
            Rate(requests_per_minute=3),
            [*[Request()] * 3, *[Request(at=100)] * 4],
            [0] * 3 + [100] * 3 + [120],
        ),
        (Rate(tokens_per_minute=60), [Request(tokens=40)] * 3, [0, 20, 60]),
        (Rate(tokens_per_minute=60), [Request(tokens=30), Request(tokens=200), Request()], [0, 30, 171]),
        (Rate(concurrency=2), [Request(lasts=5)] * 5, [0, 0, 5, 5, 10]),
        (Rate(concurrency=1, requests_per_minute=2), [Request(lasts=10)] * 4, [0, 10, 30, 60]),
        (
            Rate(requests_per_minute=60, tokens_per_minute=60),
            [Request(tokens=60), Request(tokens=3), Request(tokens=1)],
            [0, 3, 4],
        ),
        (Rate(tokens_per_minute=60), [Request(tokens=60, used=10), Request(tokens=50)], [0, 0]),
        (Rate(tokens_per_minute=60), [Request(tokens=60, used=10, lasts=7), Request(tokens=50)], [0, 7]),
        (Rate(tokens_per_minute=60), [Request(tokens=20, used=90), Request(at=1)], [0, 31]),
    ],
    ids=[
        "three at once, then one in 20 s",
        "a pause gives no more than a full bucket",
        "tokens a minute",
        "more than a minute's tokens: when it is full, and others after it",
        "two at a time",
        "a place and an allowance",
        "a small one waits behind a large one",
        "an estimate that was too high is put back",
        "and wakes who waits for it",
        "one that was too low holds back who comes later",
    ],
)
def test_a_request_goes_as_soon_as_there_is_room(
    rate: Rate, requests: list[Request], times: list[float]
) -> None:
    assert story_of(rate, *requests).times == times


def test_a_run_with_one_request_is_served_after_one_turn_of_a_run_with_a_hundred() -> None:
    story = story_of(
        Rate(concurrency=1),
        *[Request(run="a", lasts=1) for _ in range(100)],
        Request(run="b", at=5.5),
    )
    assert [request.run for _, request in story.entered].index(
        "b"
    ) == 7  # six of a, the one that was next, then b
    assert story.times[7] == 7
    assert len(story.entered) == 101


def test_within_a_run_the_first_come_is_the_first_served() -> None:
    requests = [Request(tokens=number) for number in (60, 50, 1, 30, 2)]
    story = story_of(Rate(tokens_per_minute=60), *requests)
    assert [request for _, request in story.entered] == requests


WAITS = [
    (Rate(requests_per_minute=2), [Request()] * 2, Request(), 30.0, "2 requests a minute"),
    (Rate(tokens_per_minute=60), [Request(tokens=60)], Request(tokens=9), 9.0, "60 tokens a minute"),
    (Rate(concurrency=1), [Request(lasts=5)], Request(), None, "1 at a time"),
    (Rate(requests_per_minute=2), [Request()] * 4, Request(), 90.0, "2 requests a minute"),
    (Rate(requests_per_minute=2), [Request(run="b")] * 4, Request(), 60.0, "2 requests a minute"),
    (
        Rate(requests_per_minute=60, concurrency=2),
        [Request(lasts=5)] * 2,
        Request(at=1),
        None,
        "2 at a time",
    ),
]
WAITS_IDS = [
    "requests",
    "tokens",
    "a place",
    "its own run's requests first",
    "one of another run first",
    "a place, with an allowance left",
]


@pytest.mark.parametrize(("rate", "others", "request_", "seconds", "limit"), WAITS, ids=WAITS_IDS)
def test_whoever_waits_is_told_once_how_long_and_for_what(
    rate: Rate, others: list[Request], request_: Request, seconds: float | None, limit: str
) -> None:
    story = story_of(rate, *others, request_)
    (told,) = [(told, why) for request, told, why in story.told if request is request_]
    assert told == (seconds if seconds is None else pytest.approx(seconds), f"for a turn at p ({limit})")


def test_who_need_not_wait_is_told_nothing() -> None:
    story = story_of(
        Rate(requests_per_minute=4, tokens_per_minute=9, concurrency=2), *[Request(tokens=4)] * 2
    )
    assert story.told == []


@pytest.mark.parametrize(
    ("patience", "others", "said"),
    [
        (20, 1, "no turn at p within 20.0 s (2 requests a minute): it takes 30.0 s"),
        (70, 3, "no turn at p within 70.0 s (2 requests a minute): it takes 90.0 s"),
        (0, 1, "no turn at p within 0.0 s (2 requests a minute): it takes 30.0 s"),
        (-3, 1, "no turn at p within 0.0 s (2 requests a minute): it takes 30.0 s"),
    ],
    ids=["too little for the bucket", "too little for those before it", "none", "less than none"],
)
def test_who_would_wait_too_long_is_told_so_at_once(patience: float, others: int, said: str) -> None:
    before = [Request() for _ in range(1 + others)]
    hasty = Request(patience=patience)
    story = story_of(Rate(requests_per_minute=2), *before, hasty, Request(at=1))
    ((at, error),) = story.too_long
    assert (round(at, 3), str(error)) == (0, said)
    assert hasty not in [request for request, *_ in story.told]
    assert story.times[-1] == 30 * others, "nothing was taken"


def test_patience_that_is_just_enough_is_enough() -> None:
    assert story_of(Rate(requests_per_minute=1), Request(), Request(patience=60.001)).times == [0, 60]
    assert story_of(Rate(requests_per_minute=1), Request(), Request(patience=-1, at=60.001)).times == [
        0,
        60.001,
    ]


def test_who_waits_for_a_place_goes_when_its_patience_is_at_an_end() -> None:
    story = story_of(
        Rate(concurrency=1),
        Request(lasts=100),
        Request(patience=7),
        Request(patience=9, run="b"),
        Request(patience=200),
    )
    assert [(round(at, 3), round(error.seconds, 3), str(error)) for at, error in story.too_long] == [
        (7, 7, "no turn at p within 7.0 s (1 at a time)"),
        (9, 9, "no turn at p within 9.0 s (1 at a time)"),
    ]
    assert story.times == [0, 100]


def test_who_is_next_goes_as_soon_as_others_turn_out_to_have_used_too_much() -> None:
    story = story_of(
        Rate(tokens_per_minute=60),
        Request(tokens=50, used=110, lasts=2),
        Request(tokens=15, patience=30),
        Request(tokens=10, patience=inf),
    )
    ((at, error),) = story.too_long
    assert str(error) == "no turn at p within 30.0 s (60 tokens a minute): it takes 65.0 s"
    assert round(at, 3) == 2
    assert story.times == [0, 60]


def test_what_is_settled_while_the_request_lasts_counts_at_once() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        gates = Gates({"p": Rate(tokens_per_minute=60)}.__getitem__, clock=loop.time)

        async def wait() -> float:
            async with gates.turn("p", run="b", tokens=30, patience=inf, waiting=lambda *_: None):
                return loop.time()

        async with gates.turn("p", run="a", tokens=60, patience=0, waiting=lambda *_: None) as place:
            waiter = asyncio.ensure_future(wait())
            await asyncio.sleep(5)
            place.settle(10)
            await asyncio.sleep(100)
        assert await waiter == pytest.approx(5)

    on_made_up_time(main())


def test_nobody_looks_again_and_again() -> None:
    async def main() -> int:
        loop, looks = asyncio.get_running_loop(), []

        def clock() -> float:
            looks.append(1)
            return loop.time()

        gates = Gates({"p": Rate(requests_per_minute=1)}.__getitem__, clock=clock)

        async def one() -> None:
            async with gates.turn("p", run="a", tokens=1, patience=inf, waiting=lambda *_: None):
                pass

        await asyncio.gather(*(one() for _ in range(100)))
        return len(looks)

    assert on_made_up_time(main()) <= 500


def test_whoever_has_its_turn_leaves_no_timer() -> None:
    async def main() -> int:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, MadeUpTime)
        gates = Gates({"p": Rate(concurrency=1)}.__getitem__, clock=loop.time)

        async def one() -> None:
            async with gates.turn("p", run="b", tokens=1, patience=1_000, waiting=lambda *_: None):
                await asyncio.sleep(1)

        await asyncio.gather(one(), one(), one())
        return loop.timers

    assert on_made_up_time(main()) == 0


def test_a_settled_turn_can_be_settled_anew() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        gates, told = Gates({"p": Rate(tokens_per_minute=60)}.__getitem__, clock=loop.time), []
        async with gates.turn("p", run="a", tokens=60, patience=0, waiting=lambda *_: None) as place:
            place.settle(10)
            place.settle(40)
        turn = gates.turn("p", run="a", tokens=30, patience=60, waiting=lambda *said: told.append(said))
        async with turn:
            assert loop.time() == pytest.approx(10)
        assert told == [(pytest.approx(10), "for a turn at p (60 tokens a minute)")]

    on_made_up_time(main())


def test_who_has_no_patience_does_not_even_begin_to_wait_for_a_place() -> None:
    story = story_of(Rate(concurrency=1), Request(lasts=5), Request(patience=0))
    assert [str(error) for _, error in story.too_long] == ["no turn at p within 0.0 s (1 at a time)"]
    assert story.told == []


def test_a_newcomer_does_not_overtake_who_is_about_to_go() -> None:
    async def main() -> list[str]:
        gates, order, told = Gates({"p": Rate(concurrency=2)}.__getitem__), [], []

        def turn(run: str) -> Turn:
            return gates.turn(
                "p", run=run, tokens=1, patience=9, waiting=lambda *said: told.append((run, *said))
            )

        async def wait() -> None:
            async with turn("b"):
                order.append("waiter")

        async with turn("a"), turn("a"):
            waiter = asyncio.ensure_future(wait())
            await asyncio.sleep(0)
        async with turn("c"):  # both places are free, and the waiter, woken, has not looked yet
            order.append("newcomer")
        await waiter
        assert told == [
            ("b", None, "for a turn at p (2 at a time)"),
            ("c", None, "for a turn at p (others are before it)"),
        ]
        return order

    assert on_made_up_time(main()) == ["waiter", "newcomer"]


@pytest.mark.parametrize("end", [asyncio.CancelledError, ValueError, KeyError])
def test_a_place_is_free_again_however_its_request_ends(end: type[BaseException]) -> None:
    async def main() -> None:
        rate = Rate(concurrency=1)
        gates = Gates({"p": rate}.__getitem__, clock=asyncio.get_running_loop().time)
        with pytest.raises(end):
            async with gates.turn("p", run="a", tokens=1, patience=0, waiting=lambda *_: None):
                raise end
        await see_nothing_left(gates, rate)

    on_made_up_time(main())


def test_a_waiter_whose_progress_cannot_be_shown_leaves_no_trace() -> None:
    def broken(seconds: float | None, why: str) -> None:
        raise OSError("no screen")

    async def main() -> None:
        rate = Rate(concurrency=1)
        gates = Gates({"p": rate}.__getitem__, clock=asyncio.get_running_loop().time)
        async with gates.turn("p", run="a", tokens=1, patience=0, waiting=broken):
            with pytest.raises(OSError, match="no screen"):
                async with gates.turn("p", run="b", tokens=1, patience=9, waiting=broken):
                    raise AssertionError("it went in")
        await see_nothing_left(gates, rate)

    on_made_up_time(main())


def test_a_cancelled_waiter_makes_way_for_the_next() -> None:
    story = story_of(
        Rate(tokens_per_minute=60),
        Request(tokens=60),
        Request(tokens=60, cancelled_at=10),
        Request(tokens=20),
    )
    assert story.times == [0, 20]


def test_one_that_is_cancelled_just_when_its_turn_comes_hands_it_on() -> None:
    async def main() -> list[str]:
        gates, order = Gates({"p": Rate(concurrency=1)}.__getitem__), []

        async def one(name: str, ends: asyncio.Event) -> None:
            async with gates.turn("p", run=name, tokens=1, patience=inf, waiting=lambda *_: None):
                order.append(name)
                await ends.wait()

        ends, ended = asyncio.Event(), asyncio.Event()
        ended.set()
        first, second, third = (
            asyncio.ensure_future(one(name, event))
            for name, event in (("first", ends), ("second", ended), ("third", ended))
        )
        await asyncio.sleep(0)
        ends.set()
        await first  # the second is woken, and has not looked yet
        second.cancel()
        await asyncio.gather(second, third, return_exceptions=True)
        return order

    assert on_made_up_time(main()) == ["first", "third"]


def test_a_provider_without_limits_has_no_gate_and_is_looked_up_once() -> None:
    asked = []

    def rate_of(provider: str) -> Rate:
        asked.append(provider)
        return UNLIMITED

    async def main() -> None:
        gates = Gates(rate_of)
        for run in range(3):
            turn = gates.turn("p", run=str(run), tokens=10**9, patience=0, waiting=lambda *_: None)
            async with turn as place:
                place.settle(10**9)
                assert turn is gates.turn("q", run="other", tokens=1, patience=0, waiting=lambda *_: None)

    asyncio.run(main())
    assert asked == ["p", "q"]


def test_providers_do_not_wait_for_each_other() -> None:
    async def main() -> None:
        gates = Gates(lambda name: Rate(concurrency=1))
        async with (
            gates.turn("p", run="a", tokens=1, patience=0, waiting=lambda *_: None),
            gates.turn("q", run="a", tokens=1, patience=0, waiting=lambda *_: None),
        ):
            with pytest.raises(TooLong):
                async with gates.turn("q", run="a", tokens=1, patience=0, waiting=lambda *_: None):
                    pass

    asyncio.run(main())
