"""The checks together: that no text makes them raise or hang."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.nodes.checked import fenced
from tests.nodes.test_json_checks import PERSON
from ymera.nodes.validators import VALIDATORS, check, passes
from ymera.routing.catalogue import builtin_catalogue


def test_every_check_that_an_agent_of_the_catalogue_asks_for_exists() -> None:
    builtin = builtin_catalogue()
    for agent in (*builtin.agents.values(), builtin.default_agent):
        assert set(agent.checks) <= set(VALIDATORS)


def test_only_failures_count_when_results_are_compared() -> None:
    one, two = check(fenced("x = 1"), ["python"], {}), check(fenced("x = 1") * 2, ["python"], {})
    broken = check(fenced("x = "), ["python"], {})
    assert passes(one) == passes(two) == passes([]) == 0
    assert passes(broken) < passes(two)


TEXTS = st.lists(
    st.one_of(
        st.text(max_size=30),
        st.sampled_from(
            ["```", "~~~", "````", "```python", "```sql", "```json", "\n", "\r\n", "  ", "\0", "{", "}"]
        ),
        st.sampled_from(
            ["SELECT", "CREATE TABLE", "(", ")", "'", '"', ";", "--", "/*", "def f():", "x = 1", "$$", "%s"]
        ),
    ),
    max_size=30,
).map(" ".join)
WRAPPED = st.builds(
    lambda text, language: f"```{language}\n{text}\n```", TEXTS, st.sampled_from(["python", "sql", "json"])
)
PARAMETERS = st.sampled_from(
    [{}, {"language": "python"}, {"dialect": "mysql"}, {"schema": PERSON}, {"database": "\0"}]
)


@given(st.one_of(TEXTS, WRAPPED), PARAMETERS)
@settings(max_examples=400, deadline=None)
def test_no_text_makes_a_check_raise(text: str, parameters: dict[str, Any]) -> None:
    for result in check(text, list(VALIDATORS), parameters):
        assert set(result) == {"name", "passed", "detail"}
        assert "\n" not in result["name"]


SCHEMAS = st.recursive(
    st.sampled_from(
        [
            True,
            {},
            {"type": "object"},
            {"type": "string", "pattern": "a*"},
            {"multipleOf": 1e-300},
            {"type": 3},
        ]
    ),
    lambda inner: st.dictionaries(
        st.sampled_from(["properties", "items", "not", "anyOf", "$ref", "minimum"]), inner
    ),
    max_leaves=5,
)
VALUES = st.recursive(st.sampled_from([None, True, 1, 1e308, 10**400, "a" * 30]), st.lists, max_leaves=5)


@given(SCHEMAS, VALUES)
@settings(max_examples=200, deadline=None)
def test_no_schema_makes_the_check_raise(schema: Any, value: Any) -> None:
    if isinstance(schema, dict):
        schema = {**schema, "$schema": "https://json-schema.org/draft/2020-12/schema"}
    check(json.dumps(value), ["json"], {"schema": schema})


HOSTILE = {
    "fences that never end": "```a\n" * 200_000,
    "fences of two kinds": "```a\n~~~b\n" * 100_000,
    "one line of backticks": "`" * 1_000_000,
    "one line of spaces": " " * 1_000_000 + "x",
    "lines of spaces in a fence": "```\n" + (" " * 99 + "\n") * 10_000,
    "braces": "{" * 1_000_000,
    "an info string": "```" + "{." * 500_000,
    "one long word as Python": fenced("x" * 1_000_000),
    "brackets as Python": fenced("(" * 1_000_000),
    "quotes as Python": fenced("'" * 1_000_000),
    "one long word as SQL": fenced("x" * 1_000_000, "sql"),
    "brackets as SQL": fenced("SELECT " + "(" * 100_000, "sql"),
    "comments as SQL": fenced("/*" * 50_000, "sql"),
    "CASE as SQL": fenced("SELECT " + "CASE WHEN " * 10_000, "sql"),
    "quotes as JSON": fenced('"' * 1_000_000, "json"),
    "objects as JSON": fenced('{"a":' * 200_000, "json"),
}


@pytest.mark.timeout(60)  # what is not linear takes hours on these
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_huge_text_of_any_kind_is_checked_in_linear_time(text: str) -> None:
    assert all(result["detail"] for result in check(text, list(VALIDATORS), {}))
