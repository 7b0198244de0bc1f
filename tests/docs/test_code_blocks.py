"""Every code block of the README and the documents is run, or checked as far as it can be without a network."""

from __future__ import annotations

import ast
import asyncio
import inspect
import shutil
from collections import Counter
from itertools import groupby
from pathlib import Path
from types import CodeType
from typing import Any

import pytest
from typer.testing import CliRunner

from docs.blocks import Block, blocks_of
from tests.docs.commands import ROOT, Command, check, commands_of
from tests.servers.faulty import FaultyServer
from ymera.cli import app
from ymera.exits import INTERRUPTED
from ymera.routing.catalogue import builtin_catalogue, extend
from ymera.routing.trial_files import read_trial

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCKS = [block for page in PAGES for block in blocks_of(page)]
RUN_ELSEWHERE = {"studio.md": ROOT / "tests" / "graphs" / "test_studio.py"}
"""Pages whose Python needs a server of its own, and the tests that run it there."""
SHELL_ELSEWHERE = {"deploy.md": ROOT / "tests" / "deploy" / "test_page.py"}
"""Pages whose shell needs servers of its own, and the tests that run it there."""
TRIALS = {"trials.md": "trial.toml"}
"""Pages whose TOML is a trial, and the name under which their commands know it; elsewhere it is a catalogue."""
NO_CODE = {"text", "mermaid"}
"""Output and drawings: they are generated, and compared by cog."""
READING = {"match", "trial", "models", "agents", "graph", "doctor", "frontier", "run"}
"""Commands of `ymera` that are really run here, against providers on the loopback."""


def of(*languages: str) -> list[Block]:
    return [block for block in BLOCKS if block.language in languages]


def test_no_block_is_left_out() -> None:
    fences = sum(
        1 for page in PAGES for line in page.read_text("utf-8").splitlines() if line.startswith("```")
    )
    outputs = sum(1 for block in BLOCKS for line in block.text.splitlines() if line.startswith("```"))
    assert len(BLOCKS) * 2 == fences - outputs, "a fence is not closed, or stands in the middle of a line"
    counted = Counter(block.language for block in BLOCKS)
    assert set(counted) <= {"bash", "python", "toml"} | NO_CODE, "say here how such a block is run"
    assert all(counted[language] for language in ("bash", "python", "toml"))
    for page, tests in (RUN_ELSEWHERE | SHELL_ELSEWHERE).items():
        assert "blocks_of" in tests.read_text("utf-8"), f"{page} is not run by {tests}"


def test_the_readme_begins_with_the_two_commands() -> None:
    blocks = [block for block in of("bash") if block.file == "README.md"]
    first, second = ([command.text for command in commands_of(block.text)] for block in blocks[:2])
    assert first[0] == second[0] == "python3 -m venv .venv"
    assert first[-1].startswith("ymera run ")
    assert second[-1] == "poe verify"


@pytest.mark.parametrize("block", of("bash"), ids=lambda block: block.title)
async def test_a_shell_block_says_what_its_programs_understand(
    block: Block, providers: FaultyServer, own_logging: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if block.file in SHELL_ELSEWHERE:
        return
    _files_of(block.file)
    for command in commands_of(block.text):
        check(command)
        if command.program == "ymera" and command.arguments[0] in READING:
            await asyncio.to_thread(_run, command, monkeypatch)


def _run(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    for assignment in command.variables:
        monkeypatch.setenv(*assignment.split("=", 1))
    told = CliRunner().invoke(app, list(command.arguments), prog_name="ymera", catch_exceptions=False)
    # A run that is to be approved waits for its answer.
    assert told.exit_code == (
        INTERRUPTED if "--approve" in command.arguments and "run" in command.arguments else 0
    ), told.output


def _files_of(page: str) -> None:
    """Write into the working folder what stands beside a reader, and what the page shows."""
    shutil.copy(ROOT / "langgraph.json", "langgraph.json")
    for block in of("toml"):
        if block.file == page:
            Path(TRIALS.get(page, "mine.toml")).write_text(block.text, "utf-8")


@pytest.mark.parametrize("page", [k for k, _ in groupby(of("python"), lambda block: block.file)])
async def test_the_python_of_a_page_runs_from_top_to_bottom(
    page: str, providers: FaultyServer, own_logging: None
) -> None:
    if page in RUN_ELSEWHERE:
        return
    _files_of(page)
    names: dict[str, Any] = {"__name__": "__main__"}
    for block in of("python"):
        if block.file == page:
            await _execute(_compiled(block), names)
    if "executor" in names:
        await names["executor"].aclose()


def _compiled(block: Block) -> CodeType:
    """Compile a block so that a traceback names its line in the page."""
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    code: CodeType = compile("\n" * block.line + block.text, block.file, "exec", flags, dont_inherit=True)
    return code


async def _execute(code: CodeType, names: dict[str, Any]) -> None:
    """Run code on this event loop where it awaits, and in a thread of its own where it does not."""
    if code.co_flags & inspect.CO_COROUTINE:
        await eval(code, names)
    else:
        await asyncio.to_thread(exec, code, names)


@pytest.mark.parametrize("block", of("toml"), ids=lambda block: block.title)
def test_a_data_file_is_read_without_a_fault(block: Block, tmp_path: Path) -> None:
    if block.file in TRIALS:
        (tmp_path / "trial.toml").write_text(block.text, "utf-8")
        assert read_trial(tmp_path / "trial.toml", builtin_catalogue()).arms
        return
    assert extend(builtin_catalogue(), block.text) != builtin_catalogue()
