"""Faults by chance that are the same in every run."""

from __future__ import annotations

import hashlib
import json
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from .replies import Reply
from .wire import Request


@dataclass(kw_only=True)
class Chaos:
    """Draw what goes wrong from a request's content, so that the order in which requests come does not matter.

    Args:
        rate: the part of the requests, 0..1, that gets one of `replies`.
    """

    seed: int
    rate: float
    replies: Sequence[Reply]
    _seen: Counter[bytes] = field(default_factory=Counter)

    def draw(self, request: Request) -> Reply | None:
        """Return what goes wrong with a request; None where all is well. A repeated request draws anew."""
        content = json.dumps([self.seed, request.provider, request.model, request.body], sort_keys=True)
        mark = hashlib.blake2b(content.encode(), digest_size=12).digest()
        self._seen[mark] += 1
        chance = random.Random(mark + self._seen[mark].to_bytes(4, "big"))
        return chance.choice(self.replies) if chance.random() < self.rate else None
