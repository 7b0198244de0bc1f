"""A run in LangSmith: one readable tree, recorded on loopback; without LANGSMITH_TRACING nothing is sent.

Each run is made by a process of its own, as langsmith reads the environment once.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest
from inline_snapshot import snapshot

from tests.servers.faulty import Answer, Fault, FaultyServer
from tests.servers.langsmith import RecordingServer, TracedRun

TASK = "Write the opening hours of a library"
KEY = "canary of a library"  # looks like no key, so that nothing but the settings can tell that it is one
ECHO = Fault("500", message=f"Nobody here knows the key {KEY}.")
NOTE = "the clock over the door is slow"
ACCEPTED = Answer(f'{{"findings": ["{NOTE}"], "decision": "accept"}}')
RUN = """
import asyncio, sys
from ymera.executor import MultiModelExecutor
run = MultiModelExecutor().execute_with_multi_model(sys.argv[1], sys.argv[2], thread_id="thread-7", use_cache=False)
sys.exit(0 if asyncio.run(run).success else 1)
"""
TRACING = {"LANGSMITH_TRACING": "true"}
HIDDEN = TRACING | {"LANGSMITH_HIDE_INPUTS": "true", "LANGSMITH_HIDE_OUTPUTS": "true"}


async def _run(folder: Path, recorder: RecordingServer, agent: str, variables: dict[str, str]) -> None:
    """Run an agent whose first attempt fails, its error repeating the key; LangSmith's own are always set."""
    mine = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "PYTHONPATH") if name in os.environ}
    async with FaultyServer() as provider:
        provider.script("openai", [ECHO], then=ACCEPTED)
        environment = mine | {
            "OPENAI_API_KEY": KEY,
            "YMERA_OPENAI_BASE_URL": provider.base_url("openai"),
            "YMERA_DATA_DIR": str(folder / "data"),
            "YMERA_CACHE_DIR": str(folder / "cache"),
            "YMERA_DOWNLOADS": "false",
            "LANGSMITH_ENDPOINT": recorder.url,
            "LANGSMITH_API_KEY": "dummy",
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", RUN, agent, TASK,
            cwd=folder, env=environment | variables, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        _, complaints = await process.communicate()
        assert (process.returncode, complaints) == (0, b"")  # a tracer that stumbles says so and goes on


def recorded(folder: Path, agent: str, variables: dict[str, str]) -> RecordingServer:
    """Return the server that a run has talked to."""
    with RecordingServer() as recorder:
        asyncio.run(_run(folder, recorder, agent, variables))
    return recorder


@pytest.fixture(scope="module")
def sequence(tmp_path_factory: pytest.TempPathFactory) -> RecordingServer:
    """A traced run whose phases follow one another."""
    return recorded(tmp_path_factory.mktemp("sequence"), "coding_agent", TRACING)


@pytest.fixture(scope="module")
def parallel(tmp_path_factory: pytest.TempPathFactory) -> RecordingServer:
    """A traced run with two phases side by side."""
    return recorded(tmp_path_factory.mktemp("parallel"), "documentation_agent", TRACING)


def outline(run: TracedRun, depth: int = 0) -> list[str]:
    """Return the tree as a reader sees it: a model's run by its attempt, its kind and whether it failed."""
    attempt = f" {run.metadata['attempt_id']}" if run.kind == "llm" else ""
    name = run.kind if run.kind == "llm" else run.name
    failed = " failed" if run.fields.get("error") else ""
    below = [line for child in run.children for line in outline(child, depth + 1)]
    return [f"{'  ' * depth}{name}{attempt}{failed}", *below]


def attempts(server: RecordingServer) -> dict[str, TracedRun]:
    """Return the runs of the nodes that made an attempt, by the attempt's name."""
    runs = [run for run in server.runs.values() if run.kind == "chain"]
    return {run.metadata["attempt_id"]: run for run in runs if "attempt_id" in run.metadata}


def test_a_run_is_one_tree_of_phases_with_an_attempt_in_each(sequence: RecordingServer) -> None:
    (root,) = sequence.tree()
    assert outline(root) == snapshot(
        [
            "ymera",
            "  match",
            "  planning",
            "    llm planning-1 failed",
            "  planning",
            "    llm planning-2",
            "  generation",
            "    llm generation-1",
            "  review",
            "    llm review-1",
        ]
    )


def test_phases_side_by_side_are_branches_of_the_same_tree(parallel: RecordingServer) -> None:
    (root,) = parallel.tree()
    lines = outline(root)
    assert lines[0] == "ymera"
    for phase in ("research", "generation"):
        assert [f"  {phase}", f"    {phase}", "      attempt"] == lines[
            (at := lines.index(f"  {phase}")) : at + 3
        ]


def test_the_root_says_which_agent_ran_how_and_on_which_thread(sequence: RecordingServer) -> None:
    (root,) = sequence.tree()
    said = {key: root.metadata[key] for key in ("agent", "strategy", "thread_id")}
    assert said == {"agent": "coding_agent", "strategy": "multi_model", "thread_id": "thread-7"}


@pytest.mark.parametrize("run", ["sequence", "parallel"])
def test_every_attempt_says_who_made_it_and_why(run: str, request: pytest.FixtureRequest) -> None:
    server: RecordingServer = request.getfixturevalue(run)
    calls = [call for call in server.runs.values() if call.kind == "llm"]
    assert calls
    for call in calls:
        said = call.metadata
        assert said["provider"] == "openai"
        assert said["model"] in call.name
        assert said["reason"]
        assert said["attempt_id"].startswith(f"{said['phase']}-")
        node = attempts(server)[said["attempt_id"]]
        assert node.id == call.fields["parent_run_id"]
        assert {key: node.metadata[key] for key in ("model", "provider", "reason", "fallback")} == {
            key: said[key] for key in ("model", "provider", "reason", "fallback")
        }


def test_an_attempt_that_answered_has_its_tokens_and_its_cost(sequence: RecordingServer) -> None:
    said = attempts(sequence)["planning-2"].metadata
    assert (said["ok"], said["fault"], said["fallback"], said["again"]) == (True, None, 0, "same")
    assert (said["input_tokens"], said["output_tokens"]) == (Answer().input_tokens, Answer().output_tokens)
    assert 0 < said["cost_usd"] < 0.01


def test_an_attempt_that_failed_has_the_kind_of_its_fault(sequence: RecordingServer) -> None:
    said = attempts(sequence)["planning-1"].metadata
    assert (said["ok"], said["fault"], said["fallback"]) == (False, "server_error", 0)


@pytest.mark.parametrize("run", ["sequence", "parallel"])
def test_a_key_is_in_nothing_that_is_sent(run: str, request: pytest.FixtureRequest) -> None:
    server: RecordingServer = request.getfixturevalue(run)
    assert TASK.encode() in server.sent
    assert NOTE.encode() in server.sent
    assert b"Nobody here knows the key [hidden]" in server.sent
    assert KEY.encode() not in server.sent


def test_inputs_and_outputs_stay_here_where_they_are_to_be_hidden(tmp_path: Path) -> None:
    server = recorded(tmp_path, "coding_agent", HIDDEN)
    (root,) = server.tree()
    assert len(list(root.walk())) > 5
    assert all(not run.fields.get("inputs") and not run.fields.get("outputs") for run in root.walk())
    assert TASK.encode() not in server.sent
    assert NOTE.encode() not in server.sent


@pytest.mark.parametrize("variables", [{}, {"LANGSMITH_TRACING": "false"}], ids=["unset", "false"])
def test_without_tracing_nothing_is_sent(tmp_path: Path, variables: dict[str, str]) -> None:
    assert recorded(tmp_path, "coding_agent", variables).paths == []
