"""What a router is worth: areas under curves of quality over cost, with bootstrap intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .routing_data import Matrix, Rows, Table

WEIGHTS = np.concatenate([[0.0], np.logspace(-1, 4, 80)])
"""Cost weights of a sweep: quality against USD a call."""
RESAMPLES = 200
SHARES = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Of the best single model's cost, at which fronts are drawn."""


class Interval(NamedTuple):
    """A figure, and between what it lies in 95 of 100 resamples of the prompts."""

    value: float
    low: float
    high: float


# --- two models --------------------------------------------------------------------------------------------


class PairFigures(NamedTuple):
    """RouteLLM's figures: dense area under the gap recovered, share of strong calls for half and 80 % of it."""

    apgr: float
    cpt50: float
    cpt80: float


def pair_figures(gain: Matrix, table: Table) -> PairFigures:
    """Return the figures of a router that sends the prompts with the largest expected gain to the strong model."""
    gap = table.scores[:, 0] - table.scores[:, 1]
    order = np.argsort(-gain, kind="stable")
    recovered = np.concatenate([[0.0], np.cumsum(gap[order])]) / gap.sum()
    share = np.linspace(0, 1, len(recovered))
    return PairFigures(
        float(np.trapezoid(recovered, share)),
        float(100 * share[np.argmax(recovered >= 0.5)]),
        float(100 * share[np.argmax(recovered >= 0.8)]),
    )


# --- many models -------------------------------------------------------------------------------------------


class Swept(NamedTuple):
    """Score and cost of every prompt under every cost weight."""

    scores: Matrix
    costs: Matrix


@dataclass(frozen=True, kw_only=True)
class ManyFigures:
    """What a router is worth over many models.

    Args:
        gain: points of accuracy over the best single model where cost does not count.
        closed: the same, as a share (%) of what the oracle has over it; NaN where that is nothing, as of the next.
        aiq: mean height of the non-decreasing hull between the cheapest and the best single model's cost, as a
            share (%) of the way from the hull of the single models to the oracle's.
        saving: cost saved (%) at the cost weight that was chosen on training prompts, and
        kept: points of accuracy over the best single model there.
        parity: cost saved (%) at the largest cost weight that keeps the best single model's accuracy on the very
            prompts of the test; NaN where none does.
    """

    gain: float
    closed: float
    aiq: float
    saving: float
    kept: float
    parity: float


def sweep(quality: Matrix, cost: Matrix, table: Table) -> Swept:
    """Let every prompt choose the model of the best expected quality less weighted expected cost."""
    rows = np.arange(len(table))
    chosen = [(quality - weight * cost).argmax(axis=1) for weight in WEIGHTS]
    return Swept(
        np.column_stack([table.scores[rows, choice] for choice in chosen]),
        np.column_stack([table.costs[rows, choice] for choice in chosen]),
    )


def parity_weight(swept: Swept, table: Table) -> int:
    """Return the place of the largest cost weight that keeps the best single model's accuracy."""
    enough = swept.scores.mean(axis=0) >= table.scores.mean(axis=0).max()
    return int(np.flatnonzero(enough)[-1]) if enough.any() else 0


def many_figures(swept: Swept, oracle: Swept, table: Table, weight: Rows) -> ManyFigures:
    """Return the figures of a sweep.

    Args:
        oracle: the sweep of one who knows the outcomes.
        weight: place of the cost weight chosen on training prompts, for each prompt.
    """
    rows = np.arange(len(table))
    return _figures(_Means.of(swept, oracle, table, weight, rows))


def many_intervals(swept: Swept, oracle: Swept, table: Table, weight: Rows, seed: int) -> dict[str, Interval]:
    """Return the figures with bootstrap intervals over the prompts."""
    random = np.random.default_rng(seed)
    value = many_figures(swept, oracle, table, weight)
    drawn = [
        _figures(_Means.of(swept, oracle, table, weight, random.integers(0, len(table), len(table))))
        for _ in range(RESAMPLES)
    ]
    return {
        name: _interval(getattr(value, name), [getattr(one, name) for one in drawn]) for name in vars(value)
    }


