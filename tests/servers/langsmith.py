"""A loopback LangSmith that records what is sent to it: requests as they came, and the runs inside.

    with RecordingServer() as server:
        server.url          # for LANGSMITH_ENDPOINT
        server.paths        # every request that came in
        server.tree()       # the runs, parents above children

It runs in a thread of its own, so that a child process or an event loop can be watched alike. Like the real
one it offers multipart bodies packed with zstd, and takes plain and gzip ones too.
"""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from types import TracebackType
from typing import Any, Self

from zstandard import ZstdDecompressor

INFO = {
    "version": "0.15.0",
    "instance_flags": {"zstd_compression_enabled": True},
    "batch_ingest_config": {
        "use_multipart_endpoint": True,
        "scale_up_qsize_trigger": 1000,
        "scale_up_nthreads_limit": 16,
        "scale_down_nempty_trigger": 4,
        "size_limit": 100,
        "size_limit_bytes": 20_971_520,
    },
}


@dataclass(kw_only=True)
class TracedRun:
    """A run as it stands after all that was sent about it."""

    id: str
    fields: dict[str, Any] = field(default_factory=dict)
    children: list[TracedRun] = field(default_factory=list)

    @property
    def name(self) -> str:
        return str(self.fields["name"])

    @property
    def kind(self) -> str:
        return str(self.fields["run_type"])

    @property
    def metadata(self) -> dict[str, Any]:
        metadata: dict[str, Any] = self.fields["extra"]["metadata"]
        return metadata

    def walk(self) -> Iterator[TracedRun]:
        """Yield the run and all below it."""
        yield self
        for child in self.children:
            yield from child.walk()


class RecordingServer:
    """A server on a free loopback port; use it as a context manager."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.bodies: list[bytes] = []
        self.runs: dict[str, TracedRun] = {}
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        ).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def sent(self) -> bytes:
        """All bodies, unpacked."""
        return b"\n".join(self.bodies)

    def tree(self) -> list[TracedRun]:
        """Return the root runs, each with its children in the order in which they began."""
        for run in self.runs.values():
            run.children = []
        roots: list[TracedRun] = []
        for run in sorted(self.runs.values(), key=lambda run: str(run.fields["dotted_order"])):
            parent = self.runs.get(str(run.fields.get("parent_run_id")))
            (parent.children if parent else roots).append(run)
        return roots

    def record(self, path: str, content_type: str, body: bytes) -> None:
        """Take in one request."""
        with self._lock:
            self.paths.append(path)
            self.bodies.append(body)
            if path.endswith("/runs/multipart"):
                self._take_parts(content_type, body)
            elif path.endswith("/runs/batch"):
                batch = json.loads(body)
                for fields in [*batch.get("post", []), *batch.get("patch", [])]:
                    self._take(str(fields["id"]), fields)

    def _take_parts(self, content_type: str, body: bytes) -> None:
        head = f"Content-Type: {content_type}\r\n\r\n".encode()
        for part in BytesParser(policy=HTTP).parsebytes(head + body).iter_parts():
            name = str(part.get_param("name", header="content-disposition"))
            event, run_id, *key = name.split(".")
            value = part.get_payload(decode=True)
            if event in ("post", "patch") and isinstance(value, bytes):
                self._take(run_id, {key[0]: json.loads(value)} if key else json.loads(value))

    def _take(self, run_id: str, fields: dict[str, Any]) -> None:
        run = self.runs.setdefault(run_id, TracedRun(id=run_id))
        run.fields.update({key: value for key, value in fields.items() if value is not None})

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.record(self.path, "", b"")
                self._send(INFO)

            def do_POST(self) -> None:
                body = unpacked(self._body(), self.headers.get("Content-Encoding", ""))
                server.record(self.path, self.headers.get("Content-Type", ""), body)
                self._send({})

            def _body(self) -> bytes:
                if self.headers.get("Transfer-Encoding") != "chunked":
                    return self.rfile.read(int(self.headers.get("Content-Length", 0)))
                parts = []
                while size := int(self.rfile.readline(), 16):
                    parts.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                return b"".join(parts)

            def _send(self, answer: dict[str, Any]) -> None:
                payload = json.dumps(answer).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(payload)))
                self.end_headers()
                self.wfile.write(payload)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                """Stay silent: the tests read what was recorded."""

        return Handler


def unpacked(body: bytes, encoding: str) -> bytes:
    """Undo a body's Content-Encoding."""
    if encoding == "zstd":
        return ZstdDecompressor().stream_reader(BytesIO(body)).read()
    return gzip.decompress(body) if encoding == "gzip" else body
