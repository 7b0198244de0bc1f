"""How a task, an agent's profile and the models at hand become a strategy with reasons.

`make_strategy` is pure: the same request in the same world gives the same strategy. Whoever calls it gathers
the world (which models may be called today) beforehand.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from difflib import get_close_matches
from typing import Any

from .catalogue import Catalogue, Resolution
from .choice import Choice
from .errors import InputError, NoUsableModelError, UnknownAgentError
from .history import Place, Prior
from .layout import Layout, arrange
from .limits import check_names, check_parameters, check_task, written
from .outcomes import domain_of, named_domain
from .prediction import needed_tokens, task_tokens
from .ranking import plans_for
from .records import (
    AgentTaskProfile,
    Dial,
    InDomain,
    InTrial,
    Limits,
    ModelProfile,
    PhasePlan,
    PhaseProfile,
    Reading,
    Strategy,
    StrategyType,
)
from .scoring import NEUTRAL, Case, WeightedScorer, believe, skill_weights
from .task import PLAIN, read_task
from .world import World


@dataclass(frozen=True, kw_only=True)
class TaskRequest:
    """What is to be done: the agent's name, the task's text, its parameters (JSON), and phases if not all.

    A `reading` that was made elsewhere takes the place of ours, and a `domain` that was settled already that of the
    agent's name.
    """

    agent_name: str
    description: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    phases: Sequence[str] | None = None
    reading: Reading | None = None
    domain: InDomain | None = None


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What the caller wants of the strategy.

    Args:
        strategy: a strategy type, or `auto`.
        model: one model for every phase, by name; nothing else is used.
        providers: providers that may be used; empty: all.
        attempts: models tried in one phase at most (first choice and fallbacks).
        usd, tokens, seconds: where the run stops.
        phase_seconds: how long a phase may take, with all of its attempts.
        rounds: how often the run may go back (routing/detours.py).
        parallel: phases side by side at most.
        thrift, haste: what is given of quality for being cheaper, or faster: 0 (nothing) to 1.
        most_usd, most_seconds, least_quality: what a plan is to keep within, as far as it can be predicted
            (routing/dial.py).
        strict: refuse an agent without a profile.
        layout: the groups of the compiled graph that will run it, where that is given already.
        free: the caller leaves it to us how the run is planned: a trial may give it an arm.
        arm: the arm that these wishes follow.
    """

    strategy: str = "auto"
    model: str | None = None
    providers: tuple[str, ...] = ()
    attempts: int = 4
    usd: float | None = None
    tokens: int | None = None
    seconds: float | None = None
    phase_seconds: float = 300.0
    rounds: int = 0
    parallel: int = 2
    thrift: float = 0.0
    haste: float = 0.0
    most_usd: float | None = None
    most_seconds: float | None = None
    least_quality: float | None = None
    strict: bool = False
    layout: Layout | None = None
    free: bool = False
    arm: InTrial | None = None

    @property
    def aims(self) -> bool:
        """Whether a plan is to keep within something."""
        return any(aim is not None for aim in (self.most_usd, self.most_seconds, self.least_quality))


