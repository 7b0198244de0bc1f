"""A run that waits for a person asks at the terminal."""

from __future__ import annotations

import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import typer

from .report import verdict_lines
from .routing.approvals import Question
from .routing.errors import InputError
from .terminal import say

HEADS = {"plan": "The plan", "review": "The result, which awaits your review"}


def can_ask() -> bool:
    """Say whether a person is there who could be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def ask(asked: Question, editor: str) -> dict[str, str] | None:
    """Ask a question at the terminal and return the answer; None where the person would rather answer later.

    Args:
        editor: the program in which a plan is edited.

    Raises:
        InputError: the editor does not run.
    """
    for line in told(asked):
        say(line)
    replies = [answer["decision"] for answer in asked["answers"]]
    try:
        reply = _choose(replies)
        field = next(
            (answer.keys() - {"decision"} for answer in asked["answers"] if answer["decision"] == reply),
            set(),
        )
        return {"decision": reply} | {name: _said(name, asked, editor) for name in field}
    except typer.Abort:
        return None


def told(asked: Question) -> list[str]:
    """Return what a person must know to answer, line by line."""
    text = asked["text"] or "(none)"
    lines = [f"{HEADS[asked['gate']]}:", "", *text.splitlines(), "", *verdict_lines(asked.get("verdict"))]
    lines += [f"- {finding}" for finding in (asked.get("verdict") or {"findings": []})["findings"]]
    lines += [f"{phase}: {model}" for phase, model in asked.get("models", {}).items()]
    return [*lines, asked["problem"]] if "problem" in asked else lines


def _choose(replies: Sequence[str]) -> str:
    while True:
        typed: str = typer.prompt(" / ".join(replies), err=True).strip().lower()
        meant = [reply for reply in replies if reply.startswith(typed)]
        if len(meant) == 1:
            return meant[0]
        say(f"{typed!r} is none of them.")


def _said(field: str, asked: Question, editor: str) -> str:
    if field == "text":
        return edited(asked["text"], editor)
    required = field != "why"
    typed: str = typer.prompt(field, default=None if required else "", show_default=False, err=True)
    return typed


def edited(text: str, editor: str) -> str:
    """Return what a person makes of a text in their editor.

    Raises:
        InputError: the editor does not run, or what it leaves is no text.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "plan.md"
        path.write_text(text, encoding="utf-8")
        try:
            subprocess.run([*shlex.split(editor), str(path)], check=True)
            return path.read_text(encoding="utf-8")
        except (OSError, ValueError, subprocess.CalledProcessError) as error:
            raise InputError(f"The editor {editor!r} cannot be used: {error}. Set EDITOR.") from error
