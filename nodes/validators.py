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

from ..routing.records import Check

FENCE = re.compile(r"^[ \t]*(`{3,}|~{3,})[ \t]*([\w+#.-]*)[^\n]*\n(.*?)^[ \t]*\1[ \t]*$", re.DOTALL | re.MULTILINE)


class Block(NamedTuple):
    """A fenced block: its language in lower case (may be empty) and its text."""

    language: str
    text: str


Validator = Callable[[str, Mapping[str, Any]], list[Check]]


def blocks(text: str) -> list[Block]:
    """Return the fenced blocks of a Markdown text."""
    return [Block(match[2].lower(), match[3]) for match in FENCE.finditer(text)]


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
            warnings.simplefilter("ignore", SyntaxWarning)
            compile(ast.parse(source), "<answer>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return Check(name=name, passed=False, detail=f"{type(error).__name__}: {error}")
    return Check(name=name, passed=True, detail=f"{len(source.splitlines())} lines")


def sql_code(text: str, parameters: Mapping[str, Any]) -> list[Check]:
    """Check that every SQL block parses in the dialect that the parameters ask for."""
    dialect = str(parameters.get("dialect") or parameters.get("database") or "").lower()
    sources = [block.text for block in blocks(text) if block.language in {"sql", dialect}]
    return [_sql(source, dialect, number) for number, source in enumerate(sources, 1)]


def _sql(source: str, dialect: str, number: int) -> Check:
    import sqlglot
    from sqlglot.errors import SqlglotError

    known = {"postgresql": "postgres", "mssql": "tsql", "sqlserver": "tsql", "mariadb": "mysql"}
    dialect = known.get(dialect, dialect)
    read = dialect if dialect in sqlglot.Dialect.classes else None
    name = f"SQL block {number} parses" + (f" as {read}" if read else "")
    try:
        statements = [statement for statement in sqlglot.parse(source, read=read) if statement is not None]
    except (SqlglotError, RecursionError) as error:
        return Check(name=name, passed=False, detail=str(error).splitlines()[0])
    # What sqlglot does not understand it keeps as a bare command.
    unclear = [s.sql()[:60] for s in statements if isinstance(s, sqlglot.exp.Command)]
    if unclear or not statements:
        return Check(name=name, passed=False, detail=f"not understood: {unclear[0]}" if unclear else "empty")
    return Check(name=name, passed=True, detail=f"{len(statements)} statement(s)")


def json_text(text: str, parameters: Mapping[str, Any]) -> list[Check]:
    """Check JSON blocks; with a `schema` among the parameters, that the answer holds JSON which fits it."""
    schema = parameters.get("schema")
    sources = [block.text for block in blocks(text) if block.language in {"json", "jsonc"}]
    if schema is None:
        return [_parses(source, number)[0] for number, source in enumerate(sources, 1)]
    source = sources[0] if sources else text
    check, value = _parses(source, 1)
    return [check, _fits(value, schema)] if check["passed"] else [check]


def _parses(source: str, number: int) -> tuple[Check, Any]:
    name = f"JSON block {number} parses"
    try:
        value = json.loads(source)
    except (ValueError, RecursionError) as error:
        return Check(name=name, passed=False, detail=str(error)), None
    return Check(name=name, passed=True, detail=f"{len(source)} characters"), value


def _fits(value: Any, schema: object) -> Check:
    import jsonschema

    name = "JSON fits its schema"
    if not isinstance(schema, dict):
        return Check(name=name, passed=False, detail=f"the schema is {type(schema).__name__}, not an object")
    try:
        validator = jsonschema.Draft202012Validator(schema)
        validator.check_schema(schema)
        first = next(iter(validator.iter_errors(value)), None)
    except jsonschema.SchemaError as error:
        return Check(name=name, passed=False, detail=f"the schema itself is wrong: {error.message}")
    except RecursionError as error:
        return Check(name=name, passed=False, detail=str(error))
    return Check(name=name, passed=first is None, detail=f"{first.json_path}: {first.message}" if first else "fits")


def markdown(text: str, parameters: Mapping[str, Any]) -> list[Check]:
    """Check that every code fence of a Markdown text is closed."""
    open_fence = ""
    for line in text.splitlines():
        mark = re.match(r"\s*(`{3,}|~{3,})(.*)", line)
        if not mark:
            continue
        if not open_fence:
            open_fence = mark[1]
        elif mark[1].startswith(open_fence) and not mark[2].strip():
            open_fence = ""
    return [Check(name="Markdown fences are closed", passed=not open_fence, detail=open_fence or "all closed")]


VALIDATORS: dict[str, Validator] = {
    "python": python_code,
    "sql": sql_code,
    "json": json_text,
    "markdown": markdown,
}


def check(text: str, names: Iterable[str], parameters: Mapping[str, Any]) -> list[Check]:
    """Run the named checks on a text. A `schema` among the parameters asks for the JSON check by itself."""
    wanted = [*names, "json"] if "schema" in parameters and "json" not in names else list(names)
    return [result for name in wanted for result in VALIDATORS[name](text, parameters)]


def passes(checks: Iterable[Check]) -> int:
    """Return a comparable measure of how well checks went: failed ones weigh, passed ones do not count up.

    An answer with two good blocks is not better than one with a single good block, so only failures count.
    """
    return -sum(1 for result in checks if not result["passed"])
