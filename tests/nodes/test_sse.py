from __future__ import annotations

import gzip
import json
import tracemalloc
from itertools import pairwise
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ymera.nodes.sse import (
    LONGEST_EVENT,
    LONGEST_REFUSAL,
    BrokenReplyError,
    FailedReplyError,
    ReplyError,
    UnreadableReplyError,
    asked_tokens,
    reply_hooks,
)

from ..servers.dialects import DIALECTS
from ..servers.replies import Answer

PROVIDERS = tuple(DIALECTS)
Pieces = list[bytes]


class Stream(httpx.AsyncByteStream):
    def __init__(self, pieces: Pieces, error: Exception | None = None) -> None:
        self.pieces = pieces
        self.error = error
        self.given = 0
        self.closed = False

    async def __aiter__(self) -> Any:
        for piece in self.pieces:
            self.given += len(piece)
            yield piece
        if self.error:
            raise self.error

    async def aclose(self) -> None:
        self.closed = True


async def read(
    stream: Stream, *, status: int = 200, headers: dict[str, str] | None = None, tokens: int = 100
) -> tuple[bytes, ReplyError | None]:
    """Return what is passed on of a reply, and what is said to be wrong with it."""

    async def reply(request: httpx.Request) -> httpx.Response:
        return httpx.Response(status, headers=headers, stream=stream)

    passed = bytearray()
    transport = httpx.MockTransport(reply)
    asked_tokens.set(tokens)
    try:
        async with (
            httpx.AsyncClient(transport=transport, event_hooks=reply_hooks()) as client,
            client.stream("POST", "http://x", json={"stream": True}) as response,
        ):
            async for piece in response.aiter_bytes():
                passed += piece
    except ReplyError as error:
        return bytes(passed), error
    return bytes(passed), None


def events_of(provider: str, text: str = Answer().text) -> Pieces:
    return [event.data for event in DIALECTS[provider].stream(Answer(text), "m")]


def pieces_of(whole: bytes, cuts: list[int]) -> Pieces:
    bounds = [0, *sorted(cut % (len(whole) + 1) for cut in cuts), len(whole)]
    return [whole[begin:end] for begin, end in pairwise(bounds)]


@pytest.mark.parametrize("ending", [b"\n", b"\r\n"], ids=["LF", "CRLF"])
@given(provider=st.sampled_from(PROVIDERS), text=st.text(min_size=1), cuts=st.lists(st.integers(0)))
async def test_a_good_stream_passes_unchanged_however_it_is_cut(
    ending: bytes, provider: str, text: str, cuts: list[int]
) -> None:
    whole = b"".join(events_of(provider, text)).replace(b"\n", ending)
    assert await read(Stream(pieces_of(whole, cuts))) == (whole, None)


@given(
    provider=st.sampled_from(PROVIDERS),
    place=st.integers(0, 4),
    bad=st.sampled_from([b'data: {"a": \n\n', b'data: {"a": "\xe9"}\n\n', b"data: {}}\n\n", b"data: ok\n\n"]),
    cuts=st.lists(st.integers(0)),
)
async def test_all_before_an_unreadable_event_passes_and_nothing_behind_it(
    provider: str, place: int, bad: bytes, cuts: list[int]
) -> None:
    events = events_of(provider)
    before, after = events[: place + 1], events[place + 1 :]
    passed, error = await read(Stream(pieces_of(b"".join([*before, bad, *after]), cuts)))
    assert passed == b"".join(before)
    assert isinstance(error, UnreadableReplyError)


@pytest.mark.parametrize(
    "event",
    [
        {"error": {"message": "m"}},
        {"error": "m"},
        {"choices": [], "error": {"code": 502, "message": "m"}},
        {"type": "error", "error": {"type": "overloaded_error", "message": "m"}},
        {"object": "error", "message": "m", "code": "3505"},
        {"type": "message-end", "delta": {"finish_reason": "ERROR", "error": "m"}},
        {"type": "message-end", "delta": {"finish_reason": "ERROR"}},
        [{"error": {"code": 503, "message": "m", "status": "UNAVAILABLE"}}],
    ],
    ids=[
        "OpenAI",
        "a text",
        "OpenRouter",
        "Anthropic",
        "Mistral",
        "Cohere",
        "Cohere, no word",
        "Google, a list",
    ],
)
@pytest.mark.parametrize("form", [b"data: %b\n\n", b"event: error\ndata: %b\n\n", b"data: %b"])
async def test_an_error_inside_a_stream_is_one(event: Any, form: bytes) -> None:
    before = b"".join(events_of("openai")[:3])
    passed, error = await read(Stream([before, form % json.dumps(event).encode()]))
    assert passed == before
    assert isinstance(error, FailedReplyError)


