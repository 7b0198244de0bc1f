"""Whether predictions mean what they say: quality against outcomes, and how often bounds hold what comes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ymera.routing.history import Place, Prior
from ymera.routing.paces import expected, seen

from .routing_data import Fold, Matrix, Table
from .routing_routers import Router
from .routing_streams import some_of_each, taught

BINS = 10
DRAWS = 10
SEEN = (5, 20, 50)
TYPICAL = 200.0
"""Tokens of an answer that are expected beforehand."""


def calibration(folds: Sequence[Fold], routers: Sequence[Router]) -> dict[str, float]:
    """Return the expected calibration error (points) of every router, over all models and all folds' tests.

    Predictions are sorted into bins; in each, the mean prediction is held against the share of right answers.
    """
    found = {}
    for router in routers:
        predicted, right = [], []
        for fold in folds:
            router.fit(fold.train)
            predicted.append(router.predict(fold.test).quality.ravel())
            right.append(fold.test.scores.ravel())
        found[router.name] = calibration_error(np.concatenate(predicted), np.concatenate(right))
    return found


def calibration_error(predicted: Matrix, right: Matrix) -> float:
    """Return the mean distance (points) of predictions from what came, bin by bin."""
    bins = np.clip((predicted * BINS).astype(int), 0, BINS - 1)
    apart = [
        abs(predicted[bins == own].mean() - right[bins == own].mean()) * (bins == own).mean()
        for own in range(BINS)
        if (bins == own).any()
    ]
    return float(100 * sum(apart))


def coverage(table: Table, prior: Prior, seed: int) -> list[dict[str, Any]]:
    """Return how often (%) bounds for nine of ten hold what comes, after so many outcomes of a model in a domain.

    Of quality, what comes is the model's accuracy on the domain's other prompts; of tokens, each answer's.
    """
    found = []
    for count in SEEN:
        quality, tokens = [], []
        for draw in range(DRAWS):
            drawn = some_of_each(table, count, np.random.default_rng([seed, draw]))
            rest = np.setdiff1d(np.arange(len(table)), drawn)
            known, to_come = table.take(drawn), table.take(rest)
            quality += _quality_held(known, to_come, prior)
            tokens += _tokens_held(known, to_come)
        found.append({"outcomes": count, "quality": 100 * np.mean(quality), "tokens": 100 * np.mean(tokens)})
    return found


def _quality_held(known: Table, to_come: Table, prior: Prior) -> list[bool]:
    history, own = taught(known, prior), np.array(to_come.domains)
    held = []
    for domain in sorted(set(to_come.domains)):
        accuracies = to_come.scores[own == domain].mean(axis=0)
        for model, accuracy in zip(to_come.models, accuracies, strict=True):
            low, high = history.estimate(model, Place(domain, "")).interval
            held.append(bool(low <= accuracy <= high))
    return held


def _tokens_held(known: Table, to_come: Table) -> list[float]:
    own, others = np.array(known.domains), np.array(to_come.domains)
    held = []
    for domain in sorted(set(to_come.domains)):
        for column in range(len(known.models)):
            few, many = expected(TYPICAL, seen(known.tokens[own == domain, column].tolist())).between
            coming = to_come.tokens[others == domain, column]
            held.append(float(((coming >= few) & (coming <= many)).mean()))
    return held
