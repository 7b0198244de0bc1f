"""One reply that goes wrong."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from functools import cache

from .dialects import DIALECTS, Dialect, sse
from .refusals import Refusal, refusal_of
from .replies import Answer, Event, Fault
from .wire import EVENTS, JSON, Request, Wire

HUGE = 100 * 2**20
PAGE = b"<!DOCTYPE html>\n<html><body><h1>Sign in to the guest network</h1></body></html>\n"
_PIECE = 64 * 1024
_IN_A_STREAM = {
    "stall_first", "stall", "cut", "reset_midway", "bad_json", "bad_json_only", "not_utf8", "error_event",
    "error_first", "empty_choices", "no_events",
}  # fmt: skip
_BEFORE_ANYTHING = {"stall_first", "bad_json_only", "error_first", "empty_choices", "no_events"}


class Failing:
    """A fault on its way to the client."""

    def __init__(self, request: Request, fault: Fault, wire: Wire) -> None:
        self.request = request
        self.fault = fault
        self.wire = wire

    @property
    def dialect(self) -> Dialect:
        """How the provider writes things."""
        return DIALECTS[self.request.provider]

    async def send(self) -> bool:
        """Send the reply and say whether the connection stays open."""
        name = self.fault.name
        if name in ("reset", "hang_up", "silent"):
            return await self._send_nothing()
        if name in ("html", "html_as_bytes", "error_in_200", "broken_document"):
            return await self._send_another_document()
        if name.startswith("huge") or name == "gzip_bomb":
            return await self._send_too_much()
        if name in _IN_A_STREAM:
            return await (self._break_stream() if self.request.streams else self._break_whole())
        refusal = self._refusal(name)
        lines = (f"Retry-After: {self.fault.retry_after}",) if self.fault.retry_after else ()
        body = json.dumps(self.dialect.refusal(refusal)).encode()
        await self.wire.document(body, status=refusal.status, lines=lines)
        return True

    def _refusal(self, name: str) -> Refusal:
        fault = self.fault
        return refusal_of(self.request.provider, name, message=fault.message, retry_delay=fault.retry_delay)

    async def _send_nothing(self) -> bool:
        if self.fault.name == "reset":
            self.wire.reset()
        if self.fault.name == "silent":
            await self.wire.client_leaves()
        return False

    async def _send_another_document(self) -> bool:
        kinds = {"html": "text/html; charset=utf-8", "html_as_bytes": "application/octet-stream"}
        error = json.dumps(self.dialect.refusal(self._refusal(self.fault.says))).encode()
        bodies = {"error_in_200": error, "broken_document": error[:-9]}
        name = self.fault.name
        await self.wire.document(bodies.get(name, PAGE), content_type=kinds.get(name, JSON))
        return True

    async def _break_stream(self) -> bool:
        await self.wire.head()
        for event in self._before():
            await self.wire.event(event)
        match self.fault.name:
            case "stall_first" | "stall":
                await self.wire.client_leaves()
                return False
            case "cut":
                return False
            case "reset_midway":
                await self.wire.pause(0.05)  # what is not read yet is lost with a reset
                self.wire.reset()
                return False
        readable = self.fault.name == "empty_choices"
        for event in self._after():  # what stands behind a fault does not reach a client: it is not reported
            await (self.wire.event(event) if readable else self.wire.piece(event.data))
        await self.wire.piece(b"")
        return True

    async def _break_whole(self) -> bool:
        """Break a reply that is one JSON document."""
        answer = Answer("" if self.fault.name == "empty_choices" else Answer().text)
        body = self.dialect.whole(answer, self.request.model)
        match self.fault.name:
            case "stall" | "stall_first":
                await self.wire.client_leaves()
                return False
            case "error_event" | "error_first":
                body = self.dialect.refusal(self._refusal(self.fault.says))
            case "empty_choices":
                body = self.dialect.no_choices or body
            case _:
                half = json.dumps(body).encode()[:-20]
                cut = self.fault.name in ("cut", "reset_midway")
                await self.wire.document(half, missing=20 if cut else 0)
                return not cut
        await self.wire.document(json.dumps(body).encode())
        return True

    @property
    def _events(self) -> list[Event]:
        return self.dialect.stream(Answer(), self.request.model)

    def _before(self) -> list[Event]:
        return [] if self.fault.name in _BEFORE_ANYTHING else self._events[: len(self._events) // 2]

    def _after(self) -> list[Event]:
        middle, *rest = self._events[len(self._events) // 2 :]
        match self.fault.name:
            case "bad_json":
                return [Event(middle.data.rstrip()[:-3] + b"\n\n"), *rest]
            case "bad_json_only":
                return [Event(middle.data.rstrip()[:-3] + b"\n\n")]
            case "not_utf8":
                return [Event(_in_latin_1(middle.data)), *rest]
            case "error_event" | "error_first":
                return [self.dialect.error_event(self._refusal(self.fault.says))]
            case "no_events":
                return []
        empty = self.dialect.no_choices
        return [sse(empty)] if empty else self.dialect.stream(Answer(""), self.request.model)

    async def _send_too_much(self) -> bool:
        """Send 100 MB, a piece at a time, for as long as the client listens."""
        match self.fault.name:
            case "gzip_bomb":
                await self.wire.head(encoding="gzip")
            case "huge_document":
                await self.wire.head(JSON)
            case "huge_refusal":
                head = f"HTTP/1.1 500 Scripted\r\nContent-Type: {JSON}\r\nTransfer-Encoding: chunked\r\n\r\n"
                self.wire.writer.write(head.encode())
            case _:
                await self.wire.head(EVENTS)
        for piece in [_bomb()] if self.fault.name == "gzip_bomb" else self._too_much():
            await self.wire.piece(piece)
        await self.wire.piece(b"")
        return True

    def _too_much(self) -> Iterator[bytes]:
        first, again = self._huge_parts()
        if first:
            yield first
        again *= _PIECE // len(again)
        for _ in range(HUGE // len(again)):
            yield again

    def _huge_parts(self) -> tuple[bytes, bytes]:
        start, word = b"".join(event.data for event in self._events[:2]), self._events[2].data
        match self.fault.name:
            case "huge_comments":
                return b"", b": still working on it\n\n"
            case "huge_noise":
                return b"", b"all work and no play makes jack a dull boy\n"
            case "huge_answer":
                return start, word
            case "huge_document" | "huge_refusal":
                return b'{"id": "', b"0"
        return b'data: {"id": "', b"0"


def _in_latin_1(data: bytes) -> bytes:
    """Put a letter into the event's word that is none in UTF-8."""
    word = next(word.strip().encode() for word in Answer().words if word.encode() in data)
    return data.replace(word, word[:-1] + b"\xe9")


@cache
def _bomb() -> bytes:
    """Return 100 MB on one line, packed into a thousandth of that."""
    packer = zlib.compressobj(9, wbits=31)
    parts = [packer.compress(b'data: {"id": "')]
    parts += [packer.compress(b"0" * _PIECE) for _ in range(HUGE // _PIECE)]
    return b"".join([*parts, packer.flush()])
