"""The one command: it measures what it is asked for, says whether marks are reached, and writes where it is told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from importlib import import_module
from pathlib import Path

import pytest

from benchmarks.__main__ import MODULES, SECTIONS, main, sections_of
from benchmarks.findings import QUICK, Drawing, Findings, Mark, Table
from benchmarks.growth import Grown, Kind, kinds
from benchmarks.pages import BEGIN, END, write_into
from benchmarks.report import report, where
from benchmarks.turns import beyond, in_turn, ratios, spread

ROOT = Path(__file__).parents[2]
MACHINE = {
    "date": "1 May 2026",
    "python": "3.11",
    "cores": 2,
    "cpu": "a CPU",
    "versions": {"langgraph": "1.2"},
}


def command(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the command where no weights lie."""
    environment = os.environ | {"YMERA_CACHE_DIR": str(folder)}
    line = [sys.executable, "-m", "benchmarks", *words]
    return subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "sections",
    [["overhead"], ["scale"], ["start", "growth", "parallel", "cache", "tokens", "profile"]],
    ids="+".join,
)
def test_sections_are_measured_in_a_moment_when_little_is_asked_of_them(
    sections: list[str], tmp_path: Path
) -> None:
    page, file = tmp_path / "page.md", tmp_path / "figures.json"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", "utf-8")
    done = command(
        tmp_path, "--quick", "--sections", ",".join(sections), "--json", str(file), "--docs", str(page)
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads(file.read_text("utf-8"))
    assert list(figures["sections"]) == sections
    for found in figures["sections"].values():
        assert found["tables"], "nothing was measured"
        assert found["load"].keys() == {"before", "after"}
        assert all(row for table in found["tables"] for row in table["rows"])
        assert all(f"| {mark['what']} |" in done.stdout for mark in found["marks"])
    assert figures["machine"]["versions"]["langgraph"]
    written = page.read_text("utf-8")
    assert done.stdout.strip() in written
    assert written.startswith(f"before\n{BEGIN}")
    assert written.endswith(f"{END}\nafter\n")
    assert "old" not in written


def test_the_report_of_an_earlier_run_is_written_anew_without_measuring(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mark = Mark(what="a run", reached=2.0, most=1.0, unit="ms")
    table = Table(title="Times", heads=["side"], rows=[["ours"]])
    drawing = Drawing(title="A run", unit="ms", bars=[("ours", 1.0)])
    found = Findings(tables=[table], marks=[mark], drawings=[drawing], left_out=["a peer is left out"])
    when = {"load": {"before": [1.0], "after": []}, "date": "1 May 2026"}
    file, again = tmp_path / "figures.json", tmp_path / "again.json"
    file.write_text(json.dumps({"machine": MACHINE, "sections": {"cache": asdict(found) | when}}))
    main(["--from", str(file), "--sections", "", "--json", str(again)])
    assert (
        capsys.readouterr().out
        == report(where(MACHINE, ["1 May 2026"], [[1.0], []]), {"cache": found}) + "\n"
    )
    assert json.loads(again.read_text()) == json.loads(file.read_text())


def test_sections_of_another_machine_are_not_mixed_with_those_of_this_one(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    file.write_text(json.dumps({"machine": MACHINE, "sections": {"cache": {}}}))
    with pytest.raises(SystemExit, match="another machine or other versions"):
        main(["--from", str(file), "--sections", "tokens"])


@pytest.mark.parametrize(
    ("loads", "said"),
    [
        pytest.param([[]], "a CPU); langgraph 1.2.", id="a load that is not known is not told"),
        pytest.param([[0.5], [1.5]], "was 0.5 to 1.5 before and after the sections.", id="quiet"),
        pytest.param(
            [[0.5], [4]], "times are longer than on a quiet machine.", id="busier than it has cores"
        ),
    ],
)
def test_the_report_says_how_busy_the_machine_was(loads: list[list[float]], said: str) -> None:
    text = where(MACHINE, ["1 May 2026"], loads)
    assert text.startswith("Measured on 1 May 2026, Python 3.11, 2 cores (a CPU); langgraph 1.2.")
    assert text.endswith(said)


def test_a_command_that_has_nothing_to_measure_says_so() -> None:
    with pytest.raises(SystemExit, match="Nothing to measure: name sections"):
        main(["--sections", ""])


def test_every_section_is_a_module_that_measures() -> None:
    for name in SECTIONS:
        assert callable(import_module(f"benchmarks.{MODULES.get(name, name)}").measure)


def test_a_section_that_there_is_not_is_named() -> None:
    with pytest.raises(SystemExit, match=r"unknown sections: overhaed\. There are: overhead, start"):
        sections_of("start, overhaed")


@pytest.mark.parametrize(
    ("reached", "most", "verdict"),
    [
        pytest.param(1.25, 1.25, "reached", id="the bound itself is kept"),
        pytest.param(1.0, 1.25, "reached", id="below"),
        pytest.param(2.5, 1.25, "missed, 2.00×", id="above, by how much"),
        pytest.param(3, 0, "missed", id="above nothing"),
        pytest.param(-1.0, 0.5, "reached", id="less than what it is compared with"),
    ],
)
def test_a_mark_says_whether_it_is_reached(reached: float, most: float, verdict: str) -> None:
    assert Mark(what="", reached=reached, most=most).verdict == verdict


def test_the_report_begins_with_the_machine_and_the_marks_and_ends_with_what_is_left_out() -> None:
    found = Findings(
        tables=[Table(title="Times", heads=["side", "ms"], rows=[["ours", "1"]], note="A note.")],
        marks=[Mark(what="a run", reached=2_500, most=0.5, unit="ms")],
        drawings=[Drawing(title="A run", unit="ms", bars=[("ours", 1.0), ("theirs", 2.0)])],
        left_out=["a peer is left out"],
    )
    text = report("Measured.", {"overhead": found, "start": found})
    assert text.startswith("Measured.\n\n**Marks**")
    assert "| a run | 2,500 ms | 0.5 ms | missed, 5000.00× |" in text
    assert '  x-axis ["ours", "theirs"]\n  y-axis "ms"\n  bar [1, 2]\n' in text
    assert "**Times**\n\n| side | ms |\n| --- | --- |\n| ours | 1 |\n\nA note." in text
    assert text.endswith("Not measured here:\n\n- a peer is left out")


async def test_sides_take_turns_and_each_round_begins_with_another() -> None:
    order: list[str] = []

    async def first(number: int) -> None:
        order.append(f"a{number}")

    async def second(number: int) -> None:
        order.append(f"b{number}")

    taken = await in_turn({"a": first, "b": second}, 2)
    assert order == [
        "a0",
        "b0",
        "a1",
        "b1",
        "a2",
        "b2",
        "b3",
        "a3",
    ]  # two rounds of warming up, then two counted
    assert [len(each.cpu) for each in taken.values()] == [2, 2]
    assert [len(each.wall) for each in taken.values()] == [2, 2]


def test_ratios_and_differences_are_taken_within_a_round() -> None:
    mine, base = [2.0, 30.0, 4.0], [1.0, 10.0, 4.0]
    assert ratios(mine, base).median == 2.0
    assert beyond(mine, base).median == 1.0
    assert (spread([5.0]).low, spread([5.0]).median, spread([5.0]).high) == (5.0, 5.0, 5.0)


def test_a_page_without_marks_is_not_written(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("nothing", "utf-8")
    with pytest.raises(ValueError):
        write_into(page, "text")
    assert page.read_text("utf-8") == "nothing"


@pytest.mark.parametrize(
    ("times", "exponent"),
    [
        pytest.param([1.0, 10.0, 100.0], 1.0, id="in proportion"),
        pytest.param([1.0, 10.0, 1_000.0], 2.0, id="its square at last"),
        pytest.param([1.0, 5.0, 5.0], 0.0, id="no longer"),
    ],
)
def test_growth_is_told_by_the_last_two_sizes(times: list[float], exponent: float) -> None:
    cpu = {size: spread([took]) for size, took in zip((1, 10, 100), times, strict=True)}
    kind = Kind(name="work", sizes=[1, 10, 100], sides=kinds(QUICK)[0].sides)
    assert Grown(kind=kind, cpu=cpu).exponent == pytest.approx(exponent)
