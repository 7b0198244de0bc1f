"""Checks of SQL: it parses in the dialect asked for, and its server has what it uses."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..routing.attempts import Check
from .blocks import blocks
from .sql_dialects import UNNAMED, Dialect, dialect_in, what_is_lacking

USUAL_DIALECTS = ("", "postgres", "mysql", "sqlite", "tsql")
"""Where no dialect is named, one of these will do."""

UNREAD_KINDS = frozenset(
    [
        *(
            "AGGREGATE",
            "CAST",
            "COLLATION",
            "DATABASE",
            "DEFAULT",
            "DOMAIN",
            "EVENT",
            "EXTENSION",
            "FUNCTION",
        ),
        *("LANGUAGE", "LOGIN", "OPERATOR", "PACKAGE", "POLICY", "PROCEDURE", "PUBLICATION", "ROLE", "RULE"),
        *(
            "SEQUENCE",
            "SERVER",
            "STATISTICS",
            "SUBSCRIPTION",
            "SYSTEM",
            "TABLESPACE",
            "TRIGGER",
            "TYPE",
            "USER",
        ),
    ]
)
"""What CREATE, ALTER and DROP may name although sqlglot does not read it."""
UNREAD_ACTIONS = frozenset(
    [
        *("ATTACH", "CLUSTER", "DETACH", "DISABLE", "ENABLE", "FORCE", "INHERIT", "NO", "OWNER", "REPLICA"),
        *("SET", "VALIDATE", "WITH"),
    ]
)
"""What ALTER TABLE may do although sqlglot does not read it."""
UNREAD_WORDS = frozenset(["SAVEPOINT", "LISTEN", "UNLISTEN", "NOTIFY", "DISCARD", "REINDEX"])
"""Statements of a word and a name that sqlglot takes for a name under another name."""
KIND = re.compile(
    r"\s*(?:(?:OR|REPLACE|ALTER|TEMP|TEMPORARY|CONSTRAINT|PUBLIC|GLOBAL)\s+|DEFINER\s*=\s*\S+\s+)*(\w+)"
)
ACTION = re.compile(r"\s*TABLE\s+(?:IF\s+EXISTS\s+)?(?:ONLY\s+)?\S+\s+(\w+)", re.IGNORECASE)
CLIENT_LINES = {
    "tsql": re.compile(r"^[ \t]*GO(?:[ \t]+\d+)?[ \t]*;?[ \t]*$", re.IGNORECASE | re.MULTILINE),
    "oracle": re.compile(r"^[ \t]*/[ \t]*$", re.MULTILINE),
    "postgres": re.compile(r"^\\[a-z!?].*$", re.MULTILINE),
    "sqlite": re.compile(r"^\.[a-z]+.*$", re.MULTILINE),
}
"""What a server's own client reads itself: commands, and what stands between batches."""
DELIMITER = re.compile(r"^[ \t]*DELIMITER[ \t]+(\S+)[ \t]*$", re.IGNORECASE | re.MULTILINE)
"""How MySQL's client is told what stands between statements."""


def sql_code(text: str, parameters: Mapping[str, Any]) -> list[Check]:
    """Check that every SQL block parses, in the dialect of the parameters, which must have what it uses.

    Where the parameters name none (`dialect`, `database`), the block's own dialect counts, or one of the usual ones.
    """
    asked = dialect_in(str(parameters.get("dialect") or ""))
    asked = asked if asked.name else dialect_in(str(parameters.get("database") or ""))
    found = [(block.text, dialect_in(block.language)) for block in blocks(text) if _is_sql(block.language)]
    return [_sql(source, asked if asked.name else own, n) for n, (source, own) in enumerate(found, 1)]


def _is_sql(language: str) -> bool:
    return language == "sql" or bool(dialect_in(language).name)


def _sql(source: str, dialect: Dialect, number: int) -> Check:
    faults = []
    for read in (dialect,) if dialect.name else (UNNAMED, *map(dialect_in, USUAL_DIALECTS[1:])):
        count, fault = _parsed(source, read)
        if fault is None:
            name = f"SQL block {number} parses" + (f" as {read.name}" if read.name else "")
            return Check(name=name, passed=True, detail=f"{count} statement(s)")
        faults.append(fault)
    name = f"SQL block {number} parses" + (f" as {dialect.name}" if dialect.name else "")
    return Check(name=name, passed=False, detail=faults[0])


def _parsed(source: str, dialect: Dialect) -> tuple[int, str | None]:
    """Return the number of statements, and what is wrong with them."""
    import sqlglot
    from sqlglot.errors import SqlglotError

    try:
        batches = list(_batches(source, dialect.name))
        # Without context: what is not read goes to sqlglot's log, where no word of an answer may stand.
        parsed = (sqlglot.parse(each, read=dialect.name, error_message_context=0) for each in batches)
        trees = [tree for every in parsed for tree in every if tree is not None]
        lacks = next((name for each in batches if (name := what_is_lacking(each, dialect))), None)
    except (SqlglotError, RecursionError) as error:
        return 0, str(error).partition("\n")[0]
    unclear = [tree.sql()[:60] for tree in trees if not _understood(tree)]
    if unclear:
        return len(trees), f"not understood: {unclear[0]}"
    if lacks:
        return len(trees), f"{dialect.server} has no {lacks}"
    return len(trees), None if trees else "empty"


def _batches(source: str, dialect: str) -> list[str]:
    """Return what a client of the dialect sends one after the other."""
    if dialect in CLIENT_LINES:
        return CLIENT_LINES[dialect].split(source)
    if dialect != "mysql" or not DELIMITER.search(source):
        return [source]
    first, *rest = DELIMITER.split(source)
    parts = zip(rest[::2], rest[1::2], strict=True)
    return [first, *(each for mark, part in parts for each in (part.split(mark) if mark != ";" else [part]))]


def _understood(statement: Any) -> bool:
    """Say whether sqlglot read a statement.

    It takes prose for an expression, and keeps what it cannot read as a bare command. Some commands it never
    reads (EXPLAIN, VACUUM, CALL …), and CREATE, ALTER and DROP of some kinds.
    """
    from sqlglot import exp

    if isinstance(statement, exp.Alias):
        return isinstance(statement.this, exp.Column) and statement.this.name.upper() in UNREAD_WORDS
    if not isinstance(statement, exp.Command):
        return not isinstance(statement, exp.Condition)
    said = str(statement.expression or "")
    if str(statement.this).upper() not in {"CREATE", "ALTER", "DROP"}:
        return True
    kind, action = KIND.match(said.upper()), ACTION.match(said)
    return (kind is not None and kind[1] in UNREAD_KINDS) or (
        action is not None and action[1].upper() in UNREAD_ACTIONS
    )
