"""Whether a run that was killed came to what an unbroken one comes to, and what it paid for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.servers.replies import Tokens
from tests.soak.books import MODELS, cost_of

from .killing import Hit, Outcome
from .schedule import Trial
from .witness import Seen

WIDTH = {"m1": 2}
"""Calls that may be in flight at once, where it is more than one."""
AT_REST = {"router", "node entry", "call to come", "after the commit", "sibling's lane"}
"""Points at which one lane, or the only one, has no call in flight."""


class Call(NamedTuple):
    """An attempt and the request that was sent for it; None: none was sent."""

    attempt: dict[str, Any]
    seen: Seen | None


@dataclass(kw_only=True)
class Tally:
    """What all trials came to.

    Args:
        wrong: sentences on what should not be.
        kills, again: by point: kills, and calls that were made again because of them.
        ways: how runs were resumed.
        lost_runs: runs that came to no result.
        not_begun: kills after which nothing was there to resume, so that the task was given again.
        finished_again: finished calls that were made again, and requests that no attempt tells of.
        answered: calls made again whose answer had been sent in full.
        known: calls made again whose usage stood in the journal as it was reported.
        unsent: calls that had been written down, but not sent.
        counted, told: tokens of calls that ended, by the run and by the server.
        cost, list_cost: USD of these calls, by the run and by the list prices.
        guessed, whole: tokens of calls that were cut, as the run counts them, and of their whole answers.
        guessed_cost, whole_cost: USD of these calls.
    """

    wrong: list[str] = field(default_factory=list)
    kills: Counter[str] = field(default_factory=Counter)
    again: Counter[str] = field(default_factory=Counter)
    ways: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    lost_runs: int = 0
    not_begun: int = 0
    finished_again: int = 0
    answered: int = 0
    known: int = 0
    unsent: int = 0
    counted: int = 0
    told: int = 0
    cost: float = 0.0
    list_cost: float = 0.0
    guessed: int = 0
    whole: int = 0
    guessed_cost: float = 0.0
    whole_cost: float = 0.0

    def plain(self) -> dict[str, Any]:
        """Return it in plain values: it comes out of other processes."""
        return {name: dict(v) if isinstance(v, Counter) else v for name, v in vars(self).items()}


def enter(tally: Tally, trial: Trial, outcome: Outcome, twin: Outcome, requests: Sequence[Seen]) -> None:
    """Add a trial to the tally."""
    tally.runs += 1
    tally.not_begun += outcome.not_begun
    if outcome.result is None or twin.result is None:
        tally.lost_runs += 1
        tally.wrong.append(f"{trial}: the run is lost: {outcome.errors[-300:]}")
        return
    calls = paired(attempts_in(outcome.result), requests)
    lost = [call for call in calls if is_lost(call.attempt)]
    repeated = _finished_again(calls, attempts_in(twin.result), requests)
    faults = [
        *_differences(outcome.result, twin.result),
        *_wrong_books(outcome.result, calls),
        *_too_many(trial, outcome.hits, lost),
        *([f"{repeated} finished calls were made again"] if repeated else []),
    ]
    tally.finished_again += repeated
    _count_kills(tally, outcome.hits, lost)
    for call in calls:
        _count_call(tally, call, outcome.hits)
    tally.wrong += [f"{trial}: {fault}" for fault in faults]


def _finished_again(calls: Sequence[Call], theirs: Sequence[Any], requests: Sequence[Seen]) -> int:
    """Return how many requests there are beside those of an unbroken run and of the calls that were lost."""
    unexplained = len(requests) - sum(call.seen is not None for call in calls)
    kept = sum(not is_lost(call.attempt) for call in calls)
    return unexplained + max(kept - len(theirs), 0)


def _count_kills(tally: Tally, hits: Sequence[Hit], lost: Sequence[Call]) -> None:
    in_time = {id(call.seen) for call in lost}
    for hit in hits:
        # A shot into the gap behind an answer has hit it only if the answer was not kept.
        missed = hit.point == "answer and commit" and hit.seen is not None and id(hit.seen) not in in_time
        hit.point = "anywhere" if missed else hit.point
        tally.kills[hit.point] += 1
        tally.ways[hit.kill.way] += 1


def _count_call(tally: Tally, call: Call, hits: Sequence[Hit]) -> None:
    attempt, seen = call
    usage = attempt["usage"]
    if is_lost(attempt) and seen is None:
        tally.unsent += 1
        return
    assert seen
    if is_lost(attempt):
        killer = min((hit for hit in hits if hit.at >= seen.came), key=lambda hit: hit.at, default=hits[-1])
        tally.again[killer.point] += 1
        tally.answered += seen.ended is not None and seen.ended <= killer.at
        tally.known += not usage["estimated"]
    if usage["estimated"]:
        tally.guessed += tokens_of(attempt)
        tally.guessed_cost += usage["cost_usd"]
        tally.whole += sum(seen.whole)
        tally.whole_cost += _list_cost(seen, seen.whole)
    else:
        tally.counted += tokens_of(attempt)
        tally.cost += usage["cost_usd"]
        tally.told += sum(seen.told or ())
        tally.list_cost += _list_cost(seen, seen.told or (0, 0))


def _list_cost(seen: Seen, tokens: Tokens) -> float:
    return cost_of(("", seen.phase, seen.provider, seen.model), tokens) or 0.0


def attempts_in(result: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the attempts of a result."""
    return [attempt for phase in result["phase_results"] for attempt in phase["attempts"]]


