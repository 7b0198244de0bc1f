"""YMERA beside its peers: sixteen faults of a provider, and the milliseconds that each adds to a call.

    pip install -r benchmarks/peers.txt
    python -m benchmarks.failover --json FILE [--systems ymera,litellm] [--scenarios S01,S08]

A provider of our own (benchmarks/wall.py) misbehaves in sixteen ways, at FailoverBench's true times, and
benchmarks/sixteen.py judges what the caller was told together with what the provider saw. All scenarios of all systems
run side by side, which takes as long as the slowest: under two minutes. Then what each system adds to a call is
measured (benchmarks/added.py): some minutes more. A peer that is not installed is left out, and named.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import platform
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any

from .added import CASES, PROMPT, Cost, measure
from .ours import OUR_GRAPH, OURS
from .peers import PEERS
from .sixteen import SCENARIOS, Judgement, Scenario, Told, Trial, judge
from .systems import UNDERNEATH, Ask, Route, System
from .wall import Sent, read_log, running_wall

ROUNDS = 9
CALLS = 25
ALIVE_S = 10.0
STAGGER_S = 4.0
"""Seconds from the start of one scenario to the next, the longest first: many first calls at once slow each other."""
MEASURED = ("ymera", "langchain", "langchain-openai", "langgraph", "litellm", "openai", "pydantic-ai-slim")


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One system in one scenario."""

    system: System
    scenario: Scenario
    trial: Trial
    judgement: Judgement

    @property
    def seconds(self) -> float:
        """How long a call took: the median, where there were several."""
        return statistics.median(told.seconds for told in self.trial.told)

    @property
    def leaves_text(self) -> bool:
        """Whether the caller was shown text of a broken answer that was never taken back."""
        return any(told.leftover for told in self.trial.told)

    def __str__(self) -> str:
        sent = f"{len(self.trial.primary)}+{len(self.trial.fallback)}"
        return f"{self.judgement.verdict}{'*' if self.leaves_text else ''} {sent} {self.seconds:.1f}s"


# --- the sixteen ------------------------------------------------------------------------------------------


async def try_all(
    base_url: str, systems: Sequence[System], scenarios: Sequence[Scenario], *, stagger_s: float = STAGGER_S
) -> list[Cell]:
    """Run every scenario through every system, side by side, and judge them."""
    # First one after the other: imports and first calls are slow, and are not what is tried.
    for system in systems:
        await _is_alive(base_url, system)
    tasks = {}
    async with asyncio.TaskGroup() as group:
        for number, scenario in enumerate(sorted(scenarios, key=lambda one: -one.most_seconds)):
            for system in systems:
                call = _told(base_url, system, scenario, delay=number * stagger_s)
                tasks[scenario.id, system.name] = group.create_task(call)
    log = await read_log(base_url)
    cells = []
    for scenario, system in product(scenarios, systems):
        route = _route(base_url, scenario.id.lower(), system)
        primary, fallback = (_sent_to(log, model) for model in (route.primary, route.fallback))
        told, alive = tasks[scenario.id, system.name].result()
        trial = Trial(told=told, primary=primary, fallback=fallback, alive=alive)
        cells.append(Cell(system=system, scenario=scenario, trial=trial, judgement=judge(scenario, trial)))
    return cells


def _route(base_url: str, word: str, system: System) -> Route:
    name = f"{word}-{system.name}"
    return Route(base_url=base_url, primary=f"{name}-primary", fallback=f"{name}-fallback")


def _sent_to(log: Sequence[Sent], model: str) -> list[Sent]:
    return [sent for sent in log if sent.model == model]


async def _told(
    base_url: str, system: System, scenario: Scenario, *, delay: float
) -> tuple[list[Told], bool]:
    """Return what the caller was told in a scenario, and whether the system is alive afterwards."""
    await asyncio.sleep(delay)
    told = []
    async with system.connect(_route(base_url, scenario.id.lower(), system)) as ask:
        start = time.monotonic()
        for number in range(scenario.calls):
            await asyncio.sleep(max(0.0, start + number * scenario.every_s - time.monotonic()))
            told.append(await _one_call(ask, scenario.longest_s, at=time.monotonic() - start))
    return told, await _is_alive(base_url, system) if scenario.is_alive_asked else True


async def _is_alive(base_url: str, system: System) -> bool:
    async with system.connect(_route(base_url, "healthy", system)) as ask:
        return (await _one_call(ask, ALIVE_S, at=0.0)).whole


async def _one_call(ask: Ask, longest_s: float, *, at: float) -> Told:
    clock = time.monotonic()
    limit = asyncio.timeout(longest_s)
    try:
        async with limit:
            reply = await ask(PROMPT)
    except Exception as error:  # noqa: BLE001 - whatever a system raises is what its caller is told
        said = "no answer and no error" if limit.expired() else f"{type(error).__name__}: {error}"
        return Told(at=at, seconds=time.monotonic() - clock, error=said, hung=limit.expired())
    return Told(
        at=at,
        seconds=time.monotonic() - clock,
        text=reply.text,
        model=reply.model,
        output_tokens=reply.output_tokens,
        streamed=reply.streamed,
    )


# --- what is printed --------------------------------------------------------------------------------------


