"""What a section of the benchmark brings home: tables, marks, and how much is measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How much is measured.

    Args:
        runs: of each side where a run takes milliseconds.
        calls: rounds over HTTP to a provider that answers at once; a slower one is called less often.
        delays_ms: after which providers answer.
        starts: of each command.
        at_once: how many runs are made at once, level by level.
        kept: runs of each size whose bytes in a store are counted.
        sizes: by how much the work grows, step by step; 1 is its usual size.
        rows: results in the cache, step by step.
        rounds: of an embedded model beside llama.cpp's own bench.
        llama_bench: that bench: a path, or a name on PATH.
    """

    runs: int
    calls: int
    delays_ms: tuple[int, ...]
    starts: int
    at_once: tuple[int, ...]
    kept: int
    sizes: tuple[int, ...]
    rows: tuple[int, ...]
    rounds: int
    llama_bench: str = "llama-bench"


FULL = Effort(
    runs=60,
    calls=60,
    delays_ms=(0, 20, 200),
    starts=9,
    at_once=(1, 10, 100, 1_000),
    kept=5,
    sizes=(1, 10, 100),
    rows=(1_000, 10_000, 100_000, 1_000_000),
    rounds=5,
)
QUICK = Effort(
    runs=1,
    calls=1,
    delays_ms=(0,),
    starts=1,
    at_once=(1, 2),
    kept=1,
    sizes=(1, 2),
    rows=(10, 100),
    rounds=1,
)
"""Enough to see that everything works; its figures say nothing."""


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A bound that a figure is to keep."""

    what: str
    reached: float
    most: float
    unit: str = ""

    @property
    def is_reached(self) -> bool:
        """Whether the figure keeps the bound."""
        return self.reached <= self.most

    @property
    def verdict(self) -> str:
        """In a word or two: reached, or by how much it is missed."""
        if self.is_reached:
            return "reached"
        return f"missed, {self.reached / self.most:.2f}×" if self.most else "missed"


@dataclass(frozen=True, kw_only=True)
class Table:
    """Figures in words: a title, the heads of the columns, the rows, and what one must know to read them."""

    title: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A figure for each name, as bars."""

    title: str
    unit: str
    bars: Sequence[tuple[str, float]]


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What a section has measured.

    Args:
        figures: everything, as JSON.
        left_out: what could not be measured here, and why.
    """

    tables: Sequence[Table] = ()
    marks: Sequence[Mark] = ()
    drawings: Sequence[Drawing] = ()
    figures: object = field(default_factory=dict)
    left_out: Sequence[str] = ()


def findings_of(said: Mapping[str, Any]) -> Findings:
    """Return findings as they stand in the JSON of an earlier run."""
    return Findings(
        tables=[Table(**table) for table in said["tables"]],
        marks=[Mark(**mark) for mark in said["marks"]],
        drawings=[Drawing(**drawing) for drawing in said["drawings"]],
        figures=said["figures"],
        left_out=said["left_out"],
    )
