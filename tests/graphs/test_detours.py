"""Runs of the real graph that leave their order: each way is drawn, walked, bounded and told."""

from __future__ import annotations

from collections import Counter, deque
from typing import Any

from dirty_equals import Contains, IsPartialDict, IsStr
from langgraph.checkpoint.memory import InMemorySaver

from tests.scripted import ACCEPT, REVISE, Line, Script, scripted_services
from ymera import MultiModelExecutor
from ymera.graphs.workflow import agent_layout, build
from ymera.nodes.services import Services
from ymera.nodes.settings import Settings
from ymera.nodes.state import RunContext
from ymera.routing.attempts import Gate
from ymera.routing.flow import key_of
from ymera.routing.records import ModelProfile, Price

TASK = "Build the importer that the finance team needs for its monthly statements"
GOOD, BROKEN = "```python\nx = 1\n```", "```python\nx = = 1\n```"
DOWN = ConnectionError("no route to host")
THRIFTY = RunContext(thrift=0.8, rounds=1, strategy="multi_model")
"""Plans with cheap models, and may go back once."""
LAVISH = RunContext(rounds=1, strategy="multi_model")
ALL = ["planning", "generation", "review", "refinement", "validation"]
SKILLS = ("quality", "code", "reasoning", "accuracy", "planning", "speed", "creativity")


def model(name: str, score: float, usd: float) -> ModelProfile:
    return ModelProfile(
        name=name,
        provider="openai",
        model_id=name,
        scores=dict.fromkeys(SKILLS, score),
        context_tokens=100_000,
        max_output_tokens=8_000,
        price=Price(input=usd, output=2 * usd),
    )


MODELS = {m.key: m for m in (model("cheap", 5.5, 0.1), model("middling", 7, 1.0), model("dear", 9.5, 3.0))}


def services_over(script: Script, settings: Settings) -> Services:
    return scripted_services(script, settings, MODELS)


async def run(script: Script, settings: Settings, context: RunContext, **given: Any) -> dict[str, Any]:
    """Run an agent's graph and return its whole state, with the events that it told as `told`."""
    services = services_over(script, settings)
    agent, gates = given.pop("agent", "coding_agent"), given.pop("gates", ())
    layout = None if given.get("phases") == ALL else agent_layout(agent, services)
    drawn = build(layout, services, agent, gates=gates)
    graph = drawn.compile(checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "t"}}
    asked: Any = {"task": TASK, "agent": agent, **given}
    told = [event async for event in graph.astream(asked, config, context=context, stream_mode="custom")]
    return {**(await graph.aget_state(config)).values, "told": told}


def made(state: dict[str, Any]) -> list[str]:
    return [attempt["id"] for attempt in state["attempts"]]


def ways(state: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(d["way"], d["phase"], d["to"]) for d in state["detours"]]


def asked_of(script: Script, marker: str) -> list[str]:
    """Return what was shown to the calls whose instructions hold a text."""
    return [str(messages[1].content) for _, messages in script.calls if marker in str(messages[0].content)]


async def test_a_cheap_answer_that_the_review_sends_back_goes_to_a_better_model(settings: Settings) -> None:
    script = Script(judge=Line(text=REVISE))
    state = await run(script, settings, THRIFTY)
    assert ways(state) == [("escalate", "review", "generation")]
    assert made(state) == [
        *("planning-1", "generation-1", "review-1", "generation-2", "review-2", "refinement-1")
    ]
    cheap, better = [a for a in state["attempts"] if a["phase"] == "generation"]
    assert key_of(cheap) != key_of(better)
    assert key_of(better) in state["detours"][0]["because"]
    assert IsPartialDict(event="detour", phase="review", way="escalate") in state["told"]


async def test_a_run_without_rounds_keeps_to_its_order(settings: Settings) -> None:
    script = Script(judge=Line(text=REVISE), otherwise=Line(text=BROKEN))
    state = await run(script, settings, RunContext(thrift=1.0, strategy="multi_model"))
    assert state["detours"] == []
    assert made(state) == ["planning-1", "generation-1", "review-1", "refinement-1"]


async def test_a_cheap_answer_that_fails_a_check_goes_to_a_better_model_before_anyone_judges_it(
    settings: Settings,
) -> None:
    script = Script(otherwise=Line(text=GOOD))
    script.lines["cheap"] = deque([Line(text=BROKEN)])
    state = await run(script, settings, THRIFTY, phases=["generation", "review", "refinement"])
    assert ways(state) == [("escalate", "generation", "generation")]
    assert made(state)[:2] == ["generation-1", "generation-2"]
    assert "compiles" in state["detours"][0]["because"]
    assert state["final_result"] == GOOD


async def test_a_phase_beside_another_turns_to_a_better_model_in_its_own_lane(settings: Settings) -> None:
    script = Script(otherwise=Line(text=GOOD))
    script.lines["cheap"] = deque([Line(text="```python\nopen")])
    state = await run(script, settings, THRIFTY, agent="documentation_agent")
    assert ("escalate", "generation", "generation") in ways(state)
    assert Counter(a["phase"] for a in state["attempts"])["research"] == 1
    assert state["final_result"] == GOOD


