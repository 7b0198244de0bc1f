"""Who suits each phase of a run: the models in order, with reasons, and those that may not stand in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf, log10
from statistics import fmean

from .choice import Choice
from .drafts import Draft, PhaseDraft
from .exploration import Rival, first_of
from .history import Estimate
from .layout import Layout
from .outcomes import place_of
from .prediction import NOTHING_SEEN, answer_tokens, predict, shown_too, total, with_safety
from .records import (
    Candidate,
    ModelProfile,
    PhasePlan,
    PhaseProfile,
    Prediction,
    Rejected,
    StrategyType,
)
from .scoring import Case, expected_quality, present, rate, skill_weights
from .world import Place, Scored, World

A_TENFOLD = 0.3
"""What a tenfold of cost, or of time, weighs against quality (0..1) where thrift, or haste, is 1."""
MOST_DRAFTS = 100
"""Runs of one case whose plans are kept, each some 50 KB: callers may wish for any mix of providers."""
LEAST_USD = 1e-6
LEAST_SECONDS = 0.1
"""Less than this a phase does not cost or take, as far as it matters: what is free is no infinite times cheaper."""


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """The models that may stand in a phase, best first with their scores, and those that may not.

    `tried` is the key of one that comes first because little is known of it.
    """

    scored: Scored
    ranked: tuple[Place, ...]
    rejected: tuple[Rejected, ...]
    tried: str = ""


def plans_for(
    kind: StrategyType, choice: Choice, world: World, layout: Layout
) -> tuple[list[PhasePlan], Prediction]:
    """Return the plans of a run's phases, and what they are predicted to take together.

    Each has the models that suit it best, or, with a single model, all have the same order of them.
    """
    if choice.cooling or choice.thrift or choice.haste or world.exploration:
        plans = [_plan(ranking, choice, world) for ranking in _rankings(kind, choice, world)]
        return plans, total([plan["predicted"] for plan in plans], layout, choice.phases)
    drafts = _scored(choice.phases[0], choice, world).drafts
    names = tuple([phase.name for phase in choice.phases])
    key = (kind, names, layout, choice.attempts, choice.demanded, choice.reasons)
    draft = drafts.get(key)
    if draft is None or not draft.holds(choice.task_tokens):
        draft = _draft(_rankings(kind, choice, world), choice, world, layout)
        if draft.holds(choice.task_tokens):
            if len(drafts) >= MOST_DRAFTS:
                drafts.clear()
            drafts[key] = draft
    return draft.filled(choice.task_tokens)


def _draft(rankings: list[Ranking], choice: Choice, world: World, layout: Layout) -> Draft:
    phases = [_phase_draft(ranking, choice, world) for ranking in rankings]
    parts = [phase.first and phase.first[1] for phase in phases]
    return Draft(phases=phases, total=total(parts, layout, choice.phases))


def _phase_draft(ranking: Ranking, choice: Choice, world: World) -> PhaseDraft:
    scored, plan = ranking.scored, _plan(ranking, choice, world)
    rooms = [place.room for place in scored.order if place.model.key in choice.usable and place.room >= 0]
    first = ranking.ranked[0].model if ranking.ranked else None
    return PhaseDraft(
        plan=plan,
        beside=choice.shown(scored.case.phase) - choice.task_tokens,
        room=min(rooms, default=0),
        first=(first, scored.predicted[first.key]) if first else None,
    )


def _rankings(kind: StrategyType, choice: Choice, world: World) -> list[Ranking]:
    rankings = [_ranking(phase, choice, world) for phase in choice.phases]
    if kind == "single_model":
        return _tried_out_together(_together(rankings, choice), choice, world)
    return [_tried_out(ranking, choice, world) for ranking in rankings]


def _together(rankings: list[Ranking], choice: Choice) -> list[Ranking]:
    """Rank the models over all phases together: each phase has that order, less who may not stand in it."""
    scores: dict[str, list[float]] = {}
    for ranking in rankings:
        for place in ranking.ranked:
            scores.setdefault(place.model.key, []).append(place.score)
    # A model that may not stand in every phase comes after those that may; one that is cooling down after both.
    order = {
        key: (key in choice.cooling, -len(given), -sum(given) / len(given), key)
        for key, given in scores.items()
    }
    return [
        replace(ranking, ranked=tuple(sorted(ranking.ranked, key=lambda place: order[place.model.key])))
        for ranking in rankings
    ]


def _ranking(phase: PhaseProfile, choice: Choice, world: World) -> Ranking:
    scored = _scored(phase, choice, world)
    shown = with_safety(choice.shown(phase))
    usable = [place for place in scored.order if place.model.key in choice.usable]
    if choice.thrift or choice.haste:
        usable = _weighed(usable, scored, choice, world)
    if choice.cooling:
        usable.sort(key=lambda place: place.model.key in choice.cooling)
    return Ranking(
        scored=scored,
        ranked=tuple([place for place in usable if place.room >= shown]),
        rejected=tuple([_unfit(place.model, phase, shown) for place in usable if place.room < shown]),
    )


def _weighed(usable: list[Place], scored: Scored, choice: Choice, world: World) -> list[Place]:
    """Return the models in the order of quality less what they take; an unknown price counts as the highest.

    Each tenfold of cost, or of time, over the least of them is held against a model.
    """
    predicted = [_predicted(place.model, scored, choice, world) for place in usable]
    costs = [max(p["cost_usd"], LEAST_USD) for p in predicted if p["cost_usd"] is not None]
    least_usd, most_usd = min(costs, default=LEAST_USD), max(costs, default=LEAST_USD)
    least_seconds = max(min((p["seconds"] for p in predicted), default=LEAST_SECONDS), LEAST_SECONDS)
    weighed = []
    for place, own in zip(usable, predicted, strict=True):
        usd = most_usd if own["cost_usd"] is None else max(own["cost_usd"], LEAST_USD)
        seconds = max(own["seconds"], LEAST_SECONDS)
        given = choice.thrift * log10(usd / least_usd) + choice.haste * log10(seconds / least_seconds)
        weighed.append(place._replace(score=place.score - A_TENFOLD * given))
    weighed.sort(key=lambda place: (-round(place.score, 4), place.model.provider, place.model.name))
    return weighed


def _rival(places: Sequence[Place], rankings: Sequence[Ranking], choice: Choice, world: World) -> Rival:
    """Return a model as one that may come first in the phases of some rankings, by its place in each."""
    with_its = list(zip(places, rankings, strict=True))
    return Rival(
        key=places[0].model.key,
        score=fmean([place.score for place in places]),
        estimates=[expected_quality(place.model, r.scored.case, world.scorers) for place, r in with_its],
        usd=sum([_cost_of(place, r.scored, choice, world) for place, r in with_its]),
    )


def _tried_out(ranking: Ranking, choice: Choice, world: World) -> Ranking:
    """Put one model of a phase first that may be the best, for all that is known."""
    able = [place for place in ranking.ranked if place.model.key not in choice.cooling]
    if world.exploration is None or not able:
        return ranking
    rivals = [_rival([place], [ranking], choice, world) for place in able]
    return _led(ranking, rivals, first_of(rivals, world.exploration))


def _tried_out_together(rankings: list[Ranking], choice: Choice, world: World) -> list[Ranking]:
    """Put one model first in all phases that may be the best for all of them; it must be able to stand in each."""
    places = [{place.model.key: place for place in ranking.ranked} for ranking in rankings]
    able = [
        [own[place.model.key] for own in places]
        for place in rankings[0].ranked
        if place.model.key not in choice.cooling and all(place.model.key in own for own in places)
    ]
    if world.exploration is None or not able:
        return rankings
    rivals = [_rival(own, rankings, choice, world) for own in able]
    first = first_of(rivals, world.exploration)
    return [_led(ranking, rivals, first) for ranking in rankings]


def _led(ranking: Ranking, rivals: Sequence[Rival], first: str) -> Ranking:
    """Return a ranking in which a model comes first, tried out where it usually does not."""
    if first == rivals[0].key:
        return ranking
    leads = [place for place in ranking.ranked if place.model.key == first]
    rest = [place for place in ranking.ranked if place.model.key != first]
    return replace(ranking, ranked=(*leads, *rest), tried=first)


def _cost_of(place: Place, scored: Scored, choice: Choice, world: World) -> float:
    """Return what a model is predicted to cost; what nobody knows is too much."""
    cost = _predicted(place.model, scored, choice, world)["cost_usd"]
    return inf if cost is None else max(cost, LEAST_USD)


def _unfit(model: ModelProfile, phase: PhaseProfile, shown: int) -> Rejected:
    if phase.name in model.never_for:
        return _rejected(model, f"not able to do {phase.name}")
    needed = shown + answer_tokens(phase, model)
    return _rejected(model, f"needs about {needed} tokens, its window has {model.context_tokens}")


def _rejected(model: ModelProfile, reason: str) -> Rejected:
    return Rejected(model=model.name, provider=model.provider, reason=reason)


def _scored(phase: PhaseProfile, choice: Choice, world: World) -> Scored:
    """Score every model of the catalogue for a phase, or take what an earlier match of the same kind has found."""
    reading, agent = choice.reading, choice.agent
    key = (
        phase.name,
        agent.agent_name,
        choice.domain,
        reading["complexity"],
        reading["speed"],
        reading["creativity"],
        world.today,
    )
    if key not in world.memo:
        weights = skill_weights(phase, agent, reading)
        measured, hardness = _measured(phase, choice, world)
        case = Case(
            phase=phase,
            agent=agent,
            reading=reading,
            weights=weights,
            preferred=choice.preferred,
            today=world.today,
            measured=measured,
            hardness=hardness,
        )
        order = [_place(model, case, world) for model in world.catalogue.models.values()]
        order.sort(key=lambda place: (-round(place.score, 4), place.model.provider, place.model.name))
        world.memo[key] = Scored(case=case, order=tuple(order))
    return world.memo[key]


def _measured(phase: PhaseProfile, choice: Choice, world: World) -> tuple[dict[str, Estimate], float]:
    """Return what outcomes say of the models in a phase: of those that have some, and of all others."""
    if world.history is None:
        return {}, 0.0
    where = place_of(choice.domain, phase.name)
    return world.history.estimates(world.history.models, where), world.history.hardness(where)


def _place(model: ModelProfile, case: Case, world: World) -> Place:
    able = case.phase.name not in model.never_for
    room = model.context_tokens - answer_tokens(case.phase, model) if able else -1
    return Place(rate(model, case, world.scorers), model, room)


def _plan(ranking: Ranking, choice: Choice, world: World) -> PhasePlan:
    phase, ranked = ranking.scored.case.phase, ranking.ranked
    kept = [_candidate(model, ranking.scored, choice, world) for model in _kept(ranked, ranking, choice)]
    first = kept[0] if kept else None
    if first:
        dialled = _dialled(ranked, ranking, choice, world)
        told = [*dialled, *_trial(ranking, world), *_passed_over(ranked, choice)]
        first["reason"] = "; ".join([first["reason"], *told])
    return PhasePlan(
        phase=phase.name,
        critical=phase.critical,
        skipped_when_accepted=phase.skipped_when_accepted,
        primary_model=first,
        fallback_models=kept[1:],
        score=first["score"] if first else 0.0,
        reason=first["reason"] if first else "no usable model",
        rejected=[*_outranked(ranking, choice), *ranking.rejected, *choice.rejected],
        predicted=_predicted(ranked[0].model, ranking.scored, choice, world) if ranked else None,
    )


def _kept(ranked: tuple[Place, ...], ranking: Ranking, choice: Choice) -> list[ModelProfile]:
    """Return the models that a plan names: the first ones, and the best to which a cheap one's work may go."""
    kept = [place.model for place in ranked[: choice.attempts]]
    if choice.escalates and len(ranked) > choice.attempts:
        keys = {place.model.key for place in ranked}
        best = next(place.model for place in ranking.scored.order if place.model.key in keys)
        kept += [best] if best not in kept else []
    return kept


