"""FailoverBench's sixteen faults, by their names: YMERA passes all of them.

The provider and the judge are the benchmark's (benchmarks/wall.py and sixteen.py), and so are the seconds. Only where
limits of time are what is tried, all seconds are a part of what they are, and what happened is judged as if it had been
slower; the outage of S15 takes no time at all, by a clock of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from benchmarks.added import PROMPT
from benchmarks.failover import try_all
from benchmarks.ours import OURS, asked_of, fresh_services
from benchmarks.sixteen import SCENARIOS, Told, Trial, judge
from benchmarks.systems import Route
from benchmarks.wall import Timing, Wall, read_log
from ymera import MultiModelExecutor
from ymera.routing.records import ProviderProfile

from .report import SCENARIO

pytestmark = pytest.mark.faults

Record = Callable[[str, object], None]

PACE = 5
"""How many times as fast the limits of time are tried."""
AT_PACE = Timing(first_token_s=20 / PACE, stall_s=30 / PACE, silent_s=120 / PACE, token_s=0)
BY_ID = {scenario.id: scenario for scenario in SCENARIOS}
TIMED = ("S06", "S07", "S09")
"""Scenarios in which limits of time are tried."""
REQUESTS = {
    "S01": (2, 0), "S02": (2, 1), "S03": (2, 0), "S04": (2, 1), "S05": (2, 0), "S08": (1, 1), "S10": (2, 1),
    "S11": (1, 0), "S12": (1, 1), "S13": (1, 0), "S14": (1, 1), "S16": (2, 1),
}  # fmt: skip
"""To the primary and to the fallback, as data/faults.toml allows them."""


def test_every_scenario_is_tried_here() -> None:
    assert {*REQUESTS, *TIMED, "S15"} == set(BY_ID)


@pytest.mark.parametrize("scenario", REQUESTS)
async def test_failoverbench(scenario: str, record_property: Record) -> None:
    async with Wall(Timing(token_s=0)).serving() as wall:
        [cell] = await try_all(wall.base_url, [OURS], [BY_ID[scenario]], stagger_s=0)
    record_property(SCENARIO, (scenario, cell.judgement.verdict))
    assert cell.judgement == ("pass", "")
    assert not cell.leaves_text
    assert (len(cell.trial.primary), len(cell.trial.fallback)) == REQUESTS[scenario]


@pytest.mark.parametrize("scenario", TIMED)
async def test_failoverbench_at_another_pace(
    scenario: str, monkeypatch: pytest.MonkeyPatch, record_property: Record
) -> None:
    monkeypatch.setenv("FIRST_TOKEN_TIMEOUT", str(ProviderProfile.first_token_s / PACE))
    monkeypatch.setenv("SILENCE_TIMEOUT", str(ProviderProfile.silence_s / PACE))
    asked = replace(BY_ID[scenario], longest_s=BY_ID[scenario].longest_s / PACE)
    async with Wall(AT_PACE).serving() as wall:
        [cell] = await try_all(wall.base_url, [OURS], [asked], stagger_s=0)
    judgement = judge(BY_ID[scenario], slowed(cell.trial))
    record_property(SCENARIO, (scenario, judgement.verdict))
    assert judgement == ("pass", "")
    assert not cell.leaves_text
    assert (len(cell.trial.primary), len(cell.trial.fallback)) == (1, 1)


def slowed(trial: Trial) -> Trial:
    """Return what would have happened at the true pace."""
    return replace(
        trial,
        told=[replace(told, seconds=told.seconds * PACE) for told in trial.told],
        primary=[replace(sent, at=sent.at * PACE) for sent in trial.primary],
        fallback=[replace(sent, at=sent.at * PACE) for sent in trial.fallback],
    )


@dataclass
class Clock:
    """Seconds that pass when they are told to."""

    now: float = 1_000_000.0

    def __call__(self) -> float:
        return self.now

    async def pause(self, seconds: float) -> None:
        self.now += seconds


async def test_failoverbench_s15_an_outage_of_a_minute(record_property: Record) -> None:
    clock, scenario, told = Clock(), BY_ID["S15"], []
    start = clock.now
    async with Wall(Timing(token_s=0), clock=clock).serving() as wall:
        route = Route(base_url=wall.base_url, primary="s15-ymera-primary", fallback="s15-ymera-fallback")
        async with fresh_services(route, clock=clock) as services:
            ask = asked_of(MultiModelExecutor(services=replace(services, pause=clock.pause)))
            for number in range(scenario.calls):
                clock.now = max(clock.now, start + number * scenario.every_s)
                reply = await ask(PROMPT)
                told.append(Told(at=clock.now - start, seconds=0, text=reply.text, streamed=reply.streamed))
        log = await read_log(wall.base_url)
    primary, fallback = ([s for s in log if s.model == model] for model in (route.primary, route.fallback))
    trial = Trial(told=told, primary=primary, fallback=fallback)
    judgement = judge(scenario, trial)
    record_property(SCENARIO, (scenario.id, judgement.verdict))
    assert judgement == ("pass", "")
    assert [int(sent.at - start) for sent in primary] == [0, 0, 12, 24, 36, 48, 60, 64, 68, 72, 76]
    assert len(fallback) == len(trial.in_outage)
