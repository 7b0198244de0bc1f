"""When a run leaves its order: the rules as tables. That every run ends, the machine of test_router_machine shows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ymera.routing import flow
from ymera.routing.attempts import Attempt, Decision, Detour, RunView, Verdict
from ymera.routing.catalogue import builtin_catalogue
from ymera.routing.detours import Behind, Toll, accepted, detour, rejected, rounds_left, weight
from ymera.routing.records import Candidate, Dial, Limits, PhasePlan, Prediction

from .test_flow import NO_LIMITS, attempt, planned, run, usage

CATALOGUE = builtin_catalogue()
WEAK, STRONG = "groq:llama-3.1-8b-instant", "google:gemini-2.5-pro"
PHASES = ("planning", "generation", "review", "refinement")
ALL = (*PHASES, "validation")


def named(phase: str, **qualities: float) -> PhasePlan:
    """A phase whose models are expected to be so good: its own plan's, and in the order given."""
    keys = {"weak": WEAK, "strong": STRONG, "other": "mistral:codestral-latest"}
    plan = planned(phase, *[keys[name] for name in qualities])
    for candidate, quality in zip(flow.ranking(plan), qualities.values(), strict=True):
        candidate["quality"] = quality
    predicted = Prediction(seconds=10.0, input_tokens=500, output_tokens=100, cost_usd=0.001)
    return PhasePlan({**plan, "predicted": predicted})


@dataclass
class Story:
    """A run as it stands: who made what, what was decided, and what it may take."""

    phases: tuple[str, ...] = PHASES
    rounds: int = 2
    thrift: float = 0.0
    verdicts: dict[str, Decision] = field(default_factory=dict)
    generation: dict[str, float] = field(default_factory=lambda: {"weak": 0.5, "strong": 0.9})
    refinement: dict[str, float] = field(default_factory=lambda: {"weak": 0.5})
    failed: tuple[str, ...] = ()
    detours: list[Detour] = field(default_factory=list)
    limits: dict[str, Any] = field(default_factory=dict)
    spent: float = 0.01

    def behind(self, phase: str, *made: Attempt) -> Behind:
        plans = {"generation": self.generation, "refinement": self.refinement}
        view = run(
            *[named(name, **plans.get(name, {"other": 0.8})) for name in self.phases],
            attempts=list(made),
            limits=Limits({**NO_LIMITS, "rounds": self.rounds, **self.limits}),  # type: ignore[typeddict-item]
            verdicts={name: Verdict(decision=d, findings=[], checks=[]) for name, d in self.verdicts.items()},
            detours=self.detours,
            usage=usage(cost=self.spent),
        )
        view["plan"]["dial"] = Dial(thrift=self.thrift, haste=0.0)
        return Behind(run=view, phase=phase, catalogue=CATALOGUE, failed=self.failed)


MADE = attempt("generation", 1, WEAK)
JUDGED = attempt("review", 1, "mistral:codestral-latest", at=1.0)
MENDED = attempt("refinement", 1, WEAK, at=2.0)
CHECKED = attempt("validation", 1, "mistral:codestral-latest", at=3.0)
SENT_BACK: dict[str, Decision] = {"review": "revise"}


