"""How fast the embedded models read and write, beside llama.cpp's own bench: a part of section `embedded`.

Ours is a call as a phase makes it, through YMERA's own client to the runner's server, by the client's clock and by the
runner's. The bench loads the same file in a process of its own, with the same threads, reads as many tokens and makes
as many after them. Both take turns, and each round begins with the other.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial

from ymera.nodes.cores import Threads, choose_threads, usable_cores
from ymera.nodes.settings import load_settings
from ymera.nodes.weights import locate

from .embedded_calls import Call, Caller, caller
from .findings import Effort, Findings, Mark, Table
from .llama_bench import MISSING, PROGRAM, Benched, Rates, Work, benched, found
from .turns import ratios, spread

WORK = Work(prompt_tokens=288, output_tokens=64)
"""Asked for. How long the prompt is in the model's tokens, a first call tells: the bench reads as many."""
LEAST_SHARE = 0.95
"""Of the bench's tokens a second. A mark has a most: it is the time a token that may be 1 / 0.95 of the bench's."""
PARTS = {"prompt": "reading a prompt", "output": "making tokens"}
Bench = Callable[[], Awaitable[Benched]]
HEADS = (
    *("model", "", f"{PROGRAM}, tokens/s", "YMERA, tokens/s", "the runner's own clock, tokens/s"),
    *("YMERA / bench", "runner / bench"),
)


@dataclass(frozen=True, kw_only=True)
class Round:
    """One measurement of both sides."""

    ours: Call
    bench: Benched


async def measure(names: Sequence[str], effort: Effort) -> Findings:
    """Measure these models, one after the other."""
    program = found(effort.llama_bench)
    if program is None:
        return Findings(left_out=[MISSING.format(effort.llama_bench)])
    settings = load_settings()
    threads = choose_threads(usable_cores(), settings.ymera_threads)
    rounds: dict[str, list[Round]] = {}
    for name in names:
        weights = locate(name, settings)
        if weights is None:
            raise AssertionError("only models whose weights are here are measured")
        async with caller(name) as asked:
            trial = await asked.call("Trial", WORK)
            work = Work(prompt_tokens=trial.prompt_tokens, output_tokens=WORK.output_tokens)
            bench = partial(benched, program, weights, work, threads)
            rounds[name] = [await _round(number, asked, bench) for number in range(effort.rounds)]
    return findings_of_rounds(rounds, threads)


async def _round(number: int, asked: Caller, bench: Bench) -> Round:
    if number % 2:
        theirs = await bench()
        return Round(ours=await asked.call(f"Round {number}", WORK), bench=theirs)
    ours = await asked.call(f"Round {number}", WORK)
    return Round(ours=ours, bench=await bench())


def findings_of_rounds(rounds: Mapping[str, Sequence[Round]], threads: Threads) -> Findings:
    """Return the table, the marks and the figures of what was measured."""
    builds = ", ".join(dict.fromkeys(round_.bench.build for each in rounds.values() for round_ in each))
    note = (
        f"Medians of {len(next(iter(rounds.values())))} rounds (quartiles), ratios within a round; "
        f"{_prompts(rounds)} tokens read with {threads.batch} threads, "
        f"{WORK.output_tokens} made after them with {threads.decode}. "
        f"{PROGRAM} is {builds}."
    )
    rows = [_row(name, part, each) for name, each in rounds.items() for part in PARTS]
    return Findings(
        tables=[
            Table(title="Embedded models beside llama.cpp's own bench", heads=HEADS, rows=rows, note=note)
        ],
        marks=[
            Mark(
                what=f"{PARTS[part]}, {name}: time a token over {PROGRAM}'s",
                reached=ratios(_rates(each, part, "bench"), _rates(each, part, "seen")).median,
                most=1 / LEAST_SHARE,
                unit="×",
            )
            for name, each in rounds.items()
            for part in PARTS
        ],
        figures={name: [asdict(round_) for round_ in each] for name, each in rounds.items()},
    )


def _prompts(rounds: Mapping[str, Sequence[Round]]) -> str:
    lengths = {round_.ours.prompt_tokens for each in rounds.values() for round_ in each}
    return " or ".join(map(str, sorted(lengths)))


def _row(name: str, part: str, rounds: Sequence[Round]) -> list[str]:
    bench, seen, told = (_rates(rounds, part, side) for side in ("bench", "seen", "told"))
    speeds = [str(spread(each)) for each in (bench, seen, told)]
    return [name, PARTS[part], *speeds, *(f"{ratios(each, bench).median:.1%}" for each in (seen, told))]


def _rates(rounds: Iterable[Round], part: str, side: str) -> list[float]:
    return [getattr(_of(each, side), part) for each in rounds]


def _of(round_: Round, side: str) -> Rates:
    return {"bench": round_.bench.rates, "seen": round_.ours.seen, "told": round_.ours.told}[side]
