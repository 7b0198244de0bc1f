"""Nothing in a run blocks the event loop: blockbuster, which `langgraph dev` uses too, watches.

The runs are made by a fresh process, where nothing is loaded or remembered yet.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from tests.scripted import REVISE
from tests.servers.faulty import Answer, Fault, FaultyServer

TASK = "Write the opening hours of a library"
LONG = Answer(f"{REVISE} {'x' * 4_000}")  # long enough to be checked in a thread
BEGIN = """
import asyncio, sys
from blockbuster import blockbuster_ctx
from ymera.executor import MultiModelExecutor

executor = MultiModelExecutor()  # reads its data files: made once, before the loop has work to do
agent, task = sys.argv[1:]
"""
RUN = """
async def run():
    with blockbuster_ctx():
        result = await executor.execute_with_multi_model(agent, task, thread_id="t")
        again = await executor.execute_with_multi_model(agent, task)
        resumed = await executor.resume("t")
    print(result.success, again.cached, resumed.success)

asyncio.run(run())
"""
MATCH = """
async def match():
    with blockbuster_ctx():
        plan = await executor.matcher.match_agent_to_models(agent, task)
    print(plan["agent_name"])

asyncio.run(match())
"""


async def _child(folder: Path, code: str, agent: str, variables: dict[str, str]) -> str:
    """Return what a fresh process says, which must have nothing to complain about.

    An attempt that is stopped for blocking ends as a bug in the log, not as an exception.
    """
    mine = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "PYTHONPATH") if name in os.environ}
    here = {"YMERA_DATA_DIR": str(folder / "data"), "YMERA_CACHE_DIR": str(folder / "cache")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", BEGIN + code, agent, TASK,
        cwd=folder, env=mine | here | {"OPENAI_API_KEY": "dummy"} | variables,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    said, complaints = await process.communicate()
    assert complaints.decode() == ""
    return said.decode().strip()


@pytest.mark.parametrize("agent", ["coding_agent", "documentation_agent"])
async def test_a_first_run_a_cached_and_a_resumed_one_leave_the_loop_free(tmp_path: Path, agent: str) -> None:
    async with FaultyServer() as provider:
        provider.script("openai", [Fault("500")], then=LONG)
        variables = {"YMERA_OPENAI_BASE_URL": provider.base_url("openai"), "YMERA_DOWNLOADS": "false"}
        assert await _child(tmp_path, RUN, agent, variables) == "True True True"


@pytest.mark.parametrize("downloads", ["true", "false"])
async def test_choosing_leaves_the_loop_free(tmp_path: Path, downloads: str) -> None:
    assert await _child(tmp_path, MATCH, "coding_agent", {"YMERA_DOWNLOADS": downloads}) == "coding_agent"


LEARN = """
from tests.told import BILLS, told

async def learn():
    await executor.services.outcomes.take_in(told())
    with blockbuster_ctx():
        for _ in range(2):
            plan = await executor.matcher.match_agent_to_models(agent, BILLS[0])
            await executor.matcher.ready()
    print(plan["domain"]["name"])

asyncio.run(learn())
"""


async def test_learning_domains_and_reading_one_leaves_the_loop_free(tmp_path: Path) -> None:
    here = str(Path(__file__).parents[2])
    variables = {"YMERA_OUTCOME_TEXTS": "true", "PYTHONPATH": here}
    assert await _child(tmp_path, LEARN, "coding_agent", variables) == "billing"
