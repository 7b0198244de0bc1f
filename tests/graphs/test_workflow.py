"""The real graph over scripted models: every edge, its drawing, and what the state holds afterwards."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

import pytest
from inline_snapshot import snapshot
from langchain_core.exceptions import ContextOverflowError
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.memory import InMemorySaver

from tests.scripted import ACCEPT, REVISE, Line, Script, scripted_services
from ymera.graphs.workflow import agent_layout, build
from ymera.nodes.settings import Settings
from ymera.nodes.state import RunContext
from ymera.routing.errors import InputError, UnknownAgentError

TASK = "Build the importer that the finance team needs for its monthly statements"
DOWN = ConnectionError("no route to host")


def edges(agent: str, settings: Settings) -> list[str]:
    services = scripted_services(Script(), settings)
    drawn = build(agent_layout(agent, services), services).compile().get_graph()
    return sorted(f"{edge.source} -{edge.data or ''}-> {edge.target}" for edge in drawn.edges)


async def run(script: Script, settings: Settings, **given: Any) -> dict[str, Any]:
    """Run the coding agent's graph and return its whole state."""
    services = scripted_services(script, settings)
    agent = given.pop("agent", "coding_agent")
    context = given.pop("context", None)
    graph = build(agent_layout(agent, services), services, agent).compile(checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "t"}}
    asked: Any = {"task": TASK, "agent": agent, **given}
    await graph.ainvoke(asked, config, context=context)
    state: dict[str, Any] = (await graph.aget_state(config)).values
    return state


def models(state: dict[str, Any], phase: str) -> list[str]:
    """Return the planned candidates of a phase."""
    plan = next(plan for plan in state["plan"]["phases"] if plan["phase"] == phase)
    return [candidate["model"] for candidate in (plan["primary_model"], *plan["fallback_models"])]


def tried(state: dict[str, Any], phase: str) -> list[tuple[str, bool]]:
    return [(a["model"], a["ok"]) for a in state["attempts"] if a["phase"] == phase]


def test_the_drawing_of_an_agent_shows_its_phases_and_what_may_follow_each(settings: Settings) -> None:
    assert edges("database_agent", settings) == snapshot(
        [
            "__start__ --> match",
            "abort --> __end__",
            "generation -budget-> __end__",
            "generation -failed-> abort",
            "generation -next-> validation",
            "generation -retry or fallback or escalate-> generation",
            "match -next-> planning",
            "match -no model-> abort",
            "planning -budget-> __end__",
            "planning -failed-> abort",
            "planning -next-> generation",
            "planning -retry or fallback-> planning",
            "validation -done or skip or budget-> __end__",
            "validation -escalate-> generation",
            "validation -retry or fallback-> validation",
        ]
    )


def test_the_drawing_of_parallel_phases_joins_them_in_one_node_that_decides(settings: Settings) -> None:
    assert edges("documentation_agent", settings) == snapshot(
        [
            "__start__ --> match",
            "abort --> __end__",
            "generation --> join_0",
            "join_0 -budget-> __end__",
            "join_0 -failed-> abort",
            "join_0 -mend first-> refinement",
            "join_0 -next or skip-> review",
            "match -next generation-> generation",
            "match -next research-> research",
            "match -no model-> abort",
            "refinement -again-> review",
            "refinement -done or skip or budget-> __end__",
            "refinement -retry or fallback or escalate-> refinement",
            "research --> join_0",
            "review -accepted or budget-> __end__",
            "review -escalate generation-> generation",
            "review -escalate research-> research",
            "review -next or skip-> refinement",
            "review -retry or fallback-> review",
        ]
    )


async def test_every_phase_runs_on_the_model_that_the_plan_names(settings: Settings) -> None:
    script = Script(judge=Line(text=REVISE))
    state = await run(script, settings)
    for phase in ("planning", "generation", "review", "refinement"):
        assert tried(state, phase) == [(models(state, phase)[0], True)]
    assert state["final_result"] == "an answer"
    assert state["error"] == ""


async def test_a_failing_model_falls_back_to_the_next_and_the_attempt_keeps_its_cause(
    settings: Settings,
) -> None:
    script = Script()
    script.lines["codestral-latest"] = deque([Line(error=DOWN)])
    state = await run(script, settings)
    assert tried(state, "generation") == [
        ("codestral-latest", False),
        ("codestral-latest", False),
        (models(state, "generation")[1], True),
    ]
    first, again = [a for a in state["attempts"] if not a["ok"]]
    assert (first["fault"]["kind"], first["fault"]["retry"]["again"]) == ("unreachable", "same")
    assert (again["again"], "retry" in again["fault"]) == ("same", False)


