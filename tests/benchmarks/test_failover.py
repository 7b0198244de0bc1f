"""The failover benchmark judges as it says and its provider misbehaves as it says."""

from __future__ import annotations

import asyncio
import re
import tomllib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from benchmarks.added import CASES, measure
from benchmarks.failover import chosen, installed, print_cells, try_all
from benchmarks.ours import OUR_GRAPH, OURS
from benchmarks.sixteen import SCENARIOS, Scenario, Told, Trial, judge
from benchmarks.systems import UNDERNEATH, Ask, Reply, Route, System
from benchmarks.wall import ANSWER, WORDS, Sent, Timing, Wall, read_log

ROOT = Path(__file__).parents[2]
QUICK = Timing(retry_after_s=1, first_token_s=0.1, stall_s=0.1, silent_s=0.1, outage_s=0.2, token_s=0)
BY_ID = {scenario.id: scenario for scenario in SCENARIOS}
HALF = " ".join(ANSWER.split()[:40])
FALLBACK = "s00-x-fallback"
PROMPT = "What makes a harbour a good one?"


def answered(seconds: float = 1.0, *, text: str = ANSWER, at: float = 0.0) -> Told:
    return Told(at=at, seconds=seconds, text=text, model=FALLBACK, output_tokens=WORDS, streamed=text)


def failed(seconds: float = 1.0, error: str = "Error: the safety system said no", *, at: float = 0.0) -> Told:
    return Told(at=at, seconds=seconds, error=error)


def sent(*times: float, did: str = "503", words: Sequence[int] = (7,)) -> list[Sent]:
    sizes = [*words, *[words[-1]] * len(times)]
    return [Sent(model=FALLBACK, at=at, words=size, did=did) for at, size in zip(times, sizes, strict=False)]


def trial(
    *told: Told, primary: list[Sent] | None = None, fallback: list[Sent] | None = None, alive: bool = True
) -> Trial:
    return Trial(told=told, primary=primary or sent(0), fallback=fallback or [], alive=alive)


HUNG = Told(seconds=20, hung=True)
OUTAGE = [answered(at=4.0 * number) for number in range(20)]
BACK = [*sent(0, 0.5, 12), *sent(64, did="answer")]

