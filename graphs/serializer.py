"""What is stored of a run, as bytes: plain data only, compressed, encrypted where a key is set, of a sane size."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import Any, Self

from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from ..nodes.encryption import NAME, Cipher
from ..routing.errors import InputError
from ..routing.limits import LARGEST_VALUE

KINDS = frozenset({"null", "bytes", "bytearray", "msgpack"})
"""Kinds of values that are read. LangGraph's `json` and `pickle` are none: they can make objects, and run code."""

COMPRESSED = ".zlib"
"""What follows the kind of a value that is stored compressed: `msgpack.zlib`."""
WORTH_COMPRESSING = 512
"""Bytes from which a value is: a plan says the same of many models, a checkpoint names its versions again and again."""
LEVEL = 3
"""Of zlib's: beyond it, a plan takes twice as long and a tenth fewer bytes."""


class StrictSerializer(JsonPlusSerializer):
    """LangGraph's serialiser, as strict as it can be: of all types it brings back its own short list alone.

    That does not depend on the environment, and a graph that is compiled cannot add to the list: the state is plain
    JSON. With a cipher, what was not encrypted by it is refused; its type is written as LangGraph's own
    `EncryptedSerializer` does, `msgpack+aes`.
    """

    def __init__(self, cipher: Cipher | None = None) -> None:
        super().__init__(pickle_fallback=False, allowed_json_modules=None, allowed_msgpack_modules=None)
        self.cipher = cipher

    def with_msgpack_allowlist(self, extra_allowlist: Iterable[tuple[str, ...] | type]) -> Self:
        """Return this serialiser: nothing is added to its list."""
        return self

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        """Return the type and the bytes of a value.

        Raises:
            InputError: it is larger than what would be read back.
        """
        kind, data = super().dumps_typed(obj)
        _check_size(data)
        if len(data) >= WORTH_COMPRESSING:
            kind, data = f"{kind}{COMPRESSED}", zlib.compress(data, LEVEL)
        if self.cipher is None:
            return kind, data
        name, sealed = self.cipher.encrypt(data)
        return f"{kind}+{name}", sealed

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        """Return a value.

        Raises:
            InputError: it is not encrypted as it should be, too large, or of a kind that is not read.
        """
        kind, stored = data
        _check_size(stored)
        if self.cipher is not None:
            kind, stored = _decrypted(self.cipher, kind, stored)
        if kind.endswith(COMPRESSED):
            kind, stored = kind.removesuffix(COMPRESSED), _inflated(stored)
        if kind not in KINDS:
            raise InputError(_strange(kind))
        return super().loads_typed((kind, stored))


def _decrypted(cipher: Cipher, kind: str, stored: bytes) -> tuple[str, bytes]:
    inner, _, name = kind.partition("+")
    try:
        return inner, cipher.decrypt(name, stored)
    except ValueError as error:
        raise refusal(str(error)) from None


def _inflated(stored: bytes) -> bytes:
    """Return the bytes that were compressed; few bytes that stand for very many are not followed to their end."""
    inflater = zlib.decompressobj()
    try:
        data = inflater.decompress(stored, LARGEST_VALUE + 1)
    except zlib.error as error:
        raise InputError(f"A stored value is not as it was written: {error}.") from None
    _check_size(data)
    if not inflater.eof:
        raise InputError("A stored value is not as it was written: its end is missing.")
    return data


def refusal(why: str) -> InputError:
    """Return the error for a stored value that LANGGRAPH_AES_KEY does not open."""
    return InputError(
        f"A stored value is {why}. Give the key that it was written with as LANGGRAPH_AES_KEY, or move away "
        "what was stored with another key, or without one."
    )


def _strange(kind: str) -> str:
    if kind.endswith(f"+{NAME}"):
        return "A stored value is encrypted. Give the key that it was written with as LANGGRAPH_AES_KEY."
    return f"A stored value is of the kind {kind[:40]!r}, which no run of YMERA writes: it is not read."


def _check_size(data: bytes | None) -> None:
    if data is not None and len(data) > LARGEST_VALUE:
        raise InputError(
            f"A value of the state has {len(data)} bytes; at most {LARGEST_VALUE} are stored and read."
        )
