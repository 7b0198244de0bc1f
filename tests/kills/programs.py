"""Programs that are forked from one that has imported everything, and can be killed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from .child import Job

ROOT = Path(__file__).parents[2]


class Program:
    """A program that was forked.

    Attributes:
        struck: when it was sent SIGKILL (monotonic clock); None: it was not.
    """

    def __init__(self, pid: int) -> None:
        self.struck: float | None = None
        self._ended = asyncio.Event()
        try:
            self._fd = os.pidfd_open(pid)
        except ProcessLookupError:
            self._ended.set()
            return
        asyncio.get_running_loop().add_reader(self._fd, self._end)

    def kill(self) -> None:
        """Send SIGKILL, if it still lives."""
        if not self._ended.is_set():
            self.struck = time.monotonic()
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._fd, signal.SIGKILL)

    async def ended(self) -> None:
        """Wait for its end."""
        async with asyncio.timeout(60):
            await self._ended.wait()

    def _end(self) -> None:
        asyncio.get_running_loop().remove_reader(self._fd)
        os.close(self._fd)
        self._ended.set()


@dataclass(kw_only=True)
class Nursery:
    """Where programs come from."""

    process: asyncio.subprocess.Process
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def fork(self, job: Job) -> Program:
        """Start a program."""
        assert self.process.stdin
        async with self.lock:
            self.process.stdin.write(json.dumps(job).encode() + b"\n")
            return Program(int(await self.line()))

    async def line(self) -> bytes:
        """Return the next line that it says."""
        assert self.process.stdout
        line = await self.process.stdout.readline()
        assert line, "the nursery has ended"
        return line


@asynccontextmanager
async def opened_nursery() -> AsyncIterator[Nursery]:
    """Start the process from which programs are forked."""
    pipe = asyncio.subprocess.PIPE
    command = (sys.executable, "-m", "tests.kills.nursery")
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, cwd=ROOT)
    nursery = Nursery(process=process)
    try:
        await nursery.line()
        yield nursery
    finally:
        assert process.stdin
        process.stdin.close()
        await process.wait()
