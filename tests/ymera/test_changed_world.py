"""Runs that are resumed in another world: they go on with the models of today, or say in one line why they cannot."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

import pytest

from tests.recorded.record import TASK, kept
from tests.scripted import Line, Script, ScriptedModels, no_time
from ymera import (
    InputError,
    ModelProfile,
    MultiModelExecutor,
    MultiModelResult,
    NoUsableModelError,
    ResumeError,
    RunContext,
    Settings,
)
from ymera.nodes.matching import AgentModelMatcher
from ymera.nodes.services import Services, services_over
from ymera.routing.catalogue import Catalogue, builtin_catalogue
from ymera.routing.errors import YmeraError
from ymera.routing.records import PhaseProfile

BUILTIN = builtin_catalogue()
CODER = "mistral:codestral-latest"
"""Who is planned for the coding agent's generation."""
NAME = "codestral-latest"


@dataclass(frozen=True, kw_only=True)
class World:
    """What a run finds: the catalogue, providers without a key, and settings."""

    catalogue: Catalogue = BUILTIN
    locked: frozenset[str] = frozenset()
    settings: Mapping[str, Any] = field(default_factory=dict)

    def services(self, script: Script, settings: Settings) -> Services:
        """Return services over scripted models in this world."""
        there = settings.model_copy(update=dict(self.settings))
        matcher = KeyMatcher(there, self.catalogue)
        matcher.locked = self.locked
        return replace(services_over(ScriptedModels(script), matcher), pause=no_time)


class KeyMatcher(AgentModelMatcher):
    """A matcher for which a model may be called where its provider has a key."""

    locked: frozenset[str] = frozenset()

    def unavailable(self, model: ModelProfile) -> str | None:
        return f"{model.provider.upper()}_API_KEY is not set" if model.provider in self.locked else None


def with_models(change: Callable[[dict[str, ModelProfile]], object]) -> Catalogue:
    models = dict(BUILTIN.models)
    change(models)
    return replace(BUILTIN, models=models)


def with_phases(*without: str, **changed: PhaseProfile) -> Catalogue:
    phases = {name: phase for name, phase in BUILTIN.phases.items() if name not in without} | changed
    return replace(BUILTIN, phases=dict(sorted(phases.items(), key=lambda item: item[1].order)))


def with_phase(phase: PhaseProfile) -> Catalogue:
    return with_phases(**{phase.name: phase})


def retired(models: dict[str, ModelProfile]) -> None:
    models[CODER] = replace(models[CODER], retires_on=date(2020, 1, 1), successor="mistral-large-latest")


def renamed(models: dict[str, ModelProfile]) -> None:
    models["mistral:newstral"] = replace(
        models.pop(CODER), name="newstral", model_id="newstral", aliases=(NAME,)
    )


DRAFTED = with_phases("generation", draft=replace(BUILTIN.phases["generation"], name="draft"))
SKETCH = replace(BUILTIN.phases["planning"], name="sketch", order=5)
AUDIT = replace(BUILTIN.phases["review"], name="audit", order=95)
OTHER_AGENTS = replace(
    BUILTIN,
    agents={name: agent for name, agent in BUILTIN.agents.items() if "coding" not in name},
)
BRIEF = replace(
    BUILTIN,
    agents={
        **BUILTIN.agents,
        "coding_agent": replace(
            BUILTIN.agents["coding_agent"], phases_needed=("generation",), preferred_models=()
        ),
    },
)


@dataclass(frozen=True, kw_only=True)
class Stand:
    """Where a run stands: broken off in its nth call.

    Args:
        lines: what the first choice of a phase does, by phase.
        made: phases that are done.
    """

    calls: int
    agent: str = "coding_agent"
    lines: Mapping[str, list[Line]] = field(default_factory=dict)
    made: tuple[str, ...] = ("planning",)


HANG = Line(seconds=60)
STANDS = {
    "in generation": Stand(calls=2, lines={"generation": [HANG]}),
    "between two tries": Stand(
        calls=3, lines={"generation": [Line(error=ConnectionError("no route")), HANG]}
    ),
    "in its first call": Stand(calls=1, lines={"planning": [HANG]}, made=()),
    "beside another phase": Stand(
        calls=2,
        agent="documentation_agent",
        lines={"generation": [HANG]},
        made=("research",),
    ),
    "in the review": Stand(calls=3, made=("planning", "generation")),
}


