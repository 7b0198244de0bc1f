"""PostgreSQL as YMERA uses it: one URL, a schema of its own, and tables that all processes share."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from math import ceil
from threading import Lock
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, unquote, urlsplit
from weakref import finalize

from pydantic import SecretStr

from .database import DatabaseError, Rows, statements

if TYPE_CHECKING:
    import psycopg

SCHEMA = "ymera"
"""The schema that holds all tables: `DROP SCHEMA ymera CASCADE` forgets everything."""
PLACE = "the PostgreSQL database of YMERA_DATABASE_URL"
CURE = "See that it runs and that YMERA_DATABASE_URL names it"
NOT_INSTALLED = "its packages are not installed: pip install 'ymera[postgres]'"
_MADE = re.compile(r"CREATE (?:TABLE|INDEX) IF NOT EXISTS (\w+)")
CONNECT_SECONDS = 10
"""How long a server may take to answer at all."""


def lock_of(name: str) -> int:
    """Return the number of the advisory lock of a store (PostgreSQL names them by 64 bits)."""
    return int.from_bytes(sha256(f"{SCHEMA}.{name}".encode()).digest()[:8], "big", signed=True)


def conninfo(url: SecretStr) -> str:
    """Return what a connection is made from: the URL, with our schema and the limits of patience with the network.

    Raises:
        DatabaseError: psycopg is not installed, or the URL is none.
    """
    try:
        from psycopg import Error
        from psycopg.conninfo import conninfo_to_dict, make_conninfo
    except ImportError as error:
        raise DatabaseError(NOT_INSTALLED) from error
    ours: dict[str, Any] = {
        "application_name": "ymera",
        "connect_timeout": CONNECT_SECONDS,
        "keepalives_idle": 30,
        "tcp_user_timeout": 30_000,
    }
    try:
        theirs = conninfo_to_dict(url.get_secret_value())
        options = f"{theirs.get('options') or ''} -c search_path={SCHEMA}".strip()
        return make_conninfo(**(ours | theirs | {"options": options}))
    except Error as error:
        raise DatabaseError(why(error, url)) from None


def why(error: Exception, url: SecretStr) -> str:
    """Return what an error says, in one line and without anything of the URL that could be its password."""
    text = " ".join(str(error).split()) or type(error).__name__
    for secret in sorted(_secrets(url.get_secret_value()), key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


def _secrets(url: str) -> set[str]:
    """Return the password as it stands, as it is meant, and in pieces: a bad one is torn where it breaks the URL."""
    parts: SplitResult = urlsplit(url)
    # What stands between the first colon of the credentials and the last @ of the whole.
    found = re.match(r"[^:]*://[^:@/]*:(.*)@", url, re.DOTALL)
    query = re.findall(r"password=([^&]*)", parts.query)
    whole = {*query, *([found[1]] if found else [])}
    pieces = {piece for each in whole for piece in re.split(r"[@/?#:%\[\]]", each)}
    return {text for each in whole | pieces for text in (each, unquote(each)) if len(text) > 1}


class PostgresDatabase:
    """Tables of a PostgreSQL database. Its connection stays open, and is opened anew once it is lost.

    Args:
        url: `postgresql://…`.
        name: of the store; its transactions come one after the other, over all processes, as in a SQLite file.
        schema: as for `open_database`.
        patience: seconds to wait for the lock.
    """

    def __init__(self, url: SecretStr, name: str, schema: str, *, patience: float) -> None:
        self.place, self.cure = PLACE, CURE
        self._link, self._lock = _Link(url, name, schema, patience), Lock()
        finalize(self, self._link.close)

    @contextmanager
    def transaction(self) -> Iterator[Rows]:
        """As `Database` has it."""
        with self._lock, self._link.begun(locks=True) as rows:
            yield rows

    @contextmanager
    def reading(self) -> Iterator[Rows]:
        """As `Database` has it."""
        with self._lock, self._link.begun(locks=False) as rows:
            yield rows

    def write(self, sql: str, parameters: Sequence[object] = ()) -> None:
        """As `Database` has it."""
        with self._lock:
            self._link.write(sql, parameters)

    def stamp(self) -> object | None:
        """As `Database` has it. To ask whether anything changed would cost as much as reading it."""
        return object()

    def close(self) -> None:
        """As `Database` has it."""
        with self._lock:
            self._link.close()


class _Link:
    """A connection, used by one thread at a time. It commits each statement by itself, unless one began more."""

    def __init__(self, url: SecretStr, name: str, schema: str, patience: float) -> None:
        self._url, self._name, self._schema = url, name, schema
        self._milliseconds = ceil(patience * 1000)
        self._connection: psycopg.Connection[Any] | None = None

    @contextmanager
    def begun(self, *, locks: bool) -> Iterator[Rows]:
        with self._told():
            rows = self._first(self._beginning(locks=locks))
            yield rows
            rows.execute("COMMIT")

    def write(self, sql: str, parameters: Sequence[object]) -> None:
        with self._told():
            self._first(sql, parameters)

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Raise what PostgreSQL complains of as a DatabaseError; whatever happens, begin anew with the next use."""
        try:
            from psycopg import Error
        except ImportError as error:
            raise DatabaseError(NOT_INSTALLED) from error
        try:
            yield
        except Error as error:
            self.close()
            raise DatabaseError(why(error, self._url)) from None
        except BaseException:
            self.close()
            raise

    def _first(self, sql: str, parameters: Sequence[object] = ()) -> _PostgresRows:
        """Run a first statement; on a new connection where the one at hand was lost since."""
        from psycopg import OperationalError

        if (kept := self._connection) is not None:
            try:
                return self._ran(kept, sql, parameters)
            except OperationalError:
                if not kept.broken:
                    raise
                self.close()
        self._connection = self._connect()
        return self._ran(self._connection, sql, parameters)

    def _ran(
        self, connection: psycopg.Connection[Any], sql: str, parameters: Sequence[object]
    ) -> _PostgresRows:
        rows = _PostgresRows(connection)
        rows.execute(sql, parameters)
        return rows

    def _beginning(self, *, locks: bool) -> str:
        if not locks:
            return "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY"
        return f"BEGIN ISOLATION LEVEL READ COMMITTED; SELECT pg_advisory_xact_lock({lock_of(self._name)})"

    def _connect(self) -> psycopg.Connection[Any]:
        import psycopg

        connection = psycopg.connect(conninfo(self._url), autocommit=True)
        wait = self._milliseconds
        try:
            connection.execute(
                f"SET lock_timeout = {wait}; SET statement_timeout = {wait + 1000 * CONNECT_SECONDS}".encode()
            )
            with connection.transaction():
                self._make(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _make(self, connection: psycopg.Connection[Any]) -> None:
        """Make what is missing; even `IF NOT EXISTS` would wait here for whoever writes into what is there."""
        made = {statement: _MADE.findall(statement)[0] for statement in statements(self._schema)}
        missing = [statement for statement, name in made.items() if not _is_there(connection, name)]
        if not missing:
            return
        # Two that make the same at once fail, `IF NOT EXISTS` or not.
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (lock_of(""),))
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
        for statement in missing:
            connection.execute(statement.encode())


def _is_there(connection: psycopg.Connection[Any], name: str) -> bool:
    found = connection.execute("SELECT to_regclass(%s) IS NOT NULL", (f"{SCHEMA}.{name}",)).fetchone()
    return bool(found and found[0])


class _PostgresRows:
    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    def execute(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        # Without parameters nothing is a placeholder, and several statements may stand in one.
        text = sql.replace("%", "%%").replace("?", "%s") if parameters else sql
        cursor = self._connection.execute(text.encode(), tuple(parameters) or None)
        return cursor.fetchall() if cursor.description else []
