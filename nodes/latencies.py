"""How long each model usually takes to begin its answer, seen by this process."""

from __future__ import annotations

from collections import defaultdict, deque
from math import ceil

KEPT = 200
"""Answers that are remembered of a model."""
ENOUGH = 20
"""Answers from which the 95th percentile says something."""


class Latencies:
    """Seconds until the first token, by model. Shared by all runs of a process."""

    def __init__(self) -> None:
        self._seen: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=KEPT))

    def add(self, model: str, seconds: float) -> None:
        """Take in how long a model (`provider:model`) took to begin, or how long it was waited for in vain."""
        self._seen[model].append(seconds)

    def p95(self, model: str) -> float | None:
        """Return the time that the next answer exceeds in 5 of 100 cases, or None while too little was seen.

        That is the value of rank 0.95 (n + 1), rounded up: the usual rank of 0.95 n is exceeded twice as often where
        n is 20.
        """
        seen = sorted(self._seen.get(model, ()))
        return seen[ceil(0.95 * (len(seen) + 1)) - 1] if len(seen) >= ENOUGH else None
