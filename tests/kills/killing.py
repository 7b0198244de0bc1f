"""Runs that are killed and resumed until they are over, and what they left."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.servers.clients import key_of

from .child import AGAIN, Job, Left, Way
from .moments import Durability, Moment
from .programs import Nursery, Program, opened_nursery
from .schedule import AGENTS, Kill, Point, Trial
from .witness import Seen, Trap, Witness

PROVIDERS = ("openai", "groq", "mistral")
TWINS = 999
"""Stands for the seed of runs that are not killed."""
SLOW_S, LANE_S = 0.02, 0.15
"""Seconds from a request to its answer, and to that of the slower of two lanes."""
STARTING_S = 0.25
"""Seconds in which a program begins, about."""
RUNNING_S = 0.6
"""Seconds that it takes, about."""


@dataclass(kw_only=True)
class Hit:
    """A kill that took place.

    Args:
        point: where it truly struck.
        at: when, by the monotonic clock.
        seen: the request at which it was aimed.
    """

    kill: Kill
    point: Point
    at: float
    seen: Seen | None = None


@dataclass(kw_only=True)
class Outcome:
    """What a run has come to.

    Args:
        not_begun: kills after which nothing was there to resume: the task was given again.
        left: by its last program.
        errors: what its programs said on standard error.
    """

    hits: list[Hit] = field(default_factory=list)
    not_begun: int = 0
    left: Left | None = None
    errors: str = ""

    @property
    def result(self) -> dict[str, Any] | None:
        """The run's result; None: the run is lost."""
        return self.left["result"] if self.left else None


class Shot:
    """A kill from outside, which knows whether the program was where it was meant to strike."""

    def __init__(self, kill: Kill, copy: str, witness: Witness, program: Program) -> None:
        self._kill, self._copy, self._witness, self._program = kill, copy, witness, program
        self._before = len(witness.seen.get(copy, ()))
        self._point: Point = "anywhere"
        self._seen: Seen | None = None

    def aim(self, last: tuple[str, int]) -> None:
        """Wait for the moment.

        Args:
            last: the phase of an unbroken run's last call, and its number there.
        """
        seconds = {"start": STARTING_S, "anywhere": RUNNING_S}.get(self._kill.point)
        if seconds is None:
            self._witness.set_trap(self._copy, self._trap(*last))
        else:
            asyncio.get_running_loop().call_later(self._kill.late * seconds, self._strike)

    def hit(self) -> Hit:
        """Return what came of it, once the program has ended without a word."""
        assert self._program.struck is not None, "it ended by itself"
        return Hit(kill=self._kill, point=self._point, at=self._program.struck, seen=self._seen)

    def _trap(self, phase: str, number: int) -> Trap:
        kill, strike = self._kill, self._strike
        match kill.point:
            case "in the call":
                return Trap(nth=kill.nth, stage="arrived", delay=kill.late * 0.8 * SLOW_S, strike=strike)
            case "in the stream":
                return Trap(nth=kill.nth, stage="event", event=int(kill.late * 20), strike=strike)
            case "end":
                before = sum(seen.phase == phase for seen in self._witness.seen.get(self._copy, ()))
                nth, delay = max(number - before, 1), kill.late * 0.06
                return Trap(nth=nth, stage="answered", phase=phase, delay=delay, strike=strike)
        return Trap(nth=kill.nth, stage="answered", delay=kill.late * 0.005, strike=strike)

    def _strike(self, seen: Seen | None = None) -> None:
        """Kill, and note where: up to here the server has sent nothing that `seen` does not tell."""
        self._seen = seen
        if self._holds(seen):
            self._point = self._kill.point
        self._program.kill()

    def _holds(self, seen: Seen | None) -> bool:
        since = self._witness.seen.get(self._copy, [])[self._before :]
        if seen is None:
            return self._kill.point == "start" and not since
        match self._kill.point:
            case "in the call":
                return not seen.begun
            case "in the stream":
                return seen.begun and seen.ended is None
        return True


