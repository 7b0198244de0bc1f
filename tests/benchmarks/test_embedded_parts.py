"""What the section of the embedded models computes, without their weights: rates, marks, shares."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from benchmarks.embedded_batch import Level, findings_of_levels
from benchmarks.embedded_calls import Call, timings_in
from benchmarks.embedded_prefix import Shown, findings_of_prompts, repeated_tokens
from benchmarks.embedded_section import joined
from benchmarks.embedded_speed import Round, findings_of_rounds
from benchmarks.findings import Findings, Mark, Table, findings_of
from benchmarks.llama_bench import Benched, Rates, Work, benched, build_of, found, read_row
from ymera.nodes.cores import Threads
from ymera.routing.catalogue import builtin_catalogue
from ymera.routing.prediction import count_tokens

THREADS = Threads(decode=1, batch=2)
WORK = Work(prompt_tokens=288, output_tokens=64)


def row(**changed: Any) -> dict[str, Any]:
    """Return the fields of a row of llama-bench's JSON that are read, as build 11434 writes them."""
    fields = {"build_commit": "unknown", "build_number": 0, "n_prompt": 288, "n_gen": 0, "avg_ts": 200.5}
    return fields | changed


def call(*, first_token_s: float = 2.0, wall_s: float = 5.0) -> Call:
    timings = {"prompt_n": 200, "prompt_ms": 1_000.0, "predicted_n": 61, "predicted_ms": 2_000.0}
    return Call(
        prompt_tokens=210,
        read_tokens=200,
        output_tokens=61,
        first_token_s=first_token_s,
        wall_s=wall_s,
        timings=timings,
    )


def a_round(prompt: float, output: float) -> Round:
    return Round(ours=call(), bench=Benched(rates=Rates(prompt=prompt, output=output), build="build 7 (abc)"))


def program(folder: Path, body: str) -> str:
    """Write a program that stands in for the bench."""
    path = folder / "llama-bench"
    path.write_text(f"#!{sys.executable}\nimport json, sys\nwords = sys.argv[1:]\n{body}\n", "utf-8")
    path.chmod(0o755)
    return str(path)


def test_the_rate_stands_in_the_row_that_measured_one_part_alone() -> None:
    both = json.dumps([row(), row(n_prompt=0, n_gen=64, avg_ts=40.25), row(n_gen=64, avg_ts=1.0)])
    assert read_row(both, "n_prompt")["avg_ts"] == 200.5
    assert read_row(both, "n_gen")["avg_ts"] == 40.25


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("", "did not answer as `-o json` does", id="nothing"),
        pytest.param("| model | t/s |", "did not answer as `-o json` does", id="a Markdown table"),
        pytest.param('[{"n_prompt": 288}]', "did not answer as `-o json` does", id="a row of another form"),
        pytest.param("[]", "measured n_prompt 0 times", id="no row"),
        pytest.param(json.dumps([row(avg_ts=0)]), "measured n_prompt 0 times", id="no rate"),
        pytest.param(json.dumps([row(), row()]), "measured n_prompt 2 times", id="two rows"),
    ],
)
def test_what_is_no_figure_of_the_bench_is_refused(text: str, said: str) -> None:
    with pytest.raises(RuntimeError, match=said):
        read_row(text, "n_prompt")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        pytest.param(row(build_number=11549, build_commit="abc"), "build 11549 (abc)", id="of a release"),
        pytest.param(row(), "a build that does not say which", id="built outside git"),
    ],
)
def test_the_build_of_the_bench_is_named(fields: dict[str, Any], words: str) -> None:
    assert build_of(fields) == words


async def test_the_bench_gets_our_file_threads_and_lengths(tmp_path: Path) -> None:
    asked = tmp_path / "asked"
    bench = program(
        tmp_path,
        f"""
open({str(asked)!r}, "a").write(" ".join(words) + "\\n")
value = dict(zip(words[::2], words[1::2]))
row = {{"n_prompt": int(value["-p"]), "n_gen": int(value["-n"]), "avg_ts": 90.0 if value["-n"] == "0" else 30.0}}
print(json.dumps([row | {{"build_number": 5, "build_commit": "c"}}]))""",
    )
    said = await benched(bench, Path("/models/m.gguf"), WORK, THREADS)
    assert said == Benched(rates=Rates(prompt=90.0, output=30.0), build="build 5 (c)")
    assert asked.read_text("utf-8").splitlines() == [
        "-m /models/m.gguf -r 1 -p 288 -n 0 -t 2 -o json",
        "-m /models/m.gguf -r 1 -p 0 -n 64 -d 288 -t 1 -o json",
    ]


