"""A provider for the command line: a loopback server in a thread of its own, since commands make their own loop."""

from __future__ import annotations

import asyncio
import logging
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.faulty import FaultyServer


@pytest.fixture
def groq(monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyServer]:
    """Groq, as far as the command line can tell; it is the only provider with a key."""
    server, ready, loop = FaultyServer(), threading.Event(), asyncio.new_event_loop()
    over = asyncio.Event()

    async def serve() -> None:
        async with server:
            ready.set()
            await over.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert ready.wait(10)
    monkeypatch.setenv("GROQ_API_KEY", "a-key-for-the-loopback")
    monkeypatch.setenv("YMERA_GROQ_BASE_URL", server.base_url("groq"))
    yield server
    loop.call_soon_threadsafe(over.set)
    thread.join(10)
    loop.close()


@pytest.fixture
def own_logging() -> Iterator[None]:
    """Put back what a command does to the log and to warnings of this process."""
    root, ours, shown = logging.getLogger(), logging.getLogger("ymera"), warnings.showwarning
    before = (list(root.handlers), list(ours.handlers), ours.level)
    yield
    logging.captureWarnings(False)
    warnings.showwarning = shown
    root.handlers, ours.handlers = before[0], before[1]
    ours.setLevel(before[2])


@pytest.fixture
def no_models_at_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither weights nor the right to fetch them; commands run in an empty folder."""
    monkeypatch.setenv("YMERA_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("YMERA_DOWNLOADS", "false")
    monkeypatch.chdir(tmp_path)
