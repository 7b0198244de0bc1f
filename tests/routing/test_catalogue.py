"""The data says what the specification says; names lead to usable models; bad files are told in full."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ymera.routing.catalogue import Catalogue, builtin_catalogue, extend
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
from ymera.routing.errors import CatalogueError, InputError
from ymera.routing.records import AgentTaskProfile, ModelProfile, Price, TaskPhase
from ymera.routing.schemas import Skill

AS_OF = date(2026, 11, 24)
CATALOGUE = builtin_catalogue()
MODELS = list(CATALOGUE.models.values())
DAYS = st.dates(date(2025, 1, 1), date(2030, 12, 31))

each_model = pytest.mark.parametrize("model", MODELS, ids=lambda model: model.key)


def records() -> list[Record]:
    return [
        *CATALOGUE.providers.values(),
        *MODELS,
        *CATALOGUE.agents.values(),
        CATALOGUE.default_agent,
        *CATALOGUE.phases.values(),
    ]


def faults(text: str) -> tuple[str, ...]:
    with pytest.raises(CatalogueError) as caught:
        extend(CATALOGUE, text)
    return caught.value.faults


# --- the package's own data -------------------------------------------------------------------------------


def test_every_data_file_passes_the_checks_that_a_users_file_must_pass() -> None:
    assert load_checked(builtin_documents()) == CATALOGUE


def test_every_data_file_is_named_after_what_it_holds() -> None:
    agents = [*CATALOGUE.agents, "default"]
    expected = {f"models/{name}.toml" for name in CATALOGUE.providers}
    expected |= {f"agents/{name}.toml" for name in agents} | {
        f"phases/{name}.toml" for name in CATALOGUE.phases
    }
    assert {path.relative_to(DATA).as_posix() for path in DATA.glob("*/*.toml")} == expected


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


# --- names ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("google:gemini-2.5-flash", ["google:gemini-2.5-flash"]),
        ("gemini-2.5-flash", ["google:gemini-2.5-flash"]),
        ("gpt-4o", ["azure:gpt-4o", "openai:gpt-4o"]),
        ("codestral", ["mistral:codestral-latest"]),
        ("CODESTRAL", ["mistral:codestral-latest"]),
        ("gpt-oss-120b", ["groq:openai/gpt-oss-120b"]),
        ("claude-3.5", ["anthropic:claude-3-5-sonnet-20241022"]),
        ("azure gpt-4o", ["azure:gpt-4o"]),
        ("Cohere Command R+", ["cohere:command-r-plus", "cohere:command-r-plus-08-2024"]),
        ("gemini", []),
        ("", []),
    ],
)
def test_a_name_finds_models_by_key_name_alias_or_the_specifications_name(name: str, keys: list[str]) -> None:
    assert [model.key for model in CATALOGUE.named(name)] == keys


@pytest.mark.parametrize(
    ("name", "today", "keys", "reason"),
    [
        ("gemini-2.5-pro", date(2026, 11, 30), ["google:gemini-2.5-pro"], None),
        (
            "gemini-2.5-pro",
            date(2026, 12, 1),
            ["google:gemini-3.8-flash"],
            "gemini-2.5-pro retired on 2026-12-01; its successor gemini-3.8-flash takes its place",
        ),
        (
            "gemini-2.5-pro",
            date(2026, 12, 2),
            ["google:gemini-3.8-flash"],
            "gemini-2.5-pro retired on 2026-12-01; its successor gemini-3.8-flash takes its place",
        ),
        ("jamba", AS_OF, [], "jamba-large-1.7 retired on 2026-08-09 and has no successor"),
        (
            "deepseek-coder",
            AS_OF,
            ["deepseek:deepseek-flash"],
            "deepseek-coder is retired; its successor deepseek-flash takes its place",
        ),
        (
            "gpt-4o",
            date(2027, 1, 14),
            ["azure:gpt-4o", "openai:gpt-6.1-terra"],
            "openai:gpt-4o retired on 2027-01-14; its successor openai:gpt-6.1-terra takes its place",
        ),
        (
            "Cohere Command R+",
            AS_OF,
            ["cohere:command-r-plus-08-2024"],
            "command-r-plus retired on 2025-09-15; its successor command-r-plus-08-2024 takes its place",
        ),
        ("codestral", AS_OF, ["mistral:codestral-latest"], None),
        ("no-such", AS_OF, [], "no model is called 'no-such'"),
    ],
)
def test_a_name_stands_for_what_is_usable_on_the_day(
    name: str, today: date, keys: list[str], reason: str | None
) -> None:
    resolution = CATALOGUE.resolve(name, today)
    assert [model.key for model in resolution.models] == keys
    assert resolution.reason == reason


def test_each_stand_in_carries_its_own_reason() -> None:
    resolution = CATALOGUE.resolve("gpt-4o", date(2027, 1, 14))
    assert list(resolution.reasons) == ["openai:gpt-6.1-terra"]


@pytest.mark.parametrize(
    ("name", "today", "warnings"),
    [
        (
            "gemini-2.5-flash",
            AS_OF,
            "gemini-2.5-flash retires on 2026-12-01 (in 7 days); successor gemini-3.5-flash-lite",
        ),
        (
            "gemini-2.5-flash",
            date(2026, 11, 30),
            "gemini-2.5-flash retires on 2026-12-01 (in 1 day); successor gemini-3.5-flash-lite",
        ),
        ("gemini-2.5-flash", date(2026, 12, 1), None),
        ("azure:gpt-5.4-mini", AS_OF, None),
        ("azure:gpt-5.4-mini", date(2027, 8, 21), None),
        (
            "azure:gpt-5.4-mini",
            date(2027, 8, 22),
            "gpt-5.4-mini retires on 2027-09-21 (in 30 days); no successor",
        ),
        ("codestral", AS_OF, None),
    ],
)
def test_a_model_that_soon_retires_is_used_with_a_warning(
    name: str, today: date, warnings: str | None
) -> None:
    assert CATALOGUE.resolve(name, today).warnings == ((warnings,) if warnings else ())


@given(name=st.sampled_from([m.name for m in MODELS] + [m.key for m in MODELS]), today=DAYS)
def test_a_known_name_never_stands_for_a_retired_model(name: str, today: date) -> None:
    resolution = CATALOGUE.resolve(name, today)
    assert not any(model.is_retired(today) for model in resolution.models)
    assert resolution.models or resolution.reason


def toy(number: int, **changes: object) -> ModelProfile:
    return replace(CATALOGUE.models["mistral:codestral-latest"], name=f"m{number}", **changes)  # type: ignore[arg-type]


@given(
    links=st.lists(st.tuples(st.none() | st.integers(0, 6), st.none() | DAYS), min_size=1, max_size=6),
    today=DAYS,
)
def test_any_line_of_successors_even_a_circle_comes_to_an_end(
    links: list[tuple[int | None, date | None]], today: date
) -> None:
    models = [
        toy(number, successor=None if heir is None else f"m{heir}", retires_on=day)
        for number, (heir, day) in enumerate(links)
    ]
    catalogue = replace(CATALOGUE, models={model.key: model for model in models})
    for model in models:
        found = catalogue.resolve(model.key, today)
        assert not any(one.is_retired(today) for one in found.models)
        assert (found.models == (model,)) == (not model.is_retired(today))
        assert (found.reason is None) == (found.models == (model,))


def test_the_reason_names_every_retired_model_on_the_way() -> None:
    first = toy(1, successor="m2", retires_on=AS_OF)
    second = toy(2, successor="m3", retires_on=AS_OF + timedelta(1))
    catalogue = CATALOGUE.with_entries(toy(3), second, first)
    assert catalogue.resolve("m1", AS_OF + timedelta(1)).reason == (
        "m1 retired on 2026-11-24, its successor m2 retired on 2026-11-25; its successor m3 takes its place"
    )


# --- a user's own entries ---------------------------------------------------------------------------------

MINE = """
[[models]]
name = "mine"
provider = "local"
scores = { code = 9 }
context_tokens = 8192
"""


def test_a_new_model_needs_only_name_provider_scores_and_window() -> None:
    model = extend(CATALOGUE, MINE).models["local:mine"]
    assert (model.origin, model.model_id, model.price, dict(model.scores)) == (
        "user",
        "mine",
        None,
        {"code": 9.0},
    )
    assert model.max_output_tokens <= model.context_tokens
    assert "local:mine" not in CATALOGUE.models


def test_an_entry_with_a_known_name_changes_the_given_keys_only() -> None:
    text = '[[models]]\nname = "gemini-2.5-flash"\nscores = { code = 1 }\ncontext_tokens = 70_000\n'
    old = CATALOGUE.models["google:gemini-2.5-flash"]
    new = extend(CATALOGUE, text).models[old.key]
    assert new == replace(old, scores={**old.scores, "code": 1.0}, context_tokens=70_000, origin="user")


def test_the_cost_follows_a_price_that_is_changed() -> None:
    text = '[[models]]\nname = "codestral-latest"\nusd_per_mtok = { input = 1, output = 1 }\n'
    assert extend(CATALOGUE, text).models["mistral:codestral-latest"].scores["cost"] == 5.0


def test_an_agent_a_phase_and_a_provider_of_the_users_own_work_together(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(
        """