@pytest.mark.parametrize(
    ("story", "phase", "made", "way", "to"),
    [
        pytest.param(
            Story(verdicts=SENT_BACK), "review", (MADE, JUDGED), "escalate", "generation", id="a better model"
        ),
        pytest.param(
            Story(verdicts=SENT_BACK, rounds=0), "review", (MADE, JUDGED), None, "", id="no round is left"
        ),
        pytest.param(
            Story(verdicts=SENT_BACK, generation={"weak": 0.5, "strong": 0.5}),
            "review",
            (MADE, JUDGED),
            None,
            "",
            id="nobody is better: it is mended",
        ),
        pytest.param(
            Story(verdicts=SENT_BACK, refinement={"strong": 0.9}),
            "review",
            (MADE, JUDGED),
            None,
            "",
            id="mending is expected to do as well",
        ),
        pytest.param(
            Story(verdicts=SENT_BACK, generation={"strong": 0.9, "weak": 0.95}),
            "review",
            (MADE, JUDGED),
            "escalate",
            "generation",
            id="whoever has answered is not asked again",
        ),
        pytest.param(
            Story(verdicts={"review": "accept"}),
            "review",
            (MADE, JUDGED),
            None,
            "",
            id="accepted: no escalation",
        ),
        pytest.param(
            Story(failed=("it compiles: no",)),
            "generation",
            (MADE,),
            "escalate",
            "generation",
            id="a check fails",
        ),
        pytest.param(
            Story(failed=("it compiles: no",), generation={"weak": 0.5}),
            "generation",
            (MADE,),
            "mend first",
            "refinement",
            id="a check fails and nobody is better: mended before it is judged",
        ),
        pytest.param(
            Story(failed=("it compiles: no",), generation={"weak": 0.5}, rounds=0),
            "generation",
            (MADE,),
            None,
            "",
            id="without rounds the order stays",
        ),
        pytest.param(
            Story(refinement={"weak": 0.6}),
            "refinement",
            (MADE, JUDGED, MENDED),
            "again",
            "review",
            id="a second review",
        ),
        pytest.param(
            Story(refinement={"weak": 0.99}),
            "refinement",
            (MADE, JUDGED, MENDED),
            None,
            "",
            id="it is good enough",
        ),
        pytest.param(
            Story(refinement={"weak": 0.6}, thrift=1.0, spent=0.00001),
            "refinement",
            (MADE, JUDGED, MENDED),
            None,
            "",
            id="a second review is too dear for a thrifty run",
        ),
        pytest.param(
            Story(phases=ALL, verdicts={"validation": "revise"}, refinement={"weak": 0.6}),
            "validation",
            (MADE, JUDGED, MENDED, CHECKED),
            "again",
            "refinement",
            id="the final check sends it back",
        ),
        pytest.param(
            Story(phases=ALL, verdicts={"review": "accept"}, thrift=0.5),
            "review",
            (MADE, JUDGED),
            None,
            "",
            id="a final check that could send it back is worth what it takes",
        ),
        pytest.param(
            Story(phases=ALL, verdicts={"review": "accept"}, thrift=0.5, rounds=0),
            "review",
            (MADE, JUDGED),
            "enough",
            "",
            id="once accepted is enough for a thrifty run",
        ),
        pytest.param(
            Story(phases=ALL, verdicts={"review": "accept"}),
            "review",
            (MADE, JUDGED),
            None,
            "",
            id="else the final check is made",
        ),
        pytest.param(
            Story(verdicts=SENT_BACK, limits={"usd": 0.0101}),
            "review",
            (MADE, JUDGED),
            None,
            "",
            id="the budget does not carry it",
        ),
        pytest.param(
            Story(verdicts=SENT_BACK, limits={"tokens": 100}),
            "review",
            (MADE, JUDGED),
            None,
            "",
            id="nor do the tokens",
        ),
    ],
)
def test_a_detour_is_taken_where_it_is_worth_what_it_takes(
    story: Story, phase: str, made: tuple[Attempt, ...], way: str | None, to: str
) -> None:
    decided = detour(story.behind(phase, *made))
    assert (decided and decided.detour["way"], decided.detour["to"] if decided else "") == (way, to)


def test_an_escalation_puts_the_better_model_first_and_leaves_out_who_has_answered() -> None:
    behind = Story(verdicts=SENT_BACK).behind("review", MADE, JUDGED)
    decided = detour(behind)
    assert decided
    assert decided.plan
    assert [flow.key_of(c) for c in flow.ranking(decided.plan)] == [STRONG]
    assert decided.plan["reason"].startswith(
        f"review sent it back: {STRONG} is to do better, 0.50 → 0.90 for "
    )
    assert decided.detour["opens"] == {"generation": 1, "review": 1}


