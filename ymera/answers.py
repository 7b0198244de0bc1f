"""The options with which a command answers a run that waits for a person."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

from .routing.approvals import FORMS, Question
from .routing.attempts import Reply
from .routing.errors import InputError

OPTIONS = {
    "text": ("--edit", "FILE"),
    "why": ("--why", "TEXT"),
    "note": ("--note", "TEXT"),
    "model": ("--model", "M"),
}
"""The option of `ymera resume` that carries each field of an answer, and what stands behind it."""


def commands(asked: Question, thread_id: str, again: Sequence[str] = ()) -> list[str]:
    """Return the commands that answer a question, one for each answer."""
    start = ["ymera", "resume", thread_id, *again]
    return [f"{shlex.join(start)} --answer {_options(answer)}" for answer in asked["answers"]]


def _options(answer: Mapping[str, str]) -> str:
    fields = [" ".join(OPTIONS[field]) for field in answer if field != "decision"]
    return " ".join([answer["decision"], *fields])


def read_options(reply: Reply | None, given: Mapping[str, str | None]) -> dict[str, str] | None:
    """Return the answer that the options of `ymera resume` make; None where there is none.

    Args:
        given: fields of an answer to what their options say.

    Raises:
        InputError: an option does not belong to the answer, or is missing.
    """
    said = {field: text for field, text in given.items() if text is not None}
    form = next((forms[reply] for forms in FORMS.values() if reply and reply in forms), None)
    wrong = [OPTIONS[field][0] for field in said if form is None or field != form.field]
    if wrong:
        to = f"--answer {reply}" if reply else "a resume without --answer"
        raise InputError(f"{', '.join(wrong)} does not belong to {to}.")
    if reply is None or form is None:
        return None
    if form.field and not form.optional and not said:
        raise InputError(f"--answer {reply} needs {' '.join(OPTIONS[form.field])}: {form.holds}.")
    return {"decision": reply, **said}
