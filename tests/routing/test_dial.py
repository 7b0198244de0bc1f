"""Cost, speed and quality against each other: what thrift and haste change, limits on what is predicted, the front."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ymera.routing.catalogue import builtin_catalogue
from ymera.routing.dial import front, strategy_for
from ymera.routing.matcher import TaskRequest, Wishes, make_strategy
from ymera.routing.records import ModelProfile, Strategy
from ymera.routing.world import Memo, World

CATALOGUE = builtin_catalogue()
MEMO: Memo = {}
TASK = TaskRequest(
    agent_name="coding_agent", description="Write an API with sessions, roles, pages and tests"
)
MULTI = Wishes(strategy="multi_model")
dials = st.floats(0, 1, allow_nan=False)


def world(unavailable: frozenset[str] = frozenset()) -> World:
    def why(model: ModelProfile) -> str | None:
        return "not here" if model.provider in unavailable else None

    return World(catalogue=CATALOGUE, unavailable=why, today=date(2026, 11, 25), memo=MEMO)


def cost(plan: Strategy) -> float:
    known = plan["predicted"]["cost_usd"]
    assert known is not None
    return known


def quality(plan: Strategy) -> float:
    return plan["predicted"]["quality"]


def made(wishes: Wishes) -> Strategy:
    return make_strategy(TASK, wishes, world())


def test_without_thrift_a_plan_is_as_it_always_was() -> None:
    plan = made(MULTI)
    assert plan["dial"] == {"thrift": 0.0, "haste": 0.0}
    for phase in plan["phases"]:
        candidates = [c for c in (phase["primary_model"], *phase["fallback_models"]) if c]
        assert [c["score"] for c in candidates] == sorted((c["score"] for c in candidates), reverse=True)
        assert "in place of" not in phase["reason"]


@given(less=dials, more=dials)
def test_more_thrift_never_costs_more_in_any_phase(less: float, more: float) -> None:
    less, more = sorted((less, more))
    dear, cheap = (made(replace(MULTI, thrift=thrift)) for thrift in (less, more))
    for one, other in zip(dear["phases"], cheap["phases"], strict=True):
        assert one["predicted"] is not None
        assert other["predicted"] is not None
        before, after = one["predicted"]["cost_usd"], other["predicted"]["cost_usd"]
        assert before is None or after is None or after <= max(before, 1e-6) + 1e-12


@given(less=dials, more=dials)
def test_more_haste_never_takes_longer_in_any_phase(less: float, more: float) -> None:
    less, more = sorted((less, more))
    slow, quick = (made(replace(MULTI, haste=haste)) for haste in (less, more))
    for one, other in zip(slow["phases"], quick["phases"], strict=True):
        assert one["predicted"] is not None
        assert other["predicted"] is not None
        assert other["predicted"]["seconds"] <= max(one["predicted"]["seconds"], 0.1) + 1e-9


def test_the_reason_says_in_whose_place_the_cheaper_model_stands() -> None:
    best, thrifty = made(MULTI), made(replace(MULTI, thrift=0.3))
    for one, other in zip(best["phases"], thrifty["phases"], strict=True):
        first, second = one["primary_model"], other["primary_model"]
        assert first is not None
        assert second is not None
        if (first["provider"], first["model"]) != (second["provider"], second["model"]):
            told = f"in place of {first['provider']}:{first['model']} ({first['score']:.2f}): "
            assert told in other["reason"]
            assert other["reason"].endswith("USD")
    assert best["phases"] != thrifty["phases"]


def test_one_model_for_all_phases_heeds_thrift_too() -> None:
    single = Wishes(strategy="single_model")
    assert cost(made(replace(single, thrift=1.0))) < cost(made(single))


def test_a_model_without_a_price_gains_nothing_by_it() -> None:
    unpriced = next(model for model in CATALOGUE.models.values() if model.price is not None)
    models = {**CATALOGUE.models, unpriced.key: replace(unpriced, price=None)}
    where = World(
        catalogue=replace(CATALOGUE, models=models), unavailable=lambda model: None, today=date(2026, 11, 25)
    )
    for phase in make_strategy(TASK, replace(MULTI, thrift=1.0), where)["phases"]:
        assert phase["primary_model"] is not None
        assert phase["primary_model"]["model"] != unpriced.name


# --- limits ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("usd", [0.0, 0.0005, 0.002, 0.01, 1.0])
def test_a_plan_keeps_within_the_usd_that_were_named_and_is_the_best_of_those(usd: float) -> None:
    plan = strategy_for(TASK, replace(MULTI, most_usd=usd), world())
    assert cost(plan) <= usd
    assert not any("No plan" in warning for warning in plan["warnings"])
    others = [made(replace(MULTI, thrift=step / 20)) for step in range(21)]
    assert quality(plan) == max(quality(other) for other in others if cost(other) <= usd)


@pytest.mark.parametrize("least", [0.3, 0.6, 0.85])
def test_a_plan_has_at_least_the_quality_that_was_named(least: float) -> None:
    assert quality(strategy_for(TASK, replace(MULTI, least_quality=least), world())) >= least


def test_a_plan_keeps_within_the_seconds_that_were_named_where_any_can() -> None:
    usual = made(MULTI)["predicted"]["seconds"]
    quickest = made(replace(MULTI, haste=1.0))["predicted"]["seconds"]
    assert quickest < usual
    limit = (quickest + usual) / 2
    assert strategy_for(TASK, replace(MULTI, most_seconds=limit), world())["predicted"]["seconds"] <= limit


@pytest.mark.parametrize(
    ("aims", "told"),
    [
        ({"most_seconds": 0.001}, "0.001 s"),
        ({"least_quality": 1.0}, "a quality of 1"),
        ({"most_usd": 0.0, "least_quality": 0.9}, "0 USD, a quality of 0.9"),
    ],
    ids=str,
)
def test_where_no_plan_keeps_within_the_limits_the_nearest_is_made_with_a_warning(
    aims: dict[str, float], told: str
) -> None:
    plan = strategy_for(TASK, replace(MULTI, **aims), world())  # type: ignore[arg-type]
    assert f"No plan is likely to keep within {told}; this one comes nearest." in plan["warnings"]


def test_of_two_limits_neither_is_forgotten() -> None:
    plan = strategy_for(TASK, replace(MULTI, most_usd=0.003, least_quality=0.8), world())
    assert cost(plan) <= 0.003
    assert quality(plan) >= 0.8


# --- the front ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "without",
    [frozenset(), frozenset({"embedded"}), frozenset({"mistral", "openai"})],
    ids=["everybody", "none embedded", "neither Mistral nor OpenAI"],
)
@pytest.mark.parametrize("strategy", ["single_model", "multi_model"])
def test_along_the_front_plans_get_cheaper_and_never_better(strategy: str, without: frozenset[str]) -> None:
    points = front(TASK, Wishes(strategy=strategy), world(without))
    assert points
    measures = [(p.predicted["cost_usd"] or 0.0, p.predicted["quality"]) for p in points]
    assert measures == sorted(measures, reverse=True)
    assert len({cost for cost, _ in measures}) == len(measures)
    assert [p.thrift for p in points] == sorted(p.thrift for p in points)


def test_each_point_of_the_front_is_the_plan_of_its_thrift() -> None:
    for point in front(TASK, MULTI, world()):
        plan = made(replace(MULTI, thrift=point.thrift))
        first = {phase["phase"]: phase["primary_model"] for phase in plan["phases"]}
        assert point.models == {p: f"{c['provider']}:{c['model']}" for p, c in first.items() if c}
        assert point.predicted == plan["predicted"]


def test_with_nobody_there_the_front_is_one_plan_of_nobody() -> None:
    nobody = World(catalogue=CATALOGUE, unavailable=lambda model: "no", today=date(2026, 11, 25))
    assert [point.models for point in front(TASK, MULTI, nobody)] == [{}]
