"""The tables that all processes share: the same behaviour in a SQLite file and in PostgreSQL."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr

from ymera.nodes.database import Database, DatabaseError, Place, Rows, database_at
from ymera.nodes.health import LOOK_SECONDS, Health
from ymera.nodes.ledger import ResultCache
from ymera.nodes.postgres import why
from ymera.nodes.settings import SettingsError, load_settings
from ymera.nodes.spending import Spending
from ymera.routing.budget import Ask, Grant
from ymera.routing.errors import InputError
from ymera.routing.records import ModelProfile, Price

from ..servers.postgres import Postgres

SCHEMA = """
CREATE TABLE IF NOT EXISTS counts (name TEXT PRIMARY KEY, count BIGINT NOT NULL);
CREATE INDEX IF NOT EXISTS counts_by_count ON counts (count);
"""
ADD = (
    "INSERT INTO counts VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET count = counts.count + excluded.count"
)
READ = "SELECT count FROM counts WHERE name = ?"
SECRET = "pass@word/with?marks"
ONE = ModelProfile(
    name="one", provider="acme", model_id="one", scores={}, context_tokens=1, max_output_tokens=1
)


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "sqlite":
        return tmp_path / "new" / "counts.sqlite"
    return SecretStr(request.getfixturevalue("postgres_url"))


def counts(place: Place, *, patience: float = 10) -> Database:
    return database_at(place, "counts", SCHEMA, patience=patience)


def read(database: Database) -> int:
    with database.reading() as rows:
        found = rows.execute(READ, ("it's",))
    return int(found[0][0]) if found else 0


def add(database: Database, count: int = 1) -> None:
    with database.transaction() as rows:
        rows.execute(ADD, ("it's", count))


def add_and(database: Database, then: Callable[[Rows], object]) -> None:
    """Add one and do something else in the same transaction."""
    with database.transaction() as rows:
        rows.execute(ADD, ("it's", 1))
        then(rows)


def test_what_is_done_in_a_transaction_is_kept_as_a_whole_or_not_at_all(place: Place) -> None:
    database = counts(place)
    add(database, 2)
    with pytest.raises(ZeroDivisionError):
        add_and(database, lambda rows: 1 / 0)
    with pytest.raises(DatabaseError):
        add_and(database, lambda rows: rows.execute("SELECT nothing FROM nowhere"))
    assert read(database) == read(counts(place)) == 2


def test_a_statement_by_itself_is_kept_at_once(place: Place) -> None:
    database = counts(place)
    database.write(ADD, ("it's", 2))
    assert read(counts(place)) == 2
    with pytest.raises(DatabaseError):
        database.write("INSERT INTO nowhere VALUES (?)", (1,))
    database.write(ADD, ("it's", 1))
    assert read(counts(place)) == 3


def test_a_name_is_data_and_a_percent_sign_no_placeholder(place: Place) -> None:
    database = counts(place)
    with database.transaction() as rows:
        rows.execute(ADD, ("'; DROP TABLE counts; --%s", 1))
        assert rows.execute("SELECT count(*) FROM counts WHERE name LIKE '%DROP%' AND count < ?", (2,)) == [
            (1,)
        ]


def test_threads_and_databases_on_one_place_lose_no_count(place: Place) -> None:
    databases = [counts(place) for _ in range(2)]

    def work(database: Database) -> None:
        for _ in range(25):
            with database.transaction() as rows:
                found = rows.execute(READ, ("it's",))
                rows.execute("DELETE FROM counts WHERE name = ?", ("it's",))
                rows.execute(ADD, ("it's", found[0][0] + 1 if found else 1))

    threads = [threading.Thread(target=work, args=(databases[i % 2],)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read(databases[0]) == 100


CHILD = """
import sys
from pathlib import Path
from pydantic import SecretStr
from ymera.nodes.database import database_at

schema, kind, where = sys.argv[1:]
database = database_at(Path(where) if kind == "file" else SecretStr(where), "counts", schema, patience=30)
sys.stdin.readline()
for _ in range(20):
    with database.transaction() as rows:
        found = rows.execute("SELECT count FROM counts WHERE name = 'all'")
        rows.execute("DELETE FROM counts WHERE name = 'all'")
        rows.execute("INSERT INTO counts VALUES ('all', ?)", (found[0][0] + 1 if found else 1,))
