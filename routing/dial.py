"""Cost, speed and quality against each other: plans along the front, and the one that keeps within what is asked.

`Wishes.thrift` and `Wishes.haste` (0 to 1) say what a plan gives of quality for being cheaper or faster
(`ranking.py` ranks by them). Here they are turned until a plan keeps within limits on what it is predicted to take.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import inf

from .matcher import TaskRequest, Wishes, make_strategy
from .records import Prediction, Strategy
from .world import World

STEPS = 20
HASTES = (0.0, 0.5, 1.0)


@dataclass(frozen=True, kw_only=True)
class FrontPoint:
    """A plan on the front: no other is expected to be as good for less.

    Args:
        thrift: the least with which it is made.
        models: phase to `provider:model`; a phase without a model is not there.
    """

    thrift: float
    models: dict[str, str]
    predicted: Prediction


def strategy_for(request: TaskRequest, wishes: Wishes, world: World) -> Strategy:
    """Return the strategy for a request: the best that is predicted to keep within the aims, where there are any.

    Errors as for `make_strategy`. Where no plan keeps within them, the one that comes nearest is made, with a warning.
    """
    if not wishes.aims:
        return make_strategy(request, wishes, world)
    plans = list(_plans(request, wishes, world))
    nearest = min(plans, key=lambda plan: (_beyond(plan, wishes), -_quality(plan), _cost(plan)))
    if _beyond(nearest, wishes):
        nearest["warnings"].append(
            f"No plan is likely to keep within {_told(wishes)}; this one comes nearest."
        )
    return nearest


def front(request: TaskRequest, wishes: Wishes, world: World) -> list[FrontPoint]:
    """Return the plans from the best to the cheapest, of which none is expected to be beaten by another in both."""
    points: list[FrontPoint] = []
    for step in range(STEPS + 1):
        thrift = step / STEPS
        plan = make_strategy(request, replace(wishes, thrift=thrift), world)
        point = FrontPoint(thrift=thrift, models=_models(plan), predicted=plan["predicted"])
        if point.models not in [other.models for other in points]:
            points.append(point)
    return [point for point in points if not any(_beats(other, point) for other in points)]


def _plans(request: TaskRequest, wishes: Wishes, world: World) -> Iterator[Strategy]:
    for haste in HASTES if wishes.most_seconds is not None else (wishes.haste,):
        for step in range(STEPS + 1):
            yield make_strategy(request, replace(wishes, thrift=step / STEPS, haste=haste), world)


def _beyond(plan: Strategy, wishes: Wishes) -> float:
    """Return how far a plan is from what is asked: 0, or the shares by which it misses each, together."""
    beyond = 0.0
    if wishes.most_usd is not None:
        beyond += _over(_cost(plan), wishes.most_usd)
    if wishes.most_seconds is not None:
        beyond += _over(plan["predicted"]["seconds"], wishes.most_seconds)
    if wishes.least_quality is not None:
        beyond += max(0.0, wishes.least_quality - _quality(plan))
    return beyond


def _over(value: float, limit: float) -> float:
    if value <= limit:
        return 0.0
    return value / limit - 1 if limit else inf


def _cost(plan: Strategy) -> float:
    cost = plan["predicted"]["cost_usd"]
    return inf if cost is None else cost


def _quality(plan: Strategy) -> float:
    return plan["predicted"].get("quality", 0.0)


def _told(wishes: Wishes) -> str:
    asked = (
        (wishes.most_usd, "{:g} USD"),
        (wishes.most_seconds, "{:g} s"),
        (wishes.least_quality, "a quality of {:g}"),
    )
    return ", ".join(text.format(value) for value, text in asked if value is not None)


def _models(plan: Strategy) -> dict[str, str]:
    first = ((phase["phase"], phase["primary_model"]) for phase in plan["phases"])
    return {phase: f"{model['provider']}:{model['model']}" for phase, model in first if model}


def _beats(one: FrontPoint, other: FrontPoint) -> bool:
    """Say whether one is as good and as cheap, and better or cheaper."""
    mine, theirs = _measures(one), _measures(other)
    return mine != theirs and all(m >= t for m, t in zip(mine, theirs, strict=True))


def _measures(point: FrontPoint) -> Sequence[float]:
    cost = point.predicted["cost_usd"]
    return point.predicted.get("quality", 0.0), -inf if cost is None else -cost