def print_cells(cells: Sequence[Cell], systems: Sequence[System]) -> None:
    """Print scenarios by systems, the totals, and why a verdict is none of pass."""
    rows = [["", "fault of the primary", *(system.title for system in systems)]]
    for scenario in dict.fromkeys(cell.scenario.id for cell in cells):
        found = [cell for cell in cells if cell.scenario.id == scenario]
        rows.append([scenario, found[0].scenario.fault, *(str(cell) for cell in found)])
    totals = [
        Counter(cell.judgement.verdict for cell in cells if cell.system is system) for system in systems
    ]
    rows.append(["", "pass/partial/safe/fail", *(_total(total) for total in totals)])
    _print_table(rows)
    print("\nrequests to the primary + to the fallback; seconds of a call (S15: the median of its calls)")
    if any(cell.leaves_text for cell in cells):
        print("* text of the broken answer stays in the stream; the answer at its end is judged")
    for cell in cells:
        if cell.judgement.why:
            why = " ".join(cell.judgement.why.split())
            print(f"{cell.scenario.id} {cell.system.title}: {cell.judgement.verdict}: {why:.160}")


def _total(total: Counter[Any]) -> str:
    return "/".join(str(total[verdict]) for verdict in ("pass", "partial", "safe", "fail"))


def print_costs(costs: dict[str, dict[str, Cost]], systems: Sequence[System]) -> None:
    """Print what each system adds to a call, by kind of call; httpx's own time first."""
    rows = [["ms added to a call: time, CPU", *(case.title for case in CASES)]]
    for system in systems:
        mine = [costs[case.word].get(system.name) for case in CASES]
        if system is systems[0]:
            whole = [f"{cost.time.call_ms:.2f}, {cost.cpu.call_ms:.2f}" for cost in mine if cost]
            rows.append([f"{system.title} (a whole call)", *whole])
        else:
            rows.append([system.title, *(_added(cost) for cost in mine)])
    _print_table(rows)
    print(
        f"\nmedians of interleaved rounds of {CALLS} calls each; CPU: of this process, without the provider's"
    )


def _added(cost: Cost | None) -> str:
    return f"{cost.time.added_ms:.2f}, {cost.cpu.added_ms:.2f}" if cost else "-"


def _print_table(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for number, row in enumerate(rows):
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |")
        if number == 0:
            print("|" + "|".join("-" * (width + 2) for width in widths) + "|")


# --- the command ------------------------------------------------------------------------------------------


async def run(systems: Sequence[System], scenarios: Sequence[Scenario], rounds: int) -> dict[str, Any]:
    """Measure, print, and return all figures."""
    clock = time.monotonic()
    async with running_wall() as base_url:
        cells = await try_all(base_url, systems, scenarios)
        faults_s = time.monotonic() - clock
        print_cells(cells, systems)
        print(f"the sixteen took {faults_s:.0f} s\n", flush=True)
    compared = [*UNDERNEATH, *([OUR_GRAPH] if OURS in systems else []), *systems]
    costs: dict[str, dict[str, Cost]] = {}
    async with running_wall() as base_url:
        for case in CASES if rounds else ():
            able = [system for system in compared if case.word != "toolong" or system.falls_back]
            costs[case.word] = await measure(base_url, able, case, rounds=rounds, calls=CALLS)
    if costs:
        print_costs(costs, compared)
    return {
        "cells": [_cell_json(cell) for cell in cells],
        "added": {word: {name: asdict(cost) for name, cost in case.items()} for word, case in costs.items()},
        "seconds": {"sixteen": round(faults_s, 1), "all": round(time.monotonic() - clock, 1)},
        "versions": _versions(),
        "machine": {
            "python": platform.python_version(),
            "system": platform.platform(),
            "cores": os.cpu_count(),
        },
    }


def _cell_json(cell: Cell) -> dict[str, Any]:
    return {
        "scenario": cell.scenario.id,
        "system": cell.system.title,
        **cell.judgement._asdict(),
        "leaves_text": cell.leaves_text,
        "told": [asdict(told) for told in cell.trial.told],
        "primary": [asdict(sent) for sent in cell.trial.primary],
        "fallback": [asdict(sent) for sent in cell.trial.fallback],
    }


def _versions() -> dict[str, str]:
    found = {}
    for package in MEASURED:
        try:
            found[package] = version(package)
        except ModuleNotFoundError:
            continue
    return found


def chosen(every: Sequence[Any], names: str, key: str) -> list[Any]:
    """Return what a comma-separated option names, or all where it names nothing."""
    wanted = [name.strip().lower() for name in names.split(",") if name.strip()]
    if unknown := [name for name in wanted if name not in (getattr(one, key).lower() for one in every)]:
        allowed = ", ".join(getattr(one, key) for one in every)
        raise SystemExit(f"unknown: {', '.join(unknown)}. Allowed: {allowed}")
    return [one for one in every if not wanted or getattr(one, key).lower() in wanted]


def installed(systems: Sequence[System]) -> list[System]:
    """Return the systems that are there, and say which are not."""
    for system in systems:
        if not system.is_installed:
            print(f"{system.title} is left out: pip install -r benchmarks/peers.txt")
    return [system for system in systems if system.is_installed]


def main() -> None:
    """Measure, print the tables, write the figures."""
    parser = argparse.ArgumentParser(description="YMERA beside its peers on sixteen faults and on overhead.")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("--systems", default="", help="names, with commas between; default: all")
    parser.add_argument("--scenarios", default="", help="S01 … S16, with commas between; default: all")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="rounds of the overhead; 0: leave it out")
    arguments = parser.parse_args()
    wanted = chosen([OURS, *PEERS], arguments.systems, "name")
    systems = installed(wanted)
    scenarios = chosen(SCENARIOS, arguments.scenarios, "id")
    logging.disable(logging.WARNING)  # what systems log of scripted failures is not asked for
    figures = asyncio.run(run(systems, scenarios, arguments.rounds))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
