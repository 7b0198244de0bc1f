"""Two instances, one of which is struck in the middle of its runs: none is lost, and no finished call is repeated."""

from __future__ import annotations

import signal
import time
from collections.abc import AsyncIterator, Sequence
from typing import cast

import pytest
import pytest_asyncio

from tests.kills.schedule import AGENTS
from tests.servers.postgres import Postgres
from ymera.nodes.state import State
from ymera.results import result_of

from .counts import TITLE, Ended, Strike, count
from .fleet import Instance
from .place import Place, opened, until

pytestmark = [pytest.mark.deploy, pytest.mark.timeout(900), pytest.mark.asyncio(loop_scope="module")]

RUNS = 16
TAKEN_OVER_S = 10.0
"""Within how many seconds a dead instance's runs go on elsewhere, with the documented settings."""
UNDER_WAY = ("pending", "running")
TRY_AGAIN = 75
"""The exit code of an instance that ends itself because it stood still."""

Begun = dict[str, tuple[str, str]]
"""The thread and the module of each copy."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    async with opened(postgres.new_database(), tmp_path_factory.mktemp("fleet"), slow_s=1.0) as place:
        yield place


async def begin(place: Place, way: int) -> Begun:
    """Begin runs, at both instances in turn."""
    begun, modules = {}, sorted(AGENTS)
    for number in range(RUNS):
        copy, module = f"{way}-{number}", modules[number % len(modules)]
        async with place.client(place.fleet.instances[number % 2]) as client:
            thread = await client.threads.create()
            task = f"Write module {module} of the import service (copy {copy}), with sessions and roles"
            await client.runs.create(thread["thread_id"], AGENTS[module], input={"task": task})
        begun[copy] = (thread["thread_id"], module)
    return begun


async def middle(place: Place, copies: Sequence[str]) -> None:
    """Wait until most of the runs are at their second call."""
    seen = place.witness.seen
    await until(lambda: sum(len(seen.get(copy, [])) >= 2 for copy in copies) > len(copies) // 2, 60)


async def ended(place: Place, begun: Begun, taken: set[str]) -> list[Ended]:
    """Return what became of the runs, as a client of the living instance sees it."""
    runs, status = [], dict(place.rows("SELECT thread_id, status FROM runs"))
    async with place.client(place.fleet.instances[1]) as client:
        for copy, (thread, module) in begun.items():
            state = await client.threads.get_state(thread)
            values = cast("State", state["values"])
            result = None if state["next"] else result_of(values, thread_id=thread, seconds=0.0)
            run = Ended(copy=copy, module=module, taken=thread in taken, status=status[thread], result=result)
            runs.append(run)
    return runs


def now() -> Strike:
    return Strike(time.time(), time.monotonic())


async def killed(place: Place, victim: Instance) -> tuple[Strike, set[str]]:
    had = place.owned(victim)
    victim.send(signal.SIGKILL)
    return now(), had


async def stopped(place: Place, victim: Instance) -> tuple[Strike, set[str]]:
    """Stop it, and wake it as soon as the other has all of its runs."""
    had = place.owned(victim)
    victim.send(signal.SIGSTOP)
    strike = now()
    await until(lambda: not place.owned(victim) & had, 30)
    victim.send(signal.SIGCONT)
    return strike, had


async def stopped_long(place: Place, victim: Instance) -> tuple[Strike, set[str]]:
    """Stop it, and wake it when everything is over."""
    had = place.owned(victim)
    victim.send(signal.SIGSTOP)
    strike = now()
    await until(place.all_over, 120)
    victim.send(signal.SIGCONT)
    return strike, had


async def drained(place: Place, victim: Instance) -> tuple[Strike, set[str]]:
    """Ask it to end; the runs that it could not finish count as taken over."""
    had = place.owned(victim)
    victim.send(signal.SIGTERM)
    await victim.ended(60)
    strike = now()
    left = {
        thread for thread, status in place.rows("SELECT thread_id, status FROM runs") if status in UNDER_WAY
    }
    return strike, had & left


WAYS = {
    "SIGKILL": (killed, -signal.SIGKILL),
    "SIGSTOP, woken when taken over": (stopped, TRY_AGAIN),
    "SIGSTOP, woken when all is over": (stopped_long, TRY_AGAIN),
    "SIGTERM": (drained, -signal.SIGTERM),
}
"""What is done to an instance, and its exit code (uvicorn ends itself by the signal once it has drained)."""


@pytest.mark.parametrize("way", WAYS)
async def test_an_instance_is_struck_and_no_run_is_lost(place: Place, way: str) -> None:
    strike_at, code = WAYS[way]
    while len(place.fleet.instances) < 2:
        await place.fleet.start()
    begun = await begin(place, list(WAYS).index(way))
    await middle(place, list(begun))
    victim = place.fleet.instances[0]
    strike, taken = await strike_at(place, victim)
    await until(place.all_over, 120)
    assert await victim.ended(10) == code
    counts = count(way, await ended(place, begun, taken), place.witness.seen, strike=strike)
    place.fleet.instances.remove(victim)
    print("", TITLE, counts.line(), sep="\n")  # noqa: T201 - the table of docs/deploy.md
    assert counts.wrong == []
    assert counts.done == RUNS
    assert counts.taken > 0
    assert max(counts.resumed) <= TAKEN_OVER_S
