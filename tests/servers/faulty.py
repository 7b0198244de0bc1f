"""A loopback provider that answers, or fails, exactly as it is told, and remembers every request.

    async with FaultyServer() as server:
        server.script("openai", [Fault("429", retry_after="2"), Answer("hi")])
        server.base_url("openai")   # for YMERA_OPENAI_BASE_URL
        server.requests             # what was really sent
        server.billed               # the tokens of all that was reported as used

It speaks the wire format of the provider that the first part of the path names.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from .chaos import Chaos
from .dialects import DIALECTS
from .failing import Failing
from .replies import Answer, Fault, FaultName, Reply
from .wire import Request, Wire, read_request

__all__ = ["Answer", "Billed", "Fault", "FaultName", "FaultyServer", "Reply", "Request"]


@dataclass
class Billed:
    """What replies have reported as used."""

    replies: int = 0
    input_tokens: int = 0
    output_tokens: int = 0


class FaultyServer:
    """A server on a free loopback port; use it as an async context manager.

    Args:
        remembered: how many requests are kept in `requests`; None: all of them.

    Attributes:
        billed: by provider and model, the tokens of every reply that reported them; where a reply breaks off, those
            that it had reported by then. A client that leaves while they are on their way never learns of them.
        sent: bytes of all bodies.
    """

    def __init__(self, *, remembered: int | None = None) -> None:
        self.requests: list[Request] = []
        self._remembered = remembered
        self.billed: dict[tuple[str, str], Billed] = defaultdict(Billed)
        self.sent = 0
        self.port = 0
        self._queues: dict[tuple[str, str], deque[Reply]] = defaultdict(deque)
        self._after: dict[tuple[str, str], Reply] = {}
        self._chaos: Chaos | None = None
        self._answering: Callable[[Request], Reply] = lambda request: Answer()
        self._connections: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    # --- what it is told ----------------------------------------------------------------------------------

    def script(
        self, provider: str, replies: Iterable[Reply] = (), *, model: str = "", then: Reply | None = None
    ) -> None:
        """Queue replies for a provider, or for one model of it; `then` is given for ever after them."""
        self._queues[provider, model].extend(replies)
        if then is not None:
            self._after[provider, model] = then

    def answer(self, answering: Callable[[Request], Reply]) -> None:
        """Answer with a function of the request wherever no script says something else."""
        self._answering = answering

    def chaos(self, seed: int, rate: float, replies: Sequence[Reply]) -> None:
        """Give a part of all requests one of `replies`, drawn from seed and content: the same in every run."""
        self._chaos = Chaos(seed=seed, rate=rate, replies=replies)

    def reset(self) -> None:
        """Forget requests, bills and all that was told."""
        self.requests.clear()
        self.billed.clear()
        self._queues.clear()
        self._after.clear()
        self._chaos = None
        self._answering = lambda request: Answer()
        self.sent = 0

    # --- what it tells ------------------------------------------------------------------------------------

    def base_url(self, provider: str) -> str:
        """Return the address to give as `YMERA_<PROVIDER>_BASE_URL`."""
        return f"http://127.0.0.1:{self.port}/{provider}{DIALECTS[provider].path}"

    def sent_to(self, provider: str, model: str = "") -> list[Request]:
        """Return the requests that reached a provider, or one model of it."""
        return [r for r in self.requests if r.provider == provider and model in ("", r.model)]

    @property
    def open_connections(self) -> int:
        """How many clients are connected."""
        return len(self._connections)

    async def left_alone(self, seconds: float = 1.0) -> bool:
        """Say whether all clients have gone, waiting a while for it."""
        until = time.monotonic() + seconds
        while self._connections and time.monotonic() < until:
            await asyncio.sleep(0.001)
        return not self._connections

    # --- one connection -----------------------------------------------------------------------------------

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            while await self._take_one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client went away, or the test is over
        finally:
            self._connections.discard(task)
            writer.close()

    async def _take_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Reply to one request and say whether the connection stays open."""
        request = await read_request(reader)
        self._remember(request)
        reply, wire = self._next(request), Wire(reader=reader, writer=writer)
        try:
            if isinstance(reply, Fault):
                return await Failing(request, reply, wire).send()
            await self._answer(request, reply, wire)
            return True
        finally:
            self.sent += wire.sent
            if wire.tokens:
                self._bill(request, *wire.tokens)

    def _remember(self, request: Request) -> None:
        self.requests.append(request)
        if self._remembered is not None:
            del self.requests[: max(len(self.requests) - self._remembered, 0)]

    def _bill(self, request: Request, input_tokens: int, output_tokens: int) -> None:
        billed = self.billed[request.provider, request.model]
        billed.replies += 1
        billed.input_tokens += input_tokens
        billed.output_tokens += output_tokens

    def _next(self, request: Request) -> Reply:
        if self._chaos and (drawn := self._chaos.draw(request)):
            return drawn
        for key in ((request.provider, request.model), (request.provider, "")):
            if self._queues[key]:
                return self._queues[key].popleft()
            if key in self._after:
                return self._after[key]
        return self._answering(request)

    async def _answer(self, request: Request, answer: Answer, wire: Wire) -> None:
        dialect = DIALECTS[request.provider]
        await wire.pause(answer.headers_wait_s)
        if not request.streams:
            await wire.pause(answer.wait_s)
            await wire.document(json.dumps(dialect.whole(answer, request.model)).encode())
            wire.tokens = answer.tokens
            return
        await wire.head()
        await wire.pause(answer.wait_s)
        for event in dialect.stream(answer, request.model):
            await wire.event(event)
        await wire.piece(b"")
