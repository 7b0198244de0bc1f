"""How a strategy is made: who is chosen, why, what is refused, and what must hold for every plan."""

from __future__ import annotations

import random
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ymera.routing.catalogue import Catalogue, builtin_catalogue
from ymera.routing.errors import InputError, NoUsableModelError, UnknownAgentError
from ymera.routing.matcher import TaskRequest, Wishes, find_agent, make_strategy
from ymera.routing.records import (
    AgentTaskProfile,
    Candidate,
    ModelProfile,
    PhasePlan,
    Price,
    Strategy,
    TaskPhase,
)
from ymera.routing.scoring import SCORERS, WeightedScorer
from ymera.routing.world import Memo, World

BUILTIN = builtin_catalogue()
TODAY = date(2026, 11, 24)
TASK = "Create a FastAPI endpoint for user management with sessions, roles and pages"
AGENTS = sorted(BUILTIN.agents)
PHASES = list(BUILTIN.phases)
SKILLS = (
    "speed",
    "quality",
    "code",
    "sql",
    "reasoning",
    "accuracy",
    "creativity",
    "conversation",
    "planning",
)


def only(*providers: str) -> Callable[[ModelProfile], str | None]:
    """Say of the models of other providers that their key is missing."""
    return lambda model: (
        None if model.provider in providers else f"{model.provider.upper()}_API_KEY is not set"
    )


def world(
    unavailable: Callable[[ModelProfile], str | None] = lambda _: None,
    *,
    today: date = TODAY,
    catalogue: Catalogue = BUILTIN,
    scorers: tuple[WeightedScorer, ...] = SCORERS,
    cooling: Callable[[ModelProfile], str | None] = lambda _: None,
) -> World:
    return World(catalogue=catalogue, unavailable=unavailable, today=today, scorers=scorers, cooling=cooling)


def match(
    agent: str = "coding_agent",
    task: str = TASK,
    *,
    where: World | None = None,
    wishes: Wishes | None = None,
    phases: list[str] | None = None,
) -> Strategy:
    request = TaskRequest(agent_name=agent, description=task, phases=phases)
    return make_strategy(request, wishes or Wishes(), where or world())


def plan(strategy: Strategy, phase: str) -> PhasePlan:
    return next(each for each in strategy["phases"] if each["phase"] == phase)


def candidates(phase: PhasePlan) -> list[Candidate]:
    first = phase["primary_model"]
    return [first, *phase["fallback_models"]] if first else []


def primaries(strategy: Strategy) -> dict[str, str | None]:
    return {p["phase"]: p["primary_model"] and p["primary_model"]["model"] for p in strategy["phases"]}


def all_candidates(strategy: Strategy) -> list[Candidate]:
    return [candidate for phase in strategy["phases"] for candidate in candidates(phase)]


def of(candidate: Candidate) -> ModelProfile:
    return BUILTIN.models[f"{candidate['provider']}:{candidate['model']}"]


# --- who does what -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("agent", "phase", "skill", "at_least"),
    [
        pytest.param(
            "coding_agent", "generation", "code", 9.5, id="code is made by a code-specialised model"
        ),
        pytest.param(
            "coding_agent", "refinement", "code", 9.5, id="code is mended by a code-specialised model"
        ),
        pytest.param(
            "analysis_agent", "generation", "reasoning", 9.5, id="an analysis is made by a reasoning model"
        ),
        pytest.param(
            "analysis_agent", "research", "reasoning", 9.5, id="research is done by a reasoning model"
        ),
        pytest.param("web_scraping_agent", "generation", "speed", 9, id="scraping goes to a fast model"),
        pytest.param("coding_agent", "planning", "speed", 9, id="plans come from a fast model"),
        pytest.param("database_agent", "generation", "sql", 9, id="SQL is made by a model that knows SQL"),
        pytest.param("documentation_agent", "generation", "creativity", 9, id="documents come from a writer"),
        pytest.param("coding_agent", "review", "quality", 9.5, id="a review is done by a quality model"),
        pytest.param(
            "database_agent", "validation", "accuracy", 9.5, id="a validation is done by an accurate model"
        ),
    ],
)
def test_with_all_keys_each_phase_goes_to_a_model_that_is_good_at_it(
    agent: str, phase: str, skill: str, at_least: float
) -> None:
    chosen = plan(match(agent), phase)
    assert chosen["primary_model"] is not None
    model = of(chosen["primary_model"])
    assert model.scores[skill] >= at_least
    assert f"{skill} {model.scores[skill]:g}/10" in chosen["reason"]


