from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ymera.routing.errors import CatalogueError
from ymera.routing.task import read_task
from ymera.routing.text import pieces_pattern
from ymera.routing.words import (
    ANY,
    PLAIN,
    SCRIPTS,
    Lexicon,
    Phrase,
    Sense,
    build_lexicon,
    expand,
    fold,
    letters_in,
    load_lexicon,
    phrase_of,
)

LANGUAGES = sorted(load_lexicon().scripts)


def senses(lexicon: Lexicon) -> Iterator[tuple[Phrase, tuple[Sense, ...]]]:
    return (option for options in lexicon.phrases.values() for option in options)


def test_nine_languages_and_the_international_words_are_there() -> None:
    assert LANGUAGES == ["any", "de", "en", "es", "fr", "it", "ja", "pt", "ru", "zh"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_trait_word_of_a_language_says_what_its_list_says(language: str) -> None:
    joint = "" if language in ("zh", "ja") else " "
    wrong = [
        (phrase, sense.trait, sense.value)
        for phrase, meanings in senses(load_lexicon())
        for sense in meanings
        if sense.language == language and sense.role == "trait"
        if {"trait": sense.trait, "value": sense.value, "because": f"the word '{joint.join(phrase)}'"}
        not in read_task(joint.join(phrase))["evidence"]
    ]
    assert wrong == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_word_stands_in_two_contradictory_lists_of_a_language(language: str) -> None:
    for phrase, meanings in senses(load_lexicon()):
        own = [sense for sense in meanings if sense.language == language]
        assert len({sense.value for sense in own if sense.trait == "complexity"}) <= 1, phrase
        if any(sense.role == "trait" for sense in own):
            assert {sense.role for sense in own} == {"trait"}, phrase


def test_no_trait_word_means_something_else_in_another_language() -> None:
    for phrase, meanings in senses(load_lexicon()):
        said = {(sense.trait, sense.value) for sense in meanings if sense.role == "trait"}
        if said:
            assert {sense.role for sense in meanings} == {"trait"}, phrase
            assert len({value for trait, value in said if trait == "complexity"}) <= 1, phrase


@pytest.mark.parametrize(
    ("entry", "spellings"),
    [
        pytest.param("fast", ["fast"], id="plain"),
        pytest.param("rápid{o,a}", ["rápido", "rápida"], id="inflected"),
        pytest.param("{a,b} c{,s}", ["a c", "a cs", "b c", "b cs"], id="two places"),
    ],
)
def test_braces_stand_for_either(entry: str, spellings: list[str]) -> None:
    assert list(expand(entry)) == spellings


@pytest.mark.parametrize(
    ("word", "folded"),
    [
        pytest.param("RÁPIDO", "rapido", id="Spanish"),
        pytest.param("möglich", "moglich", id="German"),
        pytest.param("Größe", "grosse", id="sharp s"),
        pytest.param("Ещё", "еще", id="Russian yo"),
        pytest.param("простой", "простой", id="Russian short i stays"),
        pytest.param("ガイド", "ガイド", id="Japanese voicing stays"),
    ],
)
def test_case_and_optional_accents_are_folded(word: str, folded: str) -> None:
    assert fold(word) == folded


@pytest.mark.parametrize(
    ("phrase", "words"),
    [
        pytest.param("isn't", ("isn", "t"), id="apostrophe"),
        pytest.param("hello, world", ("hello", ",", "world"), id="comma"),
        pytest.param("不简单", ("不", "简", "单"), id="Chinese"),
        pytest.param("シンプルな", ("シンプル", "な"), id="Japanese"),
    ],
)
def test_a_phrase_is_split_as_a_task_is(phrase: str, words: tuple[str, ...]) -> None:
    assert phrase_of(phrase) == words


@given(
    st.text(st.characters(max_codepoint=0x3040) | st.sampled_from("aZ_7 .,:;'\"`«»“”‘’(){}<>@/-=\nяé´々〆"))
)
def test_a_text_of_plain_letters_is_split_as_any_text_is(text: str) -> None:
    patterns = [pieces_pattern(letters) for letters in (letters_in(text), ANY)]
    split = [[(match.span(), match.lastgroup) for match in each.finditer(text)] for each in patterns]
    assert split[0] == split[1]


@pytest.mark.parametrize("letter", "々〆ぁん㐀一龥豈ァー")
def test_chinese_and_japanese_letters_are_no_plain_ones(letter: str) -> None:
    assert letters_in(f"a{letter}") is ANY


@pytest.mark.parametrize("text", ["", "abc", "größer", "Ещё", "\u3004"])
def test_other_letters_are_plain_ones(text: str) -> None:
    assert letters_in(text) is PLAIN


@pytest.mark.parametrize(
    ("tables", "fault"),
    [
        pytest.param(
            {"xx": {"script": "latin", "speeds": []}}, "words/xx.toml: speeds: unknown key", id="unknown key"
        ),
        pytest.param(
            {"xx": {"script": "latin", "speed": {"low": []}}},
            "words/xx.toml: speed.low: unknown key; allowed: high",
            id="unknown value",
        ),
        pytest.param(
            {"xx": {"script": "runes"}},
            f"words/xx.toml: script: must be one of {', '.join(SCRIPTS)} (got 'runes')",
            id="script",
        ),
        pytest.param(
            {"xx": {"script": "latin", "reach": "3"}},
            "words/xx.toml: reach: must be a number of words (got '3')",
            id="reach",
        ),
        pytest.param(
            {"xx": {"script": "latin", "speed": "fast"}},
            "words/xx.toml: speed: a table of word lists was expected (got 'fast')",
            id="trait without lists",
        ),
        pytest.param(
            {"xx": {"script": "latin", "votes": "der"}},
            "words/xx.toml: votes: a list of words was expected (got 'der')",
            id="no list",
        ),
        pytest.param(
            {"xx": {"script": "latin", "votes": [7]}},
            "words/xx.toml: votes: a word was expected (got 7)",
            id="no word",
        ),
        pytest.param(
            {"xx": {"script": "latin", "votes": ["a{b"]}},
            "words/xx.toml: votes: braces do not close (got 'a{b')",
            id="braces",
        ),
        pytest.param(
            {"xx": {"script": "latin", "votes": ["-"]}},
            "words/xx.toml: votes: an empty word (got '-')",
            id="empty",
        ),
        pytest.param(
            {"parameters": {"mood": {"keys": []}}},
            "words/parameters.toml: mood: unknown trait; allowed: complexity, speed, creativity",
            id="unknown trait",
        ),
        pytest.param(
            {"parameters": {"speed": {"high": []}}},
            "words/parameters.toml: speed: a table with `keys` was expected (got {'high': []})",
            id="no keys",
        ),
    ],
)
def test_a_faulty_words_file_is_refused_by_file_and_key(tables: dict[str, Any], fault: str) -> None:
    with pytest.raises(CatalogueError) as caught:
        build_lexicon(tables)
    assert caught.value.faults == (fault,)


def test_all_faults_are_named_at_once() -> None:
    with pytest.raises(CatalogueError) as caught:
        build_lexicon({"xx": {"script": "latin", "a": 1, "b": 2}, "yy": {"script": "runes"}})
    assert len(caught.value.faults) == 3
