"""What there is today, and what matches have found of it so far."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import NamedTuple

from .catalogue import Catalogue
from .drafts import Draft
from .exploration import Exploration
from .history import History
from .paces import Pace
from .records import Candidate, ModelProfile, Prediction
from .scoring import SCORERS, Case, WeightedScorer


class Place(NamedTuple):
    """A model with its score for a phase, and the tokens that it may be shown there; negative: it may not stand."""

    score: float
    model: ModelProfile
    room: int


@dataclass(frozen=True, kw_only=True)
class Scored:
    """All models in the order of their scores for one kind of case, and what was already put into words.

    `drafts` are those of whole runs that begin with the phase, by what else their plans hang on.
    """

    case: Case
    order: tuple[Place, ...]
    candidates: dict[str, Candidate] = field(default_factory=dict)
    predicted: dict[str, Prediction] = field(default_factory=dict)
    drafts: dict[tuple[object, ...], Draft] = field(default_factory=dict)


Memo = dict[tuple[object, ...], Scored]
"""Scores by phase, agent, reading and day: they do not depend on the task's words. Worth 1.5 ms a match."""


@dataclass(frozen=True, kw_only=True)
class World:
    """What there is today: the catalogue, why a model may not be called (None: it may), and why it had better not be.

    `history` holds the outcomes so far, over the catalogue's judgement; `paces`, by model and phase, how long answers
    were and took. With an `exploration`, models about which little is known are tried out now and then.

    A `memo` may be shared by worlds with the same catalogue, scorers, history and paces.
    """

    catalogue: Catalogue
    unavailable: Callable[[ModelProfile], str | None]
    today: date
    cooling: Callable[[ModelProfile], str | None] = lambda model: None
    scorers: tuple[WeightedScorer, ...] = SCORERS
    history: History | None = None
    paces: Mapping[tuple[str, str], Pace] = field(default_factory=dict)
    exploration: Exploration | None = None
    memo: Memo = field(default_factory=dict, repr=False, compare=False)
