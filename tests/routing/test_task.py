from __future__ import annotations

import json
import string
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ymera.routing.records import Reading
from ymera.routing.task import READ_CHARACTERS, read_task
from ymera.routing.words import load_lexicon

VALUES = {"l": "low", "n": "normal", "h": "high"}
QUOTES = ['""', "''", "``", "“”", "‘’", "«»", "»«", "„“", "「」", "『』"]
JOBS = [f"- part {letter}" for letter in "abcdefg"]


def cases() -> list[Any]:
    """Read every case of readings/*.txt, named by its file and its line."""
    found = []
    for path in sorted((Path(__file__).parent / "readings").glob("*.txt")):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if not line.startswith("#"):
                text = line[4:].replace("\\n", "\n")
                found.append(pytest.param(text, line[:3], id=f"{path.stem}-{number}"))
    return found


def spoken(role: str) -> list[str]:
    """Return every phrase of a role, folded, that reads with spaces between its words."""
    options = [option for group in load_lexicon().phrases.values() for option in group]
    return [
        " ".join(phrase)
        for phrase, senses in options
        if any(sense.role == role for sense in senses) and max(map(max, phrase)) < "\u2e80"
    ]


def traits(reading: Reading) -> str:
    return reading["complexity"][0] + reading["speed"][0] + reading["creativity"][0]


def reasons(reading: Reading) -> list[str]:
    return [evidence["because"] for evidence in reading["evidence"]]


PLAIN = [
    "urgent",
    "a simple page",
    "complex",
    "creative",
    "not",
    "no",
    "but",
    "if",
    "nicht",
    "很",
    "不",
    "急ぎ",
    "срочно",
]
MARKS = [
    ",",
    ".",
    "\n- ",
    "```",
    "`",
    '"',
    "'",
    "(",
    "{",
    "=",
    "/",
    "-",
    "1. ",
    "“",
    "「",
    "://",
    "\ud800",
    "İ",
    "ﷺ",
]
TEXTS = st.one_of(
    st.text(),
    st.lists(st.sampled_from(PLAIN + MARKS)).map(" ".join),
    st.lists(st.sampled_from(MARKS)).map("".join),
)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["high", "low", "urgent"]),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
KEYS = st.sampled_from(["complexity", "speed", "urgency", "priority", "creativity", "Creative"]) | st.text()


@pytest.mark.parametrize(("text", "expected"), cases())
def test_a_task_is_read_as_a_person_would(text: str, expected: str) -> None:
    reading = read_task(text)
    assert traits(reading) == expected, reading["evidence"]


