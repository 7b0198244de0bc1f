"""Deterministic checks on a result: one function a check. They err less than a small model's verdict.

To add one, write a function from text and parameters to `Check`s and name it in `VALIDATORS`; an agent's
profile says by `checks` which ones its results must pass. A check that finds nothing to look at says nothing.
No code of a model is ever run.
"""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from ..routing.attempts import Check

FENCE = re.compile(r"([ \t]*)(`{3,}|~{3,})[ \t]*(.*)")
LANGUAGE = re.compile(r"\{?\.?([\w+#-]*)")
DIALECTS = frozenset(
    [
        *("bigquery", "clickhouse", "databricks", "duckdb", "hive", "mysql", "oracle", "postgres", "presto"),
        *("redshift", "snowflake", "spark", "sqlite", "trino", "tsql"),
    ]
)
OTHER_NAMES = {
    "postgresql": "postgres",
    "plpgsql": "postgres",
    "mariadb": "mysql",
    "plsql": "oracle",
    "mssql": "tsql",
    "sqlserver": "tsql",
}
USUAL_DIALECTS = ("", "postgres", "mysql", "sqlite", "tsql")
UNREAD_KINDS = frozenset(["EXTENSION", "ROLE", "USER", "POLICY", "DOMAIN", "RULE", "EVENT", "PUBLICATION"])
"""What CREATE, ALTER and DROP may name although sqlglot does not read it."""
JSON_TYPES = ("object", "array", "string", "number", "integer", "boolean", "null")


class Block(NamedTuple):
    """A fenced block: its language in lower case (may be empty), its text, and whether its fence is closed."""

    language: str
    text: str
    closed: bool = True


Validator = Callable[[str, Mapping[str, Any]], list[Check]]


def blocks(text: str) -> list[Block]:
    """Return the fenced blocks of a Markdown text. As in CommonMark, an unclosed one runs to the text's end."""
    found: list[Block] = []
    mark, indent, language, lines = "", 0, "", list[str]()
    for line in (line.removesuffix("\r") for line in text.split("\n")):
        fence = FENCE.match(line)
        if mark and fence and fence[2].startswith(mark) and not fence[3].strip():
            found.append(Block(language, "\n".join(lines), closed=True))
            mark = ""
        elif mark:
            lines.append(_dedented(line, indent))
        elif fence and not (fence[2][0] == "`" and "`" in fence[3]):
            mark, indent, lines = fence[2], len(fence[1]), []
            named = LANGUAGE.match(fence[3])
            language = named[1].lower() if named else ""
    return [*found, Block(language, "\n".join(lines), closed=False)] if mark else found


def _dedented(line: str, indent: int) -> str:
    """Take from a line in a block what the block's fence is indented by."""
    return line[min(indent, len(line) - len(line.lstrip(" \t"))) :]


def python_code(text: str, parameters: Mapping[str, Any]) -> list[Check]:
    """Check that every Python block parses and compiles; a text without any fence is taken as code as a whole."""
    fenced = blocks(text)
    sources = [block.text for block in fenced if block.language in {"python", "py", "python3"}]
    if not fenced and str(parameters.get("language", "")).lower() == "python":
        sources = [text]
    return [_python(source, number) for number, source in enumerate(sources, 1)]


