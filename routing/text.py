"""How a text becomes words, stops, list items and data (what is quoted, code, a path, a URL).

Every repeat in the pattern is bounded, so that the work grows with the length of the text and no faster.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, pairwise

from .words import Letters, fold, letters_in

DATA_KINDS = {
    "quote": "in quotes",
    "code": "in code",
    "named": "in code or a path",
    "fence": "in a code block",
}
"""The kinds of pieces that are data, and where their words stand, for people."""
COMMAS = frozenset(",、;")


@cache
def pieces_pattern(letters: Letters) -> re.Pattern[str]:
    """Return the pattern of the pieces of a text with such letters."""
    letter, word = letters
    # Most of a text are words and stops of the plainest kind. They come first, with the space after them, so that
    # what is rarer need not be tried at each of their places; where they match, no other piece could begin.
    return re.compile(
        rf"""
        (?P<plain> [A-Za-z]++ ) (?: [ ](?![:=]) | (?! [\w:@\\/(=\ .] ) | (?= \.(?![a-z0-9_]) ) )
      | (?P<mark> [,;:!?)] | \.(?=\s) | \((?!\d) ) [ ]?
      | (?P<item>
            ^[ \t]*(?:[-*•‣·+]|\(?\d{{1,3}}[.)]|[一二三四五六七八九十]{{1,2}}、)[ \t]*(?=\S)(?<=[\s、])
          | (?<=[\s:])\(?\d{{1,2}}\)\s{{1,9}}(?=\S)
          | (?<=\s)\d{{1,2}}\.[ ](?=\S)
        )
      | (?P<word> {word} )
        (?P<named>
            ://\S{{1,500}}                                      # a URL
          | @[\w.-]{{1,80}}                                     # an address
          | \\\w[\w.\\-]{{0,120}} | (?:/\w[\w.-]{{0,60}}){{2,10}} | /[\w-]{{1,60}}\.[a-z]\w{{0,5}}    # a path
          | \.[a-z0-9_][\w./:-]{{0,200}}                        # a file, a host, an attribute
          | ::\w{{1,60}} | \((?!s\))[^()\n]{{0,80}}\)            # a member, a call
          | [ ]?(?::=|={{1,2}})[ ]?["']?[\w.-]{{1,80}}           # key=value
          | :[ ](?:true|false|null|yes|no)\b
        )?
      | (?P<fence> ```.*?(?:```|\Z) )
      | (?P<quote>
            `[^`\n]{{1,300}}`
          | (?<!{letter})"[^"]{{1,600}}"
          | (?<!{letter})'(?=\S)(?:[^'\n]|'(?={letter})){{1,300}}?(?<=\S)'(?!{letter})
          | (?<!{letter})[‘‚](?:[^‘’\n]|’(?={letter})){{1,300}}[’‘](?!{letter})
          | “[^“”]{{1,600}}” | „[^“”„]{{1,600}}[“”] | «[^«»]{{1,600}}» | »[^«»]{{1,600}}«
          | 「[^「」]{{1,600}}」 | 『[^『』]{{1,600}}』 | 《[^《》]{{1,600}}》
        )
      | (?P<code>
            \{{[^{{}}]{{1,600}}\}}                                # JSON, a template's place
          | <[/!A-Za-z][^<>\n]{{0,200}}>                        # a tag
          | (?<!\w)--\w[\w-]{{0,60}}                            # an option
          | (?<!\w)[@$%]\w{{1,60}}                              # a mention, a variable
          | (?<![\w/])(?:~|\.{{1,2}})?/\w[\w./-]{{0,200}}        # a path from / ~ or .
        )
      | (?P<stop> [.,;:!?()。、—–] | \n[ \t]*\n )
        """,
        re.VERBOSE | re.MULTILINE | re.DOTALL,
    )


@cache
def _word_pattern(letters: Letters) -> re.Pattern[str]:
    return re.compile(letters.word)


_KINDS = {"plain": "word", "mark": "stop"}
_BREAKS = frozenset(["stop", "item"])
_SPOKEN = frozenset(["word", "stop"])


@dataclass(frozen=True, slots=True)
class Pieces:
    """The pieces of a text, in columns.

    Args:
        matches: where each stands.
        kinds: word, stop, item, or one of `DATA_KINDS`.
        words: folded; empty for data and items.
        clauses: the number of the clause of each; stops and list items begin a new one.
    """

    text: str
    matches: list[re.Match[str]]
    kinds: list[str]
    words: list[str]
    clauses: list[int]

    def start(self, place: int) -> int:
        """Return where a piece begins in the text."""
        return self.matches[place].start()

    def end(self, place: int) -> int:
        """Return where a piece ends in the text."""
        match = self.matches[place]
        return match.end(match.lastindex or 0)  # the space after it is none of it

    def said(self, first: int, after: int) -> str:
        """Return the text from one piece up to another, which is left out."""
        return " ".join(self.text[self.start(first) : self.end(after - 1)].split())


def normalized(text: str) -> str:
    """Return `text` with full-width and composed characters in one form (NFKC), as `split_text` wants it."""
    return unicodedata.normalize("NFKC", text)


def split_text(text: str) -> Pieces:
    """Return what a normalized text is made of."""
    matches = list(pieces_pattern(letters_in(text)).finditer(text))
    kinds = [_KINDS.get(kind := match.lastgroup or "", kind) for match in matches]
    folded = str.lower if text.isascii() else fold  # as `fold` does, without asking each word anew
    words = [
        folded(match[match.lastindex or 0]) if kind in _SPOKEN else ""
        for match, kind in zip(matches, kinds, strict=True)
    ]
    clauses = accumulate([kind in _BREAKS for kind in kinds])
    return Pieces(text, matches, kinds, words, [*clauses])


def words_of(data: str) -> list[str]:
    """Return every word in a piece of data, folded, whatever stands around it."""
    return [fold(word) for word in _word_pattern(letters_in(data)).findall(data)]


def said_in(data: str, first: int, after: int) -> str:
    """Return a piece of data from one of its words up to another, which is left out."""
    matches = list(_word_pattern(letters_in(data)).finditer(data))
    return " ".join(data[matches[first].start() : matches[after - 1].end()].split())


def weights_of(pieces: Pieces) -> list[float]:
    """Return as how many words each piece counts: a Chinese character about half a word, a number none."""
    return [
        0.0 if kind != "word" or word.isdigit() else 0.5 if len(word) == 1 and word >= "぀" else 1.0
        for kind, word in zip(pieces.kinds, pieces.words, strict=True)
    ]


def sentences(pieces: Pieces) -> list[slice]:
    """Return where the sentences and list items lie, between the stops that are no commas."""
    breaks = [place for place, kind in enumerate(pieces.kinds) if kind in _BREAKS]
    ends = [place for place in breaks if pieces.words[place] not in COMMAS]
    return [slice(before + 1, end) for before, end in pairwise([-1, *ends, len(pieces.kinds)])]