@pytest.mark.parametrize(("text", "expected"), cases())
def test_decomposed_accents_and_fullwidth_marks_change_nothing(text: str, expected: str) -> None:
    assert traits(read_task(unicodedata.normalize("NFD", text))) == expected
    assert traits(read_task(text.replace(",", "，").replace("!", "！"))) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", "nnn", id="nothing"),
        pytest.param("  \n\n ", "nnn", id="blank"),
        pytest.param("???", "nnn", id="marks"),
        pytest.param("Sort a list", "nnn", id="a short request"),
        pytest.param("Write a migration for the users table", "nnn", id="one word of large systems"),
        pytest.param("Design a distributed cache with high availability", "hnn", id="two of them"),
        pytest.param("Ein verteiltes System in einer skalierbaren Architektur", "hnn", id="two, German"),
        pytest.param("Une architecture distribuée et scalable", "hnn", id="two, French"),
        pytest.param("Una arquitectura distribuida", "hnn", id="two, Spanish"),
        pytest.param("Uma arquitetura distribuída", "hnn", id="two, Portuguese"),
        pytest.param("Un'architettura distribuita", "hnn", id="two, Italian"),
        pytest.param("Распределенная архитектура", "hnn", id="two, Russian"),
        pytest.param("设计一个高并发的分布式系统", "hnn", id="two, Chinese"),
        pytest.param("マイクロサービスのアーキテクチャを設計して", "hnn", id="two, Japanese"),
        pytest.param("\n".join(["Build a shop:", *JOBS]), "hnn", id="seven bullets"),
        pytest.param("\n".join(["A simple shop:", *JOBS]), "nnn", id="seven bullets, called simple"),
        pytest.param("Do:\n1. read\n2. write\n3. stop", "nnn", id="three steps"),
        pytest.param("Do:\n1) read\n2) write\n3) stop\n4) log\n5) mail", "hnn", id="five steps"),
        pytest.param("Build: 1. login 2. search 3. cart 4. mail 5. admin", "hnn", id="five steps in a line"),
        pytest.param(
            "Build a platform with user login, payment processing, order tracking, stock control, reports, "
            "notifications and an admin panel",
            "hnn",
            id="an enumeration of parts",
        ),
        pytest.param("A table with the columns id, name, email, phone, city, zip", "nnn", id="names only"),
        pytest.param("Is 3.14, 2.71, 1.41, 1.73, 2.23, 9.81 sorted?", "nnn", id="numbers"),
        pytest.param("word " * 30, "nnn", id="30 words"),
        pytest.param("word " * 120, "hnn", id="120 words"),
        pytest.param("字" * 240, "hnn", id="240 characters of Chinese"),
        pytest.param("字" * 200, "nnn", id="200 characters of Chinese"),
        pytest.param("1 " * 130, "nnn", id="130 numbers"),
        pytest.param(
            "When the sun rose over us, we went out into town, and then we bought some bread, which was "
            "still very warm, and we ate all of it",
            "nnn",
            id="prose with commas",
        ),
        pytest.param("x" * 8_000, "hnn", id="8,000 characters"),
        pytest.param("Why?\n" + "```\nx\n```\n" * 4, "hnn", id="four code blocks"),
        pytest.param("Yes. No. Fine. Ok. Hi. Well. So.", "nnn", id="one-word sentences"),
        pytest.param("Read it. " * 12, "hnn", id="twelve sentences"),
        pytest.param("A simple page for a complex shop", "nnn", id="words that contradict each other"),
        pytest.param(
            "A simple page for a complex, distributed microservices shop", "hnn", id="structure decides"
        ),
    ],
)
def test_length_and_structure_speak_for_complexity(text: str, expected: str) -> None:
    reading = read_task(text)
    assert traits(reading) == expected, reading["evidence"]


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        pytest.param({"complexity": "high"}, "hhn", id="complexity high"),
        pytest.param({"complexity": "complex"}, "hhn", id="complexity complex"),
        pytest.param({"complexity": " Medium "}, "nhn", id="complexity medium"),
        pytest.param({"Complexity": "LOW"}, "lhn", id="case of the key"),
        pytest.param({"complexity": "very_high"}, "hhn", id="underscore"),
        pytest.param({"complexity": "blue"}, "lhn", id="an unknown word is ignored"),
        pytest.param({"complexity": 9}, "lhn", id="a number is no complexity"),
        pytest.param({"complexity": ["high"]}, "lhn", id="a list is no complexity"),
        pytest.param({"speed": "normal"}, "lnn", id="speed normal"),
        pytest.param({"urgency": "low"}, "lnn", id="urgency low"),
        pytest.param({"priority": "urgent"}, "lhn", id="priority urgent"),
        pytest.param({"speed": "normal", "priority": "high"}, "lhn", id="the highest of several counts"),
        pytest.param({"urgent": False}, "lnn", id="urgent false"),
        pytest.param({"creativity": "high"}, "lhh", id="creativity high"),
        pytest.param({"creativity": 0.9}, "lhh", id="creativity 0.9"),
        pytest.param({"creativity": 1}, "lhh", id="creativity 1"),
        pytest.param({"creativity": 0.3}, "lhn", id="creativity 0.3"),
        pytest.param({"creativity": 80}, "lhn", id="creativity beyond 1 is ignored"),
        pytest.param({"language": "python", "style": "creative"}, "lhn", id="other parameters are ignored"),
        pytest.param({}, "lhn", id="none"),
        pytest.param(None, "lhn", id="not given"),
    ],
)
def test_parameters_win_over_words(parameters: dict[str, Any] | None, expected: str) -> None:
    assert traits(read_task("A simple page, fast", parameters)) == expected


