"""What a fork takes over: what another run has paid, and nothing that would keep a model away which it asks for."""

from __future__ import annotations

import pytest

from ymera.nodes.state import NO_USAGE
from ymera.routing import flow
from ymera.routing.forks import by_hand, inherited, own

from .test_flow import attempt, candidate, planned, run

DROPPED = attempt("planning", 1, "a:1", "drop_provider")


@pytest.mark.parametrize(
    ("chosen", "then"),
    [(None, "drop_provider"), ("b:1", "drop_provider"), ("a:2", "next")],
    ids=["no model", "another provider's", "of the provider that was ruled out"],
)
def test_a_model_that_a_fork_asks_for_is_not_ruled_out_by_what_was(chosen: str | None, then: str) -> None:
    (taken,) = inherited([DROPPED], candidate(chosen) if chosen else None)
    assert taken["fault"] is not None
    assert taken["fault"]["then"] == then
    assert DROPPED["fault"] == {**taken["fault"], "then": "drop_provider"}


def test_what_was_inherited_is_not_the_runs_own() -> None:
    mine = attempt("review", 1, "a:1")
    assert own([*inherited([DROPPED], None), mine]) == [mine]


def test_an_output_by_hand_answers_its_phase_and_costs_nothing() -> None:
    view = run(planned("generation", "a:1"), attempts=[by_hand("generation", 2, 1.0, NO_USAGE)])
    answer = flow.answer_of(view, "generation")
    assert answer is not None
    assert (answer["id"], flow.key_of(answer), answer["seconds"]) == ("generation-2", "person:by hand", 0.0)
