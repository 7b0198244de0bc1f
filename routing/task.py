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
from itertools import chain, groupby
from typing import Any, NamedTuple, cast

from .records import Complexity, Evidence, Level, Reading
from .text import COMMAS, DATA_KINDS, Pieces, normalized, said_in, sentences, split_text, weights_of, words_of
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
    pieces: Pieces
    hits: Sequence[_Hit]
    languages: frozenset[str]
    lexicon: Lexicon

    def said(self, hit: _Hit) -> str:
        """Return a hit as the text has it."""
        return self.pieces.said(hit.first, hit.after)


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
    pieces = split_text(text)
    languages = _languages(pieces.words, lexicon)
    hits = list(_hits(pieces.words, lexicon, languages))
    return _Scan(pieces=pieces, hits=hits, languages=languages, lexicon=lexicon)


def _languages(words: Sequence[str], lexicon: Lexicon) -> frozenset[str]:
    """Choose the languages with at least half the votes of their script's first.

    A single vote excludes nothing: short texts are often of no language, or of two.
    """
    voted = [lexicon.votes[word] for word in words[:_VOTING_WORDS] if word in lexicon.votes]
    votes = Counter(chain.from_iterable(voted))
    best: dict[str, int] = {}
    for language, script in lexicon.scripts.items():
        best[script] = max(best.get(script, 0), votes[language])
    return frozenset(
        language
        for language, script in lexicon.scripts.items()
        if best[script] < 2 or votes[language] * 2 >= best[script]
    )


def _hits(words: Sequence[str], lexicon: Lexicon, languages: frozenset[str]) -> Iterator[_Hit]:
    """Yield the longest phrase at each place that means something in one of the languages."""
    free, phrases = 0, lexicon.phrases
    for place in [place for place, word in enumerate(words) if word in phrases]:
        if place < free:
            continue
        follower = words[place + 1] if place + 1 < len(words) else ""
        for phrase, senses in phrases[words[place]]:
            after = place + len(phrase)
            # Few phrases of several words go on as the text does: the second word tells most of them apart.
            if len(phrase) > 1 and (phrase[1] != follower or tuple(words[place:after]) != phrase):
                continue
            if spoken := tuple([sense for sense in senses if sense.language in languages]):
                yield _Hit(place, after, spoken)
                free = after
                break


def _judge(scan: _Scan, index: int) -> Iterator[_Finding]:
    """Yield what the trait words of a hit say in their place."""
    hit = scan.hits[index]
    own = {(sense.trait, sense.value): sense for sense in hit.senses if sense.role in ("trait", "hints")}
    if not own:
        yield from _inside_set_phrase(scan, hit)
        return
    text = scan.said(hit)
    aside = _set_aside(scan, index)
    negator = None if aside else _negator(scan, index)
    for sense in own.values():
        if aside:
            yield _Finding(sense, "normal", False, f"'{text}' {aside}", text)
        elif negator:
            value, why = _turned(sense), f"'{text}' is negated by '{negator}'"
            yield _Finding(sense, value, value != "normal", why, text)
        else:
            yield _Finding(sense, sense.value, True, f"the word '{text}'", text)


def _turned(sense: Sense) -> str:
    """Say what a negated trait word means: "not simple" is high, "not complex" low, the rest is cancelled."""
    if sense.trait != "complexity":
        return "normal"
    return {"low": "high", "high": "low"}.get(sense.value, "normal")


def _set_aside(scan: _Scan, index: int) -> str | None:
    """Say why a trait word is data in its place; None where it is not."""
    hit = scan.hits[index]
    whole, capital = scan.pieces.text, scan.said(hit).istitle()
    start, end = scan.pieces.start(hit.first), scan.pieces.end(hit.after - 1)
    leads = whole[end : end + 1] == "-" and whole[end + 1 : end + 2].isalnum()
    if leads or (capital and whole[start - 1 : start] == "-"):
        return "is part of a longer word: read as data"
    for other in _earlier(scan, index, _CONDITION_REACH):
        if other.after == hit.first and other.languages("names_before"):
            return f"follows '{scan.said(other)}': read as a name"
        if other.after == hit.first and other.languages("kinds") and capital:
            return f"follows '{scan.said(other)}' with a capital: read as a name"
        if other.languages("conditions"):
            return f"follows '{scan.said(other)}': read as a condition"
    for other in _later(scan, index, _NAMED_AFTER_REACH):
        if other.languages("names_after"):
            return f"stands before '{scan.said(other)}': read as data"
    return None


def _negator(scan: _Scan, index: int) -> str | None:
    """Return the words that negate a hit; they must be of a language in which the hit means something."""
    hit, reach = scan.hits[index], scan.lexicon.reach
    own = {sense.language for sense in hit.senses}
    own |= scan.languages if "any" in own else set()
    for other in _earlier(scan, index, max(reach.values())):
        if any(hit.first - other.after <= reach[language] for language in own & other.languages("negators")):
            return scan.said(other)
        if own & (other.languages("breakers") | other.languages("conjunctions")):
            break
    for other in _later(scan, index, max(reach.values())):
        if own & other.languages("negators_after"):
            return scan.said(other)
        if other.languages("trait") or own & other.languages("breakers"):
            break
    return None


