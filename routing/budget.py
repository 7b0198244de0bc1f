"""What a call may cost, what is left to pay it from, and how long its answer may be so that it fits.

Money is counted in whole nano-USD (10^-9 USD): limits rounded down, costs rounded up. Sums are exact in any order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, floor
from typing import Literal

from .attempts import Usage
from .records import Limits, Price

NANO = 10**9
STEP = 256
"""A lowered bound is a multiple of this: clients are kept by their bound, and there must not be many."""

Scope = Literal["run", "day", "model"]
DailyUsd = float | Mapping[str, float] | None
"""USD a day and key: for every provider, by provider, or without limit."""


@dataclass(frozen=True, kw_only=True)
class Ask:
    """A call that is about to be made.

    Args:
        id: name of the attempt, unique among all runs.
        run: name of the run.
        key_mark: fingerprint of the key that pays.
        price: None where it is not known.
        input_tokens: estimate of what is sent, on the high side.
        output_tokens: bound of the answer that is wished for.
        least_tokens: the smallest bound with which the call makes sense.
    """

    id: str
    run: str
    provider: str
    key_mark: str
    price: Price | None
    input_tokens: int
    output_tokens: int
    least_tokens: int


@dataclass(frozen=True, kw_only=True)
class Grant:
    """The call may be made, with this bound of its answer."""

    output_tokens: int


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """The call may not be made.

    Args:
        why: for a person: which limit, what is left, what the call could cost.
        scope: what says no: the run's limits, the key's day, or (`model`) a price that is not known.
    """

    why: str
    scope: Scope


@dataclass(frozen=True)
class Amount:
    """Money and tokens, reserved or spent."""

    nano_usd: int = 0
    tokens: int = 0

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.nano_usd + other.nano_usd, self.tokens + other.tokens)

    def __le__(self, other: Amount) -> bool:
        """Say whether neither money nor tokens are more than the other's."""
        return self.nano_usd <= other.nano_usd and self.tokens <= other.tokens


NOTHING = Amount()


def is_free(price: Price | None) -> bool:
    """Say whether a price is known to be nothing."""
    return price is not None and price.input == price.output == 0


def is_limited(limits: Limits) -> bool:
    """Say whether a run may spend only so much money or so many tokens."""
    return limits["usd"] is not None or limits["tokens"] is not None


def daily_limit(daily: DailyUsd, provider: str) -> float | None:
    """Return the USD that a key of the provider may spend a day, or None where there is no limit."""
    return daily.get(provider) if isinstance(daily, Mapping) else daily


