"""LangGraph's PostgreSQL saver for many runs at once, with nothing of a run readable where a key is set."""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, cast
from weakref import WeakKeyDictionary

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    DeltaChannelHistory,
)
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.checkpoint.serde.types import _DeltaSnapshot
from psycopg import AsyncConnection, AsyncCursor, Error
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool
from pydantic import SecretStr

from ..nodes.database import DatabaseError
from ..nodes.postgres import CURE, PLACE, SCHEMA, conninfo, lock_of, why
from ..routing.errors import InputError
from .serializer import StrictSerializer, refusal

CONNECTIONS = 4
"""Connections of one event loop at most; further writers take turns."""
PAUSE_SECONDS = 0.02
"""Between two looks whether another process has made the tables."""
WAIT_SECONDS = 30.0
"""How long a run waits for a connection."""

TRUSTED_SECONDS = 5.0
"""For so long after its last use a connection of which nothing was heard counts as standing."""

Connection = AsyncConnection[DictRow]
_Selector: type[selectors.BaseSelector] = getattr(selectors, "PollSelector", selectors.SelectSelector)
_seen: WeakKeyDictionary[Connection, float] = WeakKeyDictionary()
"""When a connection was last seen to stand (`time.monotonic`)."""


class _Boxed(NamedTuple):
    """A plain value of the state on its way into the table of values, past the readable column."""

    value: Any


class PostgresSaver(AsyncPostgresSaver):
    """Checkpoints in PostgreSQL.

    Unlike its parent it lets runs write at once, each on a connection of the pool, and its errors say what is wrong
    in one line. No value stands in the readable column, where the parent keeps texts and numbers: PostgreSQL's JSON
    takes no text with a NUL, and a cipher would not see them. With a cipher, none that stands there is taken.
    """

    conn: AsyncConnectionPool[Connection]
    serde: StrictSerializer

    def __init__(
        self, pool: AsyncConnectionPool[Connection], url: SecretStr, serde: StrictSerializer
    ) -> None:
        super().__init__(pool, serde=serde)
        self._url = url

    @asynccontextmanager
    async def _cursor(self, *, pipeline: bool = False) -> AsyncIterator[AsyncCursor[DictRow]]:
        """As the parent has it, but without its lock: the pool hands out each connection to one task alone."""
        try:
            async with self.conn.connection() as connection:
                if pipeline:
                    async with connection.pipeline(), connection.cursor(binary=True) as cursor:
                        yield cursor
                else:
                    async with connection.cursor(binary=True) as cursor:
                        yield cursor
        except Error as error:
            raise unusable(error, self._url) from None

    async def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query without parameters."""
        async with self._cursor() as cursor:
            await cursor.execute(query.encode())
            return [tuple(row.values()) for row in await cursor.fetchall()]

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """As the parent has it."""
        values = checkpoint["channel_values"].items()
        boxed = {k: v if isinstance(v, _DeltaSnapshot) else _Boxed(v) for k, v in values}
        stored = cast("Checkpoint", {**checkpoint, "channel_values": boxed})
        return await super().aput(config, stored, metadata, new_versions)

    def _dump_blobs(
        self, thread_id: str, checkpoint_ns: str, values: dict[str, Any], versions: ChannelVersions
    ) -> list[tuple[str, str, str, str, str, bytes | None]]:
        plain = {k: v.value if isinstance(v, _Boxed) else v for k, v in values.items()}
        return super()._dump_blobs(thread_id, checkpoint_ns, plain, versions)

    async def _load_checkpoint_tuple(self, value: DictRow) -> CheckpointTuple:
        if self.serde.cipher is not None:
            # A mark stands for the value of a DeltaChannel, which lies in the table of values as all others do.
            inline: dict[str, Any] = value["checkpoint"].get("channel_values") or {}
            stored = {name.decode() for name, *_ in value["channel_values"] or ()}
            if any(held is not True or name not in stored for name, held in inline.items()):
                raise refusal("not encrypted as LANGGRAPH_AES_KEY asks")
        return await super()._load_checkpoint_tuple(value)

    def _build_delta_channels_writes_history(
        self, *, seed_inline_by_ch: Mapping[str, Any], **found: Any
    ) -> dict[str, DeltaChannelHistory]:
        if self.serde.cipher is not None and seed_inline_by_ch:
            raise refusal("not encrypted as LANGGRAPH_AES_KEY asks")
        return super()._build_delta_channels_writes_history(seed_inline_by_ch=seed_inline_by_ch, **found)


async def _see(connection: Connection) -> None:
    """See that a connection still stands, without asking the server each time: that is a way there and back.

    Raises:
        psycopg.Error: it does not.
    """
    with _Selector() as selector:
        selector.register(connection.fileno(), selectors.EVENT_READ)
        spoke = selector.select(timeout=0)
    last = _seen.get(connection)
    # A server that ends says so, unasked; one that has lost its power does not.
    if spoke or last is None or time.monotonic() - last > TRUSTED_SECONDS:
        await AsyncConnectionPool.check_connection(connection)
    _seen[connection] = time.monotonic()


def unusable(error: Exception, url: SecretStr) -> InputError:
    """Return the error for a database that cannot be used."""
    said = str(error) if isinstance(error, DatabaseError) else why(error, url)
    return InputError(f"{PLACE[0].upper()}{PLACE[1:]} cannot be used: {said}. {CURE}, or unset it.")


@asynccontextmanager
async def postgres_saver(url: SecretStr, serde: StrictSerializer) -> AsyncIterator[PostgresSaver]:
    """Open a saver for the runs of this event loop.

    Raises:
        InputError: the database cannot be used.
    """
    pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
        _info(url),
        kwargs={"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row},
        connection_class=cast("type[Connection]", AsyncConnection),
        min_size=0,
        max_size=CONNECTIONS,
        timeout=WAIT_SECONDS,
        check=_see,
        open=False,
    )
    saver = PostgresSaver(pool, url, serde)
    try:
        await _make_ready(url, saver.MIGRATIONS)
        await pool.open()
    except Error as error:
        raise unusable(error, url) from None
    try:
        yield saver
    finally:
        await pool.close()


def _info(url: SecretStr) -> str:
    try:
        return conninfo(url)
    except DatabaseError as error:
        raise unusable(error, url) from None


async def _make_ready(url: SecretStr, migrations: Sequence[str]) -> None:
    """Make the tables, or bring them up to date; of processes that begin at once, one does it.

    The others look again and again instead of waiting within the database: `CREATE INDEX CONCURRENTLY` waits for
    whoever waits there.
    """
    async with await AsyncConnection.connect(_info(url), autocommit=True, row_factory=dict_row) as connection:
        while not await _is_ready(connection, len(migrations)):
            if not await _one(connection, f"SELECT pg_try_advisory_lock({lock_of('checkpoints')}) AS it"):
                await asyncio.sleep(PAUSE_SECONDS)
                continue
            await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}".encode())
            await AsyncPostgresSaver(connection).setup()


async def _is_ready(connection: Connection, migrations: int) -> bool:
    there = await _one(connection, f"SELECT to_regclass('{SCHEMA}.checkpoint_migrations') IS NOT NULL AS it")
    return there and await _one(
        connection, f"SELECT coalesce(max(v), -1) >= {migrations - 1} AS it FROM checkpoint_migrations"
    )


async def _one(connection: Connection, query: str) -> bool:
    cursor = await connection.execute(query.encode())
    row = await cursor.fetchone()
    return bool(row and row["it"])