async def stand(where: Stand, settings: Settings, **context: Any) -> None:
    """Let a run stand on thread `t`."""
    script = Script(otherwise=Line(text="an answer"))
    if len(where.made) == 2:
        script.judge = HANG
    executor = MultiModelExecutor(services=World().services(script, settings))
    plan = await executor.matcher.match_agent_to_models(where.agent, TASK)
    for planned in plan["phases"]:
        if (first := planned["primary_model"]) and planned["phase"] in where.lines:
            script.lines[first["model"]] = deque(where.lines[planned["phase"]])
    run = asyncio.create_task(
        executor.execute_with_multi_model(
            where.agent, TASK, thread_id="t", use_cache=False, context=RunContext(**context)
        )
    )
    async with asyncio.timeout(20):
        while len(script.calls) < where.calls or (
            where.made == ("research",) and not kept(settings.checkpoints, "t")
        ):
            assert not run.done(), run
            await asyncio.sleep(0.01)
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)


async def resumed(settings: Settings, world: World, **context: Any) -> tuple[MultiModelResult, Script]:
    script = Script(otherwise=Line(text="an answer"))
    executor = MultiModelExecutor(services=world.services(script, settings))
    return await executor.resume("t", RunContext(**context)), script


def answered(result: MultiModelResult) -> dict[str, int]:
    """Return how often each phase was answered."""
    return {p.phase: sum(a["ok"] for a in p.attempts) for p in result.phase_results}


def planned(result: MultiModelResult, phase: str) -> str:
    assert result.plan
    return next(p["reason"] for p in result.plan["phases"] if p["phase"] == phase)


CHANGES = {
    "nothing": World(),
    "a model is gone": World(catalogue=with_models(lambda models: models.pop(CODER))),
    "a model retired": World(catalogue=with_models(retired)),
    "a model has another name": World(catalogue=with_models(renamed)),
    "a key is gone": World(locked=frozenset({"mistral", "groq"})),
    "a phase is new": World(catalogue=with_phases(sketch=SKETCH, audit=AUDIT)),
    "a phase is gone that may be": World(catalogue=with_phases("review", "refinement")),
    "planning is critical no more": World(
        catalogue=with_phase(replace(BUILTIN.phases["planning"], critical=False))
    ),
    "the review is critical": World(catalogue=with_phase(replace(BUILTIN.phases["review"], critical=True))),
    "the refinement is always made": World(
        catalogue=with_phase(replace(BUILTIN.phases["refinement"], skipped_when_accepted=False))
    ),
    "the agent is gone": World(catalogue=OTHER_AGENTS),
    "the agent does less": World(catalogue=BRIEF),
    "nothing runs side by side": World(settings={"max_parallel_phases": 1}),
    "one model does it all": World(settings={"enable_multi_model": False}),
    "other times": World(settings={"phase_timeout": 1.0, "ymera_cache_ttl": 0}),
}


@pytest.mark.parametrize("where", STANDS.values(), ids=STANDS.keys())
@pytest.mark.parametrize("world", CHANGES.values(), ids=CHANGES.keys())
async def test_a_run_goes_on_in_the_world_of_today(settings: Settings, world: World, where: Stand) -> None:
    await stand(where, settings)
    result, script = await resumed(settings, world)
    assert result.success, result.error
    assert all(times == 1 for times in answered(result).values()), answered(result)
    assert len(script.calls) == sum(answered(result).values()) - len(where.made)
    called = set(script.called)
    gone = {m.name for k, m in BUILTIN.models.items() if world.catalogue.models.get(k) != m}
    locked = {m.name for m in BUILTIN.models.values() if m.provider in world.locked}
    free = {m.name for m in world.catalogue.models.values() if m.provider not in world.locked}
    assert not called & (gone | (locked - free))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("a model is gone", f"matched again, since {CODER} is no longer in the catalogue; "),
        ("a model retired", f"matched again, since {NAME} "),
        ("a model has another name", f"matched again, since {CODER} is no longer in the catalogue; "),
        ("a key is gone", f"matched again, since {CODER}: MISTRAL_API_KEY is not set; "),
    ],
)
@pytest.mark.parametrize("where", ["in generation", "between two tries"])
async def test_the_plan_and_the_result_say_why_another_model_does_it(
    settings: Settings, where: str, change: str, why: str
) -> None:
    await stand(STANDS[where], settings)
    result, _ = await resumed(settings, CHANGES[change])
    [made] = [p for p in result.phase_results if p.phase == "generation"]
    assert planned(result, "generation").startswith(why), planned(result, "generation")
    assert why in made.reason
    assert result.plan is not None
    assert "matched again" not in planned(result, "planning")