def test_the_agents_first_preference_makes_its_result_and_the_reason_says_so() -> None:
    chosen = plan(match("coding_agent"), "generation")
    assert chosen["primary_model"] is not None
    assert chosen["primary_model"]["model"] == "codestral-latest"
    assert "preferred by coding_agent (no. 1)" in chosen["reason"]
    assert chosen["reason"] == chosen["primary_model"]["reason"]
    assert chosen["score"] == chosen["primary_model"]["score"]


def test_a_specialist_does_not_review_its_own_work_when_a_better_judge_is_there() -> None:
    named = primaries(match("coding_agent"))
    assert named["review"] != named["generation"]


def test_without_keys_the_smaller_embedded_model_plans_and_the_larger_one_does_the_rest() -> None:
    strategy = match("coding_agent", where=world(only("embedded")))
    assert primaries(strategy) == {
        "planning": "qwen2.5-coder-0.5b",
        "generation": "qwen2.5-coder-1.5b",
        "review": "qwen2.5-coder-1.5b",
        "refinement": "qwen2.5-coder-1.5b",
    }


@pytest.mark.parametrize("agent", AGENTS)
@pytest.mark.parametrize("kind", ["multi_model", "single_model"])
def test_the_smaller_embedded_model_never_judges_or_mends(agent: str, kind: str) -> None:
    strategy = match(agent, where=world(only("embedded")), wishes=Wishes(strategy=kind), phases=PHASES)
    for phase in ("review", "validation", "refinement"):
        assert "qwen2.5-coder-0.5b" not in [c["model"] for c in candidates(plan(strategy, phase))]
        reasons = {r["model"]: r["reason"] for r in plan(strategy, phase)["rejected"]}
        assert reasons["qwen2.5-coder-0.5b"] == f"not able to do {phase}"


@pytest.mark.parametrize("agent", AGENTS)
def test_with_one_key_only_its_models_and_the_embedded_ones_are_candidates(agent: str) -> None:
    strategy = match(agent, where=world(only("groq", "embedded")))
    assert {c["provider"] for c in all_candidates(strategy)} <= {"groq", "embedded"}
    assert {c["provider"] for c in all_candidates(strategy)} >= {"groq"}
    for phase in strategy["phases"]:
        reasons = {f"{r['provider']}:{r['model']}": r["reason"] for r in phase["rejected"]}
        assert reasons["openai:gpt-6-sol"] == "OPENAI_API_KEY is not set"


@pytest.mark.parametrize("agent", AGENTS)
@pytest.mark.parametrize("kind", ["multi_model", "single_model"])
def test_every_phase_of_every_agent_has_a_plan(agent: str, kind: str) -> None:
    strategy = match(agent, wishes=Wishes(strategy=kind))
    needed = sorted(BUILTIN.agents[agent].phases_needed, key=PHASES.index)
    assert [phase["phase"] for phase in strategy["phases"]] == needed
    assert [phase for group in strategy["layout"] for phase in group] == needed
    assert all(len(candidates(phase)) == 4 and phase["predicted"] for phase in strategy["phases"])


@pytest.mark.parametrize("agent", AGENTS)
def test_every_model_is_either_a_candidate_or_rejected_with_a_reason_that_a_person_understands(
    agent: str,
) -> None:
    for phase in match(agent, where=world(only("groq", "embedded")))["phases"]:
        named = [*candidates(phase), *phase["rejected"]]
        assert sorted(f"{each['provider']}:{each['model']}" for each in named) == sorted(BUILTIN.models)
        for each in phase["rejected"]:
            assert re.search(
                r"is not set|retired|ranked no\. \d+ with|not able to do|needs about \d+ tokens",
                each["reason"],
            )


# --- names that retire -------------------------------------------------------------------------------------


def test_a_retired_preference_resolves_to_its_successor_and_the_reason_says_so() -> None:
    chosen = plan(match("web_scraping_agent"), "generation")
    assert chosen["primary_model"] is not None
    assert chosen["primary_model"]["model"] == "openai/gpt-oss-120b"
    assert "llama-3.3-70b-versatile retired on 2026-08-16" in chosen["reason"]
    assert "its successor openai/gpt-oss-120b takes its place" in chosen["reason"]


