"""The task reader where LangChain asks a decision model, and LangChain's decision models where we read tasks."""

from __future__ import annotations

import logging
import warnings
from typing import Any

import pytest
from dirty_equals import Contains, IsPartialDict
from hypothesis import given
from hypothesis import strategies as st
from langchain.agents import create_agent
from langchain.agents.middleware import ModelChoice, ModelRouterMiddleware
from langchain_core.decisions import (
    BaseDecisionModel,
    Box,
    Choice,
    ChoiceAnswer,
    ClassifierResponse,
    Noul,
    NoulCriteria,
    Question,
    Score,
)
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from pydantic import Field

from tests.scripted import OpenMatcher
from ymera import TaskReader
from ymera.nodes.reader import read_by, text_of
from ymera.nodes.settings import Settings
from ymera.routing.catalogue import builtin_catalogue
from ymera.routing.errors import InputError
from ymera.routing.matcher import TaskRequest

SIMPLE, COMPLEX = "A simple rename of a variable", "A complex, distributed migration of the billing system"
ROUTES = Choice(
    instructions="Choose the least costly model suited to the task.",
    criteria={"fast": "Simple, well-scoped tasks.", "powerful": "Complex tasks that need deeper reasoning."},
)


def asked(state: Any, **questions: Question) -> ClassifierResponse:
    return TaskReader().invoke({"state": state, "questions": questions})


@pytest.mark.parametrize(
    ("task", "route"),
    [pytest.param(SIMPLE, "fast", id="simple"), pytest.param(COMPLEX, "powerful", id="complex")],
)
async def test_langchains_model_router_sends_an_agent_where_the_reader_says(task: str, route: str) -> None:
    models = {
        name: GenericFakeChatModel(messages=iter([AIMessage(f"from {name}")]))
        for name in ("fast", "powerful")
    }
    criteria = ROUTES.criteria
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # their middleware is in beta, and says so once a process
        router = ModelRouterMiddleware(
            choices={
                name: ModelChoice(model=model, criteria=criteria[name]) for name, model in models.items()
            },
            instructions=ROUTES.instructions,
            classifier=TaskReader(),
        )
    agent = create_agent(models["fast"], middleware=[router])
    state = await agent.ainvoke({"messages": [HumanMessage(task)]})
    assert state["messages"][-1].text == f"from {route}"
    assert state["model_route"].choice == route


@pytest.mark.parametrize(
    ("question", "task", "label"),
    [
        pytest.param(ROUTES, SIMPLE, "fast", id="words"),
        pytest.param(ROUTES, "Rename a variable", "fast", id="neither: the first"),
        pytest.param(
            Choice(
                instructions="",
                criteria={
                    "a": {"complexity": "high", "speed": "high"},
                    "b": {"complexity": "high"},
                    "c": None,
                },
            ),
            "An urgent and complex migration",
            "a",
            id="what fits in more fits better",
        ),
        pytest.param(
            Choice(instructions="", criteria={"hurry": {"speed": "high"}, "other": None}),
            "Name a colour",
            "other",
            id="a label without criteria takes the rest",
        ),
    ],
)
def test_a_choice_goes_to_the_label_that_fits_best(question: Choice, task: str, label: str) -> None:
    answer = asked(task, route=question).choices["route"]
    assert answer.choice == label
    assert answer.confidence == answer.probabilities[label] == max(answer.probabilities.values())
    assert sum(answer.probabilities.values()) == pytest.approx(1)


def test_labels_that_are_values_of_the_trait_their_question_is_named_after_need_no_words() -> None:
    question = Choice(instructions="How complex?", criteria=dict.fromkeys(("low", "normal", "high")))
    assert [asked(task, complexity=question).choices["complexity"].choice for task in (SIMPLE, COMPLEX)] == [
        *("low", "high")
    ]


def test_a_score_is_the_expected_level() -> None:
    rubric = Score(instructions="How hard?", criteria=["simple", {"complexity": "normal"}, "complex"])
    scores = [
        asked(task, hard=rubric).scores["hard"].score for task in (SIMPLE, "Rename a variable", COMPLEX)
    ]
    assert scores == sorted(scores)
    assert scores[0] == pytest.approx(0.15)


@pytest.mark.parametrize(
    ("question", "task", "sure"),
    [
        pytest.param(Noul(instructions="Is it urgent?"), "This is urgent, please hurry", 0.9, id="yes"),
        pytest.param(Noul(instructions="Is it urgent?"), SIMPLE, 0.1, id="no"),
        pytest.param(
            Noul(instructions="?", criteria=NoulCriteria(true="a complex task")),
            COMPLEX,
            0.9,
            id="by its criteria",
        ),
    ],
)
def test_a_yes_is_as_probable_as_a_reading_is_right(question: Noul, task: str, sure: float) -> None:
    assert asked(task, it=question).nouls["it"].noul == pytest.approx(sure)