async def test_both_of_two_phases_side_by_side_may_be_matched_again(settings: Settings) -> None:
    where = Stand(calls=2, agent="documentation_agent", made=())
    script = Script(otherwise=HANG)
    executor = MultiModelExecutor(services=World().services(script, settings))
    run = asyncio.create_task(executor.execute_with_multi_model(where.agent, TASK, thread_id="t"))
    while len(script.calls) < 2:
        await asyncio.sleep(0.01)
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)
    lost = set(script.called)
    providers = frozenset(m.provider for m in BUILTIN.models.values() if m.name in lost)
    result, script = await resumed(settings, World(locked=providers))
    assert result.success
    for phase in ("research", "generation"):
        assert planned(result, phase).startswith("matched again, since ")
    assert not lost & set(script.called)


REFUSED = {
    "the phase is gone": (
        World(catalogue=DRAFTED),
        ResumeError,
        "The run cannot go on: the phase 'generation' is no longer in the catalogue",
    ),
    "no key is left": (
        World(locked=frozenset(BUILTIN.providers)),
        NoUsableModelError,
        f"The run cannot go on: no usable model for generation. {CODER}: MISTRAL_API_KEY is not set.",
    ),
    "the checks of the agent are unknown": (
        World(
            catalogue=replace(
                with_models(lambda models: models.pop(CODER)),
                agents={"coding_agent": replace(BUILTIN.agents["coding_agent"], checks=("astrology",))},
            )
        ),
        InputError,
        "asks for unknown checks: 'astrology'",
    ),
}


@pytest.mark.parametrize(("world", "kind", "why"), REFUSED.values(), ids=REFUSED.keys())
async def test_a_run_that_cannot_go_on_says_why_and_stays_as_it_is(
    settings: Settings, world: World, kind: type[YmeraError], why: str
) -> None:
    await stand(STANDS["in generation"], settings)
    script = Script()
    executor = MultiModelExecutor(services=world.services(script, settings))
    with pytest.raises(kind) as told:
        await executor.resume("t")
    assert why in str(told.value).splitlines()[0]
    assert script.calls == []
    result, _ = await resumed(settings, World())
    assert result.success


async def test_a_model_that_was_asked_for_is_not_replaced(settings: Settings) -> None:
    await stand(STANDS["in its first call"], settings, model="openai/gpt-oss-120b", providers=["groq"])
    with pytest.raises(NoUsableModelError, match="asks for openai/gpt-oss-120b, which cannot be used"):
        await resumed(settings, World(locked=frozenset({"groq"})))
    result, _ = await resumed(
        settings, World(locked=frozenset({"groq"})), model="gemini-3.8-flash", providers=["google"]
    )
    assert result.models_used == ["gemini-3.8-flash"]


async def test_a_provider_that_was_not_allowed_is_not_asked(settings: Settings) -> None:
    await stand(STANDS["in its first call"], settings, providers=["groq"])
    with pytest.raises(NoUsableModelError, match="no usable model for planning"):
        await resumed(settings, World(locked=frozenset({"groq"})))


async def test_the_same_task_goes_on_although_its_layout_would_be_another_today(settings: Settings) -> None:
    await stand(STANDS["beside another phase"], settings)
    script = Script(otherwise=Line(text="an answer"))
    world = CHANGES["nothing runs side by side"]
    executor = MultiModelExecutor(services=world.services(script, settings))
    result = await executor.execute_with_multi_model("documentation_agent", TASK, thread_id="t")
    assert answered(result)["research"] == 1
    assert len(script.calls) == sum(answered(result).values()) - 1


async def test_what_is_done_needs_nothing_of_todays_catalogue(settings: Settings) -> None:
    await stand(STANDS["in the review"], settings)
    lost = {c.name for c in BUILTIN.models.values() if c.provider == "anthropic"}
    world = World(catalogue=DRAFTED, locked=frozenset({"anthropic"}))
    result, script = await resumed(settings, world)
    assert (result.success, answered(result)["generation"], result.final_result) == (True, 1, "an answer")
    assert not lost & set(script.called)


async def test_a_phase_beside_another_one_is_passed_by_where_it_is_gone(settings: Settings) -> None:
    where = Stand(calls=2, agent="documentation_agent", lines={"research": [HANG], "generation": [HANG]})
    await stand(replace(where, made=()), settings)
    result, _ = await resumed(settings, World(catalogue=with_phases("research")))
    assert result.success
    assert "no longer in the catalogue" in planned(result, "research")
