"""Bytes that try to run something, or to break whoever reads them. The callable they name only leaves a trace."""

from __future__ import annotations

import json
import pickle
import zlib
from dataclasses import dataclass
from typing import Any

import ormsgpack

from .canary import Bird

HERE = "tests.security.canary"


@dataclass(frozen=True, kw_only=True)
class Hostile:
    """A value of a checkpoint, as it stands in its row: its type, and its bytes."""

    id: str
    type: str
    data: bytes


def ext(code: int, *parts: object) -> ormsgpack.Ext:
    return ormsgpack.Ext(code, ormsgpack.packb(list(parts)))


def packed(value: Any) -> bytes:
    return ormsgpack.packb(value)


def _lc(version: int, kind: str, *path: str) -> bytes:
    names = [*HERE.split("."), *path]
    return json.dumps({"lc": version, "type": kind, "id": names, "args": ["x"], "kwargs": {}}).encode()


def _pickled() -> bytes:
    bird = Bird.__new__(Bird)
    return pickle.dumps(bird)


_CALLS: dict[str, ormsgpack.Ext] = {
    "constructor of one argument": ext(0, HERE, "sing", "x"),
    "constructor of several": ext(1, HERE, "sing", ["x"]),
    "constructor of named ones": ext(2, HERE, "Bird", {"a": 1}),
    "method": ext(3, HERE, "Bird", "x", "hatch"),
    "pydantic 1": ext(4, HERE, "Bird", {"a": 1}, "construct"),
    "pydantic 2": ext(5, HERE, "Bird", {"a": 1}, "model_validate_json"),
    "system": ext(1, "os", "system", ["touch /tmp/ymera-was-here"]),
    "system by its other name": ext(0, "posix", "system", "touch /tmp/ymera-was-here"),
    "eval": ext(0, "builtins", "eval", "__import__('tests.security.canary').security.canary.sing()"),
    "popen": ext(1, "subprocess", "Popen", [["touch", "/tmp/ymera-was-here"]]),
    "import of a module": ext(0, "tests.security.imported", "anything", "x"),
    "inside a snapshot": ormsgpack.Ext(7, ormsgpack.packb(ext(1, HERE, "sing", ["x"]))),
    "inside a list": ext(1, "builtins", "list", [[ext(1, HERE, "sing", ["x"])]]),
    "send": ext(1, "langgraph.types", "Send", ["generation", {"task_description": "x"}]),
    "numpy": ext(6, "O", [1], "C", b"x"),
    "unknown extension": ormsgpack.Ext(99, b"x"),
    "empty extension": ormsgpack.Ext(1, b""),
}

HOSTILE = [
    *(Hostile(id=f"msgpack: {id_}", type="msgpack", data=packed(value)) for id_, value in _CALLS.items()),
    Hostile(id="pickle", type="pickle", data=_pickled()),
    Hostile(id="pickle called msgpack", type="msgpack", data=_pickled()),
    Hostile(id="json: constructor", type="json", data=_lc(2, "constructor", "sing")),
    Hostile(id="json: constructor, first form", type="json", data=_lc(1, "constructor", "sing")),
    Hostile(id="json: system", type="json", data=_lc(2, "constructor", "os", "system")),
    Hostile(id="json: secret", type="json", data=b'{"lc": 1, "type": "secret", "id": ["YMERA_TEST_TRACE"]}'),
    Hostile(
        id="json: langchain",
        type="json",
        data=b'{"lc": 1, "type": "constructor", "id": ["langchain_core", "prompts", "PromptTemplate"], '
        b'"kwargs": {"template": "{{ x.__class__ }}", "template_format": "jinja2", "input_variables": []}}',
    ),
    Hostile(id="json: deep", type="json", data=b"[" * 100_000),
    Hostile(id="no such type", type="marshal", data=b"x"),
    Hostile(id="no type", type="", data=b"x"),
    Hostile(id="plain bytes", type="bytes", data=b"x"),
    Hostile(id="nothing", type="null", data=b""),
    Hostile(id="empty", type="msgpack", data=b""),
    Hostile(id="array of four billion", type="msgpack", data=b"\xdd\xff\xff\xff\xff"),
    Hostile(id="map of four billion", type="msgpack", data=b"\xdf\xff\xff\xff\xff"),
    Hostile(id="text of four billion", type="msgpack", data=b"\xdb\xff\xff\xff\xff"),
    Hostile(id="deep", type="msgpack", data=b"\x91" * 100_000 + b"\xc0"),
    Hostile(id="compressed: system", type="msgpack.zlib", data=zlib.compress(packed(_CALLS["system"]))),
    Hostile(id="compressed: pickle", type="pickle.zlib", data=zlib.compress(_pickled())),
    Hostile(id="compressed: deep", type="msgpack.zlib", data=zlib.compress(b"\x91" * 100_000 + b"\xc0")),
    Hostile(id="compressed: very many nulls", type="msgpack.zlib", data=zlib.compress(bytes(100_000_001), 1)),
    Hostile(id="compressed twice", type="msgpack.zlib.zlib", data=zlib.compress(zlib.compress(packed("x")))),
    Hostile(id="compressed: cut", type="msgpack.zlib", data=zlib.compress(packed("x" * 999))[:-2]),
    Hostile(id="compressed: no zlib", type="msgpack.zlib", data=packed("x" * 999)),
    Hostile(id="no UTF-8", type="msgpack", data=b"\xa2\xff\xfe"),
    Hostile(id="a number", type="msgpack", data=packed(7)),
    Hostile(id="a text", type="msgpack", data=packed("x")),
    Hostile(id="a list", type="msgpack", data=packed([["x"], {"y": 1}])),
    Hostile(id="an object", type="msgpack", data=packed({"x": [1]})),
]
