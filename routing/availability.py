"""Who is left alone after failures, for how long, and who may find out whether it is back. The clock is passed in.

A circuit stands for a model, or for all models of its provider, as called with one key. It opens after failures in a
row (`cooldown` in data/faults.toml) or when the provider asks for a wait; once that is over, one call probes it: a
success closes it, a failure opens it for twice as long. With another key it is another circuit: a refused key or a
spent quota says nothing about the next key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil, inf
from typing import Annotated, ClassVar, Final

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from .faults import CooldownProfile, FaultKind, kind_profile
from .records import ModelProfile

LONGEST_ASKED: Final = 3600.0
"""Seconds beyond which no provider's wish to wait is followed, and no probe holds."""

Seconds = Annotated[float, Field(ge=0)]


@dataclass(frozen=True, kw_only=True)
class Cooldown:
    """What is known of a circuit whose last call failed; a circuit that works has none.

    Args:
        kind: of the failure that set `until`; of the last one where none did.
        failures: in a row.
        seconds: length of the last cooldown, where the fault table gave it.
        until: epoch seconds until which it is left alone; 0: it never opened; `inf`: until the key changes.
        probe_until: epoch seconds until which one call finds out for all whether it is back.
    """

    __pydantic_config__: ClassVar = ConfigDict(ser_json_inf_nan="strings")  # JSON itself has no inf

    kind: FaultKind
    failures: Annotated[int, Field(ge=0)] = 0
    seconds: Seconds = 0.0
    until: Seconds = 0.0
    probe_until: Seconds = 0.0

    def is_half_open(self, now: float) -> bool:
        """Say whether it was open and its time is over: the next call is a probe."""
        return 0 < self.until <= now


Cooldowns = Mapping[str, Cooldown]
"""Circuits by name. It is never changed in place."""
Changes = dict[str, Cooldown | None]
"""What becomes of circuits; None: closed."""


def circuits(model: ModelProfile, key_mark: str) -> tuple[str, str]:
    """Return the names of the circuits that a call passes: its provider's, and its model's."""
    return f"{model.provider}@{key_mark}", f"{model.key}@{key_mark}"


def why_avoided(known: Cooldowns, names: tuple[str, str], *, now: float) -> str | None:
    """Return why a call had better not begin, in words for a person; None where it may, as a probe perhaps."""
    provider, model = (known.get(name) for name in names)
    if provider and (why := _why(provider, now, f"{names[0].partition('@')[0]} is ")):
        return why
    return _why(model, now, "") if model else None


def _why(cooldown: Cooldown, now: float, who: str) -> str | None:
    title = kind_profile(cooldown.kind).title
    if cooldown.until == inf:
        return f"{title}; it is tried again when the key changes"
    if now < cooldown.until:
        failures = "a failure" if cooldown.failures == 1 else f"{cooldown.failures} failures"
        return f"{who}cooling down for {_span(cooldown.until - now)} after {failures} ({title})"
    if now < cooldown.probe_until:
        return "another call is finding out whether it is back"
    return None


def _span(seconds: float) -> str:
    return f"{ceil(seconds)} s" if seconds <= 120 else f"{ceil(seconds / 60)} min"


def before_call(known: Cooldowns, names: tuple[str, str], *, now: float, seconds: float) -> Changes | None:
    """Return the circuits that a call which begins now probes; None where it may not begin.

    Args:
        seconds: how long the probe holds, so that one which dies with its process does not block for ever.
    """
    if why_avoided(known, names, now=now):
        return None
    passed = ((name, known.get(name)) for name in names)
    return {name: probing(c, now=now, seconds=seconds) for name, c in passed if c and c.is_half_open(now)}


def after_call(
    known: Cooldowns,
    names: tuple[str, str],
    *,
    kind: FaultKind | None,
    now: float,
    asked: float | None = None,
) -> Changes:
    """Return what a call changes that has ended: a success (`kind` None) closes all that it passed.

    A failure counts for the circuit that its kind concerns, and for every other one that was being probed. A kind
    without a cooldown tells nothing: a probe that ends so is given back.

    Args:
        asked: seconds that the provider asks to wait.
    """
    if kind is None:
        return {name: None for name in names if name in known}
    concerned = _concerned(kind, names)
    changes: Changes = (
        {concerned: after_failure(known.get(concerned), kind, now=now, asked=asked)} if concerned else {}
    )
    for name in names:
        cooldown = known.get(name)
        if cooldown and name != concerned and now < cooldown.probe_until:
            changes[name] = after_failure(cooldown, cooldown.kind, now=now) if concerned else _free(cooldown)
    return changes


def _concerned(kind: FaultKind, names: tuple[str, str]) -> str | None:
    profile = kind_profile(kind).cooldown
    return None if profile is None else names[("provider", "model").index(profile.of)]


def changed(known: Cooldowns, changes: Changes) -> Cooldowns:
    """Return the circuits as they are after changes."""
    return {name: cooldown for name, cooldown in {**known, **changes}.items() if cooldown}


def after_failure(
    old: Cooldown | None, kind: FaultKind, *, now: float, asked: float | None = None
) -> Cooldown | None:
    """Return a circuit after a failure that concerns it. Its deadline never comes nearer.

    A kind without a cooldown changes nothing.
    """
    profile = kind_profile(kind).cooldown
    if profile is None:
        return old
    old = old or Cooldown(kind=kind)
    failures, seconds, until = old.failures + 1, old.seconds, old.until
    if asked is not None and asked > 0:
        until = max(until, now + min(asked, LONGEST_ASKED))
    if failures >= profile.after or old.is_half_open(now):
        seconds = _length(old, profile, now)
        until = max(until, now + seconds)
    holds = until == old.until > 0
    return Cooldown(kind=old.kind if holds else kind, failures=failures, seconds=seconds, until=until)


def _length(old: Cooldown, profile: CooldownProfile, now: float) -> float:
    """Return how long a cooldown takes: twice as long as the last one where its probe failed."""
    again = old.seconds * 2 if old.is_half_open(now) else old.seconds
    return max(profile.seconds, min(again, profile.longest_s))


def probing(old: Cooldown, *, now: float, seconds: float) -> Cooldown:
    """Return a circuit whose probe is taken."""
    return replace(old, probe_until=now + min(seconds, LONGEST_ASKED))


def _free(old: Cooldown) -> Cooldown:
    return replace(old, probe_until=0.0)


_FORMAT: Final = TypeAdapter(Cooldown)


def to_json(cooldown: Cooldown) -> str:
    """Return a cooldown as strict JSON."""
    return _FORMAT.dump_json(cooldown).decode()


def from_json(text: str) -> Cooldown | None:
    """Return the cooldown that a JSON text holds; None for a text of another version, or a damaged one."""
    try:
        return _FORMAT.validate_json(text)
    except ValidationError:
        return None
