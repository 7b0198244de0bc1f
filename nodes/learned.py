"""Quality read from a task's text, learned from outcomes: needs the extra `learn` (numpy, scikit-learn).

The estimates of `routing.history` stand beneath: what a model does in the domain, which is given, or read from the
text by a calibrated classifier. On top, two readers of what is left over, averaged: trees over the shape of the
text, its topics and those estimates, and a ridge over shape and words. Words say nothing about a domain without
outcomes: there the shape alone is read.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import TruncatedSVD
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.linear_model import Ridge

from ..routing.history import History, Place
from ..routing.shape import shape_of
from .classifier import Classifier, Matrix, columns, ridge

TOPICS = 50
"""Directions of the words that the trees are shown."""
TREES = 150
SHAPE_RIDGE = 1_000.0
WORDS_RIDGE = 20.0
TEXTS_STRENGTH = 60.0
"""Pseudo-texts of the estimates beneath against what the readers say on top."""
CLIPPED = 3.0
"""A measure further from the mean than so many deviations is taken for so many."""


@dataclass(frozen=True, kw_only=True)
class Outcomes:
    """What is learned from: a row for each task.

    Args:
        domains: the domain (or agent) of each task.
        qualities: a column for each model, 0..1; NaN where it was not tried.
    """

    texts: Sequence[str]
    domains: Sequence[str]
    models: Sequence[str]
    qualities: Matrix


class Learned:
    """What was learned from outcomes.

    Args:
        history: estimates that have taken in these outcomes (`learned_history`).
    """

    def __init__(self, outcomes: Outcomes, history: History, *, phase: str = "", seed: int = 0) -> None:
        self.models = list(outcomes.models)
        self._classifier = Classifier(outcomes.texts, outcomes.domains, seed=seed)
        self._domains = self._classifier.domains
        self._cells = _cells(history, self.models, [Place(domain, phase) for domain in self._domains])
        self._anywhere = _cells(history, self.models, [Place("", phase)])
        self._trust = len(outcomes.texts) / (len(outcomes.texts) + TEXTS_STRENGTH)
        row = {domain: number for number, domain in enumerate(self._domains)}
        own = np.array([row[domain] for domain in outcomes.domains])
        left_out = self._left_out(outcomes, own, history)
        known = np.nan_to_num(outcomes.qualities, nan=0.0) + np.isnan(outcomes.qualities) * left_out
        self._shapes = _Shapes(outcomes.texts)
        shape = self._shapes.measure(outcomes.texts)
        self._fit_readers(shape, self._classifier.words(outcomes.texts), known, left_out, seed)
        self._stranger = _Stranger(shape, known, seed)

    def predict(self, texts: Sequence[str], domains: Sequence[str] | None = None) -> Matrix:
        """Return a row of expected qualities for each text.

        Args:
            domains: the domains of the texts; None: they are read from the texts.
        """
        shape = self._shapes.measure(texts)
        words = self._classifier.words(texts)
        shares = self._classifier.shares(words) if domains is None else self._given(domains)
        base = shares @ self._cells
        by_trees = self._trees.predict(np.hstack([base, self._topics.transform(words), shape]))
        by_ridge = base + self._shape_ridge.predict(shape) + self._words_ridge.predict(words)
        expected = (columns(by_trees) + by_ridge) / 2
        foreign = shares.sum(axis=1) == 0
        if foreign.any():
            base[foreign] = self._anywhere
            expected[foreign] = self._stranger.predict(shape[foreign])
        return np.asarray(base + self._trust * (expected - base), dtype=np.float64)

    def domains_of(self, texts: Sequence[str]) -> list[Mapping[str, float]]:
        """Return how probable each domain is for each text."""
        return self._classifier.read(texts)

    def _left_out(self, outcomes: Outcomes, own: NDArray[np.int64], history: History) -> Matrix:
        """Return what each task would be expected to bring had its own outcomes not been seen."""
        present = ~np.isnan(outcomes.qualities)
        counts = np.array([present[own == number].sum(axis=0) for number in range(len(self._domains))])
        weight = counts[own] + history.strength
        base = self._cells[own]
        return np.where(present, (base * weight - np.nan_to_num(outcomes.qualities)) / (weight - 1), base)

    def _fit_readers(self, shape: Matrix, words: Any, known: Matrix, left_out: Matrix, seed: int) -> None:
        width = min(TOPICS, words.shape[1] - 1, words.shape[0] - 1)
        self._topics = TruncatedSVD(max(width, 1), random_state=seed)
        topics = self._topics.fit_transform(words)
        self._trees = _trees(len(known), seed).fit(np.hstack([left_out, topics, shape]), known)
        self._shape_ridge = Ridge(alpha=SHAPE_RIDGE).fit(shape, known - left_out)
        rest = known - left_out - self._shape_ridge.predict(shape)
        self._words_ridge = ridge(WORDS_RIDGE).fit(words, rest)

    def _given(self, domains: Sequence[str]) -> Matrix:
        return np.array([[float(domain == known) for known in self._domains] for domain in domains])


class _Shapes:
    """Measures of texts against those of the texts that were learned from."""

    def __init__(self, texts: Sequence[str]) -> None:
        shapes = _shapes(texts)
        self._mean, self._deviation = shapes.mean(axis=0), shapes.std(axis=0) + 1e-9

    def measure(self, texts: Sequence[str]) -> Matrix:
        measured: Matrix = (_shapes(texts) - self._mean) / self._deviation
        return measured.clip(-CLIPPED, CLIPPED)


class _Stranger:
    """What the shape says by itself about a text of a domain without outcomes."""

    def __init__(self, shape: Matrix, known: Matrix, seed: int) -> None:
        self._trees = _trees(len(known), seed).fit(shape, known - known.mean(axis=1, keepdims=True))
        self._ridge = Ridge(alpha=SHAPE_RIDGE).fit(shape, known)

    def predict(self, shape: Matrix) -> Matrix:
        by_trees = columns(self._trees.predict(shape))
        by_ridge = columns(self._ridge.predict(shape))
        level: Matrix = by_ridge.mean(axis=1, keepdims=True)
        above: Matrix = by_trees - by_trees.mean(axis=1, keepdims=True) + by_ridge - level
        return level + above / 2


def learned_history(outcomes: Outcomes, history: History, *, phase: str = "") -> History:
    """Let a history take the outcomes in, summed up by domain, and return it."""
    own = np.array(outcomes.domains)
    for domain in sorted(set(outcomes.domains)):
        rows = outcomes.qualities[own == domain]
        counts, totals = (~np.isnan(rows)).sum(axis=0), np.nansum(rows, axis=0)
        for model, count, total in zip(outcomes.models, counts, totals, strict=True):
            history.add_sums(model, Place(domain, phase), outcomes=float(count), total=float(total))
    return history


def _cells(history: History, models: Sequence[str], places: Sequence[Place]) -> Matrix:
    return np.array([[history.estimate(model, place).mean for model in models] for place in places])


def _shapes(texts: Sequence[str]) -> Matrix:
    return np.array([shape_of(text) for text in texts], dtype=np.float64)


def _trees(texts: int, seed: int) -> ExtraTreesRegressor:
    # A leaf grows with what there is to learn from: many small ones would remember chance.
    leaf = max(2, round(math.sqrt(texts)))
    return ExtraTreesRegressor(TREES, min_samples_leaf=leaf, max_features=0.4, random_state=seed)
