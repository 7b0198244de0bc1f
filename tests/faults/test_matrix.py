"""Every client, every fault, four situations: what the specification demands, and nothing left behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict

import pytest
import pytest_asyncio

from tests.servers.clients import NAMES, PROVIDERS, key_of, point_at
from tests.servers.faulty import Answer, FaultyServer
from ymera.nodes.providers import ChatModels
from ymera.nodes.settings import Settings, load_settings

from .cell import RESCUE, SECRET_WORD, WORK, Seen, closed_port, run_cell, services_for
from .matrix import ROWS, SITUATIONS, Expected, Row, Situation, cells, expected, in_words, is_streamed

# One event loop for all: a client's first connection costs more than a cell.
pytestmark = [pytest.mark.faults, pytest.mark.asyncio(loop_scope="module")]

LONGEST_S = 20.0
"""Seconds within which a cell must end, on a busy machine too."""
KEPT_OPEN = 8
"""Idle connections that the clients of a cell may keep for the next call."""
Told = Callable[[str, object], None]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[FaultyServer]:
    async with FaultyServer() as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def opened(server: FaultyServer) -> AsyncIterator[dict[str, ChatModels]]:
    """The clients by provider; all their connections are gone once they are closed."""
    models: dict[str, ChatModels] = {}
    yield models
    for each in models.values():
        await each.close()
    assert await server.left_alone(5.0), "a connection was left open"


def settings_for(client: str, row: Row, server: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> Settings:
    point_at(monkeypatch, server.base_url)
    monkeypatch.delenv("YMERA_LOCAL_BASE_URL")
    addresses = {"nobody": f"http://127.0.0.1:{closed_port()}", "nowhere": "http://ymera.invalid"}
    if row.place != "server":
        monkeypatch.setenv(f"YMERA_{client.upper()}_BASE_URL", addresses[row.place])
        monkeypatch.setenv("NO_PROXY", "*")
    return load_settings()


@pytest.mark.parametrize("title", ROWS)
@pytest.mark.parametrize("client", NAMES)
async def test_a_fault_has_its_outcome_in_every_situation(
    client: str,
    title: str,
    server: FaultyServer,
    opened: dict[str, ChatModels],
    monkeypatch: pytest.MonkeyPatch,
    record_property: Told,
) -> None:
    row = ROWS[title]
    settings = settings_for(client, row, server, monkeypatch)
    before = asyncio.all_tasks()
    chat_models = opened.setdefault(f"{client} {row.place}", ChatModels(settings, PROVIDERS))
    for where in SITUATIONS:
        services = services_for(client, row, where, settings, chat_models)
        async with asyncio.timeout(LONGEST_S):
            seen = await run_cell(client, row, where, server, services)
        demanded = expected(client, row, where)
        record_property("cell", told(client, title, where, seen, demanded))
        check_outcome(row, where, seen, demanded)
        check_words(client, seen)
        check_stream(row.wordy and is_streamed(client, where), seen)
        check_usage(row, seen)
    await asyncio.sleep(0.01)
    left = {task for task in asyncio.all_tasks() - before if "_serve" not in repr(task)}
    assert not left, "a task was left running"
    assert server.open_connections <= KEPT_OPEN * len(opened), "connections are piling up"


def told(client: str, title: str, where: Situation, seen: Seen, demanded: Expected) -> dict[str, object]:
    """Return a cell for the print-out."""
    requests = seen.requests if ROWS[title].place == "server" else len(seen.faults)
    kind = seen.faults[0] if seen.faults else "none"
    return {
        "client": client,
        "fault": title,
        **asdict(where),
        "outcome": seen.outcome,
        "told": in_words(seen.outcome, kind, requests, seen.fallback_requests),
        "requests": requests,
        "allowed": demanded.requests,
        "unclassified": kind == "bug",
        "broken_as_success": seen.outcome == "succeeded",
        "duplicated": text_of(seen) not in ("", RESCUE, WORK),
    }


def text_of(seen: Seen) -> str:
    return str(seen.result.final_result or "")


def check_outcome(row: Row, where: Situation, seen: Seen, demanded: Expected) -> None:
    assert seen.outcome == demanded.outcome
    assert seen.faults == [demanded.kind] * demanded.requests
    if row.place == "server":
        assert seen.requests == demanded.requests
    assert seen.fallback_requests == demanded.fallback_requests
    if not where.critical:
        assert seen.result.success
        assert text_of(seen) == WORK
        return
    assert seen.result.success == (demanded.outcome == "answered by the fallback")
    assert text_of(seen) == (RESCUE if seen.result.success else "")
    if not seen.result.success:
        assert (seen.result.error or "").startswith("All phases failed: generation has no candidate left.")
        assert demanded.kind in (seen.result.error or "")


def check_words(client: str, seen: Seen) -> None:
    """The text of a fault helps, and holds neither key nor prompt."""
    said = [a["fault"]["message"] for a in seen.attempts if a["fault"]]
    assert all(len(message) > 20 for message in said)
    shown = seen.result.to_json()
    assert key_of(client) not in shown
    assert not any(SECRET_WORD in message for message in [*said, seen.result.error or ""])


def check_stream(wordy: bool, seen: Seen) -> None:
    """No word of a broken attempt is in an answer; whoever watched the stream knows which words to drop."""
    failed = {a["id"] for a in seen.attempts if not a["ok"]}
    broken = {seen.streamed.get(name, "") for name in failed} - {""}
    answer = next((a for a in seen.attempts if a["ok"]), None)
    if answer:
        assert seen.streamed[answer["id"]] == RESCUE
    for words in broken:
        assert words not in (text_of(seen), *seen.result.to_json().split('"result"')[:1])
    if wordy:
        assert all(a["partial"] == seen.streamed[a["id"]].strip() for a in seen.attempts if not a["ok"])
        assert all("Hello".startswith(words[:5]) for words in broken)


def check_usage(row: Row, seen: Seen) -> None:
    """What an attempt took is reported, estimated or unknown, never a silent nothing."""
    for attempt in seen.attempts:
        usage = attempt["usage"]
        answers = row.place == "server" and isinstance(row.reply, Answer)
        reported = answers and row.reply != Answer(finish=None)
        if attempt["ok"] or (reported and attempt["fault"] and attempt["fault"]["kind"] != "timed_out"):
            assert (usage["estimated"], usage["unpriced"]) == (0, 0)
            assert usage["input_tokens"] > 0
        elif attempt.get("partial") and usage["output_tokens"] == 0:
            pytest.fail(f"{attempt['id']} has text but no tokens")
        elif attempt["fault"] and attempt["fault"]["kind"] == "timed_out" and not attempt.get("partial"):
            assert usage["unpriced"] == 1


async def test_the_matrix_has_every_client_and_the_faults_of_the_issue() -> None:
    assert len(NAMES) == 8
    assert len(list(cells())) == 8 * len(ROWS) * 4 >= 8 * 30 * 4