@dataclass(kw_only=True)
class Arena:
    """Where runs are killed.

    Args:
        environment: of every program.
        folder: where each run gets its own.
        twins: runs that nobody has killed, by module.
    """

    nursery: Nursery
    witness: Witness
    environment: Mapping[str, str]
    folder: Path
    twins: dict[str, Outcome] = field(default_factory=dict)

    async def unbroken(self, module: str) -> Outcome:
        """Make a run that nobody kills."""
        trial = Trial(seed=TWINS, number=int(module[1:]), module=module, kills=())
        left = await self._program(trial, "run")
        assert not isinstance(left, Hit)
        return self._over(trial, Outcome(), left)

    async def many(
        self, number: int, runs: int, durability: Durability | None = None
    ) -> tuple[Left, list[Seen]]:
        """Make runs one after the other in one program; return what it left, and their requests."""
        trial = Trial(seed=TWINS, number=number, module="m0", kills=())
        folder = self._cleared(trial)
        job = self._job(trial, "many", None, None)
        program = await self.nursery.fork({**job, "nth": runs, "durability": durability})
        await program.ended()
        left: Left = json.loads((folder / "outcome.json").read_text())
        return left, self.witness.seen.pop(trial.copy)

    async def carry_out(self, trial: Trial) -> Outcome:
        """Make a run, kill it, resume it: until it is over."""
        outcome = Outcome()
        way: Way = "run"
        left: Left | None = None
        for kill in (*trial.kills, None):
            came = await self._begin(trial, way, kill, outcome)
            if isinstance(came, Hit):
                outcome.hits.append(came)
                way = came.kill.way
                continue
            left = came
            break
        return self._over(trial, outcome, left)

    async def _begin(self, trial: Trial, way: Way, kill: Kill | None, outcome: Outcome) -> Hit | Left:
        """Start a program; where there is nothing to resume yet, give the task again."""
        came = await self._program(trial, way, kill)
        if isinstance(came, Hit) or came["code"] != AGAIN:
            return came
        outcome.not_begun += 1
        return await self._program(trial, "run", kill)

    def _over(self, trial: Trial, outcome: Outcome, left: Left | None) -> Outcome:
        outcome.left = left
        outcome.errors = (self.folder / trial.copy / "errors.txt").read_text()
        return outcome

    async def _program(self, trial: Trial, way: Way, kill: Kill | None = None) -> Hit | Left:
        """Start a program and wait for its end; return how it was killed, or what it left."""
        folder = self._cleared(trial)
        moment, before = _moment(kill) if kill else None, len(self.witness.seen.get(trial.copy, ()))
        program = await self.nursery.fork(self._job(trial, way, moment, kill))
        shot = Shot(kill, trial.copy, self.witness, program) if kill and not moment else None
        if shot:
            shot.aim(self._last_call(trial.module))
        await program.ended()
        self.witness.lift_trap(trial.copy)
        if (folder / "outcome.json").exists():
            left: Left = json.loads((folder / "outcome.json").read_text())
            return left
        assert kill, "it ended by itself"
        if shot:
            return shot.hit()
        requests = self.witness.seen.get(trial.copy, [])[before:]
        return _own_end(kill, float((folder / "struck").read_text()), requests)

    def _cleared(self, trial: Trial) -> Path:
        folder = self.folder / trial.copy
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("outcome.json", "output.txt", "struck"):
            (folder / name).unlink(missing_ok=True)
        return folder

    def _job(self, trial: Trial, way: Way, moment: Moment | None, kill: Kill | None) -> Job:
        name = f"module {trial.module} of the import service (copy {trial.copy})"
        folder = self.folder / trial.copy
        return Job(
            way=way,
            environment={**self.environment, "YMERA_DATA_DIR": str(folder / "data")},
            agent=AGENTS[trial.module],
            task=f"Write {name}, with sessions and roles",
            thread=f"thread-{trial.copy}",
            folder=str(folder),
            moment=moment,
            nth=kill.nth if kill else 0,
            durability=None,
        )

    def _last_call(self, module: str) -> tuple[str, int]:
        result = self.twins[module].result if module in self.twins else None
        made = (
            [attempt for phase in result["phase_results"] for attempt in phase["attempts"]] if result else []
        )
        phase = made[-1]["phase"] if made else ""
        return phase, sum(attempt["phase"] == phase for attempt in made)


@asynccontextmanager
async def opened_arena(folder: Path, *, url: str = "") -> AsyncIterator[Arena]:
    """Open the place where runs are killed, with their twins.

    Args:
        url: of a PostgreSQL database; empty: SQLite, a file for each run.
    """
    async with opened_nursery() as nursery, Witness(seed=1, slow_s=SLOW_S, lane_s=LANE_S) as witness:
        environment = {f"{name.upper()}_API_KEY": key_of(name) for name in PROVIDERS}
        # What one run teaches would move the plan of the next, which is compared with it.
        environment["YMERA_OUTCOME_DAYS"] = "0"
        environment |= {f"YMERA_{name.upper()}_BASE_URL": witness.base_url(name) for name in PROVIDERS}
        if url:
            environment["YMERA_DATABASE_URL"] = url
        arena = Arena(nursery=nursery, witness=witness, environment=environment, folder=folder)
        arena.twins = {module: await arena.unbroken(module) for module in AGENTS}
        yield arena


def _own_end(kill: Kill, at: float, requests: Sequence[Seen]) -> Hit:
    """Return where a program has ended itself: in a lane only if a call of another one was in flight."""
    beside = any(seen.came < at and (seen.ended is None or seen.ended > at) for seen in requests)
    alone = kill.point == "sibling's lane" and not beside
    return Hit(kill=kill, point="after the commit" if alone else kill.point, at=at)


def _moment(kill: Kill) -> Moment | None:
    """Return at which moment the program ends itself; None where it is killed from outside."""
    match kill.point:
        case "router":
            return "match"
        case "node entry":
            return "entry"
        case "call to come":
            return "begun"
        case "after the commit" | "sibling's lane":
            return "kept"
        case "answer and commit" if kill.late < 0.5:
            return "commit"
    return None
