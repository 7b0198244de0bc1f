"""The provider of the failover benchmark: it speaks OpenAI's format and misbehaves as a scenario says.

    python -m benchmarks.wall          # prints its port, serves until it is ended

A request's model says what happens to it: `s08-NAME-primary` gets the fault of S08, `s08-NAME-fallback` an answer.
So any number of scenarios run side by side on one server. `GET /log` returns every request that came, with what was
done about it.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import httpx

from tests.servers.dialects import DIALECTS
from tests.servers.refusals import Refusal, refusal_of
from tests.servers.replies import Answer, Event
from tests.servers.wire import Request, Wire, read_request

ANSWER = (
    "A harbour is judged by its worst night. While the sea is calm every pier looks sound, and nobody asks who keeps "
    "the lamps. Then the wind turns, a rope breaks, one light goes out, and the boats must find another way in. If "
    "they come home, someone thought of that night long before it came and built for it."
)
WORDS = len(ANSWER.split())
SHORT_ANSWER = "Harbour."

CUT_AFTER = 40
STALL_AFTER = 20
BROKEN_AT = 10
_OPENAI = DIALECTS["openai"]


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Seconds, as FailoverBench's published profile has them."""

    retry_after_s: int = 2
    first_token_s: float = 20.0
    stall_s: float = 30.0
    silent_s: float = 120.0
    outage_s: float = 60.0
    token_s: float = 0.015


@dataclass(frozen=True, kw_only=True)
class Sent:
    """A request as the provider saw it: when (seconds), how many words it had, and what was done about it."""

    model: str
    at: float
    words: int
    did: str


@dataclass(frozen=True, kw_only=True)
class _Exchange:
    """A request and its reply. `nth` counts the requests to the model, `since` the seconds after the first."""

    request: Request
    wire: Wire
    nth: int
    since: float

    def events(self, text: str = ANSWER, *, done: bool = True) -> list[Event]:
        """Return a whole answer; usage is told to those who ask, as OpenAI does."""
        asked = (self.request.body.get("stream_options") or {}).get("include_usage")
        answer = Answer(
            text=text,
            done=done,
            usage="own" if asked else "none",
            input_tokens=_words(self.request),
            output_tokens=len(text.split()),
        )
        return _OPENAI.stream(answer, self.request.model)


def _words(request: Request) -> int:
    return sum(len(str(message.get("content")).split()) for message in request.body.get("messages", []))


