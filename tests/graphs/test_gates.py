"""Gates: the run waits for a person, whose answer alone decides how it goes on; nothing is paid twice."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from dirty_equals import Contains, IsPartialDict, IsStr
from inline_snapshot import snapshot
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from tests.scripted import ACCEPT, REVISE, Line, Script, scripted_services
from ymera.graphs.workflow import agent_layout, build
from ymera.nodes.services import Services
from ymera.nodes.settings import Settings
from ymera.nodes.state import RunContext
from ymera.routing.attempts import Gate
from ymera.routing.errors import InputError
from ymera.routing.flow import key_of

TASK = "Build the importer that the finance team needs for its monthly statements"
BOTH: tuple[Gate, ...] = ("plan", "review")
DOWN = ConnectionError("no route to host")


@dataclass
class Waiting:
    """A gated run over scripted models."""

    settings: Settings
    gates: tuple[Gate, ...] = BOTH
    agent: str = "coding_agent"
    script: Script = field(default_factory=Script)
    asked: dict[str, Any] = field(default_factory=lambda: {"task": TASK})
    context: RunContext | None = None

    def __post_init__(self) -> None:
        self.services: Services = scripted_services(self.script, self.settings)
        graph = build(agent_layout(self.agent, self.services), self.services, self.agent, gates=self.gates)
        self.graph = graph.compile(checkpointer=InMemorySaver())
        self.config: Any = {"configurable": {"thread_id": "t"}}

    async def start(self) -> Any:
        await self.graph.ainvoke(cast("Any", self.asked), self.config, context=self.context)
        return await self.question()

    async def answer(self, given: Any) -> Any:
        await self.graph.ainvoke(Command(resume=given), self.config, context=self.context)
        return await self.question()

    async def question(self) -> Any:
        seen = await self.graph.aget_state(self.config)
        return seen.interrupts[0].value if seen.interrupts else None

    async def state(self) -> dict[str, Any]:
        values: dict[str, Any] = (await self.graph.aget_state(self.config)).values
        return values

    def shown_last(self) -> str:
        return "\n".join(str(message.content) for message in self.script.calls[-1][1])


@pytest.fixture
def waiting(settings: Settings) -> Waiting:
    return Waiting(settings)


def tried(state: dict[str, Any]) -> list[str]:
    return [attempt["id"] for attempt in state["attempts"]]


def test_gates_are_drawn_with_what_may_follow_them(waiting: Waiting) -> None:
    drawn = waiting.graph.get_graph()
    assert sorted(
        f"{edge.source} -{edge.data or ''}-> {edge.target}"
        for edge in drawn.edges
        if "approve" in f"{edge.source} {edge.target}"
    ) == snapshot(
        [
            "approve_plan -next-> generation",
            "approve_plan -rejected-> abort",
            "approve_review -accepted-> __end__",
            "approve_review -another model-> generation",
            "approve_review -next-> refinement",
            "planning -next-> approve_plan",
            "review -next or skip-> approve_review",
        ]
    )


@pytest.mark.parametrize("agent", ["database_agent", "documentation_agent", "analysis_agent"])
def test_a_gate_whose_phase_an_agent_does_without_is_left_out(settings: Settings, agent: str) -> None:
    services = scripted_services(Script(), settings)
    layout = agent_layout(agent, services)
    names = {name for name in build(layout, services, agent, gates=BOTH).nodes if name.startswith("approve")}
    phases = [phase for group in layout for phase in group]
    assert names == {
        f"approve_{gate}" for gate, phase in (("plan", "planning"), ("review", "review")) if phase in phases
    }
    assert len(names) < 2


async def test_a_run_that_does_without_a_gates_phase_warns_and_asks_nothing(settings: Settings) -> None:
    run = Waiting(settings, asked={"task": TASK, "phases": ["generation"]})
    assert await run.start() is None
    assert (await run.state())["plan"]["warnings"] == snapshot(
        [
            "no approval of the plan: the run has no phase planning",
            "no approval of the review: the run has no phase review",
        ]
    )


async def test_a_graph_without_the_gate_that_a_run_asks_for_refuses_the_run(settings: Settings) -> None:
    run = Waiting(settings, gates=(), context=RunContext(approve=["plan"]))
    with pytest.raises(InputError, match="no gate for the approval of the plan"):
        await run.start()
    assert run.script.calls == []


async def test_the_plan_is_shown_with_who_is_to_do_what(waiting: Waiting) -> None:
    waiting.script.otherwise = Line(text="1. read 2. write")
    assert await waiting.start() == {
        "gate": "plan",
        "text": "1. read 2. write",
        "models": {"generation": IsStr(), "review": IsStr(), "refinement": IsStr()},
        "answers": snapshot(
            [
                {"decision": "approve"},
                {"decision": "edit", "text": "the plan as it should be"},
                {"decision": "reject", "why": "why the run is to stop"},
            ]
        ),
    }
    assert len(waiting.script.calls) == 1


async def test_an_edited_plan_is_what_generation_reads(waiting: Waiting) -> None:
    await waiting.start()
    await waiting.answer({"decision": "edit", "text": "1. use a csv reader"})
    generation = next(messages for _, messages in waiting.script.calls[1:])
    assert "1. use a csv reader" in str(generation[-1].content)
    state = await waiting.state()
    assert state["phase_outputs"]["planning"] == "1. use a csv reader"
    assert tried(state) == ["planning-1", "generation-1", "review-1"]


async def test_what_is_left_of_a_budget_holds_behind_a_pause(settings: Settings) -> None:
    long = Line(text=" ".join(["step"] * 2_500))
    run = Waiting(settings, script=Script(otherwise=long), context=RunContext(budget_tokens=3_000))
    assert (await run.start())["gate"] == "plan"
    run.context = None  # whoever answers need not know of it
    assert await run.answer("approve") is None
    state = await run.state()
    assert {a["fault"] and a["fault"]["kind"] for a in state["attempts"][1:]} == {"over_budget"}
    assert len(run.script.calls) == 1


async def test_a_rejected_plan_stops_the_run_along_its_edge(waiting: Waiting) -> None:
    await waiting.start()
    assert await waiting.answer({"decision": "reject", "why": "it forgets the tests"}) is None
    state = await waiting.state()
    assert state["error"] == "The plan was rejected: it forgets the tests"
    assert tried(state) == ["planning-1"]


@pytest.mark.parametrize("said", [ACCEPT, REVISE], ids=["the review accepts", "the review asks to revise"])
async def test_a_person_accepts_whatever_the_review_says(waiting: Waiting, said: str) -> None:
    waiting.script.judge = Line(text=said)
    await waiting.start()
    await waiting.answer("approve")
    assert await waiting.answer({"decision": "accept"}) is None
    state = await waiting.state()
    assert state["verdicts"]["review"]["decision"] == "accept"
    assert tried(state) == ["planning-1", "generation-1", "review-1"]


async def test_a_persons_note_makes_refinement_mend_what_the_review_accepted(waiting: Waiting) -> None:
    await waiting.start()
    await waiting.answer("approve")
    assert await waiting.answer({"decision": "revise", "note": "greet the reader"}) is None
    state = await waiting.state()
    assert state["verdicts"]["review"] == IsPartialDict(
        decision="revise", findings=Contains("greet the reader")
    )
    assert tried(state)[-1] == "refinement-1"
    assert "greet the reader" in waiting.shown_last()


async def test_another_model_makes_the_result_again_and_it_is_reviewed_again(waiting: Waiting) -> None:
    waiting.script.lines["deepseek-flash"].append(Line(text="the better result"))
    await waiting.start()
    await waiting.answer("approve")
    again = await waiting.answer({"decision": "model", "model": "deepseek-flash"})
    assert (again["gate"], again["text"]) == ("review", "the better result")
    assert await waiting.answer("accept") is None
    state = await waiting.state()
    assert tried(state) == ["planning-1", "generation-1", "review-1", "generation-2", "review-2"]
    assert key_of(state["attempts"][3]) == "deepseek:deepseek-flash"
    assert state["final_result"] == "the better result"
    assert len(waiting.script.calls) == 5
    assert state["usage"]["input_tokens"] == sum(a["usage"]["input_tokens"] for a in state["attempts"])


async def test_the_others_stand_behind_a_model_that_a_person_asked_for_and_that_fails(
    waiting: Waiting,
) -> None:
    waiting.script.lines["deepseek-flash"].append(Line(error=DOWN))
    await waiting.start()
    await waiting.answer("approve")
    first = next(a for a in (await waiting.state())["attempts"] if a["phase"] == "generation")
    await waiting.answer({"decision": "model", "model": "deepseek-flash"})
    made = [a for a in (await waiting.state())["attempts"] if a["phase"] == "generation"]
    assert {key_of(a) for a in made[1:-1]} == {"deepseek:deepseek-flash"}
    assert (key_of(made[-1]), made[-1]["ok"]) == (key_of(first), True)


async def test_phases_beside_generation_are_not_made_again(settings: Settings) -> None:
    run = Waiting(settings, agent="documentation_agent")
    await run.start()
    await run.answer({"decision": "model", "model": "deepseek-flash"})
    assert sorted(tried(await run.state())) == [
        "generation-1",
        "generation-2",
        "research-1",
        "review-1",
        "review-2",
    ]


async def test_a_person_may_ask_for_one_model_after_the_other_but_for_none_twice(waiting: Waiting) -> None:
    await waiting.start()
    await waiting.answer("approve")
    for model in ("deepseek-flash", "mistral-medium-latest"):
        assert "problem" not in await waiting.answer({"decision": "model", "model": model})
    asked = await waiting.answer({"decision": "model", "model": "deepseek-flash"})
    assert asked["problem"] == snapshot(
        "deepseek:deepseek-flash has answered generation in this run already. Name another model."
    )
    assert len(waiting.script.calls) == 7


@pytest.mark.parametrize(
    ("given", "said"),
    [
        pytest.param("perhaps", "'perhaps' is no answer here.", id="a word that is none"),
        pytest.param(
            {"decision": "accept"}, "{'decision': 'accept'} is no answer here.", id="another gate's"
        ),
        pytest.param({"decision": "edit"}, "is not complete, or says too much.", id="an edit without a text"),
        pytest.param(
            {"decision": "approve", "text": "x"}, "is not complete, or says too much.", id="a field too many"
        ),
        pytest.param([1], "[1] is no answer here.", id="a list"),
    ],
)
async def test_a_wrong_answer_is_told_and_asked_again(waiting: Waiting, given: Any, said: str) -> None:
    await waiting.start()
    asked = await waiting.answer(given)
    assert said in asked["problem"]
    assert 'Answer with one of: {"decision": "approve"};' in asked["problem"]
    assert (await waiting.answer("approve"))["gate"] == "review"
    assert tried(await waiting.state()) == ["planning-1", "generation-1", "review-1"]


# --- what is learned from it -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "quality"),
    [
        pytest.param({"decision": "approve"}, 1.0, id="approved"),
        pytest.param({"decision": "reject", "why": "not this"}, 0.0, id="rejected"),
        pytest.param({"decision": "edit", "text": "another plan"}, None, id="changed by hand"),
    ],
)
async def test_what_a_person_says_of_a_plan_is_the_quality_of_the_answer_that_it_was(
    answer: dict[str, str], quality: float | None, settings: Settings
) -> None:
    waiting = Waiting(settings, gates=("plan",))
    await waiting.start()
    await waiting.answer(answer)
    rows = {row["attempt"]: row for row in await waiting.services.outcomes.rows()}
    assert (rows["planning-1"]["quality"], rows["planning-1"]["decision"]) == (quality, "")


@pytest.mark.parametrize(
    ("said", "answer", "kept"),
    [
        pytest.param(ACCEPT, {"decision": "accept"}, ("accept", 1.0), id="as the review says"),
        pytest.param(REVISE, {"decision": "accept"}, ("accept", 1.0), id="better than the review says"),
        pytest.param(
            ACCEPT, {"decision": "revise", "note": "too long"}, ("revise", 0.0), id="worse, sent back"
        ),
        pytest.param(
            ACCEPT,
            {"decision": "model", "model": "mistral-large-4"},
            ("revise", 0.0),
            id="worse, made again",
        ),
    ],
)
async def test_what_a_person_says_of_a_result_takes_the_place_of_the_reviews_verdict(
    said: str, answer: dict[str, str], kept: tuple[str, float], settings: Settings
) -> None:
    waiting = Waiting(settings, gates=("review",), script=Script(judge=Line(text=said)))
    await waiting.start()
    await waiting.answer(answer)
    rows = {row["attempt"]: row for row in await waiting.services.outcomes.rows()}
    assert (rows["generation-1"]["decision"], rows["generation-1"]["quality"]) == kept
