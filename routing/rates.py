"""How much may be asked of a provider, and whose turn is next. The clock is passed in."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from math import inf
from typing import Generic, TypeVar

from .records import ProviderProfile

MINUTE = 60.0

Item = TypeVar("Item")


@dataclass(frozen=True, kw_only=True)
class Rate:
    """What all runs of a process may ask of a provider together; None: no limit."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrency: int | None = None


UNLIMITED = Rate()


def rate_of(row: ProviderProfile, own: Mapping[str, int | None]) -> Rate:
    """Return the rate of a provider's row, with a user's own limits laid over it."""
    return Rate(
        requests_per_minute=own.get("requests_per_minute", row.requests_per_minute),
        tokens_per_minute=own.get("tokens_per_minute", row.tokens_per_minute),
        concurrency=own.get("concurrency", row.concurrency),
    )


@dataclass(frozen=True, kw_only=True)
class Hold:
    """What keeps a request waiting.

    Args:
        limit: in words.
        seconds: how long the buckets keep it at least; 0 where they have room.
        open_ended: it needs the place of another one as well, and nobody knows when that becomes free.
    """

    limit: str
    seconds: float = 0.0
    open_ended: bool = False


BEHIND_OTHERS = Hold(limit="others are before it", open_ended=True)


class Bucket:
    """A minute's allowance: full at first, refilled continuously. It can owe, and then holds back who comes later.

    One number says it all: the time at which the bucket is full again (the generic cell rate algorithm of ATM
    networks). There is nothing to be refilled, and no error that adds up.
    """

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._seconds_each = MINUTE / per_minute
        self._full_at = -inf

    def ready_in(self, amount: float, now: float, before: float = 0.0) -> float:
        """Return the seconds until there is room for `amount`, once `before` was taken; 0 or less: there is now.

        More than a minute's allowance has to wait until the bucket is full.
        """
        owed = min(amount, self._per_minute) - self._per_minute + before
        return max(self._full_at, now) - now + owed * self._seconds_each

    def take(self, amount: float, now: float) -> None:
        """Take an amount out, or put it back where it is below 0."""
        self._full_at = max(self._full_at, now) + amount * self._seconds_each


class Room:
    """What a provider has room for just now, within its rate."""

    def __init__(self, rate: Rate) -> None:
        self._concurrency = rate.concurrency
        self._requests = Bucket(rate.requests_per_minute) if rate.requests_per_minute else None
        self._tokens = Bucket(rate.tokens_per_minute) if rate.tokens_per_minute else None
        self._said = (
            f"{rate.requests_per_minute} requests a minute",
            f"{rate.tokens_per_minute} tokens a minute",
        )
        self._inside = 0

    def hold(self, tokens: int, now: float, before: Sequence[int] = ()) -> Hold | None:
        """Return what keeps a request of `tokens` waiting, or None.

        Args:
            before: tokens of the requests that go first.
        """
        waits = (
            self._requests.ready_in(1, now, len(before)) if self._requests else 0.0,
            self._tokens.ready_in(tokens, now, sum(before)) if self._tokens else 0.0,
        )
        limits = [said for said, seconds in zip(self._said, waits, strict=True) if seconds > 0]
        full = self._concurrency is not None and self._inside + len(before) >= self._concurrency
        if full:
            limits.append(f"{self._concurrency} at a time")
        return Hold(limit=", ".join(limits), seconds=max(0.0, *waits), open_ended=full) if limits else None

    def enter(self, tokens: int, now: float) -> None:
        """Let a request in."""
        self._inside += 1
        if self._requests:
            self._requests.take(1, now)
        self.correct(tokens, now)

    def correct(self, tokens: int, now: float) -> None:
        """Count tokens on top of what was counted; below 0: fewer."""
        if self._tokens:
            self._tokens.take(tokens, now)

    def leave(self) -> None:
        """Give the place of a request back."""
        self._inside -= 1


class Ring(Generic[Item]):
    """Whose turn is next: round robin between runs, first come first served within a run."""

    def __init__(self) -> None:
        self._runs: OrderedDict[str, OrderedDict[Item, None]] = OrderedDict()

    def first(self) -> Item | None:
        """Return who is next. It stays so until it leaves."""
        return next(iter(next(iter(self._runs.values()))), None) if self._runs else None

    def before(self, run: str) -> Iterator[Item]:
        """Return all that would be served before one more item of `run`."""
        own = len(self._runs.get(run, ()))
        share = own + 1
        for name, items in self._runs.items():
            yield from islice(items, own if name == run else share)
            if name == run:
                share = own

    def add(self, run: str, item: Item) -> None:
        """Put an item behind those of its run, and a run behind the others."""
        self._runs.setdefault(run, OrderedDict())[item] = None

    def remove(self, run: str, item: Item) -> None:
        """Take an item away, wherever it stands; its run keeps its place while others of it wait."""
        items = self._runs.get(run, OrderedDict())
        items.pop(item, None)
        if not items:
            self._runs.pop(run, None)

    def serve(self, run: str, item: Item) -> None:
        """Take an item away whose turn it was: it is the next run's now."""
        self.remove(run, item)
        if run in self._runs:
            self._runs.move_to_end(run)
