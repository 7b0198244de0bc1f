"""`langgraph dev` serves the graphs as Studio, chat, A2A and MCP clients meet them: offline, over loopback.

One server for all tests; it runs in a copy of langgraph.json's folder without a `.env`, as a fresh clone has it.
"""

from __future__ import annotations

import ast
import asyncio
import json
import os
import shutil
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.schema import StreamPart

from docs.blocks import blocks_of
from tests.scripted import ACCEPT, REVISE
from tests.servers.faulty import Answer, Fault, FaultyServer, Reply
from ymera.routing.catalogue import builtin_catalogue

pytestmark = [pytest.mark.studio, pytest.mark.asyncio(loop_scope="module")]

ROOT = Path(__file__).parents[2]
TASK = "Write a function that adds two numbers"
PLAN, CODE = Answer("Read both, add them."), Answer("```python\ndef add(a, b):\n    return a + b\n```")
SOUND, POOR = Answer(ACCEPT), Answer(REVISE)
SAID: dict[str, Any] = {"role": "user", "content": TASK}
AGENTS = sorted(builtin_catalogue().agents)
DEFAULT_URL = "http://127.0.0.1:2024"
START_S = 60
CALL_S = 30


@dataclass(frozen=True, kw_only=True)
class Dev:
    """A running `langgraph dev` and the provider behind it."""

    url: str
    log: Path
    provider: FaultyServer
    client: LangGraphClient

    def answers(self, *replies: Reply) -> None:
        """Set what the provider says to the next requests, and to no other."""
        self.provider.reset()
        self.provider.script("openai", replies, then=Fault("400", message="the script is over"))

    async def assistant(self, graph: str) -> str:
        """Return the id of a graph's own assistant."""
        return str((await self.client.assistants.search(graph_id=graph))[0]["assistant_id"])

    async def thread(self) -> str:
        return str((await self.client.threads.create())["thread_id"])

    async def post(self, path: str, body: dict[str, Any]) -> Any:
        """Send a JSON-RPC request and return its result."""
        headers = {"Accept": "application/json, text/event-stream"}
        async with httpx.AsyncClient(timeout=CALL_S, trust_env=False, follow_redirects=True) as http:
            answer = await http.post(
                self.url + path, json={"jsonrpc": "2.0", "id": "1", **body}, headers=headers
            )
        return answer.json()["result"]


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _environment(folder: Path, provider: FaultyServer) -> dict[str, str]:
    """Return an environment with one provider's key alone; nothing is reported to anyone."""
    mine = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "PYTHONPATH") if name in os.environ}
    return mine | {
        "OPENAI_API_KEY": "dummy",
        "YMERA_OPENAI_BASE_URL": provider.base_url("openai"),
        "YMERA_DATA_DIR": str(folder / "data"),
        "YMERA_CACHE_DIR": str(folder / "cache"),
        "YMERA_DOWNLOADS": "false",
        "LANGSMITH_TRACING": "false",
        "LANGGRAPH_CLI_NO_ANALYTICS": "1",
        "LANGGRAPH_NO_VERSION_CHECK": "true",
        "NO_COLOR": "1",
    }


@asynccontextmanager
async def serving(folder: Path, provider: FaultyServer) -> AsyncIterator[tuple[str, Path]]:
    """Run `langgraph dev` in a folder; yield its address and its log."""
    port, log = _free_port(), folder / "server.log"
    command = Path(sys.executable).parent / "langgraph"
    with log.open("wb") as out:
        server = await asyncio.create_subprocess_exec(
            command, "dev", "--no-browser", "--no-reload", "--port", str(port),
            cwd=folder, env=_environment(folder, provider), stdout=out, stderr=out,
        )  # fmt: skip
    try:
        url = f"http://127.0.0.1:{port}"
        await _answering(url, server, log)
        yield url, log
    finally:
        if server.returncode is None:
            server.terminate()
        await server.wait()


async def _answering(url: str, server: asyncio.subprocess.Process, log: Path) -> None:
    async with asyncio.timeout(START_S), httpx.AsyncClient(trust_env=False) as http:
        while server.returncode is None:
            try:
                if (await http.get(f"{url}/ok")).is_success:
                    return
            except httpx.TransportError:
                await asyncio.sleep(0.2)
    raise AssertionError(f"langgraph dev ended at its start; see {log}")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def dev(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Dev]:
    folder = tmp_path_factory.mktemp("studio")
    shutil.copy(ROOT / "langgraph.json", folder)
    async with (
        FaultyServer() as provider,
        serving(folder, provider) as (url, log),
        httpx.AsyncClient(base_url=url, timeout=CALL_S, trust_env=False) as http,
    ):
        yield Dev(url=url, log=log, provider=provider, client=LangGraphClient(http))


