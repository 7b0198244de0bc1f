"""What a phase will take, estimated before the run."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ymera.routing.catalogue import builtin_catalogue
from ymera.routing.history import unseen
from ymera.routing.paces import Pace, seen
from ymera.routing.prediction import (
    SAFETY,
    answer_tokens,
    count_tokens,
    input_tokens,
    needed_tokens,
    output_bound,
    predict,
    tokens_per_second,
    total,
)
from ymera.routing.records import PhaseProfile, Prediction, Price

BUILTIN = builtin_catalogue()
PHASES = list(BUILTIN.phases.values())
CODING = BUILTIN.agents["coding_agent"]
SMALL = BUILTIN.models["embedded:qwen2.5-coder-1.5b"]
LARGE = BUILTIN.models["openai:gpt-6-sol"]
GENERATION = BUILTIN.phases["generation"]


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        pytest.param("", 0, id="nothing"),
        pytest.param("a", 1, id="one letter"),
        pytest.param("four letters", 3, id="four letters each"),
        pytest.param("日本語", 3, id="one each for Japanese"),
        pytest.param("Привет", 4, id="two thirds each for Cyrillic"),
        pytest.param("🙂🙂🙂", 4, id="more than one for a picture"),
        pytest.param("\ud800", 1, id="half a letter"),
    ],
)
def test_tokens_are_estimated_from_letters_and_bytes(text: str, tokens: int) -> None:
    assert count_tokens(text) == tokens


@given(st.text(), st.text())
def test_two_texts_together_never_count_more_than_apart(one: str, other: str) -> None:
    assert max(count_tokens(one), count_tokens(other)) <= count_tokens(one + other)
    assert count_tokens(one + other) <= count_tokens(one) + count_tokens(other)


def test_an_answer_is_bounded_by_phase_model_and_half_of_the_window() -> None:
    assert answer_tokens(GENERATION, LARGE) == GENERATION.max_output_tokens
    assert answer_tokens(GENERATION, replace(LARGE, max_output_tokens=100)) == 100
    assert answer_tokens(GENERATION, replace(SMALL, context_tokens=4_096)) == 2_048


def test_a_phase_is_shown_its_instructions_the_task_and_what_it_reads() -> None:
    alone = input_tokens(GENERATION, CODING, [GENERATION], 100)
    after = input_tokens(GENERATION, CODING, PHASES, 100)
    read = sum(BUILTIN.phases[name].max_output_tokens for name in GENERATION.reads)
    assert after - alone == pytest.approx(0.3 * read, abs=1)
    assert input_tokens(GENERATION, CODING, PHASES, 400) - after == 300
    taught = replace(CODING, guidance={"generation": "x" * 4000})
    untaught = replace(CODING, guidance={})
    assert input_tokens(GENERATION, taught, PHASES, 0) - input_tokens(GENERATION, untaught, PHASES, 0) == 1000


@given(st.integers(0, 100_000), st.integers(1, 100_000))
def test_more_to_show_never_needs_a_smaller_window(shown: int, more: int) -> None:
    assert needed_tokens(GENERATION, LARGE, shown + more) >= needed_tokens(GENERATION, LARGE, shown)
    assert needed_tokens(GENERATION, LARGE, shown) >= SAFETY * shown + answer_tokens(GENERATION, LARGE)


def test_the_embedded_model_has_room_for_every_phase_of_every_agent_with_an_everyday_task() -> None:
    for agent in BUILTIN.agents.values():
        for phase in PHASES:
            needed = needed_tokens(phase, SMALL, input_tokens(phase, agent, PHASES, 100))
            assert needed <= SMALL.context_tokens, (agent.agent_name, phase.name)


@pytest.mark.parametrize(("speed", "pace"), [(4, 31), (6, 62), (8, 124), (10, 248)])
def test_the_pace_doubles_every_two_points_of_speed(speed: float, pace: float) -> None:
    assert tokens_per_second(replace(LARGE, scores={"speed": speed})) == pytest.approx(pace)


@pytest.mark.parametrize(
    ("price", "cost"),
    [
        pytest.param(Price(input=2.0, output=10.0), (1000 * 2 + 900 * 10) / 1e6, id="priced"),
        pytest.param(Price(input=0, output=0), 0.0, id="free"),
        pytest.param(None, None, id="an unknown price is unknown, not 0"),
    ],
)
def test_a_phase_is_predicted_from_the_models_row(price: Price | None, cost: float | None) -> None:
    part = predict(GENERATION, replace(LARGE, price=price, scores={"speed": 6}), 1000)
    assert part == Prediction(seconds=round(900 / 62, 2), input_tokens=1000, output_tokens=900, cost_usd=cost)


PARTS = st.builds(
    Prediction,
    seconds=st.floats(0, 100),
    input_tokens=st.integers(0, 10_000),
    output_tokens=st.integers(0, 10_000),
    cost_usd=st.floats(0, 10),
)


@given(st.lists(PARTS, min_size=6, max_size=6))
def test_a_run_takes_its_longest_path_and_everything_else_of_all_its_phases(parts: list[Prediction]) -> None:
    layout = (("planning",), ("research", "generation"), ("review",), ("refinement", "validation"))
    run = total(parts, layout, PHASES)
    seconds = [part["seconds"] for part in parts]
    longest = seconds[0] + max(seconds[1:3]) + seconds[3] + max(seconds[4:6])
    assert run["seconds"] == pytest.approx(longest, abs=0.01)
    assert run["input_tokens"] == sum(part["input_tokens"] for part in parts)
    assert run["output_tokens"] == sum(part["output_tokens"] for part in parts)
    assert run["cost_usd"] == pytest.approx(sum(part["cost_usd"] or 0.0 for part in parts))


def test_one_unknown_price_makes_the_cost_of_the_run_unknown() -> None:
    known = Prediction(seconds=1, input_tokens=1, output_tokens=1, cost_usd=1.0)
    unknown = Prediction(seconds=1, input_tokens=1, output_tokens=1, cost_usd=None)
    assert total([known, unknown], (("planning",), ("research",)), PHASES[:2])["cost_usd"] is None


def test_a_phase_without_a_model_takes_nothing() -> None:
    known = Prediction(seconds=2, input_tokens=3, output_tokens=4, cost_usd=1.0)
    assert total([known, None], (("planning",), ("research",)), PHASES[:2]) == known


# --- with bounds -------------------------------------------------------------------------------------------

GOOD = unseen(0.8)


def test_what_was_seen_of_a_model_in_a_phase_takes_the_place_of_the_estimate() -> None:
    before = predict(GENERATION, LARGE, 500, quality=GOOD)
    slow = Pace(seconds=seen([100.0] * 50), tokens=seen([200.0] * 50))
    after = predict(GENERATION, LARGE, 500, slow, GOOD)
    assert before["seconds"] < 75 < after["seconds"] < 125
    assert before["output_tokens"] > 250 > after["output_tokens"] > 150
    assert after["cost_usd"] is not None
    assert before["cost_usd"] is not None
    assert after["cost_usd"] < before["cost_usd"]


@given(
    seconds=st.lists(st.floats(0, 1e4), max_size=20),
    tokens=st.lists(st.floats(0, 1e6), max_size=20),
    quality=st.floats(0, 1),
    key=st.sampled_from(sorted(BUILTIN.models)),
    phase=st.sampled_from(PHASES),
)
def test_bounds_lie_around_what_is_predicted_and_within_what_is_possible(
    seconds: list[float], tokens: list[float], quality: float, key: str, phase: PhaseProfile
) -> None:
    model = BUILTIN.models[key]
    found = predict(phase, model, 500, Pace(seen(seconds), seen(tokens)), unseen(quality))
    between = found["between"]
    assert between["seconds"][0] <= found["seconds"] <= between["seconds"][1]
    assert 0 <= between["output_tokens"][0] <= found["output_tokens"] <= between["output_tokens"][1]
    assert between["output_tokens"][1] <= output_bound(phase, model)
    assert 0 <= between["quality"][0] <= found["quality"] <= between["quality"][1] <= 1
    if found["cost_usd"] is None:
        assert between["cost_usd"] is None
    else:
        assert between["cost_usd"] is not None
        assert between["cost_usd"][0] <= found["cost_usd"] <= between["cost_usd"][1]


def test_a_run_is_as_good_as_its_phases_and_its_bounds_are_narrower_than_the_parts_together() -> None:
    parts = [predict(phase, LARGE, 500, quality=unseen(0.4 + 0.08 * n)) for n, phase in enumerate(PHASES)]
    layout = tuple((phase.name,) for phase in PHASES)
    whole = total(parts, layout, PHASES)
    assert min(part["quality"] for part in parts) < whole["quality"] < max(part["quality"] for part in parts)
    assert whole["between"]["quality"][0] < whole["quality"] < whole["between"]["quality"][1]
    low, high = whole["between"]["seconds"]
    assert sum(part["between"]["seconds"][0] for part in parts) < low < whole["seconds"] < high
    assert high < sum(part["between"]["seconds"][1] for part in parts)


@pytest.mark.parametrize("phase", PHASES, ids=lambda phase: phase.name)
def test_a_better_phase_makes_a_better_run_and_those_that_make_the_result_most(phase: PhaseProfile) -> None:
    layout = tuple((each.name,) for each in PHASES)

    def quality(better: str) -> float:
        parts = [
            predict(each, LARGE, 9, quality=unseen(0.9 if each.name == better else 0.5)) for each in PHASES
        ]
        return total(parts, layout, PHASES)["quality"]

    assert 0.5 < quality(phase.name) <= quality("generation")


def test_where_one_price_is_not_known_the_whole_has_no_bounds_of_cost() -> None:
    unpriced = replace(LARGE, price=None)
    parts = [
        predict(phase, model, 9, quality=GOOD) for phase, model in zip(PHASES, [unpriced] * 9, strict=False)
    ]
    assert total(parts, tuple((phase.name,) for phase in PHASES), PHASES)["between"]["cost_usd"] is None


def test_a_free_run_is_surely_free() -> None:
    parts = [predict(phase, SMALL, 9, quality=GOOD) for phase in PHASES]
    between = total(parts, tuple((phase.name,) for phase in PHASES), PHASES)["between"]
    assert between["cost_usd"] == [0.0, 0.0]
