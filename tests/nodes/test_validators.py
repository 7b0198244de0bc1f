"""The deterministic checks: what they see, what they let pass, and that no text makes them raise or hang."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ymera.nodes.validators import VALIDATORS, Block, asks_for_json, blocks, check, passes
from ymera.routing.catalogue import builtin_catalogue


def fenced(code: str, language: str = "python") -> str:
    return f"Here it is:\n\n```{language}\n{code}\n```\n\nIt works."


def verdicts(text: str, *names: str, parameters: dict[str, Any] | None = None) -> list[bool]:
    return [result["passed"] for result in check(text, names, parameters or {})]


def details(text: str, *names: str, parameters: dict[str, Any] | None = None) -> str:
    return "; ".join(result["detail"] for result in check(text, names, parameters or {}))


# --- blocks ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found"),
    [
        pytest.param("no fence at all", [], id="no fence"),
        pytest.param("```python\nx = 1\n```", [Block("python", "x = 1")], id="one block"),
        pytest.param("```\nx\n```", [Block("", "x")], id="without a language"),
        pytest.param("```\n```", [Block("", "")], id="empty"),
        pytest.param(
            "```Python title=a.py\nx\n```", [Block("python", "x")], id="an info string after the language"
        ),
        pytest.param("```{python}\nx\n```", [Block("python", "x")], id="R Markdown's braces"),
        pytest.param("```{.python .numberLines}\nx\n```", [Block("python", "x")], id="Pandoc's attributes"),
        pytest.param("~~~sql\nx\n~~~", [Block("sql", "x")], id="tildes"),
        pytest.param("```a\n1\n```\ntext\n```b\n2\n```", [Block("a", "1"), Block("b", "2")], id="several"),
        pytest.param("```python\r\nx = 1\r\ny = 2\r\n```\r\n", [Block("python", "x = 1\ny = 2")], id="CRLF"),
        pytest.param(
            "````md\n```python\nx\n```\n````",
            [Block("md", "```python\nx\n```")],
            id="a fence in a longer one",
        ),
        pytest.param(
            "~~~md\n```python\nx\n```\n~~~", [Block("md", "```python\nx\n```")], id="a fence in tildes"
        ),
        pytest.param("```python\nx\n`````", [Block("python", "x")], id="closed by a longer fence"),
        pytest.param("````\nx\n```\ny\n````", [Block("", "x\n```\ny")], id="a shorter fence closes nothing"),
        pytest.param("```\nx\n~~~\n```", [Block("", "x\n~~~")], id="another mark closes nothing"),
        pytest.param("```python\nx = 1", [Block("python", "x = 1", closed=False)], id="never closed"),
        pytest.param(
            "```python\nx\n``` # done",
            [Block("python", "x\n``` # done", closed=False)],
            id="words after the end",
        ),
        pytest.param("use ```x``` here", [], id="a fence within a line"),
        pytest.param("```x``` and more\ntext", [], id="an inline span at a line's start"),
        pytest.param(
            "1. So:\n   ```python\n   def f():\n       return 1\n   ```",
            [Block("python", "def f():\n    return 1")],
            id="indented in a list",
        ),
        pytest.param(
            "  ```python\nx = 1\n  ```", [Block("python", "x = 1")], id="content less indented than its fence"
        ),
        pytest.param(
            "```python\n  x\n  ```", [Block("python", "  x")], id="the end more indented than the beginning"
        ),
    ],
)
def test_fenced_blocks_are_found_as_commonmark_says(text: str, found: list[Block]) -> None:
    assert blocks(text) == found


# --- Python ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "passed"),
    [
        pytest.param("def f(x):\n    return x + 1", True, id="a function"),
        pytest.param("", True, id="nothing"),
        pytest.param("import a_module_that_nobody_has", True, id="a module that is not there"),
        pytest.param('PATTERN = "\\d+"', True, id="a doubtful escape is no error"),
        pytest.param("assert (1, 'always true')", True, id="a doubtful assertion is no error"),
        pytest.param("def f(:\n    pass", False, id="a syntax error"),
        pytest.param("return 1", False, id="a return outside a function"),
        pytest.param("x = 1\n  y = 2", False, id="wrong indentation"),
        pytest.param("x = 1\0", False, id="a null byte"),
        pytest.param("x = '\ud800'", False, id="half a letter"),
        pytest.param("(" * 100_000, False, id="open brackets without end"),
        pytest.param("(" * 90 + ")" * 90, True, id="brackets nested deep but well"),
        pytest.param("x = " + "-" * 100_000 + "1", False, id="signs without end"),
        pytest.param("x = " + "1 + " * 100_000 + "1", False, id="a sum without end"),
        pytest.param("x" + ".y" * 100_000, False, id="attributes without end"),
        pytest.param("\n".join(" " * n + "if x:" for n in range(200)), False, id="nested blocks without end"),
        pytest.param("x = " + "9" * 100_000, False, id="a number without end"),
        pytest.param("x = 9 ** 9 ** 9 ** 9", True, id="a power that nobody computes"),
        pytest.param("x = 'a' * 10 ** 10", True, id="a text that nobody builds"),
    ],
)
def test_python_is_parsed_and_compiled(code: str, passed: bool) -> None:
    assert verdicts(fenced(code), "python") == [passed]


def test_code_that_would_do_harm_is_never_run(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    code = f"open({str(trace)!r}, 'w').write('x')\nraise SystemExit\nwhile True: pass"
    assert verdicts(fenced(code), "python") == [True]
    assert not trace.exists()


@pytest.mark.parametrize(
    ("text", "parameters", "passed"),
    [
        pytest.param("x = 1", {"language": "Python"}, [True], id="bare code where Python is asked for"),
        pytest.param("x = = 1", {"language": "python"}, [False], id="bare code that is wrong"),
        pytest.param("Nothing but prose.", {}, [], id="prose where nothing says that it is code"),
        pytest.param("package main", {"language": "go"}, [], id="another language"),
        pytest.param(
            "```go\npackage main\n```", {"language": "python"}, [], id="a block of another language"
        ),
        pytest.param("```py\nx=1\n```\n```python3\ny=\n```", {}, [True, False], id="each block is checked"),
        pytest.param(
            "```python\ndef f():\n    return 1", {}, [True], id="a block that is not closed is checked too"
        ),
        pytest.param("```python\r\nx = (\r\n```\r\n", {}, [False], id="CRLF hides nothing"),
        pytest.param("1. So:\n   ```python\n   x = 1\n   ```", {}, [True], id="an indented block"),
    ],
)
def test_what_is_taken_as_python(text: str, parameters: dict[str, Any], passed: list[bool]) -> None:
    assert verdicts(text, "python", parameters=parameters) == passed


def test_a_syntax_error_says_which_block_and_why() -> None:
    [first, second] = check("```py\nx = 1\n```\n```py\nx = = 1\n```", ["python"], {})
    assert (first["name"], first["detail"]) == ("Python block 1 compiles", "1 lines")
    assert second["name"] == "Python block 2 compiles"
    assert second["detail"].startswith("SyntaxError: invalid syntax")


# --- SQL ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "passed"),
    [
        pytest.param("SELECT id, name FROM users WHERE id = ?", True, id="a query"),
        pytest.param("WITH a AS (SELECT 1) SELECT * FROM a", True, id="a common table expression"),
        pytest.param(
            "CREATE TABLE a (id INT PRIMARY KEY); INSERT INTO a VALUES (1);", True, id="two statements"
        ),
        pytest.param("BEGIN; UPDATE a SET b = 1; COMMIT;", True, id="a transaction"),
        pytest.param("-- only a comment", False, id="only a comment"),
        pytest.param("", False, id="nothing"),
        pytest.param("SELECT * FORM users", False, id="a misspelt word"),
        pytest.param("SELECT (1", False, id="an open bracket"),
        pytest.param("SELECT 'a", False, id="an open quote"),
        pytest.param("Here is the query", False, id="prose"),
        pytest.param("users", False, id="a name alone"),
        pytest.param("CREATE TABEL a (id INT)", False, id="CREATE of something that there is not"),
        pytest.param(
            "ALTER TABLE a ADD COLUM b INT", False, id="ALTER that says something that there is not"
        ),
        pytest.param("EXPLAIN SELECT 1", True, id="EXPLAIN"),
        pytest.param("VACUUM", True, id="VACUUM"),
        pytest.param("CREATE EXTENSION pgcrypto", True, id="an extension"),
        pytest.param("SELECT * FROM a WHERE b = :x AND c = $1", True, id="named and numbered parameters"),
        pytest.param("SELECT * FROM a WHERE b = %s", True, id="a parameter as psycopg writes it"),
        pytest.param("SELECT TOP 10 * FROM a", True, id="SQL Server's own"),
        pytest.param("PRAGMA foreign_keys = ON", True, id="SQLite's own"),
        pytest.param("SELECT `a` FROM `b` LIMIT 1, 2", True, id="MySQL's own"),
        pytest.param("SELECT a::int FROM b WHERE c ILIKE 'x'", True, id="PostgreSQL's own"),
        pytest.param("SELECT " + "(" * 5_000 + "1" + ")" * 5_000, False, id="brackets without end"),
    ],
)
def test_sql_is_parsed(code: str, passed: bool) -> None:
    assert verdicts(fenced(code, "sql"), "sql") == [passed]


@pytest.mark.parametrize(
    ("parameters", "language", "code", "name", "passed"),
    [
        pytest.param(
            {"dialect": "tsql"}, "sql", "SELECT TOP 10 * FROM a", "as tsql", True, id="asked for and met"
        ),
        pytest.param(
            {"dialect": "postgres"}, "sql", "SELECT TOP 10 * FROM a", "as postgres", False, id="not met"
        ),
        pytest.param(
            {"database": "PostgreSQL 16"}, "sql", "SELECT a::int", "as postgres", True, id="with its version"
        ),
        pytest.param({"database": "MariaDB"}, "sql", "SELECT `a`", "as mysql", True, id="by another name"),
        pytest.param({"database": "shop"}, "sql", "SELECT 1", "parses", True, id="the name of a database"),
        pytest.param({"dialect": 7}, "sql", "SELECT 1", "parses", True, id="a number for a dialect"),
        pytest.param(
            {}, "postgresql", "SELECT a::int", "as postgres", True, id="the block names its dialect"
        ),
        pytest.param({}, "sqlite", "PRAGMA foreign_keys = ON", "as sqlite", True, id="so does this one"),
    ],
)
def test_the_dialect_comes_from_the_parameters_else_from_the_block(
    parameters: dict[str, Any], language: str, code: str, name: str, passed: bool
) -> None:
    [result] = check(fenced(code, language), ["sql"], parameters)
    assert result["passed"] is passed
    assert result["name"].endswith(name)


def test_a_block_without_a_language_is_not_taken_as_sql() -> None:
    assert check("```\nid | name\n---+-----\n 1 | Ann\n```", ["sql"], {}) == []


# --- JSON --------------------------------------------------------------------------------------------------

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


# --- Markdown, and all of them -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "passed"),
    [
        pytest.param("# Title\n\nWords.", True, id="no fence"),
        pytest.param("```\nx\n```", True, id="closed"),
        pytest.param("```\nx", False, id="open"),
        pytest.param("```\nx\n```\n```python\ny", False, id="the last one is open"),
        pytest.param("````\n```\n````", True, id="a fence in a fence"),
        pytest.param("```\nx\n```\r\n", True, id="CRLF"),
        pytest.param("Use ```x``` inline.", True, id="inline"),
        pytest.param("", True, id="nothing"),
    ],
)
def test_markdown_fences_must_be_closed(text: str, passed: bool) -> None:
    assert verdicts(text, "markdown") == [passed]


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
