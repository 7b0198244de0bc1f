"""What every test starts from: no keys, no tracing, data in a folder of its own."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.servers.aimock import Aimock, running_aimock
from ymera.nodes import embedded
from ymera.nodes.settings import Settings, load_settings
from ymera.routing.catalogue import builtin_catalogue

pytest_plugins = [
    "tests.faults.report",
    "tests.kills.report",
    "tests.security.report",
    "tests.servers.postgres",
]


def pytest_configure() -> None:
    """Let Ctrl-C be heeded: where the tests run in a shell's background, every process they start would ignore it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Take away the keys and settings of whoever runs the tests; the weights' cache stays theirs."""
    providers = builtin_catalogue().providers.values()
    for name in {variable for provider in providers for variable in provider.variables}:
        monkeypatch.delenv(name, raising=False)
    for name in (field.upper() for field in Settings.model_fields if field != "ymera_cache_dir"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANGSMITH_TRACING", "false")
    monkeypatch.setenv("YMERA_DATA_DIR", str(tmp_path / "data"))


@pytest.fixture(autouse=True)
def no_model_unasked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail a test that has a model of this machine answer, or its weights fetched, and does not say so.

    It would take seconds here, and minutes where the weights are not.
    """
    if request.node.get_closest_marker("embedded"):
        yield
        return
    had: list[object] = []
    for name in ("pull", "_start"):
        monkeypatch.setattr(embedded, name, _noted(getattr(embedded, name), had))
    yield
    assert not had, "a test that is not marked `embedded` had a model of this machine"


def _noted(real: Callable[..., Any], had: list[object]) -> Callable[..., Any]:
    """Return a function that notes what it returns."""

    def noted(*given: Any) -> Any:
        had.append(real(*given))
        return had[-1]

    return noted


@pytest.fixture(scope="session")
def aimock() -> Iterator[Aimock]:
    """The provider mock, started once; it answers everything that no fixture of a test's own answers."""
    with running_aimock() as server:
        yield server


@pytest.fixture
def settings(clean_environment: None) -> Settings:
    """The settings of a fresh machine."""
    return load_settings()
