"""Checks are made beside the event loop; one that fails itself counts neither for an answer nor against it."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from ymera.nodes.checker import Checker
from ymera.nodes.validators import VALIDATORS, Validator
from ymera.routing.attempts import Check
from ymera.routing.outcomes import counts_of

GOOD = Check(name="it is short", passed=True, detail="2 words")


def checker(limit: float = 10.0, **own: Any) -> Checker:
    validators: dict[str, Validator] = {**VALIDATORS, **own}
    return Checker(lambda: validators, limit=limit)


async def checked(of: Checker, *names: str, text: str = "an answer", **parameters: Any) -> list[Check]:
    return await of.check(text, names, parameters)


async def test_built_in_and_own_checks_come_in_the_order_of_the_profile() -> None:
    found = await checked(
        checker(short=lambda text, parameters: [GOOD]), "short", "python", text="```py\nx=1\n```"
    )
    assert [check["name"] for check in found] == [
        "it is short",
        "Python block 1 compiles",
        "Python block 1 lints",
    ]


async def test_an_own_check_is_told_the_text_and_a_copy_of_the_parameters() -> None:
    seen: list[Any] = []

    def own(text: str, parameters: Mapping[str, Any]) -> list[Check]:
        seen.append((text, dict(parameters)))
        parameters["words"].append("more")
        return []

    words = ["one"]
    assert await checked(checker(own=own), "own", words=words) == []
    assert (seen, words) == ([("an answer", {"words": ["one", "more"]})], ["one"])


def raising(error: BaseException) -> Validator:
    def own(text: str, parameters: Mapping[str, Any]) -> list[Check]:
        raise error

    return own


def returning(value: Any) -> Validator:
    return lambda text, parameters: value


BROKEN: dict[str, tuple[Any, str]] = {
    "an error": (raising(ZeroDivisionError("by zero")), "ZeroDivisionError: by zero"),
    "the end of the process": (raising(SystemExit(3)), "SystemExit: 3"),
    "a cancellation": (raising(asyncio.CancelledError()), "CancelledError"),
    "a function of something else": (lambda: [GOOD], "TypeError"),
    "nothing": (returning(None), "returned NoneType"),
    "a yes": (returning(True), "returned bool"),
    "a check without a detail": (returning([{"name": "a", "passed": True}]), "must return a list"),
    "a check with more": (returning([{**GOOD, "more": 1}]), "must return a list"),
    "a check that is half passed": (returning([{**GOOD, "passed": 0.5}]), "must return a list"),
    "a check whose name is a number": (returning([{**GOOD, "name": 3}]), "must return a list"),
}


@pytest.mark.parametrize(("own", "told"), BROKEN.values(), ids=BROKEN)
async def test_an_own_check_that_fails_itself_is_undecided(own: Validator, told: str) -> None:
    [found] = await checked(checker(own=own), "own")
    assert found["undecided"]
    assert found["passed"]
    assert told in found["detail"]
    assert counts_of([found]) == (0, 0)


async def test_the_checks_beside_a_broken_one_are_made() -> None:
    found = await checked(checker(own=raising(ValueError())), "own", "python", text="```py\nx = = 1\n```")
    assert [check["passed"] for check in found] == [True, False]


async def test_what_breaks_is_logged_once_without_a_word_of_the_answer(
    caplog: pytest.LogCaptureFixture,
) -> None:
    of = checker(own=lambda text, parameters: int(text))
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            await checked(of, "own", text="a secret")
    [record] = caplog.records
    assert "ValueError at " in record.getMessage()
    assert "secret" not in caplog.text


async def test_an_own_check_that_blocks_leaves_the_event_loop_alone() -> None:
    begun, free = threading.Event(), threading.Event()

    def own(text: str, parameters: Mapping[str, Any]) -> list[Check]:
        begun.set()
        free.wait(30)
        return [GOOD]

    checks = asyncio.create_task(checked(checker(own=own), "own"))
    while not begun.is_set():
        await asyncio.sleep(0)
    assert not checks.done()
    free.set()
    assert await checks == [GOOD]


async def test_an_own_check_that_takes_too_long_is_given_up_and_left_alone_until_it_ends() -> None:
    calls, free = list[str](), threading.Event()

    def own(text: str, parameters: Mapping[str, Any]) -> list[Check]:
        calls.append(text)
        free.wait(30)
        return [GOOD]

    of = checker(limit=0.01, own=own)
    [late] = await checked(of, "own", text="first")
    [busy] = await checked(of, "own", text="second")
    assert (late["undecided"], busy["undecided"]) == (True, True)
    assert "TimeoutError" in late["detail"]
    assert "still busy" in busy["detail"]
    free.set()
    while (found := await checked(of, "own", text="third"))[0].get("undecided"):
        await asyncio.sleep(0.001)
    assert found == [GOOD]
    assert calls[0] == "first"
    assert "second" not in calls


async def test_an_own_check_that_never_ends_does_not_keep_the_process_alive() -> None:
    program = """
import asyncio, threading
from ymera.nodes.checker import Checker
of = Checker(lambda: {"own": lambda text, parameters: threading.Event().wait()}, limit=0.01)
print(asyncio.run(of.check("x", ["own"], {}))[0]["undecided"])
"""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await asyncio.wait_for(process.communicate(), 60)
    assert (process.returncode, out.strip()) == (0, b"True")


async def test_a_check_that_is_not_known_here_is_undecided() -> None:
    [found] = await checked(checker(), "of another process")
    assert (found["undecided"], found["detail"]) == (True, "there is no such validator here")


async def test_long_words_of_an_own_check_are_cut() -> None:
    long = [Check(name="n" * 9_999, passed=False, detail="d" * 9_999)] * 999
    found = await checked(checker(own=returning(long)), "own")
    assert len(found) == 100
    assert (len(found[0]["name"]), len(found[0]["detail"])) == (200, 1_000)


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: {"text": "x" * 1_500}, id="plain words"),
        pytest.param(lambda: {"text": "```python\nx = = 1\n```"}, id="a block"),
        pytest.param(lambda: {"text": "[a]()"}, id="a link"),
        pytest.param(lambda: {"text": "x = = 1", "language": "python"}, id="a language asked for"),
        pytest.param(lambda: {"text": "no", "schema": {"type": "object"}}, id="a schema"),
    ],
)
async def test_what_is_seen_at_once_is_what_a_thread_sees(make: Callable[[], dict[str, Any]]) -> None:
    given = make()
    text = given.pop("text")
    at_once = [check for name in VALIDATORS for check in VALIDATORS[name](text, given)]
    assert await checked(checker(), *VALIDATORS, text=text, **given) == at_once
