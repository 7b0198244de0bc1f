"""Models that run in this process, without a key: llama.cpp's own server (xllamacpp) on the loopback.

One server a model, started when first asked for and closed with the process. It speaks OpenAI's format, so that
the same chat model serves it, a file of the user's own and a server of the user's own. The memory that a loaded
model takes stands in its row of data/weights.toml.
"""

from __future__ import annotations

import asyncio
import atexit
import json
import os
import secrets
import socket
import stat
import threading
from collections import defaultdict
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from ..routing.errors import InputError, WeightsError
from ..routing.limits import LARGEST_FILE, check_name
from .addresses import address_of
from .cores import choose_threads, usable_cores
from .gguf import read_header
from .providers import is_loopback
from .runner import load_runner
from .settings import Settings
from .weights import locate, pull
from .weights_manifest import built_in_manifest
from .weights_sources import Progress, Report

CONTEXT_TOKENS = 8_192
"""Window of one conversation, prompt and answer together. Memory for it is taken at the start, for every slot
(12 kB a token with the 0.5B, 28 kB with the 1.5B)."""

SLOTS = 2
"""Conversations that a model holds at a time, as many as phases run side by side; further ones wait."""

_PROMPT_CACHE_MB = 256  # the runner's default is 8 GB
_READ_BLOCK = 1 << 22
_DESCRIPTORS = Path("/dev/fd")


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """Where a server listens. The key is made for it alone and keeps other programs of this machine out."""

    base_url: str
    api_key: str = field(repr=False)


@dataclass(kw_only=True)
class _Running:
    server: Any  # xllamacpp has no types
    endpoint: Endpoint


class _StoppedError(Exception):
    """Nobody waits for the fetch any more."""


# --- what callers need -----------------------------------------------------------------------------------


async def open_server(name: str, settings: Settings, progress: Report | None = None) -> Endpoint:
    """Return the server of a model, started on first use and fetched before where its weights are not here.

    `name` is an embedded model, or a name of `YMERA_LOCAL_MODELS`; `progress` is called from another thread with
    every step of a fetch. The runner holds Python's lock while it takes in the weights, a second or two: the
    whole process waits meanwhile, once a model.

    Raises:
        ImportError: the runner is missing or does not load; the message says what to install.
        WeightsError: the weights cannot be had, or cannot be loaded.
    """
    if running := _POOL.running.get(_key(name, settings)):
        return running.endpoint
    stop = threading.Event()

    def report(step: Progress) -> None:
        if stop.is_set():
            raise _StoppedError
        if progress:
            progress(step)

    try:
        return await asyncio.to_thread(_POOL.open, name, settings, report)
    finally:
        stop.set()  # a caller that was cancelled leaves the thread behind: it stops at its next step


async def fetched(name: str, settings: Settings) -> AsyncGenerator[Progress, None]:
    """Fetch a model's weights where they are not on this machine, yielding every step; at once where they are.

    A file of the user's own is looked at instead.

    Raises:
        WeightsError: they cannot be had, or the user's file is of no use.
    """
    if name in settings.ymera_local_models:
        await asyncio.to_thread(_weights_of, name, settings, lambda step: None)
        return
    if locate(name, settings) is not None:
        return
    loop, steps, stop = asyncio.get_running_loop(), asyncio.Queue[Progress](), threading.Event()

    def report(step: Progress) -> None:
        if stop.is_set():
            raise _StoppedError
        loop.call_soon_threadsafe(steps.put_nowait, step)

    fetching = asyncio.ensure_future(asyncio.to_thread(pull, name, settings, report))
    try:
        while not fetching.done() or not steps.empty():
            step = asyncio.ensure_future(steps.get())
            await asyncio.wait({step, fetching}, return_when=asyncio.FIRST_COMPLETED)
            if step.done():
                yield step.result()
            else:
                step.cancel()
        await fetching
    finally:
        stop.set()  # a caller that goes away leaves the thread behind: it stops at its next step
        fetching.cancel()


def close_all() -> None:
    """Close every server and free its memory; an answer in the making is broken off. Open again as needed."""
    _POOL.close()


def model_names(base_url: str) -> list[str]:
    """Return the names of the models that a user's OpenAI-compatible server offers. Blocks: one short request.

    Args:
        base_url: with its `/v1`, as `YMERA_LOCAL_BASE_URL` has it.

    Raises:
        InputError: nothing answers there, or not in OpenAI's way.
    """
    import httpx

    server = address_of(base_url)
    address = f"{server.url.rstrip('/')}/models"
    wrong = f"YMERA_LOCAL_BASE_URL={server.url!r}: GET {address}"
    try:
        said = json.loads(_document(address, server.login))
        names = [str(model["id"]) for model in said["data"]]
        for name in names:
            check_name("model", name)
        return names
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        why = str(error) or type(error).__name__
        raise InputError(
            f"{wrong}: {why}. Is the server running, and does the address end in /v1?"
        ) from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{wrong} is not answered in OpenAI's way, with the models in `data`.") from error


