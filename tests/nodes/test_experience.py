"""Outcomes of all processes, as the next match reads them."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from pathlib import Path
from random import Random
from typing import Any, cast

import pytest

from ymera.nodes import experience
from ymera.nodes.calls import SCHEMA
from ymera.nodes.database import database_at
from ymera.nodes.experience import Experience
from ymera.routing.history import History, Outcome, Place
from ymera.routing.paces import expected

PLACE = Place("coding_agent", "generation")
ROW = (
    "INSERT INTO calls (thread, run, attempt, checkpoint, tenant, agent, phase, provider, model, started_at, outcome,"
    " seconds, input_tokens, output_tokens, cached_tokens, reasoning_tokens, cost_usd, unpriced, estimated, domain,"
    " complexity, speed, creativity, task, quality, settled_at) VALUES ('', ?, 'generation-1', '', ?, 'coding_agent',"
    " 'generation', 'groq', ?, ?, 'answered', 1, 10, 10, 0, 0, 0, 0, 0, 'coding_agent', '', '', '', '', ?, ?)"
)


def even(model: str, place: Place) -> float:
    return 0.5


class Clock:
    now = 0.0

    def __call__(self) -> float:
        self.now += experience.LOOK_SECONDS
        return self.now


def write(file: Path, outcomes: list[tuple[str, Any]], tenant: str = "", since: int = 0) -> None:
    """Write outcomes as another process does."""
    with database_at(file, "journal", SCHEMA, patience=1).transaction() as rows:
        for number, (model, quality) in enumerate(outcomes, since):
            rows.execute(ROW, (f"run {number}", tenant, model, float(number), quality, float(number)))


def over(file: Path, **given: Any) -> Experience:
    found = Experience(database_at(file, "journal", SCHEMA, patience=1), clock=Clock(), **given)
    found.expect(even)
    return found


async def looked(found: Experience) -> History | None:
    await found.look()
    return found.known.history


def some(count: int, seed: int = 0) -> list[tuple[str, Any]]:
    random = Random(seed)
    return [
        (model := random.choice("ab"), float(random.random() < {"a": 0.8, "b": 0.4}[model]))
        for _ in range(count)
    ]


class Slow:
    """A database in which looking takes a while."""

    place = cure = ""
    looks = 0

    def stamp(self) -> object | None:
        self.looks += 1
        time.sleep(0.2)
        return None


async def test_it_is_looked_the_less_often_the_longer_looking_takes() -> None:
    database, now = Slow(), [0.0]
    found = Experience(cast("Any", database), clock=lambda: now[0])
    looks = []
    for now[0] in (10.0, 13.0, 13.9, 1_000.0):  # a twentieth of the time: after 0.2 s, at least 4 s
        await found.look()
        looks.append(database.looks)
    assert looks == [1, 1, 1, 2]


async def test_where_there_is_nothing_no_file_is_made(tmp_path: Path) -> None:
    assert await looked(over(tmp_path / "journal.sqlite")) is None
    assert not (tmp_path / "journal.sqlite").exists()


async def test_what_another_process_writes_is_taken_in_at_the_next_look(tmp_path: Path) -> None:
    file = tmp_path / "journal.sqlite"
    found = over(file)
    assert await looked(found) is None
    write(file, [("a", 1.0)] * 10)
    first = await looked(found)
    assert first is not None
    assert await looked(found) is first, "nothing came, and it was made anew"
    write(file, [("a", 1.0)] * 10, since=10)
    second = await looked(found)
    assert second is not None
    assert second.estimate("groq:a", PLACE).mean > first.estimate("groq:a", PLACE).mean > 0.5


async def test_a_verdict_that_a_person_overrules_counts_once(tmp_path: Path) -> None:
    file = tmp_path / "journal.sqlite"
    found = over(file)
    write(file, [("a", 1.0)] * 10)
    await found.look()
    with database_at(file, "journal", SCHEMA, patience=1).transaction() as rows:
        rows.execute("UPDATE calls SET quality = 0, settled_at = 99 WHERE run = 'run 3'")
    history = await looked(found)
    assert history is not None
    estimate = history.estimate("groq:a", PLACE)
    assert (round(estimate.outcomes), round(estimate.total)) == (10, 9)


async def test_older_outcomes_in_sums_say_what_they_say_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(experience, "RECENT", 100)
    every = some(700)
    write(tmp_path / "journal.sqlite", every)
    one_by_one = History(even)
    for model, quality in every:
        one_by_one.add(Outcome(model=f"groq:{model}", place=PLACE, quality=quality))
    in_sums = await looked(over(tmp_path / "journal.sqlite"))
    assert in_sums is not None
    for model in ("groq:a", "groq:b"):
        expected, estimate = one_by_one.estimate(model, PLACE), in_sums.estimate(model, PLACE)
        assert estimate.mean == pytest.approx(expected.mean, abs=0.02)
        assert estimate.outcomes == pytest.approx(expected.outcomes, rel=0.05)


async def test_how_long_answers_were_and_took_is_read_by_model_and_phase(tmp_path: Path) -> None:
    write(tmp_path / "journal.sqlite", [("a", None)] * 4)
    found = over(tmp_path / "journal.sqlite")
    assert await looked(found) is None, "nothing was judged"
    pace = found.known.paces["groq:a", "generation"]
    assert (pace.seconds.number, pace.tokens.number) == (4, 4)
    assert expected(100.0, pace.tokens).middle < 50


async def test_a_tenant_learns_from_its_own_outcomes_alone(tmp_path: Path) -> None:
    file = tmp_path / "journal.sqlite"
    write(file, [("a", 1.0)] * 5, tenant="acme")
    assert await looked(over(file)) is None
    assert await looked(over(file, tenant="other")) is None
    assert await looked(over(file, tenant="acme")) is not None


@pytest.mark.parametrize("quality", ["x", b"\xff", 2.0, -1.0, float("inf"), float("-inf"), "nan", 2**63 - 1])
async def test_hostile_rows_are_passed_over(
    quality: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(experience, "RECENT", 20)
    file = tmp_path / "journal.sqlite"
    write(file, [("a", quality)] * 30)
    write(file, [("b", 1.0)] * 10, since=30)
    history = await looked(over(file))
    assert history is not None
    assert history.models == ["groq:b"]


async def test_a_file_that_is_none_is_logged_once_and_nothing_is_learned(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "journal.sqlite"
    file.write_bytes(b"no database" * 1_000)
    found = over(file)
    with caplog.at_level(logging.WARNING, "ymera.experience"):
        assert [await looked(found) for _ in range(3)] == [None] * 3
    assert len(caplog.records) == 1
    assert "journal.sqlite" in caplog.text


async def test_another_prior_makes_another_history_of_the_same_outcomes(tmp_path: Path) -> None:
    write(tmp_path / "journal.sqlite", [("a", 1.0)] * 3)
    found = over(tmp_path / "journal.sqlite")
    before = await looked(found)
    found.expect(lambda model, place: 0.1)
    assert before is not None
    assert found.known.history is not None
    assert found.known.history.estimate("groq:a", PLACE).mean < before.estimate("groq:a", PLACE).mean


async def test_a_hundred_thousand_outcomes_are_read_in_a_moment_and_not_again(tmp_path: Path) -> None:
    file = tmp_path / "journal.sqlite"
    await asyncio.to_thread(write, file, some(100_000))
    found = over(file)
    begun = time.perf_counter()
    await found.look()
    assert time.perf_counter() - begun < 2, "on two shared cores it takes a tenth of that"
    begun = time.perf_counter()
    await found.look()
    assert time.perf_counter() - begun < 0.05


def test_the_index_of_settled_outcomes_is_used(tmp_path: Path) -> None:
    file = tmp_path / "journal.sqlite"
    write(file, some(10))
    with sqlite3.connect(file) as db:
        plan = db.execute(f"EXPLAIN QUERY PLAN {experience._RECENT}", ("", 100)).fetchall()
    assert "calls_settled" in str(plan)


def test_older_outcomes_are_summed_in_the_order_of_their_index(tmp_path: Path) -> None:
    file = tmp_path / "journal.sqlite"
    write(file, some(10))
    with sqlite3.connect(file) as db:
        plan = db.execute(f"EXPLAIN QUERY PLAN {experience._OLDER}", ("", 100.0)).fetchall()
    assert "COVERING INDEX calls_summed" in str(plan)
    assert "TEMP B-TREE" not in str(plan)
