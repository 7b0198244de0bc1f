"""How a command ends: the exit codes, and one message for whatever went wrong."""

from __future__ import annotations

import os
import sys
from typing import Any

import typer
from typer.core import TyperGroup

from .routing.errors import (
    InputError,
    NoUsableModelError,
    ResumeError,
    RunInterrupted,
    WeightsError,
    YmeraError,
)
from .terminal import print_json, say

SUCCESS = 0
FAILED = 1
BAD_INPUT = 2
NO_MODEL = 3
OUT_OF_BUDGET = 4
INTERRUPTED = 75
"""EX_TEMPFAIL of sysexits.h: try again later."""
CLOSED_PIPE = 141
"""What a shell sees of a program that SIGPIPE ended."""

CODES: dict[type[YmeraError], int] = {
    InputError: BAD_INPUT,
    ResumeError: BAD_INPUT,
    NoUsableModelError: NO_MODEL,
    WeightsError: NO_MODEL,
    RunInterrupted: INTERRUPTED,
}
AS_JSON = "ymera.json"
"""Key of the command's context under which `--json` is remembered."""


class Interrupted(Exception):  # noqa: N818 - the word that is printed
    """The run was interrupted; the message says how it goes on."""


class Commands(TyperGroup):
    """A group of commands that turns errors into one message and the exit code."""

    def invoke(self, ctx: Any) -> Any:  # Any: typer's context class is its own or click's, by its version
        try:
            return _flushed(super().invoke, ctx)
        except YmeraError as error:
            code = next(code for kind, code in CODES.items() if isinstance(error, kind))
            return _end(ctx, str(error), code)
        except Interrupted as error:
            return _end(ctx, str(error), INTERRUPTED)
        except KeyboardInterrupt:
            return _end(ctx, "Interrupted before anything was done.", INTERRUPTED)
        except BrokenPipeError:
            # What is left in the buffer has no reader; Python would complain about it at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(CLOSED_PIPE) from None


def _flushed(invoke: Any, ctx: Any) -> Any:
    """Invoke, and flush before the command counts as done, so that a closed pipe shows here."""
    try:
        return invoke(ctx)
    finally:
        sys.stdout.flush()


def _end(ctx: Any, message: str, code: int) -> None:
    say(message)
    if ctx.meta.get(AS_JSON):
        print_json({"success": False, "error": message, "exit_code": code})
    raise typer.Exit(code)
