"""A second candidate beside a late first one: who is started, who wins, who is cancelled."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from ymera.nodes.hedge import Contender, race
from ymera.nodes.latencies import ENOUGH, KEPT, Latencies

DELAY = 0.02


@dataclass(kw_only=True)
class Runner:
    """Begins after some seconds, ends after some more; `told` is what became of it."""

    begins: float
    ends: float
    ok: bool = True
    told: list[str] = field(default_factory=list)

    async def __call__(self, contender: Contender[str]) -> str:
        try:
            await asyncio.sleep(self.begins)
            contender.begun.set()
            await asyncio.sleep(self.ends)
        except asyncio.CancelledError:
            self.told.append("cancelled")
            if contender.lost:
                return "lost"
            raise
        self.told.append("ended")
        return "ok" if self.ok else "failed"


async def raced(first: Runner, second: Runner | None) -> list[str]:
    async def other() -> Contender[str] | None:
        return Contender(run=second) if second else None

    return await race(
        Contender(run=first),
        other,
        delay=DELAY,
        won=lambda outcome: outcome == "ok",
    )


@pytest.mark.parametrize(
    ("first", "second", "outcomes"),
    [
        (Runner(begins=0, ends=2 * DELAY), Runner(begins=0, ends=0), ["ok"]),
        (Runner(begins=5, ends=0), Runner(begins=0, ends=0), ["lost", "ok"]),
        (Runner(begins=2 * DELAY, ends=0), Runner(begins=5, ends=0), ["ok", "lost"]),
        (Runner(begins=2 * DELAY, ends=0), Runner(begins=0, ends=0, ok=False), ["ok", "failed"]),
        (
            Runner(begins=2 * DELAY, ends=0, ok=False),
            Runner(begins=0, ends=0, ok=False),
            ["failed", "failed"],
        ),
        (Runner(begins=0, ends=0, ok=False), Runner(begins=0, ends=0), ["failed"]),
        (Runner(begins=2 * DELAY, ends=0), None, ["ok"]),
    ],
    ids=[
        "in time: alone, however long the answer is",
        "the second answers first",
        "the first answers first after all",
        "the second fails, the first is waited for",
        "both fail",
        "a first one that fails at once is the fallback's business",
        "nobody else is there",
    ],
)
async def test_who_answers_first_wins(first: Runner, second: Runner | None, outcomes: list[str]) -> None:
    assert await raced(first, second) == outcomes
    assert len(asyncio.all_tasks()) == 1


async def test_a_cancelled_race_cancels_both_and_waits_for_them() -> None:
    first, second = Runner(begins=5, ends=0), Runner(begins=5, ends=0)
    task = asyncio.create_task(raced(first, second))
    await asyncio.sleep(2 * DELAY)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (first.told, second.told) == (["cancelled"], ["cancelled"])
    assert len(asyncio.all_tasks()) == 1


def test_the_95th_percentile_is_known_once_enough_was_seen_and_forgets_what_is_old() -> None:
    latencies = Latencies()
    for n in range(1, ENOUGH):
        latencies.add("a:1", n)
    assert latencies.p95("a:1") is None
    latencies.add("a:1", ENOUGH)
    assert latencies.p95("a:1") == 20
    assert latencies.p95("b:1") is None
    for _ in range(KEPT):
        latencies.add("a:1", 0.5)
    assert latencies.p95("a:1") == 0.5