@pytest.mark.parametrize(
    "event",
    [
        {"choices": [{"delta": {"content": '{"error": "is only spoken of"}'}}]},
        {"error": None, "choices": []},
        {"type": "message_start", "message": {"role": "assistant"}},
        {"type": "message-end", "delta": {"finish_reason": "COMPLETE", "error": None}},
        ["a", "list"],
        "a text",
    ],
    ids=str,
)
async def test_what_only_looks_like_an_error_passes(event: Any) -> None:
    whole = b"data: " + json.dumps(event).encode() + b"\n\n"
    assert await read(Stream([whole])) == (whole, None)


@pytest.mark.parametrize(
    "whole",
    [
        b": still there\n\ndata: {}\n\n",
        b"event: ping\nid: 1\nretry: 5\ndata: {}\n\n",
        b'data: {"a":\ndata: 1}\n\n',
        b"data: {}\n\ndata:[DONE]\n\n",
        b"\n\n\ndata: {}\n\n",
        b"data:\n\n",
        b"",
    ],
    ids=[
        "a comment",
        "other fields",
        "JSON on two lines",
        "no blank",
        "blank lines first",
        "no data",
        "nothing",
    ],
)
async def test_whatever_the_format_allows_passes(whole: bytes) -> None:
    assert await read(Stream([whole])) == (whole, None)


@pytest.mark.parametrize(
    ("document", "wrong"),
    [
        (b'{"choices": [{"message": {"content": "yes"}}]}', None),
        (b'\xef\xbb\xbf {"id": 1}', None),
        (b'{"error": {"message": "m"}}', FailedReplyError),
        (b'{"message": "Internal server error"}', FailedReplyError),
        (b'{"choices": [', UnreadableReplyError),
        (b"<html></html>", UnreadableReplyError),
        (b"\n <!DOCTYPE html>", UnreadableReplyError),
    ],
    ids=[
        "an answer",
        "a mark first",
        "an error",
        "a gateway's error",
        "half of one",
        "a page",
        "a page later",
    ],
)
@given(cuts=st.lists(st.integers(0), max_size=5))
async def test_a_document_is_looked_at_as_a_whole(
    document: bytes, wrong: type[ReplyError] | None, cuts: list[int]
) -> None:
    passed, error = await read(Stream(pieces_of(document, cuts)))
    assert (passed, type(error)) == ((b"", wrong) if wrong else (document, type(None)))


# --- sizes ------------------------------------------------------------------------------------------------

PIECE = 2**16
HUGE = 100 * 2**20 // PIECE