def _dialled(ranked: tuple[Place, ...], ranking: Ranking, choice: Choice, world: World) -> list[str]:
    """Say in whose place the first model stands, being cheaper or faster."""
    if not (choice.thrift or choice.haste):
        return []
    keys = {place.model.key for place in ranked}
    best = next(place for place in ranking.scored.order if place.model.key in keys)
    first = ranked[0].model
    if best.model is first:
        return []
    mine, theirs = (_predicted(model, ranking.scored, choice, world) for model in (first, best.model))
    told = [f"{theirs['seconds']:.0f} s → {mine['seconds']:.0f} s"] if choice.haste else []
    if choice.thrift and mine["cost_usd"] is not None and theirs["cost_usd"] is not None:
        told.append(f"{theirs['cost_usd']:.6f} → {mine['cost_usd']:.6f} USD")
    return [f"in place of {best.model.key} ({best.score:.2f}): {', '.join(told) or 'its price is not known'}"]


def _trial(ranking: Ranking, world: World) -> list[str]:
    """Say that the first model is being tried out."""
    ranked = ranking.ranked
    if ranked[0].model.key != ranking.tried:
        return []
    estimate = expected_quality(ranked[0].model, ranking.scored.case, world.scorers)
    low, high = estimate.interval
    return [f"tried out: its quality may lie between {low:.2f} and {high:.2f}"]