def _earlier(scan: _Scan, index: int, reach: int) -> Iterator[_Hit]:
    """Yield the hits before one in its clause, nearest first, with at most `reach` words between."""
    hit, clauses = scan.hits[index], scan.pieces.clauses
    for place in range(index - 1, -1, -1):
        other = scan.hits[place]
        if clauses[other.first] != clauses[hit.first] or hit.first - other.after > reach:
            return
        yield other


def _later(scan: _Scan, index: int, reach: int) -> Iterator[_Hit]:
    """Yield the hits after one in its clause, nearest first, with at most `reach` words between."""
    hit, clauses = scan.hits[index], scan.pieces.clauses
    for place in range(index + 1, len(scan.hits)):
        other = scan.hits[place]
        if clauses[other.first] != clauses[hit.first] or other.first - hit.after > reach:
            return
        yield other


def _inside_set_phrase(scan: _Scan, hit: _Hit) -> Iterator[_Finding]:
    if not hit.languages("set_phrases"):
        return
    text = scan.said(hit)
    for place in range(hit.first, hit.after):
        for inner in _hits(scan.pieces.words[place : place + 1], scan.lexicon, scan.languages):
            for sense in inner.senses:
                yield _Finding(sense, "normal", False, f"'{text}' is a phrase of its own", text)


def _found_in_data(scan: _Scan) -> Iterator[_Finding]:
    """Yield, as evidence only, the trait words in quotes, code and the like."""
    pieces = scan.pieces
    for place in [place for place, kind in enumerate(pieces.kinds) if kind in DATA_KINDS]:
        where, start, end = DATA_KINDS[pieces.kinds[place]], pieces.start(place), pieces.end(place)
        inner = pieces.text[start : min(end, start + _DATA_READ)]
        for hit in _hits(words_of(inner), scan.lexicon, scan.languages):
            text = said_in(inner, hit.first, hit.after)
            for sense in hit.senses:
                yield _Finding(sense, "normal", False, f"'{text}' stands {where}: read as data", text)


# --- structure -------------------------------------------------------------------------------------------


def _structure(scan: _Scan, found: Sequence[_Finding], characters: int) -> list[_Signal]:
    """Measure what length and structure say for complexity.

    One point is a sign, two decide. Three to four listed requirements, or 40 words, still are an everyday
    request; five requirements or 120 words (a third of a page) are a small specification. One word of large
    systems may be incidental ("a migration"), two rarely are.
    """
    pieces, joining = scan.pieces, {*COMMAS, *scan.lexicon.conjunctions}
    parts, weights = sentences(pieces), weights_of(pieces)
    joints = [word in joining for word in pieces.words]
    enumerations = [_items(joints[part], weights[part]) for part in parts]
    items, weight = max(enumerations, key=lambda item: item[1], default=(0, 0.0))
    full = sum([part.stop - part.start > 1 for part in parts])
    hints = _hints(found)
    measures = (
        (listed := pieces.kinds.count("item"), (3, 5), f"{listed} separate requirements"),
        (weight, (3, 5), f"an enumeration of {items} things"),
        (words := int(sum(weights)), (40, 120), f"{words} words"),
        (full, (6, 12), f"{full} sentences"),
        (fences := pieces.kinds.count("fence"), (2, 4), f"{fences} code blocks"),
        (characters, (LONG_CHARACTERS // 2, LONG_CHARACTERS), f"{characters} characters to read"),
        (len(hints), (1, 2), f"words of larger systems: {', '.join(hints[:_EVIDENCE_PER_TRAIT])}"),
    )
    return [
        _Signal(1 + (measure >= second), because)
        for measure, (first, second), because in measures
        if measure >= first
    ]


def _hints(found: Sequence[_Finding]) -> list[str]:
    """Return the words of larger systems, each once."""
    hints = {fold(each.word): each.word for each in found if each.sense.role == "hints" and each.counts}
    return [f"'{word}'" for word in hints.values()]


def _items(joints: Sequence[bool], weights: Sequence[float]) -> tuple[int, float]:
    """Return length and weight of a sentence's weightiest enumeration; items of one word (names, say) weigh half.

    Args:
        joints: for each piece, whether it joins two items.
        weights: as how many words each piece counts.
    """
    if sum(joints) < 2:  # an enumeration has three items
        return 0, 0.0
    best, items, weight, end = (0, 0.0), 0, 0.0, 0
    for joint, group in groupby(joints):
        begin, end = end, end + len(list(group))
        words = 0.0 if joint else sum(weights[begin:end])
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
