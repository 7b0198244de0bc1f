"""A folder to run the documents' code in, with providers on the loopback and nothing of this machine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.scripted import ACCEPT
from tests.servers.faulty import Answer, FaultyServer
from tests.ymera.conftest import own_logging
from ymera import get_multi_model_executor
from ymera.graphs.workflow import build
from ymera.nodes.services import default_services
from ymera.routing.catalogue import builtin_catalogue

__all__ = ["own_logging"]


@pytest_asyncio.fixture
async def providers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, one_process_a_document: None
) -> AsyncIterator[FaultyServer]:
    """Every provider that has a key; each answers with a text that holds a verdict too."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("YMERA_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("YMERA_DOWNLOADS", "false")
    async with FaultyServer() as server:
        for provider in builtin_catalogue().providers.values():
            if not provider.variables or provider.retired_on:
                continue
            for variable in provider.variables:
                monkeypatch.setenv(variable, f"key-of-{provider.name}-for-the-loopback")
            monkeypatch.setenv(f"YMERA_{provider.name.upper()}_BASE_URL", server.base_url(provider.name))
            server.script(provider.name, then=Answer(f"An answer.\n{ACCEPT}"))
        yield server


@pytest.fixture
def one_process_a_document() -> Iterator[None]:
    """Make what a process keeps anew: its services, its executor and its graphs."""
    kept = (default_services, get_multi_model_executor, build)
    for one in kept:
        one.cache_clear()
    yield
    for one in kept:
        one.cache_clear()