def test_a_retired_preference_without_a_successor_is_a_warning() -> None:
    assert any("jamba-large-1.7" in w and "no successor" in w for w in match("analysis_agent")["warnings"])


def test_of_a_name_at_two_providers_only_the_retired_ones_successor_carries_the_reason() -> None:
    day = date(2027, 2, 1)  # openai:gpt-4o has retired, azure:gpt-4o has not
    strategy = match("documentation_agent", where=world(today=day), wishes=Wishes(attempts=40))
    reasons = {f"{c['provider']}:{c['model']}": c["reason"] for c in candidates(plan(strategy, "generation"))}
    assert "openai:gpt-4o retired on 2027-01-14" in reasons["openai:gpt-6.1-terra"]
    assert "preferred by documentation_agent" in reasons["azure:gpt-4o"]
    assert "openai:gpt-4o" not in reasons["azure:gpt-4o"]


@pytest.mark.parametrize(
    ("day", "candidate", "successor"),
    [
        pytest.param(date(2026, 11, 30), True, False, id="the day before"),
        pytest.param(date(2026, 12, 1), False, True, id="on the day"),
        pytest.param(date(2026, 12, 2), False, True, id="the day after"),
    ],
)
def test_gemini_2_5_gives_way_to_its_successor_on_the_first_of_december_2026(
    day: date, candidate: bool, successor: bool
) -> None:
    chosen = plan(
        match("analysis_agent", where=world(only("google"), today=day), wishes=Wishes(attempts=9)),
        "generation",
    )
    reasons = {c["model"]: c["reason"] for c in candidates(chosen)}
    assert ("gemini-2.5-pro" in reasons) == candidate
    assert ("gemini-2.5-pro retired on 2026-12-01" in reasons["gemini-3.8-flash"]) == successor
    assert ("gemini-2.5-pro" in {r["model"] for r in chosen["rejected"]}) == (not candidate)


@pytest.mark.parametrize("day", [date(2026, 11, 30), date(2026, 12, 1)])
def test_a_plan_warns_of_a_model_that_it_puts_first_and_that_is_about_to_retire(day: date) -> None:
    warnings = match("analysis_agent", where=world(only("google"), today=day))["warnings"]
    assert any("gemini-2.5-pro retires on 2026-12-01 (in 1 day)" in w for w in warnings) == (day.month == 11)


@given(st.dates(date(2025, 1, 1), date(2030, 12, 31)), st.sampled_from(AGENTS), st.booleans())
@settings(max_examples=60, deadline=None)
def test_on_no_day_is_a_retired_model_a_candidate(day: date, agent: str, single: bool) -> None:
    wishes = Wishes(strategy="single_model" if single else "multi_model", attempts=20)
    for candidate in all_candidates(match(agent, where=world(today=day), wishes=wishes)):
        assert not of(candidate).is_retired(day)


# --- what kind of strategy ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wishes", "task", "kind", "reason"),
    [
        pytest.param(Wishes(), TASK, "multi_model", "4 phases of a task of", id="an everyday task"),
        pytest.param(Wishes(), "Simple function", "single_model", "the task is simple", id="a simple task"),
        pytest.param(
            Wishes(strategy="single_model"), TASK, "single_model", "was asked for", id="asked for one"
        ),
        pytest.param(
            Wishes(strategy="multi_model"),
            "Simple function",
            "multi_model",
            "was asked for",
            id="asked for several",
        ),
        pytest.param(
            Wishes(model="gpt-6-sol"), TASK, "single_model", "the run asks for gpt-6-sol", id="one by name"
        ),
    ],
)
def test_the_kind_of_strategy_and_its_reason(wishes: Wishes, task: str, kind: str, reason: str) -> None:
    strategy = match(task=task, wishes=wishes)
    assert strategy["strategy_type"] == kind
    assert reason in strategy["reason"]


def test_one_phase_needs_one_model() -> None:
    assert match(phases=["generation"])["strategy_type"] == "single_model"


