"""Which dialect of SQL is asked for, and what a server of it lacks (data/sql_dialects.toml)."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..routing.errors import CatalogueError

if TYPE_CHECKING:
    from sqlglot import Token

BUILT_IN = Path(__file__).parent / "data" / "sql_dialects.toml"

DIALECTS = frozenset(
    [
        *(
            "athena",
            "bigquery",
            "clickhouse",
            "databricks",
            "doris",
            "duckdb",
            "exasol",
            "hive",
            "materialize",
        ),
        *("mysql", "oracle", "postgres", "presto", "redshift", "risingwave", "snowflake"),
        *("spark", "sqlite", "starrocks", "teradata", "trino", "tsql"),
    ]
)
"""Dialects of sqlglot that are a server's own."""
OTHER_NAMES = {
    "postgresql": "postgres",
    "plpgsql": "postgres",
    "pgsql": "postgres",
    "psql": "postgres",
    "mariadb": "mysql",
    "plsql": "oracle",
    "mssql": "tsql",
    "sqlserver": "tsql",
}


class Dialect(NamedTuple):
    """A dialect: its name in sqlglot, which reads it, and the server that it is for."""

    name: str
    server: str


UNNAMED = Dialect("", "")
LONGEST_NAME = 200
"""Characters of what names a dialect that are looked at."""


class Construct(BaseModel):
    """Something that servers lack although sqlglot reads it in their dialect."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(min_length=1)]
    pattern: re.Pattern[str]
    lacking: Annotated[tuple[str, ...], Field(min_length=1)]
    example: Annotated[str, Field(min_length=1)]
    source: Annotated[str, Field(min_length=1)]


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid")

    constructs: tuple[Construct, ...]


def load_constructs(path: Path) -> tuple[Construct, ...]:
    """Read a file of constructs.

    Raises:
        CatalogueError: every fault of the file, as `file: key: what is wrong`.
    """
    try:
        return _Document.model_validate(tomllib.loads(path.read_text("utf-8"))).constructs
    except tomllib.TOMLDecodeError as error:
        raise CatalogueError([f"{path.name}: not TOML: {error}"]) from None
    except ValidationError as error:
        faults = ((".".join(map(str, fault["loc"])), fault) for fault in error.errors())
        raise CatalogueError(
            [f"{path.name}: {key}: {fault['msg']} (got {fault['input']!r})" for key, fault in faults]
        ) from None


@cache
def built_in_constructs() -> tuple[Construct, ...]:
    """Return the constructs that come with the package."""
    return load_constructs(BUILT_IN)


def dialect_in(words: str) -> Dialect:
    """Return the first dialect that is named ("PostgreSQL 16", "Microsoft SQL Server", "T-SQL"); else `UNNAMED`."""
    named = re.findall(r"[a-z]+", words[:LONGEST_NAME].lower())
    pairs = pairwise([*named, ""])
    return next((found for pair in pairs if (found := _known(pair[0]) or _known("".join(pair)))), UNNAMED)


def _known(word: str) -> Dialect | None:
    name = OTHER_NAMES.get(word, word)
    server = word if word == "mariadb" else name
    return Dialect(name, server) if name in DIALECTS else None


def what_is_lacking(source: str, dialect: Dialect) -> str | None:
    """Return what a text of SQL has that the server of its dialect lacks, or None.

    Raises:
        TokenError: it cannot be read at all.
    """
    constructs = [each for each in built_in_constructs() if dialect.server in each.lacking]
    if not constructs:
        return None
    for statement in _statements(source, dialect.name):
        for construct in constructs:
            if found := construct.pattern.search(statement):
                return construct.name.format(**found.groupdict())
    return None


def _statements(source: str, dialect: str) -> Iterator[str]:
    """Yield the statements as the patterns read them."""
    from sqlglot import TokenType, tokenize

    words: list[str] = []
    for token in tokenize(source, read=dialect):
        if token.token_type is TokenType.SEMICOLON:
            yield " ".join(words)
            words = []
        else:
            words.append(_word(token))
    yield " ".join(words)


def _word(token: Token) -> str:
    kind = token.token_type.name
    if kind.endswith("STRING"):
        return "text"
    if kind == "IDENTIFIER":
        return "name"
    return "0" if kind == "NUMBER" else token.text.upper()
