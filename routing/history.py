"""What past outcomes say about who does what how well: the prior, moved by evidence, and no further than it carries.

The quality of a model in a place (a domain and a phase) is the sum of what is expected beforehand (the catalogue's
judgement), how the model does everywhere, how hard the place is for everyone, and how this model does in this
place. Each part counts by its outcomes against a number of pseudo-outcomes; that of the last part is read from the
data itself (empirical Bayes), about 60 where they say little: fewer harm (docs/learning.md).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple

MODEL_STRENGTH = 60.0
"""Pseudo-outcomes of the prior against what a model does everywhere."""
PLACE_STRENGTH = 20.0
"""Pseudo-outcomes against a place being harder than it was taken for; everyone's outcomes tell it."""
OWN_STRENGTH = 60.0
"""Pseudo-outcomes against a model being better or worse in one place than elsewhere, before the data say."""
LEAST_STRENGTH, MOST_STRENGTH = 20.0, 60.0
"""Between these the data may put it."""
PAIRED = 0.6
"""Noise of a model against the others where they did the same tasks, as a share of that of one alone."""
MEMORY = 2_000.0
"""Outcomes of a model in a place after which an old one counts a third (1/e)."""
SLACK = 0.1
"""A model may do this much worse than expected without being suspected of having changed."""
ALARM = 8.0
"""Shortfall, summed beyond the slack, that says a model has changed: once in some 30,000 outcomes by chance."""
REFITTED_AFTER = 0.02
"""New outcomes, as a share of all, that make the parts which all outcomes share worth finding anew."""
BOLDNESS = 0.7
"""Share of its uncertainty by which an estimate may be taken for better than it is, where something is tried."""
NINE_OF_TEN = 1.645
"""Standard deviations to both sides of the mean within which nine of ten values lie."""
WIDENED = 1.3
"""What the parts say of their uncertainty together is too little by so much (docs/learning.md, calibration)."""
KEPT_AFTER_ALARM = 0.05
"""Share that older outcomes of a changed model keep."""

_ROUNDS = 3
_TRUST = 200.0


