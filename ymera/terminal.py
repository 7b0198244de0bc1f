"""What reaches a person's terminal besides results: messages and logs."""

from __future__ import annotations

import json
import logging
import re
import sys

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""What a terminal obeys: control characters, and those that turn the direction of what follows."""


def harmless(text: str) -> str:
    """Return a text without the control characters that a terminal would obey; line ends and tabs stay."""
    return CONTROL.sub("", text.replace("\r\n", "\n"))


def say(message: str) -> None:
    """Write a line to the standard error."""
    sys.stderr.write(harmless(message) + "\n")
    sys.stderr.flush()


def print_json(value: object) -> None:
    """Write one JSON document to the standard output, with nothing in it that a terminal would obey."""
    text = json.dumps(value, ensure_ascii=False, indent=2)
    sys.stdout.write(CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + "\n")


class _Lines(logging.Handler):
    """Writes where the standard error is at that moment: a live table takes it over for a while."""

    def emit(self, record: logging.LogRecord) -> None:
        say(self.format(record))


def show_logs(verbosity: int) -> None:
    """Let YMERA's own log through (0: warnings, 1: what is done, 2: every detail); others' only from 2 on."""
    handler = _Lines()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s", "%H:%M:%S"))
    ours = logging.getLogger("ymera")
    ours.setLevel((logging.WARNING, logging.INFO, logging.DEBUG)[min(verbosity, 2)])
    # A handler at the root, silent or not, keeps Python from printing the libraries' warnings by itself.
    ours.handlers = [handler] if verbosity < 2 else []
    logging.getLogger().addHandler(handler if verbosity > 1 else logging.NullHandler())
    logging.captureWarnings(True)