def _taken(behind: Behind) -> RunView:
    decided = detour(behind)
    assert decided
    view = RunView({**behind.run, "detours": [*behind.run.get("detours", []), decided.detour]})
    if decided.plan:
        phases = [decided.plan if p["phase"] == decided.plan["phase"] else p for p in view["plan"]["phases"]]
        view["plan"] = {**view["plan"], "phases": phases}
    return view


def test_a_detour_opens_its_phases_and_lies_behind_the_run_with_the_next_attempt() -> None:
    view = _taken(Story(verdicts=SENT_BACK).behind("review", MADE, JUDGED))
    assert flow.outcome(view, "review") == "escalate"
    assert flow.attempts_of(view, "generation") == []
    turn = flow.next_turn(view, "generation")
    assert turn
    assert flow.key_of(turn.candidate) == STRONG
    view["attempts"] = [*view["attempts"], attempt("generation", 2, STRONG, at=5.0)]
    assert flow.detour_behind(view, "review") is None
    assert flow.outcome(view, "review") == "fallback", "the review is made again"


def test_where_nobody_answers_after_an_escalation_the_earlier_answer_stands() -> None:
    view = _taken(Story(verdicts=SENT_BACK).behind("review", MADE, JUDGED))
    view["attempts"] = [*view["attempts"], attempt("generation", 2, STRONG, "next", at=5.0)]
    assert flow.answer_of(view, "generation") == MADE
    assert flow.outcome(view, "generation") == "next"


def test_a_review_that_was_passed_over_says_why_and_is_owed() -> None:
    story = Story(failed=("it compiles: no",), generation={"weak": 0.5}, refinement={"weak": 1.0})
    view = _taken(story.behind("generation", MADE))
    assert flow.outcome(view, "generation") == "mend first"
    reason = flow.skip_reason(view, "review")
    assert reason == "skipped: generation failed its checks (it compiles: no): review could only send it back"
    assert not flow.passed_by(view, "refinement")
    story.failed, story.detours = (), view["detours"]
    decided = detour(story.behind("refinement", MADE, MENDED))
    assert decided
    assert decided.detour["because"] == "review has not judged it yet"


def test_where_a_person_or_nobody_answered_there_is_no_detour() -> None:
    behind = Story(verdicts=SENT_BACK).behind("review", MADE, attempt("review", 1, WEAK, "next"))
    assert detour(behind) is None


@given(st.floats(0.01, 0.99))
def test_a_verdict_moves_what_is_expected_of_an_answer_its_way(quality: float) -> None:
    assert rejected(quality) < quality < accepted(quality)


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 10), st.floats(0, 10))
def test_what_takes_more_weighs_more_and_nothing_weighs_nothing(
    less: float, more: float, usd: float, spent: float
) -> None:
    view = Story(thrift=max(less, more), spent=spent).behind("review", MADE).run
    low, high = sorted((less * usd, more * usd))
    assert weight(Toll(), view) == 0.0
    assert weight(Toll(usd=low), view) <= weight(Toll(usd=high), view)
    view["plan"]["dial"] = Dial(thrift=0.0, haste=0.0)
    assert weight(Toll(usd=high), view) == 0.0


def test_rounds_count_the_ways_back_alone() -> None:
    view = _taken(Story(failed=("no",), generation={"weak": 0.5}).behind("generation", MADE))
    assert rounds_left(view) == 2
    view = _taken(Story(verdicts=SENT_BACK).behind("review", MADE, JUDGED))
    assert rounds_left(view) == 1


def test_plans_of_older_releases_know_no_rounds_and_no_quality() -> None:
    old = Candidate(model="m", provider="p", score=0.7, parts={}, reason="")
    behind = Story(verdicts=SENT_BACK).behind("review", MADE, JUDGED)
    del behind.run["plan"]["limits"]["rounds"]
    del behind.run["plan"]["dial"]
    for plan in behind.run["plan"]["phases"]:
        plan["fallback_models"] = [old]
    assert detour(behind) is None