def _document(address: str, login: tuple[str, str] | None) -> bytes:
    """Get a document of a sane size.

    Raises:
        ValueError: it is larger.
    """
    import httpx

    patience = httpx.Timeout(30, connect=5)
    with (
        httpx.Client(timeout=patience, trust_env=not is_loopback(address), auth=login) as client,
        client.stream("GET", address) as reply,
    ):
        reply.raise_for_status()
        document = b""
        for piece in reply.iter_bytes():
            document += piece
            if len(document) > LARGEST_FILE:
                raise ValueError(f"more than {LARGEST_FILE} bytes")
        return document


# --- one server a model ----------------------------------------------------------------------------------

_Key = tuple[str, Path | None]


def _key(name: str, settings: Settings) -> _Key:
    return name, settings.ymera_local_models.get(name)


class _Pool:
    """The servers of this process."""

    def __init__(self) -> None:
        self.running: dict[_Key, _Running] = {}
        self._locks: defaultdict[_Key, threading.Lock] = defaultdict(threading.Lock)

    def open(self, name: str, settings: Settings, report: Report) -> Endpoint:
        key = _key(name, settings)
        with self._locks[key]:
            if key not in self.running:
                runner = load_runner()
                path, context_tokens = _weights_of(name, settings, report)
                self.running[key] = _start(runner, _parameters(runner, name, path, context_tokens, settings))
            return self.running[key].endpoint

    def close(self) -> None:
        while self.running:
            _, running = self.running.popitem()
            _hang_up(running.endpoint)
            del running  # the last reference: the server ends here


def _weights_of(name: str, settings: Settings, report: Report) -> tuple[Path, int]:
    """Return file and window of a model."""
    own = settings.ymera_local_models.get(name)
    if own is None:
        return pull(name, settings, report), CONTEXT_TOKENS
    header = read_header(own)
    if not header.has_chat_template:
        raise WeightsError(
            f"{own} has no chat template: it is no chat model. Take its `instruct` or `chat` variant."
        )
    return own, min(CONTEXT_TOKENS, header.context_tokens or CONTEXT_TOKENS)


def _parameters(runner: ModuleType, name: str, path: Path, context_tokens: int, settings: Settings) -> Any:
    threads = choose_threads(usable_cores(), settings.ymera_threads)
    chosen = runner.CommonParams()
    chosen.model.path = str(path)
    chosen.model_alias = {name}
    chosen.api_keys = [secrets.token_urlsafe(32)]
    chosen.n_parallel = SLOTS
    chosen.n_ctx = context_tokens * SLOTS  # divided among the slots
    chosen.cpuparams.n_threads = threads.decode
    chosen.cpuparams_batch.n_threads = threads.batch
    chosen.cache_ram_mib = _PROMPT_CACHE_MB
    chosen.sampling.penalty_repeat = _repetition(name, settings)
    # Both would lengthen the start, during which the whole process waits.
    chosen.warmup = False
    chosen.fit_params = False
    chosen.ui = False
    chosen.verbosity = -1
    return chosen


def _repetition(name: str, settings: Settings) -> float:
    """Return how words that were just said are kept from being said again; 1: not at all."""
    weights = None if name in settings.ymera_local_models else built_in_manifest().get(name)
    return weights.repetition if weights else 1.0


def _start(runner: ModuleType, parameters: Any) -> _Running:
    path = Path(parameters.model.path)
    _read_through(path)
    try:
        server = runner.Server(parameters)
    except RuntimeError as error:
        raise WeightsError(
            f"{path} cannot be loaded: it is cut short or damaged, of a kind that the runner does not know, or "
            f"larger than the free memory ({error})."
        ) from error
    endpoint = Endpoint(base_url=f"{server.listening_address}/v1", api_key=parameters.api_keys[0])
    return _Running(server=server, endpoint=endpoint)


def _read_through(path: Path) -> None:
    """Bring a file into the page cache: from a cold disk the runner would hold Python's lock for long."""
    with path.open("rb", buffering=0) as file:
        while file.read(_READ_BLOCK):
            pass


def _hang_up(endpoint: Endpoint) -> None:
    """Break off the connections to a server of ours.

    Closing a server waits for its requests. One that does not stream ends with its connection and not before:
    closing would then never return, and holds Python's lock besides (measured).
    """
    ours = urlsplit(endpoint.base_url)
    # Absent on Windows, where a socket is no file: there a request that does not stream must end first.
    for entry in list(_DESCRIPTORS.iterdir()) if _DESCRIPTORS.is_dir() else []:
        with suppress(OSError):
            descriptor = int(entry.name)
            if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                _shut_if_accepted(descriptor, (ours.hostname, ours.port))


def _shut_if_accepted(descriptor: int, address: tuple[str | None, int | None]) -> None:
    with socket.socket(fileno=os.dup(descriptor)) as twin:
        if twin.family == socket.AF_INET and twin.getsockname() == address:
            twin.getpeername()  # fails for the one that listens
            twin.shutdown(socket.SHUT_RDWR)


_POOL = _Pool()
atexit.register(close_all)
