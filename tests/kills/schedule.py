"""Which run is killed where: drawn from a seed and a number, so that a kill that went wrong can be repeated."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal, get_args

from .child import Way

Point = Literal[
    "start",
    "router",
    "node entry",
    "call to come",
    "in the call",
    "in the stream",
    "answer and commit",
    "after the commit",
    "sibling's lane",
    "end",
    "anywhere",
]
POINTS: tuple[Point, ...] = get_args(Point)
RESUMED: tuple[Way, ...] = ("command", "python", "graph", "again")
AGENTS = {
    "m0": "coding_agent",
    "m1": "documentation_agent",
    "m2": "web_scraping_agent",
    "m3": "analysis_agent",
}
"""Modules, and the agents whose runs they are: m1 has lanes, m2 a fallback, m3 an answer that is mended."""
CALLS = {"m0": 4, "m1": 4, "m2": 4, "m3": 5}
"""Calls of an unbroken run."""


@dataclass(frozen=True, kw_only=True)
class Kill:
    """One kill, and how the run is resumed after it.

    Args:
        nth: which call, or which step, from the program's start.
        late: 0..1, how late within what the point allows.
    """

    point: Point
    nth: int
    late: float
    way: Way


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One run with its kills."""

    seed: int
    number: int
    module: str
    kills: tuple[Kill, ...]

    @property
    def copy(self) -> str:
        return f"{self.seed:03}-{self.number:05}"

    def __str__(self) -> str:
        kills = ", ".join(f"{k.point} {k.nth} {k.late:.3f}, then {k.way}" for k in self.kills)
        return f"seed {self.seed} trial {self.number} ({self.module}: {kills})"


def trial(seed: int, number: int) -> Trial:
    """Draw a trial: the first kills take the points in turn, and one run in three is killed again."""
    chance = random.Random(f"{seed} {number}")
    points = [POINTS[number % len(POINTS)]]
    if chance.random() < 1 / 3:
        points.append(chance.choice([point for point in POINTS if point != "router"]))
    module = "m1" if "sibling's lane" in points else chance.choice(tuple(AGENTS))
    return Trial(
        seed=seed, number=number, module=module, kills=tuple(_kill(chance, point, module) for point in points)
    )


def _kill(chance: random.Random, point: Point, module: str) -> Kill:
    nth = 1 if point in ("sibling's lane", "router") else chance.randint(1, CALLS[module])
    return Kill(point=point, nth=nth, late=chance.random(), way=chance.choice(RESUMED))
