"""The task reader as LangChain's decision model, and LangChain's decision models as task readers.

`TaskReader` answers typed questions about a text by what the package reads in it (routing/task.py), without a network.
So it can stand wherever a `BaseDecisionModel` is asked, in `ModelRouterMiddleware` for one.
`read_by` asks any other decision model what the matcher wants to know of a task.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from langchain_core.decisions import (
    Answer,
    BaseDecisionModel,
    Box,
    Choice,
    ChoiceAnswer,
    ClassifierResponse,
    Noul,
    NoulAnswer,
    Question,
    Score,
    ScoreAnswer,
)
from langchain_core.messages import BaseMessage

from ..routing.errors import InputError
from ..routing.records import Complexity, Evidence, Level, Reading
from ..routing.task import TRAITS, given_traits, read_task
from ..routing.words import load_lexicon

RIGHT = 0.9
"""How probable a reading is to be right: of 192 sentences written before its words were chosen, 176 were read right."""

_ASKED = {
    "complexity": "How complex is this task?",
    "speed": "Does whoever gives this task need the result urgently?",
    "creativity": "Does this task ask for something creative?",
}
_MEANT: dict[str, dict[str, str]] = {
    "complexity": {
        "low": "One simple step: a small function, a short answer, a single query.",
        "normal": "An everyday piece of work of a few parts.",
        "high": "Large, intricate or risky: many requirements, several systems, deep reasoning.",
    },
    "speed": {"normal": "Nothing is said of a hurry.", "high": "It is urgent."},
    "creativity": {
        "normal": "A sober, correct result is wanted.",
        "high": "Original ideas, a story, a name, a design are wanted.",
    },
}


class TaskReader(BaseDecisionModel):
    """Answer questions about a task by what is read in its words: complexity, speed and creativity.

    What an answer stands for is read in the question: a criterion is a mapping from traits to values (`{"complexity":
    "high"}`), or a text that is read as tasks are ("Complex tasks that need deeper reasoning"); a label that is itself
    a value of a trait (`low`, `normal`, `high`) under a question named like the trait needs none. The answer is the
    first of those whose criterion fits the task best. Probabilities say how often a reading is right (0.9), shared
    where several fit alike.

    Raises:
        InputError: a question says nothing of what is read here, or asks for a place in an image.
    """

    model: str = "ymera-task-reader"

    def model_post_init(self, context: Any, /) -> None:
        """Read the words now: an event loop must not wait for files later."""
        load_lexicon()

    @property
    def _provider(self) -> str:
        return "ymera"

    def _classify(self, state: Any, questions: dict[str, Question]) -> ClassifierResponse:
        reading = read_task(text_of(state))
        answers: dict[str, Answer] = {
            name: _answer(name, asked, reading) for name, asked in questions.items()
        }
        return ClassifierResponse(model=self.model, answers=answers)

    async def _aclassify(self, state: Any, questions: dict[str, Question]) -> ClassifierResponse:
        return self._classify(state, questions)


def text_of(state: object) -> str:
    """Return the text of what is to be judged: of messages the last one of a person, else everything that is said."""
    if isinstance(state, str):
        return state
    if isinstance(state, BaseMessage):
        return str(state.text)
    if isinstance(state, Mapping):
        return "\n".join(filter(None, (text_of(value) for value in state.values())))
    if isinstance(state, Sequence):
        asked = [each for each in state if isinstance(each, BaseMessage) and each.type == "human"]
        return text_of(asked[-1]) if asked else "\n".join(filter(None, (text_of(each) for each in state)))
    return ""


# --- questions ------------------------------------------------------------------------------------------------


def _answer(name: str, question: Question, reading: Reading) -> NoulAnswer | ChoiceAnswer | ScoreAnswer:
    if isinstance(question, Noul):
        return NoulAnswer(type="noul", noul=_yes(name, question, reading))
    if isinstance(question, Choice):
        shares = _shares(name, question.criteria, reading)
        best = max(shares, key=shares.__getitem__)
        return ChoiceAnswer(type="choice", choice=best, probabilities=shares, confidence=shares[best])
    if isinstance(question, Score):
        legend = dict(enumerate(question.criteria))
        levels = _shares(name, {str(level): said for level, said in legend.items()}, reading)
        shares_by_level = {int(level): share for level, share in levels.items()}
        return ScoreAnswer(
            type="score",
            score=sum(level * share for level, share in shares_by_level.items()),
            legend=legend,
            probabilities=shares_by_level,
            confidence=max(shares_by_level.values()),
        )
    assert isinstance(question, Box)
    raise InputError(f"The question {name!r} asks for a place in an image. The task reader reads texts.")


def _yes(name: str, question: Noul, reading: Reading) -> float:
    """Return the probability of a yes: whether the task is what the question asks about."""
    said = question.criteria.true if question.criteria and question.criteria.true else question.instructions
    wanted = _wanted(said) or _named(name)
    if not wanted:
        raise InputError(_nothing_said(name))
    return RIGHT if _fit(wanted, reading) == len(wanted) else 1 - RIGHT


def _shares(name: str, criteria: Mapping[str, Any], reading: Reading) -> dict[str, float]:
    """Return how probable each label is: nine parts of ten for those that fit best, one for all others."""
    wanted = {label: _wanted(said) or _labelled(name, label) for label, said in criteria.items()}
    if not any(wanted.values()):
        raise InputError(_nothing_said(name))
    fits = {label: _fit(traits, reading) for label, traits in wanted.items()}
    best = [label for label, fit in fits.items() if fit == max(fits.values())]
    others = len(fits) - len(best)
    share = (RIGHT if others else 1.0) / len(best)
    return {label: share if label in best else (1 - RIGHT) / others for label in fits}


def _wanted(said: object) -> dict[str, str]:
    """Return the traits that a criterion wants: those that a mapping names, or those that a text speaks of."""
    if isinstance(said, Mapping):
        return {trait: value for trait, (value, _) in given_traits(said).items()}
    if not isinstance(said, str):
        return {}
    reading = read_task(said)
    return {trait: value for trait in TRAITS if (value := _of(reading, trait)) != "normal"}


def _labelled(name: str, label: str) -> dict[str, str]:
    """Return what a label wants that is a value of the trait after which its question is named."""
    return {name: label} if label in _MEANT.get(name, {}) else {}


def _named(name: str) -> dict[str, str]:
    """Return what a question named after a trait asks, if it says nothing more: whether it is high."""
    return {name: "high"} if name in TRAITS else {}


def _fit(wanted: Mapping[str, str], reading: Reading) -> int:
    """Return how many of the wanted traits a task has, less those that it has not."""
    return sum(1 if _of(reading, trait) == value else -1 for trait, value in wanted.items())


def _of(reading: Reading, trait: str) -> str:
    return cast("dict[str, str]", reading)[trait]


def _nothing_said(name: str) -> str:
    return (
        f"The question {name!r} says nothing of complexity, speed or creativity, which is what the task reader reads. "
        'Give criteria such as {"complexity": "high"}, or words such as "complex tasks" and "simple tasks".'
    )


# --- other decision models ------------------------------------------------------------------------------------


def questions() -> dict[str, Question]:
    """Return what the matcher wants to know of a task, as questions for a decision model."""
    return {
        trait: Choice(instructions=asked, criteria=dict(_MEANT[trait])) for trait, asked in _ASKED.items()
    }


async def read_by(reader: BaseDecisionModel, description: str, parameters: Mapping[str, Any]) -> Reading:
    """Return how a decision model reads a task. Parameters that name a trait win over it.

    Raises:
        ValueError: it does not answer what it was asked.
    """
    response = await reader.ainvoke({"state": description, "questions": questions()})
    given = given_traits(parameters)
    values: dict[str, str] = {}
    evidence: list[Evidence] = []
    for trait in TRAITS:
        if trait in given:
            values[trait], because = given[trait]
            evidence += because
            continue
        answer = response.choices.get(trait)
        if answer is None or answer.choice not in _MEANT[trait]:
            raise ValueError(f"it gave no answer of {', '.join(_MEANT[trait])} for {trait}")
        values[trait] = answer.choice
        said = f"{response.model} says so ({answer.confidence:.2f} sure)"
        evidence.append(Evidence(trait=trait, value=answer.choice, because=said))
    return Reading(
        complexity=cast("Complexity", values["complexity"]),
        speed=cast("Level", values["speed"]),
        creativity=cast("Level", values["creativity"]),
        evidence=evidence,
    )
