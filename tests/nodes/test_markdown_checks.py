"""Fences are closed and links have a target, as far as can be told without following them."""

from __future__ import annotations

import pytest

from tests.nodes.checked import verdicts
from ymera.nodes.markdown_checks import slug
from ymera.nodes.validators import check

LINKS = "Markdown links have a target"


def links(text: str) -> list[tuple[bool, str]]:
    return [(c["passed"], c["detail"]) for c in check(text, ["markdown"], {}) if c["name"] == LINKS]


@pytest.mark.parametrize(
    ("text", "passed"),
    [
        pytest.param("# Title\n\nWords.", [], id="no fence"),
        pytest.param("```\nx\n```", [True], id="closed"),
        pytest.param("```\nx", [False], id="open"),
        pytest.param("```\nx\n```\n```python\ny", [False], id="the last one is open"),
        pytest.param("````\n```\n````", [True], id="a fence in a fence"),
        pytest.param("```\nx\n```\r\n", [True], id="CRLF"),
        pytest.param("Use ```x``` inline.", [], id="inline"),
        pytest.param("", [], id="nothing"),
    ],
)
def test_markdown_fences_must_be_closed(text: str, passed: list[bool]) -> None:
    assert verdicts(text, "markdown") == passed


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("[a](https://example.org/b?c=d#e)", id="an address"),
        pytest.param("[a](http://localhost:8000/docs)", id="a port"),
        pytest.param("[a](http://[::1]:80/)", id="an address of digits"),
        pytest.param("[a](https://例え.jp/)", id="a host in another script"),
        pytest.param("<https://example.org>", id="an address by itself"),
        pytest.param("[a](docs/b.md) ![c](d.png)", id="files beside it"),
        pytest.param("[a](<a b.md>)", id="a file with a space, in brackets"),
        pytest.param("[a](mailto:a@example.org)", id="a person"),
        pytest.param("[a](#)", id="the top"),
        pytest.param(
            "[a][r] and [r][] and [r]\n\n[R]: https://example.org", id="references that are defined"
        ),
        pytest.param("[The end](#the-end)\n\n## The end", id="a heading"),
        pytest.param("[a](#the-end)\n\nThe *end*\n---", id="a heading that is underlined"),
        pytest.param("# A\n# A\n[x](#a) [y](#a-1)", id="two headings alike"),
        pytest.param(
            "# A\n# A\n# A 1\n# A-1\n[x](#a-1-1) [y](#a-1-2)", id="headings that are counted already"
        ),
        pytest.param("## `run()` & stop: C++!\n[x](#run--stop-c)", id="a heading with code and signs"),
        pytest.param(
            "# Überblick (1.0)\n[x](#überblick-10) [y](#%C3%BCberblick-10)", id="letters of another language"
        ),
        pytest.param("# A {#own}\n[x](#own)", id="a heading's own anchor"),
        pytest.param(
            "<a id='here'></a>\n[x](#here)\n\n<h2 class='b'>Big</h2>\n\n[y](#big)", id="anchors in HTML"
        ),
    ],
)
def test_a_link_that_can_lead_somewhere_passes(text: str) -> None:
    [(passed, detail)] = links(text)
    assert passed, detail


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param("[a]()", "a link has no target", id="no target"),
        pytest.param("![a]()", "a link has no target", id="a picture of nothing"),
        pytest.param("| a |\n|---|\n| [x]() |", "a link has no target", id="in a table"),
        pytest.param("[a][nowhere]", "[a][nowhere]: no such reference", id="a reference defined nowhere"),
        pytest.param("[a][]", "[a][]: no such reference", id="its short form"),
        pytest.param("```\n[r]: https://example.org\n```\n[a][r]", "no such reference", id="defined in code"),
        pytest.param("[a](#b)\n\n# C", "#b: no such heading", id="an anchor without a heading"),
        pytest.param("# A\n[x](#a-1)", "#a-1: no such heading", id="a second heading that there is not"),
        pytest.param("```\n# A\n```\n[x](#a)", "#a: no such heading", id="a heading in code"),
        pytest.param("[r]\n\n[r]: #b", "#b: no such heading", id="behind a reference"),
        pytest.param("[a](https://example.org/b c)", "this target makes no link", id="a space in an address"),
        pytest.param("[a](http://)", "http://: no address", id="no host"),
        pytest.param("[a](https:/example.org)", "no address", id="one slash"),
        pytest.param("[a](https://example..org)", "no address", id="an empty part of a host"),
        pytest.param("[a](https://<your-host>/)", "no address", id="a host to be filled in"),
        pytest.param("[a](https://example.org:99999/)", "no address", id="a port that there is not"),
        pytest.param("[a](http://[::1/)", "no address", id="an open bracket"),
        pytest.param("[a](www.example.org)", "lacks https://", id="no scheme"),
        pytest.param("[a](mailto:example.org)", "no address", id="no person"),
        pytest.param("[a](javascript:void)", "this target makes no link", id="a script"),
        pytest.param("```markdown\n# A\n[x](#b)\n```", "#b: no such heading", id="a document in a fence"),
    ],
)
def test_a_link_that_leads_nowhere_fails(text: str, told: str) -> None:
    [(passed, detail)] = links(text)
    assert not passed
    assert told in detail


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("`[a]()` and ``[b][c]``", id="code in a line"),
        pytest.param("```\n[a]()\n```\n\n    [b](#c)", id="blocks of code"),
        pytest.param("<!-- [a]() -->\n", id="a comment"),
        pytest.param("matrix[i][j] and table[0](1)", id="places in a matrix"),
        pytest.param("as shown in [1][2] and [3]", id="citations"),
        pytest.param("a word[^1] and [a][^1]", id="footnotes"),
        pytest.param("- [ ] to do\n- [x] done", id="a list of tasks"),
        pytest.param("\\[a][b] and \\[c](d e)", id="escaped"),
    ],
)
def test_what_is_no_link_is_not_looked_at(text: str) -> None:
    assert [passed for passed, _ in links(text)] in ([], [True])


# From github-slugger's own cases (test/fixtures.json).
@pytest.mark.parametrize(
    ("heading", "anchor"),
    [
        ("alpha", "alpha"),
        ("bravoCharlieDelta", "bravocharliedelta"),
        ("heading with a - dash", "heading-with-a---dash"),
        ("heading with an _ underscore", "heading-with-an-_-underscore"),
        (
            "exchange.bind_headers(exchange, routing [, bindCallback])",
            "exchangebind_headersexchange-routing--bindcallback",
        ),
        ("apostrophe’s should be trimmed", "apostrophes-should-be-trimmed"),
        ("I ♥ unicode", "i--unicode"),
        ("en–dash", "endash"),
        ("😄_😄 unicode emoji", "_-unicode-emoji"),
        ("Привет non-latin 你好", "привет-non-latin-你好"),
        (":ok_hand: :hatched_chick: Two in a row", "ok_hand-hatched_chick-two-in-a-row"),
        ("a_ ‿ ⁀b", "a_-‿-⁀b"),
    ],
)
def test_a_heading_has_the_anchor_that_github_gives_it(heading: str, anchor: str) -> None:
    assert slug(heading) == anchor


def test_a_text_too_long_for_its_links_is_checked_for_its_fences_alone() -> None:
    text = "[a]()\n```\nx\n```\n" + "word " * 30_000
    assert [c["name"] for c in check(text, ["markdown"], {})] == ["Markdown fences are closed"]