@pytest.mark.parametrize("wish", ["auto", "multi_model"])
def test_an_agent_that_uses_one_model_only_is_obeyed(wish: str) -> None:
    one = replace(BUILTIN.agents["coding_agent"], can_use_multiple_models=False)
    catalogue = replace(BUILTIN, agents={"coding_agent": one})
    strategy = match(where=world(catalogue=catalogue), wishes=Wishes(strategy=wish))
    assert strategy["strategy_type"] == "single_model"
    assert strategy["reason"].startswith("coding_agent uses one model only")


@pytest.mark.parametrize("agent", AGENTS)
@pytest.mark.parametrize("providers", [("embedded",), ("groq", "embedded"), ("google", "mistral"), ()])
def test_a_single_model_is_the_same_in_every_phase_in_which_it_may_stand(
    agent: str, providers: tuple[str, ...]
) -> None:
    where = world(only(*providers)) if providers else world()
    strategy = match(agent, where=where, wishes=Wishes(strategy="single_model"), phases=PHASES)
    assert len(set(primaries(strategy).values())) == 1


# --- a model, a provider, a limit --------------------------------------------------------------------------


def test_a_demanded_model_stands_alone_and_the_others_are_rejected_for_it() -> None:
    strategy = match(wishes=Wishes(model="codestral"))
    assert {c["model"] for c in all_candidates(strategy)} == {"codestral-latest"}
    reasons = {r["reason"] for r in strategy["phases"][0]["rejected"]}
    assert "the run asks for codestral" in reasons


def test_a_demanded_model_that_retired_gives_its_successor_and_the_reason_says_so() -> None:
    strategy = match(wishes=Wishes(model="llama-3.3-70b"))
    for phase in strategy["phases"]:
        assert [c["model"] for c in candidates(phase)] == ["openai/gpt-oss-120b"]
        assert "llama-3.3-70b-versatile retired on 2026-08-16; its successor" in phase["reason"]


def test_a_demanded_name_at_two_providers_allows_both_and_nothing_else() -> None:
    strategy = match(wishes=Wishes(model="gpt-6-sol"))
    assert {(c["provider"], c["model"]) for c in all_candidates(strategy)} == {
        ("azure", "gpt-6-sol"),
        ("openai", "gpt-6-sol"),
    }


@pytest.mark.parametrize(
    ("wishes", "where", "error", "words"),
    [
        pytest.param(
            Wishes(model="codestrall"),
            world(),
            InputError,
            ["'codestrall'", "Did you mean 'codestral'"],
            id="misspelt",
        ),
        pytest.param(
            Wishes(model="%%%"),
            world(),
            InputError,
            ["Unknown model '%%%'. `ymera models`"],
            id="nothing near",
        ),
        pytest.param(
            Wishes(model="codestral"),
            world(only("groq")),
            NoUsableModelError,
            ["codestral", "MISTRAL_API_KEY is not set"],
            id="its key is missing",
        ),
        pytest.param(
            Wishes(model="jamba"),
            world(),
            NoUsableModelError,
            ["jamba", "retired on 2026-08-09"],
            id="gone for good",
        ),
        pytest.param(
            Wishes(model="codestral", providers=("groq",)),
            world(),
            NoUsableModelError,
            ["the run allows only groq"],
            id="its provider is ruled out",
        ),
        pytest.param(
            Wishes(providers=("grok",)),
            world(),
            InputError,
            ["Unknown provider 'grok'", "groq"],
            id="unknown provider",
        ),
    ],
)
def test_a_model_or_provider_that_cannot_be_had_is_one_clear_message(
    wishes: Wishes, where: World, error: type[Exception], words: list[str]
) -> None:
    with pytest.raises(error) as raised:
        match(where=where, wishes=wishes)
    assert all(word in str(raised.value) for word in words)
    assert "\n" not in str(raised.value)


def test_only_the_providers_that_are_wished_for_take_part() -> None:
    strategy = match(wishes=Wishes(providers=("groq", "mistral")))
    assert {c["provider"] for c in all_candidates(strategy)} == {"groq", "mistral"}
    assert "the run allows only groq, mistral" in {r["reason"] for r in strategy["phases"][0]["rejected"]}