def _python(source: str, number: int) -> Check:
    name = f"Python block {number} compiles"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(ast.parse(source), "<answer>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return Check(name=name, passed=False, detail=f"{type(error).__name__}: {error}")
    return Check(name=name, passed=True, detail=f"{len(source.splitlines())} lines")


def sql_code(text: str, parameters: Mapping[str, Any]) -> list[Check]:
    """Check that every SQL block parses: in the dialect of the parameters, else in one of the usual ones."""
    asked = _dialect(str(parameters.get("dialect") or parameters.get("database") or ""))
    found = [block for block in blocks(text) if block.language == "sql" or _dialect(block.language)]
    return [_sql(block.text, asked or _dialect(block.language), n) for n, block in enumerate(found, 1)]


def _dialect(word: str) -> str:
    """Return sqlglot's name of a dialect ("PostgreSQL 16"), or "" where the word names none."""
    named = re.match(r"[a-z]*", word.lower())
    name = named[0] if named else ""
    name = OTHER_NAMES.get(name, name)
    return name if name in DIALECTS else ""


def _sql(source: str, dialect: str, number: int) -> Check:
    faults = []
    for read in (dialect,) if dialect else USUAL_DIALECTS:
        count, fault = _parsed_sql(source, read)
        if fault is None:
            name = f"SQL block {number} parses" + (f" as {read}" if read else "")
            return Check(name=name, passed=True, detail=f"{count} statement(s)")
        faults.append(fault)
    name = f"SQL block {number} parses" + (f" as {dialect}" if dialect else "")
    return Check(name=name, passed=False, detail=faults[0])


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _parsed_sql(source: str, dialect: str) -> tuple[int, str | None]:
    """Return the number of statements, and what is wrong with them."""
    import sqlglot
    from sqlglot.errors import SqlglotError

    try:
        statements = [each for each in sqlglot.parse(source, read=dialect) if each is not None]
    except (SqlglotError, RecursionError) as error:
        return 0, _first_line(error)
    unclear = [s.sql()[:60] for s in statements if not _understood(s)]
    return len(statements), f"not understood: {unclear[0]}" if unclear else None if statements else "empty"


def _understood(statement: Any) -> bool:
    """Say whether sqlglot read a statement.

    It takes prose for an expression, and keeps what it cannot read as a bare command. Some commands it never
    reads (EXPLAIN, VACUUM, CALL …), and CREATE, ALTER and DROP of some kinds.
    """
    from sqlglot import exp

    if not isinstance(statement, exp.Command):
        return not isinstance(statement, exp.Condition | exp.Alias)
    kind = re.match(r"\s*(\w*)", str(statement.expression or ""))
    return str(statement.this).upper() not in {"CREATE", "ALTER", "DROP"} or (
        kind is not None and kind[1].upper() in UNREAD_KINDS
    )


def json_text(text: str, parameters: Mapping[str, Any]) -> list[Check]:
    """Check JSON blocks; with a JSON Schema as `schema` among the parameters, that the answer fits it."""
    fenced = blocks(text)
    sources = [block.text for block in fenced if block.language == "json"]
    if not asks_for_json(parameters):
        return [_parses(source, number)[0] for number, source in enumerate(sources, 1)]
    sources += [block.text for block in fenced if not block.language]
    check, value = _parses(sources[0] if sources else text, 1)
    return [check, _fits(value, parameters["schema"])] if check["passed"] else [check]


def asks_for_json(parameters: Mapping[str, Any]) -> bool:
    """Say whether `schema` among the parameters is a JSON Schema: it may well be that of a database."""
    schema = parameters.get("schema")
    return isinstance(schema, dict) and (
        "$schema" in schema or isinstance(schema.get("properties"), dict) or schema.get("type") in JSON_TYPES
    )


def _parses(source: str, number: int) -> tuple[Check, Any]:
    name = f"JSON block {number} parses"
    try:
        value = json.loads(source, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        return Check(name=name, passed=False, detail=str(error)), None
    return Check(name=name, passed=True, detail=f"{len(source)} characters"), value


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def schema_fault(parameters: Mapping[str, Any]) -> str | None:
    """Return what is wrong with the JSON Schema among the parameters; None where it is sound or none is there."""
    if not asks_for_json(parameters):
        return None
    check = _fits(None, parameters["schema"])
    return check["detail"] if check["detail"].startswith(WRONG_SCHEMA) else None


def _fits(value: Any, schema: dict[str, Any]) -> Check:
    from jsonschema import Draft202012Validator, SchemaError
    from jsonschema.validators import validator_for
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    name = "JSON fits its schema"
    try:
        named = isinstance(schema.get("$schema"), str)
        draft = validator_for(schema, default=Draft202012Validator) if named else Draft202012Validator
        draft.check_schema(schema)
        # An empty registry: a reference to another document is never fetched.
        first = next(iter(draft(schema, registry=Registry()).iter_errors(value)), None)
    except (SchemaError, re.error, Unresolvable) as error:
        return Check(name=name, passed=False, detail=f"{WRONG_SCHEMA}: {_first_line(error)}")
    except (RecursionError, ArithmeticError) as error:
        return Check(name=name, passed=False, detail=f"{type(error).__name__}: {error}")
    detail = f"{first.json_path}: {first.message}" if first else "fits"
    return Check(name=name, passed=first is None, detail=detail)


def markdown(text: str, parameters: Mapping[str, Any]) -> list[Check]:
    """Check that every code fence of a Markdown text is closed."""
    unclosed = [block for block in blocks(text) if not block.closed]
    detail = f"the last block ({unclosed[0].language or 'no language'}) is open" if unclosed else "all closed"
    return [Check(name="Markdown fences are closed", passed=not unclosed, detail=detail)]


WRONG_SCHEMA = "the schema itself is wrong"

VALIDATORS: dict[str, Validator] = {
    "python": python_code,
    "sql": sql_code,
    "json": json_text,
    "markdown": markdown,
}


def check(text: str, names: Iterable[str], parameters: Mapping[str, Any]) -> list[Check]:
    """Run the named checks on a text. A JSON Schema among the parameters asks for the JSON check by itself."""
    wanted = list(names)
    if asks_for_json(parameters) and "json" not in wanted:
        wanted.append("json")
    return [result for name in wanted for result in VALIDATORS[name](text, parameters)]


def passes(checks: Iterable[Check]) -> int:
    """Return a comparable measure of how well checks went: failed ones weigh, passed ones do not count up.

    An answer with two good blocks is not better than one with a single good block, so only failures count.
    """
    return -sum(1 for result in checks if not result["passed"])
