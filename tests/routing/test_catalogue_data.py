"""The package's own data: what the specification states, and what every entry must hold."""

from __future__ import annotations

import subprocess
import sys
from datetime import date
from typing import get_args

import pytest

from ymera.routing.catalogue import builtin_catalogue
from ymera.routing.checking import load_checked
from ymera.routing.entries import (
    DATA,
    Record,
    builtin_documents,
    cost_score,
    kind_of,
    record_of,
    table_of,
)
from ymera.routing.records import ModelProfile, Price, TaskPhase
from ymera.routing.schemas import Skill

AS_OF = date(2026, 11, 24)
CATALOGUE = builtin_catalogue()
MODELS = list(CATALOGUE.models.values())

each_model = pytest.mark.parametrize("model", MODELS, ids=lambda model: model.key)


def records() -> list[Record]:
    return [
        *CATALOGUE.providers.values(),
        *MODELS,
        *CATALOGUE.agents.values(),
        CATALOGUE.default_agent,
        *CATALOGUE.phases.values(),
    ]


def test_every_data_file_passes_the_checks_that_a_users_file_must_pass() -> None:
    assert load_checked(builtin_documents()) == CATALOGUE


def test_every_data_file_is_named_after_what_it_holds() -> None:
    agents = [*CATALOGUE.agents, "default"]
    expected = {f"models/{name}.toml" for name in CATALOGUE.providers}
    expected |= {f"agents/{name}.toml" for name in agents} | {
        f"phases/{name}.toml" for name in CATALOGUE.phases
    }
    found = (path for path in DATA.glob("*/*.toml") if path.parent.name != "words")
    assert {path.relative_to(DATA).as_posix() for path in found} == expected


def test_reading_the_built_in_catalogue_does_not_import_pydantic() -> None:
    code = (
        "import sys; from ymera.routing.catalogue import builtin_catalogue; builtin_catalogue(); "
        "print('pydantic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("spec_name", "provider", "name", "stated"),
    [
        ("Groq Llama 3.3 70B", "groq", "llama-3.3-70b-versatile", {"speed": 10}),
        ("Groq Llama 3.1 8B", "groq", "llama-3.1-8b-instant", {"speed": 10}),
        ("Gemini 2.5 Flash", "google", "gemini-2.5-flash", {"speed": 9}),
        ("Gemini 2.5 Pro", "google", "gemini-2.5-pro", {"quality": 10, "reasoning": 10, "multimodal": 8}),
        ("Codestral", "mistral", "codestral-latest", {"code": 10}),
        ("Mistral Small", "mistral", "mistral-small-latest", {"speed": 8, "quality": 8, "accuracy": 8}),
        ("DeepSeek Coder", "deepseek", "deepseek-coder", {"code": 10}),
        ("DeepSeek Chat", "deepseek", "deepseek-chat", {"conversation": 8, "reasoning": 8}),
        ("Azure GPT-4o", "azure", "gpt-4o", {"quality": 10}),
        ("AI21 Jamba", "ai21", "jamba-large-1.7", {"reasoning": 10, "accuracy": 10}),
        ("Cohere Command R+", "cohere", "command-r-plus", {"quality": 9, "accuracy": 9}),
        ("Cohere Command R+", "cohere", "command-r-plus-08-2024", {"quality": 9, "accuracy": 9}),
        ("Claude 3.5", "anthropic", "claude-3-5-sonnet-20241022", {}),
    ],
)
def test_a_model_of_the_specification_has_the_scores_it_states(
    spec_name: str, provider: str, name: str, stated: dict[str, float]
) -> None:
    model = CATALOGUE.models[f"{provider}:{name}"]
    assert (model.spec_name, model.origin) == (spec_name, "specification")
    assert {skill: model.scores[skill] for skill in stated} == stated
    assert model in CATALOGUE.named(spec_name)


@pytest.mark.parametrize(
    ("name", "task_type", "preferred", "phases", "requirements"),
    [
        (
            "coding_agent",
            "Code generation, refactoring",
            ["Codestral", "DeepSeek Coder", "Gemini 2.5 Pro"],
            ["planning", "generation", "review", "refinement"],
            {"accuracy", "creativity"},
        ),
        (
            "database_agent",
            "SQL generation, data operations",
            ["Codestral", "Gemini 2.5 Flash", "DeepSeek Coder"],
            ["planning", "generation", "validation"],
            {"accuracy", "speed"},
        ),
        (
            "analysis_agent",
            "Data analysis, insights",
            ["AI21 Jamba", "Gemini 2.5 Pro", "Azure GPT-4o"],
            ["research", "generation", "review", "validation"],
            {"accuracy", "reasoning"},
        ),
        (
            "web_scraping_agent",
            "Web extraction, parsing",
            ["Gemini 2.5 Flash", "Groq Llama 3.3 70B"],
            ["planning", "generation", "validation"],
            {"speed", "accuracy"},
        ),
        (
            "documentation_agent",
            "Documentation generation",
            ["Gemini 2.5 Pro", "Azure GPT-4o", "Claude 3.5"],
            ["research", "generation", "review", "refinement"],
            {"creativity", "accuracy"},
        ),
    ],
)
def test_an_agent_has_the_profile_of_the_specification(
    name: str, task_type: str, preferred: list[str], phases: list[str], requirements: set[str]
) -> None:
    agent = CATALOGUE.agents[name]
    assert agent.task_type == task_type
    assert [CATALOGUE.named(model)[0].spec_name for model in agent.preferred_models] == preferred
    assert list(agent.phases_needed) == phases
    assert set(agent.requirements) == requirements
    assert agent.can_use_multiple_models


