"""Every client, every fault, four situations: what the specification demands, and nothing left behind."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, replace

import pytest
import pytest_asyncio

from tests.servers.cases import HUGE
from tests.servers.clients import NAMES, PROVIDERS, key_of, point_at
from tests.servers.dialects import DIALECTS
from tests.servers.faulty import Answer, FaultyServer, Reply
from ymera.nodes.providers import ChatModels
from ymera.nodes.settings import Settings, load_settings
from ymera.nodes.usage import MAYBE_BILLED
from ymera.routing.attempts import Attempt
from ymera.routing.faults import TABLE

from .cell import RESCUE, SECRET_WORD, WORK, Seen, closed_port, run_cell, services_for
from .matrix import PAIRS, ROWS, SITUATIONS, Cell, Row, Situation, expected, is_streamed
from .report import CELL, Report

pytestmark = pytest.mark.faults

LONGEST_S = 60.0
"""Seconds within which a cell must end, on a busy machine too."""
KEPT_OPEN = 5
"""Idle connections that clients keep for the next call: first choice and fallback in two phases, and the worker."""
BREAKS_LATE = {"stall", "cut", "reset_midway", "bad_json", "not_utf8", "error_event"}
"""Faults before which a part of an answer comes."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[FaultyServer]:
    async with FaultyServer() as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def opened(server: FaultyServer) -> AsyncIterator[dict[str, ChatModels]]:
    """The clients that were opened; once they are closed, so are all connections."""
    models: dict[str, ChatModels] = {}
    yield models
    for each in models.values():
        await each.close()
    assert await server.left_alone(5.0), "a connection was left open"


