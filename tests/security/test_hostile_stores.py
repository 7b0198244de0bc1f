"""What processes keep beside checkpoints is data too: results, cooldowns, spending, marks beside the weights."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from tests.scripted import Line, Script, scripted_services
from ymera.executor import MultiModelExecutor
from ymera.nodes.settings import Settings, load_settings
from ymera.routing.errors import InputError

from .audit import audit
from .canary import Bird
from .unfinished import resumed, tamper

TASK = ("coding_agent", "Write a greeting.")

RESULTS: dict[str, str | bytes] = {
    "nothing": "",
    "no JSON": "{",
    "a list": "[]",
    "no fields": "{}",
    "another type in a field": '{"strategy_type": 7}',
    "deep": "[" * 100_000,
    "a number with many digits": "9" * 10_000,
    "a constructor": '{"lc": 2, "type": "constructor", "id": ["tests", "security", "canary", "sing"], "args": []}',
    "a method for a field": '{"__class__": "x", "__init__": {"__globals__": {}}}',
    "a pickle": pickle.dumps(Bird.__new__(Bird)),
    "not UTF-8": b"\xff\xfe{}",
    "a number": 7,  # type: ignore[dict-item]
}


@pytest.mark.parametrize("text", RESULTS.values(), ids=RESULTS)
async def test_a_hostile_stored_result_is_refused_in_one_line(text: str | bytes, settings: Settings) -> None:
    executor = MultiModelExecutor(services=scripted_services(Script(), settings))
    assert (await executor.execute_with_multi_model(*TASK)).success
    tamper(settings.ymera_data_dir / "results.sqlite", "UPDATE results SET result = ?", [text])
    with audit(inside=settings.ymera_data_dir) as heard, pytest.raises(InputError) as raised:
        await executor.execute_with_multi_model(*TASK)
    assert heard.found == []
    assert "YMERA_CACHE_TTL=0" in str(raised.value)
    assert "\n" not in str(raised.value)


COOLDOWNS = {
    **RESULTS,
    "an endless one": '{"until": 1e400, "seconds": 1e400, "failures": 1}',
    "a negative one": '{"until": -1}',
}


@pytest.mark.parametrize("text", COOLDOWNS.values(), ids=COOLDOWNS)
async def test_a_hostile_cooldown_is_passed_over(text: str | bytes, settings: Settings) -> None:
    failing = Script(otherwise=Line(error=ConnectionError("no")), judge=Line(error=ConnectionError("no")))
    executor = MultiModelExecutor(services=scripted_services(failing, settings))
    await executor.execute_with_multi_model(*TASK)
    tamper(settings.ymera_data_dir / "health.sqlite", "UPDATE cooldowns SET cooldown = ?", [text])
    after = MultiModelExecutor(services=scripted_services(Script(), settings))
    with audit(inside=settings.ymera_data_dir) as heard:
        assert (await after.execute_with_multi_model(*TASK)).success
    assert heard.found == []


SUMS: dict[str, object] = {
    "a text": "x",
    "bytes": b"\xff",
    "a fraction": 0.5,
    "not a number": "nan",
    "endless": float("inf"),
    "the largest": 2**63 - 1,
    "the smallest": -(2**63),
}


@pytest.mark.parametrize("value", SUMS.values(), ids=SUMS)
async def test_a_hostile_sum_of_a_day_ends_in_a_result_or_in_one_line(
    value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("YMERA_DAILY_USD", "5")
    settings = load_settings()
    executor = MultiModelExecutor(services=scripted_services(Script(), settings))
    assert (await executor.execute_with_multi_model(*TASK, use_cache=False)).success
    tamper(settings.ymera_data_dir / "spending.sqlite", "UPDATE spending SET nano_usd = ?", [value])
    after = MultiModelExecutor(services=scripted_services(Script(), settings))
    said = ""
    try:
        await after.execute_with_multi_model(*TASK, use_cache=False)
    except InputError as error:
        said = str(error)
    assert said == "" or "spending.sqlite" in said
    assert "\n" not in said


TEXTS = ("", "{", "[" * 10_000, '{"input_tokens": "x"}', "../../x", "\x00\x1b[2J")
JOURNAL = (
    "run",
    "attempt",
    "checkpoint",
    "tenant",
    "phase",
    "model",
    "outcome",
    "started_at",
    "input_tokens",
    "cost_usd",
)


@pytest.mark.parametrize(
    "text", ["", "x", "{", "[" * 10_000, '{"input_tokens": "x"}', "../../x", "\x00\x1b[2J"]
)
@pytest.mark.parametrize("column", JOURNAL)
async def test_a_hostile_journal_ends_in_a_result_or_in_one_line(
    column: str, text: str, plain: Path, settings: Settings
) -> None:
    file = settings.ymera_data_dir / "journal.sqlite"
    tamper(file, f"UPDATE calls SET {column} = ?", [text])
    said = await resumed(settings)
    assert said == "" or "journal.sqlite" in said