class Place(NamedTuple):
    """Where a model works: the domain (or agent) of a task, and the phase."""

    domain: str
    phase: str


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How one attempt came out.

    Args:
        quality: 0..1; a verdict, a score, or 1 for what passed.
    """

    model: str
    place: Place
    quality: float


class Estimate(NamedTuple):
    """What is expected of a model in a place.

    Args:
        mean: its quality, 0..1, and how unsure that is against other models (a standard deviation).
        outcomes: of the model in that place (since it was last seen to change), and the sum of their qualities.
        prior: what was expected beforehand.
        unsure: how unsure the quality is by itself: how hard the place is counts too.
    """

    mean: float
    deviation: float
    outcomes: float
    total: float = 0.0
    prior: float = 0.0
    unsure: float = 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """Between what the quality lies nine times in ten."""
        reach = NINE_OF_TEN * self.unsure
        return max(self.mean - reach, 0.0), min(self.mean + reach, 1.0)


Prior = Callable[[str, Place], float]
"""The quality (0..1) that a model is given in a place before any outcome."""


def unseen(mean: float) -> Estimate:
    """Return what is expected of a model that has no outcomes anywhere."""
    variance, spread = _variance(mean), 1 / OWN_STRENGTH + 1 / MODEL_STRENGTH
    unsure = WIDENED * math.sqrt(variance * (spread + 1 / PLACE_STRENGTH))
    return Estimate(mean, math.sqrt(variance * spread), 0.0, 0.0, mean, unsure)


def explore(estimates: Mapping[str, Estimate], random: Random, boldness: float = BOLDNESS) -> str:
    """Return a model: the best by estimates that are drawn at random within their uncertainty (Thompson)."""
    drawn = {model: each.mean + tried(each, boldness, random) for model, each in estimates.items()}
    return max(drawn, key=drawn.__getitem__)


def tried(estimate: Estimate, boldness: float, random: Random) -> float:
    """Return by how much a model is taken for better, or worse, than it is expected to be, this once."""
    return boldness * estimate.deviation * random.gauss(0, 1)


@dataclass(slots=True)
class _Tally:
    """Outcomes of one model in one place, old ones faded; and how many there were, with the sum of their qualities."""

    outcomes: float = 0.0
    total: float = 0.0
    seen: float = 0.0
    good: float = 0.0

    def add(self, quality: float) -> None:
        self.outcomes += 1 - self.outcomes / MEMORY
        self.total += quality - self.total / MEMORY
        self.seen += 1
        self.good += quality


@dataclass(slots=True)
class _Watched:
    """How far a model has fallen short, and its outcomes since it began to."""

    shortfall: float = 0.0
    since: dict[Place, _Tally] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class _Fit:
    """The parts of an estimate, as the outcomes so far have them."""

    models: Mapping[str, float] = field(default_factory=dict)
    places: Mapping[Place, float] = field(default_factory=dict)
    strength: float = OWN_STRENGTH


class History:
    """Outcomes so far, and the estimates that follow from them. Not safe for several threads at once.

    Args:
        prior: asked once for every model and place.
    """

    def __init__(self, prior: Prior) -> None:
        self._prior = prior
        self._expected: dict[tuple[str, Place], float] = {}
        self._tallies: dict[str, dict[Place, _Tally]] = {}
        self._watched: dict[str, _Watched] = {}
        self._fit = _Fit()
        self._here: dict[Place, float] = {}
        self._outcomes = 0.0
        self._unfitted = 0.0
        self.changed: list[str] = []

    def add(self, outcome: Outcome) -> None:
        """Take an outcome in; it fades as later ones come, at once where its model is seen to have changed."""
        self._watch(outcome)
        tally = self._tallies.setdefault(outcome.model, {}).setdefault(outcome.place, _Tally())
        tally.add(outcome.quality)
        self._count(outcome.place, 1.0)

    def add_sums(self, model: str, place: Place, *, outcomes: float, total: float) -> None:
        """Take in many outcomes of a model in a place at once: how many, and the sum of their qualities."""
        tally = self._tallies.setdefault(model, {}).setdefault(place, _Tally())
        kept = faded(outcomes)
        tally.outcomes += kept
        tally.total += total * kept / outcomes if outcomes else 0.0
        tally.seen += outcomes
        tally.good += total
        self._count(place, outcomes)

    @property
    def strength(self) -> float:
        """Pseudo-outcomes against a model being better or worse in one place, as the data have it."""
        return self._settled().strength

    def estimate(self, model: str, place: Place) -> Estimate:
        """Return the quality to be expected of a model in a place."""
        fit = self._settled()
        tally = self._tallies.get(model, {}).get(place, _Tally())
        base = self._base(model, place, fit)
        own = (tally.total - tally.outcomes * base) / (tally.outcomes + fit.strength)
        mean = min(max(base + own, 0.0), 1.0)
        everywhere = sum(each.outcomes for each in self._tallies.get(model, {}).values())
        spread = 1 / (tally.outcomes + fit.strength) + 1 / (everywhere + MODEL_STRENGTH)
        variance, prior = _variance(mean), self._of_prior(model, place)
        here = 1 / (self._here.get(place, 0.0) + PLACE_STRENGTH)
        unsure = WIDENED * math.sqrt(variance * (spread + here))
        return Estimate(mean, math.sqrt(variance * spread), tally.seen, tally.good, prior, unsure)

    def settle(self) -> None:
        """Find now what all outcomes share: from here on, who only asks changes nothing."""
        if self._unfitted:
            self._fit, self._unfitted = self._refit(), 0.0

    @property
    def models(self) -> list[str]:
        """The models that have outcomes."""
        return list(self._tallies)

    @property
    def known(self) -> list[tuple[str, Place]]:
        """Every model with every place in which it has outcomes."""
        return [(model, place) for model, tallies in self._tallies.items() for place in tallies]

    def hardness(self, place: Place) -> float:
        """Return by how much everyone is expected to do better (or worse: negative) in a place than beforehand."""
        return self._settled().places.get(place, 0.0)

    def estimates(self, models: Iterable[str], place: Place) -> dict[str, Estimate]:
        """Return the estimates of several models in a place."""
        return {model: self.estimate(model, place) for model in models}

    def _watch(self, outcome: Outcome) -> None:
        """Sum up how far a model falls short (CUSUM); beyond the alarm what was before counts little."""
        watched = self._watched.setdefault(outcome.model, _Watched())
        known = outcome.model in self._tallies
        expected = self.estimate(outcome.model, outcome.place).mean if known else outcome.quality
        watched.shortfall += expected - outcome.quality - SLACK
        if watched.shortfall > ALARM:
            self._judge_anew(outcome.model, watched.since)
        if not 0 < watched.shortfall <= ALARM:
            self._watched[outcome.model] = _Watched()
            return
        since = watched.since.setdefault(outcome.place, _Tally())
        since.add(outcome.quality)

    def _judge_anew(self, model: str, since: Mapping[Place, _Tally]) -> None:
        """Let the outcomes of a changed model from before it began to fall short count little."""
        self.changed.append(model)
        self._unfitted = self._outcomes
        for place, tally in self._tallies[model].items():
            new = since.get(place, _Tally())
            tally.outcomes = new.outcomes + KEPT_AFTER_ALARM * max(tally.outcomes - new.outcomes, 0.0)
            tally.total = new.total + KEPT_AFTER_ALARM * max(tally.total - new.total, 0.0)
            tally.seen, tally.good = new.seen, new.good

    def _count(self, place: Place, outcomes: float) -> None:
        self._here[place] = self._here.get(place, 0.0) + outcomes
        self._outcomes += outcomes
        self._unfitted += outcomes

    def _settled(self) -> _Fit:
        """Return the parts; they are found anew when there is more than a little that they do not know of."""
        if self._unfitted > self._outcomes * REFITTED_AFTER:
            self._fit, self._unfitted = self._refit(), 0.0
        return self._fit

    def _refit(self) -> _Fit:
        """Find what belongs to the models and what to the places, in turns."""
        models: dict[str, float] = dict.fromkeys(self._tallies, 0.0)
        places: dict[Place, float] = {place: 0.0 for tallies in self._tallies.values() for place in tallies}
        for _ in range(_ROUNDS):
            for model, tallies in self._tallies.items():
                excess, outcomes = 0.0, MODEL_STRENGTH
                for place, tally in tallies.items():
                    excess += tally.total - tally.outcomes * (self._of_prior(model, place) + places[place])
                    outcomes += tally.outcomes
                models[model] = excess / outcomes
            places = self._hardness(models)
        fit = _Fit(models=models, places=places)
        return _Fit(models=models, places=places, strength=self._strength(fit))

    def _hardness(self, models: Mapping[str, float]) -> dict[Place, float]:
        sums: dict[Place, list[float]] = {}
        for model, tallies in self._tallies.items():
            for place, tally in tallies.items():
                entry = sums.setdefault(place, [0.0, PLACE_STRENGTH])
                entry[0] += tally.total - tally.outcomes * (self._of_prior(model, place) + models[model])
                entry[1] += tally.outcomes
        return {place: excess / outcomes for place, (excess, outcomes) in sums.items()}

    def _strength(self, fit: _Fit) -> float:
        """Return the pseudo-outcomes that fit how much models differ from place to place (method of moments)."""
        between, outcomes = _TRUST / OWN_STRENGTH, _TRUST
        for model, tallies in self._tallies.items():
            for place, tally in tallies.items():
                base = self._base(model, place, fit)
                variance = _variance(base)
                own = tally.total - tally.outcomes * base
                between += own * own / max(tally.outcomes, 1e-9) / variance - PAIRED
                outcomes += tally.outcomes
        return min(max(outcomes / max(between, 1e-9), LEAST_STRENGTH), MOST_STRENGTH)

    def _base(self, model: str, place: Place, fit: _Fit) -> float:
        base = self._of_prior(model, place) + fit.models.get(model, 0.0) + fit.places.get(place, 0.0)
        return min(max(base, 0.0), 1.0)

    def _of_prior(self, model: str, place: Place) -> float:
        key = model, place
        if key not in self._expected:
            self._expected[key] = self._prior(model, place)
        return self._expected[key]


def faded(outcomes: float) -> float:
    """Return as how many outcomes so many count that came one after the other."""
    return MEMORY * -math.expm1(-outcomes / MEMORY)


def _variance(mean: float) -> float:
    """Return the variance of one outcome, never so small that a few could settle a question."""
    return max(mean * (1 - mean), 0.05)
