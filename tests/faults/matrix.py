"""The fault matrix as a table: what a provider does wrong, and what must come of it in each of four situations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from tests.servers.clients import NAMES
from tests.servers.faulty import Answer, Fault, Reply
from ymera.routing.faults import FaultKind, kind_profile

Outcome = Literal["answered by the fallback", "failed", "skipped", "succeeded"]
Place = Literal["server", "nobody", "nowhere"]
"""Where the first choice's address leads: to the server, to a closed port, or to a host that does not exist."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One fault.

    Args:
        reply: what the provider says to every request; it makes no difference where nobody is there.
        kind: of the fault that is written down; `unlike` names the clients with another one, and `whole` is the kind
            where a client asks for a document instead of a stream.
        wordy: part of an answer comes before it breaks.
        patience_s: the first choice's limits on its first token and on silence; all others have the usual ones.
    """

    reply: Reply = field(default_factory=Answer)
    kind: FaultKind
    unlike: Mapping[str, FaultKind] = field(default_factory=dict)
    whole: FaultKind | None = None
    place: Place = "server"
    wordy: bool = False
    patience_s: float = 2.0

    def kind_of(self, client: str, where: Situation) -> FaultKind:
        if self.whole and not is_streamed(client, where):
            return self.whole
        return self.unlike.get(client, self.kind)


@dataclass(frozen=True, kw_only=True)
class Situation:
    """Where the fault strikes: in a critical phase or in another one, with a fallback left or without."""

    critical: bool
    fallback_left: bool

    def __str__(self) -> str:
        phase = "critical" if self.critical else "not critical"
        return f"{phase}, {'a fallback' if self.fallback_left else 'none'} left"


def is_streamed(client: str, where: Situation) -> bool:
    """Say whether a client streams: Groq's does not where JSON of a schema is asked for, as a review does."""
    return client != "groq" or where.critical


SITUATIONS = tuple(
    Situation(critical=critical, fallback_left=left) for critical in (True, False) for left in (True, False)
)
LATE = 30.0
"""Seconds that a reply comes too late."""
SHORT = 0.25
"""Seconds of patience with one that does."""

