"""The file of a batch: one JSON object a line, read line by line, checked as a whole before anything is paid."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from .inputs import from_json
from .routing.errors import InputError
from .routing.limits import (
    LARGEST_PARAMETERS,
    LARGEST_TASK_BYTES,
    check_name,
    check_names,
    check_parameters,
    check_task,
)

LONGEST_LINE = 2 * LARGEST_TASK_BYTES + LARGEST_PARAMETERS
"""Bytes of a line: JSON may write a letter longer than UTF-8 does."""
SHOWN_FAULTS = 20
"""Faulty lines that are told one by one."""
KEYS = ("id", "task", "agent", "parameters", "phases", "context")
_NAMESPACE = uuid.UUID("7d1f0f0e-6a53-5c0e-9d0b-6f3b1c6a2f11")

Value = TypeVar("Value")


@dataclass(frozen=True, kw_only=True)
class BatchTask:
    """A line of the file.

    Args:
        id: as the line names itself, or made from what it says.
        digest: of what the line says, its id apart: a line that was changed is another task.
        context: settings of this task's run, on top of the batch's.
    """

    line: int
    id: str
    digest: str
    task: str
    agent: str | None = None
    parameters: Mapping[str, Any]
    phases: list[str] | None = None
    context: Mapping[str, Any]

    @property
    def key(self) -> str:
        """What the task is known by in a result file."""
        return key_of(self.id, self.digest)

    def thread(self, batch: str, trial: int) -> str:
        """Return the thread on which the task is run: the same at every start of the same batch."""
        return str(uuid.uuid5(_NAMESPACE, json.dumps([batch, self.id, self.digest, trial])))


def key_of(name: str, digest: str) -> str:
    """Return what a task is known by: its id, and what it said."""
    return f"{digest}:{name}"


def read_tasks(path: Path) -> Iterator[BatchTask]:
    """Yield the tasks of a file that was checked; blank lines are passed over.

    Raises:
        InputError: a line has changed since, and is none any more.
    """
    for found in _lines(path):
        if isinstance(found, str):
            raise InputError(found)
        yield found


def check_tasks(path: Path, check: Callable[[BatchTask], object]) -> int:
    """Check every line of the file, and return how many tasks it holds.

    Args:
        check: raises InputError for a task that cannot be run here.

    Raises:
        InputError: the file cannot be read or holds no task, or lines are faulty: each with its number and its mend.
    """
    count, faults = 0, Faults()
    for found in _lines(path):
        count += 1
        if isinstance(found, str):
            faults.add(found)
            continue
        try:
            check(found)
        except InputError as error:
            faults.add(_at(path, found.line, error))
    faults.raise_any()
    if not count:
        raise InputError(f'{path} holds no task. Write one JSON object a line: {{"task": "Say hello"}}')
    return count


class Faults:
    """Faults of lines: the first of them word by word, of the others how many."""

    def __init__(self) -> None:
        self._shown: list[str] = []
        self._more = 0

    def add(self, fault: str) -> None:
        """Take in a fault."""
        if len(self._shown) < SHOWN_FAULTS:
            self._shown.append(fault)
        else:
            self._more += 1

    def raise_any(self) -> None:
        """Raise InputError where there was a fault."""
        if self._shown:
            more = [f"… and {self._more} more faulty lines."] if self._more else []
            raise InputError("\n".join([*self._shown, *more, "Nothing was run."]))


def _lines(path: Path) -> Iterator[BatchTask | str]:
    """Yield each line's task, or what is wrong with the line."""
    names = _Names()
    try:
        with path.open("rb") as file:
            for number, line in enumerate(iter(lambda: file.readline(LONGEST_LINE + 1), b""), 1):
                if len(line) > LONGEST_LINE:
                    raise InputError(f"{path}:{number}: the line has more than {LONGEST_LINE} bytes.")
                if line.strip():
                    yield _read(path, number, line, names)
    except OSError as error:
        raise InputError(
            f"The tasks cannot be read: {error}. Name a file with one JSON object a line."
        ) from None


class _Names:
    """The ids that were given away so far."""

    def __init__(self) -> None:
        self._lines: dict[str, int] = {}
        self._equal: Counter[str] = Counter()

    def take(self, name: str, line: int) -> str:
        """Keep an id that a line names."""
        first = self._lines.setdefault(name, line)
        if first != line:
            raise InputError(f"the id {name!r} is that of line {first} too. Give each line its own, or none.")
        return name

    def make(self, digest: str, line: int) -> str:
        """Make an id for a line without one; of equal lines, the second and later ones are numbered."""
        short = digest[:16]
        self._equal[short] += 1
        count = self._equal[short]
        return self.take(short if count == 1 else f"{short}-{count}", line)


def _read(path: Path, number: int, line: bytes, names: _Names) -> BatchTask | str:
    try:
        said = _object(line)
        name = said.pop("id", None)
        digest = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
        return BatchTask(
            line=number,
            id=names.make(digest, number) if name is None else names.take(name, number),
            digest=digest,
            task=said["task"],
            agent=said.get("agent"),
            parameters=said.get("parameters") or {},
            phases=said.get("phases"),
            context=said.get("context") or {},
        )
    except InputError as error:
        return _at(path, number, error)


def _at(path: Path, line: int, error: InputError) -> str:
    return f"{path}:{line}: {error}"


def _object(line: bytes) -> dict[str, Any]:
    """Return what a line says, each value of the kind that it must be; null stands for what is not said."""
    try:
        said = from_json(line.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise InputError("not UTF-8 text. Save the file as UTF-8.") from None
    except (ValueError, RecursionError) as error:
        raise InputError(
            f'not JSON: {error}. Write one object a line, say {{"task": "Say hello"}}.'
        ) from None
    if not isinstance(said, dict):
        raise InputError(f'not a JSON object: {said!r:.80}. Write, say, {{"task": "Say hello"}}.')
    _check(said)
    return {name: value for name, value in said.items() if value is not None}


def _check(said: Mapping[str, Any]) -> None:
    if unknown := [name for name in said if name not in KEYS]:
        raise InputError(f"unknown key {', '.join(map(repr, unknown))}. Known keys: {', '.join(KEYS)}.")
    if "task" not in said:
        raise InputError('"task" is missing. Say there what is to be done.')
    check_task(said["task"])
    for name in ("id", "agent"):
        if said.get(name) is not None:
            check_name(name, said[name])
    check_parameters(_of(dict, said, "parameters") or {})
    check_names("phase", _of(list, said, "phases") or [])
    _of(dict, said, "context")


def _of(kind: type[Value], said: Mapping[str, Any], name: str) -> Value | None:
    value = said.get(name)
    if value is not None and not isinstance(value, kind):
        wanted = "an object" if kind is dict else "a list"
        raise InputError(f"{name!r} is not {wanted}: {value!r:.80}.")
    return value
