"""Fenced blocks are what CommonMark says."""

from __future__ import annotations

import pytest

from ymera.nodes.blocks import Block, blocks


@pytest.mark.parametrize(
    ("text", "found"),
    [
        pytest.param("no fence at all", [], id="no fence"),
        pytest.param("```python\nx = 1\n```", [Block("python", "x = 1")], id="one block"),
        pytest.param("```\nx\n```", [Block("", "x")], id="without a language"),
        pytest.param("```\n```", [Block("", "")], id="empty"),
        pytest.param(
            "```Python title=a.py\nx\n```", [Block("python", "x")], id="an info string after the language"
        ),
        pytest.param("```{python}\nx\n```", [Block("python", "x")], id="R Markdown's braces"),
        pytest.param("```{.python .numberLines}\nx\n```", [Block("python", "x")], id="Pandoc's attributes"),
        pytest.param("~~~sql\nx\n~~~", [Block("sql", "x")], id="tildes"),
        pytest.param("```a\n1\n```\ntext\n```b\n2\n```", [Block("a", "1"), Block("b", "2")], id="several"),
        pytest.param("```python\r\nx = 1\r\ny = 2\r\n```\r\n", [Block("python", "x = 1\ny = 2")], id="CRLF"),
        pytest.param(
            "````md\n```python\nx\n```\n````",
            [Block("md", "```python\nx\n```")],
            id="a fence in a longer one",
        ),
        pytest.param(
            "~~~md\n```python\nx\n```\n~~~", [Block("md", "```python\nx\n```")], id="a fence in tildes"
        ),
        pytest.param("```python\nx\n`````", [Block("python", "x")], id="closed by a longer fence"),
        pytest.param("````\nx\n```\ny\n````", [Block("", "x\n```\ny")], id="a shorter fence closes nothing"),
        pytest.param("```\nx\n~~~\n```", [Block("", "x\n~~~")], id="another mark closes nothing"),
        pytest.param("```python\nx = 1", [Block("python", "x = 1", closed=False)], id="never closed"),
        pytest.param(
            "```python\nx\n``` # done",
            [Block("python", "x\n``` # done", closed=False)],
            id="words after the end",
        ),
        pytest.param("use ```x``` here", [], id="a fence within a line"),
        pytest.param("```x``` and more\ntext", [], id="an inline span at a line's start"),
        pytest.param(
            "1. So:\n   ```python\n   def f():\n       return 1\n   ```",
            [Block("python", "def f():\n    return 1")],
            id="indented in a list",
        ),
        pytest.param(
            "  ```python\nx = 1\n  ```", [Block("python", "x = 1")], id="content less indented than its fence"
        ),
        pytest.param(
            "```python\n  x\n  ```", [Block("python", "  x")], id="the end more indented than the beginning"
        ),
    ],
)
def test_fenced_blocks_are_found_as_commonmark_says(text: str, found: list[Block]) -> None:
    assert blocks(text) == found
