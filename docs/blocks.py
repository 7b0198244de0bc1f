"""The fenced blocks of a Markdown file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

FENCE = re.compile(
    r"^(?P<fence>`{3,})(?P<language>[\w-]*)[^\n`]*\n(?P<text>.*?)^(?P=fence)[ \t]*$", re.DOTALL | re.MULTILINE
)


class Block(NamedTuple):
    """A fenced block: the file's name, the line of its first fence, its language, its text."""

    file: str
    line: int
    language: str
    text: str

    @property
    def title(self) -> str:
        """Name of the block, for people."""
        return f"{self.file}:{self.line}"


def blocks_of(path: Path) -> list[Block]:
    """Return the fenced blocks of a file, in their order."""
    text = path.read_text(encoding="utf-8")
    return [
        Block(path.name, text.count("\n", 0, match.start()) + 1, match["language"], match["text"])
        for match in FENCE.finditer(text)
    ]