async def test_a_bench_that_fails_says_why(tmp_path: Path) -> None:
    bench = program(tmp_path, "sys.exit('cannot load the model')")
    with pytest.raises(RuntimeError, match="ended with 1: cannot load the model"):
        await benched(bench, Path("/models/m.gguf"), WORK, THREADS)


def test_the_bench_is_a_path_or_a_name_on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = program(tmp_path, "")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert found(path) == found("llama-bench") == path
    assert found(str(tmp_path / "nothing")) is None


def test_a_call_is_timed_by_both_clocks_and_the_first_token_is_the_prompts() -> None:
    assert call().seen == Rates(prompt=100.0, output=20.0)
    assert call().told == Rates(prompt=200.0, output=30.0)


def test_the_runners_clock_stands_in_the_last_event_that_has_one() -> None:
    events = [
        b'data: {"choices": [1]}',
        b"",
        b'data: {"choices": [], "timings": {"prompt_n": 5}}',
        b"data: [DONE]",
    ]
    assert timings_in(b"\n".join(events)) == {"prompt_n": 5}
    with pytest.raises(ValueError, match="no `timings`"):
        timings_in(b"\n".join(events[:1]))


def test_the_mark_is_reached_at_95_of_100_of_the_benchs_tokens_a_second() -> None:
    rounds = [a_round(100 / 0.951, 20 / 0.949)] * 3
    found_ = findings_of_rounds({"small": rounds}, THREADS)
    assert [(mark.what, mark.is_reached) for mark in found_.marks] == [
        ("reading a prompt, small: time a token over llama-bench's", True),
        ("making tokens, small: time a token over llama-bench's", False),
    ]
    prompt, output = found_.tables[0].rows
    assert prompt[-2:] == ["95.1%", "190.2%"]
    assert output[-2:] == ["94.9%", "142.3%"]
    assert "llama-bench is build 7 (abc)." in found_.tables[0].note


def test_a_batch_is_told_beside_the_same_calls_one_after_the_other() -> None:
    level = Level(in_turn=[call()] * 2, at_once=[call(wall_s=6.1)] * 2, in_turn_s=12.2, at_once_s=6.1)
    [told] = findings_of_levels({"small": [level]}).tables[0].rows
    assert told[:7] == ["small", "2", "12.2", "6.1", "2.00×", "10.0", "20.0"]
    assert told[7].startswith("6.10")


def test_what_an_earlier_phase_was_shown_too_is_counted() -> None:
    phases = builtin_catalogue().phases
    outputs = {"planning": "one two", "generation": "x = 1\n" * 9, "review": "fine", "refinement": "x = 2"}
    repeated = repeated_tokens("a task", outputs, phases)
    task, plan, made = (count_tokens(text) for text in ("a task", outputs["planning"], outputs["generation"]))
    assert repeated == {
        "planning": 0,
        "generation": task,
        "review": task + plan,
        "refinement": task + made,
    }


def test_prompts_are_added_up_run_by_run() -> None:
    shown = [
        Shown(run=run, phase="planning", sent=100, taken=taken, repeated=7)
        for run, taken in ((1, 3), (2, 80))
    ]
    rows = findings_of_prompts("small", shown).tables[0].rows
    assert rows[0] == ["1", "planning", "100", "3", "97", "7"]
    assert rows[-1] == ["2", "all", "100", "80 (80%)", "20", "7"]


def test_the_figures_of_every_part_are_kept_as_json() -> None:
    level = Level(in_turn=[call()], at_once=[call()], in_turn_s=1.0, at_once_s=1.0)
    shown = Shown(run=1, phase="planning", sent=10, taken=1, repeated=0)
    one = joined(
        {
            "speed": findings_of_rounds({"small": [a_round(100, 20)]}, THREADS),
            "prefix": findings_of_prompts("small", [shown]),
            "batch": findings_of_levels({"small": [level]}),
        }
    )
    assert findings_of(json.loads(json.dumps(asdict(one)))).figures == one.figures


def test_the_parts_of_the_section_are_one_finding() -> None:
    table = Table(title="a", heads=["x"], rows=[["1"]])
    mark = Mark(what="m", reached=1, most=2)
    parts = {
        "speed": Findings(left_out=["no bench"]),
        "batch": Findings(tables=[table], marks=[mark], figures=3),
    }
    one = joined(parts)
    assert (one.tables, one.marks, one.left_out) == ([table], [mark], ["no bench"])
    assert one.figures == {"speed": {}, "batch": 3}