@pytest.mark.parametrize(
    "question",
    [
        pytest.param(
            Choice(instructions="Which team?", criteria={"sales": "Prices.", "help": "Bugs."}), id="teams"
        ),
        pytest.param(Noul(instructions="Is this about a refund?"), id="refund"),
        pytest.param(Box(instructions="Where is the cat?"), id="an image"),
    ],
)
def test_what_is_not_read_here_is_refused_with_what_is(question: Question) -> None:
    with pytest.raises(InputError, match=r"'it' (says nothing of complexity|asks for a place)"):
        asked(SIMPLE, it=question)


@pytest.mark.parametrize(
    ("state", "text"),
    [
        pytest.param("a task", "a task", id="text"),
        pytest.param(HumanMessage("a task"), "a task", id="message"),
        pytest.param(
            [SystemMessage("be good"), HumanMessage("first"), AIMessage("yes"), HumanMessage("last")],
            "last",
            id="chat",
        ),
        pytest.param({"task": "a", "notes": ["b", {"more": "c", "n": 1}]}, "a\nb\nc", id="JSON"),
        pytest.param([None, 3, True], "", id="nothing"),
    ],
)
def test_of_whatever_is_judged_the_text_is_read(state: object, text: str) -> None:
    assert text_of(state) == text


@given(st.text(max_size=200))
def test_every_text_gets_an_answer_whose_probabilities_add_up(text: str) -> None:
    answer = asked(text, route=ROUTES).choices["route"]
    assert answer.choice in ROUTES.criteria
    assert sum(answer.probabilities.values()) == pytest.approx(1)


class Teller(BaseDecisionModel):
    """A decision model that says what it is told to, and counts how often it is asked."""

    model: str = "teller"
    says: dict[str, str] = Field(default_factory=dict)
    fails: bool = False
    asked: list[str] = Field(default_factory=list)

    @property
    def _provider(self) -> str:
        return "tests"

    def _classify(self, state: Any, questions: dict[str, Question]) -> ClassifierResponse:
        self.asked.append(str(state))
        if self.fails:
            raise ConnectionError(f"cannot send {state}")
        answers = {
            name: ChoiceAnswer(
                type="choice", choice=self.says.get(name, "normal"), probabilities={}, confidence=0.8
            )
            for name in questions
        }
        return ClassifierResponse(model=self.model, answers=dict(answers))


def matcher(settings: Settings, reader: BaseDecisionModel) -> OpenMatcher:
    return OpenMatcher(settings, builtin_catalogue(), reader=reader)


def request(text: str = SIMPLE, **parameters: Any) -> TaskRequest:
    return TaskRequest(agent_name="coding_agent", description=text, parameters=parameters)


async def test_a_decision_model_of_langchains_reads_tasks_in_our_place_and_is_asked_once(
    settings: Settings,
) -> None:
    reader = Teller(says={"complexity": "high", "creativity": "high"}, asked=[])
    chooses = matcher(settings, reader)
    plans = [await chooses.choose(request()) for _ in range(2)]
    assert plans[0]["reading"] == IsPartialDict(complexity="high", speed="normal", creativity="high")
    assert plans[0]["reading"]["evidence"] == Contains(
        {"trait": "complexity", "value": "high", "because": "teller says so (0.80 sure)"}
    )
    assert plans[0] == plans[1]
    assert reader.asked == [SIMPLE]


async def test_parameters_win_over_the_reader(settings: Settings) -> None:
    plan = await matcher(settings, Teller(says={"speed": "normal"})).choose(request(urgency="high"))
    assert plan["reading"]["speed"] == "high"


async def test_where_the_reader_fails_the_task_is_read_here_and_nothing_of_it_is_told(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        plan = await matcher(settings, Teller(fails=True)).choose(request())
    assert plan["reading"]["complexity"] == "low"
    assert plan["warnings"] == ["The task was read here: its reader teller failed (ConnectionError)."]
    assert SIMPLE not in caplog.text


async def test_our_own_reader_reads_for_the_matcher_as_the_matcher_does(settings: Settings) -> None:
    for text in (SIMPLE, COMPLEX, "Invent an original name, quickly, it is urgent"):
        own = await OpenMatcher(settings, builtin_catalogue()).choose(request(text))
        reading = await read_by(TaskReader(), text, {})
        assert {t: reading[t] for t in ("complexity", "speed", "creativity")} == {
            t: own["reading"][t] for t in ("complexity", "speed", "creativity")
        }
