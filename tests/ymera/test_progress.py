"""What is seen while a run is under way."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from tests.ymera.test_report import RATE_LIMITED, attempt, one_line, phase, plan, result
from ymera.events import ProgressEvent
from ymera.progress import Board, LiveTable, PlainLines, Silent, progress_on

STARTED: ProgressEvent = {
    "event": "attempt_started",
    "phase": "generation",
    "attempt_id": "generation-1",
    "model": "fast",
    "provider": "groq",
    "reason": "speed 10/10",
    "fallback": 0,
}
EVENTS: list[ProgressEvent] = [
    {"event": "started", "thread_id": "t"},
    {"event": "download", "model": "tiny", "done_bytes": 0, "total_bytes": 5_000_000},
    {"event": "download", "model": "tiny", "done_bytes": 5_000_000, "total_bytes": 5_000_000},
    {"event": "planned", "strategy": {**plan("groq"), "warnings": ["[b]careful[/b]"]}},
    STARTED,
    {"event": "token", "phase": "generation", "attempt_id": "generation-1", "text": "word"},
    {"event": "attempt_ended", "attempt": attempt("fast", fault=RATE_LIMITED)},
    {**STARTED, "attempt_id": "generation-2", "model": "slow", "fallback": 1},
    {"event": "attempt_ended", "attempt": attempt("slow", cost=0.0012, number=2)},
    {
        "event": "finished",
        "result": result(phase("generation", attempt("slow")), skipped={"review": "not reached"}),
    },
]


def shown(board: Board) -> str:
    out = StringIO()
    Console(file=out, width=140, markup=False).print(board.view())
    return one_line(out.getvalue())


def test_away_from_a_terminal_each_attempt_is_a_plain_line() -> None:
    out = StringIO()
    with PlainLines(out=Console(file=out, width=300, markup=False, highlight=False)) as view:
        for event in EVENTS:
            view.tell(event)
    assert out.getvalue().splitlines()[-8:] == [
        "tiny: fetching 5 MB of weights, once",
        "tiny: weights are here",
        "plan: multi_model: 4 phases of a task of high complexity",
        "warning: [b]careful[/b]",
        "generation: failed after 1.0 s: groq:fast: rate_limited: wait a while",
        "generation: fallback no. 1: groq:slow",
        "generation: groq:slow answered in 1.0 s, 15 tokens, $0.0012",
        "review: not reached",
    ]


def test_the_board_shows_every_planned_phase_from_the_start() -> None:
    board = Board()
    for event in EVENTS[:4]:
        board.tell(event)
    assert list(board.rows) == ["planning", "generation", "review", "refinement"]
    assert {row.state for row in board.rows.values()} == {"waiting"}
    assert "fetching tiny" in shown(board)


def test_the_board_counts_pieces_while_an_answer_is_written_and_drops_those_of_a_failed_attempt() -> None:
    board = Board()
    for event in EVENTS[:6]:
        board.tell(event)
    assert "generation fast groq running" in shown(board)
    assert board.rows["generation"].tokens == "~1"
    for event in EVENTS[6:8]:
        board.tell(event)
    assert board.rows["generation"].tokens == "~15"


def test_the_board_shows_model_cost_and_fallback_of_what_is_done() -> None:
    board = Board()
    for event in EVENTS:
        board.tell(event)
    text = shown(board)
    assert "generation slow groq answered 2.0 30 $0.0012 fallback: groq:fast failed (rate_limited)" in text
    assert "review skipped not reached" in text


def test_a_resumed_run_without_a_plan_event_fills_the_board_as_it_goes() -> None:
    board = Board()
    board.tell(STARTED)
    assert list(board.rows) == ["generation"]


def test_on_a_terminal_the_table_is_drawn_and_warnings_stand_above_it_as_they_are() -> None:
    out = StringIO()
    with LiveTable(Console(file=out, width=140, force_terminal=True, markup=False), keep=True) as view:
        for event in EVENTS:
            view.tell(event)
    assert "warning: [b]careful[/b]" in out.getvalue()
    assert "fallback: groq:fast failed (rate_limited)" in out.getvalue()


@pytest.mark.parametrize(
    ("terminal", "quiet", "kind"),
    [(True, False, LiveTable), (False, False, PlainLines), (True, True, Silent), (False, True, Silent)],
)
def test_the_view_suits_the_place(terminal: bool, quiet: bool, kind: type) -> None:
    out = Console(file=StringIO(), force_terminal=terminal)
    assert type(progress_on(out, quiet=quiet, keep=False)) is kind
