"""A check on a stream of server-sent events, for a client that skips an event it cannot read.

Cohere's SDK logs such an event, text and all, and goes on: the answer then lacks a word and still ends with a
finish reason, so that nothing shows the loss.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx


async def refuse_broken_events(response: httpx.Response) -> None:
    """Make a stream raise `json.JSONDecodeError` at data that is not JSON; an event hook of httpx."""
    from httpx import AsyncByteStream

    class Checked(AsyncByteStream):
        def __init__(self, stream: AsyncByteStream) -> None:
            self.stream = stream

        async def __aiter__(self) -> AsyncIterator[bytes]:
            async for piece in _checked(self.stream):
                yield piece

        async def aclose(self) -> None:
            await self.stream.aclose()

    if "text/event-stream" in response.headers.get("content-type", ""):
        assert isinstance(response.stream, AsyncByteStream)
        response.stream = Checked(response.stream)


async def _checked(stream: AsyncIterator[bytes] | httpx.AsyncByteStream) -> AsyncIterator[bytes]:
    """Pass pieces on once every whole line in them has been read."""
    rest = b""
    async for piece in stream:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            _check(line)
        yield piece
    _check(rest)


def _check(line: bytes) -> None:
    name, _, data = line.partition(b":")
    if name == b"data" and data.strip() not in (b"", b"[DONE]"):
        json.loads(data)
