"""Whether the entries of a catalogue fit together: each name that one of them uses must be known."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import takewhile
from typing import TYPE_CHECKING, NamedTuple

from .entries import Kind
from .records import AgentTaskProfile, ModelProfile, PhaseProfile

if TYPE_CHECKING:
    from .catalogue import Catalogue


class Fault(NamedTuple):
    """A fault of an entry: which entry, which of its keys, and what is wrong there."""

    kind: Kind
    name: str
    key: str
    what: str


def reference_faults(catalogue: Catalogue) -> Iterator[Fault]:
    """Yield every name that leads nowhere, and every pair of entries that contradict each other."""
    for model in catalogue.models.values():
        for key, what in _of_model(model, catalogue):
            yield Fault("models", model.key, key, what)
    for agent in (*catalogue.agents.values(), catalogue.default_agent):
        for key, what in _of_agent(agent, catalogue):
            yield Fault("agents", agent.agent_name, key, what)
    for phase in catalogue.phases.values():
        for key, what in _of_phase(phase, catalogue):
            yield Fault("phases", phase.name, key, what)


def _of_model(model: ModelProfile, catalogue: Catalogue) -> Iterator[tuple[str, str]]:
    if model.provider not in catalogue.providers:
        yield "provider", f"is unknown (got {model.provider!r}), allowed: {_words(catalogue.providers)}"
    provider = catalogue.providers.get(model.provider)
    if provider and provider.retired_on and model.status != "retired":
        yield (
            "status",
            f"must be 'retired' (got {model.status!r}): {provider.name} ended on {provider.retired_on}",
        )
    if model.max_output_tokens > model.context_tokens:
        yield (
            "max_output_tokens",
            f"is more than the window of {model.context_tokens} (got {model.max_output_tokens})",
        )
    yield from _phase_names("never_for", model.never_for, catalogue)
    yield from _of_successor(model, catalogue)


def _of_successor(model: ModelProfile, catalogue: Catalogue) -> Iterator[tuple[str, str]]:
    if model.successor is None:
        return
    if catalogue.successor_of(model) is None:
        yield (
            "successor",
            f"is unknown (got {model.successor!r}), allowed: a name at {model.provider}, or provider:name",
        )
        return
    chain = [model.key]
    current = catalogue.successor_of(model)
    while current is not None and current.key not in chain:
        chain.append(current.key)
        current = catalogue.successor_of(current)
    if current is not None and current.key == model.key:
        yield "successor", f"leads back to itself: {' -> '.join([*chain, model.key])}"


def _of_agent(agent: AgentTaskProfile, catalogue: Catalogue) -> Iterator[tuple[str, str]]:
    for name in agent.preferred_models:
        if not catalogue.named(name):
            yield (
                "preferred_models",
                f"unknown model (got {name!r}), allowed: a name or provider:name of a model",
            )
    yield from _phase_names("phases_needed", agent.phases_needed, catalogue)
    yield from _phase_names("guidance", agent.guidance, catalogue)
    phases = [catalogue.phases[name] for name in agent.phases_needed if name in catalogue.phases]
    if not any(p.produces and p.critical for p in phases):
        makers = _words(p.name for p in catalogue.phases.values() if p.produces and p.critical)
        yield "phases_needed", f"no phase makes a result (got {list(agent.phases_needed)!r}), add: {makers}"
    for earlier, later in agent.independent:
        both = [catalogue.phases[name] for name in (earlier, later) if name in catalogue.phases]
        yield from _phase_names("independent", (earlier, later), catalogue)
        if len(both) == 2 and both[0].order >= both[1].order:
            yield "independent", f"the earlier phase stands first in a pair (got {[earlier, later]!r})"


def _of_phase(phase: PhaseProfile, catalogue: Catalogue) -> Iterator[tuple[str, str]]:
    yield from _phase_names("reads", phase.reads, catalogue)
    for name in phase.reads:
        if name in catalogue.phases and catalogue.phases[name].order >= phase.order:
            yield "reads", f"may hold earlier phases only (got {name!r})"
    for other in takewhile(lambda other: other is not phase, catalogue.phases.values()):
        if other.order == phase.order:
            yield "order", f"is taken by {other.name} (got {phase.order})"


def _phase_names(key: str, names: Iterable[str], catalogue: Catalogue) -> Iterator[tuple[str, str]]:
    for name in names:
        if name not in catalogue.phases:
            yield key, f"unknown phase (got {name!r}), allowed: {', '.join(catalogue.phases)}"


def _words(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
