"""What hostile bytes call if anything calls it: it leaves a trace and does no harm."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

TRACE = "YMERA_TEST_TRACE"


def sing(*args: object) -> str:
    """Leave a trace."""
    with Path(os.environ[TRACE]).open("a") as file:
        file.write(f"{args!r}\n")
    return "sung"


class Bird:
    """A class that leaves a trace when it is made, by its constructor or another method."""

    def __init__(self, *args: object, a: object = None) -> None:
        sing("made", *args)

    @classmethod
    def model_construct(cls, **kwargs: Any) -> str:
        return sing("constructed")

    @classmethod
    def hatch(cls, *args: object) -> str:
        return sing("hatched")

    def __reduce__(self) -> tuple[Any, ...]:
        return sing, ("unpickled",)
