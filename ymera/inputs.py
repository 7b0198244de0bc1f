"""What a person types, read into what a run needs; every complaint says how to mend it."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .routing.errors import InputError
from .routing.limits import LARGEST_TASK_BYTES, read_whole

if TYPE_CHECKING:
    from .nodes.settings import Settings

SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
"""Seconds of the units in which an age is given."""


def read_task(text: str) -> str:
    """Return the task; `-` stands for the standard input.

    Raises:
        InputError: it is not UTF-8, or longer than any task.
    """
    try:
        if text == "-":
            return _standard_input()
        text.encode("utf-8")  # bytes of an argument that are not UTF-8 arrive as lone surrogates
    except UnicodeError as error:
        raise InputError(f"The task is not UTF-8 text: {error}. Save it as UTF-8.") from None
    return text


def _standard_input() -> str:
    data = sys.stdin.buffer.read(LARGEST_TASK_BYTES + 1)
    if len(data) > LARGEST_TASK_BYTES:
        raise InputError(f"The standard input has more than {LARGEST_TASK_BYTES} bytes. Shorten the task.")
    return data.decode("utf-8")


def read_parameters(document: str | None, pairs: Sequence[str]) -> dict[str, Any]:
    """Return the task's parameters: those of a JSON object (its text, or `@file`), and single ones on top.

    In a pair `name=value`, a value that is a JSON number, boolean, null, list or object is taken as such, and
    as a string otherwise.

    Raises:
        InputError: the document is no JSON object or cannot be read, or a pair has no `=`.
    """
    parameters = {} if document is None else _object(document)
    for pair in pairs:
        name, sign, value = pair.partition("=")
        if not sign or not name:
            raise InputError(f"The parameter {pair!r} is not NAME=VALUE. Write, say, -p language=python.")
        parameters[name] = _value(value)
    return parameters


def _object(document: str) -> dict[str, Any]:
    source, text = "--params", document
    if document.startswith("@"):
        source, text = document[1:], _read(Path(document[1:]))
    try:
        value = from_json(text)
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"The parameters are not JSON: {source}: {error} (got {text[:80]!r}). "
            'Write an object, say {"language": "python"}, or use --param NAME=VALUE.'
        ) from None
    if not isinstance(value, dict):
        raise InputError(
            f"The parameters are not a JSON object: {source} is {value!r:.80}. "
            'Write names with values, say {"language": "python"}.'
        )
    return value


def _read(path: Path) -> str:
    try:
        return read_whole(path)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"The parameters' file cannot be read: {error}. Give --params @FILE a JSON file."
        ) from None


def _value(text: str) -> Any:
    try:
        value = from_json(text)
    except (ValueError, RecursionError):
        return text
    return text if isinstance(value, str) else value


def from_json(text: str) -> Any:
    """Read JSON as its standard has it: no NaN, and no number that is too large for one."""
    return json.loads(text, parse_constant=_refuse, parse_float=_finite)


def _refuse(word: str) -> float:
    raise ValueError(f"{word} is no JSON value")


def _finite(digits: str) -> float:
    number = float(digits)
    return number if math.isfinite(number) else _refuse(digits)


def read_text(path: Path | None, option: str) -> str | None:
    """Return the text of the file that an option names; None where it names none.

    Raises:
        InputError: it cannot be read, or is not UTF-8.
    """
    try:
        return None if path is None else read_whole(path)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"The file of {option} cannot be read: {error}. Name a file of text.") from None


def read_age(text: str | None) -> float | None:
    """Return the seconds of an age such as `90s`, `30m`, `12h`, `30d` or `4w`; None where none was given.

    Raises:
        InputError: it is none.
    """
    if text is None:
        return None
    number, unit = text[:-1], text[-1:]
    if unit not in SECONDS or not number.isdecimal() or not number.isascii() or len(number) > 9:
        raise InputError(f"The age {text!r} is none. Write a whole number with s, m, h, d or w: 30d.")
    return float(int(number) * SECONDS[unit])


def read_names(text: str | None) -> list[str] | None:
    """Return the names of a list with commas; None where none was given."""
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]


def check_providers(names: Iterable[str], known: Mapping[str, object]) -> None:
    """Raise InputError for a provider that does not exist."""
    unknown = [name for name in names if name not in known]
    if unknown:
        raise InputError(
            f"Unknown provider {', '.join(map(repr, unknown))}. Known providers: {', '.join(sorted(known))}."
        )


def settings_with(catalogue: Path | None) -> Settings:
    """Return the settings of the environment, with a catalogue file of this call in place of YMERA_CATALOGUE.

    Raises:
        SettingsError: a setting is wrong.
    """
    from .nodes.settings import load_settings

    settings = load_settings()
    return settings if catalogue is None else settings.model_copy(update={"ymera_catalogue": catalogue})


def check_output(path: Path | None) -> None:
    """Raise InputError where the answer's file could not be written: before the run, not after it."""
    if path is None:
        return
    if path.is_dir() or not path.parent.is_dir():
        raise InputError(f"The answer cannot go to {str(path)!r}: name a file in a folder that exists.")