def test_with_a_limit_in_usd_a_model_without_a_price_is_rejected() -> None:
    unpriced = [
        model for model in BUILTIN.models.values() if model.price is None and model.status == "active"
    ]
    assert unpriced
    strategy = match(where=world(only("cohere")), wishes=Wishes(usd=0.1, attempts=9))
    for phase in strategy["phases"]:
        reasons = {r["model"]: r["reason"] for r in phase["rejected"]}
        assert reasons["command-a-plus-05-2026"] == "its price is not known, and the run has a limit in USD"
    assert strategy["limits"]["usd"] == 0.1
    free = match(where=world(only("cohere")), wishes=Wishes(attempts=9))
    assert "command-a-plus-05-2026" in {c["model"] for c in all_candidates(free)}


@given(st.integers(1, 40), st.booleans())
@settings(max_examples=25, deadline=None)
def test_no_phase_has_more_candidates_than_attempts(attempts: int, single: bool) -> None:
    strategy = match(wishes=Wishes(attempts=attempts, strategy="single_model" if single else "multi_model"))
    for phase in strategy["phases"]:
        assert 1 <= len(candidates(phase)) <= attempts
        assert len({(c["provider"], c["model"]) for c in candidates(phase)}) == len(candidates(phase))


# --- windows -----------------------------------------------------------------------------------------------


def test_a_long_task_rejects_small_windows_with_the_numbers() -> None:
    strategy = match(task="word " * 20_000, where=world(only("embedded", "groq")))
    reasons = {r["model"]: r["reason"] for r in plan(strategy, "generation")["rejected"]}
    needs = re.fullmatch(r"needs about (\d+) tokens, its window has 8192", reasons["qwen2.5-coder-1.5b"])
    assert needs is not None
    assert int(needs[1]) > 25_000
    assert plan(strategy, "generation")["primary_model"] is not None


@pytest.mark.parametrize(("words", "providers"), [(4_000, ("embedded",)), (2_000_000, ())])
def test_a_task_longer_than_any_window_is_refused_with_the_numbers(
    words: int, providers: tuple[str, ...]
) -> None:
    where = world(only(*providers)) if providers else world()
    with pytest.raises(
        InputError, match=r"The task is too long: \w+ needs about \d+ tokens.*window.*has \d+"
    ):
        match(task="word " * words, where=where)


def test_long_parameters_count_like_a_long_task() -> None:
    request = TaskRequest(
        agent_name="coding_agent", description="Sort it", parameters={"rows": ["x" * 50] * 1000}
    )
    strategy = make_strategy(request, Wishes(), world(only("embedded", "groq")))
    assert {c["provider"] for c in all_candidates(strategy)} == {"groq"}


def test_without_any_usable_model_the_phases_say_so_and_why() -> None:
    strategy = match(where=world(only()))
    for phase in strategy["phases"]:
        assert phase["primary_model"] is None
        assert phase["reason"] == "no usable model"
        assert len(phase["rejected"]) == len(BUILTIN.models)


# --- agents ------------------------------------------------------------------------------------------------


def test_an_unknown_agent_gets_the_default_profile_and_a_warning() -> None:
    strategy = match("gardening_agent")
    assert strategy["agent_name"] == "gardening_agent"
    assert "No profile for agent 'gardening_agent'" in strategy["warnings"][0]
    assert "coding_agent" in strategy["warnings"][0]


def test_an_unknown_agent_is_refused_where_strictness_is_wished_for() -> None:
    with pytest.raises(
        UnknownAgentError, match=r"No profile for agent 'gardening_agent'\. Known agents: analysis_agent"
    ):
        match("gardening_agent", wishes=Wishes(strict=True))


def test_an_agent_is_found_by_its_short_name_too() -> None:
    strategy = match("database", wishes=Wishes(strict=True))
    assert strategy["agent_name"] == "database_agent"


def test_a_profile_goes_by_the_name_under_which_it_was_added() -> None:
    mine = replace(BUILTIN.agents["coding_agent"], checks=("markdown",))
    catalogue = replace(BUILTIN, agents={**BUILTIN.agents, "mine": mine})
    strategy = match("mine", where=world(catalogue=catalogue))
    again, warnings = find_agent(strategy["agent_name"], catalogue, strict=True)
    assert again.checks == ("markdown",)
    assert warnings == []