def pair_intervals(gain: Matrix, table: Table, seed: int) -> dict[str, Interval]:
    """Return RouteLLM's figures with bootstrap intervals over the prompts."""
    random = np.random.default_rng(seed)
    value = pair_figures(gain, table)
    drawn = []
    for _ in range(RESAMPLES):
        rows = random.integers(0, len(table), len(table))
        drawn.append(pair_figures(gain[rows], table.take(rows)))
    return {
        name: _interval(getattr(value, name), [getattr(one, name) for one in drawn]) for name in value._fields
    }


def _interval(value: float, drawn: list[float]) -> Interval:
    given = np.array([one for one in drawn if not np.isnan(one)])
    low, high = np.percentile(given, [2.5, 97.5]) if len(given) else (np.nan, np.nan)
    return Interval(float(value), float(low), float(high))


def _share(part: float, whole: float) -> float:
    """Return a part in percent; NaN where there is nothing to have a part of."""
    return 100 * part / whole if whole > 0 else float("nan")


def front(swept: Swept, table: Table) -> list[float]:
    """Return the accuracy (%) that a sweep reaches at each of `SHARES` of the best single model's cost."""
    means = table.costs.mean(axis=0), table.scores.mean(axis=0)
    best = means[0][means[1].argmax()]
    corners = hull_of(np.column_stack([swept.costs.mean(axis=0), swept.scores.mean(axis=0)]))
    return [float(100 * np.interp(share * best, *corners)) for share in SHARES]


class _Means(NamedTuple):
    singles: Matrix
    swept: Matrix
    oracle: Matrix
    here: Matrix

    @classmethod
    def of(cls, swept: Swept, oracle: Swept, table: Table, weight: Rows, rows: Rows) -> _Means:
        """Return mean cost and score of the single models, of both sweeps, and at the chosen weights."""
        count = np.bincount(rows, minlength=len(table)) / len(rows)
        mean: Callable[[Matrix], Matrix] = lambda values: count @ values  # noqa: E731
        at = np.arange(len(table)), weight
        return cls(
            np.column_stack([mean(table.costs), mean(table.scores)]),
            np.column_stack([mean(swept.costs), mean(swept.scores)]),
            np.column_stack([mean(oracle.costs), mean(oracle.scores)]),
            np.array([mean(swept.costs[at]), mean(swept.scores[at])]),
        )


def _figures(means: _Means) -> ManyFigures:
    best = means.singles[means.singles[:, 1].argmax()]
    cheapest = means.singles[means.singles[:, 0].argmin()]
    span = cheapest[0], best[0]
    zero = hull_height(means.singles, span)
    reached = hull_height(np.vstack([means.swept, cheapest]), span)
    ceiling = hull_height(np.vstack([means.oracle, means.singles]), span)
    enough = means.swept[means.swept[:, 1] >= best[1]]
    return ManyFigures(
        gain=100 * (means.swept[0, 1] - best[1]),
        closed=_share(means.swept[0, 1] - best[1], means.oracle[0, 1] - best[1]),
        aiq=_share(reached - zero, ceiling - zero),
        saving=100 * (1 - means.here[0] / best[0]),
        kept=100 * (means.here[1] - best[1]),
        parity=100 * (1 - enough[:, 0].min() / best[0]) if len(enough) else float("nan"),
    )


def hull_height(points: Matrix, span: tuple[float, float]) -> float:
    """Return the mean height of the non-decreasing upper hull of (cost, score) points between two costs."""
    return float(np.interp(np.linspace(*span, 2001), *hull_of(points)).mean())


def hull_of(points: Matrix) -> tuple[Sequence[float], Sequence[float]]:
    """Return costs and scores of the corners of the non-decreasing upper hull of (cost, score) points."""
    hull: list[tuple[float, float]] = []
    for cost, score in sorted(map(tuple, points.tolist()), key=lambda point: (point[0], -point[1])):
        if hull and (score <= hull[-1][1] or cost == hull[-1][0]):
            continue
        while len(hull) > 1 and _is_below(hull[-2], hull[-1], (cost, score)):
            hull.pop()
        hull.append((cost, score))
    costs, scores = zip(*hull, strict=True)
    return costs, scores


def _is_below(before: tuple[float, float], point: tuple[float, float], after: tuple[float, float]) -> bool:
    rise = (after[1] - before[1]) / (after[0] - before[0])
    return point[1] <= before[1] + rise * (point[0] - before[0])
