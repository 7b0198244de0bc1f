from __future__ import annotations

import importlib
from pathlib import Path
from string import Formatter
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ymera.routing.errors import CatalogueError
from ymera.routing.faults import (
    TABLE,
    FaultKind,
    Signs,
    classify,
    classify_finish,
    is_wrapper,
    kind_profile,
    load_table,
)

KINDS: tuple[FaultKind, ...] = get_args(FaultKind)
NOT_HERE = {"aiohttp"}  # Google's SDK would choose it; ours gives it httpx
GIVEN_BY_THE_NODES = {"stalled", "schema_not_met", "over_budget", "interrupted", "bug"}
WORDS = sorted({name for rule in TABLE.rules for name in rule.classes} | {"builtins.Exception", "x.Y"})
QUOTA = "You exceeded your current quota, please check your plan and billing details."
CODES = sorted({code for rule in TABLE.rules for code in rule.codes} | {"x"})


@pytest.mark.parametrize(
    ("signs", "kind"),
    [
        (Signs(status=429), "rate_limited"),
        (Signs(status=429, code="insufficient_quota"), "quota_spent"),
        (Signs(status=429, message="You exceeded your current quota, please check"), "quota_spent"),
        (Signs(status=429, message=f"{QUOTA} GenerateRequestsPerMinutePerProjectPerModel"), "rate_limited"),
        (Signs(status=429, message=f"{QUOTA} PerMinutePerModel\nPerDayPerModel"), "quota_spent"),
        (Signs(status=429, message="a Trial key, which is limited to 40 API calls / minute"), "rate_limited"),
        (Signs(status=429, message="a Trial key, which is limited to 1000 API calls / month"), "quota_spent"),
        (Signs(status=402), "quota_spent"),
        (Signs(status=400, code="context_length_exceeded"), "context_too_long"),
        (Signs(status=413, message="too many tokens"), "context_too_long"),
        (Signs(status=413), "request_too_large"),
        (Signs(status=500, message="too many tokens"), "server_error"),
        (Signs(status=403, message="flagged by moderation"), "refused"),
        (Signs(status=403), "not_allowed"),
        (Signs(status=400, message="API key not valid. Please pass a valid API key."), "authentication"),
        (Signs(status=400), "bad_request"),
        (Signs(status=422), "bad_request"),
        (Signs(status=302), "unreachable"),
        (Signs(status=404), "not_found"),
        (Signs(status=400, code="model_decommissioned"), "not_found"),
        (Signs(status=503, code="UNAVAILABLE"), "overloaded"),
        (Signs(status=200, code="overloaded_error"), "overloaded"),
        (Signs(code="service_tier_capacity_exceeded"), "overloaded"),
        (Signs(code="rate_limited"), "rate_limited"),
        (Signs(status=599), "server_error"),
        (Signs(status=200, class_names=("anthropic.APIStatusError",)), "server_error"),
        (Signs(class_names=("openai.APIError",)), "server_error"),
        (Signs(class_names=("openai.APIConnectionError", "openai.APIError")), "unreachable"),
        (Signs(class_names=("aiohttp.client_exceptions.ClientPayloadError",)), "cut_short"),
        (Signs(class_names=("ymera.nodes.sse.BrokenReplyError",)), "cut_short"),
        (Signs(class_names=("ymera.nodes.sse.UnreadableReplyError",)), "malformed"),
        (Signs(class_names=("ymera.nodes.sse.FailedReplyError",)), "server_error"),
        (Signs(class_names=("ymera.nodes.sse.FailedReplyError",), status=429), "rate_limited"),
        (Signs(class_names=("anyio.EndOfStream",)), "unreachable"),
        (Signs(message="insufficient_quota"), "bug"),
        (Signs(), "bug"),
    ],
    ids=str,
)
def test_the_first_rule_that_fits_gives_the_kind(signs: Signs, kind: FaultKind) -> None:
    assert classify(signs) == kind


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("stop", None),
        ("length", "length_reached"),
        ("MAX_TOKENS", "length_reached"),
        ("refusal", "refused"),
        ("", None),
    ],
)
def test_a_finish_reason_ends_an_answer_well_or_is_a_fault(reason: str, kind: FaultKind | None) -> None:
    assert classify_finish(reason) == kind


