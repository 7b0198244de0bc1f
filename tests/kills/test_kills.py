"""Runs that are killed again and again, and what becomes of them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from .killing import opened_arena
from .report import COST, STORES, TALLY
from .schedule import CALLS, POINTS, RESUMED, trial
from .trying import RUNS, TURNS, kill_runs, measure, too_early

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="follows its children by pidfd")

SEED = 1
REPEAT = "Make a trial again: python -m tests.kills SEED TRIAL [postgresql://…]"
LONG = pytest.mark.kills, pytest.mark.timeout(3600)


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def url(store: str, request: pytest.FixtureRequest) -> str:
    """Where runs are kept; empty: in files."""
    return str(request.getfixturevalue("postgres_url")) if store == "PostgreSQL" else ""


Record = Callable[[str, object], None]


@pytest.mark.parametrize("kills", [25, pytest.param(1000, marks=LONG)])
async def test_no_run_is_lost_and_no_finished_call_is_made_again(
    kills: int, store: str, url: str, tmp_path: Path, record_property: Record
) -> None:
    async with opened_arena(tmp_path, url=url) as arena:
        tally = await kill_runs(arena, SEED, kills)
    record_property(TALLY, {"store": store, **tally.plain()})
    assert not tally.wrong, "\n".join([*tally.wrong, REPEAT])


async def test_no_call_is_sent_before_the_answer_before_it_is_kept(url: str, tmp_path: Path) -> None:
    async with opened_arena(tmp_path, url=url) as arena:
        left, requests = await arena.many(100, 10)
    assert len(left["kept"]) == len(requests) == 10 * CALLS["m0"]
    assert too_early(left["kept"], requests) == 0


@pytest.mark.kills
async def test_with_the_usual_durability_requests_are_sent_too_early(
    store: str, url: str, tmp_path: Path, record_property: Record
) -> None:
    async with opened_arena(tmp_path, url=url) as arena:
        costs = {cost.durability: cost for cost in await measure(arena)}
    for cost in costs.values():
        record_property(COST, {"store": store, **vars(cost)})
    assert costs["async"].early > costs["sync"].early == 0
    assert costs["sync"].answers == TURNS * RUNS * CALLS["m0"]


def test_every_point_and_every_way_is_drawn() -> None:
    drawn = [kill for number in range(60) for kill in trial(SEED, number).kills]
    assert {kill.point for kill in drawn} == set(POINTS)
    assert {kill.way for kill in drawn} == set(RESUMED)
    assert trial(SEED, 7) == trial(SEED, 7) != trial(SEED + 1, 7)