[[providers]]
name = "house"
title = "Our house"
chat_model = "langchain_openai:ChatOpenAI"
package = "langchain-openai"
base_url = "https://llm.example/v1"

[[models]]
name = "gpt-4o"
provider = "house"
scores = { code = 9 }
context_tokens = 8192

[[phases]]
name = "security"
order = 45
skills = { accuracy = 1 }
reads = ["generation"]
judges = true
prompt = "Look for holes."

[[agents]]
agent_name = "secure_agent"
task_type = "custom"
preferred_models = ["house:gpt-4o"]
phases_needed = ["generation", "security"]

[[agents]]
agent_name = "default"
phases_needed = ["generation"]
""",
        encoding="utf-8",
    )
    catalogue = extend(CATALOGUE, file)
    names = list(catalogue.phases)
    assert names.index("review") < names.index("security") < names.index("refinement")
    assert [model.provider for model in catalogue.named("gpt-4o")] == ["azure", "openai", "house"]
    assert catalogue.agents["secure_agent"].phases_needed == ("generation", "security")
    assert catalogue.default_agent.phases_needed == ("generation",)
    assert "default" not in catalogue.agents


def test_records_can_be_added_as_well() -> None:
    agent = AgentTaskProfile(
        agent_name="custom_agent",
        task_type="custom",
        preferred_models=["gemini-2.5-flash"],
        phases_needed=[TaskPhase.GENERATION],
        can_use_multiple_models=False,
    )
    assert CATALOGUE.with_entries(agent).agents["custom_agent"] is agent
    with pytest.raises(CatalogueError, match="unknown model"):
        CATALOGUE.with_entries(replace(agent, preferred_models=["gemni"]))


NEW_AGENT = '[[agents]]\nagent_name = "a"\ntask_type = "t"\n'
NEW_PHASE = '[[phases]]\nname = "p"\nskills = { code = 1 }\nprompt = "x"\n'


MISTAKES = [
    ("modles = 1", "modles: is no key of this file, allowed: providers, models, agents, phases"),
    ("models = 1", "models: must be a list of tables, written [[models]]"),
    ("models = [1]", "models: must be a list of tables, written [[models]]"),
    ('[[models]]\nnaem = "x"', "models.1.name: is missing"),
    (
        MINE + "context_tokns = 1",
        "models.mine.context_tokns: is no key of this table (did you mean 'context_tokens'?)",
    ),
    (
        MINE.replace("code", "coding"),
        "models.mine.scores.coding: is no skill (got 'coding'), allowed: 'speed'",
    ),
    (MINE.replace("= 9", "= 11"), "models.mine.scores.code: must be less than or equal to 10 (got 11)"),
    (MINE.replace("= 9", "= nan"), "models.mine.scores.code: must be a finite number (got nan)"),
    (MINE.replace("8192", '"8192"'), "models.mine.context_tokens: must be a valid integer (got '8192')"),
    (MINE.replace("8192", "0"), "models.mine.context_tokens: must be greater than or equal to 1 (got 0)"),
    (MINE.replace("context_tokens = 8192", ""), "models.mine.context_tokens: is missing"),
    (
        MINE.replace("local", "lokal"),
        "models.lokal:mine.provider: is unknown (got 'lokal'), allowed: ai21, ",
    ),
    (
        MINE + 'status = "gone"',
        "models.mine.status: is none of the allowed words (got 'gone'), allowed: 'active'",
    ),
    (MINE + 'retires_on = "2026-12-01"', "models.mine.retires_on: must be a date (got '2026-12-01')"),
    (MINE + 'successor = "nil"', "models.local:mine.successor: is unknown (got 'nil')"),
    (
        MINE + 'successor = "mine"',
        "models.local:mine.successor: leads back to itself: local:mine -> local:mine",
    ),
    (
        MINE + 'never_for = ["plan"]',
        "models.local:mine.never_for: unknown phase (got 'plan'), allowed: planning,",
    ),
    (MINE + "max_output_tokens = 9000", "max_output_tokens: is more than the window of 8192 (got 9000)"),
    (MINE + "usd_per_mtok = { input = 1 }", "models.mine.usd_per_mtok.output: is missing"),
    (
        MINE + "usd_per_mtok = { input = -1, output = 1 }",
        "usd_per_mtok.input: must be greater than or equal to 0",
    ),
    (MINE + "usd_per_mtok = 3", "models.mine.usd_per_mtok: must be a table (got 3)"),
    (MINE + MINE, "models.local:mine: is given twice"),
    (
        '[[models]]\nname = "gpt-4o"',
        "models.gpt-4o.provider: is missing, and several have a model of this name",
    ),
    (
        '[[models]]\nname = "jamba-mini-1.7"\nstatus = "active"',
        "status: must be 'retired' (got 'active'): ai21 ended",
    ),
    ('[[providers]]\nname = "My Own"', "providers.My Own.name: does not look right (got 'My Own')"),
    (NEW_AGENT + 'phases_needed = ["planing"]', "agents.a.phases_needed: unknown phase (got 'planing')"),
    (
        NEW_AGENT + 'phases_needed = ["review"]',
        "agents.a.phases_needed: no phase makes a result (got ['review'])",
    ),
    (
        NEW_AGENT + "phases_needed = []",
        "agents.a.phases_needed: holds too few (got []), allowed: 1 or more",
    ),
    (
        '[[agents]]\nagent_name = "default"\npreferred_models = ["x"]',
        "agents.default.preferred_models: unknown model",
    ),
    (
        '[[agents]]\nagent_name = "coding_agent"\nrequirements = { code = 2 }',
        "must be less than or equal to 1",
    ),
    (
        '[[agents]]\nagent_name = "coding_agent"\nguidance = { plan = "x" }',
        "guidance: unknown phase (got 'plan')",
    ),
    (
        '[[agents]]\nagent_name = "coding_agent"\nindependent = [["review", "generation"]]',
        "agents.coding_agent.independent: the earlier phase stands first in a pair",
    ),
    (NEW_PHASE, "phases.p.order: is missing"),
    (NEW_PHASE + "order = 40", "phases.p.order: is taken by review (got 40)"),
    (NEW_PHASE + 'order = 35\nreads = ["nix"]', "phases.p.reads: unknown phase (got 'nix')"),
    (
        NEW_PHASE + 'order = 35\nreads = ["review"]',
        "phases.p.reads: may hold earlier phases only (got 'review')",
    ),
]


@pytest.mark.parametrize(("text", "expected"), MISTAKES, ids=[expected for _, expected in MISTAKES])
def test_a_mistake_is_told_with_its_place_and_what_is_allowed(text: str, expected: str) -> None:
    assert any(expected in fault and fault.startswith("<text>: ") for fault in faults(text)), faults(text)


def test_all_mistakes_of_a_file_are_told_at_once_and_nothing_else() -> None:
    text = (
        MINE.replace("= 9", "= 11")
        + 'successor = "nil"\nstatus = "gone"\n'
        + NEW_AGENT
        + 'preferred_models = ["mine", "codestrl"]\nphases_needed = ["generation", "p"]\n'
        + NEW_PHASE
        + 'reads = ["nix"]\n'
    )
    told = [fault.removeprefix("<text>: ").split(": ")[0] for fault in faults(text)]
    assert sorted(told) == [
        "agents.a.preferred_models",
        "models.local:mine.successor",
        "models.mine.scores.code",
        "models.mine.status",
        "phases.p.order",
        "phases.p.reads",
    ]


def test_a_file_that_is_not_toml_is_told_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "bad.toml"
    file.write_text("[[models]]\nname = \n", encoding="utf-8")
    with pytest.raises(InputError, match=r"bad\.toml: not valid TOML: .*line 2"):
        extend(CATALOGUE, file)


def test_a_file_that_is_not_there_is_told_by_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.toml: cannot be read"):
        extend(CATALOGUE, tmp_path / "none.toml")


def test_an_empty_file_changes_nothing() -> None:
    extended: Catalogue = extend(CATALOGUE, "")
    assert extended == CATALOGUE
