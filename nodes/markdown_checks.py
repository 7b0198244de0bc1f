"""Checks of Markdown: fences are closed, and links are links that lead somewhere. Nothing is fetched.

The parser is markdown-it-py, which rich brings along: it reads CommonMark, so text in code is no link to it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from ..routing.attempts import Check
from .blocks import Block, blocks

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

MARKDOWN = frozenset(["markdown", "md"])
HOSTED = frozenset(["http", "https", "ftp"])
"""Schemes whose addresses name a host."""
HOST = re.compile(
    r"(?:[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)*\.?", re.IGNORECASE
)
NO_LINK = re.compile(
    r"(?<![\w\]\\])!?\[((?!\d+\])[^\[\]]{1,200})\](?:\(([^()\n]{0,500})\)|\[((?!\^)[^\[\]\n]{0,200})\])"
)
"""What was meant as a link and is none: its target has a space, say, or its reference is defined nowhere.

`a[i][j]`, the citation `[1][2]` and the footnote `[a][^1]` are not meant as one.
"""
ANCHOR = re.compile(r"""<[a-z][^<>]{0,500}?\s(?:id|name)\s*=\s*["']?([^\s"'<>]{1,200})""", re.IGNORECASE)
HTML_HEADING = re.compile(r"<h[1-6]\b[^<>]{0,500}>([^\n]{0,500}?)</h[1-6]", re.IGNORECASE)
TAG = re.compile(r"<[^<>]*>")
OWN_ID = re.compile(r"\s*\{#([^\s{}]+)\}\s*$")
"""A heading's own anchor, as Pandoc, kramdown and MkDocs have it."""

KEPT = frozenset(["Ll", "Lm", "Lo", "Lt", "Lu", "Mc", "Me", "Mn", "Nd", "Nl", "Pc"])
"""Kinds of signs in Unicode that an anchor keeps."""

LONGEST = 100_000
"""Characters of a text whose links are looked at; brackets without end would take the parser minutes beyond that."""
TOLD = 3
"""Faults that are told."""
LONGEST_WORDS = 120


def markdown(text: str, parameters: Mapping[str, Any]) -> list[Check]:
    """Check that code fences are closed, and that links have a target that can be: anchors, references, addresses."""
    fenced = blocks(text)
    own = _own_document(text, fenced)
    return [*_fences(fenced if own is None else blocks(own)), *_links(text if own is None else own)]


def _own_document(text: str, fenced: list[Block]) -> str | None:
    """Return the document of an answer that is nothing but a document in a fence."""
    whole = len(fenced) == 1 and fenced[0].language in MARKDOWN and fenced[0].closed
    lines = text.strip().splitlines()
    alone = whole and lines[0].lstrip()[:3] in {"```", "~~~"} and len(lines) == fenced[0].text.count("\n") + 3
    return fenced[0].text if alone else None


def _fences(fenced: list[Block]) -> list[Check]:
    if not fenced:
        return []
    unclosed = [block for block in fenced if not block.closed]
    detail = f"the last block ({unclosed[0].language or 'no language'}) is open" if unclosed else "all closed"
    return [Check(name="Markdown fences are closed", passed=not unclosed, detail=detail)]


def _links(text: str) -> list[Check]:
    if len(text) > LONGEST or (
        "](" not in text and "][" not in text and "]:" not in text and "<" not in text
    ):
        return []
    tokens = list(_flat(_parser().parse(text)))
    targets = [
        str(token.attrs.get("href", token.attrs.get("src", ""))) for token in tokens if _is_link(token)
    ]
    broken = [match for token in tokens if token.type == "text" for match in NO_LINK.finditer(token.content)]
    if not targets and not broken:
        return []
    anchors = _anchors(tokens)
    faults = [*map(_why_no_link, broken), *(why for each in targets if (why := _why_wrong(each, anchors)))]
    told = list(dict.fromkeys(fault[:LONGEST_WORDS] for fault in faults))
    more = [f"{len(told) - TOLD} more"] if len(told) > TOLD else []
    detail = "; ".join([*told[:TOLD], *more]) or f"{len(targets)} link(s)"
    return [Check(name="Markdown links have a target", passed=not faults, detail=detail)]


@cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    # Without `text_join`, what is escaped stays apart from the text around it: `\[a]` is no link that went wrong.
    return MarkdownIt("commonmark").disable("text_join")


def _flat(tokens: Iterable[Token]) -> Iterator[Token]:
    for token in tokens:
        yield token
        yield from token.children or () if token.type == "inline" else ()


def _is_link(token: Token) -> bool:
    return token.type in {"link_open", "image"}


def _why_no_link(match: re.Match[str]) -> str:
    if match[2] is None:
        return f"[{match[1]}][{match[3]}]: no such reference is defined"
    return f"[{match[1]}]({match[2]}): this target makes no link"


def _why_wrong(target: str, anchors: frozenset[str]) -> str | None:
    """Return what is wrong with a target that can be told without following it, or None."""
    if not target:
        return "a link has no target"
    if target.startswith("#"):
        name = unquote(target[1:])
        return None if not name or name.lower() in anchors else f"{target}: no such heading"
    if target.lower().startswith("www."):
        return f"{target}: lacks https://"
    return None if _is_address(target) else f"{target}: no address"


def _is_address(target: str) -> bool:
    """Say whether a target can be an address: of a host, of a person, or within the same site."""
    try:
        parts = urlsplit(target)
        port = parts.port
    except ValueError:
        return False
    if parts.scheme == "mailto":
        return "@" in parts.path
    if parts.scheme not in HOSTED:
        return True
    host = parts.hostname or ""
    # What stands in [brackets] urlsplit has read.
    return port != 0 and (":" in host or HOST.fullmatch(host) is not None)


def _anchors(tokens: list[Token]) -> frozenset[str]:
    """Return what `#…` may name: headings as GitHub names them, and ids in HTML."""
    found, names = dict[str, int](), set[str]()
    for before, token in zip([None, *tokens], tokens, strict=False):
        if before is not None and before.type == "heading_open":
            heading = token.content if (own := OWN_ID.search(token.content)) else _said(token)
            names.update([own[1].lower()] if own else [])
            names.add(_numbered(slug(OWN_ID.sub("", heading)), found))
        elif token.type in {"html_block", "html_inline"}:
            names.update(name.lower() for name in ANCHOR.findall(token.content))
            names.update(
                _numbered(slug(TAG.sub("", said).strip()), found)
                for said in HTML_HEADING.findall(token.content)
            )
    return frozenset(names)


def _said(heading: Token) -> str:
    parts = heading.children or []
    return "".join(part.content for part in parts if part.type in {"text", "text_special", "code_inline"})


def slug(heading: str) -> str:
    """Return the anchor that GitHub gives a heading, as github-slugger does: of signs, only `-` and `_` stay."""
    kept = (sign for sign in heading.lower() if sign in " -" or unicodedata.category(sign) in KEPT)
    return "".join(kept).replace(" ", "-")


def _numbered(name: str, found: dict[str, int]) -> str:
    """Return the anchor of a heading, counted where there was one like it before."""
    free = name
    while free in found:
        found[name] += 1
        free = f"{name}-{found[name]}"
    found[free] = 0
    return free
