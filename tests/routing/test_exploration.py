"""Models about which little is known are tried out: within their uncertainty, at a bounded cost, and it pays."""

from __future__ import annotations

from collections import Counter
from datetime import date
from random import Random

import pytest

from ymera.routing.catalogue import builtin_catalogue
from ymera.routing.exploration import MOST_TIMES_DEARER, Exploration
from ymera.routing.flow import key_of
from ymera.routing.history import History, Outcome, Place
from ymera.routing.matcher import TaskRequest, Wishes, judgement, make_strategy
from ymera.routing.records import PhasePlan
from ymera.routing.scoring import SCORERS
from ymera.routing.world import Memo, World

CATALOGUE = builtin_catalogue()
TODAY = date(2026, 11, 25)
TASK = TaskRequest(
    agent_name="coding_agent", description="Write an API with sessions, roles, pages and tests"
)
PLACE = Place("coding_agent", "generation")
ALL = Wishes(strategy="multi_model", attempts=20)


def generation(
    exploration: Exploration | None, history: History | None = None, memo: Memo | None = None
) -> PhasePlan:
    world = World(
        catalogue=CATALOGUE,
        unavailable=lambda model: None,
        today=TODAY,
        history=history,
        exploration=exploration,
        memo={} if memo is None else memo,
    )
    plan = make_strategy(TASK, ALL, world)
    return next(phase for phase in plan["phases"] if phase["phase"] == "generation")


def bold(seed: int, boldness: float = 1.0) -> Exploration:
    return Exploration(boldness=boldness, random=Random(seed))


def keys(plan: PhasePlan) -> list[str]:
    return [key_of(c) for c in (plan["primary_model"], *plan["fallback_models"]) if c]


def test_the_same_draws_make_the_same_plan() -> None:
    assert [generation(bold(seed)) for seed in range(5)] == [generation(bold(seed)) for seed in range(5)]


def test_whoever_is_tried_out_comes_first_says_so_and_all_others_keep_their_order() -> None:
    memo: Memo = {}
    usual = keys(generation(None, memo=memo))
    tried = [generation(bold(seed), memo=memo) for seed in range(60)]
    others = [plan for plan in tried if keys(plan)[0] != usual[0]]
    assert len({keys(plan)[0] for plan in others}) > 1
    for plan in others:
        assert "tried out: its quality may lie between 0." in plan["reason"]
        assert keys(plan)[1:] == [key for key in usual if key != keys(plan)[0]][: len(keys(plan)) - 1]
    assert not any("tried out" in plan["reason"] for plan in tried if plan not in others)


def test_nobody_is_tried_out_who_costs_much_more() -> None:
    memo: Memo = {}
    usual = generation(None, memo=memo)["predicted"]
    assert usual is not None
    assert usual["cost_usd"]
    for seed in range(60):
        tried = generation(bold(seed), memo=memo)["predicted"]
        assert tried is not None
        assert tried["cost_usd"] is not None
        assert tried["cost_usd"] <= usual["cost_usd"] * MOST_TIMES_DEARER


def test_of_whom_much_is_known_nobody_is_tried_out() -> None:
    history, best = History(judgement(CATALOGUE, SCORERS, TODAY)), keys(generation(None))[0]
    for key in CATALOGUE.models:
        history.add_sums(key, PLACE, outcomes=50_000, total=50_000 * (0.9 if key == best else 0.3))
    memo: Memo = {}
    assert len({keys(generation(bold(seed), history, memo))[0] for seed in range(40)}) == 1


@pytest.mark.parametrize("seed", range(3))
def test_trying_out_finds_a_model_that_is_better_than_the_catalogue_thinks(seed: int) -> None:
    """The first models are half right, a cheap one further behind is nearly always: greedy plans find it late."""
    memo: Memo = {}
    usual = keys(generation(None, memo=memo))[0]
    first = Counter(keys(generation(bold(draw), memo=memo))[0] for draw in range(100))
    del first[usual]
    hidden = first.most_common()[-1][0]  # the least likely of those that may be tried out
    random, history, rights = Random(seed), History(judgement(CATALOGUE, SCORERS, TODAY)), list[bool]()
    exploration = bold(seed, 0.7)
    for _ in range(400):
        chosen = keys(generation(exploration, history))[0]
        rights.append(random.random() < (0.95 if chosen == hidden else 0.5))
        history.add(Outcome(model=chosen, place=PLACE, quality=float(rights[-1])))
    assert sum(rights[-100:]) > 75
    assert keys(generation(None, history))[0] == hidden


def together(exploration: Exploration | None, memo: Memo) -> list[PhasePlan]:
    world = World(
        catalogue=CATALOGUE, unavailable=lambda model: None, today=TODAY, exploration=exploration, memo=memo
    )
    return make_strategy(TASK, Wishes(strategy="single_model", attempts=20), world)["phases"]


def cost(plans: list[PhasePlan]) -> float:
    said = [plan["predicted"] for plan in plans]
    return sum(each["cost_usd"] or 0.0 for each in said if each)


def test_where_one_model_does_all_phases_one_is_tried_out_in_all_of_them() -> None:
    memo: Memo = {}
    usual = together(None, memo)
    first = [keys(plan)[0] for plan in usual]
    tried = [together(bold(seed, 1.0), memo) for seed in range(60)]
    others = [plans for plans in tried if keys(plans[0])[0] != first[0]]
    assert 0 < len(others) < len(tried)
    for plans in others:
        assert len({keys(plan)[0] for plan in plans}) == 1, "it stands in every phase"
        assert all("tried out" in plan["reason"] for plan in plans)
        assert cost(plans) <= cost(usual) * MOST_TIMES_DEARER
    assert not any("tried out" in plan["reason"] for plans in tried if plans not in others for plan in plans)