async def test_a_model_that_fails_once_answers_the_second_time(settings: Settings) -> None:
    script = Script()
    script.lines["codestral-latest"] = deque([Line(error=DOWN), Line(text="an answer")])
    state = await run(script, settings)
    assert tried(state, "generation") == [("codestral-latest", False), ("codestral-latest", True)]


async def test_a_prompt_that_is_too_long_is_sent_again_with_half_of_what_was_read(settings: Settings) -> None:
    script = Script()
    plan = await run(Script(), settings)
    [planner] = models(plan, "planning")[:1]
    script.lines[planner] = deque([Line(text="a step " * 2_000)])
    script.lines["codestral-latest"] = deque([Line(error=ContextOverflowError()), Line(text="an answer")])
    state = await run(script, settings)
    assert tried(state, "generation") == [("codestral-latest", False), ("codestral-latest", True)]
    long, short = (len(str(asked)) for model, asked in script.calls if model == "codestral-latest")
    assert 0.4 * long < short < 0.6 * long
    assert [a.get("again") for a in state["attempts"] if a["phase"] == "generation"] == [None, "compact"]


async def test_a_prompt_that_cannot_be_made_shorter_goes_to_the_next_model(settings: Settings) -> None:
    script = Script()
    first = models(await run(Script(), settings), "planning")
    script.lines[first[0]] = deque([Line(error=ContextOverflowError())])
    state = await run(script, settings)
    assert tried(state, "planning") == [(first[0], False), (first[1], True)]


async def test_a_verdict_that_cannot_be_read_is_mended_once_by_its_own_model(settings: Settings) -> None:
    script = Script(judge=Line(text="It looks fine to me."))
    reviewer = models(await run(Script(), settings), "review")[0]
    script.lines[reviewer] = deque([Line(text="It looks fine to me."), Line(text=ACCEPT)])
    state = await run(script, settings)
    assert tried(state, "review") == [(reviewer, False), (reviewer, True)]
    assert state["verdicts"]["review"]["decision"] == "accept"
    asked = script.calls[-1][1]
    assert [message.type for message in asked] == ["system", "human", "ai", "human"]
    assert asked[2].content == "It looks fine to me."
    first = next(a for a in state["attempts"] if a["phase"] == "review")
    assert first["partial"] == "It looks fine to me."


async def test_a_critical_phase_without_a_candidate_left_aborts_with_what_was_done_so_far(
    settings: Settings,
) -> None:
    script = Script()
    first = await run(Script(), settings)
    for model in models(first, "generation"):
        script.lines[model] = deque([Line(error=ValueError("bad answer"))])
    script.lines.update({model: deque([Line(text="a plan")]) for model in models(first, "planning")[:1]})
    state = await run(script, settings)
    assert state["phase_outputs"] == {"planning": "a plan"}
    assert state["error"].startswith("The run stopped: generation has no candidate left.")
    assert "review" not in [a["phase"] for a in state["attempts"]]


async def test_when_nothing_answers_the_result_says_so_with_each_attempt(settings: Settings) -> None:
    state = await run(Script(otherwise=Line(error=DOWN), judge=Line(error=DOWN)), settings)
    assert state["error"].startswith("All phases failed: planning has no candidate left.")
    assert state["error"].count("unreachable") == len(state["attempts"])
    assert state["final_result"] == ""


async def test_a_failed_review_goes_on_to_refinement(settings: Settings) -> None:
    state = await run(Script(judge=Line(text="looks fine to me")), settings)
    assert {ok for _, ok in tried(state, "review")} == {False}
    assert {a["fault"]["kind"] for a in state["attempts"] if a["phase"] == "review"} == {"schema_not_met"}
    assert [ok for _, ok in tried(state, "refinement")] == [True]


async def test_a_failed_refinement_leaves_the_result_of_the_generation(settings: Settings) -> None:
    script = Script(judge=Line(text=REVISE))
    plan = await run(Script(), settings)
    script.lines[models(plan, "planning")[0]] = deque([Line(text="a plan")])
    for model in models(plan, "refinement"):
        script.lines[model] = deque([Line(error=DOWN)])
    script.lines[models(plan, "generation")[0]] = deque([Line(text="the first result"), Line(error=DOWN)])
    state = await run(script, settings)
    assert not any(ok for _, ok in tried(state, "refinement"))
    assert state["final_result"] == "the first result"


async def test_an_accepting_review_passes_refinement_by(settings: Settings) -> None:
    state = await run(Script(), settings)
    assert state["verdicts"]["review"]["decision"] == "accept"
    assert tried(state, "refinement") == []


async def test_a_refinement_that_fails_more_checks_does_not_replace_the_result(settings: Settings) -> None:
    good, bad = "```python\nprint('hi')\n```", "```python\nprint('hi'\n```"
    script = Script(judge=Line(text=REVISE))
    script.lines["codestral-latest"] = deque([Line(text=good), Line(text=bad)])
    state = await run(script, settings)
    refinement = next(a for a in state["attempts"] if a["phase"] == "refinement")
    assert state["final_result"] == good
    assert refinement["note"].startswith("kept the earlier result")


