"""The fenced blocks of a Markdown text."""

from __future__ import annotations

import re
from typing import NamedTuple

FENCE = re.compile(r"([ \t]*)(`{3,}|~{3,})[ \t]*(.*)")
LANGUAGE = re.compile(r"\{?\.?([\w+#-]*)")


class Block(NamedTuple):
    """A fenced block: its language in lower case (may be empty), its text, and whether its fence is closed."""

    language: str
    text: str
    closed: bool = True


def blocks(text: str) -> list[Block]:
    """Return the fenced blocks of a Markdown text. As in CommonMark, an unclosed one runs to the text's end."""
    found: list[Block] = []
    mark, indent, language, lines = "", 0, "", list[str]()
    for line in (line.removesuffix("\r") for line in text.split("\n")):
        fence = FENCE.match(line)
        if mark and fence and fence[2].startswith(mark) and not fence[3].strip():
            found.append(Block(language, "\n".join(lines), closed=True))
            mark = ""
        elif mark:
            lines.append(_dedented(line, indent))
        elif fence and not (fence[2][0] == "`" and "`" in fence[3]):
            mark, indent, lines = fence[2], len(fence[1]), []
            named = LANGUAGE.match(fence[3])
            language = named[1].lower() if named else ""
    return [*found, Block(language, "\n".join(lines), closed=False)] if mark else found


def _dedented(line: str, indent: int) -> str:
    """Take from a line in a block what the block's fence is indented by."""
    return line[min(indent, len(line) - len(line.lstrip(" \t"))) :]
