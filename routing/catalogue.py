"""The models, agents and phases at hand: looked up by name, and followed to a successor where one retired.

The package's own entries stand in `data/`; a user adds to them with a TOML file (`extend`) or with records
(`Catalogue.with_entries`). A catalogue never changes: both return a new one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cache, cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

from .entries import (
    KINDS,
    Document,
    Kind,
    Record,
    builtin_documents,
    kind_of,
    name_of,
    parse,
    record_of,
)
from .errors import CatalogueError
from .limits import read_whole
from .records import AgentTaskProfile, ModelProfile, PhaseProfile, ProviderProfile
from .references import reference_faults

DEFAULT_AGENT = "default"


@dataclass(frozen=True, kw_only=True)
class Resolution:
    """What a name stands for on a day.

    Args:
        models: the models to use, none of them retired; empty if there is none.
        reason: why they are not the ones that were named, or why there is none; None where neither holds.
        reasons: the same for each stand-in, by its `provider:name`.
        warnings: what is to come for those models.
    """

    name: str
    models: tuple[ModelProfile, ...]
    reason: str | None
    reasons: Mapping[str, str]
    warnings: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Catalogue:
    """Everything that is known, by name: models as `provider:name`, phases in their order."""

    providers: Mapping[str, ProviderProfile]
    models: Mapping[str, ModelProfile]
    agents: Mapping[str, AgentTaskProfile]
    default_agent: AgentTaskProfile
    phases: Mapping[str, PhaseProfile]
    _resolved: dict[tuple[str, date], Resolution] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    _retired: dict[date, Mapping[str, str]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @cached_property
    def in_order(self) -> tuple[ModelProfile, ...]:
        """All models by their keys."""
        return tuple(sorted(self.models.values(), key=lambda model: model.key))

    @cached_property
    def _bearers(self) -> Counter[str]:
        """How many models bear a name."""
        return Counter(model.name for model in self.models.values())

    def retired(self, today: date) -> Mapping[str, str]:
        """Return the keys of the models that are no longer served to why."""
        if today not in self._retired:
            gone = [model.key for model in self.in_order if model.is_retired(today)]
            self._retired[today] = {key: self.resolve(key, today).reason or "it is retired" for key in gone}
        return self._retired[today]

    def named(self, name: str) -> tuple[ModelProfile, ...]:
        """Return the models of a name, retired ones too; empty if there is none.

        The name is `provider:name`, else a bare name (which may stand at several providers), else an alias,
        else the specification's name, the last two in any case.
        """
        if name in self.models:
            return (self.models[name],)
        models = self.models.values()
        word = name.casefold()
        return (
            tuple(m for m in models if m.name == name)
            or tuple(m for m in models if word in (alias.casefold() for alias in m.aliases))
            or tuple(m for m in models if m.spec_name is not None and m.spec_name.casefold() == word)
        )

    def successor_of(self, model: ModelProfile) -> ModelProfile | None:
        """Return the model that takes its place when it retires."""
        if model.successor is None:
            return None
        return self.models.get(f"{model.provider}:{model.successor}") or self.models.get(model.successor)

    def resolve(self, name: str, today: date) -> Resolution:
        """Return the models that a name stands for on a day, each retired one replaced by its successor."""
        if (name, today) not in self._resolved:
            self._resolved[name, today] = self._resolve(name, today)
        return self._resolved[name, today]

    def _resolve(self, name: str, today: date) -> Resolution:
        asked = self.named(name)
        reasons: list[str] = [] if asked else [f"no model is called {name!r}"]
        models: dict[str, ModelProfile] = {}
        by_model: dict[str, str] = {}
        for model in asked:
            current, reason = self._follow(model, today)
            if reason is not None:
                reasons.append(reason)
            if current is not None:
                models.setdefault(current.key, current)
                if reason is not None:
                    by_model.setdefault(current.key, reason)
        notices = [self.notice(model, today) for model in models.values()]
        return Resolution(
            name=name,
            models=tuple(models.values()),
            reason="; ".join(dict.fromkeys(reasons)) or None,
            reasons=by_model,
            warnings=tuple(notice for notice in notices if notice is not None),
        )

    def notice(self, model: ModelProfile, today: date) -> str | None:
        """Say when a usable model retires and what follows; None if that is not announced or far off."""
        if model.is_retired(today):
            return None
        days = (model.retires_on - today).days if model.retires_on else None
        if not model.is_leaving(today):
            return None
        end = "is deprecated" if days is None else f"retires on {model.retires_on} (in {_days(days)})"
        heir = self.successor_of(model)
        then = f"successor {self._label(heir)}" if heir else "no successor"
        return f"{self._label(model)} {end}; {then}"

    def _follow(self, model: ModelProfile, today: date) -> tuple[ModelProfile | None, str | None]:
        """Return the first of the line of successors that is not retired, and why it is not the model."""
        passed: list[ModelProfile] = []
        current: ModelProfile | None = model
        while current is not None and current.is_retired(today) and current not in passed:
            passed.append(current)
            current = self.successor_of(current)
        if not passed:
            return current, None
        told = ", its successor ".join(self._retirement(one) for one in passed)
        if current is None or current in passed:
            return None, f"{told} and has no successor"
        return current, f"{told}; its successor {self._label(current)} takes its place"

    def _retirement(self, model: ModelProfile) -> str:
        end = f"retired on {model.retires_on}" if model.retires_on else "is retired"
        return f"{self._label(model)} {end}"

    def _label(self, model: ModelProfile) -> str:
        """Return the model's name, with its provider where others have the same name."""
        return model.name if self._bearers[model.name] < 2 else model.key

    def with_entries(self, *entries: Record) -> Catalogue:
        """Return the catalogue with records added, each in place of one that has its name already.

        Raises:
            CatalogueError: a record names something unknown, or contradicts another.
        """
        catalogue = assembled(self, entries)
        faults = [f"{kind}.{name}.{key}: {what}" for kind, name, key, what in reference_faults(catalogue)]
        if faults:
            raise CatalogueError(faults)
        return catalogue


