"""No key, and no password of an address, is in anything that YMERA prints, logs, keeps, traces or raises."""

from __future__ import annotations

import asyncio
import base64
import logging
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest
from typer.testing import CliRunner

from tests.servers.faulty import Answer, Fault, FaultyServer, Reply, Request
from tests.servers.langsmith import RecordingServer
from tests.servers.wire import Wire
from ymera.cli import app
from ymera.routing.catalogue import builtin_catalogue

from .leaking import PROVIDERS
from .report import SECRETS

MARK = "qzcanary"
"""Stands in every secret; looks like no key, so that nothing but the settings can tell that it is one."""
ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent


def canary(name: str) -> str:
    return f"{MARK}.{name.lower().replace('_', '.')}.x"


def echo(request: Request) -> str:
    """Repeat what came with a request: some servers do, in their errors."""
    kept = ("authorization", "x-api-key", "api-key", "x-goog-api-key")
    return "refused: " + " ".join(request.headers.get(name, "") for name in kept) + f" at {request.path}"


KINDS = ("refused", "failing", "failing midway", "fine")
WORLDS: dict[str, Callable[[Request], Reply]] = {
    "refused": lambda request: Fault("401", message=echo(request)),
    "failing": lambda request: Fault("500", message=echo(request)),
    "failing midway": lambda request: Fault("error_event", message=echo(request)),
    "of each something": lambda request: WORLDS[KINDS[len(request.provider) % 4]](request),
    "fine": lambda request: Answer('{"findings": [], "decision": "accept"}'),
}


class Server(FaultyServer):
    """The providers, and a server at home that tells its models to whoever asks."""

    def _next(self, request: Request) -> Reply:
        return Answer() if request.path.endswith("/models") else super()._next(request)

    async def _answer(self, request: Request, answer: Answer, wire: Wire) -> None:
        if request.path.endswith("/models"):
            await wire.document(b'{"data": [{"id": "home"}]}')
        else:
            await super()._answer(request, answer, wire)


def with_login(url: str, name: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"user:{canary(name)}@{parts.netloc}"))


def secrets(server: FaultyServer, *, logins: bool) -> dict[str, str]:
    """Return the variables that hold a secret."""
    names = {name for p in builtin_catalogue().providers.values() for name in p.variables}
    made = {name: canary(name) for name in sorted(names) if name != "AZURE_OPENAI_ENDPOINT"}
    for provider in PROVIDERS:
        url = server.base_url(provider)
        name = f"YMERA_{provider.upper()}_BASE_URL"
        made[name] = with_login(url, name) if logins else url
    made["YMERA_LOCAL_BASE_URL"] = with_login(server.base_url("local"), "YMERA_LOCAL_BASE_URL")
    made["AZURE_OPENAI_ENDPOINT"] = with_login(server.base_url("azure"), "AZURE_OPENAI_ENDPOINT")
    made["LANGGRAPH_AES_KEY"] = f"{MARK}.a.key.for.what.is.stored"[:32].ljust(32, "x")
    made["LANGSMITH_API_KEY"] = canary("LANGSMITH_API_KEY")
    made["CRASHING_API_KEY"] = canary("CRASHING_API_KEY")
    return made


def settings(folder: Path, recorder: RecordingServer) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return kept | {
        "PYTHONPATH": str(ROOT),
        "YMERA_DATA_DIR": str(folder / "data"),
        "YMERA_CACHE_DIR": str(folder / "cache"),
        "YMERA_CATALOGUE": str(HERE / "catalogue.toml"),
        "YMERA_DOWNLOADS": "false",
        "LANGSMITH_TRACING": "true",
        "LANGSMITH_ENDPOINT": recorder.url,
    }


async def everything(
    world: str, folder: Path, recorder: RecordingServer, *, logins: bool
) -> dict[str, bytes]:
    """Do everything once and return what came out, by place."""
    async with Server() as server:
        server.answer(WORLDS[world])
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.security.leaking",
            cwd=folder, env=settings(folder, recorder) | secrets(server, logins=logins),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, errors = await process.communicate()
        assert process.returncode == 0, errors[-3000:].decode()
        assert len(server.requests) > 10
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return {"stdout": out, "stderr": errors, "LangSmith": recorder.sent, **files}


def found(data: bytes) -> list[str]:
    """Return where a secret shows in bytes: as it is, or as base64 at any offset."""
    places: list[str] = []
    for form in forms():
        at = data.find(form)
        while at != -1 and len(places) < 5:
            places.append(data[max(at - 150, 0) : at + 60].decode("utf-8", "replace"))
            at = data.find(form, at + 1)
    return places


def forms() -> Iterator[bytes]:
    yield MARK.encode()
    for shift in range(3):
        packed = base64.b64encode(b"-" * shift + MARK.encode()).rstrip(b"=")
        yield packed[(shift * 8 + 5) // 6 : -1]


OFTEN = [("of each something", True)]
SELDOM = [(world, logins) for world in WORLDS for logins in (False, True) if (world, logins) not in OFTEN]


@pytest.mark.parametrize(
    ("world", "logins"),
    [*OFTEN, *(pytest.param(*one, marks=pytest.mark.security) for one in SELDOM)],
    ids=lambda value: {True: "keys and logins", False: "keys"}.get(value, value),
)
async def test_no_secret_is_in_anything_that_comes_out(
    world: str, logins: bool, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    with RecordingServer() as recorder:
        seen = await everything(world, tmp_path, recorder, logins=logins)
    record_property(SECRETS, len(secrets(Server(), logins=True)))
    assert {"stdout", "stderr", "LangSmith", "every.log", "data/checkpoints.sqlite"} <= seen.keys()
    assert {place: shown for place, data in seen.items() if (shown := found(data))} == {}


DATABASES = (
    "postgresql://user:{secret}@127.0.0.1:9/ymera",
    "postgresql://user:{secret}@no.such.host.invalid/ymera",
    "postgresql://user:{secret}@127.0.0.1:port/ymera",
    "postgresql://user:{secret}@@127.0.0.1/ymera",
    "postgres:{secret}@127.0.0.1/ymera",
    "mysql://user:{secret}@127.0.0.1/ymera",
)


@pytest.mark.parametrize("url", DATABASES)
def test_the_password_of_a_database_that_is_not_there_is_told_to_nobody(
    url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, own_logging: None
) -> None:
    monkeypatch.setenv("YMERA_DATABASE_URL", url.format(secret=canary("DATABASE")))
    monkeypatch.setenv("GROQ_API_KEY", "x")
    caplog.set_level(logging.DEBUG)
    for words in (["run", "x", "--provider", "groq", "-vv"], ["threads"], ["resume", "x"], ["doctor"]):
        done = CliRunner().invoke(app, words)
        assert done.exit_code != 0
        assert MARK not in done.output
        shown = "".join(traceback.format_exception(done.exception)) if done.exception else ""
        assert MARK not in shown
    assert MARK not in caplog.text
