"""The books of the kills find what is wrong: each tampering with a run that was killed is told."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from tests.soak.books import cost_of

from .books import Tally, enter
from .child import Left
from .killing import Hit, Outcome
from .schedule import Kill, Point, Trial
from .witness import Seen

MODEL, PROVIDER, PHASE = "gpt-4o", "openai", "generation"
INTO, OUT = 100, 50
COST = cost_of(("", PHASE, PROVIDER, MODEL), (INTO, OUT)) or 0.0
GUESS = cost_of(("", PHASE, PROVIDER, MODEL), (INTO, 0)) or 0.0


def attempt(number: int, *, lost: bool = False, at: float = 0.0) -> dict[str, Any]:
    usage = {"input_tokens": INTO, "output_tokens": 0 if lost else OUT, "cost_usd": GUESS if lost else COST}
    return {
        "id": f"{PHASE}-{number}",
        "phase": PHASE,
        "provider": PROVIDER,
        "model": MODEL,
        "ok": not lost,
        "fault": {"kind": "interrupted", "message": "", "then": "next"} if lost else None,
        "started_at": at,
        "usage": {**usage, "unpriced": int(lost), "estimated": int(lost)},
    }


def result(*attempts: dict[str, Any]) -> dict[str, Any]:
    usages = [made["usage"] for made in attempts]
    phase = {
        "phase": PHASE,
        "model_used": MODEL,
        "success": True,
        "result": "text",
        "verdict": None,
        "error": None,
    }
    return {
        "success": True,
        "final_result": "text",
        "error": None,
        "skipped_phases": {},
        "models_used": [MODEL],
        "agent_name": "coding_agent",
        "stopped_by_budget": None,
        "total_tokens_used": sum(usage["input_tokens"] + usage["output_tokens"] for usage in usages),
        "total_cost": sum(usage["cost_usd"] for usage in usages),
        "phase_results": [{**phase, "attempts": list(attempts)}],
    }


def request(at: float, *, told: bool = True) -> Seen:
    seen = Seen(copy="1", phase=PHASE, provider=PROVIDER, model=MODEL, at=at, came=at, whole=(INTO, OUT))
    if told:
        seen.told, seen.begun, seen.ended = (INTO, OUT), True, at + 0.5
    return seen


def outcome(found: dict[str, Any] | None, *hits: Hit) -> Outcome:
    return Outcome(hits=list(hits), left=Left(code=0, result=found, kept=[], begun=[]), errors="what it said")


def hit(point: Point = "in the call", at: float = 1.5) -> Hit:
    return Hit(kill=Kill(point=point, nth=1, late=0.5, way="python"), point=point, at=at)


def tally_of(
    found: dict[str, Any] | None, requests: list[Seen], *hits: Hit, twin: dict[str, Any] | None = None
) -> Tally:
    tally, trial = Tally(), Trial(seed=1, number=2, module="m0", kills=())
    enter(tally, trial, outcome(found, *hits), outcome(twin or result(attempt(1))), requests)
    return tally


LOST_ONE = [attempt(1, lost=True, at=1.0), attempt(2, at=2.0)]
ITS_REQUESTS = [request(1.1, told=False), request(2.1)]


def test_a_call_that_was_in_flight_may_be_made_again() -> None:
    tally = tally_of(result(*LOST_ONE), ITS_REQUESTS, hit())
    assert tally.wrong == []
    assert (tally.again, tally.kills) == ({"in the call": 1}, {"in the call": 1})
    assert (tally.counted, tally.told, tally.guessed, tally.whole) == (150, 150, 100, 150)
    assert (tally.answered, tally.known, tally.unsent, tally.finished_again) == (0, 0, 0, 0)


def test_a_call_that_was_written_down_but_not_sent_is_told_apart() -> None:
    tally = tally_of(result(*LOST_ONE), ITS_REQUESTS[1:], hit("call to come"))
    assert (tally.wrong, tally.unsent, tally.again.total()) == ([], 1, 0)


def test_an_answer_that_came_whole_before_the_kill_is_counted() -> None:
    tally = tally_of(result(*LOST_ONE), [request(0.5 + 0.6), request(2.1)], hit("end", at=1.9))
    assert (tally.wrong, tally.answered) == ([], 1)


def test_a_shot_behind_an_answer_that_was_kept_has_hit_elsewhere() -> None:
    seen = request(1.1)
    near = hit("answer and commit", at=1.7)
    near.seen = seen
    tally = tally_of(result(attempt(1, at=1.0)), [seen], near)
    assert (tally.wrong, tally.kills) == ([], {"anywhere": 1})


def _text(found: dict[str, Any]) -> None:
    found["final_result"] = "another text"


def _tokens(found: dict[str, Any]) -> None:
    found["total_tokens_used"] += 1


def _cost(found: dict[str, Any]) -> None:
    found["total_cost"] += 0.01


def _usage(found: dict[str, Any]) -> None:
    found["phase_results"][0]["attempts"][-1]["usage"]["output_tokens"] += 1
    found["total_tokens_used"] += 1


def _guess(found: dict[str, Any]) -> None:
    found["phase_results"][0]["attempts"][-1]["usage"]["estimated"] = 1


def _price(found: dict[str, Any]) -> None:
    found["phase_results"][0]["attempts"][-1]["usage"]["cost_usd"] *= 2
    found["total_cost"] += COST


@pytest.mark.parametrize("tamper", [_text, _tokens, _cost, _usage, _guess, _price])
def test_a_result_that_differs_is_wrong(tamper: Callable[[dict[str, Any]], None]) -> None:
    found = deepcopy(result(*LOST_ONE))
    tamper(found)
    assert tally_of(found, ITS_REQUESTS, hit()).wrong


@pytest.mark.parametrize(
    ("found", "requests", "hits", "repeated"),
    [
        pytest.param([attempt(2, at=2.0)], [request(1.1), request(2.1)], [hit()], 1, id="the lost call is not told"),
        pytest.param([attempt(1, at=1.0), attempt(2, at=2.0)], [request(1.1), request(2.1)], [hit()], 1, id="twice"),
        pytest.param(LOST_ONE, ITS_REQUESTS, [hit("node entry")], 0, id="nothing was in flight"),
        pytest.param(LOST_ONE, ITS_REQUESTS, [], 0, id="nobody killed it"),
    ],
)  # fmt: skip
def test_a_call_that_need_not_have_been_made_again_is_wrong(
    found: list[dict[str, Any]], requests: list[Seen], hits: list[Hit], repeated: int
) -> None:
    tally = tally_of(result(*found), requests, *(hits or [hit("router", at=0.1)]))
    assert tally.wrong
    assert tally.finished_again == repeated


def test_a_run_without_a_result_is_lost() -> None:
    tally = tally_of(None, [], hit())
    assert tally.lost_runs == 1
    assert "what it said" in tally.wrong[0]
