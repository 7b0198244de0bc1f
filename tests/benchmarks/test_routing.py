"""The figures of routers on data made by hand, and one small evaluation from the command line to the page."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random as Draws
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import routing, routing_domains, routing_metrics, routing_streams
from benchmarks.routing_calibration import calibration_error, coverage
from benchmarks.routing_data import PAIR, POOL, Matrix, Table, judgements, namesake, split, without
from benchmarks.routing_marks import MARKS, verdict
from benchmarks.routing_metrics import (
    Swept,
    front,
    hull_height,
    many_figures,
    pair_figures,
    parity_weight,
    sweep,
)
from benchmarks.routing_routers import BestSingle, Domain, Oracle, Router
from benchmarks.routing_streams import cold_start, even, many_cold_starts, online, prior_of
from ymera.nodes import learned
from ymera.routing.history import Place


def table(scores: list[list[float]], costs: list[float], domains: list[str] | None = None) -> Table:
    """Return outcomes of models `a`, `b`, …, each with one cost."""
    count = len(scores)
    return Table(
        texts=[f"question {number}" for number in range(count)],
        domains=domains or ["any"] * count,
        models=["abcdef"[column] for column in range(len(costs))],
        scores=np.array(scores, dtype=float),
        costs=np.tile(np.array(costs, dtype=float), (count, 1)),
        tokens=np.full((count, len(costs)), 100.0),
    )


PAIRED = table([[1, 0], [1, 1], [1, 0], [1, 1]], [1.0, 0.0])


@pytest.mark.parametrize(
    ("gain", "apgr", "cpt50", "cpt80"),
    [
        pytest.param([1, 0, 1, 0], 0.75, 25, 50, id="knows where the strong model is needed"),
        pytest.param([0, 1, 0, 1], 0.25, 75, 100, id="has it the wrong way round"),
        pytest.param([4, 3, 2, 1], 0.625, 25, 75, id="half right"),
        pytest.param([0, 0, 0, 0], 0.625, 25, 75, id="says nothing: the order of the prompts"),
    ],
)
def test_a_pair_is_judged_by_the_gap_recovered_over_strong_calls(
    gain: list[float], apgr: float, cpt50: float, cpt80: float
) -> None:
    figures = pair_figures(np.array(gain, dtype=float), PAIRED)
    assert figures == pytest.approx((apgr, cpt50, cpt80))


@given(seed=st.integers(0, 10_000))
def test_on_average_chance_recovers_half_of_the_gap(seed: int) -> None:
    random = np.random.default_rng(seed)
    every = table((random.random((2_000, 2)) < [0.8, 0.5]).tolist(), [1.0, 0.0])
    assert pair_figures(random.random(2_000), every).apgr == pytest.approx(0.5, abs=0.12)


# --- many models -------------------------------------------------------------------------------------------

SKILLED = table([[1, 0, 1], [1, 0, 1], [0, 1, 1], [0, 1, 0]], [1.0, 1.0, 10.0], ["x", "x", "y", "y"])
"""Each cheap model knows one domain; the dear one knows three questions of four."""


def reached(router: Router, every: Table, weight: int = 0) -> tuple[Any, Swept]:
    router.fit(every)
    swept = sweep(*router.predict(every), every)
    oracle = sweep(every.scores, every.costs, every)
    return many_figures(swept, oracle, every, np.full(len(every), weight)), swept


def test_the_oracle_is_at_the_end_of_the_way_and_the_best_single_model_at_no_gain() -> None:
    oracle, single = reached(Oracle(), SKILLED)[0], reached(BestSingle(), SKILLED)[0]
    assert (oracle.gain, oracle.closed, oracle.aiq) == pytest.approx((25, 100, 100))
    assert oracle.parity == pytest.approx(90)
    assert (single.gain, single.closed, single.saving) == pytest.approx((0, 0, 0))
    assert single.aiq <= 0


def test_two_cheap_specialists_beat_the_best_single_model_and_save_its_cost() -> None:
    many = table(SKILLED.scores.tolist() * 50, [1.0, 1.0, 10.0], ["x", "x", "y", "y"] * 50)
    figures, _ = reached(Domain(), many)
    assert (figures.gain, figures.parity) == pytest.approx((25, 90))


def test_a_router_that_takes_the_single_models_by_turns_is_worth_their_hull() -> None:
    scores: Matrix = np.tile(np.arange(3.0), (len(SKILLED), 1))
    swept = sweep(scores, SKILLED.costs, SKILLED)
    oracle = sweep(SKILLED.scores, SKILLED.costs, SKILLED)
    weight = np.zeros(len(SKILLED), dtype=int)
    assert many_figures(swept, oracle, SKILLED, weight).aiq == pytest.approx(0, abs=1)


points = st.tuples(st.floats(0, 10), st.floats(0, 1))


@given(every=st.lists(points, min_size=1, max_size=8), more=points)
def test_another_point_never_lowers_a_hull(
    every: list[tuple[float, float]], more: tuple[float, float]
) -> None:
    span = 0.0, 10.0
    low = np.array([*every, (0.0, 0.0)])
    assert hull_height(np.vstack([low, more]), span) >= hull_height(low, span) - 1e-9


@pytest.mark.parametrize(
    ("corners", "height"),
    [
        pytest.param([(0, 0.5), (10, 0.5)], 0.5, id="level"),
        pytest.param([(0, 0.0), (10, 1.0)], 0.5, id="a straight rise"),
        pytest.param([(0, 0.0), (5, 1.0), (10, 1.0)], 0.75, id="rises, then level"),
        pytest.param([(0, 0.0), (5, 0.2), (10, 1.0)], 0.5, id="what sags does not count"),
        pytest.param([(0, 0.0), (5, 1.0), (10, 0.4)], 0.75, id="dearer and worse does not count"),
    ],
)
def test_the_height_of_a_hull(corners: list[tuple[float, float]], height: float) -> None:
    assert hull_height(np.array(corners), (0.0, 10.0)) == pytest.approx(height, abs=1e-3)


def test_the_cost_weight_is_the_largest_that_keeps_the_best_single_models_accuracy() -> None:
    swept = sweep(SKILLED.scores, SKILLED.costs / 100, SKILLED)
    place = parity_weight(swept, SKILLED)
    kept = swept.scores.mean(axis=0) >= 0.75
    assert kept[place]
    assert not kept[place + 1 :].any()


def test_a_front_never_falls_as_the_cost_grows() -> None:
    _, swept = reached(Domain(), SKILLED)
    drawn = front(swept, SKILLED)
    assert drawn == sorted(drawn)


# --- data --------------------------------------------------------------------------------------------------


def test_every_prompt_is_tested_once_and_equal_ones_in_the_same_fold() -> None:
    every = table([[1.0, 0.0]] * 30, [1.0, 0.0])
    texts = [f"Question {number // 3}{'?' * (number % 3)}" for number in range(30)]
    folds = split(Table(**{**vars(every), "texts": texts}), 5, seed=1)
    assert sorted(text for fold in folds for text in fold.test.texts) == sorted(texts)
    for fold in folds:
        assert not {text.rstrip("?") for text in fold.test.texts} & {t.rstrip("?") for t in fold.train.texts}


def test_prompts_that_were_learned_from_are_not_tried() -> None:
    kept = without(table([[1, 0]] * 3, [1, 0]), ["Question 1!"])
    assert kept.texts == ["question 0", "question 2"]


@pytest.mark.parametrize(
    ("model", "found"),
    [
        ("Meta-Llama-3.1-8B-Instruct", "meta-llama-3.1-8b"),
        ("gpt-4o-2024-05-13", "gpt-4o-2024-11-13"),
        ("mathstral-7B", None),
    ],
)
def test_models_are_found_again_under_names_that_are_nearly_theirs(model: str, found: str | None) -> None:
    assert namesake(model, ["meta-llama-3.1-8b", "gpt-4o-2024-11-13", "claude-3-opus"]) == found


@pytest.mark.parametrize(
    ("value", "told"), [(0.6, "missed"), (0.65, "missed, over the least"), (0.66, "reached")]
)
def test_a_missed_mark_is_called_missed(value: float, told: str) -> None:
    assert verdict(MARKS[0], value) == told


# --- streams -----------------------------------------------------------------------------------------------


def specialists(count: int) -> Table:
    """Return outcomes in which each domain has its own model that is mostly right there, and half right elsewhere."""
    random = Draws(0)
    domains = ["xyz"[number % 3] for number in range(count)]
    scores = [
        [float(random.random() < (0.95 if "xyz"[m] == domain else 0.5)) for m in range(3)]
        for domain in domains
    ]
    return table(scores, [1.0, 1.0, 1.0], domains)


def test_the_more_outcomes_the_better_the_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routing_streams, "DRAWS", 3)
    few, *_, many = cold_start(specialists(600), None, even, seed=0)
    assert (few.outcomes, many.outcomes) == (5, 50)
    assert np.mean(many.gains) > 20
    assert np.mean(many.gains) >= np.mean(few.gains)


def test_of_specialists_every_means_of_domains_find_more_than_one_model_for_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(routing_streams, "MORE_DRAWS", 3)
    one, means, ours, _ = many_cold_starts(specialists(600), None, even, seed=0).values()
    assert np.mean(one[-1].gains) <= 0
    assert np.mean(means[-1].gains) > 20
    assert np.mean(ours[-1].gains) > 20


def test_a_router_that_sees_its_own_choices_alone_beats_the_best_single_model_where_there_are_specialists(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(routing_streams, "ORDERS", 2)
    for stream in online(specialists(1_500), None, even, seed=0):
        assert stream.regret > 0
        assert stream.final > 20


def test_a_prior_ranks_models_as_other_tasks_do_and_the_unknown_a_little_lower() -> None:
    prior = prior_of(["gpt-4o-mini", "phi-3", "new"], {"gpt-4o-mini": 0.2, "phi-3": -0.2})
    place = Place("any", "")
    assert prior("gpt-4o-mini", place) > 0.5 > prior("new", place) > prior("phi-3", place)


@pytest.mark.parametrize(
    ("predicted", "right", "error"),
    [
        pytest.param([0.5] * 4, [1, 0, 1, 0], 0, id="right on average"),
        pytest.param([1.0] * 4, [1, 0, 1, 0], 50, id="too sure"),
        pytest.param([0.05, 0.05, 0.95, 0.95], [0, 0, 1, 1], 5, id="nearly"),
        pytest.param([0.05, 0.95], [1, 0], 95, id="the wrong way round"),
        pytest.param([1.2, -0.2], [1, 0], 20, id="beyond the scale"),
    ],
)
def test_a_prediction_is_held_against_what_came(
    predicted: list[float], right: list[int], error: float
) -> None:
    assert calibration_error(np.array(predicted), np.array(right, dtype=float)) == pytest.approx(error)


def test_bounds_for_nine_of_ten_hold_about_as_often() -> None:
    for held in coverage(specialists(900), even, seed=0):
        assert 60 < held["quality"] <= 100
        assert held["tokens"] == 100


# --- the command -------------------------------------------------------------------------------------------

DOMAINS = ("law", "math")
SETS = ("gsm", "crux")


def write_folder(folder: Path, seed: int) -> Path:
    """Write a folder of made outcomes under the names of the real ones."""
    folder.mkdir()
    random = Draws(seed)
    for name, count in (("gsm8k", 60), ("mmlu", 80)):
        rows = [
            {
                "prompt": f"{name} question {seed} {n}: what is {n} times {random.randrange(100)}?",
                "domain": DOMAINS[n % 2] if name == "mmlu" else "math",
                "contaminated": n == 0,
                PAIR[0]: random.random() < 0.9,
                PAIR[1]: random.random() < 0.5,
            }
            for n in range(count)
        ]
        _write(folder / f"routellm_{name}.parquet", rows)
    _write_many(folder, "mmlu_pro", POOL, random, seed)
    _write_many(folder, "zeroeval", POOL[:4], random, seed)
    return folder


def _write_many(folder: Path, name: str, models: tuple[str, ...], random: Draws, seed: int) -> None:
    prompts, outcomes = [], []
    for n in range(120):
        own = f"{name}-{seed}-{n}"
        dataset = SETS[n % 2] if name == "zeroeval" else name
        prompts.append(
            {"prompt_id": own, "dataset": dataset, "category": DOMAINS[n % 2], "prompt": f"{own} is {n}?"}
        )
        outcomes += [
            {
                "prompt_id": own,
                "dataset": dataset,
                "model": model,
                "score": float(random.random() < 0.9 - 0.04 * m - 0.3 * (m % 2 == n % 2)),
                "cost_usd": 0.01 / (m + 1),
                "tokens_out": random.randrange(50, 500),
            }
            for m, model in enumerate(models)
        ]
    _write(folder / f"{name}_prompts.parquet", prompts)
    _write(folder / f"{name}_outcomes.parquet", outcomes)


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    parquet.write_table(pa.Table.from_pylist(rows), path)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let everything be done that is done at full size, a few times each."""
    for module, name, value in (
        (routing_metrics, "RESAMPLES", 5),
        (routing_domains, "DRAWS", 2),
        (routing_domains, "TEXTS", (20, 40)),
        (routing_streams, "DRAWS", 2),
        (routing_streams, "MORE_DRAWS", 3),
        (routing_streams, "ORDERS", 2),
        (routing_streams, "PER_CELL", (5, 10, 50)),
        (learned, "TREES", 5),
    ):
        monkeypatch.setattr(module, name, value)


