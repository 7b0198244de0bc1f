"""The help of every command, and that docs/cli.md holds it."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from docs.generate import commands
from ymera.cli import app

DOCUMENT = Path(__file__).parents[2] / "docs" / "cli.md"


@pytest.mark.parametrize("words", commands(), ids=lambda words: " ".join(["ymera", *words]))
def test_the_documented_help_is_the_real_one(words: list[str]) -> None:
    told = CliRunner().invoke(app, [*words, "--help"], prog_name="ymera", env={"COLUMNS": "100"})
    assert told.exit_code == 0
    lines = [f"$ {' '.join(['ymera', *words, '--help'])}", *told.stdout.rstrip().splitlines()]
    assert "\n".join(["```text", *lines, "```"]) in DOCUMENT.read_text("utf-8")


def test_every_exit_code_is_documented() -> None:
    text = DOCUMENT.read_text("utf-8")
    assert all(f"\n| {code} | " in text for code in (0, 1, 2, 3, 4, 75))