def make_strategy(request: TaskRequest, wishes: Wishes, world: World) -> Strategy:
    """Choose a strategy, and for every phase its model and fallbacks, each with a reason.

    Raises:
        InputError: the task is empty or longer than any window, or something named in the request is wrong.
        UnknownAgentError: `wishes.strict` and the agent has no profile.
        NoUsableModelError: the model demanded by name cannot be called.
    """
    _check_request(request, wishes, world)
    agent, warnings = find_agent(request.agent_name, world.catalogue, strict=wishes.strict)
    phases = find_phases(request.phases, agent, world.catalogue)
    choice, more = _look_around(request, wishes, world, agent, phases)
    kind, why = _kind_of_strategy(choice, wishes)
    layout, beside = _layout(choice, wishes)
    plans, predicted = plans_for(kind, choice, world, layout)
    more += _notices(plans, world)
    _check_task_fits(plans, choice)
    if wishes.arm:
        beside.append(wishes.arm["reason"])
    read = read_domain(request)
    if read:
        beside.append(f"domain {read['name']!r}, read in the task's text ({read['probability']:.2f} sure)")
    plan = Strategy(
        strategy_type=kind,
        agent_name=agent.agent_name,
        task_type=agent.task_type,
        reading=choice.reading,
        reason="; ".join([why, *beside]),
        layout=[list(group) for group in layout],
        phases=plans,
        predicted=predicted,
        warnings=[*warnings, *more],
        dial=Dial(thrift=wishes.thrift, haste=wishes.haste),
        limits=Limits(
            usd=wishes.usd,
            tokens=wishes.tokens,
            seconds=wishes.seconds,
            attempts=wishes.attempts,
            phase_seconds=wishes.phase_seconds,
            rounds=wishes.rounds,
        ),
    )
    if read:
        plan = {**plan, "domain": read}
    return {**plan, "trial": wishes.arm} if wishes.arm else plan


def read_domain(request: TaskRequest) -> InDomain | None:
    """Return the domain of a task that was read in its text, if it was and its parameters name none."""
    settled = request.domain
    if settled is None or "probability" not in settled or named_domain(request.parameters):
        return None
    return settled


def _check_request(request: TaskRequest, wishes: Wishes, world: World) -> None:
    check_task(request.description)
    check_parameters(request.parameters)
    for what, names in _named(request, wishes):
        check_names(what, names)
    unknown = [name for name in wishes.providers if name not in world.catalogue.providers]
    if unknown:
        known = ", ".join(sorted(world.catalogue.providers))
        raise InputError(f"Unknown provider {', '.join(map(repr, unknown))}. Known providers: {known}.")


def _named(request: TaskRequest, wishes: Wishes) -> Iterator[tuple[str, Sequence[str]]]:
    """Yield what a request names."""
    if request.agent_name:
        yield "agent", [request.agent_name]
    if request.phases is not None and not isinstance(request.phases, str):
        yield "phase", request.phases
    if wishes.model is not None:
        yield "model", [wishes.model]
    yield "provider", wishes.providers


def find_agent(name: str, catalogue: Catalogue, *, strict: bool) -> tuple[AgentTaskProfile, list[str]]:
    """Return the agent's profile (`coding` finds `coding_agent`), or the default one with a warning.

    A profile goes by the name under which it is found, whatever it calls itself.
    """
    for key in (name, f"{name}_agent"):
        if profile := catalogue.agents.get(key):
            return profile if profile.agent_name == key else replace(profile, agent_name=key), []
    if strict:
        raise UnknownAgentError(name, catalogue.agents)
    known = ", ".join(sorted(catalogue.agents))
    warning = f"No profile for agent {name!r}: the default profile is used. Known agents: {known}."
    return replace(catalogue.default_agent, agent_name=name or catalogue.default_agent.agent_name), [warning]


def find_phases(
    wanted: Sequence[str] | None, agent: AgentTaskProfile, catalogue: Catalogue
) -> tuple[PhaseProfile, ...]:
    """Return the phases of a run in their order.

    Raises:
        InputError: a phase is unknown, there is none, or none that produces a result.
    """
    asked = agent.phases_needed if wanted is None else wanted
    if isinstance(asked, str):
        raise InputError(f"The phases are one text, {asked!r}. Give a list: [{asked!r}].")
    names = list(asked)
    known = ", ".join(catalogue.phases)
    unknown = [str(name) for name in names if str(name) not in catalogue.phases]
    if unknown:
        raise InputError(f"Unknown phase {', '.join(map(repr, unknown))}. Known phases: {known}.")
    if not names:
        raise InputError(f"No phase is given. Leave them out for the agent's own, or name some of: {known}.")
    found = {str(name) for name in names}
    phases = tuple(sorted((catalogue.phases[name] for name in found), key=lambda phase: phase.order))
    if not any(phase.produces and phase.critical for phase in phases):
        makers = ", ".join(p.name for p in catalogue.phases.values() if p.produces and p.critical)
        raise InputError(f"The phases {', '.join(p.name for p in phases)} produce no result. Add {makers}.")
    return phases