async def test_a_failed_check_overrules_an_accepting_review(settings: Settings) -> None:
    script = Script()
    script.lines["codestral-latest"] = deque(
        [Line(text="```python\nprint('hi'\n```"), Line(text="```python\n1\n```")]
    )
    state = await run(script, settings)
    assert state["verdicts"]["review"]["decision"] == "revise"
    assert state["final_result"] == "```python\n1\n```"


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        pytest.param(
            Line(text="half", finish=None), "cut_short", id="a stream that ends without a finish reason"
        ),
        pytest.param(Line(text="half", finish="length"), "length_reached", id="an answer cut at the bound"),
        pytest.param(Line(text="", finish="content_filter"), "refused", id="a filtered answer"),
        pytest.param(Line(text=""), "empty", id="an empty answer"),
        pytest.param(
            Line(text="one two three", breaks_after=2, error=DOWN), "unreachable", id="a stream that breaks"
        ),
    ],
)
async def test_an_answer_counts_only_when_it_is_finished(settings: Settings, line: Line, kind: str) -> None:
    script = Script()
    script.lines["codestral-latest"] = deque([line])
    state = await run(script, settings)
    first = next(a for a in state["attempts"] if a["phase"] == "generation")
    assert (first["ok"], first["fault"]["kind"]) == (False, kind)


async def test_an_attempt_that_takes_too_long_is_given_up_and_the_next_model_answers(
    settings: Settings,
) -> None:
    script = Script()
    script.lines["codestral-latest"] = deque([Line(text="late", seconds=30)])
    state = await run(script, settings, context=RunContext(first_token_timeout=0.2))
    first, second = [a for a in state["attempts"] if a["phase"] == "generation"]
    assert first["fault"]["kind"] == "timed_out"
    assert "did not begin within 0.2 s" in first["fault"]["message"]
    assert second["ok"]


async def test_an_answer_that_comes_to_a_standstill_is_given_up_with_what_it_had_said(
    settings: Settings,
) -> None:
    script = Script()
    script.lines["codestral-latest"] = deque([Line(text="one two three", stands_still_after=2)])
    state = await run(script, settings, context=RunContext(silence_timeout=0.2))
    first, second = [a for a in state["attempts"] if a["phase"] == "generation"]
    assert (first["fault"]["kind"], first["partial"]) == ("stalled", "one two")
    assert (first["usage"]["estimated"], first["usage"]["output_tokens"] > 0) == (1, True)
    assert second["ok"]


async def test_the_time_of_a_phase_counts_for_all_of_its_attempts_together(settings: Settings) -> None:
    script = Script(otherwise=Line(text="late", seconds=30))
    state = await run(script, settings, context=RunContext(phase_timeout=0.3))
    made = [a for a in state["attempts"] if a["phase"] == "planning"]
    assert len(made) == 1
    assert "Phase execution timeout after 0.3 s" in made[0]["fault"]["message"]
    assert "Phase execution timeout" in state["error"]


async def test_phases_side_by_side_overlap_and_their_fallbacks_turn_independently(settings: Settings) -> None:
    order: list[str] = []
    script = Script()
    plan = await run(Script(), settings, agent="documentation_agent")
    research, generation = models(plan, "research"), models(plan, "generation")
    script.lines[research[0]] = deque([Line(error=DOWN)])
    script.lines[generation[0]] = deque([Line(text="slow", seconds=0.3)])
    state = await run(script, settings, agent="documentation_agent")
    made = {a["id"]: a for a in state["attempts"]}
    order = sorted(made, key=lambda name: made[name]["started_at"] + made[name]["seconds"])
    assert order.index("research-2") < order.index("generation-1")
    assert len(state["attempts"]) == len(made)
    assert sum(a["usage"]["output_tokens"] for a in state["attempts"]) == state["usage"]["output_tokens"]


async def test_a_budget_ends_the_run_with_what_was_done_so_far(settings: Settings) -> None:
    state = await run(Script(), settings, context=RunContext(model="codestral-latest", budget_tokens=1_000))
    assert state["phase_outputs"] == {"planning": "an answer"}
    generation = [a for a in state["attempts"] if a["phase"] == "generation"]
    assert {a["fault"]["kind"] for a in generation} == {"over_budget"}
    assert not state["error"]


async def test_a_budget_that_no_call_fits_lets_none_be_made(settings: Settings) -> None:
    script = Script()
    state = await run(script, settings, context=RunContext(budget_tokens=1))
    assert script.calls == []
    assert {a["fault"]["kind"] for a in state["attempts"]} == {"over_budget"}