async def test_every_graph_is_an_assistant_and_says_what_it_is_for(dev: Dev) -> None:
    found = {a["graph_id"]: a["description"] for a in await dev.client.assistants.search()}
    assert sorted(found) == sorted([*AGENTS, "with_approvals", "workflow"])
    assert all(found.values())


def _phase(node: str) -> str:
    """Return the phase of a node; a phase beside another is a graph of its own, `phase:attempt`."""
    return node.split(":")[0]


@pytest.mark.parametrize("agent", AGENTS)
async def test_an_agents_drawing_has_its_phases_each_with_a_fallback_loop(dev: Dev, agent: str) -> None:
    graph = await dev.client.assistants.get_graph(await dev.assistant(agent), xray=True)
    nodes = {_phase(str(node["id"])) for node in graph["nodes"]}
    phases = {str(phase) for phase in builtin_catalogue().agents[agent].phases_needed}
    assert {node for node in nodes if not node.startswith(("__", "join_"))} == {"match", "abort", *phases}
    loops = {
        _phase(e["source"])
        for e in graph["edges"]
        if e["source"] == e["target"] and e["data"].startswith("retry or fallback")
    }
    assert loops == phases


async def test_the_whole_workflow_is_drawn_with_a_word_on_every_choice(dev: Dev) -> None:
    graph = await dev.client.assistants.get_graph(await dev.assistant("workflow"), xray=True)
    drawn = {(e["source"], e["target"]): e.get("data") for e in graph["edges"] if e.get("conditional")}
    assert all(drawn.values())
    assert drawn["match", "planning"] == "next"
    assert drawn["planning", "planning"] == "retry or fallback"
    assert drawn["planning", "abort"] == "failed"
    assert drawn["planning", "__end__"] == "budget"


async def test_the_form_asks_for_five_fields_and_explains_each(dev: Dev) -> None:
    schemas = await dev.client.assistants.get_schemas(await dev.assistant("workflow"))
    form = (schemas["input_schema"] or {})["properties"]
    assert {name: field["type"] for name, field in form.items()} == {
        "task": "string",
        "agent": "string",
        "parameters": "object",
        "phases": "array",
        "messages": "array",
    }
    assert all(field["title"] and field["description"] for field in form.values())


async def test_the_settings_of_a_run_have_defaults_ranges_and_explanations(dev: Dev) -> None:
    schemas = await dev.client.assistants.get_schemas(await dev.assistant("workflow"))
    settings = (schemas["context_schema"] or {})["properties"]
    assert all("default" in field and field["description"] for field in settings.values())
    assert (settings["attempts"]["minimum"], settings["attempts"]["maximum"]) == (1, 20)
    assert (settings["temperature"]["minimum"], settings["temperature"]["maximum"]) == (0, 2)


async def test_a_run_hands_back_its_result_and_little_else(dev: Dev) -> None:
    schemas = await dev.client.assistants.get_schemas(await dev.assistant("workflow"))
    output = (schemas["output_schema"] or {})["properties"]
    assert sorted(output) == ["error", "final_result", "messages", "phase_outputs", "usage"]


async def _attempts(dev: Dev, thread: str) -> list[tuple[str, bool]]:
    values: Any = (await dev.client.threads.get_state(thread))["values"]
    return [(attempt["id"], attempt["ok"]) for attempt in values["attempts"]]


async def test_a_run_falls_back_and_ends_well(dev: Dev) -> None:
    dev.answers(Answer("half a pl", finish="length"), PLAN, CODE, SOUND)
    thread = await dev.thread()
    result: Any = await dev.client.runs.wait(thread, "coding_agent", input={"task": TASK})
    assert result["final_result"] == CODE.text
    assert result["error"] == ""
    assert await _attempts(dev, thread) == [
        ("planning-1", False),
        ("planning-2", True),
        ("generation-1", True),
        ("review-1", True),
    ]
    first, second = dev.provider.requests[:2]
    assert first.model != second.model


async def test_every_streamed_chunk_says_of_which_attempt_it_is(dev: Dev) -> None:
    dev.answers(Fault("cut"), PLAN, CODE, SOUND)
    said: dict[str, str] = {}
    for chunk, metadata in await _messages(dev, {"task": TASK}):
        assert metadata["attempt_id"].startswith(metadata["phase"] + "-")
        said[metadata["attempt_id"]] = said.get(metadata["attempt_id"], "") + str(chunk["content"])
    assert said["planning-2"] == PLAN.text
    assert said["generation-1"] == CODE.text
    assert said["planning-1"]  # what the broken attempt had streamed: to be dropped by its attempt's name


