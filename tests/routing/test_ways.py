"""Where the ways out of a layout's order lead, and what must hold of them in every layout."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ymera.routing.attempts import Way
from ymera.routing.catalogue import builtin_catalogue
from ymera.routing.layout import Layout
from ymera.routing.ways import BACK, place_of, ways

PROFILES = builtin_catalogue().phases
NAMES = tuple(PROFILES)
CODING: Layout = (("planning",), ("generation",), ("review",), ("refinement",))
ALL: Layout = tuple((name,) for name in NAMES)


@pytest.mark.parametrize(
    ("layout", "phase", "there"),
    [
        pytest.param(CODING, "planning", {}, id="nothing is judged or made behind the planning"),
        pytest.param(
            CODING,
            "generation",
            {"escalate": "generation", "mend first": "refinement"},
            id="a maker turns round",
        ),
        pytest.param(CODING, "review", {"escalate": "generation"}, id="a review has its mender before it"),
        pytest.param(
            CODING,
            "refinement",
            {"escalate": "refinement", "again": "review"},
            id="what is mended last goes back to its judge",
        ),
        pytest.param(
            ALL,
            "review",
            {"escalate": "generation", "enough": ""},
            id="a review before the final check is enough",
        ),
        pytest.param(
            ALL,
            "refinement",
            {"escalate": "refinement"},
            id="what is mended is judged by the final check anyhow",
        ),
        pytest.param(
            ALL,
            "validation",
            {"escalate": "refinement", "again": "refinement"},
            id="the final check sends back to be mended",
        ),
        pytest.param(
            (("planning",), ("generation",), ("validation",)),
            "validation",
            {"escalate": "generation"},
            id="without a mender there is only a better model",
        ),
        pytest.param(
            (("research", "generation"), ("review",)),
            "generation",
            {"escalate": "generation"},
            id="a maker beside another phase",
        ),
        pytest.param((("review",), ("generation",)), "review", {}, id="nothing was made yet"),
    ],
)
def test_the_ways_behind_a_phase(layout: Layout, phase: str, there: dict[Way, str]) -> None:
    place = place_of(layout, phase)
    assert place is not None
    assert ways(layout, PROFILES, place) == there


def test_phases_that_the_catalogue_no_longer_has_are_no_part_of_any_way() -> None:
    left = {name: profile for name, profile in PROFILES.items() if name not in ("review", "refinement")}
    assert [ways(CODING, left, i) for i in range(4)] == [{}, {"escalate": "generation"}, {}, {}]


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    """Some phases in any order, some of them side by side."""
    groups: list[tuple[str, ...]] = []
    for phase in draw(st.permutations(NAMES))[: draw(st.integers(1, len(NAMES)))]:
        beside = bool(groups) and draw(st.booleans())
        groups = [*groups[:-1], (*groups[-1], phase)] if beside else [*groups, (phase,)]
    return tuple(groups)


@given(layouts())
def test_every_way_leads_to_a_phase_of_the_layout_back_or_on_as_its_name_says(layout: Layout) -> None:
    for i in range(len(layout)):
        for way, to in ways(layout, PROFILES, i).items():
            place = place_of(layout, to)
            if way == "enough":
                assert to == ""
            elif way in BACK:
                assert place is not None
                assert place <= i
            else:
                assert place is not None
                assert place > i + 1, "there is something to pass over"