def _predicted(model: ModelProfile, scored: Scored, choice: Choice, world: World) -> Prediction:
    case = scored.case
    if model.key not in scored.predicted:
        quality = expected_quality(model, case, world.scorers)
        pace = world.paces.get((model.key, case.phase.name), NOTHING_SEEN)
        scored.predicted[model.key] = predict(case.phase, model, 0, pace, quality)
    return shown_too(scored.predicted[model.key], model, choice.shown(case.phase))


def _passed_over(ranked: tuple[Place, ...], choice: Choice) -> list[str]:
    """Say which models would come first if they were not cooling down."""
    first = ranked[0]
    if first.model.key in choice.cooling:
        return []
    better = [place.model.key for place in ranked if place.score >= first.score and place is not first]
    return [f"in place of {key}, which is {choice.cooling[key]}" for key in better if key in choice.cooling]


def _outranked(ranking: Ranking, choice: Choice) -> list[Rejected]:
    """Return the models that are too many."""
    late = ranking.ranked[choice.attempts :]
    allowed = f"{choice.attempts} models are tried at most"
    return [
        _rejected(
            place.model,
            choice.cooling.get(place.model.key) or f"ranked no. {n} with {place.score:.2f}; {allowed}",
        )
        for n, place in enumerate(late, choice.attempts + 1)
    ]


def _candidate(model: ModelProfile, scored: Scored, choice: Choice, world: World) -> Candidate:
    if model.key not in scored.candidates:
        scored.candidates[model.key] = present(model, scored.case, world.scorers)
    said = scored.candidates[model.key]
    notes = (choice.notes.get(model.key), choice.cooling.get(model.key))
    reason = "; ".join([said["reason"], *[note for note in notes if note]])
    # A copy, and the note apart: neither what a caller does to a plan nor this run's wishes may be remembered.
    return Candidate({**said, "parts": dict(said["parts"]), "reason": reason})
