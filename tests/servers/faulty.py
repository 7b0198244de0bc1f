"""A loopback provider that answers, or fails, exactly as it is told, and remembers every request.

    async with FaultyServer() as server:
        server.script("openai", [Fault("429", retry_after="2"), Answer("hi")])
        server.base_url("openai")   # for YMERA_OPENAI_BASE_URL
        server.requests             # what was really sent

It speaks the wire format of the provider that the first part of the path names.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import time
from collections import defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self

from .dialects import DIALECTS, Answer, Dialect, sse
from .refusals import Refusal, refusal_of

__all__ = ["Answer", "Fault", "FaultName", "FaultyServer", "Reply", "Request"]

FaultName = Literal[
    "400", "401", "402", "403", "404", "408", "413", "422", "429", "500", "502", "503", "504", "529",
    "context", "filter", "quota",
    "reset", "silent", "stall_first", "stall", "cut", "bad_json", "bad_json_only",
    "error_event", "error_in_200", "empty_choices",
]  # fmt: skip


@dataclass(frozen=True)
class Fault:
    """A failure. `code` and `message` replace what the provider would say; `retry_after` is a header."""

    name: FaultName
    retry_after: str = ""
    message: str = ""


Reply = Answer | Fault
_BODY_FAULTS = {"stall_first", "stall", "cut", "bad_json", "bad_json_only", "error_event", "empty_choices"}


@dataclass(frozen=True, kw_only=True)
class Request:
    """One request as it came in. `at` is the monotonic clock in seconds."""

    provider: str
    path: str
    model: str
    body: dict[str, Any]
    headers: dict[str, str]
    at: float


class FaultyServer:
    """A server on a free loopback port; use it as an async context manager."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self._queues: dict[tuple[str, str], deque[Reply]] = defaultdict(deque)
        self._after: dict[tuple[str, str], Reply] = {}
        self._connections: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
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

    def base_url(self, provider: str) -> str:
        """Return the address to give as `YMERA_<PROVIDER>_BASE_URL`."""
        return f"http://127.0.0.1:{self.port}/{provider}{DIALECTS[provider].path}"

    def script(
        self, provider: str, replies: Iterable[Reply] = (), *, model: str = "", then: Reply | None = None
    ) -> None:
        """Queue replies for a provider, or for one model of it; `then` is given for ever after them."""
        self._queues[provider, model].extend(replies)
        if then is not None:
            self._after[provider, model] = then

    def sent_to(self, provider: str, model: str = "") -> list[Request]:
        """Return the requests that reached a provider, or one model of it."""
        return [r for r in self.requests if r.provider == provider and model in ("", r.model)]

    def reset(self) -> None:
        """Forget requests and scripts."""
        self.requests.clear()
        self._queues.clear()
        self._after.clear()

    # --- one connection -----------------------------------------------------------------------------------

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            while request := await self._read(reader):
                if not await self._reply(request, reader, writer):
                    break
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client went away, or the test is over
        finally:
            self._connections.discard(task)
            writer.close()

    async def _read(self, reader: asyncio.StreamReader) -> Request | None:
        head = await reader.readuntil(b"\r\n\r\n")
        line, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (x.partition(":") for x in lines if x)}
        body = await _read_body(reader, headers)
        path = line.split(" ")[1]
        request = _request(path, headers, json.loads(body) if body else {})
        self.requests.append(request)
        return request

    def _next(self, request: Request) -> Reply:
        for key in ((request.provider, request.model), (request.provider, "")):
            if self._queues[key]:
                return self._queues[key].popleft()
            if key in self._after:
                return self._after[key]
        return Answer()

    async def _reply(
        self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Send one reply and say whether the connection stays open."""
        reply = self._next(request)
        if isinstance(reply, Answer):
            await self._answer(request, reply, writer)
            return True
        return await _Failing(request, reply, reader, writer).send()

    async def _answer(self, request: Request, answer: Answer, writer: asyncio.StreamWriter) -> None:
        dialect = DIALECTS[request.provider]
        if not _streams(request):
            await asyncio.sleep(answer.wait_s)
            await _send_json(writer, 200, dialect.whole(answer, request.model))
            return
        await _send_head(writer)
        await asyncio.sleep(answer.wait_s)
        for event in dialect.stream(answer, request.model):
            await _send_chunk(writer, event)
        await _send_chunk(writer, b"")


class _Failing:
    """One reply that goes wrong."""

    def __init__(
        self, request: Request, fault: Fault, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.request = request
        self.fault = fault
        self.reader = reader
        self.writer = writer

    @property
    def dialect(self) -> Dialect:
        return DIALECTS[self.request.provider]

    async def send(self) -> bool:
        name = self.fault.name
        if name == "reset":
            return self._reset()
        if name == "silent":
            return await self._wait()
        if name == "error_in_200":
            return await self._send_body(200, self.dialect.refusal(self._server_error()))
        if name in _BODY_FAULTS:
            return await (self._break_stream() if _streams(self.request) else self._break_whole())
        refusal = refusal_of(self.request.provider, name, self.fault.message)
        return await self._send_body(refusal.status, self.dialect.refusal(refusal))

    async def _send_body(self, status: int, body: dict[str, Any]) -> bool:
        headers = {"Retry-After": self.fault.retry_after} if self.fault.retry_after else {}
        await _send_json(self.writer, status, body, headers)
        return True

    async def _break_stream(self) -> bool:
        await _send_head(self.writer)
        for event in self._before():
            await _send_chunk(self.writer, event)
        if self.fault.name in ("stall_first", "stall"):
            return await self._wait()
        if self.fault.name == "cut":
            return False
        for event in [*self._after(), b""]:
            await _send_chunk(self.writer, event)
        return True

    async def _break_whole(self) -> bool:
        """Break a reply that is one JSON document."""
        answer = Answer("" if self.fault.name == "empty_choices" else Answer().text)
        body = self.dialect.whole(answer, self.request.model)
        match self.fault.name:
            case "stall" | "stall_first":
                return await self._wait()
            case "error_event":
                return await self._send_body(200, self.dialect.refusal(self._server_error()))
            case "empty_choices":
                return await self._send_body(200, self.dialect.no_choices or body)
        half = json.dumps(body).encode()[:-20]
        await _send_json_bytes(self.writer, half, missing=20 if self.fault.name == "cut" else 0)
        return self.fault.name != "cut"

    @property
    def _events(self) -> list[bytes]:
        text = "" if self.fault.name == "empty_choices" else Answer().text
        return self.dialect.stream(Answer(text), self.request.model)

    def _before(self) -> list[bytes]:
        if self.fault.name in ("stall_first", "bad_json_only", "empty_choices"):
            return []
        return self._events[: len(self._events) // 2]

    def _after(self) -> list[bytes]:
        middle = self._events[len(self._events) // 2]
        match self.fault.name:
            case "bad_json":
                return [_broken(middle), *self._events[len(self._events) // 2 + 1 :]]
            case "bad_json_only":
                return [_broken(middle)]
            case "error_event":
                return [self.dialect.error_event(self._server_error())]
        return [sse(self.dialect.no_choices)] if self.dialect.no_choices else self._events

    async def _wait(self) -> bool:
        """Stay silent until the client leaves."""
        await self.reader.read(1)
        return False

    def _reset(self) -> bool:
        """Close with RST instead of FIN."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()
        return False

    def _server_error(self) -> Refusal:
        return refusal_of(self.request.provider, "500", self.fault.message)


def _request(path: str, headers: dict[str, str], body: dict[str, Any]) -> Request:
    provider = path.split("/")[1]
    model = str(body.get("model") or "")
    if not model and "/models/" in path:  # Gemini: …/models/NAME:streamGenerateContent
        model = path.split("/models/")[1].split(":")[0]
    if not model and "/deployments/" in path:  # Azure: …/deployments/NAME/chat/completions
        model = path.split("/deployments/")[1].split("/")[0]
    return Request(provider=provider, path=path, model=model, body=body, headers=headers, at=time.monotonic())


def _streams(request: Request) -> bool:
    return bool(request.body.get("stream")) or "streamGenerateContent" in request.path


def _broken(event: bytes) -> bytes:
    """Cut the JSON of an event short."""
    return event.rstrip()[:-3] + b"\n\n"


async def _read_body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    if headers.get("transfer-encoding") != "chunked":
        return await reader.readexactly(int(headers.get("content-length", "0")))
    parts = []
    while size := int(await reader.readline(), 16):
        parts.append(await reader.readexactly(size))
        await reader.readline()
    await reader.readline()
    return b"".join(parts)


async def _send_json(
    writer: asyncio.StreamWriter, status: int, body: dict[str, Any], headers: dict[str, str] | None = None
) -> None:
    payload = json.dumps(body).encode()
    lines = [f"{name}: {value}" for name, value in (headers or {}).items()]
    _write_head(writer, status, len(payload), lines)
    writer.write(payload)
    await writer.drain()


async def _send_json_bytes(writer: asyncio.StreamWriter, payload: bytes, *, missing: int) -> None:
    """Send what should be JSON, announced as `missing` bytes longer than it is."""
    _write_head(writer, 200, len(payload) + missing, [])
    writer.write(payload)
    await writer.drain()


def _write_head(writer: asyncio.StreamWriter, status: int, length: int, lines: list[str]) -> None:
    first = [f"HTTP/1.1 {status} Scripted", "Content-Type: application/json", f"Content-Length: {length}"]
    writer.write("\r\n".join([*first, *lines, "", ""]).encode())


async def _send_head(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
    await writer.drain()


async def _send_chunk(writer: asyncio.StreamWriter, data: bytes) -> None:
    """Send a piece of a chunked body; an empty piece ends it."""
    writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
    await writer.drain()
