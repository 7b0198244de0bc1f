"""The README's first command, run anew on the embedded models: what it shows is built as the README shows it."""

from __future__ import annotations

import re
from typing import NamedTuple

import pytest

from docs.shown import FIRST_RUN
from ymera.routing.catalogue import builtin_catalogue

COLUMNS = ["phase", "model", "provider", "seconds", "tokens", "cost", "reason"]
PHASES = "|".join(builtin_catalogue().phases)
ROW = re.compile(rf"^ ({PHASES}) +(\S+) +(\S+) +(\S+) +(\S+) +(\S+) +(\S.*)$", re.MULTILINE)
HEADING = re.compile(r"^ phase +model .*$", re.MULTILINE)
SUMMARY = re.compile(r"^(\w+_model): \d of \d phases answered, [\d.]+ s, \d+ tokens, free", re.MULTILINE)
PROGRESS = re.compile(rf"^({PHASES}|plan|warning|qwen\S+): ")
SKIPPED = "–"


class Row(NamedTuple):
    """A line of the table of phases."""

    phase: str
    model: str
    provider: str
    seconds: str
    tokens: str
    cost: str
    reason: str


class Screen(NamedTuple):
    """What the command printed, taken apart."""

    answer: str
    columns: list[str]
    rows: list[Row]
    strategy: str

    @property
    def answered(self) -> dict[str, tuple[str, str, str]]:
        """Who answered each phase at its first attempt, and at what cost."""
        rows = [row for row in self.rows if row.model != SKIPPED and not row.reason.startswith("fallback")]
        return {row.phase: (row.model, row.provider, row.cost) for row in rows}


def read(text: str) -> Screen:
    """Read what the command printed: lines of progress, the answer, the table of phases, the sum."""
    heading = HEADING.search(text)
    summary = SUMMARY.search(text)
    above = text[: heading.start()] if heading else ""
    return Screen(
        answer="\n".join(line for line in above.splitlines() if not PROGRESS.match(line)),
        columns=heading[0].split() if heading else [],
        rows=[Row(*row) for row in ROW.findall(text)],
        strategy=summary[1] if summary else "",
    )


def assert_whole(text: str) -> Screen:
    """Assert that an answer and the whole table are there, with a reason, a time and tokens in each line."""
    screen = read(text)
    assert len(screen.answer.split()) > 20, "a generated answer stands above the table"
    assert screen.columns == COLUMNS
    assert screen.strategy
    assert {"planning", "generation"} <= set(screen.answered)
    for row in screen.rows:
        assert row.reason
        assert row.model == SKIPPED or (float(row.seconds) > 0 and int(row.tokens) > 0)
    return screen


def test_the_kept_output_is_a_whole_run() -> None:
    assert_whole(FIRST_RUN.kept())


@pytest.mark.embedded
@pytest.mark.timeout(1800)
def test_the_first_command_still_prints_what_the_readme_shows() -> None:
    kept, now = assert_whole(FIRST_RUN.kept()), assert_whole(FIRST_RUN.run())
    assert now.strategy == kept.strategy
    assert [row.phase for row in now.rows] == [row.phase for row in kept.rows]
    both = now.answered.keys() & kept.answered.keys()
    assert {phase: now.answered[phase] for phase in both} == {phase: kept.answered[phase] for phase in both}
