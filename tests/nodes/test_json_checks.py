"""JSON must parse, and fit the schema of the parameters."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.nodes.checked import details, fenced, verdicts
from ymera.nodes.json_checks import asks_for_json
from ymera.nodes.validators import check

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name"],
}
GOOD, BAD = '{"name": "Ann", "age": 7}', '{"age": "seven"}'


@pytest.mark.parametrize(
    ("text", "passed"),
    [
        pytest.param(GOOD, [True, True], id="the whole answer"),
        pytest.param(fenced(GOOD, "json"), [True, True], id="in a block"),
        pytest.param(fenced(GOOD, ""), [True, True], id="in a block without a language"),
        pytest.param("```\nnotes\n```\n" + fenced(GOOD, "json"), [True, True], id="a JSON block goes first"),
        pytest.param(BAD, [True, False], id="it does not fit"),
        pytest.param("[]", [True, False], id="not an object"),
        pytest.param("Ann is seven.", [False], id="prose"),
        pytest.param("", [False], id="nothing"),
        pytest.param('{"name": "Ann",}', [False], id="a comma too many"),
        pytest.param('{"name": "Ann", "age": NaN}', [False], id="NaN is not JSON"),
        pytest.param("[" * 100_000, [False], id="nested without end"),
        pytest.param('{"name": ' + "9" * 100_000 + "}", [False], id="a number without end"),
        pytest.param(json.dumps({"name": "x" * 1_000_000}), [True, True], id="huge"),
    ],
)
def test_an_answer_must_be_json_that_fits_the_schema(text: str, passed: list[bool]) -> None:
    assert verdicts(text, parameters={"schema": PERSON}) == passed


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        pytest.param(
            {"type": "object", "properties": []}, "the schema itself is wrong", id="properties as a list"
        ),
        pytest.param(
            {"type": "objekt", "properties": {}}, "the schema itself is wrong", id="an unknown type"
        ),
        pytest.param(
            {"type": "object", "properties": {"name": {"pattern": "("}}},
            "the schema itself is wrong",
            id="a wrong pattern",
        ),
        pytest.param(
            {"type": "object", "$ref": "http://127.0.0.1:9/schema.json"},
            "the schema itself is wrong",
            id="elsewhere",
        ),
        pytest.param(
            {"type": "object", "$ref": "file:///etc/hostname"},
            "the schema itself is wrong",
            id="a local file",
        ),
        pytest.param(
            {"type": "object", "$ref": "#/nowhere"},
            "the schema itself is wrong",
            id="a name that is not there",
        ),
        pytest.param({"type": "object", "$ref": "#"}, "RecursionError", id="a schema that is itself"),
        pytest.param(
            {"$schema": 7, "type": "object"}, "the schema itself is wrong", id="a draft that is a number"
        ),
        pytest.param(
            {"$schema": ["x"], "type": "object"}, "the schema itself is wrong", id="a draft that is a list"
        ),
    ],
)
def test_a_wrong_schema_is_a_failed_check_and_is_never_fetched(schema: dict[str, Any], words: str) -> None:
    results = check(GOOD, [], {"schema": schema})
    assert [result["passed"] for result in results] == [True, False]
    assert words in results[1]["detail"]
    assert "\n" not in results[1]["detail"]


def test_a_fault_says_where_it_is() -> None:
    assert details("{}", parameters={"schema": PERSON}).endswith("$: 'name' is a required property")
    assert "$.age: 'seven' is not of type 'integer'" in details(
        '{"name": "Ann", "age": "seven"}', parameters={"schema": PERSON}
    )


def test_a_schema_is_read_as_the_draft_that_it_names() -> None:
    old = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "array",
        "items": [{"type": "string"}],
    }
    assert verdicts('["a"]', parameters={"schema": old}) == [True, True]
    assert verdicts("[1]", parameters={"schema": old}) == [True, False]


@pytest.mark.parametrize(
    "schema",
    [
        pytest.param("users(id, name)", id="a text"),
        pytest.param({"users": ["id", "name"]}, id="tables"),
        pytest.param({"type": "sqlite", "tables": ["users"]}, id="tables of a kind of database"),
        pytest.param({"items": {"id": "int"}, "properties": ["id"]}, id="tables with telling names"),
        pytest.param(None, id="nothing"),
        pytest.param(True, id="a boolean"),
    ],
)
def test_the_schema_of_a_database_asks_for_no_json(schema: object) -> None:
    assert not asks_for_json({"schema": schema})
    assert verdicts(fenced("SELECT 1", "sql"), "sql", parameters={"schema": schema}) == [True]


def test_without_a_schema_every_json_block_must_parse() -> None:
    assert verdicts(f"```json\n{GOOD}\n```\n```json\n{{\n```", "json") == [True, False]
    assert verdicts("Just prose.", "json") == []
