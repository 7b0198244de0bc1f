"""The matrix's print-out: what was seen in every cell, as a table, and its totals."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .matrix import table


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-matrix", metavar="FILE", help="Write the fault matrix into a file.")


def _reported(reporter: Any) -> Iterator[dict[str, Any]]:
    for reports in reporter.stats.values():
        for report in reports:
            for name, value in getattr(report, "user_properties", ()):
                if name == "cell" and getattr(report, "when", "") == "call":
                    yield value


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print the table and the totals where the matrix was run."""
    cells = list(_reported(terminalreporter))
    if not cells:
        return
    seen = {(c["client"], c["fault"]): c["told"] for c in cells if c["critical"] and c["fallback_left"]}
    text = table(seen) + "\n" + "".join(f"{name}: {value}\n" for name, value in totals(cells).items())
    terminalreporter.section("fault matrix")
    terminalreporter.write_line("kind, requests to the first choice + to the fallback (critical phase)\n")
    terminalreporter.write(text)
    if target := config.getoption("--write-matrix"):
        Path(target).write_text(text, "utf-8")


def totals(cells: list[dict[str, Any]]) -> dict[str, str]:
    """Add up what was seen."""
    sent, allowed = sum(c["requests"] for c in cells), sum(c["allowed"] for c in cells)
    outcomes = sorted({c["outcome"] for c in cells})
    return {
        "cells": str(len(cells)),
        **{f"  {outcome}": str(sum(c["outcome"] == outcome for c in cells)) for outcome in outcomes},
        "unclassified": str(sum(c["unclassified"] for c in cells)),
        "broken answers shown as success": str(sum(c["broken_as_success"] for c in cells)),
        "duplicated text": str(sum(c["duplicated"] for c in cells)),
        "requests sent to the first choice": f"{sent}; the table allows {allowed}",
        "amplification": f"{sent / allowed:.2f}",
    }
