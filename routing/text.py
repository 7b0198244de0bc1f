"""How a text becomes words, stops, list items and data (what is quoted, code, a path, a URL).

Every repeat in the pattern is bounded, so that the work grows with the length of the text and no faster.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import NamedTuple

from .words import HAN, KANA, LETTER, fold

DATA_KINDS = {
    "quote": "in quotes",
    "code": "in code",
    "named": "in code or a path",
    "fence": "in a code block",
}
"""The kinds of pieces that are data, and where their words stand, for people."""
COMMAS = frozenset(",、;")

_TEXT = re.compile(
    rf"""
    (?P<fence> ```.*?(?:```|\Z) )
  | (?P<quote>
        `[^`\n]{{1,300}}`
      | (?<!{LETTER})"[^"]{{1,600}}"
      | (?<!{LETTER})'(?=\S)(?:[^'\n]|'(?={LETTER})){{1,300}}?(?<=\S)'(?!{LETTER})
      | (?<!{LETTER})[‘‚](?:[^‘’\n]|’(?={LETTER})){{1,300}}[’‘](?!{LETTER})
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
  | (?P<item>
        ^[ \t]*(?:[-*•‣·+]|\(?\d{{1,3}}[.)]|[一二三四五六七八九十]{{1,2}}、)[ \t]*(?=\S)(?<=[\s、])
      | (?<=[\s:])\(?\d{{1,2}}\)\s{{1,9}}(?=\S)
      | (?<=\s)\d{{1,2}}\.[ ](?=\S)
    )
  | (?P<word> {LETTER}+ | [{KANA}]+ | [{HAN}] )
    (?P<named>
        ://\S{{1,500}}                                      # a URL
      | @[\w.-]{{1,80}}                                     # an address
      | \\\w[\w.\\-]{{0,120}} | (?:/\w[\w.-]{{0,60}}){{2,10}} | /[\w-]{{1,60}}\.[a-z]\w{{0,5}}    # a path
      | \.[a-z0-9_][\w./:-]{{0,200}}                        # a file, a host, an attribute
      | ::\w{{1,60}} | \((?!s\))[^()\n]{{0,80}}\)            # a member, a call
      | [ ]?(?::=|={{1,2}})[ ]?["']?[\w.-]{{1,80}}           # key=value
      | :[ ](?:true|false|null|yes|no)\b
    )?
  | (?P<stop> [.,;:!?()。、—–] | \n[ \t]*\n )
    """,
    re.VERBOSE | re.MULTILINE | re.DOTALL,
)
_WORD = re.compile(rf"{LETTER}+|[{KANA}]+|[{HAN}]")


class Piece(NamedTuple):
    """A piece of a text. `word` is folded, empty for data; stops and list items begin a new clause."""

    kind: str
    word: str
    start: int
    end: int
    clause: int


def normalized(text: str) -> str:
    """Return `text` with full-width and composed characters in one form (NFKC), as `split_text` wants it."""
    return unicodedata.normalize("NFKC", text)


def split_text(text: str) -> Iterator[Piece]:
    """Yield what a normalized text is made of."""
    clause = 0
    for match in _TEXT.finditer(text):
        kind = match.lastgroup or ""
        if kind in ("stop", "item"):
            clause += 1
        word = fold(match[0]) if kind == "word" else match[0] if kind == "stop" else ""
        yield Piece(kind, word, match.start(), match.end(), clause)


def words_of(data: str) -> list[Piece]:
    """Return every word in a piece of data, whatever stands around it."""
    return [Piece("word", fold(match[0]), *match.span(), 0) for match in _WORD.finditer(data)]


def count_words(part: list[Piece]) -> float:
    """Count words; a Chinese character or a hiragana is about half a word, a number none."""
    words = [piece.word for piece in part if piece.kind == "word" and not piece.word.isdigit()]
    return sum(0.5 if len(word) == 1 and word >= "぀" else 1 for word in words)


def sentences(pieces: list[Piece]) -> list[list[Piece]]:
    """Split words and commas into sentences and list items."""
    parts: list[list[Piece]] = [[]]
    for piece in pieces:
        if piece.kind == "item" or (piece.kind == "stop" and piece.word not in COMMAS):
            parts.append([])
        else:
            parts[-1].append(piece)
    return parts
