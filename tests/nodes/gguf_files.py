"""Small GGUF files, made from nothing."""

from __future__ import annotations

import struct


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def word(key: str, value: str) -> bytes:
    return text(key) + struct.pack("<I", 8) + text(value)


def number(key: str, value: int) -> bytes:
    return text(key) + struct.pack("<II", 4, value)


def words(key: str, values: list[str]) -> bytes:
    return text(key) + struct.pack("<IIQ", 9, 8, len(values)) + b"".join(text(value) for value in values)


def floats(key: str, values: list[float]) -> bytes:
    return text(key) + struct.pack("<IIQ", 9, 6, len(values)) + struct.pack(f"<{len(values)}f", *values)


CHAT = [
    word("general.architecture", "qwen2"),
    words("tokenizer.ggml.tokens", ["a", "ö", ""]),
    floats("tokenizer.ggml.scores", [0.5, 1.5]),
    number("qwen2.context_length", 32_768),
    word("tokenizer.chat_template", "{{ messages }}"),
]
BASE = CHAT[:4]


def gguf(keys: list[bytes], tensors: int = 2) -> bytes:
    """Return a file whose tensors hold 32 bytes each."""
    head = b"GGUF" + struct.pack("<IQQ", 3, tensors, len(keys)) + b"".join(keys)
    for index in range(tensors):
        head += text(f"blk.{index}") + struct.pack("<IQQIQ", 2, 2, 4, 0, 32 * index)
    return head + bytes(-len(head) % 32) + bytes(32 * tensors)
