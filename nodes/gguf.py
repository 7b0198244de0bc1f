"""What the header of a GGUF file says about its model, read without loading it."""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path

from ..routing.errors import WeightsError

_STRING, _ARRAY = 8, 9
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_ALIGNMENT = 32
_MOST_DIMENSIONS = 8

Scalar = int | float | bool | str | None


@dataclass(frozen=True, kw_only=True)
class Header:
    """What is said of a model.

    Args:
        context_tokens: the window that it was trained for; 0 where the file does not say.
        has_chat_template: without one it is no chat model.
    """

    architecture: str
    context_tokens: int
    has_chat_template: bool


def read_header(path: Path) -> Header:
    """Read the header of a GGUF file.

    Raises:
        WeightsError: there is no such file, it is none of this kind, or it is cut short.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _parse(data, path)
    except (OSError, ValueError) as error:  # ValueError: an empty file, or a text that is not UTF-8
        raise WeightsError(f"{path} cannot be read as a GGUF file: {error}.") from error
    except struct.error as error:
        raise WeightsError(f"{path} is cut short: it ends within its header. Copy it again.") from error


def _parse(data: mmap.mmap, path: Path) -> Header:
    if data[:4] != b"GGUF":
        raise WeightsError(f"{path} is no GGUF file: it begins with {data[:4]!r}.")
    cursor = _Cursor(data)
    tensors, keys = cursor.numbers("QQ")
    said = {cursor.text(): cursor.value() for _ in range(keys)}
    last = max((cursor.tensor_offset() for _ in range(tensors)), default=0)
    alignment = int(said.get("general.alignment") or _ALIGNMENT)
    begin = -(-cursor.at // alignment) * alignment
    if begin + last >= len(data):
        raise WeightsError(
            f"{path} is cut short: it holds {len(data)} bytes, and its last tensor begins at {begin + last}. "
            "Copy it again."
        )
    architecture = str(said.get("general.architecture") or "")
    return Header(
        architecture=architecture,
        context_tokens=int(said.get(f"{architecture}.context_length") or 0),
        has_chat_template=bool(said.get("tokenizer.chat_template")),
    )


class _Cursor:
    """Reads one value after the other, little-endian, behind magic and version."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self.at = 8

    def numbers(self, layout: str) -> tuple[int, ...]:
        found = struct.unpack_from(f"<{layout}", self._data, self.at)
        self.at += struct.calcsize(f"<{layout}")
        return found

    def text(self) -> str:
        (length,) = self.numbers("Q")
        (found,) = struct.unpack_from(f"{length}s", self._data, self.at)
        self.at += length
        return str(found, "utf-8")

    def value(self) -> Scalar:
        (kind,) = self.numbers("I")
        if kind == _STRING:
            return self.text()
        if kind == _ARRAY:
            self._pass_array()
            return None
        if kind not in _SCALARS:
            raise ValueError(f"it holds a value of the unknown type {kind}")
        return self.numbers(_SCALARS[kind])[0]

    def tensor_offset(self) -> int:
        self.text()
        (dimensions,) = self.numbers("I")
        if dimensions > _MOST_DIMENSIONS:
            raise ValueError(f"it holds a tensor of {dimensions} dimensions")
        return int(self.numbers(f"{dimensions}QIQ")[-1])

    def _pass_array(self) -> None:
        kind, count = self.numbers("IQ")
        if kind in _SCALARS:
            self.at += struct.calcsize(_SCALARS[kind]) * count
            return
        if kind != _STRING:
            raise ValueError(f"it holds an array of the unknown type {kind}")
        for _ in range(count):
            self.text()
