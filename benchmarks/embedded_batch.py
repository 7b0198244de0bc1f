"""Calls of one embedded model at the same time against one after the other: a part of section `embedded`.

The runner reads and makes tokens of several conversations in one batch, as many as it has slots; further calls wait in
the server. Every prompt begins anew, so that none is taken from another.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from ymera.nodes.embedded import SLOTS

from .embedded_calls import Call, Caller, caller
from .findings import Effort, Findings, Table
from .llama_bench import Work
from .turns import spread

WORK = Work(prompt_tokens=128, output_tokens=48)
LEVELS = (1, 2, 4, 8)
HEADS = (
    *("model", "calls", "one after the other, s", "at once, s", "faster"),
    *(
        "output tokens/s, one after the other",
        "at once",
        "a call's wall at once, s",
        "first token at once, s",
    ),
)


@dataclass(frozen=True, kw_only=True)
class Level:
    """As many calls, made both ways. `in_turn_s` and `at_once_s` are the seconds until the last has ended."""

    in_turn: Sequence[Call]
    at_once: Sequence[Call]
    in_turn_s: float
    at_once_s: float


async def measure(names: Sequence[str], effort: Effort) -> Findings:
    """Measure these models, one after the other."""
    levels: dict[str, list[Level]] = {}
    for name in names:
        async with caller(name) as asked:
            levels[name] = [await _level(asked, calls) for calls in LEVELS[: effort.rounds]]
    return findings_of_levels(levels)


async def _level(asked: Caller, calls: int) -> Level:
    begin = time.perf_counter()
    in_turn = [await asked.call(f"Turn {number} of {calls}", WORK) for number in range(calls)]
    between = time.perf_counter()
    jobs = [asked.call(f"Place {number} of {calls}", WORK) for number in range(calls)]
    at_once = await asyncio.gather(*jobs)
    return Level(
        in_turn=in_turn,
        at_once=at_once,
        in_turn_s=between - begin,
        at_once_s=time.perf_counter() - between,
    )


def findings_of_levels(levels: Mapping[str, Sequence[Level]]) -> Findings:
    """Return the table and the figures of what was measured."""
    note = (
        f"Each call reads about {WORK.prompt_tokens} tokens and makes {WORK.output_tokens}; a model holds {SLOTS} "
        "conversations at a time, further calls wait. Medians of the calls of a level (quartiles), measured once."
    )
    rows = [_row(name, level) for name, each in levels.items() for level in each]
    return Findings(
        tables=[Table(title="Calls of one embedded model at once", heads=HEADS, rows=rows, note=note)],
        figures={name: [asdict(level) for level in each] for name, each in levels.items()},
    )


def _row(name: str, level: Level) -> list[str]:
    return [
        name,
        str(len(level.at_once)),
        f"{level.in_turn_s:.1f}",
        f"{level.at_once_s:.1f}",
        f"{level.in_turn_s / level.at_once_s:.2f}×",
        f"{_made(level.in_turn) / level.in_turn_s:.1f}",
        f"{_made(level.at_once) / level.at_once_s:.1f}",
        str(spread([call.wall_s for call in level.at_once])),
        str(spread([call.first_token_s for call in level.at_once])),
    ]


def _made(calls: Sequence[Call]) -> int:
    return sum(call.output_tokens for call in calls)
