"""What a piece of code does to the machine, as Python's own audit events tell: files, connections, programs.

An audit hook cannot be taken out again, so there is one for the process, and it listens while an `Audit` is open.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROGRAMS = frozenset(
    ["subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.startfile"]
)
CONNECTIONS = frozenset(["socket.connect", "socket.getaddrinfo", "socket.gethostbyname"])
CHANGES = frozenset(["os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.symlink", "os.link", "os.chmod"])
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT

_open: list[Audit] = []


class Audit:
    """What was done outside of a folder while the audit was open.

    Args:
        inside: where files may be written.
    """

    def __init__(self, inside: Path) -> None:
        self._inside = inside.resolve()
        self.found: list[str] = []

    def hear(self, event: str, args: tuple[object, ...]) -> None:
        """Take in one event."""
        if event in PROGRAMS or event in CONNECTIONS or event == "pickle.find_class":
            self.found.append(f"{event} {args!r:.200}")
        elif event in CHANGES or event == "sqlite3.connect" or (event == "open" and _writes(args)):
            self._path(event, args[0])

    def _path(self, event: str, path: object) -> None:
        if not isinstance(path, str | bytes | os.PathLike):
            return
        where = os.fsdecode(path)
        if "__pycache__" not in where and where != os.devnull and not self._is_inside(where):
            self.found.append(f"{event} {where}")

    def _is_inside(self, where: str) -> bool:
        return where == ":memory:" or Path(where).resolve().is_relative_to(self._inside)


def _writes(args: tuple[object, ...]) -> bool:
    _, mode, flags = args
    if isinstance(mode, str):
        return bool(set(mode) & set("wax+"))
    return isinstance(flags, int) and bool(flags & WRITES)


def _hook(event: str, args: tuple[object, ...]) -> None:
    if _open:
        current = _open.pop()  # what the audit itself does is not heard
        try:
            current.hear(event, args)
        finally:
            _open.append(current)


@contextmanager
def audit(inside: Path) -> Iterator[Audit]:
    """Listen to what is done until the block ends."""
    if not _installed:
        sys.addaudithook(_hook)
        _installed.append(True)
    made = Audit(inside)
    _open.append(made)
    try:
        yield made
    finally:
        _open.remove(made)


_installed: list[bool] = []