def _look_around(
    request: TaskRequest,
    wishes: Wishes,
    world: World,
    agent: AgentTaskProfile,
    phases: tuple[PhaseProfile, ...],
) -> tuple[Choice, list[str]]:
    preferred, notes, warnings = _preferences(agent, world.catalogue, world.today)
    demanded = _demanded(wishes, world) if wishes.model else None
    if demanded is not None:
        notes |= demanded.reasons
    models, reasons = world.catalogue.in_order, _reasons(wishes, world, demanded)
    choice = Choice(
        agent=agent,
        reading=request.reading or read_task(request.description, request.parameters),
        phases=phases,
        models=models,
        reasons=reasons,
        preferred=preferred,
        notes=notes,
        demanded=wishes.model,
        cooling={
            model.key: why
            for model, reason in zip(models, reasons, strict=True)
            if reason is None and (why := world.cooling(model))
        },
        domain=domain_of(agent.agent_name, request.parameters, request.domain),
        task_tokens=task_tokens(request.description, written(request.parameters)),
        attempts=wishes.attempts,
        thrift=wishes.thrift,
        haste=wishes.haste,
        escalates=wishes.rounds > 0 and wishes.thrift + wishes.haste > 0,
    )
    return choice, warnings


def _layout(choice: Choice, wishes: Wishes) -> tuple[Layout, list[str]]:
    if wishes.layout is None:
        return arrange(choice.phases, choice.agent, choice.reading, parallel=wishes.parallel)
    there = [name for group in wishes.layout for name in group]
    missing = [phase.name for phase in choice.phases if phase.name not in there]
    if missing:
        raise InputError(f"This graph has no phase {', '.join(missing)}. Its phases: {', '.join(there)}.")
    return wishes.layout, []


def _check_task_fits(plans: Sequence[PhasePlan], choice: Choice) -> None:
    """Refuse a task for which a critical phase finds no window that is wide enough."""
    for plan, phase in zip(plans, choice.phases, strict=True):
        if plan["primary_model"] or not phase.critical:
            continue
        able = [model for model in choice.usable.values() if phase.name not in model.never_for]
        if not able:
            continue
        widest = max(able, key=lambda model: model.context_tokens)
        needed = needed_tokens(phase, widest, choice.shown(phase))
        raise InputError(
            f"The task is too long: {phase.name} needs about {needed} tokens, and the largest window of a "
            f"usable model has {widest.context_tokens} ({widest.key}). Shorten it, or unlock a larger window."
        )


def _preferences(
    agent: AgentTaskProfile, catalogue: Catalogue, today: date
) -> tuple[dict[str, int], dict[str, str], list[str]]:
    """Return model keys to rank, model keys to why they stand there, and warnings about names."""
    ranks: dict[str, int] = {}
    notes: dict[str, str] = {}
    warnings: list[str] = []
    for rank, name in enumerate(agent.preferred_models):
        resolution = catalogue.resolve(name, today)
        if not resolution.models and resolution.reason:
            warnings.append(resolution.reason)
        for model in resolution.models:
            if ranks.setdefault(model.key, rank) == rank and model.key in resolution.reasons:
                notes[model.key] = resolution.reasons[model.key]
    return ranks, notes, warnings


def judgement(catalogue: Catalogue, scorers: Sequence[WeightedScorer], today: date) -> Prior:
    """Return what the catalogue expects of a model in a place before any outcome, whatever the task's words say."""
    cases: dict[Place, Case | None] = {}

    def expected(key: str, place: Place) -> float:
        if place not in cases:
            cases[place] = _case(place, catalogue, today)
        model, case = catalogue.models.get(key), cases[place]
        return NEUTRAL / 10 if model is None or case is None else believe(model, case, scorers)

    return expected


