"""Trials: arms by which runs are planned in turn, so that it can be seen which does better.

A run's arm follows from the trial's name and from what is asked alone: whoever asks the same meets the same arm, in
every process. Standings (standings.py) say what came of it; an arm that does harm is given no more runs.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Literal

from .catalogue import Catalogue
from .matcher import TaskRequest, Wishes
from .records import InTrial

Measure = Literal["quality", "success"]
MOST_ARMS = 8


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One way of planning.

    Args:
        share: how many of the tasks it is given, against the shares of the others.
        strategy, model, thrift, haste, attempts, rounds: what it wishes for, as `Wishes` has it; None: as usual.
    """

    name: str
    share: int = 1
    strategy: str | None = None
    model: str | None = None
    thrift: float | None = None
    haste: float | None = None
    attempts: int | None = None
    rounds: int | None = None

    def over(self, wishes: Wishes) -> Wishes:
        """Return wishes with those of this arm in their place."""
        return replace(
            wishes,
            strategy=self.strategy or wishes.strategy,
            model=self.model or wishes.model,
            thrift=wishes.thrift if self.thrift is None else self.thrift,
            haste=wishes.haste if self.haste is None else self.haste,
            attempts=self.attempts or wishes.attempts,
            rounds=wishes.rounds if self.rounds is None else self.rounds,
        )


@dataclass(frozen=True, kw_only=True)
class Trial:
    """Arms that are compared; the first one is the control.

    Args:
        agents: whose runs take part; empty: all agents'.
        measure: what is compared: how good the results are, or whether runs come to one.
        harm: how much worse than the control an arm may be without being stopped, 0 to 1.
        gain: how much better an arm must be to be called so, 0 to 1.
        error_rate: the probability that any verdict of the trial is ever wrong, however often one looks.
    """

    name: str
    arms: tuple[Arm, ...]
    agents: tuple[str, ...] = ()
    measure: Measure = "quality"
    harm: float = 0.0
    gain: float = 0.0
    error_rate: float = 0.05

    @property
    def control(self) -> Arm:
        """The arm with which the others are compared."""
        return self.arms[0]

    @property
    def others(self) -> tuple[Arm, ...]:
        """The arms that are compared with the control."""
        return self.arms[1:]

    @cached_property
    def mark(self) -> str:
        """The name under which its runs are kept: of a trial that was changed, another one."""
        said = json.dumps(asdict(self), sort_keys=True)
        return f"{self.name}-{hashlib.sha256(said.encode()).hexdigest()[:12]}"

    def concerns(self, agent: str) -> bool:
        """Say whether runs of an agent take part."""
        return not self.agents or agent in self.agents

    def arm(self, name: str) -> Arm | None:
        """Return an arm by its name."""
        return next((arm for arm in self.arms if arm.name == name), None)


def unfit(trial: Trial, catalogue: Catalogue) -> Iterator[tuple[str, str]]:
    """Yield what in a trial does not fit together, or to the catalogue: the key, and what is wrong."""
    if not 2 <= len(trial.arms) <= MOST_ARMS:
        yield "arms", f"holds {len(trial.arms)}, allowed: 2 to {MOST_ARMS}"
    for name, count in Counter(arm.name for arm in trial.arms).items():
        if count > 1:
            yield f"arms.{name}", "is given twice"
    for agent in trial.agents:
        if agent not in catalogue.agents:
            yield "agents", f"names no agent (got {agent!r}), allowed: {', '.join(sorted(catalogue.agents))}"
    for arm in trial.arms:
        if arm.model is not None and not catalogue.named(arm.model):
            yield f"arms.{arm.name}.model", f"names no model (got {arm.model!r}), allowed: see `ymera models`"


def unit_of(request: TaskRequest, agent: str) -> str:
    """Return what always meets the same arm: a task of an agent, with its parameters.

    Args:
        agent: the name of its profile.
    """
    return json.dumps([agent, request.description, dict(request.parameters)], sort_keys=True)


def arm_of(trial: Trial, unit: str) -> Arm:
    """Return the arm that a unit is given."""
    digest = hashlib.sha256(f"{trial.name}\0{unit}".encode()).digest()
    place = int.from_bytes(digest[:8]) * sum(arm.share for arm in trial.arms) >> 64
    for arm in trial.arms:
        if place < arm.share:
            break
        place -= arm.share
    return arm


def assignment(trial: Trial, unit: str, stopped: Mapping[str, float]) -> InTrial:
    """Return the arm by which a unit is planned now: the control where its own was stopped.

    Args:
        stopped: arms that were, and when (epoch seconds).
    """
    arm = arm_of(trial, unit)
    if arm.name not in stopped:
        return InTrial(trial=trial.name, arm=arm.name, reason=f"arm {arm.name!r} of trial {trial.name!r}")
    why = f"{arm.name!r} does harm, and was stopped on {told(stopped[arm.name])}"
    control = trial.control.name
    return InTrial(
        trial=trial.name, arm=control, reason=f"arm {control!r} of trial {trial.name!r}, since {why}"
    )


def told(at: float) -> str:
    """Return a time (epoch seconds) as people read it."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")
