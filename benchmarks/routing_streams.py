"""What history is worth: from few outcomes, from one's own choices alone, when a model changes, with a second try."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from random import Random
from statistics import fmean, median
from typing import Any

import numpy as np

from ymera.nodes.learned import learned_history
from ymera.routing.history import History, Outcome, Place, Prior, explore

from .routing_data import Matrix, Rows, Table, namesake, outcomes_of

PER_CELL = (5, 10, 20, 50)
DRAWS = 20
MORE_DRAWS = 200
"""The mean of 20 draws of few outcomes differs by half a point from that of the next 20."""
SIMPLE_STRENGTH = 60.0
"""Pseudo-outcomes of a model's own mean in the simple means that history is held against."""
ORDERS = 5
CARRIED = 0.6
"""Share of a difference between models that is expected to be found again on other tasks."""
UNKNOWN = -0.05
"""A model that the prior does not know is expected to be this much under the mean of those it knows."""
DEGRADED = 0.4
"""Share of its right answers that the degraded model keeps."""
WINDOW, AVOIDED = 100, 0.1
"""A model is avoided from where on it takes less than this share of so many runs."""
ERRORS = (0.0, 0.1, 0.2, 0.3)
TRIES = 3


def even(model: str, place: Place) -> float:
    """Know nothing of the models beforehand."""
    return 0.5


def prior_of(models: Sequence[str], known: Mapping[str, float]) -> Prior:
    """Return a prior out of judgements on other tasks, as a catalogue has them."""
    found = {model: known[name] for model in models if (name := namesake(model, known))}
    mean = fmean(found.values()) if found else 0.0
    expected = {model: 0.5 + CARRIED * found.get(model, mean + UNKNOWN) for model in models}
    return lambda model, place: expected[model]


# --- cold start --------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Cold:
    """Gain over the best single model in points, in each draw of so many outcomes a domain."""

    outcomes: int
    gains: list[float]


def cold_start(train: Table, test: Table | None, prior: Prior, seed: int) -> list[Cold]:
    """Learn from a few prompts of every domain, each answered by every model, and route all others.

    Args:
        test: what is routed; None: the prompts of `train` that were not drawn.
    """
    return _drawn(train, test, lambda drawn, tried: expectations(taught(drawn, prior), tried), seed, DRAWS)


def many_cold_starts(train: Table, test: Table | None, prior: Prior, seed: int) -> dict[str, list[Cold]]:
    """Return what `cold_start` does, of more draws, beside the simplest that could be done with the same outcomes."""
    learners: dict[str, Learner] = {
        "one model for all, the best so far": lambda drawn, tried: _means(drawn, tried, inf),
        "domain means, shrunken to the model's own": lambda drawn, tried: _means(
            drawn, tried, SIMPLE_STRENGTH
        ),
        "ymera, no prior": lambda drawn, tried: expectations(taught(drawn, even), tried),
        "ymera, prior from ZeroEval": lambda drawn, tried: expectations(taught(drawn, prior), tried),
    }
    return {name: _drawn(train, test, learn, seed, MORE_DRAWS) for name, learn in learners.items()}


Learner = Callable[[Table, Table], Matrix]
"""The qualities to be expected of every prompt of the second table with every model, learned from the first."""


def _drawn(train: Table, test: Table | None, learn: Learner, seed: int, draws: int) -> list[Cold]:
    found = []
    for count in PER_CELL:
        gains = []
        for draw in range(draws):
            drawn = some_of_each(train, count, np.random.default_rng([seed, draw]))
            tried = test or train.take(np.setdiff1d(np.arange(len(train)), drawn))
            gains.append(_gain(learn(train.take(drawn), tried), tried))
        found.append(Cold(outcomes=count, gains=gains))
    return found


def _means(drawn: Table, tried: Table, strength: float) -> Matrix:
    """Return each domain's means, shrunken to the models' own; with an infinite strength these alone."""
    own, domains = drawn.scores.mean(axis=0), np.array(drawn.domains)
    rows = {}
    for domain in sorted(set(tried.domains)):
        scores = drawn.scores[domains == domain]
        share = 0.0 if strength == inf else len(scores) / (len(scores) + strength)
        rows[domain] = own + share * (scores.mean(axis=0) - own)
    return np.array([rows[domain] for domain in tried.domains])


