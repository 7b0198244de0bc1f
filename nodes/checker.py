"""How checks are made: away from the event loop, and so that one that fails itself costs no run.

A user's own function gets a thread and a limit of its own. It may raise, hang or return anything: then its check is
undecided, and counts neither for the answer nor against it. Calling that a failed check would send good answers back
for a fault that is not theirs.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from contextvars import copy_context
from copy import deepcopy
from threading import Thread
from typing import Any

from ..routing.attempts import Check
from .validators import VALIDATORS, Validator, wanted

OWN_SECONDS = 10.0
"""How long a user's own validator may take for one answer."""
PLAIN = 2_000
"""Characters of a text without markup that may be looked at on the event loop."""
SHORT = 300
"""Characters that may be parsed there once the parser is loaded: half a millisecond, as much as a thread costs."""
MARKUP = re.compile(r"```|~~~|[\[<]")
"""Signs of blocks and links."""
PARSED = frozenset(["language", "schema"])
"""Parameters by which a text without any of them is parsed as a whole."""
MOST_CHECKS = 100
LONGEST_NAME = 200
LONGEST_DETAIL = 1_000

_logger = logging.getLogger("ymera.checker")


class Checker:
    """Makes checks. Any event loop of the process may use it.

    Args:
        validators: those that there are now, by their names.
        limit: seconds that one that is not built in may take.
    """

    def __init__(
        self, validators: Callable[[], Mapping[str, Validator]], *, limit: float = OWN_SECONDS
    ) -> None:
        self._validators, self._limit = validators, limit
        self._late: dict[str, Thread] = {}
        self._told: set[str] = set()
        self._loaded: set[str] = set()

    async def check(self, text: str, names: Iterable[str], parameters: Mapping[str, Any]) -> list[Check]:
        """Make the named checks of a text, and that of JSON where the parameters hold a JSON Schema."""
        known = self._validators()
        made = [await self._made(name, known, text, parameters) for name in wanted(names, parameters)]
        return [check for checks in made for check in checks]

    async def _made(
        self, name: str, known: Mapping[str, Validator], text: str, parameters: Mapping[str, Any]
    ) -> list[Check]:
        validator = known.get(name)
        if validator is None:  # the run was begun where it is known
            return [self._undecided(name, "there is no such validator here")]
        if (late := self._late.get(name)) and late.is_alive():
            return [self._undecided(name, "the validator is still busy with an earlier answer")]
        try:
            if VALIDATORS.get(name) is not validator:
                return _sound(await self._apart(name, validator, text, parameters))
            if _is_plain(text, parameters) or (len(text) <= SHORT and name in self._loaded):
                return validator(text, parameters)
            made = await asyncio.to_thread(validator, text, parameters)
            self._loaded.add(name)
            return made
        except Exception as error:  # noqa: BLE001 - whatever a function of the user's does
            return [self._undecided(name, f"the validator failed: {type(error).__name__}: {error}", error)]

    async def _apart(
        self, name: str, validator: Validator, text: str, parameters: Mapping[str, Any]
    ) -> object:
        """Return what a function returns in a thread that neither the loop nor the end of the process waits for."""
        made: Future[object] = Future()
        made.set_running_or_notify_cancel()
        own, context = deepcopy(dict(parameters)), copy_context()
        thread = Thread(target=lambda: _settle(made, lambda: context.run(validator, text, own)), daemon=True)
        thread.start()
        try:
            async with asyncio.timeout(self._limit) as patience:
                return await asyncio.wrap_future(made)
        finally:
            if patience.expired():
                self._late[name] = thread

    def _undecided(self, name: str, why: str, error: Exception | None = None) -> Check:
        if name not in self._told:
            self._told.add(name)
            # What it says of itself may quote the answer, of which no word reaches the log.
            kind = type(error).__name__ if error else why
            _logger.warning("The check %r does not count: %s%s", name, kind, _place_of(error))
        return Check(name=name[:LONGEST_NAME], passed=True, detail=why[:LONGEST_DETAIL], undecided=True)


def _is_plain(text: str, parameters: Mapping[str, Any]) -> bool:
    """Say whether a text has nothing that a parser would be loaded for: microseconds, where a thread takes more."""
    return len(text) <= PLAIN and MARKUP.search(text) is None and not PARSED.intersection(parameters)


def _settle(made: Future[object], work: Callable[[], object]) -> None:
    try:
        made.set_result(work())
    except Exception as error:  # noqa: BLE001 - handed on to the loop
        made.set_exception(error)
    except BaseException as error:  # noqa: BLE001 - `sys.exit()`, say: no check ends the process
        made.set_exception(RuntimeError(f"{type(error).__name__}: {error}"))


def _place_of(error: Exception | None) -> str:
    """Return where an error was raised."""
    place = error.__traceback__ if error else None
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    return f" at {place.tb_frame.f_code.co_filename}:{place.tb_lineno}" if place else ""


def _sound(found: object) -> list[Check]:
    """Return what a user's function has returned, as checks.

    Raises:
        TypeError: it is something else.
    """
    if not isinstance(found, list | tuple) or not all(map(_is_check, found)):
        raise TypeError(
            'it must return a list of {"name": a text, "passed": True or False, "detail": a text}, '
            f"and returned {type(found).__name__}"
        )
    return [
        Check(name=each["name"][:LONGEST_NAME], passed=each["passed"], detail=each["detail"][:LONGEST_DETAIL])
        for each in found[:MOST_CHECKS]
    ]


def _is_check(each: object) -> bool:
    if not isinstance(each, Mapping) or set(each) != {"name", "passed", "detail"}:
        return False
    return isinstance(each["passed"], bool) and all(isinstance(each[key], str) for key in ("name", "detail"))
