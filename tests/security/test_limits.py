"""Whatever comes from outside has a limit, and one clear error beyond it."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ymera.inputs import read_parameters, read_task
from ymera.nodes.matching import AgentModelMatcher
from ymera.nodes.settings import Settings, SettingsError, load_settings
from ymera.nodes.verdicts import LONGEST, parse_verdict
from ymera.results import MultiModelResult
from ymera.routing import limits
from ymera.routing.catalogue import builtin_catalogue, extend
from ymera.routing.errors import CatalogueError, InputError, YmeraError
from ymera.routing.matcher import TaskRequest, Wishes


def nested(levels: int) -> Any:
    value: Any = "x"
    for _ in range(levels):
        value = [value]
    return value


def endless() -> dict[str, Any]:
    value: dict[str, Any] = {}
    value["itself"] = value
    return value


REQUESTS: dict[str, tuple[dict[str, Any], str]] = {
    "a task that is too long": (
        {"description": "x" * (limits.LONGEST_TASK + 1)},
        "at most 10000000 are taken",
    ),
    "a task that is no text": ({"description": 7}, "not a text: 7"),
    "a task of blanks": ({"description": " \n"}, "The task is empty"),
    "half a letter in the task": ({"description": "a\ud800"}, "half of a character"),
    "parameters that are too large": (
        {"parameters": {"a": "x" * limits.LARGEST_PARAMETERS}},
        "at most 1000000",
    ),
    "parameters that are too deep": ({"parameters": {"a": nested(limits.DEEPEST)}}, "more than 50 levels"),
    "parameters within themselves": ({"parameters": endless()}, "more than 50 levels"),
    "a number of many digits": ({"parameters": {"a": 10**5000}}, "too many digits"),
    "an agent with a long name": ({"agent_name": "a" * 201}, "a name of 201 characters; at most 200"),
    "an agent with a line end": ({"agent_name": "a\nb"}, "holds control characters"),
    "a phase with a long name": ({"phases": ["p" * 201]}, "a name of 201 characters"),
    "too many phases": ({"phases": ["planning"] * 101}, "101 names of a phase are given; at most 100"),
}


@pytest.mark.parametrize(("given", "said"), REQUESTS.values(), ids=REQUESTS)
def test_a_request_beyond_a_limit_is_refused(given: dict[str, Any], said: str, settings: Settings) -> None:
    request = TaskRequest(**{"agent_name": "coding_agent", "description": "Write a greeting.", **given})
    with pytest.raises(InputError) as raised:
        AgentModelMatcher(settings).strategy(request, Wishes())
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 500


@pytest.mark.parametrize(
    "wishes", [Wishes(model="m" * 201), Wishes(providers=("p" * 201,)), Wishes(model="\x1b[2J")]
)
def test_a_wish_beyond_a_limit_is_refused(wishes: Wishes, settings: Settings) -> None:
    request = TaskRequest(agent_name="coding_agent", description="Write a greeting.")
    with pytest.raises(InputError, match=r"a name of 201|control characters"):
        AgentModelMatcher(settings).strategy(request, wishes)


def test_what_is_just_within_the_limits_is_taken() -> None:
    limits.check_task("x" * limits.LONGEST_TASK)
    limits.check_parameters({"a": "x" * (limits.LARGEST_PARAMETERS - len('{"a": ""}'))})
    limits.check_parameters({"a": nested(limits.DEEPEST - 1)})
    limits.check_name("thread", "t" * limits.LONGEST_NAME)
    limits.check_names("phase", ["planning"] * limits.MOST_NAMES)


@pytest.mark.parametrize("thread", ["", " ", "t" * 201, "a\x00b", "a\nb", "\x1b[2J", "\ud800", 7, None])
def test_a_thread_that_is_no_name_is_refused(thread: Any) -> None:
    with pytest.raises(InputError, match="The thread"):
        limits.check_name("thread", thread)


def test_a_standard_input_without_an_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    class Endless(io.RawIOBase):
        asked = 0

        def read(self, size: int = -1) -> bytes:
            assert size > 0
            Endless.asked = size
            return b"x" * size

    monkeypatch.setattr(sys, "stdin", type("Stdin", (), {"buffer": Endless()}))
    with pytest.raises(InputError, match="more than 40000000 bytes"):
        read_task("-")
    assert Endless.asked == limits.LARGEST_TASK_BYTES + 1


def test_files_that_are_too_large_are_refused(tmp_path: Path) -> None:
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(limits.LARGEST_FILE + 1)
    with pytest.raises(InputError, match="more than 10000000 bytes"):
        read_parameters(f"@{large}", [])
    with pytest.raises(CatalogueError, match="more than 10000000 bytes"):
        extend(builtin_catalogue(), large)


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no such device here")
def test_a_device_without_an_end_is_refused() -> None:
    with pytest.raises(CatalogueError, match="more than 10000000 bytes"):
        extend(builtin_catalogue(), Path("/dev/zero"))


@pytest.mark.parametrize("text", ["a = " + "[" * 100_000, "a = " + "9" * 5_000, "a." * 2_000 + "b"])
def test_a_catalogue_that_breaks_its_reader_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(CatalogueError) as raised:
        extend(builtin_catalogue(), text)
    assert "\n" not in str(raised.value)


JSON = ("YMERA_DAILY_USD", "YMERA_RATES", "YMERA_LOCAL_MODELS")


@pytest.mark.parametrize(
    "text", ["{", "[", "[1]", "{\"a\": ", "[" * 90_000, "9" * 5_000, '"' + "x" * 100_001 + '"', '{"": "x"}', "\\"],
    ids=["open", "list", "a list", "half", "deep", "digits", "long", "no name", "no JSON"],
)  # fmt: skip
@pytest.mark.parametrize("variable", JSON)
def test_a_setting_that_is_no_such_json_is_one_line(
    variable: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.environ", {**__import__("os").environ, variable: text})
    with pytest.raises(SettingsError) as raised:
        load_settings()
    said = str(raised.value)
    assert said.startswith(f"{variable}: Input should be ")
    assert "\n" not in said
    assert len(said) < 700


@pytest.mark.parametrize(
    "text", ["{" * 30_000, '{"decision": ' * 20_000, "[" * 50_000, '{"findings": [' * 10_000]
)
def test_a_verdict_without_an_end_is_none(text: str) -> None:
    assert parse_verdict(text) is None


def test_of_an_endless_verdict_the_beginning_is_read() -> None:
    assert parse_verdict(" " * LONGEST + '{"findings": [], "decision": "accept"}') is None


LARGE: dict[str, Callable[[], object]] = {
    "a stored result": lambda: MultiModelResult.from_json("[" * 1_000_000),
    "parameters": lambda: read_parameters("[" * 1_000_000, []),
    "one parameter": lambda: read_parameters(json.dumps({}), ["x" * 3]),
}


@pytest.mark.parametrize("read", LARGE.values(), ids=LARGE)
def test_deep_json_ends_in_one_error(read: Callable[[], object]) -> None:
    with pytest.raises(YmeraError):
        read()
