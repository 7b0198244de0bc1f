"""A user's own entries: what they change, and how mistakes in them are told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ymera.routing.catalogue import Catalogue, builtin_catalogue, extend
from ymera.routing.errors import CatalogueError, InputError
from ymera.routing.records import AgentTaskProfile, TaskPhase

CATALOGUE = builtin_catalogue()


def faults(text: str) -> tuple[str, ...]:
    with pytest.raises(CatalogueError) as caught:
        extend(CATALOGUE, text)
    return caught.value.faults


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
