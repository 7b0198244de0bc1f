"""The matcher as users meet it: it gathers what there is today, and lets `routing.matcher` decide."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any

from ..routing.catalogue import Catalogue, builtin_catalogue, extend
from ..routing.dial import FrontPoint, front, strategy_for
from ..routing.errors import InputError, NoUsableModelError
from ..routing.exploration import Exploration
from ..routing.matcher import TaskRequest, Wishes, find_agent, judgement
from ..routing.records import AgentTaskProfile, ModelProfile, Price, Strategy
from ..routing.scoring import SCORERS, WeightedScorer
from ..routing.trials import Trial, unfit
from ..routing.words import load_lexicon
from ..routing.world import Memo, World
from .availability import EMBEDDED, LOCAL, why_unavailable
from .calls import open_calls
from .database import place_of
from .domains import Domains
from .experience import Experience
from .faults import keys_of
from .health import Health, mark_of
from .json_checks import schema_fault
from .readings import Readings
from .scorers import installed_scorers
from .settings import Settings, load_settings
from .trials import Trials
from .validators import VALIDATORS, Validator, installed_validators

if TYPE_CHECKING:
    from langchain_core.decisions import BaseDecisionModel

LOCAL_CONTEXT_TOKENS = 8_192
"""Window taken for a model of the user's own: what an embedded server gives each of its slots."""

REMEMBERED = 1_000
"""Cases that a matcher remembers at most: agents without a profile have any number of names."""


def load_catalogue(settings: Settings) -> Catalogue:
    """Return the built-in catalogue, the user's own local models, and the user's file on top (YMERA_CATALOGUE).

    Raises:
        CatalogueError: the user's file is wrong; every fault of it at once.
        InputError: the user's own server (YMERA_LOCAL_BASE_URL) does not answer.
    """
    catalogue = builtin_catalogue()
    if own := local_models(settings):
        catalogue = catalogue.with_entries(*own)
    return extend(catalogue, settings.ymera_catalogue) if settings.ymera_catalogue else catalogue


def local_models(settings: Settings) -> list[ModelProfile]:
    """Return the models of the user's own files and server.

    Nothing is known of them: their skills count as middling, until a file of the user's says better.
    """
    own = [_local_model(name, EMBEDDED) for name in settings.ymera_local_models]
    if settings.ymera_local_base_url:
        from .embedded import model_names  # brings an HTTP client along, needed for a server alone

        own += [_local_model(name, LOCAL) for name in model_names(settings.ymera_local_base_url)]
    return own


def _local_model(name: str, provider: str) -> ModelProfile:
    return ModelProfile(
        name=name,
        provider=provider,
        model_id=name,
        scores={"cost": 10.0},
        context_tokens=LOCAL_CONTEXT_TOKENS,
        max_output_tokens=LOCAL_CONTEXT_TOKENS // 2,
        price=Price(input=0.0, output=0.0),
        origin="user",
        source="YMERA_LOCAL_MODELS" if provider == EMBEDDED else "YMERA_LOCAL_BASE_URL",
    )


def load_trial(settings: Settings, catalogue: Catalogue) -> Trial | None:
    """Return the trial of the user's file (YMERA_TRIAL), if there is one.

    Raises:
        CatalogueError: the file is wrong; every fault of it at once.
    """
    if settings.ymera_trial is None:
        return None
    from ..routing.trial_files import read_trial  # pydantic's models cost time, and most have no trial

    return read_trial(settings.ymera_trial, catalogue)


def _fitting(trial: Trial | None, catalogue: Catalogue) -> Trial | None:
    faults = unfit(trial, catalogue) if trial else ()
    for key, what in faults:
        raise InputError(f"The trial is of no use: {key} {what}.")
    return trial


def _experience(settings: Settings) -> Experience:
    learns = settings.ymera_outcome_days > 0
    return Experience(open_calls(settings) if learns else None, tenant=settings.ymera_tenant or "")


def _today() -> date:
    return datetime.now(UTC).date()


