"""Instances of the server as the recipe starts them: its settings, its unit's command, its database and its Redis."""

from __future__ import annotations

import asyncio
import configparser
import os
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from dotenv import dotenv_values

from .software import ROOT, Software

DEPLOY = ROOT / "deploy"
MIGRATE = "from aegra_api.core.migrations import run_migrations; run_migrations()"
STARTING_S = 120.0
KEY = "a key that only the test knows"


@dataclass(kw_only=True, eq=False)
class Instance:
    """One server."""

    port: int
    process: subprocess.Popen[bytes]
    data: Path
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, if it still lives."""
        self.process.send_signal(number)

    async def ended(self, seconds: float) -> int:
        """Wait for its end and return its exit code."""
        async with asyncio.timeout(seconds):
            while (code := self.process.poll()) is None:
                await asyncio.sleep(0.05)
        return code


@dataclass(kw_only=True)
class Fleet:
    """Instances over one database.

    Args:
        environment: of each instance.
        folder: where their logs and files lie.
    """

    software: Software
    environment: Mapping[str, str]
    folder: Path
    instances: list[Instance] = field(default_factory=list)

    def make_tables(self) -> None:
        """Do what the recipe does once, before the first start and after each upgrade."""
        done = subprocess.run(
            [self.software.python, "-c", MIGRATE],
            env=dict(self.environment), cwd=self.folder, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-2000:]

    async def start(self) -> Instance:
        """Start one more instance and wait until it is ready."""
        port = free_port()
        data, log = self.folder / f"data-{port}", self.folder / f"{port}.log"
        data.mkdir()
        environment = {**self.environment, "YMERA_DATA_DIR": str(data)}
        process = _spawn([str(self.software.python), *command(port)], environment, log)
        instance = Instance(port=port, process=process, data=data, log=log)
        self.instances.append(instance)
        await self._ready(instance)
        return instance

    async def _ready(self, instance: Instance) -> None:
        async with httpx.AsyncClient(trust_env=False) as client, asyncio.timeout(STARTING_S):
            while True:
                assert instance.process.poll() is None, instance.log.read_text()[-3000:]
                with suppress(httpx.TransportError):
                    if (await client.get(f"{instance.url}/ready")).status_code == 200:
                        return
                await asyncio.sleep(0.1)

    def end(self) -> None:
        """End every instance, the stopped ones too."""
        for instance in self.instances:
            instance.process.kill()
            instance.process.wait()


def command(port: int) -> list[str]:
    """Return the unit's command for a port, without the path of its Python."""
    unit = configparser.ConfigParser(interpolation=None, delimiters=("=",), strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(DEPLOY / "ymera@.service")
    return unit["Service"]["ExecStart"].replace("%i", str(port)).split()[1:]


def environment_of(database: str, redis: str, others: Mapping[str, str]) -> dict[str, str]:
    """Return the settings that the recipe gives, with the addresses of this machine."""
    documented = {name: value or "" for name, value in dotenv_values(DEPLOY / "example.env").items()}
    return {
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", "/"),
        "PYTHONPATH": str(ROOT),
        **documented,
        "DATABASE_URL": database,
        "YMERA_DATABASE_URL": database,
        "REDIS_URL": redis,
        "AEGRA_CONFIG": str(DEPLOY / "aegra.json"),
        **others,
    }


@asynccontextmanager
async def running_redis(software: Software, folder: Path) -> AsyncIterator[str]:
    """Run a Redis that keeps nothing, and give its URL."""
    port = free_port()
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    process = _spawn([str(software.redis), *options], {}, folder / "redis.log")
    try:
        async with asyncio.timeout(STARTING_S):
            while not await _listens(port):
                await asyncio.sleep(0.05)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.kill()
        process.wait()


def _spawn(command: list[str], environment: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        return subprocess.Popen(
            command, env=dict(environment), cwd=log.parent, stdout=output, stderr=subprocess.STDOUT
        )


async def _listens(port: int) -> bool:
    with suppress(OSError):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
        return True
    return False


def free_port() -> int:
    """Return a port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
