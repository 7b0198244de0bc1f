"""What a hedge is worth: one phase through the graph, its first choice slow to begin in a few of its calls.

    python -m benchmarks.hedge [--calls 450] [--slow 0.03] [--seconds 0.5]

The calls without and with a hedge take turns, one at a time, against a server in this process; which calls are slow
is drawn from a seed. The second choice is always quick. The first calls, from which the process learns how long its
models usually take, are not counted.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import time
from collections import Counter
from statistics import quantiles

from tests.servers.faulty import Answer, FaultyServer, Request
from ymera.graphs import build
from ymera.nodes.state import RunContext, RunInput

from .ours import PHASE, fresh_services
from .systems import Route

WARM_UP = 100
QUICK_S = 0.02
SPREAD_S = 0.02
SEED = 1


async def measure(calls: int, slow: float, seconds: float) -> dict[bool, tuple[list[float], int]]:
    """Return the seconds of each call, and how many requests they took, without and with a hedge."""
    chance, asked_for = random.Random(SEED), Counter[str]()

    def answer(request: Request) -> Answer:
        asked_for[request.model] += 1
        late = request.model == "first-model" and chance.random() < slow
        return Answer(wait_s=seconds if late else QUICK_S + SPREAD_S * chance.random())

    taken: dict[bool, list[float]] = {False: [], True: []}
    sent = {False: 0, True: 0}
    async with FaultyServer(remembered=0) as server:
        server.answer(answer)
        route = Route(base_url=server.base_url("openai"), primary="first-model", fallback="second-model")
        async with fresh_services(route) as services:
            graph = build(((PHASE,),), services).compile()
            for number in range(WARM_UP + calls):
                for hedge in (False, True):
                    before, clock = asked_for.total(), time.perf_counter()
                    context = RunContext(providers=["first", "second"], attempts=2, hedge=hedge)
                    asked = RunInput(task="Say hello", agent="caller", phases=[PHASE])
                    await graph.ainvoke(asked, context=context)
                    if number >= WARM_UP:
                        taken[hedge].append(time.perf_counter() - clock)
                        sent[hedge] += asked_for.total() - before
    return {hedge: (taken[hedge], sent[hedge]) for hedge in taken}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="One phase without and with a hedge.")
    parser.add_argument("--calls", type=int, default=450, help="calls of each kind")
    parser.add_argument("--slow", type=float, default=0.03, help="part of the calls that is slow to begin")
    parser.add_argument("--seconds", type=float, default=0.5, help="how long a slow one takes to begin")
    arguments = parser.parse_args()
    found = asyncio.run(measure(arguments.calls, arguments.slow, arguments.seconds))
    print(
        f"{arguments.calls} calls each, {arguments.slow:.0%} of the first choice's begin after {arguments.seconds:g} s"
    )
    for hedge, (seconds, sent) in found.items():
        cuts = quantiles(seconds, n=100, method="inclusive")
        extra = 100 * (sent - len(seconds)) / len(seconds)
        name = "with a hedge" if hedge else "without"
        print(
            f"{name:13} p50 {1e3 * cuts[49]:6.1f} ms   p99 {1e3 * cuts[98]:6.1f} ms   {extra:4.1f} % extra requests"
        )


if __name__ == "__main__":
    main()
