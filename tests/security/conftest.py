"""What the tests of hostile bytes share: a run that was given up, copied for each test, and the trace of the canary."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from tests.ymera.conftest import own_logging  # noqa: F401 - a fixture
from ymera.nodes.settings import Settings, load_settings

from .canary import TRACE
from .unfinished import closed_file, give_up

KEY = "0123456789abcdef0123456789abcdef"


@pytest.fixture(autouse=True)
def no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whatever is read, nothing that it names is called."""
    trace = tmp_path / "trace"
    monkeypatch.setenv(TRACE, str(trace))
    touched = Path("/tmp/ymera-was-here")
    touched.unlink(missing_ok=True)
    yield
    assert not trace.exists(), trace.read_text()
    assert not touched.exists()


@pytest.fixture(scope="module")
def plain_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint file of a run that was given up."""
    return _made(tmp_path_factory.mktemp("plain"), None)


@pytest.fixture(scope="module")
def sealed_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, encrypted."""
    return _made(tmp_path_factory.mktemp("sealed"), KEY)


def _made(folder: Path, key: str | None) -> Path:
    settings = Settings(ymera_data_dir=folder, langgraph_aes_key=SecretStr(key) if key else None)
    asyncio.run(give_up(settings))
    return closed_file(settings)


@pytest.fixture
def plain(plain_run: Path, settings: Settings) -> Path:
    """A copy of the run, where the settings look for it."""
    return _copied(plain_run, settings)


@pytest.fixture
def with_key(monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings with a key for what is stored."""
    monkeypatch.setenv("LANGGRAPH_AES_KEY", KEY)
    return load_settings()


@pytest.fixture
def sealed(sealed_run: Path, with_key: Settings) -> Path:
    """A copy of the encrypted run, where the settings look for it."""
    return _copied(sealed_run, with_key)


def _copied(file: Path, settings: Settings) -> Path:
    place = Path(settings.checkpoints)
    shutil.copytree(file.parent, place.parent, dirs_exist_ok=True)
    return place
