"""What makes a model suit a phase: one rule a scorer."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ymera.routing.catalogue import builtin_catalogue
from ymera.routing.records import Complexity, Level, ModelProfile, PhaseProfile, Price, Reading
from ymera.routing.scoring import (
    SCORERS,
    Case,
    WeightedScorer,
    future,
    preference,
    present,
    price,
    rate,
    say_future,
    say_preference,
    say_price,
    say_skills,
    skill_weights,
    skills,
)

BUILTIN = builtin_catalogue()
CODING = BUILTIN.agents["coding_agent"]
TODAY = date(2026, 11, 24)


def reading(
    complexity: Complexity = "normal", speed: Level = "normal", creativity: Level = "normal"
) -> Reading:
    return Reading(complexity=complexity, speed=speed, creativity=creativity, evidence=[])


def phase(**fields: object) -> PhaseProfile:
    return replace(PhaseProfile(name="generation", order=1, skills={"code": 1.0}, prompt="Do it."), **fields)  # type: ignore[arg-type]


def case(
    weights: dict[str, float] | None = None,
    *,
    preferred: dict[str, int] | None = None,
    where: PhaseProfile | None = None,
) -> Case:
    return Case(
        phase=where or phase(produces=True),
        agent=CODING,
        reading=reading(),
        weights={"code": 1.0} if weights is None else weights,
        preferred=preferred or {},
        today=TODAY,
    )


def model(scores: dict[str, float] | None = None, **fields: object) -> ModelProfile:
    plain = ModelProfile(
        name="m",
        provider="p",
        model_id="m",
        scores=scores or {},
        context_tokens=8_000,
        max_output_tokens=2_000,
    )
    return replace(plain, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("scores", "weights", "value", "because"),
    [
        pytest.param({"code": 8}, {"code": 1.0}, 0.8, "code 8/10", id="one skill"),
        pytest.param(
            {"code": 10, "speed": 0},
            {"code": 3.0, "speed": 1.0},
            0.75,
            "code 10/10, speed 0/10",
            id="weighted",
        ),
        pytest.param(
            {}, {"code": 1.0}, 0.5, "code 5/10", id="a skill that the row does not mention is neutral"
        ),
        pytest.param({"code": 9}, {}, 0.5, "", id="no weight at all is neutral"),
        pytest.param(
            {"a": 1, "b": 2, "c": 3, "d": 4},
            {"a": 1.0, "b": 2.0, "c": 2.0, "d": 3.0},
            0.29,
            "d 4/10, b 2/10, c 3/10",
            id="the three that count most are told, equal ones by name",
        ),
    ],
)
def test_skills_are_the_weighted_mean(
    scores: dict[str, float], weights: dict[str, float], value: float, because: str
) -> None:
    here = case(weights)
    assert skills(model(scores), here) == pytest.approx(value, abs=0.005)
    assert say_skills(model(scores), here) == because


@pytest.mark.parametrize(
    ("what", "agent_share"),
    [
        pytest.param(
            phase(produces=True), 1.0, id="a phase that makes the result counts the agent's skills in full"
        ),
        pytest.param(phase(judges=True), 0.5, id="a phase that judges it counts them half"),
        pytest.param(phase(), 0.0, id="any other does not count them"),
    ],
)
def test_the_agents_skills_count_by_what_the_phase_does(what: PhaseProfile, agent_share: float) -> None:
    agent = replace(CODING, skills={"sql": 1.0}, requirements={})
    assert skill_weights(what, agent, reading()).get("sql", 0.0) == agent_share


@pytest.mark.parametrize(
    ("read", "more"),
    [
        pytest.param(reading(), {}, id="a normal task adds nothing"),
        pytest.param(
            reading("high"), {"quality": 1.0, "reasoning": 1.0}, id="a complex one asks for quality"
        ),
        pytest.param(
            reading("low"), {"speed": 1.0, "cost": 1.0}, id="a simple one for speed and a low price"
        ),
        pytest.param(reading(speed="high"), {"speed": 2.0}, id="an urgent one for speed"),
        pytest.param(reading(creativity="high"), {"creativity": 1.5}, id="a creative one for creativity"),
        pytest.param(
            reading("high", "high", "high"),
            {"quality": 1.0, "reasoning": 1.0, "speed": 2.0, "creativity": 1.5},
            id="all at once",
        ),
    ],
)
def test_what_the_task_asks_for_is_added(read: Reading, more: dict[str, float]) -> None:
    agent = replace(CODING, skills={}, requirements={})
    assert skill_weights(phase(skills={"code": 1.0}), agent, read) == {"code": 1.0, **more}


def test_requirements_count_at_half_weight_in_every_phase() -> None:
    agent = replace(CODING, skills={}, requirements={"code": 0.4, "speed": 1.0})
    assert skill_weights(phase(), agent, reading()) == {"code": 1.2, "speed": 0.5}


def test_an_earlier_preference_counts_more_and_most_where_the_result_is_made() -> None:
    ranked = [preference(model(), case(preferred={"p:m": rank})) for rank in range(5)]
    assert ranked[0] == 1
    assert ranked == sorted(ranked, reverse=True)
    elsewhere = case(preferred={"p:m": 0}, where=phase(judges=True))
    assert preference(model(), elsewhere) == 0.25
    assert say_preference(model(), elsewhere) == "preferred by coding_agent (no. 1)"
    other = case(preferred={"p:other": 0})
    assert (preference(model(), other), say_preference(model(), other)) == (0.0, "")


@pytest.mark.parametrize(
    ("row", "value", "because"),
    [
        pytest.param(model({"cost": 9}), 0.9, "cheap", id="cheap"),
        pytest.param(model({"cost": 2}), 0.2, "", id="dear"),
        pytest.param(model(), 0.5, "", id="not known"),
        pytest.param(model({"cost": 10}, price=Price(input=0, output=0)), 1.0, "free", id="free"),
        pytest.param(
            model({"cost": 10}, price=Price(input=0, output=1)), 1.0, "cheap", id="only the input is free"
        ),
    ],
)
def test_a_low_price_speaks_for_a_model(row: ModelProfile, value: float, because: str) -> None:
    assert (price(row, case()), say_price(row, case())) == (value, because)


@pytest.mark.parametrize(
    ("row", "value", "because"),
    [
        pytest.param(model(), 1.0, "", id="stays"),
        pytest.param(model(status="deprecated"), 0.0, "deprecated", id="deprecated"),
        pytest.param(
            model(status="deprecated", retires_on=date(2026, 12, 1)),
            0.0,
            "retires on 2026-12-01",
            id="goes next week",
        ),
        pytest.param(
            model(retires_on=date(2026, 12, 1)), 0.0, "retires on 2026-12-01", id="active and goes next week"
        ),
        pytest.param(model(retires_on=date(2029, 12, 1)), 1.0, "", id="goes in three years"),
    ],
)
def test_a_model_that_is_about_to_go_gives_way_to_an_equal(
    row: ModelProfile, value: float, because: str
) -> None:
    assert (future(row, case()), say_future(row, case())) == (value, because)


SCORES = st.dictionaries(st.sampled_from(["code", "speed", "quality", "cost"]), st.floats(0, 10))
WEIGHTS = st.dictionaries(st.sampled_from(["code", "speed", "quality", "cost"]), st.floats(0, 3))


@given(SCORES, WEIGHTS, st.integers(0, 9))
def test_a_candidate_has_a_part_for_every_scorer_and_their_weighted_mean(
    scores: dict[str, float], weights: dict[str, float], rank: int
) -> None:
    candidate = present(model(scores), case(weights, preferred={"p:m": rank}))
    assert list(candidate["parts"]) == [scorer.name for scorer in SCORERS]
    mean = sum(s.weight * candidate["parts"][s.name] for s in SCORERS) / sum(s.weight for s in SCORERS)
    assert candidate["score"] == pytest.approx(mean, abs=1e-3)
    assert 0 <= candidate["score"] <= 1


@given(SCORES, WEIGHTS, st.sampled_from(["code", "speed", "quality", "cost"]), st.floats(0, 10))
def test_a_higher_score_in_a_skill_never_lowers_the_candidates_score(
    scores: dict[str, float], weights: dict[str, float], skill: str, more: float
) -> None:
    better = {**scores, skill: max(scores.get(skill, 5.0), more)}
    assert rate(model(better), case(weights)) >= rate(model(scores), case(weights))


def test_scorers_of_a_users_own_take_part_and_none_at_all_gives_zero() -> None:
    own = WeightedScorer(
        name="own", weight=3.0, score=lambda row, here: 0.25, explain=lambda row, here: f"likes {row.name}"
    )
    candidate = present(model(), case(), [own])
    assert candidate["score"] == 0.25
    assert candidate["reason"] == "likes m"
    assert rate(model(), case(), []) == 0
