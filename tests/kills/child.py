"""The program that is killed: one run, begun or resumed in one of the ways that there are."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, cast

from langchain_core.runnables import RunnableConfig
from typing_extensions import TypedDict

from ymera.executor import MultiModelExecutor
from ymera.graphs.checkpoints import Saver, open_checkpoints
from ymera.graphs.workflow import Workflow, build
from ymera.nodes.services import Services, make_services
from ymera.nodes.settings import load_settings
from ymera.nodes.state import State
from ymera.results import MultiModelResult, result_of
from ymera.routing.errors import ResumeError

from .moments import Durability, Moment, Watch, die_at, take_durability

Way = Literal["run", "again", "python", "command", "graph", "many"]

AGAIN = 75
"""Exit code of a program that found nothing to resume."""


class Job(TypedDict):
    """What a program is to do.

    Args:
        way: "many" makes `nth` runs, one after the other.
        moment, nth: when it ends itself; None: never.
        durability: how it keeps its steps; None: as the product does.
    """

    way: Way
    environment: dict[str, str]
    agent: str
    task: str
    thread: str
    folder: str
    moment: Moment | None
    nth: int
    durability: Durability | None


class Left(TypedDict):
    """What a program leaves that was not killed.

    Args:
        kept, begun: as `Watch` has them.
    """

    code: int
    result: dict[str, Any] | None
    kept: list[float]
    begun: list[float]


def carry_out(job: Job) -> int:
    """Do a job and leave `outcome.json` in its folder, if it comes to that."""
    os.environ.update(job["environment"])
    folder, watch = Path(job["folder"]), Watch()
    with (folder / "output.txt").open("a") as output, (folder / "errors.txt").open("a") as errors:
        sys.stdout, sys.stderr = output, errors
        if job["moment"]:
            die_at(job["moment"], job["nth"], folder / "struck")
        if job["durability"]:
            take_durability(job["durability"])
        watch.look()
        try:
            code, result = _go(job)
        except Exception:  # noqa: BLE001 - a run that failed is an outcome, too
            traceback.print_exc()
            code, result = 1, None
    left = Left(code=code, result=result, kept=watch.kept, begun=watch.begun)
    (folder / "outcome.part").write_text(json.dumps(left))
    (folder / "outcome.part").rename(folder / "outcome.json")
    return code


def _go(job: Job) -> tuple[int, dict[str, Any] | None]:
    if job["way"] == "command":
        return _command(job)
    try:
        result = asyncio.run(_WAYS[job["way"]](job))
    except ResumeError:
        return AGAIN, None
    return int(not result.success), json.loads(result.to_json())


async def _run(job: Job) -> MultiModelResult:
    async with MultiModelExecutor() as executor:
        return await _once(executor, job, job["thread"])


async def _once(executor: MultiModelExecutor, job: Job, thread: str) -> MultiModelResult:
    return await executor.execute_with_multi_model(
        job["agent"], job["task"], {"language": "python"}, thread_id=thread, use_cache=False
    )


async def _many(job: Job) -> MultiModelResult:
    async with MultiModelExecutor() as executor:
        for number in range(job["nth"]):
            thread = f"{job['thread']}-{number}"
            result = await _once(executor, job, thread)
    return result


async def _resume(job: Job) -> MultiModelResult:
    async with MultiModelExecutor() as executor:
        return await executor.resume(job["thread"])


async def _again(job: Job) -> MultiModelResult:
    """Give the same task on the same thread again, if its run is not over: a finished one would be made anew."""
    settings = load_settings()
    async with open_checkpoints(settings) as saver:
        graph, config = await _begun(job, make_services(settings), saver)
        seen = await graph.aget_state(config) if graph else None
    return await (_resume(job) if seen and not seen.tasks else _run(job))


async def _resume_graph(job: Job) -> MultiModelResult:
    """Resume with nothing but the graph and a checkpointer."""
    settings = load_settings()
    services = make_services(settings)
    async with open_checkpoints(settings) as saver:
        graph, config = await _begun(job, services, saver)
        if graph is None:
            raise ResumeError("nothing is there yet")
        await graph.ainvoke(None, config, durability="sync")
        state = cast("State", (await graph.aget_state(config)).values)
    await services.models.close()
    return result_of(state, thread_id=job["thread"], seconds=0.0)


async def _begun(job: Job, services: Services, saver: Saver) -> tuple[Workflow | None, RunnableConfig]:
    """Return the graph on which a thread's run began; None where none did."""
    config = RunnableConfig(configurable={"thread_id": job["thread"]})
    state = (await build(None, services).compile(checkpointer=saver).aget_state(config)).values
    if "layout" not in state:
        return None, config
    layout = tuple(tuple(group) for group in state["layout"])
    return build(layout, services).compile(checkpointer=saver), config


def _command(job: Job) -> tuple[int, dict[str, Any] | None]:
    from ymera.cli import main

    sys.argv = ["ymera", "resume", job["thread"], "--json"]
    code = 0
    try:
        main()
    except SystemExit as end:
        code = int(end.code or 0)
    sys.stdout.flush()
    said = json.loads((Path(job["folder"]) / "output.txt").read_text())
    if "No run to resume" in str(said.get("error")):
        return AGAIN, None
    return code, said if "phase_results" in said else None


_WAYS: dict[Way, Callable[[Job], Any]] = {
    "run": _run,
    "again": _again,
    "python": _resume,
    "graph": _resume_graph,
    "many": _many,
}
