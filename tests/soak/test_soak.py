"""Many runs at once against a provider at which things go wrong by chance: what they counted is what it reported."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.servers.clients import NAMES, key_of
from tests.servers.faulty import FaultyServer
from ymera import MultiModelExecutor
from ymera.nodes.settings import load_settings
from ymera.nodes.state import NO_USAGE
from ymera.routing.attempts import Usage
from ymera.routing.catalogue import builtin_catalogue

from .books import Books, Entry, Made, compare, make_run
from .till import CLIENTS, PASSING, Receipt, Till, healthy

AT_ONCE = 64
SILENCE_S = 4.0
"""Long beside what a reply takes while 64 runs share two processors, short beside the test."""
KEPT_BYTES = 4_000
"""Bytes that a run may leave in memory: the last runs' budgets are remembered, the rest is the allocator's noise."""


def unlock(monkeypatch: pytest.MonkeyPatch, server: FaultyServer) -> None:
    for provider in builtin_catalogue().providers.values():
        if provider.name in NAMES:
            for variable in provider.variables:
                monkeypatch.setenv(variable, key_of(provider.name))
            monkeypatch.setenv(f"YMERA_{provider.name.upper()}_BASE_URL", server.base_url(provider.name))


@asynccontextmanager
async def opened(monkeypatch: pytest.MonkeyPatch, server: FaultyServer) -> AsyncIterator[MultiModelExecutor]:
    async with server:
        unlock(monkeypatch, server)
        async with MultiModelExecutor(load_settings()) as executor:
            yield executor


async def make_runs(executor: MultiModelExecutor, seed: int, numbers: range) -> list[Entry]:
    places = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> Entry:
        async with places:
            return await make_run(executor, seed, number, silence_s=SILENCE_S)

    return list(await asyncio.gather(*(one(number) for number in numbers)))


async def books_of(monkeypatch: pytest.MonkeyPatch, seed: int, runs: int) -> Books:
    till = Till(seed, 0.3)
    async with opened(monkeypatch, till) as executor:
        made = await make_runs(executor, seed, range(runs))
    books = compare(made, till.receipts())
    billed = sum(one.input_tokens + one.output_tokens for one in till.billed.values())
    assert billed == books.tokens + books.late_tokens
    return books


def check(books: Books, runs: int) -> None:
    print(books)  # noqa: T201 - the figures of the documents
    assert books.wrong == []
    assert books.runs == runs
    assert set(books.exact) == set(CLIENTS)
    assert books.exact.total() > books.estimated + books.unpriced + books.late


async def test_a_hundred_runs_under_random_faults_have_the_books_of_their_provider(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    check(await books_of(monkeypatch, 1, 100), 100)


def test_books_that_differ_by_a_token_are_found_out() -> None:
    key = ("m1", "generation", "groq", "openai/gpt-oss-120b")
    usage = Usage({**NO_USAGE, "input_tokens": 10, "output_tokens": 7})
    made = Made(key=key, kind="answered", partial=False, usage=usage)
    entry = Entry(tag="m1", success=True, seconds=1.0, wrong=[], made=[made])
    for told in ((10, 8), None):
        assert compare([entry], [Receipt(key, told)]).wrong
    assert compare([entry], []).wrong
    assert compare([], [Receipt(key, (10, 7))]).wrong


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", [2, 3, 4, 5])
async def test_two_thousand_runs_under_random_faults_have_the_books_of_their_provider(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five hundred with each of four seeds."""
    check(await books_of(monkeypatch, seed, 500), 500)


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_memory_is_flat_after_a_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    server = FaultyServer(remembered=100)
    server.chaos(1, 0.3, PASSING)
    server.answer(lambda request: healthy(1, request))
    async with opened(monkeypatch, server) as executor:
        await make_runs(executor, 1, range(600))
        before = resident()
        await make_runs(executor, 1, range(600, 1_400))
        after = resident()
    print(f"resident: {before / 2**20:.1f} MiB after 600 runs, {after / 2**20:.1f} MiB after 1,400")  # noqa: T201
    assert after - before < 800 * KEPT_BYTES


def resident() -> int:
    """Return the bytes that this process has in memory."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096