def settings_for(client: str, row: Row, server: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Point every client at the server, and the first choice at where the row says."""
    point_at(monkeypatch, server.base_url)
    monkeypatch.delenv("YMERA_LOCAL_BASE_URL")
    monkeypatch.setenv("NO_PROXY", "*")
    if row.case.place != "here":
        host = "nobody.invalid" if row.case.place == "no such host" else f"127.0.0.1:{closed_port()}"
        monkeypatch.setenv(
            f"YMERA_{client.upper()}_BASE_URL", f"http://{host}/{client}{DIALECTS[client].path}"
        )
    return load_settings()


@pytest.mark.asyncio(loop_scope="module")  # a client's first connection costs more than a cell
@pytest.mark.parametrize(("client", "title"), PAIRS)
async def test_a_fault_has_its_outcome_in_every_situation(
    client: str,
    title: str,
    server: FaultyServer,
    opened: dict[str, ChatModels],
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, logger="ymera")
    row = ROWS[title]
    settings = settings_for(client, row, server, monkeypatch)
    before = asyncio.all_tasks()
    chat_models = opened.setdefault(f"{client} {row.case.place}", ChatModels(settings, PROVIDERS))
    for where in SITUATIONS:
        async with asyncio.timeout(LONGEST_S):
            services = services_for(client, row, where, settings, chat_models)
            seen = await run_cell(client, row, where, server, services)
            if row.case.endless and not seen.requests:  # a busy machine was too slow to send it in time
                patient = replace(row, short_s=10 * row.short_s)
                services = services_for(client, patient, where, settings, chat_models)
                seen = await run_cell(client, row, where, server, services)
        demanded = expected(client, row, where)
        record_property(CELL, asdict(reported(title, seen, demanded)))
        check_outcome(title, where, seen, demanded)
        check_words(seen, caplog.text)
        check_stream(seen, talks_first(row, where, client))
        check_usage(seen)
        if title not in HUGE:
            check_bill(seen)
        check_wait(seen, (row.asks_s or {}).get(client))
    await asyncio.sleep(0.01)
    left = {task for task in asyncio.all_tasks() - before if "_serve" not in repr(task)}
    assert not left, "a task was left running"
    assert server.open_connections <= KEPT_OPEN * len(opened)


def reported(title: str, seen: Seen, demanded: Cell) -> Report:
    """Return a cell for the print-out."""
    return Report(
        client=seen.client,
        fault=title,
        outcome=seen.outcome,
        kind=seen.kinds[0] if seen.kinds else "none",
        requests=tried(title, seen),
        rescues=seen.rescues,
        allowed=demanded.requests + demanded.rescues,
        duplicated=seen.text not in ("", RESCUE, WORK),
    )


def tried(title: str, seen: Seen) -> int:
    """Return the requests to the first choice; where no server is there to count them, the attempts that failed."""
    return seen.requests if ROWS[title].case.place == "here" else len(seen.failed)


def check_outcome(title: str, where: Situation, seen: Seen, demanded: Cell) -> None:
    """The run ends as it must, and by no more and no fewer requests than the fault table says."""
    assert (seen.outcome, tried(title, seen), seen.rescues) == (
        demanded.outcome,
        demanded.requests,
        demanded.rescues,
    )
    assert seen.kinds == [demanded.kind] * demanded.requests
    assert seen.result.success == (demanded.outcome != "failed")
    if not where.critical:
        assert seen.text == WORK
    elif seen.result.success:
        assert seen.text == RESCUE
    else:
        assert seen.text == ""
        error = str(seen.result.error)
        assert error.startswith("All phases failed: generation has no candidate left. ")
        assert error.count(f"{seen.client}:{seen.model}: {demanded.kind}: ") == demanded.requests


def check_words(seen: Seen, log: str) -> None:
    """The text of a fault helps, and neither it nor the log holds key or prompt."""
    for attempt in seen.failed:
        assert helps(attempt), attempt["fault"]
    said = json.dumps([a["fault"] for a in seen.attempts]) + str(seen.result.error) + log
    assert key_of(seen.client) not in seen.result.to_json() + said
    assert SECRET_WORD not in said


def helps(attempt: Attempt) -> bool:
    """Say whether a fault names itself and says what a person can do, or is a limit of time and says which."""
    fault, provider = attempt["fault"], PROVIDERS[attempt["provider"]]
    assert fault is not None
    if fault["message"].endswith(" s"):
        return fault["kind"] in ("timed_out", "stalled")
    profile = next(profile for kind, profile in TABLE.kinds.items() if kind == fault["kind"])
    mend = profile.mend.format(variable=provider.variables[0], provider=provider.title)
    return fault["message"].startswith(profile.title) and fault["message"].endswith(mend)


def talks_first(row: Row, where: Situation, client: str) -> bool:
    """Say whether a part of an answer comes before the fault."""
    reply: Reply = row.case.reply
    if isinstance(reply, Answer):
        ended = row.case.place == "here" and not row.case.endless and reply.finish != "filter"
        return ended and bool(reply.text.strip())
    return reply.name in BREAKS_LATE and is_streamed(client, where)


def check_stream(seen: Seen, talks: bool) -> None:
    """No word of a broken attempt is in a result; whoever watched the stream knows which words to drop."""
    assert {a["id"]: a["ok"] for a in seen.attempts}.items() <= seen.stream.ended.items()
    assert all(words in (RESCUE, WORK) for words in seen.stream.shown())
    results = [seen.text, *(str(phase.result) for phase in seen.result.phase_results)]
    for attempt in seen.failed:
        broken = seen.stream.words.get(attempt["id"], "").strip()
        assert broken == attempt.get("partial", "")
        assert bool(broken) == talks
        assert not broken or not any(broken in result for result in results)


def check_usage(seen: Seen) -> None:
    """What an attempt took is reported, estimated or unknown, never a silent nothing."""
    for attempt in seen.failed:
        usage, fault = attempt["usage"], attempt["fault"]
        tokens = usage["input_tokens"], usage["output_tokens"]
        if usage["estimated"]:
            assert attempt.get("partial")
            assert min(tokens) > 0
        unknown = tokens == (0, 0) and fault is not None and fault["kind"] in MAYBE_BILLED
        assert usage["unpriced"] == unknown
        assert bool(usage["cost_usd"]) == bool(sum(tokens))


def check_bill(seen: Seen) -> None:
    """What is said to be reported is what the provider reported, to the token."""
    counted = [a["usage"] for a in seen.failed if not a["usage"]["estimated"]]
    assert len(counted) in (0, len(seen.failed))
    if counted:
        said = sum(u["input_tokens"] for u in counted), sum(u["output_tokens"] for u in counted)
        assert said == seen.billed


def check_wait(seen: Seen, asked: float | None) -> None:
    """What a provider asks for is waited out before it is tried again."""
    fault = seen.failed[0]["fault"]
    assert fault is not None
    if asked is not None and "retry" in fault:
        assert fault["retry"]["wait"] == pytest.approx(asked, rel=0.05)


def test_the_matrix_has_every_client_and_the_faults_of_the_issue() -> None:
    assert len(NAMES) == 8
    assert len(ROWS) >= 30
    assert len(PAIRS) == len(NAMES) * len(ROWS)
