"""SQL is parsed in the dialect asked for; what its server lacks is told."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlglot

from tests.nodes.checked import fenced, verdicts
from ymera.nodes.sql_dialects import DIALECTS, Construct, built_in_constructs, dialect_in, load_constructs
from ymera.nodes.validators import check
from ymera.routing.attempts import Check
from ymera.routing.errors import CatalogueError


@pytest.mark.parametrize(
    ("code", "passed"),
    [
        pytest.param("SELECT id, name FROM users WHERE id = ?", True, id="a query"),
        pytest.param("WITH a AS (SELECT 1) SELECT * FROM a", True, id="a common table expression"),
        pytest.param(
            "CREATE TABLE a (id INT PRIMARY KEY); INSERT INTO a VALUES (1);", True, id="two statements"
        ),
        pytest.param("BEGIN; UPDATE a SET b = 1; COMMIT;", True, id="a transaction"),
        pytest.param("-- only a comment", False, id="only a comment"),
        pytest.param("", False, id="nothing"),
        pytest.param("SELECT * FORM users", False, id="a misspelt word"),
        pytest.param("SELECT (1", False, id="an open bracket"),
        pytest.param("SELECT 'a", False, id="an open quote"),
        pytest.param("Here is the query", False, id="prose"),
        pytest.param("users", False, id="a name alone"),
        pytest.param("CREATE TABEL a (id INT)", False, id="CREATE of something that there is not"),
        pytest.param(
            "ALTER TABLE a ADD COLUM b INT", False, id="ALTER that says something that there is not"
        ),
        pytest.param("EXPLAIN SELECT 1", True, id="EXPLAIN"),
        pytest.param("VACUUM", True, id="VACUUM"),
        pytest.param("CREATE EXTENSION pgcrypto", True, id="an extension"),
        pytest.param("SELECT * FROM a WHERE b = :x AND c = $1", True, id="named and numbered parameters"),
        pytest.param("SELECT * FROM a WHERE b = %s", True, id="a parameter as psycopg writes it"),
        pytest.param("SELECT TOP 10 * FROM a", True, id="SQL Server's own"),
        pytest.param("PRAGMA foreign_keys = ON", True, id="SQLite's own"),
        pytest.param("SELECT `a` FROM `b` LIMIT 1, 2", True, id="MySQL's own"),
        pytest.param("SELECT a::int FROM b WHERE c ILIKE 'x'", True, id="PostgreSQL's own"),
        pytest.param("SELECT " + "(" * 5_000 + "1" + ")" * 5_000, False, id="brackets without end"),
    ],
)
def test_sql_is_parsed(code: str, passed: bool) -> None:
    assert verdicts(fenced(code, "sql"), "sql") == [passed]


@pytest.mark.parametrize(
    ("parameters", "language", "code", "name", "passed"),
    [
        pytest.param(
            {"dialect": "tsql"}, "sql", "SELECT TOP 10 * FROM a", "as tsql", True, id="asked for and met"
        ),
        pytest.param(
            {"dialect": "postgres"}, "sql", "SELECT TOP 10 * FROM a", "as postgres", False, id="not met"
        ),
        pytest.param(
            {"database": "PostgreSQL 16"}, "sql", "SELECT a::int", "as postgres", True, id="with its version"
        ),
        pytest.param({"database": "MariaDB"}, "sql", "SELECT `a`", "as mysql", True, id="by another name"),
        pytest.param({"database": "shop"}, "sql", "SELECT 1", "parses", True, id="the name of a database"),
        pytest.param({"dialect": 7}, "sql", "SELECT 1", "parses", True, id="a number for a dialect"),
        pytest.param(
            {}, "postgresql", "SELECT a::int", "as postgres", True, id="the block names its dialect"
        ),
        pytest.param({}, "sqlite", "PRAGMA foreign_keys = ON", "as sqlite", True, id="so does this one"),
    ],
)
def test_the_dialect_comes_from_the_parameters_else_from_the_block(
    parameters: dict[str, Any], language: str, code: str, name: str, passed: bool
) -> None:
    [result] = check(fenced(code, language), ["sql"], parameters)
    assert result["passed"] is passed
    assert result["name"].endswith(name)


def test_a_block_without_a_language_is_not_taken_as_sql() -> None:
    assert check("```\nid | name\n---+-----\n 1 | Ann\n```", ["sql"], {}) == []


# --- what a server lacks -------------------------------------------------------------------------------------

CONSTRUCTS = {f"{each.name} {each.lacking[0]}": each for each in built_in_constructs()}
SERVERS = ("postgres", "mysql", "mariadb", "sqlite", "tsql", "oracle")
TABLES = ("CREATE TABLE a (id INTEGER PRIMARY KEY, name TEXT)", "CREATE TABLE c (id INTEGER, name TEXT)")


def as_server(code: str, server: str) -> Check:
    [result] = check(fenced(code, "sql"), ["sql"], {"database": server})
    return result


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("construct", CONSTRUCTS.values(), ids=CONSTRUCTS)
def test_what_a_server_lacks_fails_there_and_passes_on_one_that_has_it(
    construct: Construct, server: str
) -> None:
    result = as_server(construct.example, server)
    if server in construct.lacking:
        assert not result["passed"]
        assert f"{server} has no" in result["detail"]
    else:
        assert construct.name not in result["detail"]


@pytest.mark.parametrize("construct", CONSTRUCTS.values(), ids=CONSTRUCTS)
def test_sqlite_refuses_what_it_is_said_to_lack_and_nothing_else_that_passes(construct: Construct) -> None:
    with closing(sqlite3.connect(":memory:")) as db:
        for table in TABLES:
            db.execute(table)
        _agrees(as_server(construct.example, "sqlite"), partial(db.execute, construct.example))


def test_postgresql_refuses_what_it_is_said_to_lack_and_nothing_else_that_passes(postgres_url: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as db:
        for table in TABLES:
            db.execute(table.encode())
        for construct in CONSTRUCTS.values():
            db.execute(b"DROP TABLE IF EXISTS b")
            result = as_server(construct.example, "postgres")
            _agrees(result, partial(db.execute, construct.example.encode()))


def _agrees(result: Check, run: Callable[[], object]) -> None:
    refused = _refusal(run)
    # What passed may still name what this database has not.
    grammar = isinstance(refused, psycopg.errors.SyntaxError) or "syntax error" in str(refused)
    assert (not grammar) if result["passed"] else refused, result["detail"]


def _refusal(run: Callable[[], object]) -> Exception | None:
    try:
        run()
    except (sqlite3.Error, psycopg.Error) as error:
        return error
    return None


@pytest.mark.parametrize(
    ("server", "code"),
    [
        ("postgres", "SELECT mood FROM a WHERE a.limit = 5 AND name = 'a ILIKE b'"),
        ("mysql", "SELECT `returning`, 'x::int', \"on conflict\" FROM a"),
        ("mysql", "UPDATE a SET x = JSON_VALUE(doc, '$.a' RETURNING DECIMAL)"),
        ("postgres", "CREATE TYPE state AS ENUM ('on', 'off')"),
        ("postgres", "CREATE TABLE b (id INT, price DOUBLE PRECISION, at TIMESTAMPTZ)"),
        ("postgres", "DELETE FROM a WHERE id IN (SELECT id FROM a LIMIT 5)"),
        ("postgres", "SELECT engine FROM a WHERE engine = 'x' AND b = 'AUTO_INCREMENT'"),
        ("postgres", "SELECT now() - INTERVAL '7 days'"),
        ("postgres", "SELECT 1 -- LIMIT 1, 2"),
        ("oracle", "SELECT * FROM a FETCH FIRST 5 ROWS ONLY"),
        ("tsql", "SELECT TOP (5) * FROM a CROSS APPLY f(a.id) AS c"),
        ("sqlite", "INSERT INTO a (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET name = 'x' RETURNING id"),
        ("mariadb", "INSERT INTO a (name) VALUES ('x') RETURNING id"),
    ],
)
def test_what_only_looks_like_it_is_lacking_passes(server: str, code: str) -> None:
    assert as_server(code, server)["passed"], as_server(code, server)["detail"]


@pytest.mark.parametrize(
    ("server", "code"),
    [
        ("postgres", "DO $$ BEGIN RAISE NOTICE 'x'; END $$"),
        (
            "postgres",
            "CREATE OR REPLACE FUNCTION f() RETURNS trigger AS $$ BEGIN RETURN NEW; END; $$ LANGUAGE plpgsql",
        ),
        ("postgres", "CREATE TRIGGER t BEFORE UPDATE ON a FOR EACH ROW EXECUTE FUNCTION f()"),
        ("postgres", "CREATE POLICY p ON a USING (id = 1)"),
        ("postgres", "ALTER TABLE a ENABLE ROW LEVEL SECURITY"),
        ("postgres", "ALTER SEQUENCE s RESTART"),
        ("postgres", "ALTER TYPE state ADD VALUE 'idle'"),
        ("postgres", "BEGIN; SAVEPOINT s; ROLLBACK"),
        ("postgres", "\\c shop\nSELECT 1;\n\\dt"),
        (
            "sqlite",
            "CREATE TRIGGER t AFTER UPDATE ON a BEGIN UPDATE a SET name = 'x' WHERE id = NEW.id; END;",
        ),
        ("sqlite", ".mode box\nSELECT 1;"),
        ("mysql", "DELIMITER //\nCREATE PROCEDURE p() BEGIN SELECT 1; END //\nDELIMITER ;\nCALL p();"),
        ("mysql", "CREATE TRIGGER t BEFORE INSERT ON a FOR EACH ROW SET NEW.name = 'x'"),
        ("tsql", "SELECT 1\nGO\nCREATE PROCEDURE p @x INT AS BEGIN SELECT @x; END\ngo 2\n"),
        ("oracle", "CREATE OR REPLACE PROCEDURE p IS BEGIN NULL; END;\n/\nSELECT 1 FROM dual"),
    ],
)
def test_statements_that_sqlglot_does_not_read_whole_pass(server: str, code: str) -> None:
    assert as_server(code, server)["passed"], as_server(code, server)["detail"]


@pytest.mark.parametrize(
    ("words", "name", "server"),
    [
        ("PostgreSQL 16", "postgres", "postgres"),
        ("Amazon Aurora PostgreSQL", "postgres", "postgres"),
        ("postgresql+asyncpg://user@oracle-host/mysql", "postgres", "postgres"),
        ("MySQL 8.4", "mysql", "mysql"),
        ("MariaDB 11", "mysql", "mariadb"),
        ("SQLite3", "sqlite", "sqlite"),
        ("sqlite:///shop.db", "sqlite", "sqlite"),
        ("Microsoft SQL Server 2022", "tsql", "tsql"),
        ("T-SQL", "tsql", "tsql"),
        ("Oracle 23ai", "oracle", "oracle"),
        ("PL/SQL", "oracle", "oracle"),
        ("Google BigQuery", "bigquery", "bigquery"),
        ("shop", "", ""),
        ("", "", ""),
        ("16", "", ""),
    ],
)
def test_a_dialect_is_known_by_what_people_call_it(words: str, name: str, server: str) -> None:
    assert dialect_in(words) == (name, server)


def test_sqlglot_reads_every_dialect_that_may_be_asked_for() -> None:
    assert {dialect.value for dialect in sqlglot.Dialects} >= DIALECTS
    assert {server for each in built_in_constructs() for server in each.lacking} <= {*DIALECTS, "mariadb"}


def test_no_word_of_an_answer_reaches_the_log(caplog: pytest.LogCaptureFixture) -> None:
    as_server("CREATE EXTENSION secret_word", "postgres")
    assert "secret_word" not in caplog.text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[[constructs]", "not TOML"),
        ("[[constructs]]\nname = 'x'", "constructs.0.pattern: Field required"),
        ("[[constructs]]\npattern = '('", "constructs.0.pattern: Input should be a valid regular expression"),
        ("[[constructs]]\nlaking = ['mysql']", "constructs.0.laking: Extra inputs are not permitted"),
    ],
)
def test_a_file_of_constructs_is_read_strictly(text: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(text, "utf-8")
    with pytest.raises(CatalogueError) as error:
        load_constructs(tmp_path / "mine.toml")
    assert any(fault.startswith("mine.toml: ") and told in fault for fault in error.value.faults)
