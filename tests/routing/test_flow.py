"""Where a run goes next: the rules as tables, and what must hold for every run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ymera.routing import flow
from ymera.routing.records import (
    Attempt,
    Candidate,
    Decision,
    Fault,
    Limits,
    PhasePlan,
    Prediction,
    Reading,
    RunView,
    Strategy,
    Then,
    Usage,
    Verdict,
)

NO_LIMITS = Limits(usd=None, tokens=None, seconds=None, attempts=4)
PHASES = ("planning", "research", "generation", "review", "refinement", "validation")
CRITICAL = {"planning", "generation"}


def candidate(name: str) -> Candidate:
    provider, _, model = name.partition(":")
    return Candidate(model=model, provider=provider, score=0.5, parts={}, reason="")


def planned(phase: str, *names: str) -> PhasePlan:
    ranked = [candidate(name) for name in names]
    return PhasePlan(
        phase=phase,
        critical=phase in CRITICAL,
        skipped_when_accepted=phase == "refinement",
        primary_model=ranked[0] if ranked else None,
        fallback_models=ranked[1:],
        score=0.5,
        reason="",
        rejected=[],
        predicted=None,
    )


def usage(tokens: int = 0, cost: float = 0.0) -> Usage:
    return Usage(
        input_tokens=tokens, output_tokens=0, cached_tokens=0, reasoning_tokens=0, cost_usd=cost, unpriced=0
    )


def attempt(
    phase: str, number: int, name: str, then: Then | None = None, *, at: float = 0.0, seconds: float = 1.0
) -> Attempt:
    """An attempt that answered, or one that failed with what follows from it."""
    provider, _, model = name.partition(":")
    return Attempt(
        id=f"{phase}-{number}",
        phase=phase,
        number=number,
        model=model,
        provider=provider,
        served_model=None,
        ok=then is None,
        fault=Fault(kind="server_error", message="down", then=then) if then else None,
        started_at=at,
        seconds=seconds,
        first_token_seconds=None,
        usage=usage(),
    )


def run(
    *plans: PhasePlan, attempts: list[Attempt] | None = None, limits: Limits = NO_LIMITS, **rest: object
) -> RunView:
    strategy = Strategy(
        strategy_type="multi_model",
        agent_name="coding_agent",
        task_type="code",
        reading=Reading(complexity="normal", speed="normal", creativity="normal", evidence=[]),
        reason="",
        layout=[[plan["phase"]] for plan in plans],
        phases=list(plans),
        predicted=Prediction(seconds=0, input_tokens=0, output_tokens=0, cost_usd=0),
        warnings=[],
        limits=limits,
    )
    view = RunView(plan=strategy, attempts=attempts or [], verdicts={}, usage=usage())
    return RunView(**{**view, **rest})  # type: ignore[typeddict-item]


GENERATION = planned("generation", "a:1", "a:2", "b:1")
REVIEW = planned("review", "a:1", "b:1")


@pytest.mark.parametrize(
    ("view", "phase", "step"),
    [
        pytest.param(run(GENERATION), "planning", "next", id="a phase that is not planned is passed by"),
        pytest.param(
            run(GENERATION, attempts=[attempt("generation", 1, "a:1")]), "generation", "next", id="answered"
        ),
        pytest.param(
            run(GENERATION, attempts=[attempt("generation", 1, "a:1", "next")]),
            "generation",
            "fallback",
            id="failed once",
        ),
        pytest.param(
            run(planned("generation", "a:1"), attempts=[attempt("generation", 1, "a:1", "next")]),
            "generation",
            "failed",
            id="a critical phase without candidates stops the run",
        ),
        pytest.param(
            run(planned("review", "a:1"), attempts=[attempt("review", 1, "a:1", "next")]),
            "review",
            "next",
            id="a phase that is not critical is skipped",
        ),
        pytest.param(
            run(GENERATION, attempts=[attempt("generation", 1, "a:1", "stop")]),
            "generation",
            "failed",
            id="a fault that stops",
        ),
        pytest.param(run(planned("review")), "review", "next", id="no model at all for a review"),
        pytest.param(
            run(
                GENERATION,
                limits=Limits(usd=0.1, tokens=None, seconds=None, attempts=4),
                usage=usage(cost=0.1),
            ),
            "generation",
            "budget",
            id="money is spent",
        ),
        pytest.param(
            run(
                GENERATION,
                limits=Limits(usd=None, tokens=10, seconds=None, attempts=4),
                usage=usage(tokens=10),
            ),
            "generation",
            "budget",
            id="tokens are used",
        ),
    ],
)
def test_the_step_after_a_phase(view: RunView, phase: str, step: flow.Step) -> None:
    assert flow.outcome(view, phase) == step


def test_a_dropped_provider_is_passed_over_in_every_later_phase() -> None:
    view = run(GENERATION, REVIEW, attempts=[attempt("generation", 1, "a:1", "drop_provider")])
    assert flow.next_candidate(view, "generation") == candidate("b:1")
    assert flow.next_candidate(view, "review") == candidate("b:1")


def test_no_more_attempts_are_made_than_the_limit_says() -> None:
    limits = Limits(usd=None, tokens=None, seconds=None, attempts=2)
    made = [attempt("generation", 1, "a:1", "next"), attempt("generation", 2, "a:2", "next")]
    assert flow.next_candidate(run(GENERATION, attempts=made, limits=limits), "generation") is None


def test_phases_side_by_side_go_on_with_the_worst_of_their_steps() -> None:
    view = run(
        planned("research", "a:1"),
        planned("generation", "a:1"),
        attempts=[attempt("research", 1, "a:1"), attempt("generation", 1, "a:1", "next")],
    )
    assert flow.joined(view, ("research", "generation")) == "failed"
    assert flow.joined(view, ("research",)) == "next"


def test_overlapping_attempts_and_pauses_do_not_count_twice_or_at_all() -> None:
    made = [
        attempt("research", 1, "a:1", at=0, seconds=4),
        attempt("generation", 1, "a:1", at=1, seconds=2),
        attempt("review", 1, "a:1", at=100, seconds=3),
    ]
    assert flow.busy_seconds(run(REVIEW, attempts=made)) == 7


def test_refinement_is_passed_by_when_the_review_accepts_and_says_so() -> None:
    verdict = Verdict(decision="accept", findings=[], checks=[])
    view = run(
        GENERATION,
        REVIEW,
        planned("refinement", "a:1"),
        attempts=[attempt("generation", 1, "a:1"), attempt("review", 1, "a:1")],
        verdicts={"review": verdict},
    )
    assert flow.passed_by(view, "refinement")
    assert flow.status(view) == "succeeded"
    assert flow.skip_reason(view, "refinement") == "skipped: the review accepted the result"


def test_when_no_phase_has_an_answer_the_failure_says_so_with_every_cause() -> None:
    view = run(
        planned("generation", "a:1", "b:1"),
        attempts=[attempt("generation", 1, "a:1", "next"), attempt("generation", 2, "b:1", "next")],
    )
    assert flow.status(view) == "failed"
    assert flow.failure(view) == (
        "All phases failed: generation has no candidate left. a:1: server_error: down; b:1: server_error: down"
    )


# --- every run ends --------------------------------------------------------------------------------------

NAMES = st.sampled_from(["a:1", "a:2", "b:1", "b:2", "c:1"])
OUTCOMES = st.sampled_from([None, *get_args(Then)])


@dataclass
class Simulation:
    """A run walked along its steps, as the graph would walk it, with outcomes drawn at random."""

    data: st.DataObject
    plans: list[PhasePlan]
    limits: Limits
    attempts: list[Attempt] = field(default_factory=list)
    spent: int = 0
    verdicts: dict[str, Verdict] = field(default_factory=dict)

    def view(self) -> RunView:
        return run(
            *self.plans,
            attempts=self.attempts,
            limits=self.limits,
            usage=usage(self.spent),
            verdicts=self.verdicts,
        )

    def walk(self) -> flow.Step:
        for plan in self.plans:
            step = self.phase(plan["phase"])
            if step in ("failed", "budget"):
                return step
        return "next"

    def phase(self, phase: str) -> flow.Step:
        while True:
            view = self.view()
            chosen = (
                None
                if flow.passed_by(view, phase) or flow.over_budget(view)
                else flow.next_candidate(view, phase)
            )
            if chosen:
                self.attempt(phase, chosen)
            step = flow.outcome(self.view(), phase)
            if step != "fallback" or chosen is None:
                return step

    def attempt(self, phase: str, chosen: Candidate) -> None:
        then = self.data.draw(OUTCOMES)
        number = len(flow.attempts_of(self.view(), phase)) + 1
        self.attempts.append(attempt(phase, number, f"{chosen['provider']}:{chosen['model']}", then))
        self.spent += 10
        if then is None and phase in ("review", "validation"):
            decision = self.data.draw(st.sampled_from(get_args(Decision)))
            self.verdicts[phase] = Verdict(decision=decision, findings=[], checks=[])


@st.composite
def plans(draw: st.DrawFn) -> list[PhasePlan]:
    chosen = draw(st.lists(st.sampled_from(PHASES), min_size=1, unique=True))
    ordered = [phase for phase in PHASES if phase in chosen]
    return [planned(phase, *draw(st.lists(NAMES, max_size=5, unique=True))) for phase in ordered]


@given(st.data(), plans(), st.integers(1, 5), st.one_of(st.none(), st.integers(1, 200)))
def test_every_run_ends_and_tries_no_model_twice_in_a_phase(
    data: st.DataObject, phases: list[PhasePlan], attempts: int, tokens: int | None
) -> None:
    limits = Limits(usd=None, tokens=tokens, seconds=None, attempts=attempts)
    simulation = Simulation(data=data, plans=phases, limits=limits)
    step = simulation.walk()
    view = simulation.view()
    for plan in phases:
        made = flow.attempts_of(view, plan["phase"])
        assert len(made) <= attempts
        assert len({(a["provider"], a["model"]) for a in made}) == len(made)
    if step == "next":
        assert flow.status(view) in ("succeeded", "no_model")
    if step == "budget":
        assert flow.over_budget(view)
    assert (flow.status(view) == "failed") <= (step in ("failed", "budget"))


@given(st.data(), plans())
def test_the_same_state_always_gives_the_same_step(data: st.DataObject, phases: list[PhasePlan]) -> None:
    simulation = Simulation(data=data, plans=phases, limits=NO_LIMITS)
    simulation.walk()
    for plan in phases:
        assert flow.outcome(simulation.view(), plan["phase"]) == flow.outcome(
            simulation.view(), plan["phase"]
        )


@given(plans(), st.lists(st.tuples(NAMES, st.sampled_from(get_args(Then))), max_size=6))
def test_the_order_in_which_parallel_attempts_are_written_changes_no_step(
    phases: list[PhasePlan], outcomes: list[tuple[str, Then]]
) -> None:
    made = [attempt(p["phase"], n, name, then) for p in phases for n, (name, then) in enumerate(outcomes, 1)]
    forth, back = run(*phases, attempts=made), run(*phases, attempts=made[::-1])
    assert [flow.outcome(forth, p["phase"]) for p in phases] == [
        flow.outcome(back, p["phase"]) for p in phases
    ]
