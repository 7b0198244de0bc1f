"""The stand-in itself: what it bills and what it does by chance is what a soak test relies on."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import Any

import httpx
import pytest

from .dialects import DIALECTS
from .faulty import Answer, Billed, Fault, FaultyServer, Reply, Request

UNLIMITED = httpx.Limits()
PROVIDERS = tuple(DIALECTS)
FAULTS: list[Reply] = [Fault("429"), Fault("500"), Fault("cut"), Fault("bad_json"), Answer(finish=None)]


async def ask(client: httpx.AsyncClient, server: FaultyServer, text: str, provider: str = "openai") -> str:
    """Ask for a stream and return what came, marked where it broke off."""
    body = {"model": "m", "stream": True, "messages": text}
    said = ""
    try:
        async with client.stream("POST", server.base_url(provider), json=body) as response:
            said = f"{response.status_code} "
            async for piece in response.aiter_text():
                said += piece
    except httpx.RemoteProtocolError:
        return said + "broken"
    return said


async def run(seed: int, texts: list[str]) -> dict[str, str]:
    """Ask all at once, and return what each was told."""
    async with (
        FaultyServer(remembered=10) as server,
        httpx.AsyncClient(timeout=60, limits=UNLIMITED) as client,
    ):
        server.chaos(seed, 0.4, FAULTS)
        server.answer(lambda request: Answer(f"To {request.body['messages']}"))
        told = await asyncio.gather(*(ask(client, server, text) for text in texts))
        assert len(server.requests) == 10
    return dict(zip(texts, told, strict=True))


async def test_chaos_is_the_same_in_every_run_whatever_comes_first() -> None:
    texts = [f"question {number}" for number in range(150)]
    first = await run(7, texts)
    assert await run(7, random.sample(texts, len(texts))) == first
    assert await run(8, texts) != first
    kinds = Counter(said[:3] if said[:3] != "200" else said.endswith("broken") for said in first.values())
    assert kinds["429"] > 3
    assert kinds["500"] > 3
    assert kinds[True] > 3  # cut
    assert 60 < sum('"To "' in said and '"stop"' in said for said in first.values()) < 120


async def test_chaos_draws_anew_for_a_request_that_comes_again() -> None:
    async with FaultyServer() as server, httpx.AsyncClient() as client:
        server.chaos(1, 0.5, [Fault("500")])
        told = [(await ask(client, server, "the same"))[:3] for _ in range(40)]
    assert 5 < told.count("500") < 35


@pytest.mark.parametrize(
    ("reply", "billed"),
    [
        (Answer(), (11, 7)),
        (Answer(input_tokens=3, output_tokens=40), (3, 40)),
        (Answer(finish="length"), (11, 7)),
        (Answer(usage="twice"), (11, 7)),
        (Answer(done=False), (11, 7)),
        (Answer(finish=None), None),
        (Fault("500"), None),
        (Fault("cut"), None),
        (Fault("error_event"), None),
        (Fault("bad_json"), None),
    ],
    ids=str,
)
@pytest.mark.parametrize("provider", PROVIDERS)
async def test_what_a_reply_reports_before_it_goes_wrong_is_billed(
    provider: str, reply: Reply, billed: tuple[int, int] | None
) -> None:
    if provider == "google" and billed is None:  # every chunk of its has the tokens so far
        billed = {Answer(finish=None): (11, 7), Fault("500"): None}.get(reply, (11, 3))
    async with FaultyServer() as server, httpx.AsyncClient() as client:
        server.script(provider, [reply])
        body: dict[str, Any] = {"model": "m", "stream": True}
        try:
            await client.post(server.base_url(provider), json=body)
        except httpx.RemoteProtocolError:
            assert reply == Fault("cut")
    bill = Billed(1, *billed) if billed else None
    assert server.billed == ({(provider, "m"): bill} if bill else {})


async def test_bills_of_hundreds_of_connections_add_up() -> None:
    def answer(request: Request) -> Reply:
        number = int(request.body["messages"])
        return Answer(input_tokens=number, output_tokens=2 * number)

    async with FaultyServer() as server, httpx.AsyncClient(timeout=60, limits=UNLIMITED) as client:
        server.answer(answer)
        await asyncio.gather(*(ask(client, server, str(number), "mistral") for number in range(200)))
    total = sum(range(200))
    assert server.billed == {("mistral", "m"): Billed(200, total, 2 * total)}


async def test_100_mb_are_sent_without_being_held_and_only_while_somebody_listens() -> None:
    async with FaultyServer() as server, httpx.AsyncClient() as client:
        server.script("openai", [Fault("huge_line")])
        async with client.stream("POST", server.base_url("openai"), json={"stream": True}) as response:
            async for _ in response.aiter_raw():
                break
        assert await server.left_alone()
    assert server.sent < 20 * 2**20
