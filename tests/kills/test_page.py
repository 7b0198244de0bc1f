"""The page of the documents shows a whole run of the suite."""

from __future__ import annotations

import re

from .report import BEGIN, COUNTS, END, PAGE, POINTS, STORES, WAYS

LEAST = 500
"""Kills on each store."""


def _rows() -> dict[str, list[str]]:
    told = PAGE.read_text("utf-8").partition(BEGIN)[2].partition(END)[0]
    rows = re.findall(r"^\| (.*) \|$", told, re.MULTILINE)
    return {cells[0]: cells[1:] for cells in (row.split(" | ") for row in rows)}


def test_no_run_is_lost_and_no_finished_call_was_made_again() -> None:
    rows = _rows()
    for name in (
        "runs lost",
        "differences from an unbroken run, or from the bill",
        "finished calls made again",
    ):
        assert rows[name] == ["0", "0"], "run `poe kills`"
    for name in ("tokens, where the usage is known: counted, billed", "USD of these: counted, billed"):
        for cell in rows[name]:
            counted, billed = cell.split(", ")
            assert counted == billed
    assert all(int(kills.replace(",", "")) >= LEAST for kills in rows["kills"])


def test_every_point_and_every_way_was_tried_on_each_store() -> None:
    rows = _rows()
    for said in (*POINTS.values(), *WAYS.values()):
        assert all(int(count) > 0 for count in rows[said][: len(STORES)]), said


def test_no_request_was_sent_too_early_as_runs_are_kept() -> None:
    rows = _rows()
    assert [rows[f"{store}, sync"][-1] for store in STORES] == ["0", "0"]


def test_the_tables_have_a_row_for_everything_that_is_counted() -> None:
    assert set(_rows()) >= {*COUNTS, *POINTS.values(), *WAYS.values()}