@pytest.mark.parametrize("held_out", [False, True], ids=["five folds", "a folder of its own"])
def test_one_command_evaluates_and_writes_the_page(quick: None, tmp_path: Path, held_out: bool) -> None:
    train, page = write_folder(tmp_path / "train", 1), tmp_path / "page.md"
    page.write_text(
        "before\n<!-- tables: begin -->\nan earlier table\n<!-- tables: end -->\nafter\n", "utf-8"
    )
    sections = ",".join(name for name in routing.SECTIONS if name != "speed")
    arguments = ["--train", str(train), "--sections", sections, "--docs", str(page)]
    if held_out:
        arguments += ["--test", str(write_folder(tmp_path / "test", 2))]
    told = []
    for name in ("first.json", "again.json"):
        routing.main([*arguments, "--json", str(tmp_path / name)])
        told.append(json.loads((tmp_path / name).read_text("utf-8")))
    assert told[0] == told[1], "the same seed gives other figures"
    assert told[0]["in_domain"]["mmlu"]["prompts"] == 79
    assert told[0]["mmlu_pro"]["prompts"] == 120
    text = page.read_text("utf-8")
    assert text.startswith("before")
    assert text.endswith("after\n")
    assert "an earlier table" not in text
    for title in (
        "Marks",
        "RouteLLM's pair on gsm8k",
        "MMLU-Pro",
        "ZeroEval",
        "Domains read in texts of MMLU-Pro",
        "Cold start",
        "Drift",
        "Escalation",
    ):
        assert f"**{title}" in text
    assert text.count("```mermaid") == 2


def test_the_prior_is_made_of_what_models_did_elsewhere(tmp_path: Path) -> None:
    found = judgements(write_folder(tmp_path / "train", 1), "zeroeval")
    assert set(found) == set(POOL[:4])
    assert sum(found.values()) == pytest.approx(0, abs=1e-9)
    assert max(found, key=found.__getitem__) == POOL[0]