signs = st.builds(
    Signs,
    class_names=st.lists(st.sampled_from(WORDS), max_size=3).map(tuple),
    status=st.none() | st.integers(100, 599),
    code=st.none() | st.sampled_from(CODES),
    message=st.text(max_size=50),
)


@given(signs)
def test_whatever_the_signs_there_is_one_known_kind(signs: Signs) -> None:
    assert classify(signs) in KINDS


@given(st.text(max_size=200))
def test_a_message_alone_never_gives_a_kind(message: str) -> None:
    assert classify(Signs(message=message)) == "bug"


@given(st.integers(300, 599))
def test_every_status_that_is_no_success_is_known(status: int) -> None:
    assert classify(Signs(status=status)) != "bug"


@pytest.mark.parametrize(
    "name", sorted({*TABLE.unwrap.classes, *(name for rule in TABLE.rules for name in rule.classes)})
)
def test_every_class_of_the_table_is_there(name: str) -> None:
    """A class that its library has moved would be no sign any more: its errors became bugs."""
    package, found = name.partition(".")[0], None
    if package in NOT_HERE:
        pytest.skip(f"{package} is not installed for the tests")
    module, _, cls = name.rpartition(".")
    found = getattr(importlib.import_module(module), cls)
    assert f"{found.__module__}.{found.__qualname__}" == name


def test_every_kind_is_given_by_a_rule_a_finish_reason_or_a_node() -> None:
    given = {rule.kind for rule in TABLE.rules} | set(TABLE.finish) | GIVEN_BY_THE_NODES
    assert given == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_tells_a_person_what_happened_and_what_to_do(kind: FaultKind) -> None:
    profile = kind_profile(kind)
    assert profile.title
    assert profile.mend.endswith(".")
    places = {name for _, name, _, _ in Formatter().parse(profile.mend) if name is not None}
    assert places <= {"variable", "provider"}


def test_only_a_refusal_and_a_cancellation_stop_a_phase() -> None:
    assert {kind for kind in KINDS if kind_profile(kind).then == "stop"} == {"refused", "cancelled"}


def test_only_a_connections_wrapper_is_looked_through() -> None:
    assert is_wrapper(("openai.APIConnectionError", "openai.APIError"))
    assert not is_wrapper(("openai.RateLimitError", "openai.APIError"))


GOOD = Path(__file__).parents[2] / "routing" / "data" / "faults.toml"


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ('then = "drop_provider"', 'then = "retry"', "kinds.quota_spent.then: Input should be 'next'"),
        ('kind = "cancelled"', 'kind = "gone"', "rules.0.kind: Input should be 'rate_limited'"),
        ('statuses = ["402"]', 'statuses = ["4xx"]', "must be a status '429', a range '500-599' or 'none'"),
        ('message = "context (length', 'message = "context ((length', "is no regular expression"),
        ('statuses = ["402"]', 'message = "pay"', "name classes, statuses or codes"),
        ('statuses = ["402"]', 'status = ["402"]', "Extra inputs are not permitted"),
        ("[kinds.stalled]", "[kinds.stopped]", "kinds.stopped"),
        ("[unwrap]", "[unwrap", "faults.toml: "),
    ],
)
def test_a_wrong_table_is_refused_with_file_key_and_value(
    old: str, new: str, fault: str, tmp_path: Path
) -> None:
    text = GOOD.read_text("utf-8")
    assert old in text
    table = tmp_path / "faults.toml"
    table.write_text(text.replace(old, new, 1), "utf-8")
    with pytest.raises(CatalogueError) as caught:
        load_table(table)
    assert any(found.startswith("faults.toml: ") and fault in found for found in caught.value.faults)


def test_a_table_without_a_kind_is_refused(tmp_path: Path) -> None:
    table = tmp_path / "faults.toml"
    start, _, rest = GOOD.read_text("utf-8").partition("[kinds.stalled]")
    table.write_text(start + rest[rest.index("[kinds.unreachable]") :], "utf-8")
    with pytest.raises(CatalogueError, match="kinds are missing: stalled"):
        load_table(table)


def test_all_faults_of_a_table_are_told_at_once(tmp_path: Path) -> None:
    table = tmp_path / "faults.toml"
    text = GOOD.read_text("utf-8").replace('"402"', '"4xx"').replace('kind = "cancelled"', 'kind = "gone"')
    table.write_text(text, "utf-8")
    with pytest.raises(CatalogueError) as caught:
        load_table(table)
    assert len(caught.value.faults) == 2
