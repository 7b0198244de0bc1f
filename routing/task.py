"""How a task is read: its complexity, its need for speed and for creativity, with the evidence.

A task is scanned once into words, stops and data (what stands in quotes, code, paths, URLs and the like).
Trait words come from `data/words/`, in the languages that the text seems to be written in. A word counts
unless it is negated, named ("a column named urgent"), conditional ("if it is urgent") or part of a set
phrase ("complex number"). Length and structure speak for complexity besides, and explicit parameters win.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple, cast

from .records import Complexity, Evidence, Level, Reading
from .text import COMMAS, DATA_KINDS, Piece, count_words, normalized, sentences, split_text, words_of
from .words import Lexicon, Sense, fold, load_lexicon

READ_CHARACTERS = 20_000
"""Words beyond this place are not read; the length of the rest still counts."""
LONG_CHARACTERS = 8_000
"""About three pages: more than a single request, whatever it says."""
HIGH_POINTS = 2
"""Signals of structure that make a task complex: a strong one (2 points) or two weak ones (1 each)."""
CREATIVE_FROM = 0.7
"""A numeric creativity parameter (0..1) is high from here on: clearly above the middle."""
ITEM_WORDS = 4
"""An item of an enumeration is short; longer parts between commas are prose."""

TRAITS = ("complexity", "speed", "creativity")
"""What is read of a task."""

PLAIN = Reading(complexity="normal", speed="normal", creativity="normal", evidence=[])
"""The reading of a task that asks for nothing in particular."""

_VOTING_WORDS = 200
_CONDITION_REACH = 8
_NAMED_AFTER_REACH = 2
_EVIDENCE_PER_TRAIT = 8
_DATA_READ = 300


class _Hit(NamedTuple):
    """A phrase of the lexicon in the text: where (indexes of pieces), and what it may mean."""

    first: int
    after: int
    clause: int
    text: str
    senses: tuple[Sense, ...]

    def languages(self, role: str) -> set[str]:
        return {sense.language for sense in self.senses if sense.role == role}


class _Finding(NamedTuple):
    """What one trait word says in its place. One that does not count is kept as evidence only."""

    sense: Sense
    value: str
    counts: bool
    because: str
    word: str


class _Signal(NamedTuple):
    """What a measure of structure says for complexity."""

    points: int
    because: str


@dataclass(frozen=True, kw_only=True)
class _Scan:
    text: str
    pieces: list[Piece]
    hits: Sequence[_Hit]
    languages: frozenset[str]
    lexicon: Lexicon


def read_task(description: str, parameters: Mapping[str, Any] | None = None) -> Reading:
    """Read what a task asks of the models: complexity, speed and creativity, and why.

    Args:
        description: the task in words; English, Spanish, French, German, Portuguese, Italian, Russian,
            Chinese or Japanese.
        parameters: the task's parameters. `complexity`, `speed`, `urgency`, `priority` and `creativity` (a
            word; for creativity a number 0..1 too) win over the description, everything else is ignored.
    """
    lexicon = load_lexicon()
    scan = _scan(normalized(description[:READ_CHARACTERS]), lexicon)
    found = [finding for index in range(len(scan.hits)) for finding in _judge(scan, index)]
    found += _found_in_data(scan)
    given = given_traits(parameters or {})
    complexity, why = given.get("complexity") or _complexity(found, _structure(scan, found, len(description)))
    speed, why_speed = given.get("speed") or _level("speed", found)
    creativity, why_creativity = given.get("creativity") or _level("creativity", found)
    return {
        "complexity": cast(Complexity, complexity),  # the three values come from data/words, checked on load
        "speed": cast(Level, speed),
        "creativity": cast(Level, creativity),
        "evidence": [*why, *why_speed, *why_creativity],
    }


# --- words -----------------------------------------------------------------------------------------------


def _scan(text: str, lexicon: Lexicon) -> _Scan:
    pieces = list(split_text(text))
    languages = _languages(pieces, lexicon)
    hits = list(_hits(text, pieces, lexicon, languages))
    return _Scan(text=text, pieces=pieces, hits=hits, languages=languages, lexicon=lexicon)


def _languages(pieces: list[Piece], lexicon: Lexicon) -> frozenset[str]:
    """Choose the languages with at least half the votes of their script's first.

    A single vote excludes nothing: short texts are often of no language, or of two.
    """
    votes = Counter(
        language for piece in pieces[:_VOTING_WORDS] for language in lexicon.votes.get(piece.word, ())
    )
    best: dict[str, int] = {}
    for language, script in lexicon.scripts.items():
        best[script] = max(best.get(script, 0), votes[language])
    return frozenset(
        language
        for language, script in lexicon.scripts.items()
        if best[script] < 2 or votes[language] * 2 >= best[script]
    )


def _hits(text: str, pieces: list[Piece], lexicon: Lexicon, languages: frozenset[str]) -> Iterator[_Hit]:
    """Yield the longest phrase at each place that means something in one of the languages."""
    words = [piece.word for piece in pieces]
    place = 0
    while place < len(words):
        for phrase, senses in lexicon.phrases.get(words[place], ()):
            after = place + len(phrase)
            if len(phrase) > 1 and tuple(words[place:after]) != phrase:
                continue
            spoken = tuple(sense for sense in senses if sense.language in languages)
            if spoken:
                shown = " ".join(text[pieces[place].start : pieces[after - 1].end].split())
                yield _Hit(place, after, pieces[place].clause, shown, spoken)
                place = after - 1
                break
        place += 1


def _judge(scan: _Scan, index: int) -> Iterator[_Finding]:
    """Yield what the trait words of a hit say in their place."""
    hit = scan.hits[index]
    own = {(sense.trait, sense.value): sense for sense in hit.senses if sense.role in ("trait", "hints")}
    if not own:
        yield from _inside_set_phrase(scan, hit)
        return
    aside = _set_aside(scan, index)
    negator = None if aside else _negator(scan, index)
    for sense in own.values():
        if aside:
            yield _Finding(sense, "normal", False, f"'{hit.text}' {aside}", hit.text)
        elif negator:
            value, why = _turned(sense), f"'{hit.text}' is negated by '{negator}'"
            yield _Finding(sense, value, value != "normal", why, hit.text)
        else:
            yield _Finding(sense, sense.value, True, f"the word '{hit.text}'", hit.text)


def _turned(sense: Sense) -> str:
    """Say what a negated trait word means: "not simple" is high, "not complex" low, the rest is cancelled."""
    if sense.trait != "complexity":
        return "normal"
    return {"low": "high", "high": "low"}.get(sense.value, "normal")


def _set_aside(scan: _Scan, index: int) -> str | None:
    """Say why a trait word is data in its place; None where it is not."""
    hit = scan.hits[index]
    start, end = scan.pieces[hit.first].start, scan.pieces[hit.after - 1].end
    leads = scan.text[end : end + 1] == "-" and scan.text[end + 1 : end + 2].isalnum()
    if leads or (hit.text.istitle() and scan.text[start - 1 : start] == "-"):
        return "is part of a longer word: read as data"
    for other in _earlier(scan, index, _CONDITION_REACH):
        if other.after == hit.first and other.languages("names_before"):
            return f"follows '{other.text}': read as a name"
        if other.after == hit.first and other.languages("kinds") and hit.text.istitle():
            return f"follows '{other.text}' with a capital: read as a name"
        if other.languages("conditions"):
            return f"follows '{other.text}': read as a condition"
    for other in _later(scan, index, _NAMED_AFTER_REACH):
        if other.languages("names_after"):
            return f"stands before '{other.text}': read as data"
    return None


def _negator(scan: _Scan, index: int) -> str | None:
    """Return the words that negate a hit; they must be of a language in which the hit means something."""
    hit, reach = scan.hits[index], scan.lexicon.reach
    own = {sense.language for sense in hit.senses}
    own |= scan.languages if "any" in own else set()
    for other in _earlier(scan, index, max(reach.values())):
        if any(hit.first - other.after <= reach[language] for language in own & other.languages("negators")):
            return other.text
        if own & (other.languages("breakers") | other.languages("conjunctions")):
            break
    for other in _later(scan, index, max(reach.values())):
        if own & other.languages("negators_after"):
            return other.text
        if other.languages("trait") or own & other.languages("breakers"):
            break
    return None


def _earlier(scan: _Scan, index: int, reach: int) -> Iterator[_Hit]:
    """Yield the hits before one in its clause, nearest first, with at most `reach` words between."""
    hit = scan.hits[index]
    for place in range(index - 1, -1, -1):
        other = scan.hits[place]
        if other.clause != hit.clause or hit.first - other.after > reach:
            return
        yield other


def _later(scan: _Scan, index: int, reach: int) -> Iterator[_Hit]:
    """Yield the hits after one in its clause, nearest first, with at most `reach` words between."""
    hit = scan.hits[index]
    for place in range(index + 1, len(scan.hits)):
        other = scan.hits[place]
        if other.clause != hit.clause or other.first - hit.after > reach:
            return
        yield other


def _inside_set_phrase(scan: _Scan, hit: _Hit) -> Iterator[_Finding]:
    if not hit.languages("set_phrases"):
        return
    for place in range(hit.first, hit.after):
        for inner in _hits(scan.text, scan.pieces[place : place + 1], scan.lexicon, scan.languages):
            for sense in inner.senses:
                yield _Finding(sense, "normal", False, f"'{hit.text}' is a phrase of its own", hit.text)


def _found_in_data(scan: _Scan) -> Iterator[_Finding]:
    """Yield, as evidence only, the trait words in quotes, code and the like."""
    for data in scan.pieces:
        where = DATA_KINDS.get(data.kind)
        if where is None:
            continue
        inner = scan.text[data.start : min(data.end, data.start + _DATA_READ)]
        for hit in _hits(inner, words_of(inner), scan.lexicon, scan.languages):
            for sense in hit.senses:
                yield _Finding(sense, "normal", False, f"'{hit.text}' stands {where}: read as data", hit.text)


# --- structure -------------------------------------------------------------------------------------------


def _structure(scan: _Scan, found: Sequence[_Finding], characters: int) -> list[_Signal]:
    """Measure what length and structure say for complexity.

    One point is a sign, two decide. Three to four listed requirements, or 40 words, still are an everyday
    request; five requirements or 120 words (a third of a page) are a small specification. One word of large
    systems may be incidental ("a migration"), two rarely are.
    """
    parts = sentences(scan.pieces)
    items, weight = max(
        (_items(part, scan.lexicon) for part in parts), key=lambda item: item[1], default=(0, 0.0)
    )
    full = sum(len(part) > 1 for part in parts)
    signals = [
        _graded(_count(scan, "item"), (3, 5), "{} separate requirements"),
        _Signal((weight >= 3) + (weight >= 5), f"an enumeration of {items} things"),
        _graded(int(count_words(scan.pieces)), (40, 120), "{} words"),
        _graded(full, (6, 12), "{} sentences"),
        _graded(_count(scan, "fence"), (2, 4), "{} code blocks"),
        _graded(characters, (LONG_CHARACTERS // 2, LONG_CHARACTERS), "{} characters to read"),
        _hinted(found),
    ]
    return [signal for signal in signals if signal.points]


def _graded(measure: int, steps: tuple[int, int], because: str) -> _Signal:
    return _Signal(sum(measure >= step for step in steps), because.format(measure))


def _hinted(found: Sequence[_Finding]) -> _Signal:
    hints = {fold(each.word): each.word for each in found if each.sense.role == "hints" and each.counts}
    shown = ", ".join(f"'{word}'" for word in list(hints.values())[:_EVIDENCE_PER_TRAIT])
    return _Signal(min(len(hints), 2), f"words of larger systems: {shown}")


def _count(scan: _Scan, kind: str) -> int:
    return sum(piece.kind == kind for piece in scan.pieces)


def _items(part: list[Piece], lexicon: Lexicon) -> tuple[int, float]:
    """Return length and weight of the weightiest enumeration; items of one word (names, say) weigh half."""
    best, items, weight = (0, 0.0), 0, 0.0
    for joint, group in groupby(
        part, key=lambda piece: piece.word in COMMAS or piece.word in lexicon.conjunctions
    ):
        words = 0.0 if joint else count_words(list(group))
        if words > ITEM_WORDS or items == 0:
            best = max(best, (items + 1, weight + 1)) if items > 1 else best
            items, weight = 1, 1.0
        elif words:
            items, weight = items + 1, weight + (1 if words > 1 else 0.5)
            best = max(best, (items, weight))
    return best if best[0] > 2 else (0, 0.0)


# --- decisions -------------------------------------------------------------------------------------------


def _complexity(found: Sequence[_Finding], signals: Sequence[_Signal]) -> tuple[str, list[Evidence]]:
    """Weigh words against structure; where they contradict each other, neither is taken alone."""
    said = {each.value for each in found if each.counts and each.sense[1:3] == ("trait", "complexity")}
    structure = "high" if sum(signal.points for signal in signals) >= HIGH_POINTS else "normal"
    evidence = _evidence("complexity", found)
    if structure == "high":
        evidence += [_because("complexity", "high", signal.because) for signal in signals]
    if said == {"low", "high"}:
        why = f"the words contradict each other: length and structure decide, {structure}"
        return structure, [*evidence, _because("complexity", structure, why)]
    if said == {"low"} and structure == "high":
        why = "the words say low, length and structure high: taken in the middle"
        return "normal", [*evidence, _because("complexity", "normal", why)]
    return said.pop() if said else structure, evidence


def _level(trait: str, found: Sequence[_Finding]) -> tuple[str, list[Evidence]]:
    high = any(each.sense.trait == trait and each.value == "high" for each in found)
    return "high" if high else "normal", _evidence(trait, found)


def _evidence(trait: str, found: Sequence[_Finding]) -> list[Evidence]:
    """Keep one entry a reason, those that count first."""
    mine = [each for each in found if each.sense.role == "trait" and each.sense.trait == trait]
    mine.sort(key=lambda each: not each.counts)
    reasons = dict.fromkeys((each.value, each.because) for each in mine)
    return [_because(trait, value, because) for value, because in list(reasons)[:_EVIDENCE_PER_TRAIT]]


def _because(trait: str, value: str, because: str) -> Evidence:
    return {"trait": trait, "value": value, "because": because}


def given_traits(parameters: Mapping[str, Any]) -> dict[str, tuple[str, list[Evidence]]]:
    """Return the traits that parameters set, each with the evidence; of several for one trait the highest counts."""
    lexicon = load_lexicon()
    given: dict[str, tuple[str, list[Evidence]]] = {}
    for trait, words in lexicon.parameters.items():
        evidence = []
        for key, value in parameters.items():
            meant = _meant(trait, value, words.values) if fold(key) in words.keys else None
            if meant:
                evidence.append(_because(trait, meant, f"the parameter {key}={value!r}"))
        if evidence:
            order = ("low", "normal", "high")
            given[trait] = max((each["value"] for each in evidence), key=order.index), evidence
    return given


def _meant(trait: str, value: object, words: Mapping[str, str]) -> str | None:
    if isinstance(value, str | bool):
        return words.get(" ".join(fold(str(value)).replace("_", " ").replace("-", " ").split()))
    if trait == "creativity" and isinstance(value, int | float) and 0 <= value <= 1:
        return "high" if value >= CREATIVE_FROM else "normal"
    return None
