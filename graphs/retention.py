"""What the store of checkpoints holds, thread by thread, and how threads leave it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from ..routing.retention import StoredThread
from ..routing.tenants import stored_thread, thread_of
from .checkpoints import Saver
from .sqlite import SqliteSaver

if TYPE_CHECKING:
    from .postgres import PostgresSaver

_SQLITE = """
SELECT thread_id, checkpoint_id, length(checkpoint) + length(metadata) AS size FROM checkpoints
UNION ALL SELECT thread_id, NULL, length(value) FROM writes
"""
_POSTGRES = """
SELECT thread_id, checkpoint_id, pg_column_size(checkpoint) + pg_column_size(metadata) AS size FROM checkpoints
UNION ALL SELECT thread_id, NULL, pg_column_size(blob) FROM checkpoint_blobs
UNION ALL SELECT thread_id, NULL, pg_column_size(blob) FROM checkpoint_writes
"""
_BY_THREAD = """
SELECT thread_id, min(checkpoint_id) AS first, max(checkpoint_id) AS last, count(checkpoint_id) AS checkpoints,
       coalesce(sum(size), 0) AS bytes
FROM ({rows}) AS rows GROUP BY thread_id HAVING count(checkpoint_id) > 0
"""
_EPOCH = 0x01B21DD213814000
"""Steps of 100 ns between the beginning of the calendar that UUIDs count by and 1970."""


async def stored_threads(saver: Saver, tenant: str | None) -> list[StoredThread]:
    """Return a tenant's threads under the names that the tenant gave them, the latest first."""
    found = []
    for thread_id, first, last, checkpoints, size in await _rows(saver):
        name = thread_of(tenant, thread_id)
        if name is not None:
            times = {"first": _time_of(first), "last": _time_of(last)}
            found.append(StoredThread(thread_id=name, **times, checkpoints=checkpoints, bytes=int(size)))
    return sorted(found, key=lambda thread: thread.last, reverse=True)


async def delete_threads(saver: Saver, tenant: str | None, thread_ids: Sequence[str]) -> None:
    """Delete everything that the store of checkpoints holds of some threads; what it does not hold is passed over."""
    for thread_id in thread_ids:
        await saver.adelete_thread(stored_thread(tenant, thread_id))
    if thread_ids and isinstance(saver, SqliteSaver):
        await saver.give_back()


async def _rows(saver: Saver) -> list[tuple[Any, ...]]:
    if isinstance(saver, SqliteSaver):
        return await saver.rows(_BY_THREAD.format(rows=_SQLITE))
    postgres: PostgresSaver = saver  # type: ignore[assignment]  # the only other one, of an optional package
    return await postgres.rows(_BY_THREAD.format(rows=_POSTGRES))


def _time_of(checkpoint_id: str) -> float:
    """Return when a checkpoint was made, which its id tells (UUID version 6); 0.0 where it tells none."""
    try:
        number = UUID(checkpoint_id).int
    except ValueError:
        return 0.0
    high, low = number >> 80, (number >> 64) & 0x0FFF
    return max(0.0, ((high << 12 | low) - _EPOCH) / 1e7)
