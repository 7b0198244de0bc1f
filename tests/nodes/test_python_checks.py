"""Python is parsed, compiled and linted, and never run; what counts as a fault does fail when it is run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.nodes.checked import fenced, verdicts
from ymera.nodes.python_checks import FAILING
from ymera.nodes.validators import check


def compiles(text: str, parameters: dict[str, Any] | None = None) -> list[bool]:
    return [c["passed"] for c in check(text, ["python"], parameters or {}) if c["name"].endswith("compiles")]


def faults(*blocks: str) -> list[str]:
    """Return what the linter says of an answer with these blocks."""
    text = "\n".join(f"```python\n{block}\n```" for block in blocks)
    return [
        c["detail"] for c in check(text, ["python"], {}) if c["name"].endswith("lints") and not c["passed"]
    ]


@pytest.mark.parametrize(
    ("code", "passed"),
    [
        pytest.param("def f(x):\n    return x + 1", True, id="a function"),
        pytest.param("", True, id="nothing"),
        pytest.param("import a_module_that_nobody_has", True, id="a module that is not there"),
        pytest.param('PATTERN = "\\d+"', True, id="a doubtful escape is no error"),
        pytest.param("assert (1, 'always true')", True, id="a doubtful assertion is no error"),
        pytest.param("def f(:\n    pass", False, id="a syntax error"),
        pytest.param("return 1", False, id="a return outside a function"),
        pytest.param("x = 1\n  y = 2", False, id="wrong indentation"),
        pytest.param("x = 1\0", False, id="a null byte"),
        pytest.param("x = '\ud800'", False, id="half a letter"),
        pytest.param("(" * 100_000, False, id="open brackets without end"),
        pytest.param("(" * 90 + ")" * 90, True, id="brackets nested deep but well"),
        pytest.param("x = " + "-" * 100_000 + "1", False, id="signs without end"),
        pytest.param("x = " + "1 + " * 100_000 + "1", False, id="a sum without end"),
        pytest.param("x" + ".y" * 100_000, False, id="attributes without end"),
        pytest.param("\n".join(" " * n + "if x:" for n in range(200)), False, id="nested blocks without end"),
        pytest.param("x = " + "9" * 100_000, False, id="a number without end"),
        pytest.param("x = 9 ** 9 ** 9 ** 9", True, id="a power that nobody computes"),
        pytest.param("x = 'a' * 10 ** 10", True, id="a text that nobody builds"),
    ],
)
def test_python_is_parsed_and_compiled(code: str, passed: bool) -> None:
    assert compiles(fenced(code)) == [passed]


def test_code_that_would_do_harm_is_never_run(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    code = f"open({str(trace)!r}, 'w').write('x')\nraise SystemExit\nwhile True: pass"
    assert verdicts(fenced(code), "python") == [True, True]
    assert not trace.exists()


@pytest.mark.parametrize(
    ("text", "parameters", "passed"),
    [
        pytest.param("x = 1", {"language": "Python"}, [True], id="bare code where Python is asked for"),
        pytest.param("x = = 1", {"language": "python"}, [False], id="bare code that is wrong"),
        pytest.param("Nothing but prose.", {}, [], id="prose where nothing says that it is code"),
        pytest.param("package main", {"language": "go"}, [], id="another language"),
        pytest.param(
            "```go\npackage main\n```", {"language": "python"}, [], id="a block of another language"
        ),
        pytest.param("```py\nx=1\n```\n```python3\ny=\n```", {}, [True, False], id="each block is checked"),
        pytest.param(
            "```python\ndef f():\n    return 1", {}, [True], id="a block that is not closed is checked too"
        ),
        pytest.param("```python\r\nx = (\r\n```\r\n", {}, [False], id="CRLF hides nothing"),
        pytest.param("1. So:\n   ```python\n   x = 1\n   ```", {}, [True], id="an indented block"),
    ],
)
def test_what_is_taken_as_python(text: str, parameters: dict[str, Any], passed: list[bool]) -> None:
    assert compiles(text, parameters) == passed


def test_a_syntax_error_says_which_block_and_why() -> None:
    [first, second, _] = check("```py\nx = 1\n```\n```py\nx = = 1\n```", ["python"], {})
    assert (first["name"], first["detail"]) == ("Python block 1 compiles", "1 lines")
    assert second["name"] == "Python block 2 compiles"
    assert second["detail"].startswith("SyntaxError: invalid syntax")


# --- what the linter counts, and what it does not ------------------------------------------------------------

FAILS = {
    "a name that nobody defines": ("UndefinedName", "print(nobody)", NameError),
    "a name before it is defined": ("UndefinedName", "print(x)\nx = 1", NameError),
    "a name that was deleted": ("UndefinedName", "x = 1\ndel x\nprint(x)", NameError),
    "an annotation that is looked up": ("UndefinedName", "def f(a: List[int]) -> None: ...", NameError),
    "a local name before it is set": (
        "UndefinedLocal",
        "x = 1\ndef f():\n    print(x)\n    x = 2\nf()",
        UnboundLocalError,
    ),
    "print as it was in Python 2": ("InvalidPrintSyntax", "import sys\nprint >> sys.stderr, 'x'", TypeError),
    "a format without an argument": ("StringDotFormatMissingArgument", "'{} {}'.format(1)", IndexError),
    "a format without a named one": ("StringDotFormatMissingArgument", "'{a}'.format(b=1)", KeyError),
    "a format counted in two ways": ("StringDotFormatMixingAutomatic", "'{} {1}'.format(1, 2)", ValueError),
    "a format with an open brace": ("StringDotFormatInvalidFormat", "'{'.format(1)", ValueError),
    "a % format without an argument": ("PercentFormatMissingArgument", "'%(a)s' % {'b': 1}", KeyError),
    "a % format that counts wrong": ("PercentFormatPositionalCountMismatch", "'%s %s' % (1,)", TypeError),
    "a % format of two kinds": ("PercentFormatMixedPositionalAndNamed", "'%s %(a)s' % (1,)", TypeError),
    "a % format that wants names": ("PercentFormatExpectedMapping", "'%(a)s' % (1,)", TypeError),
    "a % format that wants values": ("PercentFormatExpectedSequence", "'%s %s' % {'a': 1}", TypeError),
    "a % format that ends": ("PercentFormatInvalidFormat", "'%(a' % {'a': 1}", ValueError),
    "a % format that there is not": ("PercentFormatUnsupportedFormatCharacter", "'%y' % (1,)", ValueError),
    "a % format with a star": ("PercentFormatStarRequiresSequence", "'%*s' % {'a': 1}", TypeError),
}


@pytest.mark.parametrize(("_", "code", "error"), FAILS.values(), ids=FAILS)
def test_what_fails_the_linter_fails_when_it_is_run(_: str, code: str, error: type[Exception]) -> None:
    assert len(faults(code)) == 1
    with pytest.raises(error):
        exec(compile(code, "<ours>", "exec", dont_inherit=True), {"__name__": "ours"})


def test_every_message_that_fails_has_an_example_that_is_run() -> None:
    assert {name for name, _, _ in FAILS.values()} == FAILING


TASTE = {
    "an import that is not used": "import os",
    "an import made twice": "import os\nimport os\nos.getcwd()",
    "a variable that is not used": "def f():\n    x = 1\nf()",
    "an f-string without a place": "x = f'x'",
    "a format with more than it uses": "x = '{}'.format(1, 2)",
    "a key given twice": "x = {'a': 1, 'a': 2}",
    "a comparison of what is the same": "x = 1\nx is 'a'",
    "a name in a text annotation": "def f(x: 'Missing') -> 'Missing': ...",
    "an annotation that is not looked up": "from __future__ import annotations\ndef f(x: Missing): ...",
    "an annotation within a function": "def f():\n    x: Missing = 1\n    return x\nf()",
    "a name with a way out": "try:\n    unicode\nexcept NameError:\n    unicode = str",
    "names from a star": "from os.path import *\njoin('a', 'b')",
    "the module's own names": "print(__name__, __doc__)\n__all__ = ['x']\nx = 1",
    "names made at run time": "globals()['made'] = 1\nprint(made)",
    "a name set in another function": "def f():\n    global x\n    x = 1\nf()\nprint(x)",
    "an overloaded function": (
        "from typing import overload\n@overload\ndef f(a: int) -> int: ...\n"
        "@overload\ndef f(a: str) -> str: ...\ndef f(a): return a\nf(1)"
    ),
    "a property and its setter": (
        "class A:\n    @property\n    def x(self): return 1\n    @x.setter\n    def x(self, v): pass"
    ),
    "routes of the same name": (
        "def route(f): return f\n@route\ndef read(): return 1\n@route\ndef read(): return 2"
    ),
    "a stub that is filled in": "def f():\n    pass\ndef f():\n    return 1",
    "one function or the other": "import os\nif os.name == 'nt':\n    def f(): return 1\nelse:\n    def f(): return 2",
    "a function wrapped by hand": "def f(): return 1\ng = f\ndef f(): return 2",
}


@pytest.mark.filterwarnings("ignore::SyntaxWarning")
@pytest.mark.parametrize("code", TASTE.values(), ids=TASTE)
def test_what_runs_passes_the_linter(code: str) -> None:
    assert faults(code) == []
    exec(compile(code, "<ours>", "exec", dont_inherit=True), {"__name__": "ours", "__doc__": ""})


@pytest.mark.parametrize(
    "code",
    [
        pytest.param("def f():\n    return 1\ndef f():\n    return 2", id="a function"),
        pytest.param("class A:\n    x = 1\nclass A:\n    y = 1", id="a class"),
        pytest.param("class A:\n    def f(self): return 1\n    def f(self): return 2", id="a method"),
        pytest.param("def test_it(): assert 1\nasync def test_it(): assert 2", id="a test"),
    ],
)
def test_a_definition_that_takes_the_place_of_another_with_code_loses_it(code: str) -> None:
    [fault] = faults(code)
    assert "redefinition of unused" in fault


@pytest.mark.parametrize(
    "blocks",
    [
        pytest.param(["import json", "json.dumps({})"], id="imported before"),
        pytest.param(["add(1, 2)", "def add(a, b): return a + b"], id="defined after its use was shown"),
        pytest.param(["def f(): return 1", "def f(): return 2"], id="two versions of a function"),
        pytest.param(["from os.path import *", "join('a')"], id="a star in another block"),
        pytest.param(["exec('x = 1')", "print(x)"], id="made at run time in another block"),
        pytest.param(["x = = 1", "print(x)"], id="beside a block that cannot be read"),
        pytest.param(["self.total = total"], id="a part of a class"),
        pytest.param(["display(1)", "_('text')"], id="names that notebooks and gettext give"),
    ],
)
def test_the_blocks_of_an_answer_are_looked_at_together(blocks: list[str]) -> None:
    assert faults(*blocks) == []


def test_a_name_that_no_block_has_is_told_where_it_is_read() -> None:
    assert faults("import os", "x = 1\nprint(y)") == ["line 2: undefined name 'y'"]


def test_a_comment_of_the_answer_silences_no_check() -> None:
    assert faults("print(nobody)  # noqa: F821") == ["line 1: undefined name 'nobody'"]


def test_of_many_faults_the_first_are_told_and_the_others_counted() -> None:
    [fault] = faults("\n".join(f"print(x{n})" for n in range(9)))
    assert fault.startswith("line 1: undefined name 'x0'; line 2")
    assert fault.endswith("; 6 more")


def test_code_too_long_or_too_deep_for_the_linter_is_compiled_alone() -> None:
    deep = "x = " + " + ".join(["1"] * 900)
    for code in ("x = 1\n" * 20_000, deep):
        assert [c["name"] for c in check(fenced(code), ["python"], {})] == ["Python block 1 compiles"]
