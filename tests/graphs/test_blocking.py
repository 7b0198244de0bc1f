"""Nothing in a run blocks the event loop: blockbuster, which `langgraph dev` uses too, watches a whole run.

The run is made by a fresh process, where nothing is loaded or remembered yet.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from tests.scripted import REVISE
from tests.servers.dialects import Answer
from tests.servers.faulty import Fault, FaultyServer

TASK = "Write the opening hours of a library"
LONG = Answer(REVISE + " word" * 5_000)  # long enough that its checks take a while
RUN = """
import asyncio, sys
from blockbuster import blockbuster_ctx
from ymera.executor import MultiModelExecutor

executor = MultiModelExecutor()  # reads its data files: made once, before the loop has work to do

async def run():
    with blockbuster_ctx():
        result = await executor.execute_with_multi_model(sys.argv[1], sys.argv[2], thread_id="t")
        again = await executor.execute_with_multi_model(sys.argv[1], sys.argv[2])
        resumed = await executor.resume("t")
    return result.success, again.cached, resumed.success

print(*asyncio.run(run()))
"""


@pytest.mark.parametrize("agent", ["coding_agent", "documentation_agent"])
async def test_a_first_run_a_cached_and_a_resumed_one_leave_the_loop_free(tmp_path: Path, agent: str) -> None:
    mine = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "PYTHONPATH") if name in os.environ}
    async with FaultyServer() as provider:
        provider.script("openai", [Fault("500")], then=LONG)
        environment = mine | {
            "OPENAI_API_KEY": "dummy",
            "YMERA_OPENAI_BASE_URL": provider.base_url("openai"),
            "YMERA_DATA_DIR": str(tmp_path / "data"),
            "YMERA_CACHE_DIR": str(tmp_path / "cache"),
            "YMERA_DOWNLOADS": "false",
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", RUN, agent, TASK,
            cwd=tmp_path, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        said, complaints = await process.communicate()
    assert (
        complaints.decode() == ""
    )  # an attempt that was stopped for blocking is a bug in the log, not an exception
    assert said == b"True True True\n"
