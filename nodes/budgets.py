"""Budgets that are reserved before a call and settled after it: of a run, and of a key by day."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from threading import Lock

from ..routing.attempts import Usage
from ..routing.budget import (
    NOTHING,
    Amount,
    Ask,
    DailyUsd,
    Grant,
    Refusal,
    daily_limit,
    grant_in_run,
    is_free,
    is_limited,
    settled,
    used,
    used_by_run,
    worst_case,
)
from ..routing.records import Limits
from .database import Place
from .settings import SettingsError
from .spending import Spending

__all__ = ["Ask", "Budgets", "Grant", "Refusal"]

KEPT_RUNS = 4096
"""Runs without a call under way that are remembered; the one that rested longest goes first."""


@dataclass(kw_only=True)
class _Purse:
    """What a run has reserved and paid, as far as its state may not know it.

    Args:
        reserved: by attempts under way.
        paid: by attempts that are over, until the state knows what they cost.
        lost: by attempts that were made again under the same name, because a run was resumed.
    """

    reserved: dict[str, Amount] = field(default_factory=dict)
    paid: dict[str, Amount] = field(default_factory=dict)
    lost: Amount = NOTHING

    def meet(self, attempt: str, spent: Mapping[str, Usage]) -> Amount:
        """Return what the run has used in all, before an attempt begins."""
        known = [name for name, paid in self.paid.items() if name in spent and paid <= used(spent[name])]
        for name in known:
            del self.paid[name]
        for made in (self.paid, self.reserved):
            self.lost += made.pop(attempt, NOTHING)
        return used_by_run(spent, self.paid | self.reserved) + self.lost


class Budgets:
    """What runs, and keys by day, may still spend. Any thread and event loop of the process may use it.

    A call is granted only where its worst case (its input, and an answer up to its bound) fits what is left after
    all that is reserved. So what runs side by side never overspends, as long as no call costs more than its worst
    case: an input that is larger than estimated, or a dearer model served instead, is found out when it is settled.

    Args:
        place: where the daily budgets are kept; not touched where no daily limit applies.
        daily_usd: USD a day and key.
        providers: who may stand in `daily_usd`; None: not looked at.
        clock: epoch seconds.

    Raises:
        SettingsError: `daily_usd` names a provider that there is not.
    """

    def __init__(
        self,
        place: Place,
        daily_usd: DailyUsd,
        *,
        providers: Collection[str] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if providers is not None and isinstance(daily_usd, Mapping):
            _check_names(daily_usd, providers)
        self._daily_usd = daily_usd
        self._spending = Spending(place, clock)
        self._lock = Lock()
        self._busy: dict[str, _Purse] = {}
        self._idle: OrderedDict[str, _Purse] = OrderedDict()

    def has_daily_limit(self, provider: str) -> bool:
        """Say whether a provider's keys may spend only so much a day."""
        return daily_limit(self._daily_usd, provider) is not None

    async def reserve(self, ask: Ask, limits: Limits, spent: Mapping[str, Usage]) -> Grant | Refusal:
        """Reserve what a call may cost, or say why it may not be made. Whoever is granted one settles it.

        Args:
            limits: of the run.
            spent: usage of the attempts that the run's state knows, by the ids of their asks.

        Raises:
            InputError: a daily limit applies, and its file cannot be used. Nothing stays reserved.
        """
        grant: Grant | Refusal = Grant(output_tokens=ask.output_tokens)
        if is_limited(limits):
            grant = self._reserve_in_run(ask, limits, spent)
        usd = self._daily_limit(ask)
        if usd is None or isinstance(grant, Refusal):
            return grant
        try:
            today = await self._spending.reserve(replace(ask, output_tokens=grant.output_tokens), usd)
        except BaseException:
            self._replace_in_run(ask, NOTHING)
            raise
        if isinstance(today, Refusal):
            self._replace_in_run(ask, NOTHING)
        elif today.output_tokens < grant.output_tokens:
            self._lower_in_run(ask, today.output_tokens)
        return today

    async def settle(self, ask: Ask, usage: Usage) -> None:
        """Replace a reservation by what the call really took.

        Where the cost is not known (`unpriced`), the reserved one stays counted. Settling twice, or what was never
        reserved, changes nothing. Nothing is raised: a daily file that has become unusable is logged, and the
        reservation stays. So does for its day that of a process that died before it could settle.
        """
        self._settle_in_run(ask, usage)
        if self._daily_limit(ask) is not None:
            await self._spending.settle(ask, usage)

    def _daily_limit(self, ask: Ask) -> float | None:
        return None if is_free(ask.price) else daily_limit(self._daily_usd, ask.provider)

    def _reserve_in_run(self, ask: Ask, limits: Limits, spent: Mapping[str, Usage]) -> Grant | Refusal:
        with self._lock:
            purse = self._busy.pop(ask.run, None) or self._idle.pop(ask.run, None) or _Purse()
            grant = grant_in_run(ask, limits, purse.meet(ask.id, spent))
            if isinstance(grant, Grant):
                purse.reserved[ask.id] = worst_case(ask, grant.output_tokens)
            self._put_back(ask.run, purse)
        return grant

    def _lower_in_run(self, ask: Ask, output_tokens: int) -> None:
        with self._lock:
            purse = self._busy.get(ask.run)
            if purse is not None and ask.id in purse.reserved:
                purse.reserved[ask.id] = worst_case(ask, output_tokens)

    def _settle_in_run(self, ask: Ask, usage: Usage) -> None:
        purse = self._busy.get(ask.run)
        reserved = purse.reserved.get(ask.id) if purse else None
        if reserved is not None:
            self._replace_in_run(ask, settled(reserved, usage))

    def _replace_in_run(self, ask: Ask, paid: Amount) -> None:
        with self._lock:
            purse = self._busy.get(ask.run)
            if purse is None or purse.reserved.pop(ask.id, None) is None:
                return
            if paid != NOTHING:
                purse.paid[ask.id] = paid
            self._put_back(ask.run, self._busy.pop(ask.run))

    def _put_back(self, run: str, purse: _Purse) -> None:
        """Keep a purse: for as long as something is reserved, else among the last few thousand that hold anything."""
        if purse.reserved:
            self._busy[run] = purse
        elif purse.paid or purse.lost != NOTHING:
            self._idle[run] = purse
            if len(self._idle) > KEPT_RUNS:
                self._idle.popitem(last=False)


def _check_names(daily_usd: Mapping[str, float], providers: Collection[str]) -> None:
    if unknown := sorted(set(daily_usd) - set(providers)):
        known = ", ".join(sorted(providers))
        raise SettingsError(f"YMERA_DAILY_USD: no provider {unknown[0]!r}. Known: {known}.")