def _case(place: Place, catalogue: Catalogue, today: date) -> Case | None:
    phase = catalogue.phases.get(place.phase)
    if phase is None:
        return None
    agent, _ = find_agent(place.domain, catalogue, strict=False)
    preferred, _, _ = _preferences(agent, catalogue, today)
    weights = skill_weights(phase, agent, PLAIN)
    return Case(phase=phase, agent=agent, reading=PLAIN, weights=weights, preferred=preferred, today=today)


def _notices(plans: Sequence[PhasePlan], world: World) -> list[str]:
    """Return what is to come for the models that the plan puts first."""
    first = [plan["primary_model"] for plan in plans if plan["primary_model"]]
    keys = dict.fromkeys(f"{candidate['provider']}:{candidate['model']}" for candidate in first)
    notices = (world.catalogue.notice(world.catalogue.models[key], world.today) for key in keys)
    return [notice for notice in notices if notice]


def _demanded(wishes: Wishes, world: World) -> Resolution:
    name = wishes.model or ""
    if not world.catalogue.named(name):
        raise InputError(f"Unknown model {name!r}.{_near(name, world.catalogue)} `ymera models` lists all.")
    resolution = world.catalogue.resolve(name, world.today)
    barred = _barred(wishes, world)
    reasons = {m.key: barred.get(m.key) or world.unavailable(m) for m in resolution.models}
    if all(reasons.values()):
        because = "; ".join(f"{key}: {reason}" for key, reason in reasons.items()) or resolution.reason or ""
        raise NoUsableModelError(f"The run asks for {name}, which cannot be used. {because}")
    return resolution


def _near(name: str, catalogue: Catalogue) -> str:
    words = {word for m in catalogue.models.values() for word in (m.name, *m.aliases, m.spec_name or m.name)}
    near = get_close_matches(name, sorted(words))
    return f" Did you mean {' or '.join(map(repr, near))}?" if near else ""


def _reasons(wishes: Wishes, world: World, demanded: Resolution | None) -> tuple[str | None, ...]:
    """Return for every model why it may not be called, or None."""
    barred, models = _barred(wishes, world), world.catalogue.in_order
    reasons = tuple([barred.get(model.key) or world.unavailable(model) or None for model in models])
    if demanded is None:
        return reasons
    others = f"the run asks for {wishes.model}"
    pairs = zip(models, reasons, strict=True)
    return tuple([reason or (None if model in demanded.models else others) for model, reason in pairs])


def _barred(wishes: Wishes, world: World) -> Mapping[str, str]:
    """Return the keys of the models that the day or the wishes rule out to why."""
    retired = world.catalogue.retired(world.today)
    if not wishes.providers and wishes.usd is None:
        return retired
    unwished = {model.key: why for model in world.catalogue.in_order if (why := _unwished(model, wishes))}
    return {**unwished, **retired}


def _unwished(model: ModelProfile, wishes: Wishes) -> str | None:
    if wishes.providers and model.provider not in wishes.providers:
        return f"the run allows only {', '.join(wishes.providers)}"
    if wishes.usd is not None and model.price is None:
        return "its price is not known, and the run has a limit in USD"
    return None


def _kind_of_strategy(choice: Choice, wishes: Wishes) -> tuple[StrategyType, str]:
    agent, reading = choice.agent, choice.reading
    if wishes.model:
        return "single_model", f"the run asks for {wishes.model}"
    if wishes.strategy == "single_model":
        return "single_model", "single_model was asked for"
    if not agent.can_use_multiple_models:
        return "single_model", f"{agent.agent_name} uses one model only"
    if wishes.strategy == "multi_model":
        return "multi_model", "multi_model was asked for"
    if len(choice.phases) == 1:
        return "single_model", "there is only one phase"
    if reading["complexity"] == "low":
        return "single_model", "the task is simple: one model does all phases"
    return "multi_model", f"{len(choice.phases)} phases of a task of {reading['complexity']} complexity"
