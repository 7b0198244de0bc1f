"""Which threads are kept in the store, and which are old or many enough to go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

UNDER_WAY_SECONDS = 3_600.0
"""A thread that was written within this time may belong to a run under way: as long as a phase may take at most."""


@dataclass(frozen=True, kw_only=True)
class StoredThread:
    """A thread of the store.

    Args:
        first: epoch seconds of its first checkpoint.
        last: of its latest one.
        checkpoints: of all its runs, those of phases side by side included.
        bytes: that its rows hold.
    """

    thread_id: str
    first: float
    last: float
    checkpoints: int
    bytes: int


@dataclass(frozen=True, kw_only=True)
class Keep:
    """What is kept; None: no limit.

    Args:
        seconds: threads that were written within that time.
        threads: so many, the latest.
        bytes: as many of the latest as fit.
    """

    seconds: float | None = None
    threads: int | None = None
    bytes: int | None = None


def expired(threads: Sequence[StoredThread], keep: Keep, *, now: float) -> list[StoredThread]:
    """Return the threads that any of the limits lets go, the latest first; none that may be under way.

    A thread goes as a whole: its checkpoints stand on one another, and time travel needs them.

    Args:
        now: epoch seconds.
    """
    gone, kept, held = [], 0, 0
    for thread in sorted(threads, key=lambda thread: thread.last, reverse=True):
        age = now - thread.last
        goes = (
            (keep.seconds is not None and age > keep.seconds)
            or (keep.threads is not None and kept >= keep.threads)
            or (keep.bytes is not None and held + thread.bytes > keep.bytes)
        )
        if goes and age >= UNDER_WAY_SECONDS:
            gone.append(thread)
        else:
            kept, held = kept + 1, held + thread.bytes
    return gone