def custom(**fields: Any) -> World:
    profile = AgentTaskProfile(
        **{
            "agent_name": "custom_agent",
            "task_type": "custom",
            "preferred_models": ["gemini-2.5-flash"],
            "phases_needed": [TaskPhase.GENERATION],
            "can_use_multiple_models": False,
            **fields,
        }
    )
    return world(catalogue=replace(BUILTIN, agents={**BUILTIN.agents, "custom_agent": profile}))


def test_the_custom_profile_of_the_specification_works_as_written() -> None:
    strategy = match("custom_agent", where=custom())
    assert strategy["strategy_type"] == "single_model"
    assert primaries(strategy) == {"generation": "gemini-2.5-flash"}
    assert type(strategy["phases"][0]["phase"]) is str


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        pytest.param(
            {"phases_needed": ["generation", "cooking"]}, "Unknown phase 'cooking'", id="unknown phase"
        ),
        pytest.param({"phases_needed": []}, "No phase is given", id="no phase"),
        pytest.param(
            {"phases_needed": [TaskPhase.REVIEW]}, "produce no result. Add generation", id="no result"
        ),
        pytest.param(
            {"phases_needed": "generation"}, r"one text, 'generation'\. Give a list", id="a text for a list"
        ),
    ],
)
def test_a_wrong_custom_profile_is_one_clear_message(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as raised:
        match("custom_agent", where=custom(**fields))
    assert "\n" not in str(raised.value)


def test_a_preferred_model_that_nobody_knows_is_a_warning() -> None:
    strategy = match("custom_agent", where=custom(preferred_models=["gemini-2.5-flash", "gemini-9"]))
    assert any("'gemini-9'" in warning for warning in strategy["warnings"])
    assert primaries(strategy) == {"generation": "gemini-2.5-flash"}


# --- bad input ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        pytest.param({"description": ""}, "The task is empty", id="empty"),
        pytest.param({"description": " \n\t"}, "The task is empty", id="blank"),
        pytest.param({"description": None}, "The task is not a text: None", id="no text"),
        pytest.param({"description": "half a letter: \ud800"}, r"not valid text.*ud800", id="half a letter"),
        pytest.param({"phases": []}, "No phase is given", id="an empty list of phases"),
        pytest.param(
            {"phases": ["planing", "generation"]},
            "Unknown phase 'planing'. Known phases: planning",
            id="misspelt",
        ),
        pytest.param(
            {"phases": ["planning", "review"]}, "produce no result. Add generation", id="no generation"
        ),
        pytest.param(
            {"phases": "generation"}, r"one text, 'generation'\. Give a list", id="phases as one text"
        ),
        pytest.param({"parameters": ["a"]}, r"not a JSON object: \['a'\]", id="parameters as a list"),
        pytest.param({"parameters": {"a": object()}}, "not a JSON object", id="a parameter that is no JSON"),
        pytest.param({"parameters": {1: "a"}}, "not a JSON object", id="a key that is no text"),
        pytest.param({"parameters": {"a": ["\udfff"]}}, "not valid text", id="half a letter in a parameter"),
    ],
)
def test_bad_input_is_one_clear_message(request_: dict[str, Any], message: str) -> None:
    fields = {"agent_name": "coding_agent", "description": TASK, **request_}
    with pytest.raises(InputError, match=message) as raised:
        make_strategy(TaskRequest(**fields), Wishes(), world())
    assert "\n" not in str(raised.value)


def test_phases_may_be_members_of_the_enumeration_in_any_order_and_twice() -> None:
    strategy = match(phases=[TaskPhase.REVIEW, TaskPhase.GENERATION, TaskPhase.REVIEW, "planning"])
    assert list(primaries(strategy)) == ["planning", "generation", "review"]


def test_a_phase_that_the_compiled_graph_lacks_is_refused() -> None:
    with pytest.raises(
        InputError, match=r"This graph has no phase research\. Its phases: planning, generation"
    ):
        match(phases=["research", "generation"], wishes=Wishes(layout=(("planning",), ("generation",))))