def test_only_documentation_may_research_beside_its_draft_and_uses_the_research_later() -> None:
    pairs = {
        agent.agent_name: list(agent.independent) for agent in CATALOGUE.agents.values() if agent.independent
    }
    assert pairs == {"documentation_agent": [("research", "generation")]}
    assert {name for name, phase in CATALOGUE.phases.items() if "research" in phase.reads} >= {
        "review",
        "refinement",
    }


def test_the_phases_are_those_of_the_specification_in_its_order() -> None:
    phases = CATALOGUE.phases
    assert list(phases) == [phase.value for phase in TaskPhase]
    assert [name for name, phase in phases.items() if phase.critical] == ["planning", "generation"]
    assert [name for name, phase in phases.items() if phase.judges] == ["review", "validation"]
    assert [name for name, phase in phases.items() if phase.produces] == ["generation", "refinement"]
    assert [name for name, phase in phases.items() if phase.skipped_when_accepted] == ["refinement"]


@pytest.mark.parametrize(
    "phase", [p for p in CATALOGUE.phases.values() if p.judges], ids=lambda phase: phase.name
)
def test_a_judging_phase_asks_for_findings_before_the_decision(phase: object) -> None:
    text = getattr(phase, "prompt", "")
    assert 0 < text.index('"findings"') < text.index('"decision"')
    assert '"decision": "accept"' in text
    assert '"decision": "revise"' in text


@pytest.mark.parametrize(
    ("provider", "variables"),
    [
        ("groq", ["GROQ_API_KEY"]),
        ("google", ["GOOGLE_API_KEY"]),
        ("mistral", ["MISTRAL_API_KEY"]),
        ("openai", ["OPENAI_API_KEY"]),
        ("azure", ["AZURE_OPENAI_API_KEY", "AZURE_OPENAI_ENDPOINT"]),
        ("deepseek", ["DEEPSEEK_API_KEY"]),
        ("ai21", ["AI21_API_KEY"]),
        ("cohere", ["COHERE_API_KEY"]),
        ("anthropic", ["ANTHROPIC_API_KEY"]),
        ("embedded", []),
        ("local", []),
    ],
)
def test_a_provider_is_unlocked_by_its_usual_variables(provider: str, variables: list[str]) -> None:
    assert list(CATALOGUE.providers[provider].variables) == variables


@each_model
def test_a_model_has_every_score_within_range(model: ModelProfile) -> None:
    assert set(model.scores) == set(get_args(Skill))
    assert all(0 <= score <= 10 for score in model.scores.values())


@each_model
def test_a_model_says_where_its_facts_come_from(model: ModelProfile) -> None:
    assert model.source
    assert model.max_output_tokens <= model.context_tokens


@each_model
def test_a_price_is_never_negative_and_only_models_without_a_key_are_free(model: ModelProfile) -> None:
    if model.price is None:
        assert model.key == "cohere:command-a-plus-05-2026", (
            "a price that is not known is an exception to be named"
        )
        return
    assert min(model.price.input, model.price.output) >= 0
    assert (model.price.input == model.price.output == 0) == (model.provider == "embedded")
    assert model.scores["cost"] == cost_score(model.price)


@each_model
def test_the_status_of_a_model_agrees_with_its_day_on_the_day_of_the_data(model: ModelProfile) -> None:
    past = model.retires_on is not None and model.retires_on <= AS_OF
    assert model.status == "retired" if past else model.status != "retired" or model.retires_on is None
    assert model.retires_on is not None or model.status != "deprecated"


@each_model
def test_a_line_of_successors_ends_in_an_active_model_or_in_none(model: ModelProfile) -> None:
    seen = [model]
    while (heir := CATALOGUE.successor_of(seen[-1])) is not None:
        assert heir not in seen
        seen.append(heir)
    assert seen[-1].status == "active" or seen == [model]


@each_model
def test_a_successor_is_at_least_as_good_as_what_it_succeeds(model: ModelProfile) -> None:
    heir = CATALOGUE.successor_of(model)
    for skill in ("quality", "code", "sql", "reasoning", "accuracy") if heir else ():
        assert heir is not None
        assert heir.scores[skill] >= model.scores[skill], skill


def test_the_smallest_embedded_model_never_judges_or_mends() -> None:
    assert set(CATALOGUE.models["embedded:qwen2.5-coder-0.5b"].never_for) == {
        "review",
        "validation",
        "refinement",
    }


@pytest.mark.parametrize(
    ("price", "score"),
    [
        ((0, 0), 10.0),
        ((1, 1), 5.0),
        ((2, 2), 4.0),
        ((0.5, 0.5), 6.0),
        ((1000, 1000), 0.0),
        ((0.001, 0.001), 10.0),
    ],
)
def test_each_doubling_of_the_price_takes_one_point_of_cost(price: tuple[float, float], score: float) -> None:
    assert cost_score(Price(input=price[0], output=price[1])) == score


def test_what_is_shared_cannot_be_changed_in_place() -> None:
    with pytest.raises(TypeError):
        CATALOGUE.agents["x"] = CATALOGUE.default_agent  # type: ignore[index]


@pytest.mark.parametrize("record", records(), ids=lambda record: type(record).__name__)
def test_a_record_written_as_an_entry_reads_back_the_same(record: Record) -> None:
    assert record_of(kind_of(record), table_of(record)) == record
