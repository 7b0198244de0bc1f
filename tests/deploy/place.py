"""The fleet of a module of tests: two instances over one database and one Redis, and a provider that is watched."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient

from tests.kills.witness import Witness
from tests.servers.clients import key_of
from ymera.nodes.settings import load_settings

from .fleet import DEPLOY, Fleet, Instance, environment_of, running_redis
from .software import find_python, installed

KEY, OTHER_KEY = "a key that only the tests know", "the key of somebody else"
PROVIDERS = ("openai", "groq", "mistral")
DRAIN_S = 2


class Place:
    """The fleet, and what it works with."""

    def __init__(self, fleet: Fleet, witness: Witness, database: str) -> None:
        self.fleet, self.witness, self.database = fleet, witness, database

    def client(self, instance: Instance, key: str = KEY) -> LangGraphClient:
        """Return a client of an instance."""
        return get_client(url=instance.url, api_key=key, timeout=(5, 60, 60, 60))

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Return what stands in the database."""
        with psycopg.connect(self.database) as connection:
            return connection.execute(sql.encode()).fetchall()

    def all_over(self) -> bool:
        """Say whether no run is under way."""
        return self.rows("SELECT count(*) FROM runs WHERE status IN ('pending', 'running')") == [(0,)]

    def owned(self, instance: Instance) -> set[str]:
        """Return the threads of whose runs an instance has the lease."""
        rows = self.rows("SELECT thread_id, claimed_by FROM runs WHERE status = 'running'")
        return {thread for thread, owner in rows if owner and f"-{instance.process.pid}-worker-" in owner}


async def until(holds: Callable[[], bool], seconds: float) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.1)


@asynccontextmanager
async def opened(database: str, folder: Path, *, slow_s: float) -> AsyncIterator[Place]:
    """Start two instances as the recipe says, or skip where aegra cannot be had.

    Args:
        database: the URL of an empty one.
        slow_s: seconds that each call of a model takes.
    """
    python = find_python()
    if python is None:
        pytest.skip(
            "no Python from 3.12 to 3.14 here, which aegra-api needs for leases (0.6, for 3.11, has none)"
        )
    software = await asyncio.to_thread(installed, python, load_settings().ymera_cache_dir)
    async with (
        running_redis(software, folder) as redis,
        Witness(seed=1, slow_s=slow_s, lane_s=5 * slow_s) as witness,
    ):
        environment = environment_of(database, redis, _settings(witness))
        fleet = Fleet(software=software, environment=environment, folder=folder)
        try:
            _prepare(database)
            await asyncio.to_thread(fleet.make_tables)
            for _ in range(2):
                await fleet.start()
            yield Place(fleet, witness, database)
        finally:
            fleet.end()


def _settings(witness: Witness) -> dict[str, str]:
    """Return what the recipe leaves to whoever follows it, and a drain that is soon over."""
    keys = {"tester": KEY, "somebody": OTHER_KEY}
    known = {name: hashlib.sha256(key.encode()).hexdigest() for name, key in keys.items()}
    return {
        "SERVER_KEYS": json.dumps(known),
        "WORKER_DRAIN_TIMEOUT": str(DRAIN_S),
        "YMERA_RATES": "{}",
        **{f"{name.upper()}_API_KEY": key_of(name) for name in PROVIDERS},
        **{f"YMERA_{name.upper()}_BASE_URL": witness.base_url(name) for name in PROVIDERS},
    }


def _prepare(database: str) -> None:
    """Do with a new database what the recipe does."""
    with psycopg.connect(database) as connection:
        connection.execute((DEPLOY / "database.sql").read_bytes())
