"""Every fault that a provider is known for, and what each client makes of it: the rows of the fault matrix."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from ymera.routing.faults import FaultKind

from .replies import Answer, Fault, Reply

Place = Literal["here", "closed port", "no such host"]


@dataclass(frozen=True, kw_only=True)
class Case:
    """One row.

    Args:
        kind: what the fault is taken for; None: the answer is whole.
        but: the clients for which it is taken for something else, and why stands beside the row.
        endless: the provider keeps the connection open for ever.
        place: where the provider's address leads.
        not_for: clients that take too long over it.
    """

    reply: Reply = field(default_factory=Answer)
    kind: FaultKind | None
    but: Mapping[str, FaultKind] = field(default_factory=dict)
    endless: bool = False
    place: Place = "here"
    not_for: frozenset[str] = frozenset()

    def kind_for(self, client: str) -> FaultKind | None:
        """Return what the fault is taken for with a client."""
        return self.but.get(client, self.kind)


STATUSES: dict[str, FaultKind] = {
    "400": "bad_request",
    "401": "authentication",
    "402": "quota_spent",
    "403": "not_allowed",
    "404": "not_found",
    "408": "timed_out",
    "413": "request_too_large",
    "422": "bad_request",
    "429": "rate_limited",
    "500": "server_error",
    "502": "server_error",
    "504": "timed_out",
    "529": "overloaded",
    "context": "context_too_long",
    "filter": "refused",
    "quota": "quota_spent",
}
_REFUSED = {name: Case(reply=Fault(name), kind=kind) for name, kind in STATUSES.items()}  # type: ignore[arg-type]

_LATE = {
    "whole": Case(kind=None),
    "without the closing line": Case(reply=Answer(done=False), kind=None),
    "late headers": Case(reply=Answer(headers_wait_s=0.05), kind=None),
    "late first word": Case(reply=Answer(wait_s=0.05), kind=None),
    "silent": Case(reply=Fault("silent"), kind="timed_out", endless=True),
    "stall before the first word": Case(reply=Fault("stall_first"), kind="timed_out", endless=True),
    "stall midway": Case(reply=Fault("stall"), kind="timed_out", endless=True),
}
_WAITS = {
    "429 with seconds to wait": Case(reply=Fault("429", retry_after="7"), kind="rate_limited"),
    "429 with a date to wait for": Case(
        reply=Fault("429", retry_after="Fri, 31 Jan 2025 00:00:00 GMT"), kind="rate_limited"
    ),
    "429 with RetryInfo": Case(reply=Fault("429", retry_delay="3.5s"), kind="rate_limited"),
}
_LOST = {
    "connection refused": Case(kind="unreachable", place="closed port"),
    "no such host": Case(kind="unreachable", place="no such host"),
    "reset": Case(reply=Fault("reset"), kind="unreachable"),
    "hang up": Case(reply=Fault("hang_up"), kind="unreachable"),
    "cut midway": Case(reply=Fault("cut"), kind="cut_short"),
    "reset midway": Case(reply=Fault("reset_midway"), kind="cut_short"),
}
# Cohere's format has no codes for an error inside a stream. Google says UNAVAILABLE to 503.
_INSIDE = {
    "503": Case(reply=Fault("503"), kind="server_error", but={"google": "overloaded"}),
    "a line that is no JSON": Case(reply=Fault("bad_json"), kind="malformed"),
    "the first line is no JSON": Case(reply=Fault("bad_json_only"), kind="malformed"),
    "bytes that are no UTF-8": Case(reply=Fault("not_utf8"), kind="malformed"),
    "error event": Case(reply=Fault("error_event"), kind="server_error"),
    "error event before any text": Case(reply=Fault("error_first"), kind="server_error"),
    "error event: overloaded": Case(
        reply=Fault("error_event", says="529"), kind="overloaded", but={"cohere": "server_error"}
    ),
    "error event: unavailable": Case(
        reply=Fault("error_first", says="503"), kind="server_error", but={"google": "overloaded"}
    ),
    "error event: rate limit": Case(
        reply=Fault("error_event", says="429"), kind="rate_limited", but={"cohere": "server_error"}
    ),
    "error in 200": Case(reply=Fault("error_in_200"), kind="server_error"),
    "error in 200: overloaded": Case(
        reply=Fault("error_in_200", says="529"), kind="overloaded", but={"cohere": "server_error"}
    ),
    "half a document": Case(reply=Fault("broken_document"), kind="malformed"),
    "a web page": Case(reply=Fault("html"), kind="malformed"),
    "a web page called bytes": Case(reply=Fault("html_as_bytes"), kind="malformed"),
}
_UNFINISHED = {
    "empty choices": Case(reply=Fault("empty_choices"), kind="empty"),
    "no event at all": Case(reply=Fault("no_events"), kind="empty"),
    "blank": Case(reply=Answer("  "), kind="empty"),
    "no finish reason": Case(reply=Answer(finish=None), kind="cut_short"),
    "length": Case(reply=Answer(finish="length"), kind="length_reached"),
    "length, said twice": Case(reply=Answer(finish="length", usage="twice"), kind="length_reached"),
    "filter in 200": Case(reply=Answer(finish="filter"), kind="refused"),
    "usage beside a choice": Case(reply=Answer(usage="beside"), kind=None),
    "usage twice": Case(reply=Answer(usage="twice"), kind=None),
    "no usage": Case(reply=Answer(usage="none"), kind=None),
    "text after the finish reason": Case(reply=Answer(afterthought=" And more."), kind=None),
}
# Cohere's SDK takes milliseconds for an event, and thousands fit into what a reply may have.
_HUGE = {
    "100 MB of comments": Case(reply=Fault("huge_comments"), kind="malformed"),
    "100 MB of noise": Case(reply=Fault("huge_noise"), kind="malformed"),
    "100 MB of words": Case(reply=Fault("huge_answer"), kind="malformed", not_for=frozenset({"cohere"})),
    "a line of 100 MB": Case(reply=Fault("huge_line"), kind="malformed"),
    "a document of 100 MB": Case(reply=Fault("huge_document"), kind="malformed"),
    "a refusal of 100 MB": Case(reply=Fault("huge_refusal"), kind="server_error"),
    "100 MB, packed": Case(reply=Fault("gzip_bomb"), kind="malformed"),
}
HUGE = frozenset(_HUGE)
CASES: dict[str, Case] = _REFUSED | _WAITS | _LATE | _LOST | _INSIDE | _UNFINISHED | _HUGE
