"""Which arm of a trial a run is given, and what came of it: in the journal's database, for all processes."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from math import inf
from threading import Lock
from typing import Any

from ..routing.attempts import RunView
from ..routing.catalogue import Catalogue
from ..routing.errors import InputError
from ..routing.flow import status
from ..routing.limits import check_parameters, check_task
from ..routing.matcher import TaskRequest, Wishes, find_agent
from ..routing.records import InTrial, Strategy
from ..routing.standings import ArmStanding, TrialRun, standings, stopped
from ..routing.trials import Trial, assignment, unit_of
from .calls import open_calls
from .database import Database, DatabaseError
from .encryption import cipher_of
from .settings import Settings

LOOK_SECONDS = 1.0
"""At most so often is looked whether an arm is to be stopped."""
MOST_RUNS = 100_000
"""Runs of a trial that are looked at; as many calls are kept."""

BEGUN = """
INSERT INTO trial_runs (tenant, trial, run, arm, unit, begun_at) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING
"""
ENDED = "UPDATE trial_runs SET ended = ?, ended_at = ? WHERE tenant = ? AND run = ? AND ended = ''"
_RUNS = """
SELECT t.arm, t.unit, t.begun_at, t.ended, t.ended_at, MAX(c.settled_at), MAX(c.score), SUM(c.cost_usd),
    SUM(c.seconds), (
        SELECT d.decision FROM calls d WHERE d.run = t.run AND d.tenant = t.tenant AND d.decision <> ''
        ORDER BY d.settled_at DESC LIMIT 1
    )