def test_the_layout_of_the_compiled_graph_counts_for_the_prediction_too() -> None:
    phases = ["research", "generation"]
    one_by_one = match(
        "documentation_agent", phases=phases, wishes=Wishes(layout=(("research",), ("generation",)))
    )
    beside = match("documentation_agent", phases=phases)
    assert beside["layout"] == [["research", "generation"]]
    assert "side by side" not in one_by_one["reason"]
    seconds = [p["predicted"]["seconds"] for p in one_by_one["phases"] if p["predicted"]]
    assert one_by_one["predicted"]["seconds"] == pytest.approx(sum(seconds))
    assert beside["predicted"]["seconds"] == pytest.approx(max(seconds))


# --- what holds for every plan -----------------------------------------------------------------------------

SCORES = st.fixed_dictionaries({skill: st.integers(0, 20).map(lambda n: n / 2) for skill in SKILLS})
TASKS = st.sampled_from(
    [TASK, "Simple function", "Urgent: design a complex distributed system", "A creative poem"]
)


@given(TASKS, st.sampled_from(AGENTS), st.sampled_from(["auto", "single_model", "multi_model"]))
@settings(max_examples=40, deadline=None)
def test_scores_and_their_parts_are_between_0_and_1_and_sorted(task: str, agent: str, wish: str) -> None:
    strategy = match(agent, task, wishes=Wishes(strategy=wish, attempts=40))
    for phase in strategy["phases"]:
        ranked = candidates(phase)
        for candidate in ranked:
            assert 0 <= candidate["score"] <= 1
            assert all(0 <= part <= 1 for part in candidate["parts"].values())
        if strategy["strategy_type"] == "multi_model":
            assert [c["score"] for c in ranked] == sorted((c["score"] for c in ranked), reverse=True)


def test_a_row_or_a_scorer_that_overshoots_keeps_to_the_scale() -> None:
    wild = WeightedScorer(name="wild", weight=1.0, score=lambda model, case: 7.0)
    for candidate in all_candidates(match(where=world(scorers=(*SCORERS, wild)))):
        assert candidate["parts"]["wild"] == 1
        assert candidate["score"] <= 1


def twins(worse: dict[str, float], gain: float) -> Catalogue:
    """Return a catalogue of two models that differ in their scores alone; the better one comes last by name."""
    base = replace(
        BUILTIN.models["openai:gpt-6.1-terra"], successor=None, aliases=(), price=Price(input=1, output=1)
    )
    better = {skill: min(score + gain, 10 + gain) for skill, score in worse.items()}
    models = [replace(base, name="a", scores=worse), replace(base, name="b", scores=better)]
    return replace(BUILTIN, models={model.key: model for model in models})


@given(SCORES, st.sampled_from([0.5, 1.0, 3.0]), st.sampled_from(AGENTS), TASKS)
@settings(max_examples=60, deadline=None)
def test_a_model_that_is_better_in_every_skill_is_ranked_first(
    scores: dict[str, float], gain: float, agent: str, task: str
) -> None:
    capped = {skill: min(score, 10 - gain) for skill, score in scores.items()}
    strategy = match(agent, task, where=world(catalogue=twins(capped, gain)))
    assert set(primaries(strategy).values()) == {"b"}


@given(SCORES, st.sampled_from(["unavailable", "retired"]), st.sampled_from(AGENTS))
@settings(max_examples=40, deadline=None)
def test_a_model_that_cannot_be_used_changes_no_ranking(
    scores: dict[str, float], why: str, agent: str
) -> None:
    extra = replace(
        BUILTIN.models["openai:gpt-6.1-terra"],
        name="extra",
        scores=scores,
        status="retired" if why == "retired" else "active",
    )
    catalogue = replace(BUILTIN, models={extra.key: extra, **BUILTIN.models})
    with_it = match(agent, where=world(lambda m: "down" if m.name == "extra" else None, catalogue=catalogue))
    assert [candidates(p) for p in with_it["phases"]] == [candidates(p) for p in match(agent)["phases"]]
    assert with_it["predicted"] == match(agent)["predicted"]


@given(st.integers(), st.sampled_from(AGENTS), st.sampled_from(["multi_model", "single_model"]))
@settings(max_examples=30, deadline=None)
def test_the_same_input_gives_the_same_plan_whatever_the_order_of_the_catalogue(
    seed: int, agent: str, wish: str
) -> None:
    def shuffled(mapping: Any) -> dict[str, Any]:
        items = list(mapping.items())
        random.Random(seed).shuffle(items)
        return dict(items)

    mixed = replace(BUILTIN, models=shuffled(BUILTIN.models), agents=shuffled(BUILTIN.agents))
    where = only("groq", "embedded", "openai", "azure")
    wishes = Wishes(strategy=wish)
    once = match(agent, where=world(where), wishes=wishes)
    assert once == match(agent, where=world(where), wishes=wishes)
    assert once == match(agent, where=world(where, catalogue=mixed), wishes=wishes)


