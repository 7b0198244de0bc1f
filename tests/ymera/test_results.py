"""What a caller gets of a run: computed from its state, with the specification's fields."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ymera.nodes.state import NO_USAGE, State, add_usage
from ymera.results import MultiModelResult, PhaseResult, result_of
from ymera.routing.attempts import Attempt, Decision, Fault, Then, Usage, Verdict
from ymera.routing.records import Candidate, Limits, PhasePlan, Prediction, Reading, Strategy

SPECIFIED_PHASE = {
    "phase": "str",
    "model_used": "str",
    "provider_used": "str",
    "success": "bool",
    "result": "Any",
    "execution_time": "float",
    "tokens_used": "int",
    "error": "str | None",
}
SPECIFIED_RUN = {
    "strategy_type": "str",
    "total_phases": "int",
    "successful_phases": "int",
    "phase_results": "list[PhaseResult]",
    "final_result": "Any",
    "total_execution_time": "float",
    "total_tokens_used": "int",
    "total_cost": "float",
    "models_used": "list[str]",
}


@pytest.mark.parametrize(
    ("result", "specified", "ours"),
    [
        pytest.param(
            PhaseResult, SPECIFIED_PHASE, {"reason", "cost", "attempts", "verdict"}, id="of a phase"
        ),
        pytest.param(
            MultiModelResult,
            SPECIFIED_RUN,
            {
                "success",
                "thread_id",
                "run_id",
                "agent_name",
                "error",
                "skipped_phases",
                "cost_known",
                "cost_estimated",
                "stopped_by_budget",
                "plan",
                "cached",
                "waiting",
                "approvals",
                "detours",
                "forked_from",
            },
            id="of a run",
        ),
    ],
)
def test_a_result_has_the_specifications_fields_first_and_ours_after_them(
    result: Any, specified: dict[str, str], ours: set[str]
) -> None:
    found = {each.name: each.type for each in fields(result)}
    assert dict(list(found.items())[: len(specified)]) == specified
    assert set(found) - set(specified) == ours


# --- states ------------------------------------------------------------------------------------------------

CRITICAL = ("planning", "generation")


def candidate(name: str, reason: str = "") -> Candidate:
    provider, _, model = name.partition(":")
    return Candidate(model=model, provider=provider, score=0.5, parts={}, reason=reason or f"{name} is good")


def planned(phase: str, *names: str) -> PhasePlan:
    ranked = [candidate(name) for name in names]
    return PhasePlan(
        phase=phase,
        critical=phase in CRITICAL,
        skipped_when_accepted=phase == "refinement",
        primary_model=ranked[0] if ranked else None,
        fallback_models=ranked[1:],
        score=0.5,
        reason="" if ranked else "no usable model",
        rejected=[{"model": "x", "provider": "x", "reason": "X_API_KEY is not set"}],
        predicted=None,
    )


def attempt(
    phase: str,
    name: str,
    then: Then | None = None,
    *,
    number: int = 1,
    served: str | None = None,
    at: float = 0.0,
) -> Attempt:
    provider, _, model = name.partition(":")
    return Attempt(
        id=f"{phase}-{number}",
        phase=phase,
        number=number,
        model=model,
        provider=provider,
        served_model=served,
        ok=then is None,
        fault=Fault(kind="server_error", message="down", then=then) if then else None,
        started_at=at,
        seconds=1.5,
        first_token_seconds=None,
        usage=Usage({**NO_USAGE, "input_tokens": 10, "output_tokens": 5, "cost_usd": 0.25}),
    )


def state(
    plans: list[PhasePlan],
    attempts: list[Attempt],
    *,
    decision: Decision | None = None,
    final: str = "the result",
    tokens: int | None = None,
) -> State:
    usage = NO_USAGE
    for each in attempts:
        usage = add_usage(usage, each["usage"])
    return State(
        plan=Strategy(
            strategy_type="multi_model",
            agent_name="coding_agent",
            task_type="code",
            reading=Reading(complexity="normal", speed="normal", creativity="normal", evidence=[]),
            reason="",
            layout=[[plan["phase"]] for plan in plans],
            phases=plans,
            predicted=Prediction(seconds=0, input_tokens=0, output_tokens=0, cost_usd=0),
            warnings=[],
            limits=Limits(usd=None, tokens=tokens, seconds=None, attempts=4, phase_seconds=300),
        ),
        attempts=attempts,
        verdicts={"review": Verdict(decision=decision, findings=[], checks=[])} if decision else {},
        phase_outputs={each["phase"]: f"the {each['phase']}" for each in attempts if each["ok"]},
        usage=usage,
        final_result=final if any(a["ok"] and a["phase"] == "generation" for a in attempts) else "",
    )


def result(of: State) -> MultiModelResult:
    return result_of(of, thread_id="thread", seconds=9.0)


PLANNING, GENERATION = planned("planning", "a:1", "b:2"), planned("generation", "a:1", "b:2")
REVIEW, REFINEMENT = planned("review", "a:1"), planned("refinement", "a:1")
FOUR = [PLANNING, GENERATION, REVIEW, REFINEMENT]
MADE = [attempt("planning", "a:1"), attempt("generation", "a:1", at=1)]


@pytest.mark.parametrize(
    ("of", "success", "counts", "skipped", "error"),
    [
        pytest.param(
            state(FOUR, [*MADE, attempt("review", "a:1"), attempt("refinement", "a:1")], decision="revise"),
            True,
            (4, 4),
            {},
            None,
            id="every phase answered",
        ),
        pytest.param(
            state(FOUR, [*MADE, attempt("review", "a:1")], decision="accept"),
            True,
            (3, 3),
            {"refinement": "skipped: the review accepted the result"},
            None,
            id="the review accepted, so nothing was mended",
        ),
        pytest.param(
            state(FOUR, [*MADE, attempt("review", "a:1", "next"), attempt("refinement", "a:1")]),
            True,
            (4, 3),
            {},
            None,
            id="the review failed and was passed over",
        ),
        pytest.param(
            state([PLANNING, GENERATION, planned("review")], MADE),
            True,
            (2, 2),
            {"review": "skipped: no usable model"},
            None,
            id="nobody could review",
        ),
        pytest.param(
            state(
                [PLANNING, GENERATION, REVIEW],
                [
                    attempt("planning", "b:2"),
                    attempt("generation", "a:1", "drop_provider"),
                    attempt("generation", "b:2", number=2),
                ],
            ),
            True,
            (2, 2),
            {"review": "skipped: a was ruled out by server_error: down"},
            None,
            id="the reviewers' provider had been ruled out",
        ),
        pytest.param(
            state(FOUR, [attempt("planning", "a:1", "next"), attempt("planning", "b:2", "next", number=2)]),
            False,
            (1, 0),
            {"generation": "not reached", "review": "not reached", "refinement": "not reached"},
            "All phases failed: planning has no candidate left. a:1: server_error: down; b:2: server_error: down",
            id="the plan failed",
        ),
        pytest.param(
            state(
                [PLANNING, planned("generation", "a:1")],
                [attempt("planning", "a:1", "drop_provider"), attempt("planning", "b:2", number=2)],
            ),
            False,
            (1, 1),
            {"generation": "skipped: a was ruled out by server_error: down"},
            "The run stopped: generation has no candidate left. a was ruled out by server_error: down",
            id="the only makers' provider had been ruled out before",
        ),
        pytest.param(
            state([PLANNING, planned("generation")], []),
            False,
            (0, 0),
            {"planning": "not reached", "generation": "skipped: no usable model"},
            None,
            id="nobody could make the result",
        ),
        pytest.param(
            state(FOUR, MADE, tokens=30),
            False,
            (2, 2),
            {"review": "not reached", "refinement": "not reached"},
            None,
            id="stopped by its budget",
        ),
        pytest.param(
            state([PLANNING, GENERATION], MADE, tokens=30),
            True,
            (2, 2),
            {},
            None,
            id="the last token of the budget",
        ),
        pytest.param(
            state([PLANNING, GENERATION], MADE, final=""),
            False,
            (2, 2),
            {},
            None,
            id="answered without a result",
        ),
    ],
)
def test_success_counts_skips_and_error_follow_from_the_state(
    of: State, success: bool, counts: tuple[int, int], skipped: dict[str, str], error: str | None
) -> None:
    found = result(of)
    assert found.success is success
    assert (found.total_phases, found.successful_phases) == counts
    assert found.skipped_phases == skipped
    if error:
        assert found.error == error
    assert found.success <= (found.error is None and found.final_result is not None)


def test_without_a_usable_model_the_error_names_what_is_missing() -> None:
    found = result(state([planned("generation")], []))
    assert found.error == "All phases failed: no usable model for generation (x: X_API_KEY is not set)"


def test_a_run_stopped_by_its_budget_says_by_which_and_keeps_what_it_has() -> None:
    found = result(state(FOUR, MADE, tokens=30))
    assert found.stopped_by_budget == "30 tokens used, the limit is 30 tokens"
    assert found.final_result == "the result"
    assert result(state(FOUR, MADE)).stopped_by_budget is None


def test_tokens_time_and_cost_count_failed_attempts_too() -> None:
    made = [attempt("generation", "a:1", "next"), attempt("generation", "b:2", number=2, at=2)]
    found = result(state([GENERATION], made))
    assert (found.total_tokens_used, found.total_cost, found.total_execution_time) == (30, 0.5, 9.0)
    [phase] = found.phase_results
    assert (phase.tokens_used, phase.cost, phase.execution_time) == (30, 0.5, 3.0)
    assert phase.attempts == made


def test_the_reason_tells_what_failed_before_and_what_speaks_for_the_model_that_answered() -> None:
    made = [attempt("generation", "a:1", "next"), attempt("generation", "b:2", number=2)]
    [phase] = result(state([GENERATION], made)).phase_results
    assert (phase.model_used, phase.provider_used, phase.success, phase.error) == ("2", "b", True, None)
    assert phase.reason == "fallback no. 1: 1 failed (server_error); b:2 is good"


def test_of_one_name_at_two_providers_the_reason_is_that_of_the_one_that_answered() -> None:
    both = planned("generation", "azure:gpt", "openai:gpt")
    made = [attempt("generation", "azure:gpt", "next"), attempt("generation", "openai:gpt", number=2)]
    [phase] = result(state([both], made)).phase_results
    assert phase.reason.endswith("openai:gpt is good")


def test_a_failed_phase_shows_its_last_attempt_and_why_it_failed() -> None:
    made = [attempt("generation", "a:1", "next"), attempt("generation", "b:2", "next", number=2)]
    [phase] = result(state([GENERATION], made)).phase_results
    assert (phase.model_used, phase.success, phase.result) == ("2", False, None)
    assert phase.error == "server_error: down"


def test_the_models_used_are_those_that_answered_by_the_name_that_was_served() -> None:
    made = [
        attempt("generation", "a:1", "next", at=1),
        attempt("generation", "b:2", number=2, served="2-2026-11-01", at=2),
        attempt("planning", "a:1", at=0),
    ]
    found = result(state([PLANNING, GENERATION], made))
    assert found.models_used == ["1", "2-2026-11-01"]
    assert [phase.model_used for phase in found.phase_results] == ["1", "2-2026-11-01"]


def test_a_cost_that_is_not_known_for_every_attempt_is_marked() -> None:
    unpriced = attempt("generation", "a:1")
    unpriced["usage"] = Usage({**NO_USAGE, "unpriced": 1})
    assert result(state([GENERATION], [unpriced])).cost_known is False
    assert result(state(FOUR, MADE)).cost_known is True


NAMES = st.sampled_from(["a:1", "b:2"])
ATTEMPTS = st.lists(
    st.builds(
        attempt,
        st.sampled_from(["planning", "generation", "review", "refinement"]),
        NAMES,
        st.sampled_from([None, *get_args(Then)]),
        number=st.integers(1, 4),
        served=st.none() | st.text(max_size=5),
        at=st.floats(0, 100),
    ),
    max_size=6,
)


@given(ATTEMPTS, st.sampled_from([None, *get_args(Decision)]), st.text(), st.none() | st.integers(1, 100))
def test_any_state_gives_a_result_that_survives_json(
    attempts: list[Attempt], decision: Decision | None, final: str, tokens: int | None
) -> None:
    found = result(state(FOUR, attempts, decision=decision, final=final, tokens=tokens))
    assert MultiModelResult.from_json(found.to_json()) == found
    assert 0 <= found.successful_phases <= found.total_phases == len(found.phase_results)
    assert found.total_phases + len(found.skipped_phases) == len(FOUR)
    if found.success:
        assert found.final_result
        assert found.error is None
        assert found.stopped_by_budget is None
