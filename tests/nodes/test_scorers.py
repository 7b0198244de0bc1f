"""Scorers of other packages: found by their entry points, and told by name where they cannot be used."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ymera import AgentModelMatcher, InputError
from ymera.nodes.scorers import installed_scorers

MODULE = """
from ymera.routing.scoring import WeightedScorer

def short(model, case):
    return 1.0 if len(model.name) < 10 else 0.0

SHORT = WeightedScorer(name="short names", weight=9.0, score=short)
NONE = short
"""


@pytest.fixture(autouse=True)
def afresh() -> Iterator[None]:
    installed_scorers.cache_clear()
    yield
    installed_scorers.cache_clear()
    sys.modules.pop("a_package_of_scorers", None)


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """Put a package into a folder as pip does, with one scorer."""
    (folder / "a_package_of_scorers.py").write_text(MODULE, "utf-8")
    about = folder / "a_package_of_scorers-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: a-package-of-scorers\nVersion: 1.0\n", "utf-8"
    )
    (about / "entry_points.txt").write_text(f"[ymera.scorers]\nshort = {value}\n", "utf-8")
    monkeypatch.syspath_prepend(str(folder))


def test_without_such_a_package_there_are_none() -> None:
    assert installed_scorers() == ()


def test_a_scorer_of_another_package_takes_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, "a_package_of_scorers:SHORT")
    matcher = AgentModelMatcher()
    assert [scorer.name for scorer in matcher.scorers][-1] == "short names"


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("a_package_of_scorers:NONE", "must be a WeightedScorer, and is function"),
        ("a_package_of_scorers:MISSING", "cannot be loaded: AttributeError"),
        ("not_there:SHORT", "cannot be loaded: ModuleNotFoundError"),
    ],
)
def test_a_scorer_that_cannot_be_used_is_told_with_its_package(
    value: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, value)
    with pytest.raises(InputError, match=f"The scorer 'short' of a-package-of-scorers .*{told}"):
        AgentModelMatcher()
