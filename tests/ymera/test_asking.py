"""A run that waits for a person who sits at the terminal: they are asked there, and the run goes on."""

from __future__ import annotations

import os
import pty
import select
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.scripted import ACCEPT
from tests.servers.faulty import Answer, FaultyServer

pytestmark = pytest.mark.usefixtures("no_models_at_home")
TASK = "Create a FastAPI endpoint for user management"
PLAN = Answer(text="1. Write the route.")
CODE = Answer(text="```python\nprint('hello')\n```")
BETTER = Answer(text="```python\nprint('hello, all')\n```")
GOOD = Answer(text=ACCEPT)
OF_PLAN, OF_REVIEW = "approve / edit / reject", "accept / revise / model"


class Terminal:
    """A person at a terminal: what they see, and what they type once they have seen something."""

    def __init__(self, process: subprocess.Popen[bytes], end: int) -> None:
        self._process, self._end = process, end
        self._met = 0
        self.seen = ""

    def types(self, text: str, *, after: str) -> None:
        deadline = time.monotonic() + 60
        while (found := self.seen.find(after, self._met)) < 0:
            assert time.monotonic() < deadline, self.seen
            assert self._reads(), self.seen
        self._met = found + len(after)
        os.write(self._end, f"{text}\n".encode())

    def ends(self) -> int:
        while self._reads():
            pass
        return self._process.wait(30)

    def _reads(self) -> bool:
        """Read what is there; say whether more may come."""
        if not select.select([self._end], [], [], 0.2)[0]:
            return self._process.poll() is None
        try:
            piece = os.read(self._end, 4_096)
        except OSError:  # the other end is closed
            return False
        self.seen += piece.decode(errors="replace")
        return bool(piece)


@contextmanager
def at_terminal(*arguments: str, **environment: str) -> Iterator[Terminal]:
    """Run a command at a terminal of its own."""
    end, inside = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", "from ymera.cli import main; main()", *arguments],
        stdin=inside,
        stdout=inside,
        stderr=inside,
        env={**os.environ, "TERM": "dumb", **environment},
    )
    os.close(inside)
    with process:
        try:
            yield Terminal(process, end)
        finally:
            process.kill()
            os.close(end)


def test_a_person_edits_the_plan_and_asks_for_a_mend(groq: FaultyServer, tmp_path: Path) -> None:
    groq.script("groq", [PLAN, CODE, GOOD, BETTER])
    editor = tmp_path / "editor.py"
    editor.write_text(
        "import pathlib, sys; pathlib.Path(sys.argv[1]).write_text('1. Mine.')", encoding="utf-8"
    )
    with at_terminal(
        "run", TASK, "--approve", "plan,review", EDITOR=shlex.join([sys.executable, str(editor)])
    ) as terminal:
        terminal.types("nonsense", after=OF_PLAN)
        terminal.types("e", after="is none of them")
        terminal.types("revise", after=OF_REVIEW)
        terminal.types("greet all of them", after="note")
        assert terminal.ends() == 0, terminal.seen
    assert "hello, all" in terminal.seen
    sent = [str(request) for request in groq.sent_to("groq")]
    assert len(sent) == 4
    assert "1. Mine." in sent[1]
    assert "greet all of them" in sent[3]


def test_a_person_approves_has_another_model_make_it_again_and_accepts(groq: FaultyServer) -> None:
    groq.script("groq", [PLAN, CODE, GOOD, BETTER, GOOD])
    with at_terminal("run", TASK, "--approve", "plan,review") as terminal:
        terminal.types("approve", after=OF_PLAN)
        terminal.types("model", after=OF_REVIEW)
        terminal.types("nonsense", after="model: ")
        terminal.types("model", after="Unknown model 'nonsense'")
        terminal.types("openai/gpt-oss-20b", after="model: ")
        terminal.types("accept", after="hello, all")
        assert terminal.ends() == 0, terminal.seen
    assert [request.model for request in groq.requests][3] == "openai/gpt-oss-20b"
    assert len(groq.requests) == 5


def test_a_person_rejects_the_plan(groq: FaultyServer) -> None:
    groq.script("groq", [PLAN])
    with at_terminal("run", TASK, "--approve", "plan") as terminal:
        terminal.types("reject", after=OF_PLAN)
        terminal.types("too short", after="why")
        assert terminal.ends() == 1, terminal.seen
    assert "The plan was rejected: too short" in terminal.seen
    assert len(groq.requests) == 1


def test_a_person_whose_editor_does_not_run_is_told_and_asked_again(groq: FaultyServer) -> None:
    groq.script("groq", [PLAN])
    with at_terminal("run", TASK, "--approve", "plan", EDITOR="no-such-editor") as terminal:
        terminal.types("edit", after=OF_PLAN)
        terminal.types("\x04", after="Set EDITOR.")
        assert terminal.ends() == 75, terminal.seen


def test_a_person_who_leaves_is_told_how_to_answer_later_and_is_asked_again_then(groq: FaultyServer) -> None:
    groq.script("groq", [PLAN, CODE, GOOD])
    with at_terminal("run", TASK, "--approve", "plan", "--thread", "t") as terminal:
        terminal.types("\x04", after=OF_PLAN)
        assert terminal.ends() == 75, terminal.seen
    assert "ymera resume t --answer approve" in terminal.seen
    with at_terminal("resume", "t") as terminal:
        terminal.types("a", after=OF_PLAN)
        assert terminal.ends() == 0, terminal.seen
    assert len(groq.requests) == 3
