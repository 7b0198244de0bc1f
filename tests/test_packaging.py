"""What is built, pinned and promised: the wheel, the lock, the public names, what servers load."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from inline_snapshot import snapshot
from langgraph.graph.state import CompiledStateGraph
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import ymera
from ymera.nodes.settings import Settings
from ymera.routing.catalogue import builtin_catalogue

ROOT = Path(__file__).parents[1]
FOLDERS = {"ymera": "ymera", "graphs": "ymera/graphs", "nodes": "ymera/nodes", "routing": "ymera/routing"}
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
CATALOGUE = builtin_catalogue()


# --- the wheel -------------------------------------------------------------------------------------------


def tree() -> set[str]:
    """Return the package's files in the repository, under the names that they have when it is installed."""
    return {
        f"{package}/{path.relative_to(ROOT / folder).as_posix()}"
        for folder, package in FOLDERS.items()
        for path in files_below(ROOT / folder)
    }


def files_below(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink() and path.name != "__pycache__":
            yield from files_below(path)
        elif path.is_file():
            yield path


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZipFile]:
    """The wheel, built from a copy of the tree: what an earlier build has left there must not get into it."""
    copy = tmp_path_factory.mktemp("tree")
    for folder in FOLDERS:
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / folder, copy / folder, symlinks=True, ignore=ignore)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    command = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        str(copy / "out"),
        str(copy),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    with ZipFile(next((copy / "out").glob("*.whl"))) as archive:
        yield archive


def test_the_wheel_holds_the_files_of_the_tree_and_no_others(wheel: ZipFile) -> None:
    built = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert built == tree()
    assert {"ymera/py.typed", "ymera/routing/data/faults.toml", "ymera/nodes/data/weights.toml"} <= built


def test_the_wheel_carries_licence_readme_and_command(wheel: ZipFile) -> None:
    info = f"ymera-{PROJECT['version']}.dist-info"
    texts = {name: wheel.read(f"{info}/{name}").decode() for name in ("METADATA", "entry_points.txt")}
    assert f"{info}/licenses/LICENSE" in wheel.namelist()
    assert "License-Expression: MIT" in texts["METADATA"]
    assert "# YMERA" in texts["METADATA"]
    assert "ymera = ymera.cli:main" in texts["entry_points.txt"]


# --- the public names ------------------------------------------------------------------------------------


def test_the_public_names_are_these() -> None:
    assert ymera.__all__ == snapshot(
        [
            "AgentModelMatcher",
            "AgentTaskProfile",
            "CatalogueError",
            "InputError",
            "ModelProfile",
            "MultiModelExecutor",
            "MultiModelResult",
            "NoUsableModelError",
            "PhaseProfile",
            "PhaseResult",
            "ProgressEvent",
            "ResumeError",
            "RunContext",
            "RunInterrupted",
            "Settings",
            "Strategy",
            "TaskPhase",
            "TaskReader",
            "UnknownAgentError",
            "WeightsError",
            "YmeraError",
            "get_agent_model_matcher",
            "get_multi_model_executor",
        ]
    )


def test_every_public_name_is_there_and_documented() -> None:
    documented = (ROOT / "docs" / "python.md").read_text("utf-8").partition("## Names")[2]
    assert re.findall(r"^\| `(\w+)` \|", documented, re.MULTILINE) == ymera.__all__
    assert all(getattr(ymera, name) for name in ymera.__all__)


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("ymera", ("langgraph", "langchain_core", "pydantic")),
        ("ymera.routing.matcher", ("langgraph", "langchain_core", "pydantic")),
        ("ymera.cli", ("langgraph", "langchain_core", "pydantic")),
        ("ymera.executor", ("langchain_openai", "langchain_google_genai", "xllamacpp", "genai_prices")),
    ],
)
def test_importing_a_module_does_not_import_what_it_may_not_need(
    module: str, absent: tuple[str, ...]
) -> None:
    code = f"import sys, {module}; print(*sorted(set({absent!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split() == []


# --- the lock --------------------------------------------------------------------------------------------


def requirements() -> list[Requirement]:
    extras = [line for lines in PROJECT["optional-dependencies"].values() for line in lines]
    found = [Requirement(line) for line in (*PROJECT["dependencies"], *extras)]
    return [requirement for requirement in found if requirement.name != PROJECT["name"]]


@pytest.mark.parametrize("requirement", requirements(), ids=str)
def test_the_lock_pins_what_the_project_asks_for(requirement: Requirement) -> None:
    lock = [Requirement(line) for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines() if line]
    pins = [pin for pin in lock if canonicalize_name(pin.name) == canonicalize_name(requirement.name)]
    assert pins, f"{requirement.name} is not in constraints.txt"
    for pin in pins:
        (version,) = [bound.version for bound in pin.specifier if bound.operator == "=="]
        assert requirement.specifier.contains(version, prereleases=True)


def test_the_lock_names_no_place() -> None:
    text = (ROOT / "constraints.txt").read_text("utf-8")
    assert not re.search(r"://|^-|@", text, re.MULTILINE)


# --- what servers load -----------------------------------------------------------------------------------


def test_langgraph_json_serves_the_workflow_and_every_agent() -> None:
    served = json.loads((ROOT / "langgraph.json").read_text("utf-8"))["graphs"]
    assert set(served) == {"workflow", "with_approvals", *CATALOGUE.agents}
    for name, graph in served.items():
        module, _, attribute = graph["path"].partition(":")
        assert isinstance(getattr(import_module(module), attribute), CompiledStateGraph), name
        assert graph["description"]


def test_the_example_of_env_names_what_there_is_to_set() -> None:
    lines = (ROOT / ".env.example").read_text("utf-8").splitlines()
    named = {match[1] for line in lines if (match := re.match(r"(?:# )?([A-Z_]+)=", line))}
    keys = {v for p in CATALOGUE.providers.values() if not p.retired_on for v in p.variables}
    settings = {name.upper() for name in Settings.model_fields}
    assert keys <= named
    assert {name for name in named if not name.startswith("LANGSMITH_")} <= keys | settings


# --- imports ---------------------------------------------------------------------------------------------


def test_imports_run_one_way() -> None:
    # In a process of its own: import-linter shuts off the loggers of the one it runs in.
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_links_of_the_package_lead_to_the_folders() -> None:
    for folder in ("graphs", "nodes", "routing"):
        assert (ROOT / "ymera" / folder).readlink() == Path("..", folder)