FROM trial_runs t LEFT JOIN calls c ON c.run = t.run AND c.tenant = t.tenant
WHERE t.tenant = ? AND t.trial = ?
GROUP BY t.tenant, t.run, t.arm, t.unit, t.begun_at, t.ended, t.ended_at
ORDER BY t.begun_at LIMIT ?
"""

_logger = logging.getLogger("ymera.trials")


class Trials:
    """The trial of a matcher, if it has one. Any thread and event loop of the process may use it.

    A database that cannot be used is logged once; from then on no run of this process takes part, since nobody could
    see that an arm does harm.

    Args:
        trial: None: there is none, and every run is planned as usual.
        clock: epoch seconds.

    Raises:
        InputError: a trial is of no use with these settings.
    """

    def __init__(
        self, trial: Trial | None, settings: Settings, clock: Callable[[], float] = time.time
    ) -> None:
        _check(trial, settings)
        self.trial, self._clock = trial, clock
        self._tenant, self._cipher = settings.ymera_tenant or "", cipher_of(settings.langgraph_aes_key)
        self._database: Database | None = open_calls(settings) if trial else None
        self._store = Lock()
        self._looked_at = -inf
        self._seen: object | None = None
        self._stopped: Mapping[str, float] = {}

    async def look(self) -> None:
        """Take in what came of runs since: an arm that does harm is given no more of them."""
        if self._database is not None and self._is_time_to_look():
            await asyncio.to_thread(self._take_in)

    def given(self, request: TaskRequest, wishes: Wishes, catalogue: Catalogue) -> Wishes:
        """Return the wishes of a run with those of its arm, where it is given one.

        Raises:
            InputError: the task or its parameters are none.
        """
        if self.trial is None or self._database is None or not wishes.free:
            return wishes
        check_task(request.description)
        check_parameters(request.parameters)
        agent = find_agent(request.agent_name, catalogue, strict=False)[0].agent_name
        if not self.trial.concerns(agent):
            return wishes
        return self.followed(wishes, assignment(self.trial, unit_of(request, agent), self._stopped))

    def followed(self, wishes: Wishes, given: InTrial | None) -> Wishes:
        """Return wishes with those of an arm that a plan names; of a trial that is no longer there, as they are."""
        arm = self.trial.arm(given["arm"]) if self.trial and given else None
        return wishes if arm is None else replace(arm.over(wishes), arm=given, free=False)

    def begun(self, run: str, request: TaskRequest, plan: Strategy) -> tuple[str, tuple[object, ...]] | None:
        """Return the statement that notes a run that begins with an arm; None where its plan has none."""
        if self.trial is None or "trial" not in plan:
            return None
        unit = self._mark(unit_of(request, plan["agent_name"]))
        return BEGUN, (self._tenant, self.trial.mark, run, plan["trial"]["arm"], unit, self._clock())

    def ended(self, run: str, view: RunView) -> tuple[str, tuple[object, ...]] | None:
        """Return the statement that notes how a run with an arm has ended; None for others, and before its end."""
        how = status(view) if "trial" in view["plan"] else "running"
        return None if how == "running" else (ENDED, (how, self._clock(), self._tenant, run))

    async def standings(self) -> list[ArmStanding]:
        """Return how the arms stand, the control first.

        Raises:
            InputError: there is no trial, or its runs cannot be read.
        """
        trial, database = self.trial, self._database
        if trial is None:
            raise InputError("There is no trial. Name its file: YMERA_TRIAL=trial.toml")
        if database is None:
            raise InputError(f"The runs of the trial {trial.name!r} cannot be read; the log says why.")
        try:
            return await asyncio.to_thread(lambda: standings(trial, self._runs(trial, database)))
        except DatabaseError as error:
            raise InputError(
                f"The runs of the trial {trial.name!r} in {database.place} cannot be read: {error}. {database.cure}."
            ) from error

    def _runs(self, trial: Trial, database: Database) -> list[TrialRun]:
        if database.stamp() is None:
            return []
        with database.reading() as rows:
            found = rows.execute(_RUNS, (self._tenant, trial.mark, MOST_RUNS))
        return [_run(row) for row in found if _is_sound(row)]

    def _mark(self, unit: str) -> str:
        return self._cipher.mark(unit) if self._cipher else hashlib.sha256(unit.encode()).hexdigest()

    def _is_time_to_look(self) -> bool:
        return not 0 <= self._clock() - self._looked_at < LOOK_SECONDS

    def _take_in(self) -> None:
        with self._store:
            database, trial = self._database, self.trial
            if database is None or trial is None or not self._is_time_to_look():
                return
            try:
                if (stamp := database.stamp()) != self._seen:
                    self._stopped = stopped(trial, self._runs(trial, database))
                    self._seen = stamp
            except DatabaseError as error:
                _logger.warning(
                    "No run takes part in the trial %s: %s cannot be used: %s. %s if it stays so.",
                    *(trial.name, database.place, error, database.cure),
                )
                self._database = None
            self._looked_at = self._clock()


def _check(trial: Trial | None, settings: Settings) -> None:
    if trial is None:
        return
    if not settings.ymera_outcome_days:
        raise InputError(
            f"The trial {trial.name!r} needs the outcomes of runs, and YMERA_OUTCOME_DAYS is 0. Set it to the days "
            "for which they are kept, or take YMERA_TRIAL away."
        )
    several = [arm.name for arm in trial.arms if arm.strategy not in (None, "single_model")]
    if several and not settings.enable_multi_model:
        raise InputError(
            f"The arm {several[0]!r} of the trial {trial.name!r} asks for several models, which "
            "ENABLE_MULTI_MODEL=false forbids."
        )


def _run(row: tuple[Any, ...]) -> TrialRun:
    arm, unit, begun_at, ended, ended_at, settled_at, score, usd, seconds, verdict = row
    return TrialRun(
        arm=arm,
        unit=unit,
        begun_at=begun_at,
        ended=ended,
        ended_at=ended_at or 0.0,
        settled_at=max(ended_at or 0.0, settled_at or 0.0),
        score=score,
        verdict=verdict or "",
        cost_usd=usd or 0.0,
        seconds=seconds or 0.0,
    )


def _is_sound(row: tuple[Any, ...]) -> bool:
    """Say whether a row is one of ours: SQLite keeps anything in any column."""
    arm, unit, begun_at, ended, *numbers, verdict = row
    words = all(isinstance(word, str) for word in (arm, unit, ended, verdict or ""))
    amounts = [begun_at, *(number for number in numbers if number is not None)]
    if not words or not all(isinstance(each, int | float) and 0 <= each < inf for each in amounts):
        return False
    score = numbers[2]
    return score is None or score <= 1