ROWS: Mapping[str, Row] = {
    "400": Row(reply=Fault("400"), kind="bad_request"),
    "401": Row(reply=Fault("401"), kind="authentication"),
    "402": Row(reply=Fault("402"), kind="quota_spent"),
    "quota spent, in the provider's words": Row(reply=Fault("quota"), kind="quota_spent"),
    "403": Row(reply=Fault("403"), kind="not_allowed"),
    "404": Row(reply=Fault("404"), kind="not_found"),
    "408": Row(reply=Fault("408"), kind="timed_out"),
    "413": Row(reply=Fault("413"), kind="request_too_large"),
    "422": Row(reply=Fault("422"), kind="bad_request"),
    "429": Row(reply=Fault("429"), kind="rate_limited"),
    "429, Retry-After 2 s": Row(reply=Fault("429", retry_after="2"), kind="rate_limited"),
    "429, Retry-After an hour": Row(reply=Fault("429", retry_after="3600"), kind="rate_limited"),
    "500": Row(reply=Fault("500"), kind="server_error"),
    "502": Row(reply=Fault("502"), kind="server_error"),
    "503": Row(reply=Fault("503"), kind="server_error", unlike={"google": "overloaded"}),
    "504": Row(reply=Fault("504"), kind="timed_out"),
    "529": Row(reply=Fault("529"), kind="overloaded"),
    "context too long": Row(reply=Fault("context"), kind="context_too_long"),
    "content filter, 400": Row(reply=Fault("filter"), kind="refused"),
    "content filter, finish reason": Row(reply=Answer(finish="filter"), kind="refused"),
    "length": Row(reply=Answer(finish="length"), kind="length_reached", wordy=True),
    "empty text": Row(reply=Answer("  "), kind="empty"),
    "empty choices": Row(reply=Fault("empty_choices"), kind="empty"),
    "no events": Row(reply=Fault("no_events"), kind="empty", whole="malformed"),
    "slow headers": Row(reply=Answer(headers_wait_s=LATE), kind="timed_out", patience_s=SHORT),
    "slow first token": Row(reply=Answer(wait_s=LATE), kind="timed_out", patience_s=SHORT),
    "never answers": Row(reply=Fault("silent"), kind="timed_out", patience_s=SHORT),
    "stall midway": Row(
        reply=Fault("stall"), kind="stalled", whole="timed_out", wordy=True, patience_s=SHORT
    ),
    "cut midway": Row(reply=Fault("cut"), kind="cut_short", wordy=True),
    "reset midway": Row(reply=Fault("reset_midway"), kind="cut_short", wordy=True),
    "clean end without finish": Row(reply=Answer(finish=None), kind="cut_short", wordy=True),
    "error event midway": Row(reply=Fault("error_event"), kind="server_error", wordy=True),
    "error event first": Row(reply=Fault("error_first"), kind="server_error"),
    "bad JSON line": Row(reply=Fault("bad_json"), kind="malformed", wordy=True),
    "no UTF-8": Row(reply=Fault("not_utf8"), kind="malformed", wordy=True),
    "malformed body": Row(reply=Fault("broken_document"), kind="malformed"),
    "error inside a 200": Row(reply=Fault("error_in_200"), kind="server_error"),
    "wrong content type": Row(reply=Fault("html"), kind="malformed"),
    "a page as bytes": Row(reply=Fault("html_as_bytes"), kind="malformed"),
    "100 MB in one line": Row(reply=Fault("huge_line"), kind="malformed", patience_s=20.0),
    "100 MB of comments": Row(reply=Fault("huge_comments"), kind="malformed", patience_s=20.0),
    "connection reset": Row(reply=Fault("reset"), kind="unreachable"),
    "connection closed": Row(reply=Fault("hang_up"), kind="unreachable"),
    "connection refused": Row(kind="unreachable", place="nobody"),
    "DNS failure": Row(kind="unreachable", place="nowhere"),
}


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What must come of a cell: the outcome, the kind, and the requests to the first choice and to the fallback."""

    outcome: Outcome
    kind: FaultKind
    requests: int
    fallback_requests: int


def expected(client: str, row: Row, where: Situation) -> Expected:
    """Return what the specification and the fault table demand of a cell."""
    kind = row.kind_of(client, where)
    profile = kind_profile(kind)
    goes_on = where.fallback_left and profile.then != "stop"
    without: Outcome = "failed" if where.critical else "skipped"
    return Expected(
        outcome="answered by the fallback" if goes_on else without,
        kind=kind,
        requests=1 + retries(row, kind, where),
        fallback_requests=1 if goes_on else 0,
    )


def retries(row: Row, kind: FaultKind, where: Situation) -> int:
    """Return how often the same model is tried again: as the fault table says, as far as it can be."""
    retry = kind_profile(kind).retry
    if retry is None:
        return 0
    if retry.again == "compact" and where.critical:  # the first phase has nothing that could be left out
        return 0
    asked = float(row.reply.retry_after or 0) if isinstance(row.reply, Fault) else 0.0
    longest = retry.longest_wait_s if where.fallback_left else 300.0
    return retry.times if asked < longest else 0


def cells() -> Iterator[tuple[str, str, Situation]]:
    """Yield all cells: client, row, situation."""
    for client in NAMES:
        for title in ROWS:
            for where in SITUATIONS:
                yield client, title, where


def table(seen: Mapping[tuple[str, str], str]) -> str:
    """Return the matrix as a Markdown table: a row for each fault, a column for each client.

    Args:
        seen: by client and fault, what came of it with a fallback left.
    """
    clients = [name for name in NAMES if any(client == name for client, _ in seen)]
    lines = [["fault", *clients], ["---"] * (len(clients) + 1)]
    lines += [[title, *(seen.get((client, title), "–") for client in clients)] for title in ROWS]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def in_words(outcome: Outcome, kind: str, requests: int, fallback_requests: int) -> str:
    """Return a cell in words: the kind, and the requests to the first choice and to the fallback."""
    ending = f"+{fallback_requests}" if outcome == "answered by the fallback" else f", {outcome}"
    return f"{kind} {requests}{ending}"


def expected_table() -> str:
    """Return the table as it must be."""
    where = Situation(critical=True, fallback_left=True)
    told = {}
    for client in NAMES:
        for title, row in ROWS.items():
            demanded = expected(client, row, where)
            told[client, title] = in_words(
                demanded.outcome, demanded.kind, demanded.requests, demanded.fallback_requests
            )
    return table(told)
