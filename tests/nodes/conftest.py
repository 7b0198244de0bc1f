"""Servers that stand in for the providers, and the real clients pointed at them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from ymera.nodes.providers import ChatModels
from ymera.nodes.settings import Settings, load_settings

from ..servers.clients import PROVIDERS, point_at
from ..servers.faulty import FaultyServer


@pytest_asyncio.fixture
async def faulty(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FaultyServer]:
    async with FaultyServer() as server:
        point_at(monkeypatch, server.base_url)
        yield server


@pytest.fixture
def faulty_settings(faulty: FaultyServer) -> Settings:
    return load_settings()


@pytest_asyncio.fixture
async def models(faulty_settings: Settings) -> AsyncIterator[ChatModels]:
    """The real clients, pointed at the faulty server."""
    models = ChatModels(faulty_settings, PROVIDERS)
    yield models
    await models.close()