async def test_a_chat_client_is_streamed_the_answer_once_more_as_a_whole_message(dev: Dev) -> None:
    dev.answers(PLAN, CODE, SOUND)
    whole = [m for m, _ in await _messages(dev, {"messages": [SAID]}) if m["type"] != "AIMessageChunk"]
    assert [(message["type"], message["content"]) for message in whole] == [("ai", CODE.text)]


async def test_phases_side_by_side_stream_their_progress(dev: Dev) -> None:
    dev.answers(*[SOUND] * 3)  # an answer for either phase, whichever comes first, then the verdict
    parts = await _stream(dev, "documentation_agent", {"task": TASK})
    events = [part.data for part in parts if part.event.startswith("custom")]
    ended = {event["attempt"]["phase"]: event["attempt"]["ok"] for event in events if "attempt" in event}
    assert ended == {"research": True, "generation": True, "review": True}
    updated = {node for part in parts if part.event == "updates" for node in part.data}
    assert {"match", "research", "generation", "review"} <= updated


async def _messages(dev: Dev, given: dict[str, Any]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Run the coding agent; return the streamed messages, each with its metadata."""
    parts = await _stream(dev, "coding_agent", given)
    return [(part.data[0], part.data[1]) for part in parts if part.event.startswith("messages")]


async def _stream(dev: Dev, agent: str, given: dict[str, Any]) -> list[StreamPart]:
    parts = dev.client.runs.stream(
        await dev.thread(),
        agent,
        input=given,
        stream_mode=["updates", "messages-tuple", "custom"],
        stream_subgraphs=True,
    )
    return [part async for part in parts]


async def test_a_breakpoint_before_the_review_stops_there_and_pays_nothing_twice(dev: Dev) -> None:
    dev.answers(PLAN, CODE, SOUND)
    thread = await dev.thread()
    await dev.client.runs.wait(thread, "coding_agent", input={"task": TASK}, interrupt_before=["review"])
    assert (await dev.client.threads.get_state(thread))["next"] == ["review"]
    assert len(dev.provider.requests) == 2
    result: Any = await dev.client.runs.wait(thread, "coding_agent", input=None)
    assert result["final_result"] == CODE.text
    assert len(dev.provider.requests) == 3


async def test_a_person_answers_at_the_gates_and_nothing_is_paid_twice(dev: Dev) -> None:
    dev.answers(PLAN, CODE, SOUND)
    thread, graph = await dev.thread(), await dev.assistant("with_approvals")
    drawing = await dev.client.assistants.get_graph(graph)
    assert {"approve_plan", "approve_review"} < {str(node["id"]) for node in drawing["nodes"]}
    asked: Any = await dev.client.runs.wait(thread, graph, input={"task": TASK, "agent": "coding_agent"})
    assert asked["__interrupt__"][0]["value"]["text"] == PLAN.text
    edit = {"decision": "edit", "text": "Add them."}
    asked = await dev.client.runs.wait(thread, graph, command={"resume": edit})
    assert asked["__interrupt__"][0]["value"]["gate"] == "review"
    assert "Add them." in str(dev.provider.requests[1].body)
    result: Any = await dev.client.runs.wait(thread, graph, command={"resume": "accept"})
    assert (result["final_result"], len(dev.provider.requests)) == (CODE.text, 3)


async def test_a_run_goes_on_from_an_earlier_step_whose_state_was_edited(dev: Dev) -> None:
    dev.answers(PLAN, CODE, SOUND, SOUND)
    thread = await dev.thread()
    await dev.client.runs.wait(thread, "coding_agent", input={"task": TASK})
    history = await dev.client.threads.get_history(thread)
    before = next(state for state in history if state["next"] == ["review"])
    edited = {"final_result": "edited by hand", "phase_outputs": {"generation": "edited by hand"}}
    fork = await dev.client.threads.update_state(thread, edited, checkpoint=before["checkpoint"])
    result: Any = await dev.client.runs.wait(
        thread, "coding_agent", input=None, checkpoint_id=fork["checkpoint"]["checkpoint_id"]
    )
    assert result["final_result"] == "edited by hand"
    assert len(dev.provider.requests) == 4
    assert "edited by hand" in json.dumps(dev.provider.requests[-1].body)


@pytest.mark.parametrize(
    ("given", "settings", "message"),
    [
        pytest.param({"task": "  "}, {}, "The task is empty. Say what is to be done.", id="no task"),
        pytest.param({"task": TASK, "parameters": [1]}, {}, "The parameters are not a JSON object", id="parameters"),
        pytest.param({"task": TASK, "phases": ["cooking"]}, {}, "'cooking'", id="unknown phase"),
        pytest.param({"task": TASK, "agent": "cook"}, {"strict": True}, "No profile for agent 'cook'", id="agent"),
        pytest.param({"task": TASK}, {"model": "nobody"}, "nobody", id="unknown model"),
        pytest.param({"task": TASK}, {"approve": ["plan"]}, "no gate for the approval of the plan", id="no gate"),
        pytest.param({"task": TASK}, {"attempts": 99}, "less than or equal to 20", id="out of range"),
    ],
)  # fmt: skip
async def test_wrong_input_fails_with_a_message_that_says_so(
    dev: Dev, given: dict[str, Any], settings: dict[str, Any], message: str
) -> None:
    dev.answers()
    result: Any = await dev.client.runs.wait(
        await dev.thread(), "coding_agent", input=given, context=settings, raise_error=False
    )
    assert message in result["__error__"]["message"]
    assert not dev.provider.requests


async def test_a_chat_client_sends_messages_alone_and_gets_the_answer_as_the_last(dev: Dev) -> None:
    dev.answers(PLAN, CODE, SOUND)
    thread = await dev.thread()
    given: dict[str, Any] = {"messages": [SAID]}
    result: Any = await dev.client.runs.wait(thread, "coding_agent", input=given)
    assert [(message["type"], message["content"]) for message in result["messages"]] == [
        ("human", TASK),
        ("ai", CODE.text),
    ]


async def test_another_agent_asks_over_a2a(dev: Dev) -> None:
    dev.answers(PLAN, CODE, SOUND)
    result = await _told_over_a2a(dev, "coding_agent", TASK)
    assert result["status"]["state"] == "completed"
    assert result["artifacts"][0]["parts"][0]["text"] == CODE.text


async def test_another_agent_is_asked_over_a2a_and_answers_with_a_word_or_an_object(dev: Dev) -> None:
    dev.answers(PLAN, CODE, SOUND, CODE)
    asked = await _told_over_a2a(dev, "with_approvals", TASK)
    assert asked["status"]["state"] == "input-required"
    assert asked["artifacts"][0]["parts"][0]["data"]["value"]["text"] == PLAN.text
    reviewed = await _told_over_a2a(dev, "with_approvals", "approve", asked)
    assert reviewed["status"]["state"] == "input-required"
    note = '{"decision": "revise", "note": "name the units"}'
    done = await _told_over_a2a(dev, "with_approvals", note, asked)
    assert (done["status"]["state"], len(dev.provider.requests)) == ("completed", 4)


async def _told_over_a2a(dev: Dev, graph: str, text: str, task: Any = None) -> Any:
    about = {"taskId": task["id"], "contextId": task["contextId"]} if task else {}
    message = {"role": "user", "parts": [{"kind": "text", "text": text}], "messageId": "1", **about}
    return await dev.post(
        f"/a2a/{await dev.assistant(graph)}", {"method": "message/send", "params": {"message": message}}
    )


async def test_mcp_offers_the_graphs_as_tools_and_runs_one(dev: Dev) -> None:
    tools = (await dev.post("/mcp", {"method": "tools/list", "params": {}}))["tools"]
    assert sorted(tool["name"] for tool in tools) == sorted([*AGENTS, "ymera", "ymera_with_approvals"])
    assert all("task" in tool["inputSchema"]["properties"] for tool in tools)
    dev.answers(PLAN, CODE, SOUND)
    call = {"method": "tools/call", "params": {"name": "coding_agent", "arguments": {"task": TASK}}}
    content = (await dev.post("/mcp", call))["content"]
    assert ast.literal_eval(content[0]["text"])["final_result"] == CODE.text  # the server writes it as Python


async def test_the_client_of_the_page_about_studio_works(dev: Dev) -> None:
    (program,) = [b.text for b in blocks_of(ROOT / "docs" / "studio.md") if b.language == "python"]
    assert DEFAULT_URL in program
    dev.answers(PLAN, CODE, SOUND)
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program.replace(DEFAULT_URL, dev.url), stdout=asyncio.subprocess.PIPE
    )
    said, _ = await child.communicate()
    events = [line.split()[:2] for line in said.decode().splitlines()]
    assert events[:2] == [["planned"], ["attempt_started", "planning-1"]]


async def test_nothing_blocked_the_event_loop_of_the_server(dev: Dev) -> None:
    dev.answers(PLAN, CODE, SOUND)
    await dev.client.runs.wait(await dev.thread(), "coding_agent", input={"task": TASK})
    assert "Blocking" not in dev.log.read_text()
