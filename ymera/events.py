"""What happens in a run, as whoever watches it is told."""

from __future__ import annotations

from typing import Literal

from typing_extensions import TypedDict

from .results import MultiModelResult
from .routing.approvals import Question
from .routing.attempts import Again, Attempt, Way
from .routing.records import Strategy


class ProgressEvent(TypedDict, total=False):
    """What happens in a run, as it happens.

    `started` carries `thread_id`; `planned` carries `strategy`;
    `download` carries the embedded model's `model`, `done_bytes` and `total_bytes`;
    `waiting` carries what `attempt_started` does, `seconds` (None: not known) and `why` (a rate limit, a retry);
    `attempt_started` carries `phase`, `attempt_id`, `model`, `provider`, `reason`, `fallback` (other models tried
    before; 0: first choice), and `again` where it tries the same model again;
    `token` carries `phase`, `attempt_id` and `text` (drop what a failed attempt streamed);
    `attempt_ended` carries `attempt`; `rematched` carries `phase` and `why`, where a resumed run's plan no longer fits
    the world of today; `detour` carries `phase`, the `way` on which the run leaves its order behind it, and `why`;
    `draining` carries `seconds`, after which the calls in hand are given up;
    `waiting_for_approval` carries `thread_id` and the `question` that
    `resume(…, answer=…)` answers; `finished` carries `result`.
    """

    event: Literal[
        "started",
        "planned",
        "download",
        "waiting",
        "attempt_started",
        "token",
        "attempt_ended",
        "rematched",
        "detour",
        "draining",
        "waiting_for_approval",
        "finished",
    ]
    strategy: Strategy
    thread_id: str
    phase: str
    attempt_id: str
    model: str
    provider: str
    reason: str
    fallback: int
    again: Again
    seconds: float | None
    way: Way
    why: str
    text: str
    attempt: Attempt
    done_bytes: int
    total_bytes: int
    question: Question
    result: MultiModelResult
