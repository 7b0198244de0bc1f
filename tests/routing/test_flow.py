"""Where a run goes next: the rules as tables, and what must hold for every run."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ymera.nodes.state import NO_USAGE
from ymera.routing import flow
from ymera.routing.attempts import Attempt, Decision, Fault, Retry, RunView, Then, Usage, Verdict
from ymera.routing.faults import TABLE, FaultKind
from ymera.routing.records import Candidate, Limits, PhasePlan, Prediction, Reading, Strategy
from ymera.routing.retries import Situation, retry_after_fault

NO_LIMITS = Limits(usd=None, tokens=None, seconds=None, attempts=4, phase_seconds=300)
MOST_RETRIES = max(kind.retry.times for kind in TABLE.kinds.values() if kind.retry)
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
    return Usage({**NO_USAGE, "input_tokens": tokens, "cost_usd": cost})


def attempt(
    phase: str,
    number: int,
    name: str,
    then: Then | None = None,
    *,
    at: float = 0.0,
    seconds: float = 1.0,
    retry: Retry | None = None,
    kind: str = "server_error",
) -> Attempt:
    """An attempt that answered, or one that failed with what follows from it."""
    provider, _, model = name.partition(":")
    fault = Fault(kind=kind, message="down", then=then) if then else None
    if fault and retry:
        fault["retry"] = retry
    return Attempt(
        id=f"{phase}-{number}",
        phase=phase,
        number=number,
        model=model,
        provider=provider,
        served_model=None,
        ok=then is None,
        fault=fault,
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
                limits=Limits({**NO_LIMITS, "usd": 0.1}),
                usage=usage(cost=0.1),
            ),
            "generation",
            "budget",
            id="money is spent",
        ),
        pytest.param(
            run(
                GENERATION,
                limits=Limits({**NO_LIMITS, "tokens": 10}),
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
    assert flow.next_turn(view, "generation") == flow.Turn(candidate("b:1"))
    assert flow.next_turn(view, "review") == flow.Turn(candidate("b:1"))


def test_no_more_models_are_tried_than_the_limit_says() -> None:
    limits = Limits({**NO_LIMITS, "attempts": 2})
    made = [attempt("generation", 1, "a:1", "next"), attempt("generation", 2, "a:2", "next")]
    assert flow.next_turn(run(GENERATION, attempts=made, limits=limits), "generation") is None


AGAIN = Retry(again="same", wait=2.0)


@pytest.mark.parametrize(
    ("made", "turn", "step"),
    [
        pytest.param(
            [attempt("generation", 1, "a:1", "next", at=100, retry=AGAIN)],
            flow.Turn(candidate("a:1"), "same", 103.0),
            "retry",
            id="the same model, no sooner than its fault says",
        ),
        pytest.param(
            [attempt("generation", 1, "a:1", "drop_provider", retry=AGAIN)],
            flow.Turn(candidate("a:1"), "same", 3.0),
            "retry",
            id="a provider is ruled out only when its retries have failed too",
        ),
        pytest.param(
            [
                attempt("generation", 1, "a:1", "drop_provider", retry=AGAIN),
                attempt("generation", 2, "a:1", "drop_provider"),
            ],
            flow.Turn(candidate("b:1")),
            "fallback",
            id="and then it is",
        ),
        pytest.param(
            [
                attempt("generation", 1, "a:1", "next", retry=AGAIN),
                attempt("generation", 2, "a:1", "next"),
            ],
            flow.Turn(candidate("a:2")),
            "fallback",
            id="after the retries the next model",
        ),
        pytest.param(
            [attempt("generation", 1, "a:1", "next", seconds=300.0)],
            None,
            "failed",
            id="the phase's time is over",
        ),
    ],
)
def test_whose_turn_it_is_after_a_failure(
    made: list[Attempt], turn: flow.Turn | None, step: flow.Step
) -> None:
    view = run(GENERATION, attempts=made)
    assert flow.next_turn(view, "generation") == turn
    assert flow.outcome(view, "generation") == step


@pytest.mark.parametrize(
    ("then", "second"),
    [("next", "a:2"), ("elsewhere", "b:1"), ("drop_provider", "b:1")],
)
def test_the_fault_says_whether_the_next_model_may_be_of_the_same_provider(then: Then, second: str) -> None:
    view = run(GENERATION, attempts=[attempt("generation", 1, "a:1", then)])
    assert flow.next_turn(view, "generation") == flow.Turn(candidate(second))
    only = run(planned("generation", "a:1", "a:2"), attempts=[attempt("generation", 1, "a:1", then)])
    turn = flow.next_turn(only, "generation")
    assert turn == (None if then == "drop_provider" else flow.Turn(candidate("a:2")))


def test_who_is_avoided_comes_last_but_the_last_one_left_is_never_skipped() -> None:
    names = []
    made: list[Attempt] = []
    while turn := flow.next_turn(run(GENERATION, attempts=made), "generation", {"a:1", "b:1"}):
        names.append(flow.key_of(turn.candidate))
        made.append(attempt("generation", len(made) + 1, names[-1], "next"))
    assert names == ["a:2", "a:1", "b:1"]


@pytest.mark.parametrize(
    ("made", "step", "status"),
    [
        pytest.param([("a:1", "over_budget")], "fallback", "running", id="a cheaper one may fit"),
        pytest.param(
            [("a:1", "over_budget"), ("a:2", "over_budget"), ("b:1", "over_budget")],
            "budget",
            "budget",
            id="none fits",
        ),
        pytest.param(
            [("a:1", "over_budget"), ("a:2", "empty"), ("b:1", "empty")],
            "budget",
            "budget",
            id="who could be paid has failed",
        ),
        pytest.param(
            [("a:1", "empty"), ("a:2", "empty"), ("b:1", "empty")],
            "failed",
            "failed",
            id="no matter of money",
        ),
    ],
)
def test_a_phase_that_cannot_be_paid_ends_the_run_by_its_budget(
    made: list[tuple[str, str]], step: flow.Step, status: flow.Status
) -> None:
    attempts = [attempt("generation", n, name, "next", kind=kind) for n, (name, kind) in enumerate(made, 1)]
    view = run(GENERATION, REVIEW, attempts=attempts)
    assert flow.outcome(view, "generation") == step
    assert flow.status(view) == status
    assert (flow.stopped_by_budget(view) == "down") is (step == "budget")


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
    assert flow.busy_seconds(made) == 7


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


def test_a_later_verdict_does_not_take_back_what_an_earlier_one_has_made_needless() -> None:
    accept = Verdict(decision="accept", findings=[], checks=[])
    revise = Verdict(decision="revise", findings=["late"], checks=[])
    phases = ("generation", "review", "validation")
    view = run(
        GENERATION,
        REVIEW,
        planned("refinement", "a:1"),
        planned("validation", "a:1"),
        attempts=[attempt(phase, 1, "a:1") for phase in phases],
        verdicts={"review": accept, "validation": revise},
    )
    assert flow.passed_by(view, "refinement")
    assert flow.status(view) == "succeeded"


def test_a_failure_names_the_phase_that_has_no_model() -> None:
    view = run(planned("planning", "a:1"), planned("generation"))
    assert flow.status(view) == "no_model"
    assert flow.failure(view) == "All phases failed: no usable model for generation"


def test_an_attempt_has_no_more_time_than_its_phase_and_its_run_have_left() -> None:
    made = [
        attempt("planning", 1, "a:1", seconds=4.0),
        attempt("generation", 1, "a:1", "next", at=10, seconds=3.0),
    ]
    limits = Limits({**NO_LIMITS, "seconds": 10.0})
    view = run(planned("planning", "a:1"), GENERATION, attempts=made, limits=limits)
    assert flow.seconds_left(view, "generation") == 297.0
    assert flow.attempt_seconds(view, "generation") == 3.0


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
KINDS = st.sampled_from(get_args(FaultKind))
CHANCES = st.floats(0, 1)
AVOIDED = st.sets(NAMES)


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
            passed = flow.passed_by(view, phase) or flow.stopped_by_budget(view)
            turn = None if passed else flow.next_turn(view, phase, self.data.draw(AVOIDED))
            if turn:
                self.attempt(phase, turn.candidate)
            step = flow.outcome(self.view(), phase)
            if step not in ("retry", "fallback") or turn is None:
                return step

    def attempt(self, phase: str, chosen: Candidate) -> None:
        then, view = self.data.draw(OUTCOMES), self.view()
        made, name = flow.attempts_of(view, phase), flow.key_of(chosen)
        kind = self.data.draw(KINDS)
        situation = Situation(
            tries=sum(flow.key_of(a) == name for a in made) + 1,
            left=flow.seconds_left(view, phase) - 1.0,
            others=any(flow.key_of(c) != name for c in flow.untried(view, phase)),
            shrinkable=self.data.draw(st.booleans()),
            chance=self.data.draw(CHANCES),
        )
        retry = retry_after_fault(kind, situation) if then else None
        self.attempts.append(attempt(phase, len(made) + 1, name, then, retry=retry, kind=kind))
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
def test_every_run_ends_and_tries_no_model_more_often_than_its_faults_allow(
    data: st.DataObject, phases: list[PhasePlan], attempts: int, tokens: int | None
) -> None:
    limits = Limits({**NO_LIMITS, "tokens": tokens, "attempts": attempts})
    simulation = Simulation(data=data, plans=phases, limits=limits)
    step = simulation.walk()
    view = simulation.view()
    for plan in phases:
        made = flow.attempts_of(view, plan["phase"])
        tries = Counter(flow.key_of(a) for a in made)
        assert len(tries) <= attempts
        assert all(n <= 1 + MOST_RETRIES for n in tries.values())
    if step == "next":
        assert flow.status(view) in ("succeeded", "no_model")
    if step == "budget":
        assert flow.stopped_by_budget(view)
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