class Wall:
    """The server. Serve it in this process, or use `running_wall` for one of its own.

    Args:
        clock: seconds; tells when requests come, and so when an outage is over.
    """

    def __init__(self, timing: Timing | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.timing = timing or Timing()
        self._clock = clock
        self.base_url = ""
        self._sent: list[Sent] = []
        self._counts: Counter[str] = Counter()
        self._first: dict[str, float] = {}
        self._connections: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Wall]:
        """Serve on a free loopback port."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=1024)
        self.base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/openai/v1"
        try:
            yield self
        finally:
            server.close()
            for task in self._connections:
                task.cancel()
            await asyncio.gather(*self._connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            while await self._take_one(Wire(reader=reader, writer=writer)):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client went away, or all is over
        finally:
            self._connections.discard(task)
            writer.close()

    async def _take_one(self, wire: Wire) -> bool:
        """Reply to one request and say whether the connection stays open."""
        request = replace(await read_request(wire.reader), at=self._clock())
        if request.path == "/log":
            await wire.document(json.dumps([asdict(sent) for sent in self._sent]).encode())
            return True
        self._counts[request.model] += 1
        first = self._first.setdefault(request.model, request.at)
        nth, since = self._counts[request.model], request.at - first
        exchange = _Exchange(request=request, wire=wire, nth=nth, since=since)
        scenario, *_, role = request.model.split("-")
        if not request.streams:
            return await self._refuse(exchange, Refusal(400, "invalid_request_error", "Streams only."))
        if role == "primary":
            return await self._misbehave(exchange, scenario)
        if scenario == "s14" and request.body["messages"][-1]["role"] == "assistant":
            why = "This model does not support assistant message prefill."
            return await self._refuse(exchange, Refusal(400, "invalid_prefill", why))
        return await self._answer(exchange, scenario)

    def _log(self, exchange: _Exchange, did: str) -> None:
        request = exchange.request
        self._sent.append(Sent(model=request.model, at=request.at, words=_words(request), did=did))

    async def _misbehave(self, exchange: _Exchange, scenario: str) -> bool:
        timing, again = self.timing, exchange.nth > 1
        match scenario:
            case "s01" if not again:
                return await self._refuse(exchange, _refusal("429"), retry_after=timing.retry_after_s)
            case "s02":
                return await self._refuse(exchange, _refusal("429"))
            case "s03" if not again:
                return await self._refuse(exchange, _refusal("500"))
            case "s04" | "s16":
                return await self._refuse(exchange, _refusal("503"))
            case "s05" if not again:
                self._log(exchange, "reset")
                exchange.wire.reset()
                return False
            case "s06":
                self._log(exchange, "silence")
                await exchange.wire.pause(timing.silent_s)
                return False
            case "s12" | "toolong":
                return await self._refuse(exchange, _refusal("context"))
            case "s13":
                return await self._refuse(exchange, _refusal("filter"))
            case "s15" if exchange.since < timing.outage_s:
                return await self._refuse(exchange, _refusal("503"))
        return await self._break_stream(exchange, scenario)

    async def _break_stream(self, exchange: _Exchange, scenario: str) -> bool:
        events, wire = exchange.events(), exchange.wire
        match scenario:
            case "s07":
                self._log(exchange, "late answer")
                await wire.head()
                await wire.pause(self.timing.first_token_s)
                return await self._send(wire, events)
            case "s08" | "s14":
                self._log(exchange, f"cut after {CUT_AFTER} words")
                await wire.head()
                return await self._send(wire, events[: 1 + CUT_AFTER], whole=False)
            case "s09":
                self._log(exchange, f"silence after {STALL_AFTER} words")
                await wire.head()
                await self._send(wire, events[: 1 + STALL_AFTER], whole=False)
                await wire.pause(self.timing.stall_s)
                return False
            case "s10":
                self._log(exchange, "answer with a broken event")
                broken = Event(events[BROKEN_AT].data.rstrip()[:-9] + b"\n\n")
                await wire.head()
                return await self._send(wire, [*events[:BROKEN_AT], broken, *events[BROKEN_AT:]])
            case "s11":
                self._log(exchange, "answer without [DONE]")
                await wire.head()
                return await self._send(wire, exchange.events(done=False))
        return await self._answer(exchange, scenario)

    async def _answer(self, exchange: _Exchange, scenario: str) -> bool:
        """Answer in sixty words a token apart; in `many` without a pause, in `one` and `toolong` with one word."""
        self._log(exchange, "answer")
        await exchange.wire.head()
        if scenario in ("one", "toolong"):
            return await _at_once(exchange.wire, exchange.events(SHORT_ANSWER))
        if scenario == "many":
            return await _at_once(exchange.wire, exchange.events())
        return await self._send(exchange.wire, exchange.events())

    async def _send(self, wire: Wire, events: Sequence[Event], *, whole: bool = True) -> bool:
        for event in events:
            await wire.event(event)
            await asyncio.sleep(self.timing.token_s)
        if whole:
            await wire.piece(b"")
        return whole

    async def _refuse(self, exchange: _Exchange, refusal: Refusal, *, retry_after: int = 0) -> bool:
        self._log(exchange, str(refusal.status))
        lines = (f"Retry-After: {retry_after}",) if retry_after else ()
        body = json.dumps(_OPENAI.refusal(refusal)).encode()
        await exchange.wire.document(body, status=refusal.status, lines=lines)
        return True


def _refusal(name: str) -> Refusal:
    return refusal_of("openai", name)


async def _at_once(wire: Wire, events: Sequence[Event]) -> bool:
    for event in events:
        await wire.event(event)
    await wire.piece(b"")
    return True


async def read_log(base_url: str) -> list[Sent]:
    """Return every request that has come to a wall."""
    async with httpx.AsyncClient(trust_env=False) as client:
        found: list[dict[str, Any]] = (await client.get(base_url.replace("/openai/v1", "/log"))).json()
    return [Sent(**sent) for sent in found]


@asynccontextmanager
async def running_wall() -> AsyncIterator[str]:
    """Start a wall in a process of its own, so that what is measured here shares no event loop with it.

    Yields:
        its base URL.
    """
    root = Path(__file__).parents[1]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.wall", cwd=root, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        yield (await process.stdout.readline()).decode().strip()
    finally:
        process.terminate()
        await process.wait()


async def _serve_for_ever() -> None:
    async with Wall().serving() as wall:
        print(wall.base_url, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve_for_ever())
