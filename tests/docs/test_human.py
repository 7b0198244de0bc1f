"""The commands of the page on approvals and time travel, run on a thread as a reader would have it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from docs.blocks import blocks_of
from tests.docs.commands import ROOT, Command, commands_of
from tests.servers.faulty import FaultyServer
from ymera.cli import app
from ymera.routing.approvals import FORMS

BLOCKS = [block for block in blocks_of(ROOT / "docs" / "human.md") if block.language == "bash"]
(START,), ANSWERS, TRAVEL, THREADS = ([*commands_of(block.text)] for block in BLOCKS)
CODES = {"accept": 0, "reject": 1, "approve": 75, "edit": 75, "model": 75, "revise": 0}
"""How a resume with each answer ends: the page's run has a gate behind the plan and one behind the review."""

pytestmark = pytest.mark.usefixtures("own_logging")


async def typed(command: Command | str) -> Result:
    """Run a command as it stands."""
    arguments = command.split()[1:] if isinstance(command, str) else list(command.arguments)
    return await asyncio.to_thread(CliRunner().invoke, app, arguments, prog_name="ymera")


def decision(command: Command) -> str:
    return command.arguments[command.arguments.index("--answer") + 1]


@pytest.mark.parametrize("command", ANSWERS, ids=decision)
async def test_each_answer_of_the_page_is_taken(providers: FaultyServer, command: Command) -> None:
    Path("plan.md").write_text("1. Add them.", "utf-8")
    told = await typed(START)
    assert told.exit_code == 75, told.output
    if decision(command) in FORMS["review"]:
        assert (await typed("ymera resume sum --answer approve")).exit_code == 75
    told = await typed(command)
    assert told.exit_code == CODES[decision(command)], told.output


async def test_time_travel_and_the_threads_of_the_page_work_one_after_the_other(
    providers: FaultyServer,
) -> None:
    Path("mine.py").write_text("def add(a, b):\n    return a + b\n", "utf-8")
    await typed(START)
    await typed("ymera resume sum --answer approve")
    assert (await typed("ymera resume sum --answer accept")).exit_code == 0
    for command in (*TRAVEL, *THREADS):
        told = await typed(command)
        # A fork has the gates of its run: these wait behind the review.
        assert told.exit_code == (75 if "fork" in command.arguments else 0), told.output
    assert "Deleted 0 thread(s)" in told.stderr
