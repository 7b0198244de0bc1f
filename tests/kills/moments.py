"""Where a program ends itself, and what is measured in it: laid around the parts of the product that it uses."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.pregel import Pregel

from ymera.graphs.sqlite import SqliteSaver
from ymera.nodes.journal import Journal
from ymera.nodes.matching import AgentModelMatcher

Moment = Literal["match", "entry", "begun", "commit", "kept"]
"""As the router chooses, as a phase's node is entered, with the call written down but not sent, with the answer there
but not kept, and right after it was kept."""
Durability = Literal["async", "sync"]

SAVERS: tuple[Any, ...] = (SqliteSaver, AsyncPostgresSaver)


class Watch:
    """When answers were kept (monotonic clock), and how long writing down the calls took.

    Attributes:
        kept: when the row that holds an answer was committed, for one after the other.
        begun: seconds that each call waited for the journal.
    """

    def __init__(self) -> None:
        self.kept: list[float] = []
        self.begun: list[float] = []

    def look(self) -> None:
        """Begin to watch."""
        for saver in SAVERS:
            _around_writes(saver, lambda _: None, self._note)
        real = Journal.begin

        async def begin(*args: Any) -> None:
            before = time.monotonic()
            await real(*args)
            self.begun.append(time.monotonic() - before)

        setattr(Journal, "begin", begin)  # noqa: B010 - the type checker takes it for a change of the interface

    def _note(self, attempts: list[Any]) -> None:
        self.kept += [time.monotonic() for attempt in attempts if attempt["ok"]]


def die_at(moment: Moment, nth: int, struck: Path) -> None:
    """Have the process end itself when it comes to a moment for the nth time; `struck` then holds the time."""
    dying = _countdown(nth, struck)
    match moment:
        case "match":
            _around(AgentModelMatcher, "choose", before=dying)
        case "entry":
            _around(Journal, "lost", before=dying)
        case "begun":
            _around(Journal, "begin", after=dying)
        case "commit":
            for saver in SAVERS:
                _around_writes(saver, lambda _: dying(), lambda _: None)
        case "kept":
            for saver in SAVERS:
                _around_writes(saver, lambda _: None, lambda _: dying())


def take_durability(durability: Durability) -> None:
    """Have every graph of the process keep its steps in this way."""
    real = Pregel.astream

    def astream(*args: Any, **named: Any) -> Any:
        return real(*args, **{**named, "durability": durability})

    setattr(Pregel, "astream", astream)  # noqa: B010 - as above


def _countdown(nth: int, struck: Path) -> Callable[[], None]:
    """Return a function that ends the process when it is called for the nth time."""
    calls = 0

    def call() -> None:
        nonlocal calls
        calls += 1
        if calls == nth:
            struck.write_text(repr(time.monotonic()))
            os.kill(os.getpid(), signal.SIGKILL)

    return call


def _nothing() -> None:
    pass


def _around(
    owner: Any, name: str, *, before: Callable[[], None] = _nothing, after: Callable[[], None] = _nothing
) -> None:
    real = getattr(owner, name)

    async def wrapped(*args: Any, **named: Any) -> Any:
        before()
        result = await real(*args, **named)
        after()
        return result

    setattr(owner, name, wrapped)


def _around_writes(
    saver: Any, before: Callable[[list[Any]], None], after: Callable[[list[Any]], None]
) -> None:
    """Act before and after a saver keeps attempts."""
    real = saver.aput_writes

    async def wrapped(self: Any, config: Any, writes: Any, *rest: Any) -> None:
        attempts = _attempts_in(writes)
        if attempts:
            before(attempts)
        await real(self, config, writes, *rest)
        if attempts:
            after(attempts)

    saver.aput_writes = wrapped


def _attempts_in(writes: Any) -> list[Any]:
    """Return the attempts that a step writes; the router's step, which puts the old ones aside, writes none."""
    lists = [value for channel, value in writes if channel == "attempts" and isinstance(value, list)]
    return [attempt for made in lists for attempt in made]
