"""HTTP on a loopback connection: one request read, one reply on its way."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
import time
from dataclasses import dataclass
from typing import Any

from .replies import Event, Tokens

EVENTS = "text/event-stream"
JSON = "application/json"


@dataclass(frozen=True, kw_only=True)
class Request:
    """One request as it came in. `at` is the monotonic clock in seconds."""

    provider: str
    path: str
    model: str
    body: dict[str, Any]
    headers: dict[str, str]
    at: float

    @property
    def streams(self) -> bool:
        """Whether a stream is asked for."""
        return bool(self.body.get("stream")) or "streamGenerateContent" in self.path


@dataclass(kw_only=True)
class Wire:
    """A reply on its way; `tokens` are those that it has reported last, `sent` the bytes of its body."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    tokens: Tokens | None = None
    sent: int = 0

    async def head(self, content_type: str = EVENTS, *, encoding: str = "") -> None:
        """Begin a body that comes in pieces."""
        lines = ["HTTP/1.1 200 OK", f"Content-Type: {content_type}", "Transfer-Encoding: chunked"]
        lines += [f"Content-Encoding: {encoding}"] if encoding else []
        self.writer.write("\r\n".join([*lines, "", ""]).encode())
        await self.writer.drain()

    async def event(self, event: Event) -> None:
        """Send an event; the tokens that it reports count once it is sent."""
        await self.piece(event.data)
        self.tokens = event.tokens or self.tokens

    async def piece(self, data: bytes) -> None:
        """Send a piece of a body; an empty one ends it."""
        self.writer.write(b"%x\r\n%b\r\n" % (len(data), data))
        await self.writer.drain()
        self.sent += len(data)

    async def document(
        self,
        payload: bytes,
        *,
        status: int = 200,
        content_type: str = JSON,
        lines: tuple[str, ...] = (),
        missing: int = 0,
    ) -> None:
        """Send a body at once; it may be announced as `missing` bytes longer than it is."""
        first = f"HTTP/1.1 {status} Scripted"
        length = f"Content-Length: {len(payload) + missing}"
        head = "\r\n".join([first, f"Content-Type: {content_type}", length, *lines, "", ""])
        self.writer.write(head.encode() + payload)
        await self.writer.drain()
        self.sent += len(payload)

    async def pause(self, seconds: float) -> None:
        """Send nothing for a while.

        Raises:
            ConnectionError: the client went away.
        """
        if seconds:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.client_leaves(), seconds)
                raise ConnectionError

    async def client_leaves(self) -> None:
        """Stay silent until the client goes away."""
        await self.reader.read(1)

    def reset(self) -> None:
        """Close with RST instead of FIN."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


async def read_request(reader: asyncio.StreamReader) -> Request:
    """Read one request.

    Raises:
        asyncio.IncompleteReadError: the client went away.
    """
    head = await reader.readuntil(b"\r\n\r\n")
    line, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (x.partition(":") for x in lines if x)}
    payload = await _body(reader, headers)
    path, body = line.split(" ")[1], json.loads(payload) if payload else {}
    return Request(
        provider=path.split("/")[1],
        path=path,
        model=_model(path, body),
        body=body,
        headers=headers,
        at=time.monotonic(),
    )


async def _body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    if headers.get("transfer-encoding") != "chunked":
        return await reader.readexactly(int(headers.get("content-length", "0")))
    parts = []
    while size := int(await reader.readline(), 16):
        parts.append(await reader.readexactly(size))
        await reader.readline()
    await reader.readline()
    return b"".join(parts)


def _model(path: str, body: dict[str, Any]) -> str:
    for mark in ("/models/", "/deployments/"):  # Gemini: …/models/NAME:streamGenerateContent; Azure
        if "model" not in body and mark in path:
            return path.split(mark)[1].split("/")[0].split(":")[0]
    return str(body.get("model") or "")
