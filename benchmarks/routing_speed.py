"""How long reading, estimating and planning take."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from statistics import median
from typing import Any, TypeVar

import numpy as np

from ymera.nodes import domains
from ymera.nodes.learned import Learned, learned_history
from ymera.routing.catalogue import Catalogue, builtin_catalogue
from ymera.routing.history import History, Outcome, Place
from ymera.routing.matcher import TaskRequest, Wishes, make_strategy
from ymera.routing.shape import shape_of
from ymera.routing.task import read_task
from ymera.routing.world import World

from .routing_data import Table, outcomes_of
from .routing_routers import past_tasks
from .routing_start import starts
from .routing_streams import even

TEXTS = 200
MANY_MODELS = 1_000
MANY_OUTCOMES = 100_000
LEARNED_FROM = 2_000
DOMAINS_FROM = domains.MOST_TASKS
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
    known, many = _known(), _many()
    models = [f"model-{number}" for number in range(MANY_MODELS)]
    place = Place("coding_agent", "generation")
    return {
        "reading a task, µs": _each(read_task, texts),
        "measuring the shape of a text, µs": _each(shape_of, texts),
        "reading the quality from one text (extra `learn`), µs": _each(
            lambda text: learned.predict([text]), texts[:50]
        ),
        "the same, of 200 texts at once, each, µs": _batch(learned, texts),
        **_domains(table.take(rows[:DOMAINS_FROM]), texts, seed),
        "a plan for six phases over the built-in catalogue, beyond reading, µs": _plans(builtin_catalogue()),
        "the same, over 1,000 models, µs": _plans(many),
        "the same, over the built-in catalogue with 100,000 outcomes, µs": _plans(builtin_catalogue(), known),
        "the first such plan over 1,000 models, µs": _first(many),
        "the first such plan with 100,000 outcomes, µs": _first(builtin_catalogue(), known),
        "estimates of 1,000 models, µs": _each(lambda _: history.estimates(models, place), list(range(20))),
        "taking 100,000 outcomes in one by one, s": seconds,
        "an estimate after that, µs": _each(lambda _: history.estimate(models[3], place), list(range(200))),
        **starts(MANY_OUTCOMES),
    }


def _each(call: Callable[[_One], object], of: list[_One]) -> float:
    times = []
    for one in of:
        begun = time.perf_counter()
        call(one)
        times.append(time.perf_counter() - begun)
    return 1e6 * median(times)


def _domains(table: Table, texts: list[str], seed: int) -> dict[str, float]:
    """Return how long domains are learned from a table's texts, and read in one."""
    tasks, begun = list(past_tasks(table, seed)), time.process_time()
    found = domains.learned(tasks)
    seconds = time.process_time() - begun
    if found is None:
        return {}
    among = found.lessons.names
    return {
        f"learning domains from {len(tasks):,} texts, CPU s": seconds,
        "reading the domain of one text, µs": _each(lambda text: found.read([text], among, ""), texts),
    }


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


def _many() -> Catalogue:
    """Return the built-in catalogue with copies of its models under other names, a thousand in all."""
    catalogue = builtin_catalogue()
    own = list(catalogue.models.values())
    copies = [
        replace(own[number % len(own)], name=f"model-{number}", aliases=(), spec_name=None)
        for number in range(MANY_MODELS - len(own))
    ]
    return catalogue.with_entries(*copies)


def _known() -> History:
    """Return a history of many outcomes, of all models of the built-in catalogue in each phase."""
    catalogue = builtin_catalogue()
    places = [(model, Place("all", phase)) for model in catalogue.models for phase in catalogue.phases]
    history = History(even)
    for number, (model, place) in enumerate(places):
        outcomes = MANY_OUTCOMES / len(places)
        history.add_sums(model, place, outcomes=outcomes, total=outcomes * (0.5 + 0.4 * (number % 7) / 7))
    history.settle()
    return history


def _world(catalogue: Catalogue, history: History | None) -> World:
    agent = replace(catalogue.default_agent, agent_name="all", phases_needed=tuple(catalogue.phases))
    there = replace(catalogue, agents={"all": agent})
    return World(catalogue=there, unavailable=lambda model: None, today=DAY, history=history)


_TASK = TaskRequest(agent_name="all", description="Write a function that sorts a list of names.")


def _plans(catalogue: Catalogue, history: History | None = None) -> float:
    """Return the microseconds of a plan for all phases, less those of reading, where one was made before."""
    world, wishes = _world(catalogue, history), Wishes()
    make_strategy(_TASK, wishes, world)
    plan = _each(lambda _: make_strategy(_TASK, wishes, world), list(range(300)))
    return plan - _each(lambda _: read_task(_TASK.description, {}), list(range(300)))


def _first(catalogue: Catalogue, history: History | None = None) -> float:
    """Return the microseconds of the first plan of its kind, reading and all."""
    worlds = [_world(catalogue, history) for _ in range(9)]
    return _each(lambda world: make_strategy(_TASK, Wishes(), world), worlds)
