"""What it is worth to read domains in texts, by how many texts were learned from."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean

import numpy as np

from .routing_data import Fold, Matrix, Table, split
from .routing_routers import Domain, Read

TEXTS = (100, 300, 1_000, 3_000)
DRAWS = 10


@dataclass(frozen=True, kw_only=True)
class Reading:
    """Means of draws of so many texts.

    Args:
        read, right: share of new texts in which a domain is read, and of those that of the right ones.
        gains: over the best single model, in points: the domain read (of each draw), given.
    """

    texts: int
    read: float
    right: float
    gains: list[float]
    given: list[float]


def domain_reading(train: Table, test: Table | None, seed: int) -> list[Reading]:
    """Return what reading is worth after each number of texts."""
    return [_reading(count, train, test, seed) for count in TEXTS if count <= len(train) // 2]


def _reading(count: int, train: Table, test: Table | None, seed: int) -> Reading:
    folds = [_drawn(count, train, test, seed + draw) for draw in range(DRAWS)]
    found = [_tried(fold, seed) for fold in folds]
    return Reading(
        texts=count,
        read=fmean(each.read for each in found),
        right=fmean(each.right for each in found),
        gains=[gain for each in found for gain in each.gains],
        given=[gain for each in found for gain in each.given],
    )


def _drawn(count: int, train: Table, test: Table | None, seed: int) -> Fold:
    fold = split(train, 2, seed)[0] if test is None else Fold(train=train, test=test)
    rows = np.random.default_rng(seed).permutation(len(fold.train))[:count]
    return Fold(train=fold.train.take(rows), test=fold.test)


def _tried(fold: Fold, seed: int) -> Reading:
    given, read = Domain(), Read(seed)
    for router in (given, read):
        router.fit(fold.train)
    single = float(fold.test.scores[:, fold.train.scores.mean(axis=0).argmax()].mean())
    told = read.domains(fold.test.texts)
    clear = [name == own for name, own in zip(told, fold.test.domains, strict=True) if name != Read.agent]
    return Reading(
        texts=len(fold.train),
        read=len(clear) / len(told),
        right=fmean(clear) if clear else 0.0,
        gains=[_gain(read.predict(fold.test).quality, fold.test, single)],
        given=[_gain(given.predict(fold.test).quality, fold.test, single)],
    )


def _gain(quality: Matrix, test: Table, single: float) -> float:
    chosen = test.scores[np.arange(len(test)), quality.argmax(axis=1)]
    return 100 * (float(chosen.mean()) - single)