def is_lost(attempt: dict[str, Any]) -> bool:
    """Say whether an attempt was lost in a kill."""
    return attempt["fault"] is not None and attempt["fault"]["kind"] == "interrupted"


def tokens_of(attempt: dict[str, Any]) -> int:
    """Return the tokens of an attempt, as the run counts them."""
    return int(attempt["usage"]["input_tokens"] + attempt["usage"]["output_tokens"])


def _too_many(trial: Trial, hits: Sequence[Hit], lost: Sequence[Call]) -> list[str]:
    """Return that more calls were lost than can have been in flight: of a program between two calls, none."""
    width = WIDTH.get(trial.module, 1)
    most = sum(width - (hit.point in AT_REST) for hit in hits)
    sent = [call for call in lost if call.seen]
    wrong = [f"{len(lost)} calls lost by {len(hits)} kills"] if len(lost) > width * len(hits) else []
    return [*wrong, *([f"{len(sent)} calls made again, {most} were in flight"] if len(sent) > most else [])]


def _differences(result: dict[str, Any], twin: dict[str, Any]) -> Iterable[str]:
    """Yield in what a run differs from an unbroken one, beside times, names and the attempts that were lost."""
    ours, theirs = _essence(result), _essence(twin)
    for name, value in ours.items():
        if value != theirs[name]:
            yield f"{name}: {value!r:.300} is not {theirs[name]!r:.300}"


PLAIN = (
    "success",
    "final_result",
    "error",
    "skipped_phases",
    "models_used",
    "agent_name",
    "stopped_by_budget",
)
OF_PHASE = ("phase", "model_used", "success", "result", "verdict", "error")
OF_ATTEMPT = ("phase", "provider", "model", "ok", "fault", "partial", "note", "usage")


def _essence(result: dict[str, Any]) -> dict[str, Any]:
    phases = [{name: phase[name] for name in OF_PHASE} for phase in result["phase_results"]]
    kept = [attempt for attempt in attempts_in(result) if not is_lost(attempt)]
    attempts = [{name: attempt.get(name) for name in OF_ATTEMPT} for attempt in kept]
    return {**{name: result[name] for name in PLAIN}, "phases": phases, "attempts": attempts}


def _wrong_books(result: dict[str, Any], calls: Sequence[Call]) -> list[str]:
    wrong = [fault for call in calls if (fault := _wrong_call(call))]
    tokens = sum(tokens_of(call.attempt) for call in calls)
    cost = sum(call.attempt["usage"]["cost_usd"] for call in calls)
    if tokens != result["total_tokens_used"]:
        wrong.append(f"{tokens} tokens in the attempts, {result['total_tokens_used']} in the result")
    if abs(cost - result["total_cost"]) > 1e-6:
        wrong.append(f"{cost} USD in the attempts, {result['total_cost']} in the result")
    return wrong


def _wrong_call(call: Call) -> str | None:
    attempt, seen = call
    usage, name = attempt["usage"], attempt["id"]
    if usage["estimated"]:
        return None if is_lost(attempt) and usage["unpriced"] else f"{name} is estimated"
    counted = (usage["input_tokens"], usage["output_tokens"])
    if seen is None or seen.told != counted:
        return f"{name} counts {counted}, the server told {seen}"
    cost = _list_cost(seen, counted)
    return None if abs(cost - usage["cost_usd"]) < 1e-9 else f"{name} should cost {cost}"


def paired(attempts: Sequence[dict[str, Any]], requests: Sequence[Seen]) -> list[Call]:
    """Lay each attempt beside the request that was sent for it: the last one begun before the request came."""
    calls: dict[str, Seen] = {}
    for seen in requests:
        begun = [
            a
            for a in attempts
            if a["phase"] == seen.phase and _model_id(a) == seen.model and a["started_at"] <= seen.at
        ]
        if begun:
            calls.setdefault(max(begun, key=lambda a: float(a["started_at"]))["id"], seen)
    return [Call(attempt, calls.get(attempt["id"])) for attempt in attempts]


def _model_id(attempt: dict[str, Any]) -> str:
    return MODELS[f"{attempt['provider']}:{attempt['model']}"].model_id