async def test_a_failed_check_is_mended_before_the_review_which_comes_after(settings: Settings) -> None:
    script = Script(otherwise=Line(text=GOOD))
    script.lines["dear"] = deque(Line(text=text) for text in ("a plan", BROKEN, GOOD, ACCEPT))
    state = await run(script, settings, LAVISH)
    assert ways(state) == [("mend first", "generation", "refinement"), ("again", "refinement", "review")]
    assert made(state) == ["planning-1", "generation-1", "refinement-1", "review-1"]
    assert state["final_result"] == GOOD
    assert "Python block 1 compiles" in asked_of(script, "You correct a result")[0]


async def test_what_was_mended_is_reviewed_again_at_most_as_often_as_the_rounds_say(
    settings: Settings,
) -> None:
    for rounds in (0, 1, 3):
        script, context = Script(judge=Line(text=REVISE)), RunContext(rounds=rounds, strategy="multi_model")
        state = await run(script, settings, context)
        count = Counter(a["phase"] for a in state["attempts"])
        assert count["review"] == count["refinement"] == rounds + 1
        assert ways(state) == [("again", "refinement", "review")] * rounds


async def test_the_final_check_sends_back_and_its_findings_are_shown_to_who_mends(settings: Settings) -> None:
    script = Script()
    script.lines["dear"] = deque(
        Line(text=text) for text in ("a plan", "a result", ACCEPT, REVISE, "mended", ACCEPT)
    )
    state = await run(script, settings, LAVISH, phases=ALL)
    assert ways(state) == [("again", "validation", "refinement")]
    assert made(state)[-3:] == ["validation-1", "refinement-1", "validation-2"]
    assert "the greeting is missing" in asked_of(script, "You correct a result")[0]
    assert state["final_result"] == "mended"


async def test_where_the_better_models_are_down_the_earlier_answer_stands(settings: Settings) -> None:
    script = Script(judge=Line(text=REVISE), otherwise=Line(text=GOOD))
    script.lines["dear"] = script.lines["middling"] = deque([Line(error=DOWN)])
    state = await run(script, settings, THRIFTY)
    assert ways(state)[:1] == [("escalate", "review", "generation")]
    assert [a["model"] for a in state["attempts"] if a["ok"] and a["phase"] == "generation"] == ["cheap"]
    assert state["error"] == ""
    assert state["final_result"] == GOOD


async def test_a_thrifty_run_is_content_with_one_acceptance(settings: Settings) -> None:
    context = RunContext(thrift=0.5, strategy="multi_model")
    state = await run(Script(), settings, context, phases=ALL)
    assert ways(state) == [("enough", "review", "")]
    assert made(state) == ["planning-1", "generation-1", "review-1"]


async def test_a_run_that_is_stopped_before_every_step_takes_the_same_way(settings: Settings) -> None:
    settings = settings.model_copy(
        update={"ymera_outcome_days": 0.0}
    )  # what one run sees would move the other
    whole = await run(Script(judge=Line(text=REVISE)), settings, THRIFTY)
    services = services_over(script := Script(judge=Line(text=REVISE)), settings)
    drawn = build(agent_layout("coding_agent", services), services, "coding_agent")
    graph = drawn.compile(checkpointer=InMemorySaver(), interrupt_before="*")
    config: Any = {"configurable": {"thread_id": "t"}}
    asked: Any = {"task": TASK, "agent": "coding_agent"}
    await graph.ainvoke(asked, config, context=THRIFTY)
    for _ in range(20):
        if (seen := await graph.aget_state(config)).next:
            await graph.ainvoke(None, config, context=THRIFTY)
    assert not seen.next
    assert (made(seen.values), ways(seen.values)) == (made(whole), ways(whole))
    assert len(script.calls) == len(whole["attempts"]), "nothing is asked twice"


async def test_where_a_person_judges_no_model_turns_the_run(settings: Settings) -> None:
    gates: tuple[Gate, ...] = ("review",)
    script = Script(judge=Line(text=REVISE))
    state = await run(script, settings, THRIFTY, gates=gates)
    assert state["detours"] == []
    assert made(state) == ["planning-1", "generation-1", "review-1"], "the run waits at the gate"


async def test_the_result_tells_the_detours_and_the_reason_stands_with_the_phase(settings: Settings) -> None:
    executor = MultiModelExecutor(services=services_over(Script(judge=Line(text=REVISE)), settings))
    async with executor:
        result = await executor.execute_with_multi_model("coding_agent", TASK, {}, context=THRIFTY)
    assert result.detours == [IsPartialDict(way="escalate", because=IsStr(regex="review sent it back: .*"))]
    generation = next(phase for phase in result.phase_results if phase.phase == "generation")
    assert "review sent it back" in generation.reason
    assert generation.attempts == Contains(IsPartialDict(id="generation-2", ok=True))
