"""Names are names: none of them leads to a file; and what is promised to stay in a folder stays there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.scripted import Script, scripted_services
from tests.servers.weights import running_weights_host
from ymera.cli import app
from ymera.executor import MultiModelExecutor
from ymera.nodes.settings import Settings
from ymera.nodes.state import RunContext
from ymera.nodes.weights import pull, remove, verify
from ymera.nodes.weights_manifest import Manifest
from ymera.routing.errors import YmeraError

from .audit import audit

TRAVERSALS = (
    "../../x",
    "../../../../etc/passwd",
    "/etc/passwd",
    "..",
    ".",
    "~/x",
    "$HOME/x",
    "a/../../x",
    "a\\..\\..\\x",
    "%2e%2e%2fx",
    "file:///etc/passwd",
    "//server/share",
    "CON",
    "x;touch y",
    "-rf",
    "*",
)


def files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if "data" not in path.relative_to(folder).parts}


@pytest.mark.parametrize("name", TRAVERSALS)
async def test_an_agent_and_a_thread_may_be_called_anything(
    name: str, settings: Settings, tmp_path: Path
) -> None:
    before = files(tmp_path)
    executor = MultiModelExecutor(services=scripted_services(Script(), settings))
    with audit(inside=settings.ymera_data_dir) as heard:
        result = await executor.execute_with_multi_model(name, "Write a greeting.", thread_id=name)
        again = await executor.resume(name)
    assert result.success
    assert (result.thread_id, again.thread_id, result.agent_name) == (name, name, name)
    assert heard.found == []
    assert files(tmp_path) == before


@pytest.mark.parametrize("name", TRAVERSALS)
@pytest.mark.parametrize("what", ["phases", "model", "providers"])
async def test_a_phase_a_model_or_a_provider_that_is_none_is_refused(
    what: str, name: str, settings: Settings, tmp_path: Path
) -> None:
    before = files(tmp_path)
    executor = MultiModelExecutor(services=scripted_services(Script(), settings))
    context = {
        "model": RunContext(model=name),
        "providers": RunContext(providers=[name]),
    }.get(what, RunContext())
    with audit(inside=settings.ymera_data_dir) as heard, pytest.raises(YmeraError):
        await executor.execute_with_multi_model(
            "coding_agent", "Write.", enable_phases=[name] if what == "phases" else None, context=context
        )
    assert heard.found == []
    assert files(tmp_path) == before


@pytest.mark.parametrize("name", TRAVERSALS)
@pytest.mark.parametrize("act", [pull, verify, remove], ids=["pull", "verify", "remove"])
def test_weights_are_those_of_the_manifest_alone(
    act: object, name: str, settings: Settings, tmp_path: Path
) -> None:
    before = files(tmp_path)
    with audit(inside=tmp_path / "nowhere") as heard, pytest.raises(YmeraError):
        act(name, settings)  # type: ignore[operator]
    assert heard.found == []
    assert files(tmp_path) == before


@pytest.mark.parametrize("name", TRAVERSALS)
def test_commands_take_a_name_for_no_path(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    before = files(tmp_path)
    for words in (["models", "pull", "--", name], ["models", "rm", "--", name], ["graph", "--agent", name]):
        assert CliRunner().invoke(app, words).exit_code in (2, 3)
    assert files(tmp_path) == before


@pytest.fixture
def manifest() -> Iterator[Manifest]:
    with running_weights_host() as host:
        yield {"tiny": host.model()}


def test_a_link_in_the_cache_leads_no_byte_out_of_it(manifest: Manifest, tmp_path: Path) -> None:
    settings = Settings(ymera_cache_dir=tmp_path / "cache", ymera_data_dir=tmp_path / "data")
    name, model = next(iter(manifest.items()))
    outside = tmp_path / "outside"
    outside.write_text("mine")
    folder = tmp_path / "cache" / "models"
    folder.mkdir(parents=True)
    for file in (f"{model.file}.part", f"{model.file}.checked"):
        (folder / file).symlink_to(outside)
    assert pull(name, settings, manifest=manifest).read_bytes()
    assert outside.read_text() == "mine"


def test_a_file_of_parameters_is_read_as_parameters_alone(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hunter2 " * 100)
    done = CliRunner().invoke(app, ["match", "x", "--params", f"@{secret}"])
    assert done.exit_code == 2
    assert len(done.output) < 600