JUDGED = [
    ("S04", trial(answered(), primary=sent(0, 1, 2)), "pass"),
    ("S04", trial(failed(), primary=sent(0, 1, 2)), "safe"),
    ("S04", trial(answered(), primary=sent(*range(7))), "fail"),
    ("S04", trial(HUNG), "fail"),
    ("S01", trial(answered(), primary=sent(0, 2)), "pass"),
    ("S01", trial(answered(), primary=sent(0, 1)), "partial"),
    ("S01", trial(answered()), "partial"),
    ("S01", trial(answered(), primary=sent(0, 0.1, 0.2)), "fail"),
    ("S02", trial(answered(), primary=sent(0, 0.1, 0.2, 0.3, 0.4)), "fail"),
    ("S02", trial(answered(), primary=sent(0, 1, 2, 3, 4)), "pass"),
    ("S06", trial(answered(13)), "pass"),
    ("S06", trial(answered(95), primary=sent(0, 30, 60)), "partial"),
    ("S06", trial(failed(101)), "fail"),
    ("S07", trial(answered(14)), "pass"),
    ("S07", trial(answered(21)), "partial"),
    ("S08", trial(answered()), "pass"),
    ("S08", trial(answered(text=HALF)), "fail"),
    ("S08", trial(answered(text=f"{HALF} {ANSWER}")), "fail"),
    ("S09", trial(failed(30)), "safe"),
    ("S09", trial(answered(46)), "fail"),
    ("S09", trial(answered(22), alive=False), "fail"),
    ("S11", trial(Told(seconds=1, text=ANSWER)), "partial"),
    ("S12", trial(answered()), "pass"),
    ("S12", trial(answered(), primary=sent(0, 1)), "fail"),
    ("S12", trial(answered(), primary=sent(0, 1, words=(90, 45))), "pass"),
    ("S12", trial(answered(), primary=sent(0, 1, 2, words=(90, 45, 20))), "fail"),
    ("S13", trial(failed()), "pass"),
    ("S13", trial(failed(error="Error: something went wrong")), "partial"),
    ("S13", trial(answered(), fallback=sent(1)), "partial"),
    ("S13", trial(failed(), primary=sent(0, 1)), "fail"),
    ("S14", trial(answered(), fallback=sent(1, did="answer")), "pass"),
    ("S14", trial(failed(), fallback=sent(1, did="400")), "fail"),
    ("S15", trial(*OUTAGE, primary=BACK), "pass"),
    ("S15", trial(*OUTAGE, primary=sent(0, 0.5, 12)), "fail"),
    ("S15", trial(*OUTAGE, primary=[*sent(0), *sent(91, did="answer")]), "fail"),
    ("S15", trial(*OUTAGE[:3], failed(at=12), *OUTAGE[4:], primary=BACK), "fail"),
    ("S15", trial(*OUTAGE[:18], failed(at=72), OUTAGE[19], primary=BACK), "safe"),
    ("S16", trial(answered(), fallback=sent(1)), "pass"),
    ("S16", trial(Told(seconds=1, text=ANSWER, model="x"), fallback=sent(1)), "fail"),
    ("S16", trial(Told(seconds=1, text=ANSWER, model=FALLBACK, output_tokens=99), fallback=sent(1)), "partial"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("scenario", "happened", "verdict"), JUDGED, ids=[f"{n}-{s}-{v}" for n, (s, _, v) in enumerate(JUDGED)]
)
def test_what_happened_is_judged_as_the_method_says(scenario: str, happened: Trial, verdict: str) -> None:
    judgement = judge(BY_ID[scenario], happened)
    assert judgement.verdict == verdict
    assert bool(judgement.why) == (verdict != "pass")


def test_there_are_sixteen_scenarios_and_sixty_words() -> None:
    assert [scenario.id for scenario in SCENARIOS] == [f"S{number:02}" for number in range(1, 17)]
    assert WORDS == 60


def test_text_of_a_broken_answer_that_stays_in_the_stream_is_noticed() -> None:
    assert Told(seconds=1, text=ANSWER, streamed=f"{HALF} {ANSWER}").leftover
    assert not answered().leftover
    assert not failed().leftover


# --- the provider -----------------------------------------------------------------------------------------


@pytest_asyncio.fixture
async def wall() -> AsyncIterator[Wall]:
    async with Wall(QUICK).serving() as wall:
        yield wall


async def seen(client: httpx.AsyncClient, base_url: str, model: str, role: str = "user") -> str:
    """Ask like a client that is not clever, and say what came: a status, the end of the stream, or its words."""
    body: dict[str, Any] = {
        "model": model,
        "messages": [{"role": role, "content": PROMPT}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    words = 0
    try:
        async with client.stream("POST", f"{base_url}/chat/completions", json=body) as response:
            if response.is_error:
                return f"{response.status_code} {response.headers.get('retry-after', '')}".strip()
            async for line in response.aiter_lines():
                words += '"content": "' in line and '"content": ""' not in line
                if line.startswith("data: {") and not line.endswith("}"):
                    return f"broken after {words - 1}"
                if line == "data: [DONE]":
                    return f"{words} words"
    except httpx.TransportError as error:
        return f"{type(error).__name__} after {words}"
    return f"{words} words, no end"


@pytest.mark.parametrize(
    ("scenario", "first", "second"),
    [
        ("s01", "429 1", "60 words"),
        ("s02", "429", "429"),
        ("s03", "500", "60 words"),
        ("s04", "503", "503"),
        ("s05", "ReadError after 0", "60 words"),
        ("s06", "RemoteProtocolError after 0", "RemoteProtocolError after 0"),
        ("s07", "60 words", "60 words"),
        ("s08", "RemoteProtocolError after 40", "RemoteProtocolError after 40"),
        ("s09", "RemoteProtocolError after 20", "RemoteProtocolError after 20"),
        ("s10", "broken after 9", "broken after 9"),
        ("s11", "60 words, no end", "60 words, no end"),
        ("s12", "400", "400"),
        ("s13", "400", "400"),
        ("s14", "RemoteProtocolError after 40", "RemoteProtocolError after 40"),
        ("s15", "503", "503"),
        ("s16", "503", "503"),
    ],
)
async def test_the_primary_misbehaves_and_the_fallback_answers(
    wall: Wall, scenario: str, first: str, second: str
) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        replies = [
            await seen(client, wall.base_url, f"{scenario}-x-{role}")
            for role in ("primary", "primary", "fallback")
        ]
    assert replies == [first, second, "60 words"]
    log = await read_log(wall.base_url)
    assert [one.model.rpartition("-")[2] for one in log] == ["primary", "primary", "fallback"]
    assert {one.words for one in log} == {len(PROMPT.split())}


async def test_one_fallback_refuses_a_prefill_and_says_so(wall: Wall) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        assert await seen(client, wall.base_url, "s14-x-fallback", "assistant") == "400"
        assert await seen(client, wall.base_url, "s08-x-fallback", "assistant") == "60 words"


# --- the rest of the harness ----------- -------------------------------------------------------------------


async def test_a_system_that_never_ends_hangs_and_one_that_breaks_is_told_with_its_error(
    wall: Wall, capsys: pytest.CaptureFixture[str]
) -> None:
    short = Scenario(id="S03", fault="500 once", longest_s=0.2)
    cells = await try_all(wall.base_url, [_of("waits", _wait), _of("breaks", _break)], [short], stagger_s=0)
    assert [cell.judgement for cell in cells] == [("fail", "hangs"), ("safe", "ValueError: no such thing")]
    print_cells(cells, [cell.system for cell in cells])
    printed = capsys.readouterr().out
    totals = next(line for line in printed.splitlines() if "pass/partial/safe/fail" in line)
    assert totals.replace("|", " ").split() == ["pass/partial/safe/fail", "0/0/0/1", "0/0/1/0"]
    assert "S03 breaks: safe: ValueError: no such thing" in printed


async def _answer(prompt: str) -> Reply:
    return Reply(text=ANSWER, streamed=ANSWER)


async def _wait(prompt: str) -> Reply:
    await asyncio.Event().wait()
    raise AssertionError


async def _break(prompt: str) -> Reply:
    raise ValueError("no such thing")


def _of(name: str, ask: Ask) -> System:
    @asynccontextmanager
    async def connect(route: Route) -> AsyncIterator[Ask]:
        yield _answer if route.primary.startswith("healthy") else ask

    return System(name=name, title=name, connect=connect, module="httpx")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.word)
async def test_what_is_added_is_measured_against_the_first_system(wall: Wall, case: Any) -> None:
    systems = [UNDERNEATH[0], OUR_GRAPH]
    costs = await measure(wall.base_url, systems, case, rounds=1, calls=3)
    assert costs["httpx"].time.added_ms == costs["httpx"].cpu.added_ms == 0
    assert costs["graph"].time.added_ms == pytest.approx(
        costs["graph"].time.call_ms - costs["httpx"].time.call_ms, abs=0.002
    )
    assert costs["graph"].cpu.added_ms > 0


def test_a_peer_that_is_not_installed_is_left_out_with_a_line_that_says_so(
    capsys: pytest.CaptureFixture[str],
) -> None:
    missing = System(name="peer", title="A Peer", connect=OURS.connect, module="no_module_of_this_name")
    assert installed([OURS, missing]) == [OURS]
    assert capsys.readouterr().out == "A Peer is left out: pip install -r benchmarks/peers.txt\n"


def test_an_unknown_name_is_refused_with_those_that_are_known() -> None:
    assert chosen(SCENARIOS, "s03, S16", "id") == [BY_ID["S03"], BY_ID["S16"]]
    assert chosen(SCENARIOS, "", "id") == list(SCENARIOS)
    with pytest.raises(SystemExit, match=r"unknown: s17\. Allowed: S01, S02"):
        chosen(SCENARIOS, "S03,S17", "id")


def test_the_peers_are_no_dependencies_of_the_package_or_of_its_extras() -> None:
    """The tests alone know LangChain's agents: their model router asks our task reader."""
    lines = (ROOT / "benchmarks/peers.txt").read_text("utf-8").splitlines()
    peers = {re.split(r"[\[=]", line)[0] for line in lines if line and not line.startswith("#")}
    assert peers == {"langchain", "litellm", "pydantic-ai-slim"}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    assert "langchain" in {re.split(r"[\[<>=]", line)[0] for line in extras.pop("test")}
    listed = [project["dependencies"], *extras.values()]
    assert not peers & {re.split(r"[\[<>=]", line)[0] for lines in listed for line in lines}
