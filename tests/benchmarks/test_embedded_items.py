"""The benchmark's items are right: what is called good passes its asserts, what is called bad does not."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks import embedded
from benchmarks.embedded import Ledger, code_of, holds, read, rows_of, scores

FUNCTIONS = read("functions")["functions"]
REVIEWS = read("reviews")["reviews"]
STATEMENTS = read("statements")["statements"]


def test_there_are_as_many_items_as_the_documents_say() -> None:
    assert (len(FUNCTIONS), len(STATEMENTS), 2 * len(REVIEWS)) == (12, 3, 16)


@pytest.mark.parametrize("item", FUNCTIONS, ids=lambda item: item["name"])
def test_the_solution_of_a_function_passes_and_an_empty_one_does_not(item: dict[str, Any]) -> None:
    assert holds(item["solution"], item["asserts"])
    assert not holds("", item["asserts"])


@pytest.mark.parametrize("item", REVIEWS, ids=lambda item: item["task"].split("(")[0].split()[-1])
def test_good_code_passes_and_bad_code_fails(item: dict[str, Any]) -> None:
    assert holds(item["good"], item["asserts"])
    assert not holds(item["bad"], item["asserts"])


@pytest.mark.parametrize("item", STATEMENTS, ids=lambda item: item["name"])
def test_the_solution_of_a_question_has_rows(item: dict[str, Any]) -> None:
    assert rows_of(item["solution"])


@pytest.mark.parametrize(
    "statement", ["SELECT nothing FROM nowhere", "DROP TABLE orders", "DELETE FROM orders", ""]
)
def test_a_statement_that_sqlite_refuses_or_that_changes_data_has_no_rows(statement: str) -> None:
    assert not rows_of(statement)


def test_code_that_does_not_end_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "SECONDS_FOR_CODE", 1)
    assert not holds("while True: pass", "")


def test_code_that_ends_before_its_asserts_fails() -> None:
    assert not holds("raise SystemExit", "assert False")


def test_code_is_taken_out_of_its_fence() -> None:
    assert code_of("Here:\n```python\nx = 1\n```\nDone.") == "x = 1"
    assert code_of("x = 1") == "x = 1"


@pytest.mark.parametrize(
    ("passed", "expected"),
    [
        pytest.param(
            (12, 3, 8, 8), {"code": 5.0, "sql": 5.0, "accuracy": 5.0}, id="everything is half of the scale"
        ),
        pytest.param(
            (6, 0, 8, 0), {"code": 2.5, "sql": 0.0, "accuracy": 0.0}, id="always accepting is chance"
        ),
        pytest.param((9, 1, 2, 6), {"code": 4.0, "sql": 1.5, "accuracy": 0.0}, id="chance in another way"),
        pytest.param(
            (0, 0, 0, 4), {"code": 0.0, "sql": 0.0, "accuracy": 0.0}, id="worse than chance is no score"
        ),
    ],
)
def test_scores_follow_from_rates(passed: tuple[int, ...], expected: dict[str, float]) -> None:
    ledger = Ledger()
    totals = {"functions": 12, "statements": 3, "reviews_good": 8, "reviews_bad": 8}
    for (kind, total), right in zip(totals.items(), passed, strict=True):
        for number in range(total):
            ledger.note(kind, str(number), number < right)
    assert scores(ledger) == expected
