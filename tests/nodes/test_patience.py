"""A limit runs out when it is reached, and not because the event loop was late."""

from __future__ import annotations

import asyncio
import time

import pytest

from ymera.nodes.patience import TOLERATED_S, Patience

LATE_S = 3 * TOLERATED_S


def now() -> float:
    return asyncio.get_running_loop().time()


async def slept(limit: Patience, *, within: float, end: float, seconds: float, late: float = 0.0) -> None:
    """Sleep within a limit, in a process that is first busy with something else for a while."""
    async with limit:
        limit.set(now() + within, end=now() + end)
        time.sleep(late)  # noqa: ASYNC251 - the process is behind with its own work
        await asyncio.sleep(seconds)


async def test_a_limit_that_is_reached_runs_out() -> None:
    limit, clock = Patience(), now()
    with pytest.raises(TimeoutError):
        await slept(limit, within=0.02, end=60, seconds=30)
    assert limit.expired()
    assert now() - clock < 5


async def test_what_is_done_before_is_not_disturbed_afterwards() -> None:
    limit = Patience()
    async with limit:
        limit.set(now() + 0.02, end=now() + 60)
    await asyncio.sleep(0.05)
    assert not limit.expired()


async def test_a_limit_that_is_set_anew_counts_from_there() -> None:
    limit = Patience()
    async with limit:
        for _ in range(5):
            limit.set(now() + TOLERATED_S, end=now() + 60)
            await asyncio.sleep(TOLERATED_S / 3)
    assert not limit.expired()


async def test_an_answer_that_lies_there_when_the_loop_comes_back_is_taken() -> None:
    limit, answer = Patience(), asyncio.Event()
    async with limit:
        limit.set(now() + 0.02, end=now() + 60)
        asyncio.get_running_loop().call_later(0.03, answer.set)
        time.sleep(LATE_S)  # noqa: ASYNC251 - the process is behind with its own work
        await answer.wait()
    assert not limit.expired()


async def test_a_loop_that_was_late_is_given_as_long_again() -> None:
    limit = Patience()
    await slept(limit, within=0.02, end=60, seconds=LATE_S / 2, late=LATE_S)
    assert not limit.expired()


async def test_a_loop_that_falls_behind_just_then_is_given_time_too() -> None:
    limit, answer, loop = Patience(), asyncio.Event(), asyncio.get_running_loop()
    async with limit:
        at = now() + 0.02
        limit.set(at, end=at + 60)
        loop.call_at(at, time.sleep, LATE_S)
        loop.call_at(at + LATE_S / 2, answer.set)
        await answer.wait()
    assert not limit.expired()


async def test_the_end_is_the_end_however_late_the_loop_is() -> None:
    limit, clock = Patience(), now()
    with pytest.raises(TimeoutError):
        await slept(limit, within=0.02, end=0.1, seconds=30, late=LATE_S)
    assert now() - clock < 1.5 * LATE_S


async def test_who_is_cancelled_meanwhile_is_cancelled_and_not_timed_out() -> None:
    limit = Patience()

    async def wait() -> None:
        async with limit:
            limit.set(now() + 30, end=now() + 60)
            await asyncio.sleep(30)

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not limit.expired()
