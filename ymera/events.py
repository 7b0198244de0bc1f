"""What happens in a run, as whoever watches it is told."""

from __future__ import annotations

from typing import Literal

from typing_extensions import TypedDict

from .results import MultiModelResult
from .routing.records import Attempt, Strategy


class ProgressEvent(TypedDict, total=False):
    """What happens in a run, as it happens.

    `started` carries `thread_id`; `planned` carries `strategy`;
    `download` carries the embedded model's `model`, `done_bytes` and `total_bytes`;
    `attempt_started` carries `phase`, `attempt_id`, `model`, `provider`, `reason`, `fallback` (0: first choice);
    `token` carries `phase`, `attempt_id` and `text` (drop what a failed attempt streamed);
    `attempt_ended` carries `attempt`; `finished` carries `result`.
    """

    event: Literal["started", "planned", "download", "attempt_started", "token", "attempt_ended", "finished"]
    strategy: Strategy
    thread_id: str
    phase: str
    attempt_id: str
    model: str
    provider: str
    reason: str
    fallback: int
    text: str
    attempt: Attempt
    done_bytes: int
    total_bytes: int
    result: MultiModelResult
