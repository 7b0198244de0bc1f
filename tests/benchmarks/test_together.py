"""The embedded models together against each alone: what is counted, and what is said of it. No weights are needed."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.embedded import read
from benchmarks.embedded_together import TOGETHER, Ran, contexts_of, findings_of_runs, run_of, turned
from benchmarks.proportions import wilson
from tests.scripted import ACCEPT, REVISE, Line, Script, scripted_services
from ymera import MultiModelExecutor
from ymera.nodes.settings import Settings

SMALL, LARGE = "qwen2.5-coder-0.5b", "qwen2.5-coder-1.5b"
ITEM = read("functions")["functions"][0]
RIGHT = f"```python\n{ITEM['solution']}\n```"
WRONG = "```python\ndef is_leap_year(year):\n    return True\n```"


def ran(task: str, wall_s: float, *, passed: bool, decision: str = "accept") -> Ran:
    return Ran(
        task=task,
        wall_s=wall_s,
        cpu_s=2 * wall_s,
        passed=passed,
        draft_passed=True,
        models={"planning": SMALL, "generation": LARGE},
        seconds={"planning": 1.0, "generation": wall_s - 1.0},
        tokens=1_000,
        decision=decision,
    )


RUNS: Mapping[str, Sequence[Ran]] = {
    TOGETHER: [ran("first", 20, passed=True, decision="revise"), ran("second", 10, passed=False)],
    LARGE: [ran("first", 40, passed=False), ran("second", 20, passed=True)],
    SMALL: [ran("first", 10, passed=True, decision=""), ran("second", 5, passed=True, decision="")],
}


@pytest.mark.parametrize(
    ("passed", "trials", "low", "high"),
    [
        pytest.param(81, 263, 0.2553, 0.3662, id="81 of 263"),
        pytest.param(15, 148, 0.0624, 0.1605, id="15 of 148"),
        pytest.param(0, 20, 0.0, 0.1611, id="none of 20"),
        pytest.param(1, 29, 0.0061, 0.1718, id="1 of 29"),
    ],
)
def test_the_interval_is_that_of_newcombes_table(passed: int, trials: int, low: float, high: float) -> None:
    """R. G. Newcombe, Statistics in Medicine 17 (1998) 857-872, table I, method 3."""
    assert wilson(passed, trials) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 500).flatmap(lambda trials: st.tuples(st.integers(0, trials), st.just(trials))))
def test_an_interval_holds_the_share_and_mirrors_with_it(counts: tuple[int, int]) -> None:
    passed, trials = counts
    low, high = wilson(passed, trials)
    assert 0 <= low <= passed / trials + 1e-12
    assert passed / trials - 1e-12 <= high <= 1
    assert wilson(trials - passed, trials) == pytest.approx((1 - high, 1 - low))


@pytest.mark.parametrize(("passed", "trials"), [(0, 0), (-1, 3), (4, 3)])
def test_what_is_no_share_has_no_interval(passed: int, trials: int) -> None:
    with pytest.raises(ValueError, match=f"{passed} of {trials} is no share"):
        wilson(passed, trials)


def test_every_side_is_first_as_often_as_the_others() -> None:
    orders = [turned([TOGETHER, LARGE, SMALL], number) for number in range(12)]
    assert [sum(order[0] == side for order in orders) for side in (TOGETHER, LARGE, SMALL)] == [4, 4, 4]
    assert all(sorted(order) == sorted([TOGETHER, LARGE, SMALL]) for order in orders)


@pytest.mark.parametrize(
    ("answers", "decision", "draft_passed", "passed"),
    [
        pytest.param([RIGHT, RIGHT], ACCEPT, True, True, id="a draft that is accepted"),
        pytest.param([RIGHT, WRONG], REVISE, True, False, id="a draft that the refinement breaks"),
        pytest.param([WRONG, RIGHT], REVISE, False, True, id="a draft that the refinement mends"),
        pytest.param(["no code"], ACCEPT, False, False, id="an answer without code"),
    ],
)
async def test_draft_and_result_of_a_real_run_are_judged_apart(
    answers: list[str], decision: str, draft_passed: bool, passed: bool, tmp_path: Path
) -> None:
    queue = deque(Line(text=answer) for answer in answers)

    class InTurn(Script):
        """Writes as often as it is asked to; plans and judges besides."""

        def next(self, model: str, messages: object) -> Line:
            asked = str(messages[0].content)  # type: ignore[index]
            if '"decision"' in asked:
                return Line(text=decision)
            if "You plan" in asked:
                return Line(text="1. Write it.")
            return queue.popleft()

    services = scripted_services(InTurn(), Settings(ymera_data_dir=tmp_path))
    context = contexts_of([LARGE, SMALL])[TOGETHER]
    async with MultiModelExecutor(services=services) as executor:
        found = await run_of(executor, ITEM, context)
    assert (found.draft_passed, found.passed, found.error) == (draft_passed, passed, None)
    assert found.models["planning"] == SMALL
    assert found.models["generation"] == LARGE
    assert found.decision == {ACCEPT: "accept", REVISE: "revise"}[decision]
    assert found.seconds.keys() == found.models.keys()
    assert found.tokens > 0


async def test_a_run_that_fails_passes_nothing_and_says_why(tmp_path: Path) -> None:
    script = Script(otherwise=Line(error=ConnectionError("gone")))
    services = scripted_services(script, Settings(ymera_data_dir=tmp_path))
    async with MultiModelExecutor(services=services) as executor:
        found = await run_of(executor, ITEM, contexts_of([LARGE, SMALL])[TOGETHER])
    assert not found.passed
    assert not found.draft_passed
    assert found.error


def test_the_table_says_what_one_side_passes_and_the_other_does_not() -> None:
    runs, phases = findings_of_runs(RUNS).tables
    assert [row[0] for row in runs.rows] == [TOGETHER, LARGE, SMALL]
    assert [row[1] for row in runs.rows] == [
        "1 of 2 (9% … 91%)",
        "1 of 2 (9% … 91%)",
        "2 of 2 (34% … 100%)",
    ]
    assert [row[4].split(" ")[0] for row in runs.rows] == ["1.00", "0.50", "2.00"]
    assert f"1 passed together that failed with {LARGE} alone, and 1 the other way round" in runs.note
    assert f"0 passed together that failed with {SMALL} alone, and 1 the other way round" in runs.note
    assert "without a result" not in runs.note
    assert ["together", "planning", SMALL, "2", "1.00 (1.00 … 1.00)"] in [list(row) for row in phases.rows]
    assert f"The review of {TOGETHER} asked for a revision in 1 of 2 runs." in phases.note
    assert f"The review of {SMALL}" not in phases.note


def test_runs_without_a_result_are_counted() -> None:
    broken = replace(ran("first", 3, passed=False), error="the phase took too long")
    found = findings_of_runs({TOGETHER: [broken], SMALL: [ran("first", 2, passed=True)]})
    assert "1 of the runs ended without a result." in found.tables[0].note