def _days(days: int) -> str:
    return f"{days} day" if days == 1 else f"{days} days"


@cache
def builtin_catalogue() -> Catalogue:
    """Return the package's own catalogue, read once."""
    entries = [(kind, table) for doc in builtin_documents() for kind in KINDS for table in doc.listed(kind)]
    return assembled(None, [record_of(kind, table) for kind, table in entries])


def assembled(base: Catalogue | None, records: Iterable[Record]) -> Catalogue:
    """Return records laid over `base` as a catalogue. Without a base, the agent `default` must be given."""
    found: dict[Kind, dict[str, Any]] = {kind: {} for kind in KINDS}  # Any: one type of record a kind
    if base is not None:
        found["providers"] |= base.providers
        found["models"] |= base.models
        found["agents"] |= {**base.agents, DEFAULT_AGENT: base.default_agent}
        found["phases"] |= base.phases
    for record in records:
        found[kind_of(record)][name_of(record)] = record
    default = found["agents"].pop(DEFAULT_AGENT)
    phases = dict(sorted(found["phases"].items(), key=lambda item: item[1].order))
    return Catalogue(
        providers=MappingProxyType(found["providers"]),
        models=MappingProxyType(found["models"]),
        agents=MappingProxyType(found["agents"]),
        default_agent=default,
        phases=MappingProxyType(phases),
    )


def extend(catalogue: Catalogue, source: Path | str) -> Catalogue:
    """Return the catalogue with the entries of a user's TOML file, or of its text, added.

    The file may hold `[[providers]]`, `[[models]]`, `[[agents]]` and `[[phases]]`. An entry whose name is
    known changes the given keys only (tables in it are merged); a new one must be complete. A model's name
    alone will do where it stands at one provider only. The agent `default` is the one for agents without a
    profile.

    Raises:
        CatalogueError: all faults of the file, one a line: `file: key: what is wrong (got …), allowed: …`.
    """
    # pydantic costs 0.2 s to import: only a file that is checked pays for it.
    from .checking import load_checked

    document = _document(source)
    for model in document.listed("models"):
        model.setdefault("origin", "user")
    return load_checked([document], catalogue)


def _document(source: Path | str) -> Document:
    if isinstance(source, str):
        return parse("<text>", source)
    try:
        return parse(str(source), read_whole(source))
    except (OSError, UnicodeDecodeError) as error:
        raise CatalogueError([f"{source}: cannot be read: {error}"]) from None
