"""How large what comes from outside may be: beyond a limit stands one clear error, before any work is done."""

from __future__ import annotations

import errno
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .errors import InputError

LONGEST_TASK = 10_000_000
"""Characters of a task: whatever is shorter, and still too long for the models, is told so with its tokens."""
LARGEST_PARAMETERS = 1_000_000
"""Bytes of a task's parameters, written as JSON."""
DEEPEST = 50
"""Levels of lists and objects within one another: Python's own limits of recursion lie far behind."""
LONGEST_NAME = 200
"""Characters of the name of an agent, a phase, a model or a thread."""
MOST_NAMES = 100
"""Phases, or providers, that one request may name."""
LARGEST_FILE = 10_000_000
"""Bytes of a file that is read whole: a catalogue, parameters."""
LARGEST_VALUE = 100_000_000
"""Bytes of one value of a checkpoint, or of a stored result."""
LONGEST_VARIABLE = 100_000
"""Characters of a setting that is JSON."""

LARGEST_TASK_BYTES = 4 * LONGEST_TASK
"""Bytes that are read of the standard input: UTF-8 has up to four a character."""

_JSON = json.JSONEncoder(ensure_ascii=False)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def check_task(text: object) -> None:
    """Raise InputError for a task that is no text, is empty, too long, or no text that could be sent."""
    if not isinstance(text, str):
        raise InputError(f"The task is not a text: {_shown(text)}.")
    if not text.strip():
        raise InputError("The task is empty. Say what is to be done.")
    if len(text) > LONGEST_TASK:
        raise InputError(
            f"The task has {len(text)} characters; at most {LONGEST_TASK} are taken. Shorten it."
        )
    _check_text("The task", text)


def check_parameters(parameters: object) -> None:
    """Raise InputError for parameters that are no JSON object, too large or too deep."""
    if is_too_deep(parameters):
        raise InputError(
            f"The parameters have more than {DEEPEST} levels of lists and objects within one another. "
            "Flatten them, or give the whole as one text."
        )
    if not isinstance(parameters, Mapping) or not is_json(dict(parameters)):
        raise InputError(
            f"The parameters are not a JSON object: {_shown(parameters)}. "
            "Use texts, numbers, lists and objects with texts as keys."
        )
    text = written(parameters)
    _check_text("A parameter", text)
    if (size := len(text.encode())) > LARGEST_PARAMETERS:
        raise InputError(
            f"The parameters have {size} bytes as JSON; at most {LARGEST_PARAMETERS} are taken. "
            "Put what is large into the task, or leave it out."
        )


def check_name(what: str, name: object) -> None:
    """Raise InputError for a name that is empty, too long, or holds characters that no name needs.

    Args:
        what: what it names, as the message says it: `thread`.
    """
    if not isinstance(name, str) or not name.strip():
        raise InputError(f"The {what} is no name: {_shown(name)}. Give it a text that is not empty.")
    if len(name) > LONGEST_NAME:
        raise InputError(
            f"The {what} has a name of {len(name)} characters; at most {LONGEST_NAME} are taken: {name[:40]!r}…"
        )
    if _CONTROL.search(name):
        raise InputError(f"The {what} {name!r} holds control characters. Use letters, digits and marks.")


def check_names(what: str, names: Sequence[object]) -> None:
    """Raise InputError where one of several names is none, or there are too many."""
    if len(names) > MOST_NAMES:
        raise InputError(f"{len(names)} names of a {what} are given; at most {MOST_NAMES} are taken.")
    for name in names:
        check_name(what, name)


def read_whole(path: Path) -> str:
    """Read a file of text, whatever the path stands for: a device without an end, say.

    Raises:
        OSError: it cannot be read, or is too large.
        UnicodeDecodeError: it is not UTF-8.
    """
    with path.open("rb") as file:
        data = file.read(LARGEST_FILE + 1)
    if len(data) > LARGEST_FILE:
        raise OSError(errno.EFBIG, f"it has more than {LARGEST_FILE} bytes, the most that is read", str(path))
    return data.decode("utf-8")


def is_json(value: object) -> bool:
    """Say whether `value` is made of JSON's types alone, with string keys."""
    match value:
        case None | bool() | int() | float() | str():
            return True
        case list():
            return all(is_json(item) for item in value)
        case dict():
            return all(isinstance(key, str) and is_json(item) for key, item in value.items())
    return False


def is_too_deep(value: Any, most: int = DEEPEST) -> bool:
    """Say whether lists and objects stand deeper than `most` within one another (endlessly, maybe)."""
    level = [value]
    for _ in range(most):
        level = [inner for outer in level for inner in _inside(outer)]
        if not level:
            return False
    return True


def _inside(value: object) -> list[object]:
    """Return the lists and objects that stand in a value."""
    match value:
        case Mapping():
            held = list(value.values())
        case list() | tuple():
            held = list(value)
        case _:
            return []
    return [item for item in held if isinstance(item, Mapping | list | tuple)]


def written(parameters: Mapping[str, Any]) -> str:
    """Return parameters as JSON.

    Raises:
        InputError: a number has more digits than Python writes.
    """
    try:
        return _JSON.encode(dict(parameters))
    except ValueError:  # a whole number with more digits than Python writes
        raise InputError("The parameters hold a number with too many digits. Give it as a text.") from None


def _check_text(what: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        letter = text[error.start : error.end]
        raise InputError(f"{what} is not valid text: it holds {letter!r}, half of a character.") from None


def _shown(value: object) -> str:
    """Return the beginning of a value as Python writes it."""
    try:
        return f"{value!r:.200}"
    except ValueError:  # a whole number with more digits than Python writes
        return type(value).__name__