@pytest.mark.parametrize(
    ("piece", "tokens", "most"),
    [
        (b"a" * PIECE, 100, 2**20 + 2**10 * 100),
        (b"a" * PIECE, 128_000, LONGEST_EVENT),
        (b"a\n" * (PIECE // 2), 128_000, LONGEST_EVENT),
        (b": a\n\n" * (PIECE // 5), 1_000, 2**20 + 2**10 * 1_000),
    ],
    ids=["a line", "a line where much was asked for", "an event of many lines", "comments"],
)
async def test_no_more_is_read_than_an_answer_may_have(piece: bytes, tokens: int, most: int) -> None:
    stream = Stream([piece] * HUGE)
    _, error = await read(stream, tokens=tokens)
    assert isinstance(error, UnreadableReplyError)
    assert most < stream.given <= most + 2 * PIECE
    assert stream.closed


async def test_an_answer_of_128_000_tokens_passes() -> None:
    event = b'data: {"choices": [{"delta": {"content": "word"}}], "padding": "' + b"0" * 630 + b'"}\n\n'
    stream = Stream([event * 100] * 1_280)
    passed, error = await read(stream, tokens=128_000)
    assert (len(passed), error) == (128_000 * len(event), None)


async def test_of_a_refusal_the_beginning_is_read() -> None:
    stream = Stream([b"0" * PIECE] * HUGE)
    assert await read(stream, status=500) == (b"0" * LONGEST_REFUSAL, None)
    assert stream.given <= LONGEST_REFUSAL + PIECE


@pytest.mark.parametrize("body", [b'{"error": {}}', b"<html>", b'{"half": ', b"\xff", b""])
async def test_a_refusal_is_left_to_its_client(body: bytes) -> None:
    assert await read(Stream([body]), status=429) == (body, None)


# --- how it comes -----------------------------------------------------------------------------------------


async def test_what_comes_packed_is_unpacked() -> None:
    whole = b"".join(events_of("openai"))
    packed = gzip.compress(whole)
    found = await read(Stream([packed[:20], packed[20:]]), headers={"content-encoding": "gzip"})
    assert found == (whole, None)


async def test_what_is_far_larger_unpacked_is_not_unpacked() -> None:
    stream = Stream([gzip.compress(b"data: " + b"0" * (PIECE * HUGE))])
    tracemalloc.start()
    _, error = await read(stream, headers={"content-encoding": "gzip"})
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert isinstance(error, UnreadableReplyError)
    assert peak < 10 * 2**20


@pytest.mark.parametrize(
    ("encoding", "body"), [("br", b"x"), ("gzip", b"no gzip")], ids=["not asked for", "not what it says"]
)
async def test_what_cannot_be_unpacked_is_unreadable(encoding: str, body: bytes) -> None:
    _, error = await read(Stream([body]), headers={"content-encoding": encoding})
    assert isinstance(error, UnreadableReplyError)
    assert "packed" in str(error)


@pytest.mark.parametrize(
    "error",
    [httpx.ReadError("gone"), httpx.RemoteProtocolError("gone")],
    ids=lambda error: type(error).__name__,
)
async def test_a_connection_that_is_lost_midway_is_told_from_one_that_never_was(error: Exception) -> None:
    before = events_of("openai")[0]
    passed, found = await read(Stream([before], error))
    assert passed == before
    assert isinstance(found, BrokenReplyError)
    assert found.__cause__ is error


async def test_a_timeout_stays_one() -> None:
    with pytest.raises(httpx.ReadTimeout):
        await read(Stream([b""], httpx.ReadTimeout("slow")))


@pytest.mark.parametrize(
    ("asked", "status", "called"),
    [
        ({"stream": True}, 200, "text/event-stream"),
        ({"stream": False}, 200, "application/json"),
        (None, 200, "application/json"),
        ({"stream": True}, 401, "application/json"),
    ],
    ids=["a stream", "no stream", "nothing", "a refusal"],
)
async def test_what_was_asked_for_as_a_stream_is_read_whatever_it_is_called(
    asked: object, status: int, called: str
) -> None:
    transport = httpx.MockTransport(lambda request: httpx.Response(status, json={}))
    async with httpx.AsyncClient(transport=transport, event_hooks=reply_hooks()) as client:
        response = await client.post("http://x", json=asked)
    assert response.headers["content-type"] == called
    assert response.request.headers["accept-encoding"] == "gzip"


@pytest.mark.parametrize(
    "pieces",
    [[b'{"error": {"message": "down"}}'], [b"<html>down</html>"], [b"data: {half\n\n"]],
    ids=["an error in a 200", "a page", "a line that is no JSON"],
)
async def test_a_reply_that_breaks_gives_its_connection_back_even_if_its_client_does_not(
    pieces: Pieces,
) -> None:
    stream = Stream(pieces)
    events = httpx.Headers({"content-type": "text/event-stream"})

    async def reply(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers=events, stream=stream)

    async with httpx.AsyncClient(transport=httpx.MockTransport(reply), event_hooks=reply_hooks()) as client:
        request = client.build_request("POST", "http://x", json={"stream": True})
        response = await client.send(request, stream=True)
        with pytest.raises(ReplyError):
            async for _ in response.stream:  # type: ignore[union-attr]  # an async client's
                pass
        assert stream.closed