def some_of_each(table: Table, count: int, random: np.random.Generator) -> Rows:
    """Return so many prompts of every domain, at most half of it."""
    own = np.array(table.domains)
    groups = [np.flatnonzero(own == domain) for domain in sorted(set(table.domains))]
    return np.concatenate(
        [random.choice(group, min(count, len(group) // 2), replace=False) for group in groups]
    )


def taught(table: Table, prior: Prior) -> History:
    """Return a history with all outcomes of a table."""
    return learned_history(outcomes_of(table), History(prior))


def _gain(expected: Matrix, table: Table) -> float:
    """Return the points over the best single model where every prompt goes to the model of which most is expected."""
    chosen = table.scores[np.arange(len(table)), expected.argmax(axis=1)]
    return float(100 * (chosen.mean() - table.scores.mean(axis=0).max()))


def expectations(history: History, table: Table) -> Matrix:
    """Return the expected quality of every prompt with every model, by its domain."""
    rows = {
        domain: [history.estimate(model, Place(domain, "")).mean for model in table.models]
        for domain in sorted(set(table.domains))
    }
    return np.array([rows[domain] for domain in table.domains])


# --- own choices alone -------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Stream:
    """What a stream of one's own choices brings.

    Args:
        regret: points of the running mean over the best single model in hindsight.
        final: points over it of the policy that was learned, on `test` or else on the whole stream.
        alarms: models taken for changed although none had.
    """

    regret: float
    final: float
    alarms: int


def online(table: Table, test: Table | None, prior: Prior, seed: int) -> list[Stream]:
    """Let a router learn from what it chose itself, in several orders of the prompts."""
    found = []
    for order in range(ORDERS):
        rows = np.random.default_rng([seed, order]).permutation(len(table))
        history = History(prior)
        chosen = _follow(history, table, rows, table.scores, Random(f"{seed} {order}"))
        got = table.scores[rows, chosen].mean() - table.scores.mean(axis=0).max()
        found.append(
            Stream(
                regret=float(100 * got),
                final=_gain(expectations(history, test or table), test or table),
                alarms=len(history.changed),
            )
        )
    return found


def _follow(history: History, table: Table, rows: Rows, scores: Matrix, random: Random) -> list[int]:
    column = {model: number for number, model in enumerate(table.models)}
    chosen = []
    for row in rows:
        place = Place(table.domains[row], "")
        model = explore(history.estimates(table.models, place), random)
        chosen.append(column[model])
        history.add(Outcome(model=model, place=place, quality=float(scores[row, column[model]])))
    return chosen


# --- drift -------------------------------------------------------------------------------------------------


def drift(table: Table, prior: Prior, seed: int) -> dict[str, Any]:
    """Degrade the most used model midway: how many runs until it is avoided, and how often it still was taken."""
    runs, taken = [], []
    for order in range(ORDERS):
        random = np.random.default_rng([seed, order])
        rows, half = random.permutation(len(table)), len(table) // 2
        history, draws = History(prior), Random(f"{seed} {order}")
        before = _follow(history, table, rows[:half], table.scores, draws)
        worse = int(np.bincount(before[-WINDOW * 5 :]).argmax())
        scores = table.scores.copy()
        scores[:, worse] *= random.random(len(table)) < DEGRADED
        after = np.array(_follow(history, table, rows[half:], scores, draws)) == worse
        shares = np.convolve(after, np.ones(WINDOW) / WINDOW, mode="valid")
        avoided = np.flatnonzero(shares < AVOIDED)
        runs.append(int(avoided[0]) if len(avoided) else len(after))
        taken.append(int(after[: runs[-1]].sum()))
    return {"runs": runs, "median_runs": median(runs), "taken": taken, "median_taken": median(taken)}


# --- a second try ------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Escalation:
    """What checking answers brings, with a check that errs in a stated share of the cases, both ways.

    Args:
        gain: points over the best single model.
        closed: the same as a share (%) of what the oracle has over it.
        cost: cost as a share (%) of the best single model's; the check itself is not counted.
        tries: answers made for a task.
    """

    error: float
    gain: float
    closed: float
    cost: float
    tries: float


def escalation(train: Table, test: Table, weight: float, prior: Prior, seed: int) -> list[Escalation]:
    """Take the router's choice; where the check rejects the answer, the next best model answers, twice at most.

    Args:
        weight: cost weight of the first choice.
    """
    expected = expectations(taught(train, prior), test)
    rows, order = np.arange(len(test)), (-expected).argsort(axis=1)
    first = (expected - weight * train.costs.mean(axis=0)).argmax(axis=1)
    found = []
    for error in ERRORS:
        random = np.random.default_rng([seed, int(100 * error)])
        score, cost, tries = _escalate(test, first, order, error, random)
        best = test.scores.mean(axis=0).argmax()
        single, oracle = test.scores[:, best].mean(), test.scores.max(axis=1).mean()
        found.append(
            Escalation(
                error=error,
                gain=float(100 * (score - single)),
                closed=float(100 * (score - single) / (oracle - single)),
                cost=float(100 * cost / test.costs[rows, best].mean()),
                tries=tries,
            )
        )
    return found


def _escalate(
    test: Table, first: Rows, order: Rows, error: float, random: np.random.Generator
) -> tuple[float, float, float]:
    """Return mean score, mean cost and tries. Where every answer is rejected, the best model's counts."""
    scores, costs, tries = [], [], 0
    for row, chosen in enumerate(first):
        queue = [chosen, *[model for model in order[row] if model != chosen]][:TRIES]
        spent, kept = 0.0, None
        for model in queue:
            spent += test.costs[row, model]
            tries += 1
            right = test.scores[row, model] > 0.5
            if right != (random.random() < error):
                kept = model
                break
        tried_best = min(queue, key=lambda model: list(order[row]).index(model))
        scores.append(test.scores[row, tried_best if kept is None else kept])
        costs.append(spent)
    return float(np.mean(scores)), float(np.mean(costs)), tries / len(test)
