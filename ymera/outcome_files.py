"""Outcomes as files: one JSON object a line, or Parquet where pyarrow is installed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from .inputs import from_json
from .routing.errors import InputError

LONGEST_LINE = 10_000_000
"""Characters of a line; a row has a few hundred besides the text of a task."""
KINDS = (".jsonl", ".parquet")


def check_kind(path: Path) -> None:
    """Raise InputError for a file that is neither JSON lines nor Parquet, or Parquet without what reads it."""
    if path.suffix not in KINDS:
        raise InputError(
            f"The file {str(path)!r} is of no known kind. Let its name end with .jsonl or .parquet."
        )
    if path.suffix == ".parquet":
        try:
            import pyarrow.parquet  # noqa: F401
        except ImportError:
            raise InputError(
                "Parquet needs pyarrow: pip install 'ymera[learn]'. Or let the file's name end with .jsonl."
            ) from None


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows into a file.

    Raises:
        InputError: it cannot be written.
    """
    check_kind(path)
    try:
        if path.suffix == ".parquet":
            from pyarrow import Table, parquet

            parquet.write_table(Table.from_pylist([dict(row) for row in rows]), path)
        else:
            path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    except OSError as error:
        raise InputError(f"The outcomes cannot be written: {error}.") from None


def read_rows(path: Path) -> Iterator[Any]:
    """Yield the rows of a file, unchecked.

    Raises:
        InputError: it cannot be read.
    """
    check_kind(path)
    try:
        yield from _parquet(path) if path.suffix == ".parquet" else _lines(path)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"The outcomes cannot be read: {error}.") from None


def _parquet(path: Path) -> Iterator[Any]:
    from pyarrow import ArrowException, parquet

    try:
        yield from parquet.read_table(path).to_pylist()
    except ArrowException as error:
        first = str(error).partition("\n")[0]
        raise InputError(f"The file {str(path)!r} is no Parquet: {first}.") from None


def _lines(path: Path) -> Iterator[Any]:
    with path.open(encoding="utf-8") as file:
        number = 0
        while line := file.readline(LONGEST_LINE + 1):
            number += 1
            if len(line) > LONGEST_LINE:
                raise InputError(f"Line {number} of {str(path)!r} is longer than {LONGEST_LINE} characters.")
            if line.strip():
                yield _row(line, number, path)


def _row(line: str, number: int, path: Path) -> Any:
    try:
        return from_json(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"Line {number} of {str(path)!r} is no JSON: {error}.") from None
