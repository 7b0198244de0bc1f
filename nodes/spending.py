"""What each key spends a day (UTC), in a table that all processes share."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import NamedTuple

from ..routing.attempts import Usage
from ..routing.budget import NOTHING, Amount, Ask, Grant, Refusal, grant_in_day, settled, worst_case
from ..routing.errors import InputError
from .database import DatabaseError, Place, Rows, database_at

SCHEMA = """
CREATE TABLE IF NOT EXISTS spending (
    day TEXT, provider TEXT, key_mark TEXT, nano_usd BIGINT NOT NULL, PRIMARY KEY (day, provider, key_mark)
)
"""
TAKEN = "SELECT nano_usd FROM spending WHERE day = ? AND provider = ? AND key_mark = ?"
RESERVE = """
INSERT INTO spending VALUES (?, ?, ?, ?)
ON CONFLICT (day, provider, key_mark) DO UPDATE SET nano_usd = spending.nano_usd + excluded.nano_usd
"""
CORRECT = "UPDATE spending SET nano_usd = ? WHERE day = ? AND provider = ? AND key_mark = ?"

BUSY_SECONDS = 30.0
"""How long a writer waits for another process."""

_logger = logging.getLogger("ymera.budgets")


class _Held(NamedTuple):
    """A reservation: of which day and key, and how much."""

    row: tuple[str, str, str]
    amount: Amount


class Spending:
    """Daily budgets of keys. Any thread and event loop of the process may use it.

    One thread does the work in the order in which it was asked for: runs of one process do not wait for each other
    within the database, and no settlement overtakes its reservation. It holds one sum for each day and key; who
    holds how much of it, the process alone knows. So the reservations of a process that dies stay counted for their
    day: rather too much than too little. (A power cut may lose the last moments' sums.)

    Args:
        place: where the sums are kept; made when first needed.
        clock: epoch seconds.
        patience: seconds to wait for another process.
    """

    def __init__(self, place: Place, clock: Callable[[], float], *, patience: float = BUSY_SECONDS) -> None:
        self._clock = clock
        self._database = database_at(place, "spending", SCHEMA, patience=patience)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ymera-spending")
        self._held: dict[str, _Held] = {}

    async def reserve(self, ask: Ask, usd: float) -> Grant | Refusal:
        """Reserve what a call may cost. Cancelled, or with an error, nothing stays reserved.

        Args:
            usd: what the key may spend a day.

        Raises:
            InputError: the sums cannot be read, so nobody knows what is left.
        """
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._thread, self._reserve, ask, usd)
        except asyncio.CancelledError:
            self._thread.submit(self._settle, ask, None)
            raise

    async def settle(self, ask: Ask, usage: Usage) -> None:
        """Replace a reservation by what the call cost, on the day on which it was reserved.

        A database that has become unusable is logged, and the reservation stays: the answer is paid and must not be
        lost.
        """
        loop = asyncio.get_running_loop()
        # Shielded: whoever is cancelled here has paid all the same.
        await asyncio.shield(loop.run_in_executor(self._thread, self._settle, ask, usage))

    def _reserve(self, ask: Ask, usd: float) -> Grant | Refusal:
        day = datetime.fromtimestamp(self._clock(), UTC).date().isoformat()
        row = (day, ask.provider, ask.key_mark)
        try:
            with self._database.transaction() as rows:
                grant = grant_in_day(ask, usd, _taken(rows, row))
                if isinstance(grant, Refusal):
                    return grant
                amount = worst_case(ask, grant.output_tokens)
                rows.execute(RESERVE, (*row, amount.nano_usd))
        except DatabaseError as error:
            raise InputError(
                f"The daily budget of {ask.provider} cannot be checked: {self._database.place} cannot be used: "
                f"{error}. {self._database.cure}, or unset YMERA_DAILY_USD."
            ) from error
        self._held[ask.id] = _Held(row, amount)
        return grant

    def _settle(self, ask: Ask, usage: Usage | None) -> None:
        """Correct the day's sum; None: the call was not made."""
        held = self._held.pop(ask.id, None)
        if held is None:
            return
        cost = settled(held.amount, usage) if usage else NOTHING
        difference = cost.nano_usd - held.amount.nano_usd
        try:
            if difference:
                with self._database.transaction() as rows:
                    rows.execute(CORRECT, (max(_taken(rows, held.row) + difference, 0), *held.row))
        except DatabaseError as error:
            said = (ask.provider, self._database.place, error)
            _logger.warning(
                "What %s cost is not settled, its reservation stays: %s cannot be used: %s", *said
            )


def _taken(rows: Rows, row: tuple[str, str, str]) -> int:
    """Return what is spent or reserved of a day's budget, in nano-USD."""
    found = rows.execute(TAKEN, row)
    try:
        return int(found[0][0]) if found else 0
    except (TypeError, ValueError, OverflowError):  # SQLite keeps anything in any column
        raise DatabaseError("a sum in it is no number") from None
