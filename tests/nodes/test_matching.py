"""The matcher as users meet it: keys and settings of the environment, and what they add to it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from ymera import AgentModelMatcher, AgentTaskProfile, Settings, TaskPhase
from ymera.nodes.settings import load_settings
from ymera.routing.catalogue import builtin_catalogue
from ymera.routing.errors import CatalogueError, InputError, NoUsableModelError, UnknownAgentError
from ymera.routing.matcher import TaskRequest, Wishes
from ymera.routing.records import Candidate, ModelProfile, Strategy
from ymera.routing.scoring import WeightedScorer

BUILTIN = builtin_catalogue()
TODAY = date(2026, 11, 24)
TASK = "Create a FastAPI endpoint for user management with sessions, roles and pages"
VARIABLES = sorted({name for provider in BUILTIN.providers.values() for name in provider.variables})


def matcher(**fields: Any) -> AgentModelMatcher:
    return AgentModelMatcher(load_settings().model_copy(update=fields))


def strategy(
    of: AgentModelMatcher, agent: str = "coding_agent", task: str = TASK, wishes: Wishes | None = None
) -> Strategy:
    return of.strategy(TaskRequest(agent_name=agent, description=task), wishes, TODAY)


def candidates(plan: Strategy) -> list[Candidate]:
    return [c for p in plan["phases"] for c in (p["primary_model"], *p["fallback_models"]) if c]


def primaries(plan: Strategy) -> dict[str, str | None]:
    return {p["phase"]: p["primary_model"] and p["primary_model"]["model"] for p in plan["phases"]}


# --- the specification's own test --------------------------------------------------------------------------


async def test_model_matching() -> None:
    matcher = AgentModelMatcher()

    strategy = await matcher.match_agent_to_models(
        agent_name="coding_agent", task_description="Simple function", task_parameters={}
    )

    assert strategy["strategy_type"] in ["single_model", "multi_model"]
    assert "phases" in strategy or "model" in strategy


async def test_the_specifications_inspection_of_a_strategy_works_as_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MISTRAL_API_KEY", "dummy")
    strategy = await AgentModelMatcher().match_agent_to_models(
        agent_name="coding_agent",
        task_description="Complex microservices architecture",
        task_parameters={"complexity": "high"},
    )
    assert strategy["reading"]["complexity"] == "high"
    for phase in strategy["phases"]:
        assert phase["primary_model"] is not None
        assert f"{phase['phase']}: {phase['primary_model']['model']}"
        assert phase["reason"]


async def test_a_strategy_is_plain_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROQ_API_KEY", "dummy")
    plan = await AgentModelMatcher().match_agent_to_models(
        "coding_agent", TASK, enable_phases=[TaskPhase.GENERATION]
    )
    assert json.loads(json.dumps(plan)) == plan


# --- keys --------------------------------------------------------------------------------------------------


def test_with_all_keys_every_provider_that_still_serves_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.setenv(name, "https://dummy.invalid" if name.endswith("ENDPOINT") else "dummy")
    plan = strategy(matcher(), wishes=Wishes(strategy="multi_model", attempts=50))
    alive = {m.provider for m in BUILTIN.models.values() if not m.is_retired(TODAY)}
    assert {c["provider"] for c in candidates(plan)} >= alive - {"embedded"}
    assert primaries(plan)["generation"] == "codestral-latest"


def test_with_only_groqs_key_only_groqs_and_embedded_models_are_candidates(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GROQ_API_KEY", "dummy")
    plan = strategy(matcher(), wishes=Wishes(attempts=50))
    assert {c["provider"] for c in candidates(plan)} - {"embedded"} == {"groq"}
    reasons = {f"{r['provider']}:{r['model']}": r["reason"] for r in plan["phases"][0]["rejected"]}
    assert reasons["mistral:codestral-latest"] == "MISTRAL_API_KEY is not set"
    assert reasons["azure:gpt-6-sol"] == "AZURE_OPENAI_API_KEY and AZURE_OPENAI_ENDPOINT are not set"


def test_without_keys_no_models_of_the_cloud_are_candidates() -> None:
    assert {c["provider"] for c in candidates(strategy(matcher()))} <= {"embedded"}


def test_a_key_that_is_set_later_counts_from_the_next_match_on(monkeypatch: pytest.MonkeyPatch) -> None:
    one = matcher()
    before = strategy(one)
    monkeypatch.setenv("GROQ_API_KEY", "dummy")
    assert "groq" in {c["provider"] for c in candidates(strategy(one))}
    monkeypatch.delenv("GROQ_API_KEY")
    assert strategy(one) == before


def test_a_demanded_model_without_its_key_names_the_variable() -> None:
    with pytest.raises(NoUsableModelError, match=r"codestral.*MISTRAL_API_KEY is not set"):
        strategy(matcher(), wishes=Wishes(model="codestral"))


# --- settings ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variables", "kind", "reason"),
    [
        pytest.param({}, "multi_model", "4 phases", id="nothing set: the matcher decides"),
        pytest.param(
            {"ENABLE_MULTI_MODEL": "false"}, "single_model", "single_model was asked for", id="switched off"
        ),
        pytest.param(
            {"DEFAULT_STRATEGY": "single_model"}, "single_model", "was asked for", id="one by default"
        ),
        pytest.param(
            {"DEFAULT_STRATEGY": "multi_model"}, "multi_model", "was asked for", id="several by default"
        ),
        pytest.param(
            {"ENABLE_MULTI_MODEL": "false", "DEFAULT_STRATEGY": "multi_model"},
            "single_model",
            "was asked for",
            id="switched off goes before the default",
        ),
    ],
)
def test_the_specifications_variables_choose_the_strategy(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], kind: str, reason: str
) -> None:
    monkeypatch.setenv("GROQ_API_KEY", "dummy")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    plan = strategy(matcher())
    assert plan["strategy_type"] == kind
    assert reason in plan["reason"]


@pytest.mark.parametrize(("limit", "groups"), [("1", 4), ("2", 3)])
def test_as_many_phases_run_side_by_side_as_the_settings_allow(
    monkeypatch: pytest.MonkeyPatch, limit: str, groups: int
) -> None:
    monkeypatch.setenv("MAX_PARALLEL_PHASES", limit)
    assert len(strategy(matcher(), "documentation_agent")["layout"]) == groups


def test_an_unknown_agent_is_a_warning_or_where_strict_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    assert any("No profile for agent 'nobody'" in w for w in strategy(matcher(), "nobody")["warnings"])
    monkeypatch.setenv("YMERA_STRICT", "true")
    with pytest.raises(
        UnknownAgentError, match=r"No profile for agent 'nobody'\. Known agents: analysis_agent"
    ):
        strategy(matcher(), "nobody")


def test_a_users_file_adds_to_the_catalogue(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(
        '[[agents]]\nagent_name = "haiku_agent"\ntask_type = "poems"\nphases_needed = ["generation"]\n'
    )
    monkeypatch.setenv("YMERA_CATALOGUE", str(file))
    assert strategy(matcher(), "haiku_agent")["task_type"] == "poems"
    file.write_text('[[agents]]\nagent_name = "haiku_agent"\n')
    with pytest.raises(CatalogueError, match="task_type"):
        matcher()


# --- what users add ----------------------------------------------------------------------------------------


def test_the_specifications_custom_profile_counts_from_the_next_match_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GOOGLE_API_KEY", "dummy")
    one = matcher()
    assert strategy(one, "custom_agent")["warnings"]
    custom_profile = AgentTaskProfile(
        agent_name="custom_agent",
        task_type="custom",
        preferred_models=["gemini-2.5-flash"],
        phases_needed=[TaskPhase.GENERATION],
        can_use_multiple_models=False,
    )
    one.agent_profiles["custom_agent"] = custom_profile
    plan = strategy(one, "custom_agent")
    assert plan["strategy_type"] == "single_model"
    assert primaries(plan) == {"generation": "gemini-2.5-flash"}
    one.agent_profiles["custom_agent"] = replace(custom_profile, preferred_models=["gemini-4-argon"])
    assert primaries(strategy(one, "custom_agent")) == {"generation": "gemini-4-argon"}


def test_a_check_that_nobody_knows_is_refused_before_anything_is_paid() -> None:
    one = matcher()
    one.agent_profiles["mine"] = replace(one.agent_profiles["coding_agent"], checks=["python", "rust"])
    with pytest.raises(InputError, match=r"mine asks for unknown checks: 'rust'\. Known checks: python, sql"):
        strategy(one, "mine")


def test_a_users_own_check_is_known_and_named_among_the_others() -> None:
    one = matcher()
    one.validators["spelling"] = lambda text, parameters: []
    one.agent_profiles["mine"] = replace(one.agent_profiles["coding_agent"], checks=["spelling"])
    assert strategy(one, "mine")["agent_name"] == "mine"
    one.agent_profiles["mine"] = replace(one.agent_profiles["coding_agent"], checks=["speling"])
    with pytest.raises(
        InputError, match=r"'speling'\. Known checks: python, sql, json, markdown, spelling\."
    ):
        strategy(one, "mine")


def test_an_unknown_phase_of_a_profile_is_one_clear_message() -> None:
    one = matcher()
    one.agent_profiles["mine"] = replace(one.agent_profiles["coding_agent"], phases_needed=["cooking"])
    with pytest.raises(InputError, match=r"Unknown phase 'cooking'\. Known phases: planning"):
        strategy(one, "mine")


def test_an_unknown_preferred_model_of_a_profile_is_a_warning() -> None:
    one = matcher()
    one.agent_profiles["mine"] = replace(one.agent_profiles["coding_agent"], preferred_models=["gpt-99"])
    assert any("'gpt-99'" in warning for warning in strategy(one, "mine")["warnings"])


def test_a_model_that_is_added_removed_or_changed_counts_from_the_next_match_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GROQ_API_KEY", "dummy")
    one = matcher()
    before = strategy(one)
    scores = dict.fromkeys(one.models["groq:openai/gpt-oss-120b"].scores, 10.0)
    one.models["groq:best"] = replace(
        one.models["groq:openai/gpt-oss-120b"], name="best", scores=scores, aliases=()
    )
    assert set(primaries(strategy(one)).values()) == {"best"}
    worst = dict.fromkeys(scores, 0.0)
    one.models["groq:best"] = replace(one.models["groq:best"], scores=worst)
    assert "best" not in primaries(strategy(one)).values()
    del one.models["groq:best"]
    assert strategy(one) == before


def test_a_scorer_that_is_added_or_removed_counts_from_the_next_match_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def likes_small(model: ModelProfile, case: object) -> float:
        return float(model.name.endswith("-20b"))

    monkeypatch.setenv("GROQ_API_KEY", "dummy")
    one = matcher()
    before = strategy(one)
    one.scorers.append(WeightedScorer(name="small", weight=10.0, score=likes_small))
    after = strategy(one)
    assert set(primaries(after).values()) == {"openai/gpt-oss-20b"}
    assert candidates(after)[0]["parts"]["small"] == 1
    one.scorers.pop()
    assert strategy(one) == before


# --- nothing of one match shows in another -----------------------------------------------------------------

MATCHES: list[tuple[str, str, Wishes]] = [
    ("coding_agent", TASK, Wishes()),
    ("coding_agent", TASK, Wishes(model="llama-3.3-70b")),
    ("coding_agent", "Simple function", Wishes()),
    ("coding_agent", "word " * 20_000, Wishes()),
    ("web_scraping_agent", TASK, Wishes(attempts=1)),
    ("documentation_agent", TASK, Wishes(strategy="single_model")),
    ("coding_agent", "Urgent: a creative poem", Wishes(providers=("groq",))),
    ("nobody", TASK, Wishes(usd=1.0)),
]


def test_a_matcher_that_has_matched_before_answers_like_a_new_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GROQ_API_KEY", "MISTRAL_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.setenv(name, "dummy")
    used = matcher()
    for agent, task, wishes in [*MATCHES, *MATCHES[::-1]]:
        assert strategy(used, agent, task, wishes) == strategy(matcher(), agent, task, wishes)


def test_what_a_caller_does_to_a_plan_does_not_show_in_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROQ_API_KEY", "dummy")
    one = matcher()
    for candidate in candidates(strategy(one)):
        candidate["reason"] = "spoilt"
        candidate["parts"].clear()
    plan = strategy(one)
    plan["phases"][0]["rejected"].clear()
    plan["phases"][0]["fallback_models"].clear()
    assert strategy(one) == strategy(matcher())


def test_matchers_do_not_share_what_is_added_to_them() -> None:
    one, other = matcher(), AgentModelMatcher(Settings())
    one.agent_profiles.clear()
    one.models.clear()
    one.scorers.clear()
    assert other.agent_profiles.keys() == BUILTIN.agents.keys()
    assert other.models.keys() >= BUILTIN.models.keys()
    assert other.scorers
