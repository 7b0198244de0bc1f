"""What became of the runs of an instance that was struck, counted from both sides: the provider's and the runs'."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.kills.witness import Seen
from ymera import MultiModelResult
from ymera.routing.attempts import Attempt
from ymera.routing.catalogue import builtin_catalogue

WIDTH = {"m1": 2}
"""Calls of a run that may be in flight at once, where it is more than one."""


class Strike(NamedTuple):
    """When an instance fell silent: epoch seconds, and the monotonic clock."""

    at: float
    clock: float


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A run that is over.

    Args:
        taken: whether the instance that was struck had it.
        result: None: it ended without one.
    """

    copy: str
    module: str
    taken: bool
    status: str
    result: MultiModelResult | None


@dataclass(kw_only=True)
class Counts:
    """What a strike came to.

    Args:
        resumed: seconds from the strike to the first call elsewhere, of each run that was taken over.
        repeated: calls that were made again because they were in flight.
        answered: those of them whose answer had been sent before the strike, but was not kept yet.
        finished_again: calls that were kept and made again: there must be none.
        tokens, billed: what the runs say they took, and what was reported to their requests.
        wrong: sentences on what should not be.
    """

    way: str
    runs: int = 0
    done: int = 0
    taken: int = 0
    resumed: list[float] = field(default_factory=list)
    repeated: int = 0
    answered: int = 0
    finished_again: int = 0
    tokens: int = 0
    billed: int = 0
    estimated: int = 0
    wrong: list[str] = field(default_factory=list)

    def line(self) -> str:
        """Return the counts as a row of the table that the documents show."""
        times = f"{min(self.resumed):.1f} to {max(self.resumed):.1f}" if self.resumed else "–"
        cells = (self.way, self.runs, self.done, self.taken, times, self.repeated, self.answered,
                 self.finished_again, self.tokens, self.billed, self.estimated)  # fmt: skip
        return "| " + " | ".join(map(str, cells)) + " |"


TITLE = (
    "| struck by | runs | done | taken over | resumed after, s | calls repeated | of these answered | "
    "finished calls repeated | tokens told | tokens billed | estimated |\n" + "|---" * 11 + "|"
)


def count(way: str, runs: Iterable[Ended], seen: Mapping[str, Sequence[Seen]], *, strike: Strike) -> Counts:
    """Count what a strike came to.

    Args:
        seen: the requests of each run, by its copy.
    """
    counts = Counts(way=way)
    for run in runs:
        _enter(counts, run, seen.get(run.copy, []), strike)
    return counts


def _enter(counts: Counts, run: Ended, requests: Sequence[Seen], strike: Strike) -> None:
    counts.runs += 1
    counts.taken += run.taken
    if run.status != "success" or run.result is None or not run.result.success:
        counts.wrong.append(f"{run.copy}: {run.status}: {run.result and run.result.error}")
        return
    counts.done += 1
    attempts = [attempt for phase in run.result.phase_results for attempt in phase.attempts]
    lost = [attempt for attempt in attempts if _is_lost(attempt)]
    _count_calls(counts, run, attempts, requests)
    counts.repeated += len(lost)
    if len(lost) > (WIDTH.get(run.module, 1) if run.taken else 0):
        counts.wrong.append(f"{run.copy}: {len(lost)} calls were lost")
    calls = {(attempt["phase"], _model_id(attempt)) for attempt in lost}
    counts.answered += sum(
        (r.phase, r.model) in calls and r.ended is not None and r.ended < strike.clock for r in requests
    )
    later = [request.at - strike.at for request in requests if request.at > strike.at]
    if run.taken and later:
        counts.resumed.append(min(later))


def _count_calls(counts: Counts, run: Ended, attempts: list[Attempt], requests: Sequence[Seen]) -> None:
    """Lay the requests of a run beside its attempts: each is one, and took what was reported to it."""
    sent = Counter((request.phase, request.model) for request in requests)
    known = Counter((attempt["phase"], _model_id(attempt)) for attempt in attempts)
    again = sum((sent - known).values())
    counts.finished_again += again
    if again:
        counts.wrong.append(f"{run.copy}: requests that are no attempts: {dict(sent - known)}")
    estimated = [a for a in attempts if a["usage"]["estimated"]]
    counts.estimated += len(estimated)
    billed = sum(sum(request.told or ()) for request in requests)
    told = sum(a["usage"]["input_tokens"] + a["usage"]["output_tokens"] for a in attempts)
    counts.tokens, counts.billed = counts.tokens + told, counts.billed + billed
    if told != billed and not estimated:
        counts.wrong.append(f"{run.copy}: {told} tokens told, {billed} billed")
    assert run.result is not None
    if told != run.result.total_tokens_used:
        counts.wrong.append(f"{run.copy}: its tokens do not add up")


def _is_lost(attempt: Attempt) -> bool:
    return attempt["fault"] is not None and attempt["fault"]["kind"] == "interrupted"


def _model_id(attempt: Attempt) -> str:
    return builtin_catalogue().models[f"{attempt['provider']}:{attempt['model']}"].model_id
