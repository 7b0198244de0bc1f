"""A provider that answers every copy of a task alike, sees what comes of each request, and can say: now."""

from __future__ import annotations

import asyncio
import json
import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from tests.servers.dialects import DIALECTS
from tests.servers.faulty import Answer, FaultyServer, Reply, Request
from tests.servers.replies import Tokens
from tests.servers.wire import Wire
from tests.soak.till import PHASES, PLAIN, phase_of

Stage = Literal["arrived", "event", "answered"]
_COPY = re.compile(r"module (m\d+) of the import service \(copy ([\d-]+)\)")


@dataclass(kw_only=True, eq=False)
class Seen:
    """A request, and what came of it.

    Args:
        at: when it came, epoch seconds; `came`: the same by the monotonic clock.
        whole: the tokens of its whole answer.
        told: those that were reported to it; None: the answer broke off before.
        begun: its answer has begun.
        ended: when the last byte of the answer was sent (monotonic clock); None: it never was.
    """

    copy: str
    phase: str
    provider: str
    model: str
    at: float
    came: float
    whole: Tokens
    told: Tokens | None = None
    begun: bool = False
    ended: float | None = None


@dataclass(kw_only=True)
class Trap:
    """When to strike: at the nth request from now on, at a stage of it, and so many seconds later.

    Args:
        phase: whose requests count; empty: all.
        event: of which piece of the answer the stage "event" is.
    """

    nth: int
    stage: Stage
    phase: str = ""
    event: int = 0
    delay: float = 0.0
    strike: Callable[[Seen], None]


class Witness(FaultyServer):
    """A server whose answers depend on the module, the phase and the model alone.

    Args:
        seed: other seeds, other answers.
        slow_s: seconds from a request to its answer's first word.
        lane_s: the same for the slower of two lanes.

    Attributes:
        seen: the requests of each copy.
    """

    def __init__(self, seed: int, *, slow_s: float, lane_s: float) -> None:
        super().__init__(remembered=0)
        self.seen: dict[str, list[Seen]] = {}
        self._seed, self._slow_s, self._lane_s = seed, slow_s, lane_s
        self._traps: dict[str, Trap] = {}
        self.answer(self._reply)

    def set_trap(self, copy: str, trap: Trap) -> None:
        """Wait for a copy's requests."""
        self._traps[copy] = trap

    def lift_trap(self, copy: str) -> None:
        """Wait no longer."""
        self._traps.pop(copy, None)

    def _reply(self, request: Request) -> Reply:
        body = json.dumps(request.body)
        module, phase = _module_of(body)[0], phase_of(body)
        chance = random.Random(f"{self._seed} {module} {phase} {request.provider} {request.model}")
        text = f"The {phase} of {module} by {request.model}:" + " word" * chance.randrange(5, 25)
        tokens = (len(body) // 4, 1 + chance.randrange(400))
        first = not self._is_second(request.model)
        if PHASES[phase].judges:
            decision = chance.choice(("accept", "revise"))
            text = json.dumps({"findings": [f"what {module} lacks"], "decision": decision})
            if module == "m3" and first and phase == "review":
                text = PLAIN  # mended once, then the next model
        cut = module == "m2" and first and phase == "generation"
        lane = module == "m1" and phase == "generation"
        return Answer(
            text,
            finish="length" if cut else "stop",
            wait_s=self._lane_s if lane else self._slow_s,
            input_tokens=tokens[0],
            output_tokens=tokens[1],
        )

    def _is_second(self, model: str) -> bool:
        return random.Random(f"{self._seed} {model}").random() < 0.5

    async def _answer(self, request: Request, answer: Answer, wire: Wire) -> None:
        seen = _seen(request, answer)
        self.seen.setdefault(seen.copy, []).append(seen)
        self._stage(seen, "arrived")
        try:
            await wire.pause(answer.headers_wait_s + answer.wait_s)
            seen.begun = True
            await self._send(request, answer, wire, seen)
            seen.ended = time.monotonic()
        finally:
            seen.told = wire.tokens
        self._stage(seen, "answered")

    async def _send(self, request: Request, answer: Answer, wire: Wire, seen: Seen) -> None:
        dialect = DIALECTS[request.provider]
        if not request.streams:
            await wire.document(json.dumps(dialect.whole(answer, request.model)).encode())
            wire.tokens = answer.tokens
            return
        await wire.head()
        for number, event in enumerate(dialect.stream(answer, request.model)):
            await wire.event(event)
            self._stage(seen, "event", number)
        await wire.piece(b"")

    def _stage(self, seen: Seen, stage: Stage, event: int = 0) -> None:
        trap = self._traps.get(seen.copy)
        if trap is None or trap.phase not in ("", seen.phase):
            return
        trap.nth -= stage == "arrived"
        if trap.nth > 0 or trap.stage != stage or (stage == "event" and event < trap.event):
            return
        self.lift_trap(seen.copy)
        if trap.delay:
            asyncio.get_running_loop().call_later(trap.delay, trap.strike, seen)
        else:
            trap.strike(seen)


def _seen(request: Request, answer: Answer) -> Seen:
    body = json.dumps(request.body)
    return Seen(
        copy=_module_of(body)[1],
        phase=phase_of(body),
        provider=request.provider,
        model=request.model,
        at=time.time(),
        came=time.monotonic(),
        whole=answer.tokens,
    )


def _module_of(body: str) -> tuple[str, str]:
    found = _COPY.search(body)
    assert found, body
    return found[1], found[2]
