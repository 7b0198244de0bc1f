"""Record runs as this release leaves them: `python -m tests.recorded.record FILE.gz` writes a file of checkpoints.

Each recording stays in the tests for as long as its format can be resumed. To record what another release leaves, run
this file in that release's tree. The models follow a script; the threads are named by where their runs stand.
"""

from __future__ import annotations

import asyncio
import gzip
import os
import sqlite3
import sys
import tempfile
from collections import deque
from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path

from tests.scripted import Line, Script, scripted_services
from ymera import MultiModelExecutor
from ymera.nodes.settings import load_settings

TASK = "Create a FastAPI endpoint for user management"
PLAN, CODE = "1. Write the route.", "print('hello')"
AGENTS: Mapping[str, str] = {
    "sequence": "coding_agent",
    "lanes": "documentation_agent",
    "done": "coding_agent",
}
"""Thread to agent."""


async def record(path: Path) -> None:
    """Leave a run that is broken off in its second call, one broken off beside a phase that was done, and one done."""
    for thread, agent in AGENTS.items():
        script = Script(otherwise=Line(text=PLAN))
        executor = MultiModelExecutor(
            services=scripted_services(
                script, load_settings().model_copy(update={"ymera_checkpoints": str(path)})
            )
        )
        plan = await executor.matcher.match_agent_to_models(agent, TASK)
        makers = [p["primary_model"] for p in plan["phases"] if p["phase"] == "generation"]
        hung = {maker["model"] for maker in makers if maker}
        for maker in hung:
            script.lines[maker] = deque([Line(text=CODE, seconds=0 if thread == "done" else 60)])
        run = asyncio.create_task(executor.execute_with_multi_model(agent, TASK, thread_id=thread))
        if thread != "done":
            async with asyncio.timeout(60):
                while not (set(script.called) & hung and (thread == "sequence" or kept(path, thread))):
                    await asyncio.sleep(0.01)
            run.cancel()
        with suppress(asyncio.CancelledError):
            await run


def kept(path: Path | str, thread: str) -> bool:
    """Say whether the phase that ended beside another one is kept."""
    with closing(sqlite3.connect(path)) as database:
        query = "SELECT 1 FROM writes WHERE channel = 'branch:to:join_0' AND thread_id = ?"
        return bool(database.execute(query, (thread,)).fetchall())


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        os.environ["YMERA_DATA_DIR"] = folder
        made = Path(folder, "checkpoints.sqlite")
        asyncio.run(record(made))
        with sqlite3.connect(made) as database:
            database.execute("PRAGMA journal_mode=DELETE")
        database.close()
        Path(sys.argv[1]).write_bytes(gzip.compress(made.read_bytes(), mtime=0))
