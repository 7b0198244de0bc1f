"""Turns at a provider shared by several event loops; loops and requests that are abandoned."""

from __future__ import annotations

import asyncio
import gc
import random
import threading
import time
from collections.abc import Coroutine
from math import inf
from typing import Any

from ymera.nodes.gates import Gates, TooLong
from ymera.routing.rates import Rate


def in_threads(*mains: Coroutine[Any, Any, None]) -> None:
    """Run each in an event loop and a thread of its own."""
    faults: list[BaseException] = []

    def work(main: Coroutine[Any, Any, None]) -> None:
        try:
            asyncio.run(asyncio.wait_for(main, 20))
        except BaseException as error:  # noqa: BLE001 - it is told in the main thread
            faults.append(error)

    threads = [threading.Thread(target=work, args=(main,)) for main in mains]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []


def test_two_event_loops_share_a_gate_turn_by_turn() -> None:
    """One holds the only place until all others of both loops wait; then they alternate, 5 ms each."""
    gates = Gates({"p": Rate(tokens_per_minute=60_000, concurrency=1)}.__getitem__)
    everybody_waits, lock = threading.Event(), threading.Lock()
    order: list[str] = []
    told, inside, most = [0], [0], [0]

    def count(seconds: float | None, why: str) -> None:
        with lock:
            told[0] += 1
            if told[0] == 40:
                everybody_waits.set()

    async def one(run: str) -> None:
        async with gates.turn("p", run=run, tokens=5, patience=20, waiting=count):
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            await asyncio.sleep(0)
            order.append(run)
            inside[0] -= 1

    async def hold() -> None:
        async with gates.turn("p", run="holder", tokens=60_000, patience=0, waiting=count):
            started.set()
            await asyncio.to_thread(everybody_waits.wait, 20)

    async def twenty(run: str) -> None:
        await asyncio.to_thread(started.wait, 20)
        await asyncio.gather(*(one(run) for _ in range(20)))

    started = threading.Event()
    began = time.monotonic()
    in_threads(hold(), twenty("a"), twenty("b"))
    assert time.monotonic() - began >= 0.2
    assert most == [1]
    assert order in (["a", "b"] * 20, ["b", "a"] * 20)


def test_in_two_event_loops_cancelled_at_random_no_place_is_lost() -> None:
    looking: list[int] = []
    at_once = set()

    def clock() -> float:
        looking.append(1)
        at_once.add(len(looking))
        time.sleep(0.0001)  # another thread would cut in here, if nothing kept it out
        looking.pop()
        return time.monotonic()

    gates = Gates({"p": Rate(concurrency=3)}.__getitem__, clock=clock)
    chance, inside, most, lock = random.Random(7), [0], [0], threading.Lock()

    async def one(run: str, patience: float, lasts: float) -> None:
        try:
            async with gates.turn("p", run=run, tokens=1, patience=patience, waiting=lambda *_: None):
                with lock:
                    inside[0] += 1
                    most[0] = max(most[0], inside[0])
                try:
                    await asyncio.sleep(lasts)
                finally:
                    with lock:
                        inside[0] -= 1
        except TooLong:
            pass

    async def many(run: str) -> None:
        loop, made = asyncio.get_running_loop(), []
        for number in range(150):
            patience, lasts = chance.choice((inf, 0.01)), chance.choice((0, 0.001))
            made.append(asyncio.ensure_future(one(f"{run}{number % 5}", patience, lasts)))
            if chance.random() < 0.5:
                loop.call_later(chance.random() * 0.05, made[-1].cancel)
        await asyncio.gather(*made, return_exceptions=True)

    in_threads(many("a"), many("b"))
    assert (inside, most, at_once) == ([0], [3], {1})

    async def three() -> None:
        await asyncio.gather(*(one("c", 0, 0.001) for _ in range(3)))
        assert most == [3]

    most[0] = 0
    in_threads(three())


def test_a_waiter_whose_event_loop_was_closed_over_it_is_passed_over() -> None:
    async def main() -> None:
        gates = Gates({"p": Rate(concurrency=1)}.__getitem__)
        seen: list[str] = []
        lost = asyncio.new_event_loop()

        async def one(name: str) -> None:
            async with gates.turn("p", run=name, tokens=1, patience=inf, waiting=lambda *_: None):
                seen.append(name)

        def wait_and_close() -> None:
            waiter = lost.create_task(one("lost"))
            lost.call_soon(lost.stop)
            lost.run_forever()
            lost.close()
            kept.append(waiter)

        kept: list[asyncio.Task[None]] = []
        async with gates.turn("p", run="first", tokens=1, patience=0, waiting=lambda *_: None):
            await asyncio.to_thread(wait_and_close)
            last = asyncio.ensure_future(one("last"))
            await asyncio.sleep(0)
        await asyncio.wait_for(last, 5)
        assert seen == ["last"]
        kept[0].get_coro().close()
        kept[0]._log_destroy_pending = False  # type: ignore[attr-defined]

    asyncio.run(main())


def test_a_request_that_is_collected_as_garbage_gives_its_place_back() -> None:
    """Even when that happens just while the gate is looked at: here, whenever it asks for the time."""

    def clock() -> float:
        gc.collect(0)
        return time.monotonic()

    async def main() -> None:
        gates = Gates({"p": Rate(concurrency=1)}.__getitem__, clock=clock)

        async def endless() -> None:
            async with gates.turn("p", run="a", tokens=1, patience=0, waiting=lambda *_: None):
                await asyncio.get_running_loop().create_future()

        request = endless()
        request.send(None)
        knot = [request]
        knot.append(knot)  # type: ignore[arg-type]
        del request, knot
        async with gates.turn("p", run="b", tokens=1, patience=0, waiting=lambda *_: None):
            pass

    asyncio.run(main())