class AgentModelMatcher:
    """Choose models for an agent's task.

    `agent_profiles`, `models`, `scorers` and `validators` may be changed: what is added there counts from the next
    match on.

    Args:
        settings: read from the environment where left out.
        catalogue: models, agents and phases; by default the built-in ones and the user's file.
        health: what is known of failing models; by default what the processes on this machine share.
        reader: a decision model of LangChain's that reads tasks instead of ours (nodes/readings.py).
        trial: arms by which runs are planned in turn; by default those of the user's file (YMERA_TRIAL).

    Raises:
        InputError: the settings, the catalogue or the trial are wrong.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        catalogue: Catalogue | None = None,
        health: Health | None = None,
        *,
        reader: BaseDecisionModel | None = None,
        trial: Trial | None = None,
    ) -> None:
        self.settings = settings or load_settings()
        self.health = health or Health(place_of(self.settings, "health"))
        self.experience = _experience(self.settings)
        boldness = self.settings.ymera_exploration
        self._exploration = Exploration(boldness=boldness, random=Random()) if boldness else None
        base = catalogue or load_catalogue(self.settings)
        self._base = base
        self.trials = Trials(_fitting(trial, base) or load_trial(self.settings, base), self.settings)
        self.agent_profiles: dict[str, AgentTaskProfile] = dict(base.agents)
        self.models: dict[str, ModelProfile] = dict(base.models)
        self.scorers: list[WeightedScorer] = [*SCORERS, *installed_scorers()]
        self.validators: dict[str, Validator] = {**VALIDATORS, **installed_validators()}
        self._readings = Readings(reader)
        self._domains = Domains(self.settings)
        self._known: tuple[object, ...] = ()
        self._memo: Memo = {}
        self._unmoved: Memo = {}
        self._measured = self.experience.known
        self._catalogue = base
        load_lexicon()  # files are read here, so that a match on an event loop reads none

    @property
    def catalogue(self) -> Catalogue:
        """The catalogue as it stands now, with everything that was added."""
        self._notice_changes()
        return self._catalogue

    @property
    def wishes(self) -> Wishes:
        """What the settings wish of every strategy."""
        settings = self.settings
        return Wishes(
            strategy=settings.default_strategy if settings.enable_multi_model else "single_model",
            parallel=settings.max_parallel_phases,
            phase_seconds=settings.phase_timeout,
            thrift=settings.ymera_thrift,
            rounds=settings.ymera_rounds,
            strict=settings.ymera_strict,
        )

    def unavailable(self, model: ModelProfile) -> str | None:
        """Return why a model cannot be called on this machine, or None where it can."""
        return why_unavailable(model, self._base.providers[model.provider], self.settings)

    def cooling(self, model: ModelProfile) -> str | None:
        """Return why a model had better be left alone for a while, or None."""
        if self.health.is_calm:
            return None
        provider = self._base.providers[model.provider]
        return self.health.why_avoided(model, mark_of(keys_of(provider, self.settings)))

    def _notice_changes(self) -> None:
        """Forget what earlier matches have found as soon as something was added or changed."""
        known = (tuple(self.models.items()), tuple(self.agent_profiles.items()), tuple(self.scorers))
        if known != self._known:
            self._known, self._memo, self._unmoved = known, {}, {}
            self._catalogue = replace(self._base, agents=dict(self.agent_profiles), models=dict(self.models))
            self.experience.expect(judgement(self._catalogue, tuple(self.scorers), _today()))
        if self.experience.known is not self._measured or len(self._memo) > REMEMBERED:
            self._measured, self._memo = self.experience.known, {}
        if len(self._unmoved) > REMEMBERED:
            self._unmoved = {}

    def strategy(
        self, request: TaskRequest, wishes: Wishes | None = None, today: date | None = None
    ) -> Strategy:
        """Return the strategy for a request.

        Raises:
            InputError: the request is wrong, or the agent unknown where strictness is wished for.
            NoUsableModelError: the model demanded by name cannot be called.
        """
        world = self._world(today)
        plan = strategy_for(request, wishes or self.wishes, world)
        if fault := schema_fault(request.parameters):
            raise InputError(f"The parameter schema cannot be used: {fault}.")
        agent, _ = find_agent(plan["agent_name"], world.catalogue, strict=False)
        unknown = [name for name in agent.checks if name not in self.validators]
        if unknown:
            raise InputError(
                f"The profile of {agent.agent_name} asks for unknown checks: {', '.join(map(repr, unknown))}. "
                f"Known checks: {', '.join(self.validators)}."
            )
        return plan

    def front(self, request: TaskRequest, wishes: Wishes | None = None) -> list[FrontPoint]:
        """Return the plans for a request from the best to the cheapest; errors as for `strategy`."""
        return front(request, wishes or self.wishes, self._world(None))

    def _world(self, today: date | None) -> World:
        return World(
            catalogue=self.catalogue,
            unavailable=self.unavailable,
            cooling=self.cooling,
            today=today or _today(),
            scorers=tuple(self.scorers),
            history=self._measured.history,
            paces=self._measured.paces,
            exploration=self._exploration,
            memo=self._memo,
        )

    async def look(self) -> None:
        """Take in the outcomes that came since, of all processes."""
        self._notice_changes()
        self._domains.look()
        await self.experience.look()

    async def ready(self) -> None:
        """Wait until what past texts tell is learned. A process that answers people need not: see `Domains`."""
        await self._domains.ready()

    async def read(self, request: TaskRequest) -> tuple[TaskRequest, str | None]:
        """Return a request with its domain and what else is read in it elsewhere, and a warning where that failed.

        Raises:
            InputError: the task or its parameters are none.
        """
        request, why = await self._readings.read(request)
        return await self._domains.read(request, self.catalogue), why

    async def choose(self, request: TaskRequest, wishes: Wishes | None = None) -> Strategy:
        """Return what `strategy` does, for callers on an event loop; of a free run, by its arm of the trial.

        Where weights must be looked for on the disk, that happens in a thread.
        """
        await self.look()
        read, why = await self.read(request)
        plan = await self._tried(self.strategy, read, wishes)
        return plan if why is None else {**plan, "warnings": [*plan["warnings"], why]}

    async def unmoved(self, request: TaskRequest, wishes: Wishes | None = None) -> Strategy:
        """Return what `choose` does, as the catalogue alone has it: what was measured moves it from run to run."""
        return await self._tried(self._by_catalogue, request, wishes)

    def _by_catalogue(self, request: TaskRequest, wishes: Wishes) -> Strategy:
        world = replace(self._world(None), history=None, paces={}, exploration=None, memo=self._unmoved)
        return strategy_for(request, wishes, world)

    async def _tried(
        self, plan_by: Callable[[TaskRequest, Wishes], Strategy], request: TaskRequest, wishes: Wishes | None
    ) -> Strategy:
        """Return the strategy by the arm of the trial that a request is in, if it is in one and that can be tried."""
        usual = wishes or replace(self.wishes, free=True)
        await self.health.look()
        await self.trials.look()
        given = self.trials.given(request, usual, self.catalogue)
        try:
            return await self._away(partial(plan_by, request, given))
        except NoUsableModelError as error:
            if given.arm is None or given.model == usual.model:
                raise
            plan = await self._away(partial(plan_by, request, usual))
            untried = f"The {given.arm['reason']} cannot be tried: {error}"
            return {**plan, "warnings": [*plan["warnings"], untried]}

    async def _away(self, match: Callable[[], Strategy]) -> Strategy:
        if self.settings.ymera_downloads and not self.settings.ymera_local_models:
            return match()
        return await asyncio.to_thread(match)

    async def match_agent_to_models(
        self,
        agent_name: str,
        task_description: str,
        task_parameters: Mapping[str, Any] | None = None,
        enable_phases: Sequence[str] | None = None,
    ) -> Strategy:
        """Return the strategy for an agent's task: `strategy_type`, and `phases` with models and reasons.

        Args:
            enable_phases: phases to run; by default those of the agent's profile.

        Raises:
            InputError: as `strategy`.
        """
        request = TaskRequest(
            agent_name=agent_name,
            description=task_description,
            parameters=task_parameters or {},
            phases=enable_phases,
        )
        return await self.choose(request)
