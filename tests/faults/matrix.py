"""The fault matrix as a table: what a provider does wrong, and what must come of it in each of four situations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Literal, NamedTuple

from tests.servers.cases import CASES, Case
from tests.servers.clients import NAMES
from tests.servers.faulty import Answer, Fault
from ymera.routing.faults import FaultKind, kind_profile

Outcome = Literal["fallback", "failed", "skipped", "taken for an answer"]
"""Answered by the fallback; the run failed; the phase was skipped. The last one must never be seen."""

LONG_S = 30.0
"""Patience with a provider that comes to an end, on a busy machine too."""
PHASE_S = 300.0
"""Seconds that a phase may take, as the settings have it."""


@dataclass(frozen=True, kw_only=True)
class Situation:
    """Where the fault strikes: in a critical phase or in another one, with a fallback left or without."""

    critical: bool
    fallback_left: bool

    def __str__(self) -> str:
        phase = "critical" if self.critical else "not critical"
        return f"{phase}, {'a fallback' if self.fallback_left else 'none'} left"


SITUATIONS = tuple(
    Situation(critical=critical, fallback_left=left) for critical, left in product((True, False), repeat=2)
)


def is_streamed(client: str, where: Situation) -> bool:
    """Say whether a client streams: Groq's does not where JSON of a schema is asked for, as a review does."""
    return client != "groq" or where.critical


class Patience(NamedTuple):
    """Seconds until the first choice's first word, and between two of its words."""

    first_word: float
    silence: float


@dataclass(frozen=True, kw_only=True)
class Row:
    """One fault.

    Args:
        whole: what it is taken for where the reply is one document instead of a stream, if that differs.
        asks_s: the wait that the provider asks for, by client; of a client that is not named, none.
        short_s: patience with a provider that never comes to an end.
    """

    case: Case
    whole: FaultKind | None = None
    asks_s: Mapping[str, float] | None = None
    short_s: float = 0.2

    def kind_for(self, client: str, where: Situation) -> FaultKind:
        """Return what the fault is written down as."""
        kind = self.case.kind_for(client)
        assert kind is not None
        return kind if is_streamed(client, where) else self.whole or kind

    def patience(self, client: str, where: Situation) -> Patience:
        """Return the limits of time within which the first choice is tried."""
        if not self.case.endless:
            return Patience(LONG_S, LONG_S)
        begins = self.kind_for(client, where) == "stalled"
        return Patience(LONG_S if begins else self.short_s, self.short_s)


def _asking(retry_after: str, seconds: float) -> Row:
    reply = Fault("429", retry_after=retry_after)
    return Row(case=Case(reply=reply, kind="rate_limited"), asks_s=dict.fromkeys(NAMES, seconds))


def _late(reply: Answer) -> Row:
    return Row(case=Case(reply=reply, kind="timed_out", endless=True))


_SLOW = {"100 MB of words", "100 MB of comments", "100 MB, packed"}
"""They take seconds a cell; tests/nodes/test_faults.py has them for all clients."""
ROWS: Mapping[str, Row] = {
    **{
        title: Row(case=case) for title, case in CASES.items() if case.kind is not None and title not in _SLOW
    },
    "429 with seconds to wait": _asking("7", 7.0),
    "429 with an hour to wait": _asking("3600", 3600.0),
    "429 with a date to wait for": _asking("Fri, 31 Jan 2025 00:00:00 GMT", 0.0),
    "429 with RetryInfo": Row(case=CASES["429 with RetryInfo"], asks_s={"google": 3.5}),
    "headers too late": _late(Answer(headers_wait_s=60)),
    "first word too late": _late(Answer(wait_s=60)),
    "stall midway": Row(case=replace(CASES["stall midway"], kind="stalled"), whole="timed_out"),
    "no event at all": Row(case=CASES["no event at all"], whole="malformed"),
}
"""What tests/servers/cases.py has, within the limits of a run."""
PAIRS = [(client, title) for client in NAMES for title, row in ROWS.items() if client not in row.case.not_for]
"""Client and fault of every test; each test has a cell for every situation."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What came of a fault in a situation, or must come of it.

    Args:
        kind: what the first choice's attempts are written down as.
        requests, rescues: to the first choice, and to the fallback.
    """

    outcome: Outcome
    kind: str
    requests: int
    rescues: int

    def __str__(self) -> str:
        marks: dict[Outcome, str] = {"fallback": f"+{self.rescues}", "failed": "✗", "skipped": "–"}
        return f"{self.requests}{marks.get(self.outcome, ' ' + self.outcome)}"


def expected(client: str, row: Row, where: Situation) -> Cell:
    """Return what the specification demands, with the retries of the fault table."""
    kind = row.kind_for(client, where)
    goes_on = where.fallback_left and kind != "refused"
    without: Outcome = "failed" if where.critical else "skipped"
    return Cell(
        outcome="fallback" if goes_on else without,
        kind=kind,
        requests=1 + _retries(kind, where, (row.asks_s or {}).get(client, 0.0)),
        rescues=1 if goes_on else 0,
    )


def _retries(kind: FaultKind, where: Situation, asked: float) -> int:
    """Return how often the same model is tried again: as the fault table says, where it makes sense."""
    retry = kind_profile(kind).retry
    if retry is None:
        return 0
    if retry.again == "compact" and where.critical:  # a run's first phase has nothing that could be left out
        return 0
    return retry.times if asked < (retry.longest_wait_s if where.fallback_left else PHASE_S) else 0


# --- the table ---------------------------------------------------------------------------------------------

Cells = Mapping[tuple[str, str], list[Cell]]
"""By client and fault: a cell for each of SITUATIONS."""


def table(cells: Cells) -> str:
    """Return cells as a Markdown table: a row for each fault, a column for each client."""
    rows = [["fault", "kind", *NAMES], ["---"] * (len(NAMES) + 2)]
    rows += [[title, f"`{row.case.kind}`", *_columns(cells, title, row)] for title, row in ROWS.items()]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _columns(cells: Cells, title: str, row: Row) -> Iterable[str]:
    for client in NAMES:
        found = cells.get((client, title), [])
        others = {cell.kind for cell in found} - {row.case.kind}
        yield " ".join([*map(str, found), *(f"`{kind}`" for kind in sorted(others))])


def expected_table() -> str:
    """Return the table as it must be."""
    return table({(c, t): [expected(c, ROWS[t], where) for where in SITUATIONS] for c, t in PAIRS})
