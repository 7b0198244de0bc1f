"""Scorers and validators of other packages: found by their entry points, and told by name where they cannot be used."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from ymera import AgentModelMatcher, InputError
from ymera.nodes.packages import installed_points
from ymera.nodes.scorers import installed_scorers
from ymera.nodes.validators import VALIDATORS, installed_validators

MODULE = """
from ymera.routing.scoring import WeightedScorer

def short(model, case):
    return 1.0 if len(model.name) < 10 else 0.0

def spelled(text, parameters):
    return [{"name": "spelling", "passed": "teh" not in text, "detail": "looked for teh"}]

SHORT = WeightedScorer(name="short names", weight=9.0, score=short)
NONE = "neither"
"""


def forget() -> None:
    for found in (installed_points, installed_scorers, installed_validators):
        found.cache_clear()


@pytest.fixture(autouse=True)
def afresh() -> Iterator[None]:
    forget()
    yield
    forget()
    sys.modules.pop("a_package_of_parts", None)


def install(
    folder: Path, monkeypatch: pytest.MonkeyPatch, group: str, point: str, name: str = "parts"
) -> None:
    """Put a package into a folder as pip does, with one entry point."""
    (folder / "a_package_of_parts.py").write_text(MODULE, "utf-8")
    about = folder / f"a_package_of_{name}-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: a-package-of-{name}\nVersion: 1.0\n", "utf-8"
    )
    (about / "entry_points.txt").write_text(f"[{group}]\n{point}\n", "utf-8")
    monkeypatch.syspath_prepend(str(folder))


def test_without_such_a_package_there_are_none() -> None:
    assert installed_scorers() == ()
    assert installed_validators() == {}


def test_the_installed_packages_are_looked_through_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = 0

    def look() -> Any:
        nonlocal looked
        looked += 1
        return entry_points()

    monkeypatch.setattr("ymera.nodes.packages.entry_points", look)
    AgentModelMatcher()
    AgentModelMatcher()
    assert looked == 1


def test_a_scorer_of_another_package_takes_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, "ymera.scorers", "short = a_package_of_parts:SHORT")
    matcher = AgentModelMatcher()
    assert [scorer.name for scorer in matcher.scorers][-1] == "short names"


def test_a_validator_of_another_package_takes_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, "ymera.validators", "spelling = a_package_of_parts:spelled")
    matcher = AgentModelMatcher()
    assert list(matcher.validators) == [*VALIDATORS, "spelling"]
    [check] = matcher.validators["spelling"]("teh answer", {})
    assert not check["passed"]


@pytest.mark.parametrize(
    ("group", "point", "told"),
    [
        ("scorers", "short = a_package_of_parts:NONE", "must be a WeightedScorer, and is str"),
        ("scorers", "short = a_package_of_parts:MISSING", "cannot be loaded: AttributeError"),
        ("scorers", "short = not_there:SHORT", "cannot be loaded: ModuleNotFoundError"),
        ("validators", "short = a_package_of_parts:NONE", "must be a function, and is str"),
        ("validators", "short = a_package_of_parts:MISSING", "cannot be loaded: AttributeError"),
    ],
)
def test_a_part_that_cannot_be_used_is_told_with_its_package(
    group: str, point: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, f"ymera.{group}", point)
    with pytest.raises(InputError, match=rf"The {group[:-1]} 'short' of a-package-of-parts .*{told}"):
        AgentModelMatcher()


def test_two_packages_may_not_bring_the_same_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("parts", "others"):
        (tmp_path / name).mkdir()
        point = "spelling = a_package_of_parts:spelled"
        install(tmp_path / name, monkeypatch, "ymera.validators", point, name)
    with pytest.raises(InputError, match="Two packages bring a validator 'spelling'"):
        AgentModelMatcher()


def test_a_package_may_not_take_the_place_of_a_built_in_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, "ymera.validators", "python = a_package_of_parts:spelled")
    with pytest.raises(InputError, match="brings a validator 'python', as a built-in one is called"):
        AgentModelMatcher()
