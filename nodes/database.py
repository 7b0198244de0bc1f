"""Small tables that all processes share: a SQLite file each, or tables of one PostgreSQL database."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import count
from pathlib import Path
from threading import Lock
from typing import Any, Protocol
from weakref import finalize

from pydantic import SecretStr

from .settings import Settings
from .wal import use_wal


class DatabaseError(Exception):
    """A database cannot be used: the message says why, in one line without a password."""


class Rows(Protocol):
    """What a transaction offers."""

    def execute(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Run one statement, in which a `?` marks a parameter, and return its rows."""
        ...


class Database(Protocol):
    """Any thread may use it: one after the other. It blocks, so whoever has an event loop goes through a thread.

    Attributes:
        place: where it lies, as messages name it.
        cure: what a person can do where it cannot be used: half a sentence.
    """

    place: str
    cure: str

    def transaction(self) -> AbstractContextManager[Rows]:
        """Hold the write lock over all processes; what is done is kept if all of it succeeds.

        Raises:
            DatabaseError: the database cannot be used, or another holds the lock for too long.
        """
        ...

    def reading(self) -> AbstractContextManager[Rows]:
        """See one state without waiting for those who write; errors as for `transaction`."""
        ...

    def write(self, sql: str, parameters: Sequence[object] = ()) -> None:
        """Run one statement by itself, without the lock, and keep what it does; errors as for `transaction`.

        Run twice it must do no more than once: where a connection is lost, it is run again on a new one.
        """
        ...

    def stamp(self) -> object | None:
        """Return what differs from before if another process may have written since; None: there is nothing yet.

        It is cheap where nothing changed, makes no file, and raises as `transaction` does.
        """
        ...

    def close(self) -> None:
        """Let go of the connection; the next use opens a new one."""
        ...


Place = Path | SecretStr
"""A SQLite file, or the URL of a PostgreSQL database."""


def open_database(settings: Settings, name: str, schema: str, *, patience: float) -> Database:
    """Return the database of a store; nothing is opened before it is used.

    Args:
        name: of the store: that of its file without the ending, and of its lock in PostgreSQL.
        schema: `CREATE … IF NOT EXISTS` statements, as both dialects take them (`BIGINT`, `DOUBLE PRECISION`).
        patience: seconds to wait for another process that holds the lock.
    """
    return database_at(place_of(settings, name), name, schema, patience=patience)


def place_of(settings: Settings, name: str) -> Place:
    """Return where a store lies."""
    return settings.ymera_database_url or settings.ymera_data_dir / f"{name}.sqlite"


def database_at(place: Place, name: str, schema: str, *, patience: float) -> Database:
    """`open_database` for a place that is known."""
    if isinstance(place, Path):
        return SqliteDatabase(place, schema, patience=patience)
    from .postgres import PostgresDatabase  # its package comes with an extra

    return PostgresDatabase(place, name, schema, patience=patience)


def statements(schema: str) -> list[str]:
    """Return the statements of a schema, one by one."""
    return [statement for part in schema.split(";") if (statement := part.strip())]


class SqliteDatabase:
    """A SQLite file. Its connection stays open: opening it costs fifty times as much as a transaction."""

    def __init__(self, path: Path, schema: str, *, patience: float) -> None:
        self.place, self.cure = repr(str(path)), "Move it away (what it holds is forgotten then)"
        self._file, self._lock = _File(path, schema, patience), Lock()
        finalize(self, self._file.close)

    @contextmanager
    def transaction(self) -> Iterator[Rows]:
        """As `Database` has it."""
        with self._lock, self._file.begun("BEGIN IMMEDIATE") as rows:
            yield rows

    @contextmanager
    def reading(self) -> Iterator[Rows]:
        """As `Database` has it."""
        with self._lock, self._file.begun("BEGIN") as rows:
            yield rows

    def write(self, sql: str, parameters: Sequence[object] = ()) -> None:
        """As `Database` has it."""
        with self._lock:
            self._file.write(sql, parameters)

    def stamp(self) -> object | None:
        """As `Database` has it."""
        with self._lock, _told():
            return self._file.stamp()

    def close(self) -> None:
        """As `Database` has it."""
        with self._lock:
            self._file.close()


class _File:
    """A file and its connection, used by one thread at a time."""

    def __init__(self, path: Path, schema: str, patience: float) -> None:
        self._path, self._schema, self._patience = path, schema, patience
        self._db: sqlite3.Connection | None = None
        self._inode: tuple[int, int] | None = None
        self._numbers = count()
        self._number = 0

    @contextmanager
    def begun(self, begin: str) -> Iterator[Rows]:
        with _told():
            db = self._open()
            try:
                db.execute(begin)
                yield _SqliteRows(db)
                db.execute("COMMIT")
            except BaseException:
                self.close()
                raise

    def write(self, sql: str, parameters: Sequence[object]) -> None:
        with _told():
            db = self._open()
            try:
                db.execute(sql, tuple(parameters))  # begins and commits by itself
            except BaseException:
                self.close()
                raise

    def stamp(self) -> object | None:
        if _inode(self._path) is None:
            return None
        # SQLite's own count of what others committed: neither time nor size of a file tells it as surely.
        (version,) = self._open().execute("PRAGMA data_version").fetchone()
        return self._number, version

    def close(self) -> None:
        db, self._db = self._db, None
        if db is not None:
            db.close()

    def _open(self) -> sqlite3.Connection:
        """Return the connection: a new one where the file was removed or replaced since."""
        if self._db is not None and _inode(self._path) != self._inode:
            self.close()
        if self._db is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._db = _connect(self._path, self._schema, patience=self._patience)
            self._inode, self._number = _inode(self._path), next(self._numbers)
        return self._db


class _SqliteRows:
    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def execute(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        return self._db.execute(sql, tuple(parameters)).fetchall()


@contextmanager
def _told() -> Iterator[None]:
    """Raise what SQLite and the system complain of as a DatabaseError."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise DatabaseError(str(error)) from error


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _connect(path: Path, schema: str, *, patience: float) -> sqlite3.Connection:
    # Used by one thread at a time, but closed by whichever lets go of it last.
    db = sqlite3.connect(path, timeout=patience, isolation_level=None, check_same_thread=False)
    try:
        use_wal(db, patience=patience)
        for statement in statements(schema):
            db.execute(statement)
    except sqlite3.Error:
        db.close()
        raise
    return db
