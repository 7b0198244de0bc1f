"""No version that we allow, lock or run with is one of which an advisory warns; as pip-audit looks, without network."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
TABLE = tomllib.loads(Path(__file__).with_name("advisories.toml").read_text("utf-8"))
ADVISORIES: list[dict[str, Any]] = TABLE["advisories"]
LOCKED = dict(
    re.findall(r"^([\w.-]+)==([^\s;]+)", (ROOT / "constraints.txt").read_text("utf-8").lower(), re.MULTILINE)
)


def required() -> list[Requirement]:
    """Return what the package and its extras ask for."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    listed = [
        *project["dependencies"],
        *(one for extra in project["optional-dependencies"].values() for one in extra),
    ]
    return [Requirement(one) for one in listed]


def floor(requirement: Requirement) -> Version:
    """Return the lowest version that a requirement allows."""
    lowest = [Version(one.version) for one in requirement.specifier if one.operator in (">=", "==", "~=")]
    return max(lowest, default=Version("0"))


@pytest.mark.parametrize("advisory", ADVISORIES, ids=lambda one: f"{one['id']} {one['package']}")
def test_no_version_in_use_has_the_fault(advisory: dict[str, Any]) -> None:
    fixed = Version(advisory["fixed_in"])
    floors = [floor(one) for one in required() if canonicalize_name(one.name) == advisory["package"]]
    assert all(lowest >= fixed for lowest in floors), (
        f"raise the floor of {advisory['package']} in pyproject.toml"
    )
    if locked := LOCKED.get(advisory["package"]):
        assert Version(locked) >= fixed, "raise it in constraints.txt"
    try:
        installed = version(advisory["package"])
    except PackageNotFoundError:
        return
    assert Version(installed) >= fixed


def test_a_version_with_the_fault_is_noticed() -> None:
    assert (
        floor(Requirement("langgraph>=1.0.9,<2")) < Version("1.0.10") <= floor(Requirement("langgraph>=1.2"))
    )
    assert floor(Requirement("langgraph")) == Version("0")


@pytest.mark.parametrize("package", [one["package"] for one in TABLE["forbidden"]])
def test_a_package_that_was_a_trap_comes_with_nothing(package: str) -> None:
    assert package not in {canonicalize_name(one.name) for one in required()}
    assert package not in LOCKED


def test_every_requirement_has_a_floor() -> None:
    typed = {"types-jsonschema"}
    open_ended = [
        one.name for one in required() if floor(one) == Version("0") and one.name not in typed | {"ymera"}
    ]
    assert open_ended == []
