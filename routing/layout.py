"""Which phases of a run follow one another, and which run side by side."""

from __future__ import annotations

from collections.abc import Sequence

from .records import AgentTaskProfile, PhaseProfile, Reading

Layout = tuple[tuple[str, ...], ...]
"""Groups of phases in the order in which they run; the phases of a group run side by side."""


def sequence(phases: Sequence[PhaseProfile]) -> Layout:
    """Return the layout in which every phase stands alone."""
    return tuple((phase.name,) for phase in sorted(phases, key=lambda phase: phase.order))


def arrange(
    phases: Sequence[PhaseProfile], agent: AgentTaskProfile, reading: Reading, *, parallel: int
) -> tuple[Layout, list[str]]:
    """Return the layout of a run and the reasons for it.

    Neighbouring phases that the agent's profile calls independent run side by side, unless the task is complex
    (then the later one needs what the earlier one finds) and not urgent.

    Args:
        phases: the phases of the run, in order.
        agent: whose `independent` pairs count.
        reading: how the task was read.
        parallel: phases side by side at most (MAX_PARALLEL_PHASES).
    """
    pairs = {frozenset(pair) for pair in agent.independent}
    thorough = reading["complexity"] == "high" and reading["speed"] == "normal"
    groups: list[list[str]] = []
    reasons = []
    for phase in phases:
        group = groups[-1] if groups else []
        beside = bool(pairs and group) and all(frozenset((other, phase.name)) in pairs for other in group)
        if beside and not thorough and len(group) < parallel:
            group.append(phase.name)
            reasons.append(
                f"{' and '.join(group)} run side by side: {agent.agent_name} calls them independent"
            )
        else:
            groups.append([phase.name])
            if beside and thorough:
                reasons.append(f"{phase.name} waits for {' and '.join(group)}: the task is complex")
    return tuple(tuple(group) for group in groups), reasons
