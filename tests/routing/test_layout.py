"""Which phases follow one another, and which run side by side."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ymera.routing.catalogue import builtin_catalogue
from ymera.routing.layout import Layout, arrange, sequence
from ymera.routing.records import Complexity, Level, PhaseProfile, Reading

BUILTIN = builtin_catalogue()
WRITER = BUILTIN.agents["documentation_agent"]
PHASES = tuple(BUILTIN.phases.values())


def phases(*names: str) -> list[PhaseProfile]:
    return [BUILTIN.phases[name] for name in names]


def reading(complexity: Complexity = "normal", speed: Level = "normal") -> Reading:
    return Reading(complexity=complexity, speed=speed, creativity="normal", evidence=[])


BESIDE: Layout = (("research", "generation"), ("review",))
ALONE: Layout = (("research",), ("generation",), ("review",))


@pytest.mark.parametrize(
    ("read", "parallel", "layout"),
    [
        pytest.param(reading(), 2, BESIDE, id="independent neighbours run side by side"),
        pytest.param(reading(), 1, ALONE, id="not where only one phase may run at a time"),
        pytest.param(reading("high"), 2, ALONE, id="a complex task waits for what is found"),
        pytest.param(reading("high", "high"), 2, BESIDE, id="unless it is urgent"),
        pytest.param(reading("low"), 2, BESIDE, id="a simple task too"),
    ],
)
def test_the_layout_follows_from_profile_reading_and_limit(
    read: Reading, parallel: int, layout: Layout
) -> None:
    assert arrange(phases("research", "generation", "review"), WRITER, read, parallel=parallel)[0] == layout


def test_every_departure_from_the_plain_order_has_its_reason() -> None:
    three = phases("research", "generation", "review")
    assert arrange(three, WRITER, reading(), parallel=2)[1] == [
        "research and generation run side by side: documentation_agent calls them independent"
    ]
    assert arrange(three, WRITER, reading("high"), parallel=2)[1] == [
        "generation waits for research: the task is complex"
    ]
    assert arrange(three, BUILTIN.agents["coding_agent"], reading(), parallel=2)[1] == []


def test_phases_that_are_no_neighbours_do_not_run_side_by_side() -> None:
    apart = replace(WRITER, independent=[("research", "review")])
    assert arrange(phases("research", "generation", "review"), apart, reading(), parallel=2)[0] == ALONE


def test_three_phases_run_side_by_side_only_where_each_pair_is_independent() -> None:
    two_pairs = replace(WRITER, independent=[("research", "generation"), ("generation", "review")])
    all_pairs = replace(two_pairs, independent=[*two_pairs.independent, ("research", "review")])
    three = phases("research", "generation", "review")
    assert arrange(three, two_pairs, reading(), parallel=3)[0] == BESIDE
    assert arrange(three, all_pairs, reading(), parallel=3)[0] == (("research", "generation", "review"),)


PAIRS = st.lists(st.tuples(st.sampled_from(list(BUILTIN.phases)), st.sampled_from(list(BUILTIN.phases))))


@given(
    st.sets(st.sampled_from(list(BUILTIN.phases))), PAIRS, st.integers(1, 8), st.sampled_from(["low", "high"])
)
def test_every_phase_stands_once_in_its_order_and_no_group_is_too_large(
    names: set[str], pairs: list[tuple[str, str]], parallel: int, complexity: Complexity
) -> None:
    chosen = [phase for phase in PHASES if phase.name in names]
    agent = replace(WRITER, independent=pairs)
    layout, _ = arrange(chosen, agent, reading(complexity), parallel=parallel)
    assert [name for group in layout for name in group] == [phase.name for phase in chosen]
    assert all(1 <= len(group) <= parallel for group in layout)
    for group in layout:
        for later, name in enumerate(group):
            assert all({other, name} in [set(pair) for pair in pairs] for other in group[:later])


@given(st.permutations(PHASES))
def test_a_sequence_is_in_the_order_of_the_phases(mixed: list[PhaseProfile]) -> None:
    assert sequence(mixed) == tuple((phase.name,) for phase in PHASES)
