"""A provider in a process of its own that begins after a while and then writes at a pace, and says how long it took.

python -m benchmarks.paced '{"words": 157, …}'     prints its address, serves until its input ends, prints its books
"""

from __future__ import annotations

import asyncio
import json
import math
import random
import re
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path

from tests.servers.dialects import DIALECTS
from tests.servers.replies import Answer
from tests.servers.wire import Request, Wire, read_request

from .descriptors import allow_files

OPENAI = DIALECTS["openai"]
ROOT = Path(__file__).parents[1]
ACCEPT = '{"findings": [], "decision": "accept"}'
TAG = re.compile(r"run no\. (\d+)\.")


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How a provider answers.

    Args:
        first_s: median of the seconds until an answer begins; they are log-normal.
        sigma: of the logarithm of these seconds; 0: all are the same.
        words_per_s: pace of an answer.
        words: of an answer.
        seed: of all that is drawn.
        text: what is answered to everything; empty: so many words, or a verdict where one is asked for.
    """

    first_s: float
    sigma: float
    words_per_s: float
    words: int
    seed: int = 1
    text: str = ""


@dataclass
class Served:
    """What the server did for a run: seconds and requests."""

    seconds: float = 0.0
    requests: int = 0


@dataclass
class Books:
    """What the server did, by run, and the CPU seconds it took."""

    runs: dict[str, Served] = field(default_factory=dict)
    cpu_s: float = 0.0
    most_at_once: int = 0


class PacedServer:
    """The server."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._served: dict[str, Served] = defaultdict(Served)
        self._at_once = self._most_at_once = 0

    async def serve(self) -> None:
        """Print the address, serve until the standard input ends, print the books."""
        over = asyncio.Event()
        loop = asyncio.get_running_loop()
        threading.Thread(target=_wait_for_the_end, args=(loop, over), daemon=True).start()
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0, backlog=4096)
        sys.stdout.write(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/openai/v1\n")
        sys.stdout.flush()
        await over.wait()
        books = Books(dict(self._served), cpu_s=time.process_time(), most_at_once=self._most_at_once)
        sys.stdout.write(json.dumps(asdict(books)) + "\n")
        sys.stdout.flush()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                request = await read_request(reader)
                await self._answer(request, Wire(reader=reader, writer=writer))
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client went away
        finally:
            writer.close()

    async def _answer(self, request: Request, wire: Wire) -> None:
        clock, said = time.monotonic(), json.dumps(request.body)
        self._at_once += 1
        self._most_at_once = max(self._most_at_once, self._at_once)
        name = found[1] if (found := TAG.search(said)) else ""
        served = self._served[name]
        served.requests += 1
        try:
            await self._speak(
                request, wire, f"{self._pace.seed} {name} {served.requests}", "decision" in said
            )
        finally:
            self._at_once -= 1
            served.seconds += time.monotonic() - clock

    async def _speak(self, request: Request, wire: Wire, drawn: str, judges: bool) -> None:
        pace = self._pace
        text = pace.text or (ACCEPT if judges else " ".join(["word"] * pace.words))
        await wire.head()
        if pace.first_s:
            await asyncio.sleep(random.Random(drawn).lognormvariate(math.log(pace.first_s), pace.sigma))
        began = time.monotonic()
        for number, data in enumerate(_events(text, request.model)):
            await wire.piece(data)
            late = began + number / pace.words_per_s - time.monotonic()
            if late > 0:
                await asyncio.sleep(late)
        await wire.piece(b"")


def _wait_for_the_end(loop: asyncio.AbstractEventLoop, over: asyncio.Event) -> None:
    sys.stdin.read()
    loop.call_soon_threadsafe(over.set)


@lru_cache
def _events(text: str, model: str) -> list[bytes]:
    answer = Answer(text, output_tokens=len(text.split()))
    return [event.data for event in OPENAI.stream(answer, model)]


class Running:
    """A server in its own process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self._process = process
        self.base_url = process.stdout.readline().strip()

    def end(self) -> Books:
        """End the server and return its books."""
        out, _ = self._process.communicate(timeout=60)
        said = json.loads(out)
        return Books(
            runs={name: Served(**served) for name, served in said["runs"].items()},
            cpu_s=said["cpu_s"],
            most_at_once=said["most_at_once"],
        )


@contextmanager
def running(pace: Pace) -> Iterator[Running]:
    """Start a server in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.paced", json.dumps(asdict(pace))]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield Running(process)
        finally:
            process.kill()


if __name__ == "__main__":
    allow_files()
    asyncio.run(PacedServer(Pace(**json.loads(sys.argv[1]))).serve())
