"""Which domain a task is taken to be of whose caller names none: its agent, or a domain that is read in its text.

An agent's name says enough of its tasks as long as they are alike. Where callers have named domains of its tasks, or
where it has no profile of its own and any agent's tasks may be given to it, the text says more, if it says it clearly.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from .catalogue import Catalogue
from .matcher import TaskRequest, find_agent
from .outcomes import domain_of, named_domain
from .records import InDomain, Strategy

LEAST_TASKS = 8
"""Tasks that a domain must have had before another one is taken for one of it."""
SURE = 0.7
"""How probable a domain must be. Below it what is known of the agent serves as well (docs/learning.md)."""
RARE = ""
"""The domain as which those of too few tasks are learned together: no task is taken for one of them."""


class PastTask(NamedTuple):
    """A task whose domain was not read in its text: its caller named it, or it is the agent's name."""

    agent: str
    domain: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Lessons:
    """What is learned from past tasks.

    Args:
        domains: of each text.
        of_agent: the domains that an agent's tasks were of.
    """

    texts: Sequence[str]
    domains: Sequence[str]
    of_agent: Mapping[str, frozenset[str]]

    @property
    def names(self) -> frozenset[str]:
        """The domains that can be told."""
        return frozenset(self.domains) - {RARE}

    def open_to(self, request: TaskRequest, catalogue: Catalogue) -> frozenset[str]:
        """Return the domains of which a task may be taken to be; none where its caller names one."""
        if named_domain(request.parameters) is not None:
            return frozenset()
        agent = agent_of(request, catalogue)
        return self.of_agent.get(agent, frozenset()) if agent in catalogue.agents else self.names


def lessons(tasks: Iterable[PastTask]) -> Lessons | None:
    """Return what past tasks teach; None where they do not tell two domains apart."""
    every = list(dict.fromkeys(tasks))  # a task that is run again is no other one
    counts = Counter(task.domain for task in every)
    domains = [task.domain if counts[task.domain] >= LEAST_TASKS else RARE for task in every]
    of_agent: dict[str, set[str]] = {}
    for task, domain in zip(every, domains, strict=True):
        of_agent.setdefault(task.agent, set()).add(domain)
    found = Lessons(
        texts=[task.text for task in every],
        domains=domains,
        of_agent={agent: frozenset(names - {RARE}) for agent, names in of_agent.items()},
    )
    return found if len(found.names) > 1 else None


def agent_of(request: TaskRequest, catalogue: Catalogue) -> str:
    """Return the name of the profile, or the name without one, under which an agent's tasks are kept."""
    return find_agent(request.agent_name, catalogue, strict=False)[0].agent_name


def is_readable(among: Collection[str], agent: str) -> bool:
    """Say whether there is a domain besides the agent's name of which its task may be."""
    return any(name != agent for name in among)


def taken_for(shares: Mapping[str, float], among: Collection[str], agent: str) -> InDomain | None:
    """Return the domain that a text is taken to be of; None: the agent's name stands.

    Args:
        shares: how probable each domain is by the text; those that are not open to the agent are left out.
    """
    own = {name: share for name, share in shares.items() if name in among or name in (agent, RARE)}
    best = max(own, key=own.__getitem__, default=agent)
    probability = own.get(best, 0.0) / (sum(own.values()) or 1.0)
    if best in (agent, RARE) or probability < SURE:
        return None
    return InDomain(name=best, probability=round(probability, 3))


def settled(plan: Strategy, parameters: Mapping[str, Any]) -> InDomain:
    """Return the domain of a run that is planned: whatever is planned of it again keeps it."""
    return plan.get("domain") or InDomain(name=domain_of(plan["agent_name"], parameters))
