"""What was reached beside what had been aimed at before (facts of November 2026, measured on the same data)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean, stdev
from typing import Any

Figures = Mapping[str, Any]
Reached = tuple[float, float, float]
"""A figure, and between what it lies."""

LEARNED = "ymera learned, domain given"


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A figure to aim at, larger is better.

    Args:
        floor: what is least.
        before: the best that was measured on the same data before, None: nothing was.
        aim: what is aimed at.
    """

    what: str
    section: str
    reached: Callable[[Any], Reached]
    floor: float
    before: float | None
    aim: float
    digits: int


def _pair(name: str) -> Callable[[Any], Reached]:
    return lambda section: tuple(section[name]["routers"][LEARNED]["apgr"])


def _many(figure: str) -> Callable[[Any], Reached]:
    return lambda section: tuple(section["routers"][LEARNED][figure])


def _cold(stream: str, outcomes: int) -> Callable[[Any], Reached]:
    def reached(section: Any) -> Reached:
        return mean_between(_draws(section, stream, outcomes))

    return reached


def _worst(stream: str, outcomes: int) -> Callable[[Any], Reached]:
    def reached(section: Any) -> Reached:
        worst = min(_draws(section, stream, outcomes))
        return worst, worst, worst

    return reached


def _online(stream: str, figure: str) -> Callable[[Any], Reached]:
    def reached(section: Any) -> Reached:
        return mean_between([order[figure] for order in section[stream]["online"]])

    return reached


def _draws(section: Any, stream: str, outcomes: int) -> list[float]:
    found: list[float] = next(
        each["gains"] for each in section[stream]["cold"] if each["outcomes"] == outcomes
    )
    return found


def mean_between(every: Sequence[float]) -> Reached:
    """Return the mean, and between what that of many such draws lies in 95 of 100 cases (normal approximation)."""
    mean, reach = fmean(every), 1.96 * stdev(every) / sqrt(len(every)) if len(every) > 1 else 0.0
    return mean, mean - reach, mean + reach


BLANK, PRIOR = "no prior", "prior from ZeroEval"
MARKS = (
    Mark(what="APGR on GSM8K, in-domain", section="in_domain", reached=_pair("gsm8k"),
         floor=0.61, before=0.638, aim=0.66, digits=3),
    Mark(what="APGR on MMLU, in-domain", section="in_domain", reached=_pair("mmlu"),
         floor=0.68, before=0.703, aim=0.72, digits=3),
    Mark(what="APGR on GSM8K, learned from MMLU", section="out_of_domain", reached=_pair("gsm8k"),
         floor=0.59, before=0.612, aim=0.63, digits=3),
    Mark(what="APGR on MMLU, learned from GSM8K", section="out_of_domain", reached=_pair("mmlu"),
         floor=0.58, before=0.598, aim=0.61, digits=3),
    Mark(what="MMLU-Pro: points over the best single model", section="mmlu_pro", reached=_many("gain"),
         floor=1.8, before=2.39, aim=3.0, digits=2),
    Mark(what="MMLU-Pro: AIQ, % of the way to the oracle", section="mmlu_pro", reached=_many("aiq"),
         floor=11, before=13.3, aim=18, digits=1),
    Mark(what="MMLU-Pro: cost saved at parity in hindsight, %", section="mmlu_pro", reached=_many("parity"),
         floor=80, before=93, aim=95, digits=1),
    Mark(what="ZeroEval: AIQ, % of the way to the oracle", section="zeroeval", reached=_many("aiq"),
         floor=20, before=26.8, aim=32, digits=1),
    Mark(what="Cold start, 50 outcomes, no prior: points, mean", section="streams", reached=_cold(BLANK, 50),
         floor=1.4, before=1.48, aim=1.9, digits=2),
    Mark(what="Cold start, 50 outcomes, no prior: points, worst draw", section="streams",
         reached=_worst(BLANK, 50), floor=0.0, before=0.1, aim=0.5, digits=2),
    Mark(what="Cold start, 10 outcomes, no prior: points, mean", section="streams", reached=_cold(BLANK, 10),
         floor=0.0, before=0.42, aim=0.8, digits=2),
    Mark(what="Cold start, 10 outcomes, no prior: points, worst draw", section="streams",
         reached=_worst(BLANK, 10), floor=-1.5, before=-1.24, aim=-0.5, digits=2),
    Mark(what="Cold start, 10 outcomes, with a prior: points, mean", section="streams",
         reached=_cold(PRIOR, 10), floor=0.0, before=None, aim=0.8, digits=2),
    Mark(what="Cold start, 10 outcomes, with a prior: points, worst draw", section="streams",
         reached=_worst(PRIOR, 10), floor=-1.5, before=None, aim=-0.5, digits=2),
    Mark(what="Own choices alone, no prior: running mean, points", section="streams",
         reached=_online(BLANK, "regret"), floor=-1.1, before=-0.7, aim=0.0, digits=2),
    Mark(what="Own choices alone, with a prior: running mean, points", section="streams",
         reached=_online(PRIOR, "regret"), floor=-1.1, before=-0.7, aim=0.0, digits=2),
    Mark(what="Own choices alone, with a prior: learned policy, points", section="streams",
         reached=_online(PRIOR, "final"), floor=0.6, before=0.95, aim=1.8, digits=2),
)  # fmt: skip


def rows(figures: Figures) -> Iterator[Sequence[str]]:
    """Yield a row for every mark of which there are figures."""
    for mark in MARKS:
        if mark.section in figures:
            yield _row(mark, mark.reached(figures[mark.section]))


HEADS = ("figure", "reached", "at least", "best before", "mark", "")


def _row(mark: Mark, reached: Reached) -> Sequence[str]:
    value, low, high = (f"{each:.{mark.digits}f}" for each in reached)
    told = value if low == high else f"{value} ({low} … {high})"
    before = "–" if mark.before is None else f"{mark.before:g}"
    return mark.what, told, f"{mark.floor:g}", before, f"{mark.aim:g}", verdict(mark, reached[0])


def verdict(mark: Mark, value: float) -> str:
    """Return how a figure stands to its mark."""
    if value >= mark.aim:
        return "reached"
    return "missed, over the least" if value >= mark.floor else "missed"
