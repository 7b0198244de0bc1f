"""Whether a model is tried again after a fault, and when: data/faults.toml with what the situation allows."""

from __future__ import annotations

from dataclasses import dataclass

from .attempts import Retry
from .faults import FaultKind, RetryProfile, kind_profile

JITTER = 0.25
"""Part of a wait that is added at random, so that runs which failed together do not come back together."""


@dataclass(frozen=True, kw_only=True)
class Situation:
    """Where a phase stands when an attempt has failed.

    Args:
        tries: attempts of this model in this phase so far.
        asked: seconds that the provider asks to wait, if it does.
        left: seconds that the phase has left.
        others: another model is left to be tried.
        shrinkable: the request can be made shorter.
        chance: a random number, 0..1.
    """

    tries: int
    asked: float | None = None
    left: float
    others: bool
    shrinkable: bool = False
    chance: float = 0.0


def retry_after_fault(kind: FaultKind, situation: Situation) -> Retry | None:
    """Return how and when the model is tried again, or None where it is not.

    What a provider asks for is waited out, but never beyond the phase's time, and not beyond the kind's
    `longest_wait_s` while another model could be asked at once.
    """
    profile = kind_profile(kind).retry
    if profile is None or situation.tries > profile.times:
        return None
    if profile.again == "compact" and not situation.shrinkable:
        return None
    wait = _wait(profile, situation)
    bound = min(situation.left, profile.longest_wait_s) if situation.others else situation.left
    return Retry(again=profile.again, wait=round(wait, 3)) if wait < bound else None


def _wait(profile: RetryProfile, situation: Situation) -> float:
    own: float = profile.wait_s * 2 ** (situation.tries - 1) * (1 + JITTER * situation.chance)
    return own if situation.asked is None else situation.asked
