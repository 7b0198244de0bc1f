"""How long reading, estimating and planning take."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from statistics import median
from typing import Any, TypeVar

import numpy as np

from ymera.nodes.learned import Learned, learned_history
from ymera.routing.catalogue import builtin_catalogue
from ymera.routing.history import History, Outcome, Place
from ymera.routing.matcher import TaskRequest, Wishes, make_strategy
from ymera.routing.ranking import World
from ymera.routing.shape import shape_of
from ymera.routing.task import read_task

from .routing_data import Table, outcomes_of
from .routing_streams import even

TEXTS = 200
MANY_MODELS = 1_000
MANY_OUTCOMES = 100_000
LEARNED_FROM = 2_000
DAY = date(2026, 11, 25)

_One = TypeVar("_One")


def speed(table: Table, seed: int) -> dict[str, Any]:
    """Return medians in microseconds, of one call each, and the seconds of loading many outcomes."""
    rows = np.random.default_rng(seed).permutation(len(table))
    texts = [table.texts[row] for row in rows[:TEXTS]]
    part = table.take(rows[:LEARNED_FROM])
    outcomes = outcomes_of(part)
    learned = Learned(outcomes, learned_history(outcomes, History(even)), seed=seed)
    history, seconds = _loaded()
    models = [f"model-{number}" for number in range(MANY_MODELS)]
    place = Place("coding_agent", "generation")
    return {
        "reading a task, µs": _each(read_task, texts),
        "measuring the shape of a text, µs": _each(shape_of, texts),
        "reading the quality from one text (extra `learn`), µs": _each(
            lambda text: learned.predict([text]), texts[:50]
        ),
        "the same, of 200 texts at once, each, µs": _batch(learned, texts),
        "a plan for six phases over the built-in catalogue, beyond reading, µs": _plans(),
        "estimates of 1,000 models, µs": _each(lambda _: history.estimates(models, place), list(range(20))),
        "taking 100,000 outcomes in one by one, s": seconds,
        "an estimate after that, µs": _each(lambda _: history.estimate(models[3], place), list(range(200))),
    }


def _each(call: Callable[[_One], object], of: list[_One]) -> float:
    times = []
    for one in of:
        begun = time.perf_counter()
        call(one)
        times.append(time.perf_counter() - begun)
    return 1e6 * median(times)


def _batch(learned: Learned, texts: list[str]) -> float:
    begun = time.perf_counter()
    learned.predict(texts)
    return 1e6 * (time.perf_counter() - begun) / len(texts)


def _loaded() -> tuple[History, float]:
    """Return a history of many outcomes, and how long it took to take them in."""
    random = np.random.default_rng(0)
    agents = ["coding_agent", "sql_agent", "research_agent", "writing_agent"]
    phases = ["planning", "generation", "review", "refinement", "validation", "summary"]
    drawn = zip(
        random.integers(0, 20, MANY_OUTCOMES).tolist(),
        random.integers(0, len(agents), MANY_OUTCOMES).tolist(),
        random.integers(0, len(phases), MANY_OUTCOMES).tolist(),
        (random.random(MANY_OUTCOMES) < 0.7).tolist(),
        strict=True,
    )
    every = [
        Outcome(model=f"model-{model}", place=Place(agents[agent], phases[phase]), quality=float(right))
        for model, agent, phase, right in drawn
    ]
    history = History(even)
    begun = time.perf_counter()
    for outcome in every:
        history.add(outcome)
    return history, time.perf_counter() - begun


def _plans() -> float:
    """Return the microseconds of a plan for all phases over the built-in catalogue, less those of reading."""
    catalogue = builtin_catalogue()
    agent = replace(catalogue.default_agent, phases_needed=tuple(catalogue.phases))
    world = World(
        catalogue=replace(catalogue, agents={"all": agent}), unavailable=lambda model: None, today=DAY
    )
    request = TaskRequest(agent_name="all", description="Write a function that sorts a list of names.")
    plan = _each(lambda _: make_strategy(request, Wishes(), world), list(range(300)))
    return plan - _each(lambda _: read_task(request.description, {}), list(range(300)))
