"""How `data/words/` becomes a lexicon: the words of each language by which a task is read.

One file a language; to add one, add a file. Every entry is a word or a phrase; `{a,b}` in it stands for
either, so that inflections stay on one line (`rápid{o,a,os,as}`). Case and accents do not matter. A Chinese
or Japanese character counts as a word, and so does a run of katakana. Keys of a language:

    script              languages of one script compete for a text by their votes; `any` is always read
    votes               frequent words that give the language away; one may speak for several languages
    reach               words that may stand between a negator and what it negates (default 3)
    complexity.low, complexity.high, speed.high, creativity.high    the trait words
    hints               words of large systems: two of them make a task complex
    set_phrases         phrases with a meaning of their own; trait words and negators inside do not count
    negators(_after)    cancel, or turn round, the trait word that follows (precedes) them
    names_before        make the word that follows them a name; names_after: the word that precedes them
    kinds               make the word that follows them a name when it is capitalised ("class Fast")
    conditions          trait words after them in their clause describe data ("if it is urgent, …")
    breakers            end the reach of a negator; so do the
    conjunctions        which also join the items of an enumeration

`parameters.toml` holds the task parameters that set a trait: their names, and what their values mean.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from .errors import CatalogueError

TRAITS: Mapping[str, tuple[str, ...]] = {
    "complexity": ("low", "high"),
    "speed": ("high",),
    "creativity": ("high",),
}
ROLES = (
    "hints",
    "set_phrases",
    "negators",
    "negators_after",
    "names_before",
    "names_after",
    "kinds",
    "conditions",
    "breakers",
    "conjunctions",
)
SCRIPTS = ("any", "latin", "cyrillic", "cjk")

HAN = "぀-ゟ々〆㐀-䶿一-鿿豈-﫿"
KANA = "ァ-ヺー"


class Letters(NamedTuple):
    """How a letter, and a word, is told in a regular expression."""

    letter: str
    word: str


ANY = Letters(rf"[^\W{HAN}{KANA}]", rf"[^\W{HAN}{KANA}]+|[{KANA}]+|[{HAN}]")
PLAIN = Letters(r"\w", r"\w+")
"""The same for a text without Chinese and Japanese letters: each set with all of those takes 3 ms to compile."""
_FIRST = "々"
"""The first of those letters by its number."""

_BRACES = re.compile(r"\{([^{}]*)\}")
_ACCENTS = {
    code: unicodedata.normalize("NFD", chr(code))[0]
    for code in (*range(0xE0, 0x180), ord("ё"))
    if unicodedata.decomposition(chr(code))
}


class Sense(NamedTuple):
    """What a phrase says in one language: its role, and for a trait word which trait and value."""

    language: str
    role: str
    trait: str = ""
    value: str = ""


Phrase = tuple[str, ...]


class ParameterWords(NamedTuple):
    """The task parameters that set a trait: their names, and what their values mean."""

    keys: frozenset[str]
    values: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Lexicon:
    """Every phrase by its first word, longest first, and what the languages need besides.

    Args:
        votes: word to the languages that it speaks for.
        scripts: language to script; languages of one script compete for a text.
        reach: language to the words that may stand between a negator and what it negates.
        parameters: trait to the parameters that set it.
    """

    phrases: Mapping[str, tuple[tuple[Phrase, tuple[Sense, ...]], ...]]
    votes: Mapping[str, tuple[str, ...]]
    scripts: Mapping[str, str]
    reach: Mapping[str, int]
    conjunctions: frozenset[str]
    parameters: Mapping[str, ParameterWords]


def fold(word: str) -> str:
    """Return `word` without case and without the accents that people leave out."""
    return word.lower() if word.isascii() else word.casefold().translate(_ACCENTS)


@lru_cache(maxsize=8_192)
def phrase_of(phrase: str) -> Phrase:
    """Split a phrase into folded words, as a task is split."""
    if phrase.isascii() and phrase.isalpha():  # as most are
        return (phrase.lower(),)
    plain = unicodedata.normalize("NFKC", phrase)
    return tuple([fold(word) for word in _phrase_pattern(letters_in(plain)).findall(plain)])


@cache
def _phrase_pattern(letters: Letters) -> re.Pattern[str]:
    return re.compile(rf"{letters.word}|,")


def letters_in(text: str) -> Letters:
    """Return how the letters of a text are told."""
    return PLAIN if text.isascii() or max(text) < _FIRST else ANY


def expand(entry: str) -> Sequence[str]:
    """Return every spelling of an entry with `{a,b}` places."""
    place = _BRACES.search(entry) if "{" in entry else None
    if place is None:
        return (entry,)
    choices = place[1].split(",")
    spelled = [entry[: place.start()] + choice + entry[place.end() :] for choice in choices]
    return [spelling for each in spelled for spelling in expand(each)]


@lru_cache(maxsize=1)
def load_lexicon() -> Lexicon:
    """Read the packaged words once.

    Raises:
        CatalogueError: every fault of the files, as `file: key: what is wrong`.
    """
    files = sorted((Path(__file__).parent / "data" / "words").glob("*.toml"))
    return build_lexicon({path.stem: tomllib.loads(path.read_text(encoding="utf-8")) for path in files})


def build_lexicon(tables: Mapping[str, Any]) -> Lexicon:
    """Make a lexicon of the tables of words files, by the files' names without their ending.

    Raises:
        CatalogueError: every fault, as `file: key: what is wrong`.
    """
    languages = {name: table for name, table in tables.items() if name != "parameters"}
    parameters = tables.get("parameters", {})
    faults = [
        f"words/{name}.toml: {fault}" for name in languages for fault in _language_faults(languages[name])
    ]
    faults += [f"words/parameters.toml: {fault}" for fault in _parameter_faults(parameters)]
    if faults:
        raise CatalogueError(faults)
    return Lexicon(
        phrases=_by_first_word(languages),
        votes=_votes(languages),
        scripts={name: table["script"] for name, table in languages.items()},
        reach={name: table.get("reach", 3) for name, table in languages.items()},
        conjunctions=frozenset(
            fold(word) for table in languages.values() for word in _all(table.get("conjunctions", []))
        ),
        parameters={trait: _parameter_words(table) for trait, table in parameters.items()},
    )


def _all(entries: list[str]) -> Iterator[str]:
    return (spelling for entry in entries for spelling in expand(entry))


def _votes(languages: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    votes: dict[str, dict[str, None]] = {}
    for name, table in languages.items():
        for word in _all(table.get("votes", [])):
            votes.setdefault(fold(word), {})[name] = None
    return {word: tuple(names) for word, names in votes.items()}


def _parameter_words(table: Mapping[str, list[str]]) -> ParameterWords:
    values = {fold(word): value for value in ("low", "normal", "high") for word in _all(table.get(value, []))}
    return ParameterWords(keys=frozenset(table["keys"]), values=values)


def _senses(languages: Mapping[str, Any]) -> Iterator[tuple[Phrase, Sense]]:
    for name, table in languages.items():
        for trait, values in TRAITS.items():
            for value in values:
                sense = Sense(name, "trait", trait, value)
                for spelling in _all(table.get(trait, {}).get(value, [])):
                    yield phrase_of(spelling), sense
        for role in ROLES:
            sense = Sense(name, role, "complexity" if role == "hints" else "")
            for spelling in _all(table.get(role, [])):
                yield phrase_of(spelling), sense


def _by_first_word(languages: Mapping[str, Any]) -> dict[str, tuple[tuple[Phrase, tuple[Sense, ...]], ...]]:
    senses: dict[Phrase, dict[Sense, None]] = {}
    for phrase, sense in _senses(languages):
        senses.setdefault(phrase, {})[sense] = None
    grouped: dict[str, list[tuple[Phrase, tuple[Sense, ...]]]] = {}
    for phrase in sorted(senses, key=len, reverse=True):
        grouped.setdefault(phrase[0], []).append((phrase, tuple(senses[phrase])))
    return {first: tuple(options) for first, options in grouped.items()}


def _language_faults(table: Mapping[str, Any]) -> Iterator[str]:
    if table.get("script") not in SCRIPTS:
        yield f"script: must be one of {', '.join(SCRIPTS)} (got {table.get('script')!r})"
    if type(table.get("reach", 3)) is not int:
        yield f"reach: must be a number of words (got {table['reach']!r})"
    for key, value in table.items():
        if key in TRAITS:
            yield from _trait_faults(key, value, TRAITS[key])
        elif key in ROLES or key == "votes":
            yield from _list_faults(key, value)
        elif key not in ("script", "reach"):
            yield f"{key}: unknown key"


def _trait_faults(where: str, table: object, values: tuple[str, ...]) -> Iterator[str]:
    if not isinstance(table, dict):
        yield f"{where}: a table of word lists was expected (got {table!r})"
        return
    for value, entries in table.items():
        if value in values:
            yield from _list_faults(f"{where}.{value}", entries)
        else:
            yield f"{where}.{value}: unknown key; allowed: {', '.join(values)}"


def _list_faults(where: str, entries: object) -> Iterator[str]:
    if not isinstance(entries, list):
        yield f"{where}: a list of words was expected (got {entries!r})"
        return
    for entry in entries:
        if not isinstance(entry, str):
            yield f"{where}: a word was expected (got {entry!r})"
            continue
        spelled = expand(entry)
        if any("{" in spelling or "}" in spelling for spelling in spelled):
            yield f"{where}: braces do not close (got {entry!r})"
        elif not all(map(phrase_of, spelled)):
            yield f"{where}: an empty word (got {entry!r})"


def _parameter_faults(parameters: Mapping[str, Any]) -> Iterator[str]:
    for trait, table in parameters.items():
        if trait not in TRAITS:
            yield f"{trait}: unknown trait; allowed: {', '.join(TRAITS)}"
        elif not isinstance(table, dict) or "keys" not in table:
            yield f"{trait}: a table with `keys` was expected (got {table!r})"
        else:
            yield from _trait_faults(trait, table, ("keys", "normal", *TRAITS[trait]))