"""


async def test_processes_that_begin_at_once_make_the_table_once_and_take_turns(place: Place) -> None:
    arguments = ("file", str(place)) if isinstance(place, Path) else ("url", place.get_secret_value())
    command = (sys.executable, "-c", CHILD, SCHEMA, *arguments)
    pipe = asyncio.subprocess.PIPE
    children = [await asyncio.create_subprocess_exec(*command, stdin=pipe, stderr=pipe) for _ in range(4)]
    said = await asyncio.gather(*(child.communicate(b"\n") for child in children))
    assert [complaint.decode() for _, complaint in said] == [""] * 4
    with counts(place).reading() as rows:
        assert rows.execute("SELECT count FROM counts WHERE name = 'all'") == [(80,)]


def test_a_lock_that_another_holds_too_long_is_told(place: Place) -> None:
    holder, other = counts(place), counts(place, patience=0.1)
    add(other)
    with holder.transaction() as rows:
        rows.execute(ADD, ("it's", 1))
        with pytest.raises(DatabaseError, match=r"locked|lock timeout"), other.transaction():
            pytest.fail("two hold the lock")
        assert read(other) == 1, "who only reads does not wait, and sees nothing half done"
    add(other)
    assert read(other) == 3


def test_a_stamp_differs_after_another_has_written(place: Place) -> None:
    one, other = counts(place), counts(place)
    if isinstance(place, Path):
        assert one.stamp() is None
        assert not place.exists()
    add(one)
    before = one.stamp()
    assert before is not None
    if isinstance(place, Path):
        assert one.stamp() == before
    add(other)
    assert one.stamp() != before


def test_a_closed_database_is_opened_by_its_next_use(place: Place) -> None:
    database = counts(place)
    add(database)
    database.close()
    database.close()
    assert read(database) == 1


# --- PostgreSQL alone -------------------------------------------------------------------------------------


def test_a_lost_connection_is_opened_anew(postgres: Postgres, postgres_url: str) -> None:
    database = counts(SecretStr(postgres_url))
    add(database)
    assert postgres.end_connections()
    add(database)
    assert postgres.end_connections()
    assert read(database) == 2


def test_a_statement_by_itself_goes_to_a_new_connection_where_the_one_at_hand_was_lost(
    postgres: Postgres, postgres_url: str
) -> None:
    database = counts(SecretStr(postgres_url))
    database.write(ADD, ("it's", 1))
    assert postgres.end_connections()
    database.write(ADD, ("it's", 1))
    assert read(database) == 2


def test_a_transaction_that_loses_its_connection_is_told_and_undone(
    postgres: Postgres, postgres_url: str
) -> None:
    database = counts(SecretStr(postgres_url))
    with pytest.raises(DatabaseError, match="terminating connection"):
        add_and(database, lambda rows: (postgres.end_connections(), rows.execute(ADD, ("it's", 1))))
    assert read(database) == 0


AWAY = {
    "nobody listens": f"postgresql://me:{'pass%40word%2Fwith%3Fmarks'}@127.0.0.1:9/ymera",
    "no such host": f"postgresql://me:{'pass%40word%2Fwith%3Fmarks'}@nowhere.invalid/ymera",
    "no such option": f"postgresql://me:{'pass%40word%2Fwith%3Fmarks'}@127.0.0.1:9/ymera?colour=red",
    "a slash in the password": "postgresql://me:pass/word@127.0.0.1:9/ymera",
    "the password as an option": "postgresql://127.0.0.1:9/ymera?password=pass%40word%2Fwith%3Fmarks&port=no",
}


@pytest.mark.parametrize("url", AWAY.values(), ids=AWAY.keys())
def test_a_server_that_is_away_is_told_in_one_line_without_the_password(url: str) -> None:
    with pytest.raises(DatabaseError) as caught, counts(SecretStr(url)).transaction():
        pytest.fail("there is no server")
    assert "\n" not in str(caught.value)
    shown = f"{caught.value!r} {caught.value.__cause__!r} {caught.value.__context__ if caught.value.__cause__ else ''}"
    assert not any(part in shown for part in ("pass", "word", "with?", "marks"))


def test_a_password_that_an_error_repeats_is_taken_out() -> None:
    url = SecretStr("postgresql://me:s3cr%40et@host/db")
    assert why(Exception("bad:\n s3cr%40et and s3cr@et"), url) == "bad: *** and ***"


BAD_URLS = {
    "another scheme": "mysql://me:secret@host/db",
    "no scheme": "host=here password=secret",
    "nothing behind it": "postgresql://",
    "an @ in the password": "postgresql://me:sec@ret@host/db",
}


@pytest.mark.parametrize("url", BAD_URLS.values(), ids=BAD_URLS.keys())
def test_a_url_that_is_none_is_one_line_that_does_not_repeat_it(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("YMERA_DATABASE_URL", url)
    with pytest.raises(
        SettingsError, match=r"^YMERA_DATABASE_URL: Input should be a URL postgresql://"
    ) as caught:
        load_settings()
    assert "sec" not in str(caught.value)


@pytest.mark.parametrize("url", ["", "  "], ids=["empty", "blank"])
def test_without_a_url_the_stores_are_files(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YMERA_DATABASE_URL", url)
    assert load_settings().ymera_database_url is None


def test_a_url_shows_in_no_print_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YMERA_DATABASE_URL", "postgresql://me:secret@host/db")
    monkeypatch.setenv("LANGGRAPH_AES_KEY", "0123456789abcdef")
    settings = load_settings()
    assert "secret" not in f"{settings!r}{settings.model_dump_json()}"
    assert "0123456789abcdef" not in f"{settings!r}{settings.model_dump_json()}"


@pytest.mark.parametrize("key", ["short", "x" * 17, "ü" * 16 + "x"], ids=["5", "17", "33"])
def test_a_key_of_another_length_is_refused_and_not_shown(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANGGRAPH_AES_KEY", key)
    with pytest.raises(SettingsError, match=r"^LANGGRAPH_AES_KEY: .*16, 24 or 32 bytes") as caught:
        load_settings()
    assert key not in str(caught.value)


# --- the stores over PostgreSQL ----------------------------------------------------------------------------


async def test_cooldowns_are_shared_through_postgresql(postgres_url: str) -> None:
    now = [1_000_000.0]
    one, other = (Health(SecretStr(postgres_url), clock=lambda: now[0]) for _ in range(2))
    for _ in range(2):
        await one.report(ONE, "server_error", key_mark="k")
    assert not await other.begin(ONE, "k", 30)
    now[0] += 10
    assert sum([await health.begin(ONE, "k", 30) for health in (one, other)]) == 1
    await one.report(ONE, None, key_mark="k")
    now[0] += LOOK_SECONDS
    assert await other.begin(ONE, "k", 30)


async def test_without_its_server_the_memory_of_cooldowns_goes_on_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    health = Health(SecretStr(AWAY["nobody listens"]))
    for _ in range(2):
        await health.report(ONE, "server_error", key_mark="k")
    assert health.why_avoided(ONE, "k")
    assert "the PostgreSQL database of YMERA_DATABASE_URL cannot be used: " in caplog.text
    assert len(caplog.records) == 1
    assert "pass" not in caplog.text


def ask(name: str) -> Ask:
    price = Price(input=0, output=10.0)
    tokens = {"input_tokens": 0, "output_tokens": 1_000, "least_tokens": 1_000}
    return Ask(id=name, run="r", provider="openai", key_mark="k", price=price, **tokens)


async def test_a_daily_budget_holds_over_all_that_share_postgresql(postgres_url: str) -> None:
    spenders = [Spending(SecretStr(postgres_url), lambda: 0.0) for _ in range(4)]
    asked = [spender.reserve(ask(f"{i}-{j}"), 0.1) for i, spender in enumerate(spenders) for j in range(5)]
    granted = [isinstance(answer, Grant) for answer in await asyncio.gather(*asked)]
    assert sum(granted) == 10


async def test_a_daily_budget_without_its_server_grants_nothing() -> None:
    spending = Spending(SecretStr(AWAY["nobody listens"]), lambda: 0.0)
    with pytest.raises(
        InputError, match="budget of openai cannot be checked: the PostgreSQL database of"
    ) as caught:
        await spending.reserve(ask("a"), 1.0)
    assert "pass" not in str(caught.value)
    assert str(caught.value).endswith("YMERA_DATABASE_URL names it, or unset YMERA_DAILY_USD.")


async def test_results_are_kept_bounded_and_renewed_in_postgresql(postgres_url: str) -> None:
    store = ResultCache(SecretStr(postgres_url), ttl=3600, size=2)
    assert await store.get("a") is None
    for name in "abc":
        await store.put(name, f"{name} ü 🙂")
    await store.put("c", "again")
    assert [await store.get(name) for name in "abc"] == [None, "b ü 🙂", "again"]