FORBIDDEN = ("open", "socket.", "subprocess.", "os.system", "sqlite3.", "urllib.", "import")
_watched: list[list[str]] = []


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if _watched and event.startswith(FORBIDDEN):
        _watched[-1].append(f"{event} {arguments!r:.100}")


@contextmanager
def watched() -> Iterator[list[str]]:
    """Record what Python's audit says of files, sockets, processes and imports."""
    seen: list[str] = []
    _watched.append(seen)
    try:
        yield seen
    finally:
        _watched.pop()


def test_a_match_does_no_input_or_output() -> None:
    match()  # the words by which a task is read are loaded once
    sys.addaudithook(_watch)
    with watched() as control:
        (open(__file__)).close()  # noqa: PTH123 - the watch itself must see something
    assert control
    with watched() as seen:
        for agent in AGENTS:
            match(agent)
            match(agent, "Simple function")
    assert seen == []


def test_the_prediction_of_a_run_is_the_sum_of_its_phases_and_the_longest_path_in_time() -> None:
    strategy = match("documentation_agent", phases=PHASES)
    parts = {p["phase"]: p["predicted"] for p in strategy["phases"] if p["predicted"]}
    total = strategy["predicted"]
    assert total["input_tokens"] == sum(part["input_tokens"] for part in parts.values())
    assert total["output_tokens"] == sum(part["output_tokens"] for part in parts.values())
    assert total["cost_usd"] == pytest.approx(sum(part["cost_usd"] or 0 for part in parts.values()))
    longest = sum(max(parts[name]["seconds"] for name in group) for group in strategy["layout"])
    assert total["seconds"] == pytest.approx(longest)
    assert ["research", "generation"] in strategy["layout"]


# --- who is cooling down -----------------------------------------------------------------------------------

COOLING = "cooling down for 8 s after 2 failures (server_error)"


def after_failures_of(*keys: str) -> World:
    return world(cooling=lambda model: COOLING if model.key in keys else None)


@pytest.mark.parametrize("strategy", ["multi_model", "single_model"])
def test_a_model_that_is_cooling_down_comes_last_and_the_first_one_says_so(strategy: str) -> None:
    wishes = Wishes(strategy=strategy, attempts=len(BUILTIN.models))
    usual = candidates(plan(match(wishes=wishes), "generation"))
    best = f"{usual[0]['provider']}:{usual[0]['model']}"
    now = candidates(plan(match(where=after_failures_of(best), wishes=wishes), "generation"))
    assert [c["model"] for c in now] == [c["model"] for c in [*usual[1:], usual[0]]]
    assert now[0]["reason"].endswith(f"in place of {best}, which is {COOLING}")
    assert now[-1]["reason"].endswith(COOLING)


def test_a_model_that_is_cooling_down_and_finds_no_place_is_rejected_with_that_reason() -> None:
    first = plan(match(), "generation")["primary_model"]
    assert first is not None
    planned = plan(match(where=after_failures_of(f"{first['provider']}:{first['model']}")), "generation")
    assert {r["model"]: r["reason"] for r in planned["rejected"]}[first["model"]] == COOLING


def test_where_all_are_cooling_down_the_order_is_the_usual_one() -> None:
    everyone = after_failures_of(*BUILTIN.models)
    usual, now = (
        candidates(plan(match(), "generation")),
        candidates(plan(match(where=everyone), "generation")),
    )
    assert [c["model"] for c in now] == [c["model"] for c in usual]
    assert all(c["reason"].endswith(COOLING) for c in now)


def test_what_was_cooling_down_is_not_remembered_for_the_next_match() -> None:
    first = plan(match(), "generation")["primary_model"]
    assert first is not None
    memo: Memo = {}
    key = f"{first['provider']}:{first['model']}"
    match(where=replace(after_failures_of(key), memo=memo))
    assert plan(match(where=replace(world(), memo=memo)), "generation")["primary_model"] == first
