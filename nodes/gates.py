"""Waiting for a turn at a provider: requests and tokens a minute, and requests at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from math import inf
from threading import RLock
from types import TracebackType

from ..routing.rates import BEHIND_OTHERS, UNLIMITED, Hold, Rate, Ring, Room, rate_of
from ..routing.records import ProviderProfile
from .settings import SettingsError

Waiting = Callable[[float | None, str], None]
"""Told of a turn that is not immediate: the seconds it takes at least (None: nobody knows), and what it waits for."""


class TooLong(Exception):  # noqa: N818 - it says what the turn takes
    """A turn takes longer than the caller has patience; nothing was taken.

    Args:
        seconds: how long it would have taken at least, from when it was asked for.
    """

    def __init__(self, message: str, seconds: float) -> None:
        super().__init__(message)
        self.seconds = seconds


class Turn:
    """A turn at a provider: entering waits for it, the block is the request, leaving gives the place back.

    This one is a turn at a provider without limits, where there is nothing to wait for.
    """

    async def __aenter__(self) -> Turn:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the place back."""

    def settle(self, tokens: int) -> None:
        """Put the tokens that were really used in the place of the estimate."""


_AT_ONCE = Turn()


class Gates:
    """Whose turn it is at each provider. Any thread and event loop of the process may use it; nothing polls.

    Args:
        rate_of: returns the rate of a provider; asked once.
        clock: seconds that only go up.
    """

    def __init__(
        self, rate_of: Callable[[str], Rate], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate_of = rate_of
        self._clock = clock
        self._gates: dict[str, _Gate | None] = {}

    def turn(self, provider: str, *, run: str, tokens: int, patience: float, waiting: Waiting) -> Turn:
        """Return a turn for one request, to be entered once with `async with`.

        Args:
            run: between runs the turns go round robin, within a run first come first served.
            tokens: estimate of input and output together. More than a minute's allowance waits until that is full.
            patience: seconds. Entering raises `TooLong` as soon as it is clear that the wait is longer.
            waiting: called once, before the wait, where there is one.
        """
        try:
            gate = self._gates[provider]
        except KeyError:
            gate = self._open(provider)
        if gate is None:
            return _AT_ONCE
        return _GatedTurn(gate, run=run, tokens=tokens, patience=patience, waiting=waiting)

    def _open(self, provider: str) -> _Gate | None:
        rate = self._rate_of(provider)
        gate = None if rate == UNLIMITED else _Gate(provider, rate, self._clock)
        return self._gates.setdefault(provider, gate)  # of two threads, the first one's counts for both


def rates(
    providers: Mapping[str, ProviderProfile], own: Mapping[str, Mapping[str, int | None]]
) -> Callable[[str], Rate]:
    """Return a function from a provider's name to its rate: its row's, with a user's own limits laid over it.

    Raises:
        SettingsError: `own` names a provider that there is not.
    """
    if unknown := sorted(set(own) - set(providers)):
        known = ", ".join(sorted(providers))
        raise SettingsError(f"YMERA_RATES: no provider {unknown[0]!r}. Known: {known}.")
    return lambda name: rate_of(providers[name], own.get(name, {}))


class _GatedTurn(Turn):
    """A turn at a provider with limits: it waits in its event loop until it is first and finds room."""

    def __init__(self, gate: _Gate, *, run: str, tokens: int, patience: float, waiting: Waiting) -> None:
        self.run = run
        self.tokens = tokens
        self.patience = patience
        self.until = inf
        self._gate = gate
        self._waiting = waiting
        self._woken = asyncio.Event()

    async def __aenter__(self) -> _GatedTurn:
        self._loop = asyncio.get_running_loop()
        hold = self._gate.join(self)
        if hold is not None:
            try:
                self._waiting(None if hold.open_ended else hold.seconds, self._gate.describe(hold))
                while (seconds := self._gate.claim(self)) is not None:
                    await self._pause(seconds)
            except BaseException:
                self._gate.give_up(self)
                raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._gate.leave()

    def settle(self, tokens: int) -> None:
        self._gate.correct(tokens - self.tokens)
        self.tokens = tokens

    def wake(self) -> None:
        """Let it look again, from whatever thread.

        Raises:
            RuntimeError: its event loop is closed.
        """
        self._loop.call_soon_threadsafe(self._woken.set)

    async def _pause(self, seconds: float) -> None:
        """Wait until woken, or for some seconds."""
        timer = self._loop.call_later(seconds, self._woken.set) if seconds < inf else None
        try:
            await self._woken.wait()
        finally:
            if timer is not None:
                timer.cancel()
        self._woken.clear()


class _Gate:
    """The turns at one provider.

    A turn is never given, it is taken: whoever is first is woken, looks, and takes it in the same step. So none can
    be lost between a giver and a cancelled taker.
    """

    def __init__(self, provider: str, rate: Rate, clock: Callable[[], float]) -> None:
        self._provider = provider
        self._clock = clock
        self._room = Room(rate)
        self._ring: Ring[_GatedTurn] = Ring()
        # Reentrant: while it is held, an abandoned request may be collected as garbage, and give its place back.
        self._lock = RLock()

    def describe(self, hold: Hold) -> str:
        """Say what a turn waits for."""
        return f"for a turn at {self._provider} ({hold.limit})"

    def join(self, turn: _GatedTurn) -> Hold | None:
        """Let a turn in at once and return None, or put it into the ring and return what keeps it waiting.

        Raises:
            TooLong: it would wait longer than its patience, those before it counted.
        """
        with self._lock:
            now = self._clock()
            turn.until = now + turn.patience
            before = [other.tokens for other in self._ring.before(turn.run)]
            hold = self._room.hold(turn.tokens, now, before)
            if hold is None and not before:
                self._room.enter(turn.tokens, now)
                return None
            hold = hold or BEHIND_OTHERS
            self._check_patience(turn, hold, now)
            self._ring.add(turn.run, turn)
            return hold

    def claim(self, turn: _GatedTurn) -> float | None:
        """Let a waiting turn in and return None, or return after how many seconds it looks again, if not woken.

        Raises:
            TooLong: its patience is at an end, or clearly will be.
        """
        with self._lock:
            now = self._clock()
            first = self._ring.first() is turn
            hold = self._room.hold(turn.tokens, now)
            if hold is None and first:
                self._ring.serve(turn.run, turn)
                self._room.enter(turn.tokens, now)
                self._wake_first()
                return None
            hold = hold or BEHIND_OTHERS
            self._check_patience(turn, hold, now)
            return hold.seconds if first and not hold.open_ended else turn.until - now

    def give_up(self, turn: _GatedTurn) -> None:
        """Take a waiting turn out of the ring."""
        with self._lock:
            self._ring.remove(turn.run, turn)
            self._wake_first()

    def leave(self) -> None:
        """Give a place back."""
        with self._lock:
            self._room.leave()
            self._wake_first()

    def correct(self, tokens: int) -> None:
        """Count tokens on top of an estimate; below 0: fewer."""
        with self._lock:
            self._room.correct(tokens, self._clock())
            self._wake_first()

    def _check_patience(self, turn: _GatedTurn, hold: Hold, now: float) -> None:
        if now + hold.seconds > turn.until or (hold.open_ended and now >= turn.until):
            seconds = now + hold.seconds - (turn.until - turn.patience)
            asked = f"no turn at {self._provider} within {max(0.0, turn.patience):.1f} s ({hold.limit})"
            raise TooLong(f"{asked}: it takes {seconds:.1f} s" if hold.seconds else asked, seconds)

    def _wake_first(self) -> None:
        while (turn := self._ring.first()) is not None:
            try:
                turn.wake()
                break
            except RuntimeError:  # its event loop was closed over it
                self._ring.remove(turn.run, turn)
