"""What can be measured of a task's text without knowing its words: lengths, numbers, options, signs.

These measures carry over to tasks of a kind that was never seen, where words do not (docs/learning.md).
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

READ_CHARACTERS = 20_000

_OPTION = re.compile(r"\n\(?[A-J][.)] ?")
_WORD = re.compile(r"[^\W\d_]+")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_STOP = re.compile(r"[.!?](?:\s|$)")
_NUMERIC = re.compile(r"[^A-Za-z]*\d[^A-Za-z]*[A-Za-z/^0-9%°. ]{0,12}")
_NEGATED = re.compile(r"\b(?:not|except|least|incorrect|false)\b", re.IGNORECASE)
_SOUGHT = re.compile(
    r"\b(?:calculate|find|determine|compute|evaluate|how (?:many|much|long|far|fast))\b", re.IGNORECASE
)
_JUDGED = re.compile(r"\b(?:best|most likely|primarily|according|describes)\b", re.IGNORECASE)
_OPEN = re.compile(r"none of|all of|both|neither|cannot", re.IGNORECASE)
_ASKED = re.compile(r"Which|What|How|Who|Why|When")

Measures = tuple[float, ...]


def shape_of(text: str) -> Measures:
    """Return the measures of a text, always as many."""
    text = text[:READ_CHARACTERS]
    question, *options = _OPTION.split(text)
    return (*_lengths(text, question, options), *_numbers(text, question), *_manner(text, question, options))


def _lengths(text: str, question: str, options: Sequence[str]) -> Measures:
    words, own = _WORD.findall(text), _WORD.findall(question)
    lengths = [len(option) for option in options]
    return (
        _log(len(text)),
        _log(len(question)),
        _log(sum(lengths)),
        len(options),
        _log(len(own)),
        _log(len(_STOP.findall(question))),
        _log(question.count(",")),
        sum(map(len, words)) / max(len(words), 1),
        len({word.lower() for word in words}) / (1 + len(words)),
        _unevenness(lengths),
    )


def _numbers(text: str, question: str) -> Measures:
    numbers = _NUMBER.findall(question)
    own = len(_WORD.findall(question))
    return (
        _log(len(numbers)),
        len(numbers) / (1 + own),
        _log(min(max(map(float, numbers), default=0.0), 1e12)),
        sum("." in number for number in numbers) / (1 + len(numbers)),
        _log(text.count("$") + text.count("\\")),
        _log(sum(map(text.count, "=+*^/<>"))),
    )


def _manner(text: str, question: str, options: Sequence[str]) -> Measures:
    stripped = question.strip()
    own = _WORD.findall(question)
    return (
        sum(bool(_NUMERIC.fullmatch(option)) for option in options) / max(len(options), 1),
        stripped.endswith("?"),
        "___" in question or stripped.endswith(":"),
        bool(_NEGATED.search(question)),
        bool(_SOUGHT.search(question)),
        bool(_JUDGED.search(question)),
        bool(_OPEN.search(" ".join(options))),
        bool(_ASKED.match(question)),
        "\n" in question,
        sum(word[0].isupper() for word in own) / (1 + len(own)),
        sum(map(str.isupper, text)) / (1 + len(text)),
        len(text) / max(len(text.encode(errors="replace")), 1),
    )


def _log(count: float) -> float:
    return math.log1p(count)


def _unevenness(lengths: Sequence[int]) -> float:
    """Return how much the options differ in length, against their mean."""
    if not lengths:
        return 0.0
    mean = sum(lengths) / len(lengths)
    return math.sqrt(sum((length - mean) ** 2 for length in lengths) / len(lengths)) / (1 + mean)