async def test_a_refusal_ends_the_phase_unless_the_run_may_go_round_it(settings: Settings) -> None:
    def script() -> Script:
        told = Script()
        told.lines["codestral-latest"] = deque([Line(text="", finish="content_filter")])
        return told

    state = await run(script(), settings)
    assert tried(state, "generation") == [("codestral-latest", False)]
    assert "refused" in state["error"]
    unlearned = settings.model_copy(
        update={"ymera_outcome_days": 0}
    )  # the refusal would count against the model
    state = await run(script(), unlearned, context=RunContext(route_around_refusals=True))
    assert [ok for _, ok in tried(state, "generation")] == [False, True]


async def test_a_single_model_strategy_runs_the_same_graph_on_one_model(settings: Settings) -> None:
    state = await run(Script(judge=Line(text=REVISE)), settings, context=RunContext(strategy="single_model"))
    assert state["plan"]["strategy_type"] == "single_model"
    assert len({a["model"] for a in state["attempts"]}) == 1
    assert len(state["attempts"]) == 4


async def test_the_whole_workflow_passes_by_the_phases_that_an_agent_does_without(settings: Settings) -> None:
    services = scripted_services(Script(), settings)
    result = await build(None, services).compile().ainvoke({"task": TASK, "agent": "database_agent"})
    assert list(result["phase_outputs"]) == ["planning", "generation", "validation"]
    assert set(result) <= {"final_result", "error", "phase_outputs", "usage", "messages"}


async def test_a_chat_client_hands_in_messages_and_gets_its_answer_appended(settings: Settings) -> None:
    script = Script()
    services = scripted_services(script, settings)
    graph = build(None, services).compile(checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "chat"}}
    await graph.ainvoke({"messages": [HumanMessage("Write a haiku about rivers")]}, config)
    result = await graph.ainvoke({"messages": [HumanMessage("Now one about mountains")]}, config)
    assert [m.type for m in result["messages"]] == ["human", "ai", "human", "ai"]
    assert "mountains" in str(script.calls[-1][1][1].content)
    assert "rivers" not in str(script.calls[-1][1][1].content)
    assert len((await graph.aget_state(config)).values["attempts"]) == 3


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        pytest.param({"task": " "}, InputError, "The task is empty", id="no task"),
        pytest.param(
            {"parameters": {"x": object()}},
            InputError,
            "not a JSON object",
            id="parameters that are not JSON",
        ),
        pytest.param({"phases": ["cooking"]}, InputError, "Unknown phase 'cooking'", id="an unknown phase"),
        pytest.param({"phases": ["review"]}, InputError, "produce no result", id="phases without generation"),
        pytest.param(
            {"context": RunContext(strict=True), "agent": "chef"},
            UnknownAgentError,
            "No profile for agent",
            id="an unknown agent",
        ),
    ],
)
async def test_bad_input_ends_a_bare_run_with_one_clear_error(
    settings: Settings, given: dict[str, Any], error: type[Exception], words: str
) -> None:
    services = scripted_services(Script(), settings)
    context = given.get("context")
    asked: Any = {"task": TASK, **{name: value for name, value in given.items() if name != "context"}}
    with pytest.raises(error, match=words):
        await build(None, services).compile().ainvoke(asked, context=context)


async def test_a_phase_whose_model_left_the_catalogue_since_the_plan_is_matched_again(
    settings: Settings,
) -> None:
    services = scripted_services(Script(), settings)
    graph = build(agent_layout("coding_agent", services), services).compile(checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "t"}}
    await graph.ainvoke({"task": TASK}, config, interrupt_before=["generation"])
    del services.matcher.models["mistral:codestral-latest"]
    await graph.ainvoke(None, config)
    state = (await graph.aget_state(config)).values
    assert tried(state, "generation") == [(models(state, "generation")[0], True)]
    [plan] = [plan for plan in state["plan"]["phases"] if plan["phase"] == "generation"]
    assert plan["reason"].startswith(
        "matched again, since mistral:codestral-latest is no longer in the catalogue; "
    )


async def test_a_cancelled_run_resumes_without_repeating_an_answer(settings: Settings) -> None:
    script = Script()
    script.lines["codestral-latest"] = deque([Line(text="slow", seconds=30), Line(text="done")])
    services = scripted_services(script, settings)
    saver = InMemorySaver()
    config: Any = {"configurable": {"thread_id": "t"}}
    graph = build(agent_layout("coding_agent", services), services).compile(checkpointer=saver)
    running = asyncio.create_task(graph.ainvoke({"task": TASK}, config))
    while "codestral-latest" not in script.called:
        await asyncio.sleep(0.01)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await graph.ainvoke(None, config)
    state = (await graph.aget_state(config)).values
    assert script.called.count("openai/gpt-oss-120b") == 1
    assert state["final_result"] == "done"