def worst_case(ask: Ask, output_tokens: int) -> Amount:
    """Return what a call takes at most when its answer is bounded so.

    Money is 0 where the price is not known: such a call is not granted where money is limited.
    """
    into, out = _rates(ask.price) if ask.price else (0, 0)
    pico = ask.input_tokens * into + output_tokens * out
    return Amount(-(-pico // 1000), ask.input_tokens + output_tokens)


def settled(reserved: Amount, usage: Usage) -> Amount:
    """Return what takes the place of a reservation once the call is over.

    Where the cost is not known, the reserved one stays, and so do its tokens if none were counted.
    """
    known = used(usage)
    if not usage["unpriced"]:
        return known
    return Amount(max(known.nano_usd, reserved.nano_usd), known.tokens or reserved.tokens)


def used(usage: Usage) -> Amount:
    """Return what an attempt took, as far as it is known."""
    # What a server counts is not to be trusted: less than nothing would make a budget larger.
    tokens = max(usage["input_tokens"], 0) + max(usage["output_tokens"], 0)
    return Amount(_rounded_up(max(usage["cost_usd"], 0.0) * NANO), tokens)


def used_by_run(spent: Mapping[str, Usage], held: Mapping[str, Amount]) -> Amount:
    """Return what a run has used and reserved.

    Args:
        spent: usage of the attempts that its state knows, by their ids.
        held: what is kept of its attempts beside the state; where both know one, the larger amounts count.
    """
    nano = tokens = 0
    for name, usage in spent.items():
        known, kept = used(usage), held.get(name, NOTHING)
        nano += max(known.nano_usd, kept.nano_usd)
        tokens += max(known.tokens, kept.tokens)
    others = [amount for name, amount in held.items() if name not in spent]
    return Amount(nano + sum(a.nano_usd for a in others), tokens + sum(a.tokens for a in others))


def grant_in_run(ask: Ask, limits: Limits, taken: Amount) -> Grant | Refusal:
    """Decide on a call by the limits of its run. `taken` is what the run has used and reserved."""
    usd, tokens = limits["usd"], limits["tokens"]
    nano_left = None if usd is None else _limit_nano(usd) - taken.nano_usd
    tokens_left = None if tokens is None else tokens - taken.tokens
    bound = fitting_bound(ask, nano_left, tokens_left)
    if bound is not None:
        return Grant(output_tokens=bound)
    if usd is not None and fitting_bound(ask, nano_left, None) is None:
        return _too_dear(ask, nano_left or 0, f"the run's {usd:g} USD", "run")
    least = worst_case(ask, ask.least_tokens).tokens
    left = f"{max(tokens_left or 0, 0)} of the run's {tokens} tokens are left"
    return Refusal(why=f"even a short answer could take {least} tokens, {left}", scope="run")


def grant_in_day(ask: Ask, usd: float, taken_nano: int) -> Grant | Refusal:
    """Decide on a call by what its key may spend a day. `taken_nano`: nano-USD spent and reserved today."""
    left = _limit_nano(usd) - taken_nano
    bound = fitting_bound(ask, left, None)
    if bound is not None:
        return Grant(output_tokens=bound)
    return _too_dear(
        ask, left, f"today's {usd:g} USD of this {ask.provider} key (YMERA_DAILY_USD, UTC)", "day"
    )


def fitting_bound(ask: Ask, nano_usd: int | None, tokens: int | None) -> int | None:
    """Return the bound of an answer that fits what is left (None: no limit), or None where none does.

    The bound wished for, else a lower one: a multiple of `STEP`, but never below the smallest that makes sense.
    """
    fits = ask.output_tokens
    if nano_usd is not None:
        fits = min(fits, _payable(ask, nano_usd))
    if tokens is not None:
        fits = min(fits, tokens - ask.input_tokens)
    if fits >= ask.output_tokens:
        return ask.output_tokens
    return max(ask.least_tokens, fits // STEP * STEP) if fits >= ask.least_tokens else None


def _payable(ask: Ask, nano_usd: int) -> int:
    """Return the tokens of output that may be paid besides the input; -1 where not even that may."""
    if ask.price is None:
        return -1
    if is_free(ask.price):
        return ask.output_tokens
    into, out = _rates(ask.price)
    left = nano_usd * 1000 - ask.input_tokens * into
    if left < 0:
        return -1
    return left // out if out else ask.output_tokens


def _too_dear(ask: Ask, left: int, limit: str, scope: Scope) -> Refusal:
    if ask.price is None:
        why = f"the price of the model is not known, so it cannot be kept within {limit}"
        return Refusal(why=why, scope="model")
    least = worst_case(ask, ask.least_tokens).nano_usd
    why = f"even a short answer could cost {_usd(least)} USD, {_usd(max(left, 0))} of {limit} are left"
    return Refusal(why=why, scope=scope)


def _rates(price: Price) -> tuple[int, int]:
    """Return a price in pico-USD per token of input and of output."""
    return _rounded_up(price.input * 1e6), _rounded_up(price.output * 1e6)


def _limit_nano(usd: float) -> int:
    return floor(round(usd * NANO, 3))


def _rounded_up(number: float) -> int:
    """Round up, but not for what a float's last digits add: 0.15 USD times 10^9 is not more than 150000000."""
    return ceil(round(number, 3))


def _usd(nano: int) -> str:
    """Return nano-USD as USD with the digits that it has."""
    return f"{nano // NANO}.{nano % NANO:09d}".rstrip("0").rstrip(".")
