"""A check on what providers send, the same for every client: readable, no error in disguise, of a sane size.

The clients differ. One skips an event that it cannot read, so that the answer lacks a word and still ends with a
finish reason; another passes over an error in the midst of a stream; a proxy's page is an empty answer to most; a
line of 100 MB costs them 400 MB, or blocks the event loop for seconds. So each gets an HTTP client whose replies
pass through here first, and only whole events that have been read go on.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import re
import ssl
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextvars import ContextVar
from functools import cache
from typing import Any, Final, Protocol

from pydantic_core import from_json

from ..routing.errors import YmeraError

LONGEST_EVENT: Final = 8 * 2**20
"""Bytes of one event, or of a reply that is one document: room for 128,000 tokens at once, many times over."""
LONGEST_REFUSAL: Final = 2**20
"""Bytes that are read of a reply with an error status: the status tells what went wrong."""
_ROOM: Final = 2**20
_ROOM_PER_TOKEN: Final = 2**10
_AT_ONCE: Final = 2**16
_A_FEW: Final = 2**12
_EVENT_ENDS: Final = re.compile(rb"\n\r?\n")
_EVENTS: Final = "text/event-stream"
_BLANK: Final = b"\xef\xbb\xbf \t\r\n"

asked_tokens: ContextVar[int] = ContextVar("asked_tokens", default=0)
"""Tokens that the call under way asked for at most. Its client serves calls of many bounds, and is made before them."""

Hook = Callable[[Any], Awaitable[None]]
"""Takes a request or a response of httpx, or of httpx2: two libraries with the same names and no common base."""


class ReplyError(YmeraError):
    """A reply that began with a good status went wrong; the message holds nothing of its text."""


class UnreadableReplyError(ReplyError):
    """The reply is not what a provider sends: no JSON, a web page, far too long."""


class BrokenReplyError(ReplyError):
    """The connection was lost in the midst of the reply."""


class FailedReplyError(ReplyError):
    """The provider reports an error inside the reply.

    `body` is what it says, `status_code` the status that it names there.
    """

    def __init__(self, body: Mapping[str, Any]) -> None:
        super().__init__("the reply holds an error")
        self.body = body
        inner = body.get("error")
        code = inner.get("code") if isinstance(inner, Mapping) else None
        self.status_code = code if isinstance(code, int) and 400 <= code <= 599 else None


def reply_hooks() -> dict[str, list[Hook]]:
    """Return the `event_hooks` of an HTTP client that check every reply.

    A reply may have 1 MB, and 1 KB for each token that was asked for (`asked_tokens`): the event of a single token is
    a few hundred bytes of JSON.
    """

    async def ask(request: Any) -> None:
        request.headers["accept-encoding"] = "gzip"  # the one that is unpacked here, a little at a time

    async def check(response: Any) -> None:
        library = type(response).__module__.partition(".")[0]
        unpack = _unpacker(response.headers.pop("content-encoding", "identity"))
        if _EVENTS not in response.headers.get("content-type", "") and _wants_events(response):
            response.headers["content-type"] = _EVENTS  # some clients refuse unread what is called otherwise
        most = _ROOM + _ROOM_PER_TOKEN * asked_tokens.get()
        reading = _Refusal() if response.status_code >= 400 else _Reply(most)
        response.stream = _checked_stream(library)(response.stream, unpack, reading)

    return {"request": [ask], "response": [check]}


def _wants_events(response: Any) -> bool:
    """Say whether a reply should be a stream of events."""
    if response.status_code >= 400:
        return False
    try:
        asked = json.loads(response.request.content)
    except ValueError:
        return False
    return isinstance(asked, dict) and asked.get("stream") is True


@cache
def _checked_stream(library: str) -> Any:
    http: Any = importlib.import_module(library)
    broken = (http.NetworkError, http.ProtocolError, ssl.SSLError)

    class Checked(http.AsyncByteStream):  # type: ignore[misc]  # its base is known when it is used
        def __init__(self, stream: Any, unpack: _Unpack, reading: _Reading) -> None:
            self._stream, self._unpack, self._reading = stream, unpack, reading

        async def __aiter__(self) -> AsyncIterator[bytes]:
            try:
                async for piece in self._pieces():
                    yield piece
            except broken as error:
                await self.aclose()
                raise BrokenReplyError(str(error) or type(error).__name__) from error
            except Exception:
                await self.aclose()  # not every client gives back the connection of a stream that breaks
                raise

        async def _pieces(self) -> AsyncIterator[bytes]:
            reading = self._reading
            async for packed in self._stream:
                for piece in self._unpack(packed):
                    for number, good in enumerate(reading.take(piece)):
                        if number:
                            await asyncio.sleep(0)  # some clients take milliseconds for an event
                        yield good
                    if reading.fault:
                        raise reading.fault
                    if reading.over:
                        return
            yield reading.rest()

        async def aclose(self) -> None:
            await self._stream.aclose()

    return Checked


_Unpack = Callable[[bytes], Iterator[bytes]]


def _unpacker(encoding: str) -> _Unpack:
    if encoding == "identity":
        return lambda piece: iter((piece,))
    if encoding != "gzip":
        raise UnreadableReplyError(f"it is packed as {encoding!r}, which was not asked for")
    unpacking = zlib.decompressobj(wbits=31)

    def unpack(piece: bytes) -> Iterator[bytes]:
        try:
            while piece:
                yield unpacking.decompress(piece, _AT_ONCE)
                piece = unpacking.unconsumed_tail
        except zlib.error:
            raise UnreadableReplyError("it is not packed as it says") from None

    return unpack


# --- what is read, without any waiting --------------------------------------------------------------------


class _Reading(Protocol):
    """Takes a reply piece by piece and gives out what may be passed on."""

    fault: ReplyError | None
    over: bool

    def take(self, piece: bytes) -> list[bytes]: ...

    def rest(self) -> bytes: ...


class _Refusal:
    """A reply with an error status: its client makes of it what it can."""

    fault = None
    over = False

    def __init__(self) -> None:
        self._room = LONGEST_REFUSAL

    def take(self, piece: bytes) -> list[bytes]:
        """Give out what there is room for."""
        good = piece[: self._room]
        self._room -= len(good)
        self.over = self._room == 0
        return [good]

    def rest(self) -> bytes:
        """Nothing is held back."""
        return b""


class _Reply:
    """A reply with a good status: events, or one document. `fault` is what is wrong behind all that was given out."""

    over = False

    def __init__(self, most: int) -> None:
        self.fault: ReplyError | None = None
        self._room = most
        self._held = bytearray()
        self._document: bool | None = None

    def take(self, piece: bytes) -> list[bytes]:
        """Give out the events that are whole with this piece, a few at a time."""
        self._room -= len(piece)
        seen = max(len(self._held) - 2, 0)
        self._held += piece
        if self._document is None:
            self._document = self._is_document()
        good = [] if self._document else self._whole_events(seen)
        if self._room < 0:
            self.fault = self.fault or UnreadableReplyError(
                "it is far longer than the answer that was asked for"
            )
        if len(self._held) > LONGEST_EVENT:
            self.fault = UnreadableReplyError(f"one event of it has more than {LONGEST_EVENT // 2**20} MB")
        return good

    def rest(self) -> bytes:
        """Give out what is left: a document, or an event that nothing ends.

        Raises:
            ReplyError: where it is not as it should be.
        """
        rest = bytes(self._held)
        if fault := _fault_in_json(rest) if self._document else _fault_in_event(rest):
            raise fault
        return rest

    def _whole_events(self, seen: int) -> list[bytes]:
        """Take events out, up to the first that is not as it should be."""
        parts, begin, good = [], 0, 0
        for end in [found.end() for found in _EVENT_ENDS.finditer(self._held, seen)]:
            self.fault = _fault_in_event(bytes(self._held[good:end]))
            if self.fault:
                break
            good = end
            if good - begin >= _A_FEW:
                parts.append(bytes(self._held[begin:good]))
                begin = good
        if begin < good:
            parts.append(bytes(self._held[begin:good]))
        del self._held[:good]
        return parts

    def _is_document(self) -> bool | None:
        """Tell one JSON document from events by how it begins; None before anything has come."""
        begin = bytes(self._held.lstrip(_BLANK)[:1])
        if begin == b"<":
            self.fault = UnreadableReplyError("it is a web page, as from a proxy or a sign-in")
        return begin in (b"{", b"[", b"<") if begin else None


def _fault_in_event(event: bytes) -> ReplyError | None:
    data = event[5:]
    if not event.startswith(b"data:") or event.find(b"\n") < len(event) - 2:  # more than one line
        data = b"\n".join(line[5:] for line in event.splitlines() if line.startswith(b"data:"))
    return None if data.strip() in (b"", b"[DONE]") else _fault_in_json(data)


def _fault_in_json(data: bytes) -> ReplyError | None:
    try:
        said = from_json(data.lstrip(_BLANK))
    except ValueError:
        return UnreadableReplyError("a part of it is no JSON")
    error = _error_in(said[0] if isinstance(said, list) and said else said)
    return FailedReplyError(error) if error else None


def _error_in(said: object) -> Mapping[str, Any] | None:
    """Return what reports an error: everyone's `error`, Mistral's `object`, Cohere's message or its last event."""
    if not isinstance(said, dict):
        return None
    if said.get("error") or said.get("object") == "error" or isinstance(said.get("message"), str):
        return said
    delta = said.get("delta")
    if isinstance(delta, dict) and (delta.get("error") or delta.get("finish_reason") == "ERROR"):
        return {"message": delta.get("error")}
    return None
