"""The page that explains the house is true of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_type_hints

import pytest

from tests.docs.commands import ROOT
from ymera.nodes.state import State

PAGE = (ROOT / "docs" / "architecture.md").read_text("utf-8")
PACKAGES = ("routing", "nodes", "graphs", "ymera")
TOUCHES_THE_ENVIRONMENT = {
    "nodes/settings.py": "reads settings and keys",
    "nodes/__init__.py": "sets what LangGraph reads when it is imported",
    "nodes/runner.py": "sets what the runner reads when it is imported",
    "nodes/weights_sources.py": "hands pip what the user says about reaching an index",
}


def section(heading: str) -> str:
    return re.split(r"^##+ ", PAGE.partition(f"{heading}")[2], maxsplit=1, flags=re.MULTILINE)[0]


def first_cells(text: str) -> list[str]:
    return re.findall(r"^\| `([^`]+)`", text, re.MULTILINE)


@pytest.mark.parametrize("package", PACKAGES)
def test_the_table_names_exactly_the_files_that_there_are(package: str) -> None:
    folder = ROOT / package
    there = {path.name for path in folder.iterdir() if path.is_file()}
    there |= {f"{path.name}/" for path in folder.iterdir() if path.is_dir() and not path.is_symlink()}
    named = first_cells(section(f"### {package}: "))
    assert sorted(named) == sorted(there - {"__pycache__/"})


def test_the_table_of_the_state_names_every_channel() -> None:
    cells = re.findall(r"^\| (`[^|]+) \|", section("## The state"), re.MULTILINE)
    named = {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}
    assert named == set(get_type_hints(State))


def test_the_environment_is_touched_where_the_page_says() -> None:
    found = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in sorted((ROOT / package).glob("*.py"))
        if re.search(r"\benviron\b(?! (?:names|describes))|\bgetenv\b", path.read_text("utf-8"))
    }
    assert found == set(TOUCHES_THE_ENVIRONMENT)


def test_no_file_is_a_drawer_for_everything() -> None:
    names = {path.stem for package in PACKAGES for path in Path(ROOT, package).glob("*.py")}
    assert not names & {"utils", "util", "helpers", "common", "misc", "manager"}
