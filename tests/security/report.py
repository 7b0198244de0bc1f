"""What the tests of this folder tried, in print, after `pytest -m "security or not security" tests/security`.

It is a plugin of the whole test suite (tests/conftest.py), as the fault matrix's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

SECRETS = "secrets planted"
PAGE = Path(__file__).parents[2] / "docs" / "security.md"
BEGIN, END = "<!-- what was tried -->\n", "<!-- end -->\n"
ROWS = {
    "injections: a text at a place, compared with a harmless twin": ("test_injections",),
    "hostile texts through messages, documents and views for a terminal": ("test_terminals",),
    "hostile bytes in checkpoints (SQLite, PostgreSQL)": ("test_hostile_checkpoints",),
    "hostile rows in results, cooldowns, spending, journal": ("test_hostile_stores",),
    "encrypted values changed, cut, exchanged, or read with another key": ("test_encryption",),
    "everything done once with secrets in all settings": ("test_canaries",),
    "names and links that try to leave a folder": ("test_paths",),
    "tenants that try to reach one another": ("test_tenants",),
    "inputs beyond a limit": ("test_limits",),
    "advisories against floors, lock and installed versions": ("test_advisories",),
}
"""What is counted, and in which files."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option with which the table in the documents is written."""
    parser.addoption(
        "--write-security", action="store_true", help=f"Write the table of docs/{PAGE.name} anew."
    )


def pytest_terminal_summary(terminalreporter: TerminalReporter, config: pytest.Config) -> None:
    """Print the table where all of it was asked for, once for all processes that ran it."""
    if "security" not in (config.getoption("markexpr") or "") or "not soak" in config.getoption("markexpr"):
        return
    passed = [r for r in terminalreporter.stats.get("passed", []) if r.when == "call"]
    counts = counted(report.nodeid for report in passed)
    if not counts:
        return
    found = table(counts, max(_secrets(passed), default=0))
    terminalreporter.section("security")
    terminalreporter.write(found)
    # The page that is about to be written may be what fails.
    wrong = [r for how in ("failed", "error") for r in terminalreporter.stats.get(how, [])]
    whole = counts.keys() == ROWS.keys() and all("test_page" in r.nodeid for r in wrong)
    if config.getoption("--write-security") and whole:
        text = PAGE.read_text("utf-8")
        before, _, rest = text.partition(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}{found}{END}{rest.partition(END)[2]}", "utf-8")


def counted(nodeids: Iterable[str]) -> Counter[str]:
    """Count tests by the row to which they belong."""
    files = {f"tests/security/{name}.py": row for row, names in ROWS.items() for name in names}
    return Counter(row for id_ in nodeids if (row := files.get(id_.partition("::")[0])))


def _secrets(reports: Iterable[Any]) -> Iterator[int]:
    for report in reports:
        yield from (value for name, value in report.user_properties if name == SECRETS)


def table(counts: Counter[str], secrets: int) -> str:
    """Return the table of the documents."""
    rows = [f"| {row} | {counts[row]} |\n" for row in ROWS]
    return "".join(["| tried | times |\n|---|---:|\n", *rows, f"| {SECRETS} | {secrets} |\n"])
