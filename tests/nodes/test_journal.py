"""The journal of attempts: what a resumed run finds in it, what it does not, and a journal that cannot be used."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.memory import InMemorySaver
from pydantic import SecretStr

from ymera.nodes import journal as journals
from ymera.nodes.calls import SCHEMA
from ymera.nodes.database import Database, database_at
from ymera.nodes.journal import DAY_SECONDS, UNDER_WAY, About, Entry, Journal, Place, place_in
from ymera.nodes.losses import lost_attempts, most_of
from ymera.nodes.state import NO_USAGE
from ymera.routing.attempts import Attempt, Fault, Retry, RunView, Usage
from ymera.routing.catalogue import builtin_catalogue
from ymera.routing.flow import is_lost, key_of, next_turn
from ymera.routing.outcomes import ANSWERED
from ymera.routing.prediction import output_bound

from ..routing.test_flow import attempt, planned, run

KEPT, NOT_KEPT = "1f0a-kept", "1f0a-not-kept"
USAGE = Usage(
    input_tokens=120,
    output_tokens=30,
    cached_tokens=20,
    reasoning_tokens=10,
    cost_usd=0.002,
    unpriced=0,
    estimated=0,
)
ENTRY = Entry(
    attempt="review-2",
    checkpoint="1f0a-mine",
    agent="coding_agent",
    phase="review",
    provider="openai",
    model="gpt-4o",
    started_at=1_000.5,
    usage=Usage({**NO_USAGE, "input_tokens": 100, "cost_usd": 0.001, "unpriced": 1, "estimated": 1}),
)


def place(checkpoint: str = ENTRY.checkpoint, *, thread: str = "t", run: str = "r") -> Place:
    """Return a place in a thread of which one checkpoint was kept."""
    saver, kept = InMemorySaver(), empty_checkpoint()
    kept["id"] = KEPT
    where = RunnableConfig(configurable={"thread_id": thread, "checkpoint_ns": ""})
    saver.put(where, kept, {}, {})
    return Place(thread=thread, run=run, checkpoint=checkpoint, saver=saver)


HERE = place()


def ended(kind: str | None = None, usage: Usage = USAGE) -> Attempt:
    fault = Fault(kind=kind, message="", then="next") if kind else None
    made = attempt("review", 2, "openai:gpt-4o", at=ENTRY.started_at, seconds=2.5)
    return {**made, "ok": fault is None, "fault": fault, "usage": usage}


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    where: Path | SecretStr = tmp_path / "journal.sqlite"
    if request.param == "PostgreSQL":
        where = SecretStr(request.getfixturevalue("postgres_url"))
    return database_at(where, "journal", SCHEMA, patience=5)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


@pytest.fixture
def journal(file: Path) -> Journal:
    return journal_in(database_at(file, "journal", SCHEMA, patience=5))


def journal_in(database: Database, now: float = ENTRY.started_at) -> Journal:
    return Journal(database, clock=lambda: now)


def rows(file: Path) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(file)) as db:
        return db.execute("SELECT thread, attempt, outcome FROM calls ORDER BY started_at, thread").fetchall()


# --- what a resumed run finds -----------------------------------------------------------------------------


async def test_a_call_that_has_begun_is_there_for_whoever_goes_on(database: Database) -> None:
    await journal_in(database).begin(HERE, ENTRY)
    assert await journal_in(database).lost(HERE, "review", ()) == [ENTRY]


@pytest.mark.parametrize("kind", [None, "server_error"])
async def test_what_a_call_took_stands_there_once_it_is_over(database: Database, kind: str | None) -> None:
    journal = journal_in(database)
    await journal.begin(HERE, ENTRY)
    journal.end(HERE, ended(kind))
    found = replace(ENTRY, outcome=kind or ANSWERED, seconds=2.5, usage=USAGE)
    assert await journal.lost(HERE, "review", ()) == [found]


async def test_the_first_row_of_a_call_stays(journal: Journal) -> None:
    await journal.begin(HERE, ENTRY)
    journal.end(HERE, ended())
    await journal.begin(HERE, ENTRY)
    [found] = await journal.lost(HERE, "review", ())
    assert found.outcome == ANSWERED


async def test_calls_are_found_in_the_order_in_which_they_were_made(journal: Journal) -> None:
    for number, at in ((3, 20.0), (1, 10.0), (2, 30.0)):
        await journal.begin(HERE, replace(ENTRY, attempt=f"review-{number}", started_at=at))
    found = await journal.lost(HERE, "review", ())
    assert [entry.attempt for entry in found] == ["review-1", "review-3", "review-2"]


@pytest.mark.parametrize(
    ("asked", "phase", "known"),
    [
        pytest.param(HERE, "review", ("review-2",), id="its state knows it"),
        pytest.param(HERE, "generation", (), id="another phase"),
        pytest.param(place(thread="u"), "review", (), id="another thread"),
        pytest.param(place(run="s"), "review", (), id="another run of the thread"),
    ],
)
async def test_what_is_not_lost_to_a_phase_is_not_found(
    journal: Journal, asked: Place, phase: str, known: Sequence[str]
) -> None:
    await journal.begin(HERE, ENTRY)
    assert await journal.lost(asked, phase, known) == []


async def test_a_run_that_begins_here_has_lost_nothing_until_it_is_resumed(journal: Journal) -> None:
    """Not even asked: it could only have lost a call with the process in which it is."""
    await journal.begin(HERE, ENTRY)
    journal.begins(HERE.run)
    assert await journal.lost(HERE, "review", ()) == []
    assert await journal.lost(replace(HERE, resumed=True), "review", ()) == [ENTRY]
    assert await journal.lost(HERE, "review", ()) == [ENTRY], "of a resumed run each phase is looked at"


@pytest.mark.parametrize(
    ("begun_behind", "now_behind", "lost"),
    [
        pytest.param(KEPT, KEPT, True, id="the one where the run stands"),
        pytest.param(NOT_KEPT, KEPT, True, id="one that was never kept"),
        pytest.param(KEPT, NOT_KEPT, False, id="one that was kept: the run has gone on, or was sent back"),
    ],
)
async def test_a_call_is_lost_only_behind_a_checkpoint_from_which_nobody_went_on(
    journal: Journal, begun_behind: str, now_behind: str, lost: bool
) -> None:
    await journal.begin(place(begun_behind), replace(ENTRY, checkpoint=begun_behind))
    assert bool(await journal.lost(place(now_behind), "review", ())) is lost


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
COUNTS = st.integers(min_value=0, max_value=2**53)
AMOUNTS = st.floats(min_value=0, max_value=1e12, allow_nan=False)
ENTRIES = st.builds(
    Entry,
    attempt=st.integers(1, 10**6 - 1).map(lambda n: f"review-{n}"),
    checkpoint=st.just(ENTRY.checkpoint),
    agent=NAMES,
    phase=st.just("review"),
    provider=NAMES,
    model=NAMES,
    started_at=AMOUNTS,
    outcome=st.sampled_from((UNDER_WAY, ANSWERED, "server_error")),
    seconds=AMOUNTS,
    usage=st.fixed_dictionaries(
        {name: AMOUNTS if name == "cost_usd" else COUNTS for name in NO_USAGE if name not in ("unpriced", "estimated")}
        | {name: st.sampled_from((0, 1)) for name in ("unpriced", "estimated")}
    ),
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(entry=ENTRIES)
def test_whatever_is_written_down_is_read_back(entry: Entry) -> None:
    async def both() -> list[Entry]:
        with tempfile.TemporaryDirectory() as folder:
            database = database_at(Path(folder) / "journal.sqlite", "journal", SCHEMA, patience=5)
            with closing(database):
                journal = journal_in(database)
                await journal.begin(HERE, entry)
                return await journal.lost(HERE, "review", ())

    assert asyncio.run(both()) == [entry]


# --- what goes --------------------------------------------------------------------------------------------


async def test_the_calls_of_deleted_threads_are_of_none_and_have_no_words(
    file: Path, journal: Journal
) -> None:
    for thread in ("a", "b", "c"):
        entry = replace(ENTRY, about=About(task=f"the task of {thread}"))
        await journal.begin(place(thread=thread, run=f"run of {thread}"), entry)
    await journal.forget(["a", "c", "never there"])
    assert sorted(thread for thread, *_ in rows(file)) == ["", "", "b"]
    with closing(sqlite3.connect(file)) as db:
        assert db.execute("SELECT task FROM calls ORDER BY task").fetchall() == [
            ("",),
            ("",),
            ("the task of b",),
        ]


async def test_a_call_that_no_run_can_come_back_to_is_written_down_and_not_waited_for(
    file: Path, journal: Journal
) -> None:
    nowhere = Place(run="r")
    await journal.begin(nowhere, replace(ENTRY, checkpoint=""))
    journal.end(nowhere, ended())
    await journal.lost(HERE, "review", ())
    assert rows(file) == [("", "review-2", "answered")]


@pytest.mark.parametrize(
    ("where", "written"), [(Place(run="r"), False), (HERE, True)], ids=["nothing kept", "kept"]
)
async def test_where_nothing_is_learned_only_calls_that_a_run_can_come_back_to_are_written_down(
    where: Place, written: bool, file: Path
) -> None:
    database = database_at(file, "journal", SCHEMA, patience=5)
    journal = Journal(database, days=0, clock=lambda: ENTRY.started_at)
    await journal.begin(where, ENTRY)
    journal.end(where, ended())
    await journal.lost(HERE, "review", ())
    assert bool(rows(file)) is written


async def _begun(file: Path, times: Sequence[float], now: float) -> list[str]:
    """Write calls of these times down, and return those that are left."""
    journal = journal_in(database_at(file, "journal", SCHEMA, patience=5), now)
    for number, at in enumerate(times):
        await journal.begin(HERE, replace(ENTRY, attempt=f"review-{number}", started_at=at))
    await journal.lost(HERE, "review", ())  # waits for what was not waited for
    return [attempt for _, attempt, _ in rows(file)]


async def test_old_calls_go(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journals, "PRUNED_EVERY", 1)
    days = [0, 9.9, 10, 190]
    left = await _begun(file, [day * DAY_SECONDS for day in days], now=190 * DAY_SECONDS)
    assert left == ["review-2", "review-3"]


async def test_only_the_newest_calls_stay(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journals, "PRUNED_EVERY", 1)
    monkeypatch.setattr(journals, "KEPT_ROWS", 2)
    assert await _begun(file, [10, 30, 20, 40], now=50) == ["review-1", "review-3"]


async def test_calls_are_looked_through_once_in_a_thousand(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journals, "KEPT_ROWS", 1)
    assert len(await _begun(file, [10, 20, 30], now=50)) == 3


# --- what is not as it should be --------------------------------------------------------------------------

WRONG = [
    ("started_at", "yesterday"),
    ("started_at", float("inf")),
    ("seconds", -1.0),
    ("cost_usd", -0.5),
    ("cost_usd", float("inf")),
    ("cost_usd", b"\0"),
    ("input_tokens", -1),
    ("output_tokens", 1.5),
    ("estimated", "no"),
    ("outcome", b"answered"),
    ("model", b"\xff"),
    ("attempt", "review"),
    ("attempt", "review-x"),
    ("attempt", "review-1234567"),
]


@pytest.mark.parametrize(("column", "value"), WRONG, ids=lambda value: repr(value))
async def test_a_row_that_nobody_of_us_wrote_is_said_and_passed_over(
    file: Path, journal: Journal, caplog: pytest.LogCaptureFixture, column: str, value: object
) -> None:
    await journal.begin(HERE, ENTRY)
    with closing(sqlite3.connect(file)) as db:
        db.execute(f"UPDATE calls SET {column} = ?", (value,))
        db.commit()
    assert await journal.lost(HERE, "review", ()) == []
    [line] = caplog.messages
    assert "a row in it is not what YMERA writes" in line
    assert "journal.sqlite" in line


def _folder(file: Path) -> None:
    file.mkdir()


def _garbage(file: Path) -> None:
    file.write_bytes(b"no database at all" * 100)


def _other_table(file: Path) -> None:
    with closing(sqlite3.connect(file)) as db:
        db.execute("CREATE TABLE calls (thread TEXT)")


@pytest.mark.parametrize("spoil", [_folder, _garbage, _other_table])
async def test_a_journal_that_cannot_be_used_is_logged_and_done_without(
    file: Path, caplog: pytest.LogCaptureFixture, spoil: Callable[[Path], None]
) -> None:
    spoil(file)
    journal = journal_in(database_at(file, "journal", SCHEMA, patience=0.1))
    await journal.begin(HERE, ENTRY)
    journal.end(HERE, ended())
    assert await journal.lost(HERE, "review", ()) == []
    await journal.forget(["t"])
    assert caplog.messages
    for record in caplog.records:
        assert (record.name, record.levelno) == ("ymera.journal", logging.WARNING)
        assert "The journal of attempts is not kept" in record.message
        assert "journal.sqlite" in record.message


# --- where a call is made ---------------------------------------------------------------------------------

SAVER = InMemorySaver()


@pytest.mark.parametrize(
    ("configurable", "found"),
    [
        pytest.param({}, False, id="no graph"),
        pytest.param({"thread_id": "t", "checkpoint_map": {"": "c"}}, False, id="no checkpointer"),
        pytest.param({"thread_id": "t", "__pregel_checkpointer": SAVER}, False, id="nothing kept yet"),
        pytest.param(
            {"thread_id": "t", "__pregel_checkpointer": True, "checkpoint_map": {"": "c"}}, False, id="no saver"
        ),
        pytest.param(
            {"thread_id": "t", "__pregel_checkpointer": SAVER, "checkpoint_map": {"": "c", "lane:1": "d"}},
            True,
            id="in a lane of a run that is kept",
        ),
    ],
)  # fmt: skip
def test_a_place_is_behind_the_checkpoint_of_the_whole_run(configurable: dict[str, Any], found: bool) -> None:
    expected = Place(thread="t", run="r", checkpoint="c", saver=SAVER) if found else Place(run="r")
    assert place_in(RunnableConfig(configurable=configurable), "r") == expected


# --- lost calls as attempts -------------------------------------------------------------------------------

FIRST, SECOND = "openai:gpt-4o", "groq:llama-3.3-70b"
PLAN = planned("review", FIRST, SECOND)


def lost(view: RunView, entry: Entry = ENTRY) -> Attempt:
    [made] = lost_attempts(view, "review", [entry])
    return made


def test_a_lost_call_is_an_attempt_that_says_so() -> None:
    made = lost(run(PLAN))
    fault = made["fault"]
    assert fault is not None
    assert (made["id"], made["number"], key_of(made), made["ok"]) == ("review-2", 2, FIRST, False)
    assert (made["usage"], made["started_at"], made["seconds"]) == (ENTRY.usage, ENTRY.started_at, 0.0)
    assert (fault["kind"], fault["message"]) == ("interrupted", "the run broke off during the call")
    assert is_lost(made)


def test_a_lost_call_says_what_had_come_of_it() -> None:
    fault = lost(run(PLAN), replace(ENTRY, outcome=ANSWERED))["fault"]
    assert fault is not None
    assert fault["message"] == "the run broke off before what came of the call (answered) was kept"


FAILED = {"then": "next", "kind": "server_error"}
REPAIR = Retry(again="repair", wait=0.0)
BEFORE = {
    "the first try": ([], FIRST, None),
    "the fallback's turn": ([attempt("review", 1, FIRST, "next")], SECOND, None),
    "to be mended": (
        [attempt("review", 1, FIRST, "next", kind="schema_not_met", retry=REPAIR)],
        FIRST,
        "repair",
    ),
}


@pytest.mark.parametrize(("made", "model", "again"), BEFORE.values(), ids=BEFORE)
def test_the_same_model_has_its_turn_again_in_the_way_in_which_it_had_it(
    made: list[Attempt], model: str, again: str | None
) -> None:
    provider, _, name = model.partition(":")
    view = run(PLAN, attempts=made)
    gone = lost(view, replace(ENTRY, attempt=f"review-{len(made) + 1}", provider=provider, model=name))
    turn = next_turn(run(PLAN, attempts=[*made, gone]), "review")
    assert turn is not None
    assert key_of(turn.candidate) == model
    assert turn.again == (again or "same")


def test_a_call_that_is_lost_each_time_is_left_to_the_next_model() -> None:
    made: list[Attempt] = []
    for number in (1, 2, 3):
        view = run(PLAN, attempts=made)
        made = [*made, lost(view, replace(ENTRY, attempt=f"review-{number}"))]
    assert [is_lost(one) for one in made] == [True, True, False]
    turn = next_turn(run(PLAN, attempts=made), "review")
    assert turn is not None
    assert (key_of(turn.candidate), turn.again) == (SECOND, None)


# --- what a lost call counts in a budget ------------------------------------------------------------------

CATALOGUE = builtin_catalogue()
MODEL = CATALOGUE.models[FIRST]
MOST = output_bound(CATALOGUE.phases["review"], MODEL)
UNPRICED = ENTRY.usage


def of(
    model: str = FIRST, phase: str = "review", kind: str = "interrupted", usage: Usage = UNPRICED
) -> Attempt:
    return {**attempt(phase, 1, model, "next", kind=kind), "usage": usage}


@pytest.mark.parametrize(
    "made",
    [
        pytest.param(of(usage=USAGE), id="it is known what it took"),
        pytest.param(of(kind="timed_out"), id="it was not lost"),
        pytest.param(of(model="openai:gone"), id="its model has left the catalogue"),
        pytest.param(of(phase="gone"), id="its phase has left the catalogue"),
    ],
)
def test_an_attempt_counts_in_a_budget_with_its_usage(made: Attempt) -> None:
    assert most_of(made, CATALOGUE) == made["usage"]


def test_a_call_that_was_cut_counts_in_a_budget_with_all_that_it_may_have_taken() -> None:
    assert MODEL.price
    counted = most_of(of(), CATALOGUE)
    cost = UNPRICED["cost_usd"] + MOST * MODEL.price.output / 1e6
    assert counted == {**UNPRICED, "output_tokens": MOST, "cost_usd": pytest.approx(cost)}