@pytest.mark.parametrize(
    ("text", "parameters", "because"),
    [
        pytest.param("It is urgent", {}, "the word 'urgent'", id="word"),
        pytest.param("It is not urgent", {}, "'urgent' is negated by 'not'", id="negated"),
        pytest.param("Print 'fast'", {}, "'fast' stands in quotes: read as data", id="quoted"),
        pytest.param("Run fast.py", {}, "'fast' stands in code or a path: read as data", id="path"),
        pytest.param("A column named urgent", {}, "'urgent' follows 'named': read as a name", id="named"),
        pytest.param(
            "If it is urgent, call", {}, "'urgent' follows 'If': read as a condition", id="condition"
        ),
        pytest.param("Complex numbers", {}, "'Complex numbers' is a phrase of its own", id="set phrase"),
        pytest.param(
            "A fast-paced game", {}, "'fast' is part of a longer word: read as data", id="longer word"
        ),
        pytest.param("緊急という列", {}, "'緊急' stands before 'という': read as data", id="named after"),
        pytest.param("class Fast", {}, "'Fast' follows 'class' with a capital: read as a name", id="kind"),
        pytest.param("\n".join(JOBS), {}, "7 separate requirements", id="list"),
        pytest.param("Kafka, sharding", {}, "words of larger systems: 'Kafka', 'sharding'", id="hints"),
        pytest.param("Go", {"speed": "high"}, "the parameter speed='high'", id="parameter"),
    ],
)
def test_evidence_names_the_word_and_what_became_of_it(
    text: str, parameters: dict[str, Any], because: str
) -> None:
    assert because in reasons(read_task(text, parameters))


def test_a_contradiction_says_how_it_was_resolved() -> None:
    words = read_task("A simple page for a complex shop")
    structure = read_task("\n".join(["A simple shop", *JOBS]))
    assert "the words contradict each other: length and structure decide, normal" in reasons(words)
    assert "the words say low, length and structure high: taken in the middle" in reasons(structure)


def test_reasons_that_count_are_named_before_words_that_do_not() -> None:
    named = ". ".join(f"A word {word}" for word in spoken("trait")[:200])
    assert "the word 'urgent'" in reasons(read_task(f"{named}. It is urgent"))


def test_words_beyond_the_read_part_do_not_count() -> None:
    assert read_task("a " * (READ_CHARACTERS // 2) + "urgent")["speed"] == "normal"


def test_evidence_stays_short_for_a_long_text() -> None:
    everything = ". ".join(spoken("trait"))
    assert len(read_task(everything)["evidence"]) < 40


@given(text=TEXTS, parameters=st.dictionaries(KEYS, JSON, max_size=4))
def test_any_text_and_parameters_give_the_same_explained_reading(
    text: str, parameters: dict[str, Any]
) -> None:
    reading = read_task(text, parameters)
    assert reading == read_task(text, parameters)
    assert json.loads(json.dumps(reading)) == reading
    read = {
        "complexity": reading["complexity"],
        "speed": reading["speed"],
        "creativity": reading["creativity"],
    }
    for trait, value in read.items():
        explained = {evidence["value"] for evidence in reading["evidence"] if evidence["trait"] == trait}
        assert value == "normal" or value in explained


@given(word=st.sampled_from(spoken("trait")), marks=st.sampled_from(QUOTES))
def test_a_word_in_quotes_raises_no_trait(word: str, marks: str) -> None:
    assert traits(read_task(f"Build the page, {marks[0]}{word}{marks[1]}, please")) == "nnn"


@given(
    word=st.sampled_from([word for word in spoken("trait") if " " not in word]),
    before=st.text("qx", min_size=1, max_size=3),
    after=st.text("qx", min_size=1, max_size=3),
)
def test_letters_around_a_word_make_it_another_word(word: str, before: str, after: str) -> None:
    assert traits(read_task(f"Build the {before}{word}{after} page")) == "nnn"


@given(
    text=TEXTS,
    complexity=st.sampled_from(["low", "normal", "high"]),
    speed=st.sampled_from(["normal", "high"]),
    creativity=st.sampled_from(["normal", "high"]),
)
def test_explicit_parameters_always_win(text: str, complexity: str, speed: str, creativity: str) -> None:
    given = {"complexity": complexity, "speed": speed, "creativity": creativity}
    assert traits(read_task(text, given)) == complexity[0] + speed[0] + creativity[0]


@given(word=st.sampled_from(spoken("trait")))
def test_capitals_change_nothing(word: str) -> None:
    assert (
        traits(read_task(string.capwords(word))) == traits(read_task(word.upper())) == traits(read_task(word))
    )
