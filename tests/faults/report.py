"""The fault matrix in print, after `pytest -m faults`: what was seen in every cell, and the totals.

It is a plugin of the whole test suite (tests/conftest.py), so that it is there in whatever way the tests are run.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

    from .matrix import Cell

CELL = "fault matrix"
SCENARIO = "FailoverBench"
PAGE = Path(__file__).parents[2] / "docs" / "fault-matrix.md"
LEGEND = """\
In each cell, a critical phase with a fallback left, one without, another phase with a fallback left, one without:
the requests that reached the provider, then `+1` = the fallback answered (one request more), `✗` = the run failed,
`–` = the phase was skipped. A kind in a cell stands for that client alone. Where nobody is there to count requests
(connection refused, no such host), attempts are counted.
"""


@dataclass(frozen=True, kw_only=True)
class Report:
    """A cell as it was seen, in plain values: they come out of other processes.

    Args:
        allowed: requests that the fault table allows, the fallback's counted.
        duplicated: the result is not one answer, whole and alone.
    """

    client: str
    fault: str
    outcome: Any
    kind: str
    requests: int
    rescues: int
    allowed: int
    duplicated: bool


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option with which the page in the documents is written."""
    parser.addoption("--write-fault-matrix", action="store_true", help=f"Write docs/{PAGE.name} anew.")


def pytest_terminal_summary(terminalreporter: TerminalReporter, config: pytest.Config) -> None:
    """Print the table and the totals where the matrix was asked for, once for all processes that ran it."""
    if "faults" not in (config.getoption("markexpr") or "") or hasattr(config, "workerinput"):
        return
    seen = [Report(**value) for value in _reported(terminalreporter, CELL)]
    if not seen:
        return
    verdicts = Counter(value for _, value in _reported(terminalreporter, SCENARIO))
    matrix = _table(seen)
    found = "".join(f"- {name}: {value}\n" for name, value in totals(seen, verdicts).items())
    terminalreporter.section("fault matrix")
    terminalreporter.write(f"{matrix}\n{LEGEND}\n{found}")
    if config.getoption("--write-fault-matrix") and not terminalreporter.stats.get("failed"):
        PAGE.write_text(page(matrix, found), "utf-8")


def _reported(reporter: TerminalReporter, wanted: str) -> Iterator[Any]:
    for report in [report for reports in reporter.stats.values() for report in reports]:
        if getattr(report, "when", "") == "call":
            yield from (value for name, value in report.user_properties if name == wanted)


def _table(seen: list[Report]) -> str:
    from .matrix import Cell, table

    cells: dict[tuple[str, str], list[Cell]] = defaultdict(list)
    for one in seen:
        cell = Cell(outcome=one.outcome, kind=one.kind, requests=one.requests, rescues=one.rescues)
        cells[one.client, one.fault].append(cell)
    return table(cells)


def totals(seen: list[Report], verdicts: Counter[str]) -> dict[str, str]:
    """Add up what was seen."""
    outcomes = Counter(str(one.outcome) for one in seen)
    sent, allowed = sum(one.requests + one.rescues for one in seen), sum(one.allowed for one in seen)
    return {
        "cells": f"{len(seen)} ({', '.join(f'{name} {n}' for name, n in sorted(outcomes.items()))})",
        "unclassified faults": str(sum(one.kind == "bug" for one in seen)),
        "broken answers shown as success": str(outcomes["taken for an answer"]),
        "answers with duplicated text": str(sum(one.duplicated for one in seen)),
        "amplification": f"{sent / allowed:.2f} ({sent} requests, the fault table allows {allowed})",
        "FailoverBench": f"{verdicts['pass']} of {verdicts.total()} pass",
    }


def page(matrix: str, found: str) -> str:
    """Return the page of the documents."""
    return f"""\
# The fault matrix

Every client, every fault, four situations: each cell is a run of the graph with the provider's own client, over HTTP,
to a server that fails in this way at every request. What each kind means, and what follows from it, stands in
[What can go wrong](failures.md). This page is written by `poe fault-matrix`.

{found}
{LEGEND}
{matrix}"""
