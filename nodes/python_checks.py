"""Checks of Python: it is parsed, compiled and linted, and never run.

The linter is pyflakes: pure Python and small, it works on the tree that was parsed already, in this process, and its
faults are classes, so that what fails can be told from what is taste without reading a message. (Ruff is a program of
its own of some thirty megabytes, pylint imports what it looks at.)
"""

from __future__ import annotations

import ast
import warnings
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..routing.attempts import Check
from .blocks import blocks

if TYPE_CHECKING:
    from pyflakes.messages import Message

PYTHON = frozenset(["python", "py", "python3"])

FAILING = frozenset(
    [
        *("UndefinedName", "UndefinedLocal", "InvalidPrintSyntax"),
        *("StringDotFormatMissingArgument", "StringDotFormatMixingAutomatic", "StringDotFormatInvalidFormat"),
        *("PercentFormatMissingArgument", "PercentFormatPositionalCountMismatch"),
        *("PercentFormatMixedPositionalAndNamed", "PercentFormatExpectedMapping"),
        *("PercentFormatExpectedSequence", "PercentFormatInvalidFormat"),
        *("PercentFormatUnsupportedFormatCharacter", "PercentFormatStarRequiresSequence"),
    ]
)
"""Messages of pyflakes about code that raises once it is reached; a test runs an example of each."""
MISSING = "UndefinedName"
"""Its message about a name that nobody has defined."""
LOST = "RedefinedWhileUnused"
"""Its message about a definition that another takes the place of before it was used."""
GIVEN = frozenset(["_", "display", "get_ipython", "reveal_type", "exit", "quit", "help"])
"""Names that gettext, notebooks, type checkers and the interpreter's start put beside the built-in ones."""
LATER = frozenset(["PythonFinalizationError"])
"""Built-in names of Python releases after the oldest that is supported."""
HIDDEN = frozenset(["exec", "globals", "vars", "__builtins__", "builtins"])
"""Code that uses one of these may make names that no linter sees."""
FRAGMENT = frozenset(["self", "cls"])
"""Undefined, they say that a block is a part of a class; whatever else it lacks may stand there."""

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)

LONGEST_LINTED = 100_000
"""Characters of a block that is linted at most: it takes seconds where it is contrived."""
TOLD = 3
"""Faults of a block that are told."""
LONGEST_WORDS = 200


@dataclass(frozen=True, kw_only=True)
class _Lint:
    """What the linter says of a block.

    Args:
        names: what stands under a name on the block's top level.
        hides: it may make names that no linter sees.
        missing: names that it reads and that it has not.
        other: faults that stand, whatever the blocks beside it say.
    """

    number: int
    names: frozenset[str]
    hides: bool
    missing: list[Message]
    other: list[Message]


def python_code(text: str, parameters: Mapping[str, Any]) -> list[Check]:
    """Check that every Python block compiles, and that no name is missing and no function lost in it.

    A text without any fence is taken as code as a whole where Python is asked for.
    """
    fenced = blocks(text)
    texts = [block.text for block in fenced if block.language in PYTHON]
    if not fenced and str(parameters.get("language", "")).lower() == "python":
        texts = [text]
    checks, lints = list[Check](), list[_Lint]()
    for number, source in enumerate(texts, 1):
        check, tree = _compiled(source, number)
        checks.append(check)
        if tree is not None and len(source) <= LONGEST_LINTED and (lint := _lint(tree, number)):
            lints.append(lint)
    # A block that cannot be read may hold any name.
    hidden = len(lints) < len(texts) or any(lint.hides for lint in lints)
    having = Counter(name for lint in lints for name in lint.names)
    return [*checks, *(_linted(lint, None if hidden else having - Counter(lint.names)) for lint in lints)]


def _compiled(source: str, number: int) -> tuple[Check, ast.Module | None]:
    name = f"Python block {number} compiles"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
            compile(tree, "<answer>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return Check(name=name, passed=False, detail=f"{type(error).__name__}: {error}"), None
    return Check(name=name, passed=True, detail=f"{len(source.splitlines())} lines"), tree


def _lint(tree: ast.Module, number: int) -> _Lint | None:
    """Lint a block by itself; None where it is nested too deep for that."""
    from pyflakes.checker import Checker, ModuleScope

    try:
        checker = Checker(tree, builtins=GIVEN | LATER, withDoctest=False)
    except RecursionError:
        return None
    module = next(scope for scope in checker.deadScopes if isinstance(scope, ModuleScope))
    failing = [message for message in checker.messages if type(message).__name__ in FAILING]
    missing = [message for message in failing if type(message).__name__ == MISSING]
    other = [message for message in failing if type(message).__name__ != MISSING]
    read = _read(tree) if missing else frozenset()
    return _Lint(
        number=number,
        names=frozenset(module),
        hides=module.importStarred or any(_is_name(node, HIDDEN) for node in ast.walk(tree)),
        missing=[m for m in missing if (m.lineno, m.col, m.message_args[0]) in read],
        other=[*other, *_lost(tree, checker.messages)],
    )


def _linted(lint: _Lint, beside: Collection[str] | None) -> Check:
    """Return the check of a block.

    Args:
        beside: names of the other blocks of the answer; None: more of them than can be seen.
    """
    fragment = any(message.message_args[0] in FRAGMENT for message in lint.missing)
    unseen = beside is None or fragment
    missing = [m for m in lint.missing if m.message_args[0] not in (beside or ())]
    faults = sorted(
        [*([] if unseen else missing), *lint.other], key=lambda message: (message.lineno, message.col)
    )
    told = [f"line {m.lineno}: {m.message % m.message_args}"[:LONGEST_WORDS] for m in faults[:TOLD]]
    more = [f"{len(faults) - TOLD} more"] if len(faults) > TOLD else []
    sound = "nothing that fails when it runs" + ("; its names may come from elsewhere" if unseen else "")
    return Check(
        name=f"Python block {lint.number} lints", passed=not faults, detail="; ".join([*told, *more]) or sound
    )


def _is_name(node: ast.AST, names: Collection[str]) -> bool:
    return isinstance(node, ast.Name) and node.id in names


def _lost(tree: ast.Module, messages: Iterable[Message]) -> list[Message]:
    """Return the messages that say that a function or class with code in it is lost.

    A decorator may have handed the earlier one on (a route, a property), and a stub has no code to be lost.
    """
    by_line = {node.lineno: node for node in ast.walk(tree) if isinstance(node, DEFINITIONS)}
    found = [m for m in messages if type(m).__name__ == LOST and m.lineno in by_line]
    return [m for m in found if _has_code(by_line.get(m.message_args[1])) and m.message_args[0] != "_"]


def _has_code(node: ast.AST | None) -> bool:
    if not isinstance(node, DEFINITIONS) or node.decorator_list:
        return False
    return not all(
        isinstance(each, ast.Pass) or (isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant))
        for each in node.body
    )


def _read(tree: ast.Module) -> frozenset[tuple[int, int, str]]:
    """Return the places of the names that are looked up when the code runs: annotations often are not."""
    late = any(isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in tree.body)
    found, waiting = list[ast.Name](), list[tuple[ast.AST, bool]]([(tree, False)])
    while waiting:
        node, local = waiting.pop()
        if isinstance(node, ast.Name):
            found.append(node)
        inner = isinstance(node, FUNCTIONS) or (local and not isinstance(node, ast.ClassDef))
        unread = _unread(node, late=late, local=local)
        waiting.extend((child, inner) for child in ast.iter_child_nodes(node) if child not in unread)
    return frozenset((name.lineno, name.col_offset, name.id) for name in found)


def _unread(node: ast.AST, *, late: bool, local: bool) -> list[ast.AST | None]:
    """Return the annotations under a node that are never looked up.

    Args:
        late: `from __future__ import annotations` holds.
        local: the node stands in a function.
    """
    if isinstance(node, ast.AnnAssign):
        return [node.annotation] if late or (local and isinstance(node.target, ast.Name)) else []
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return [node.returns] if late else []
    if isinstance(node, ast.arg):
        return [node.annotation] if late else []
    # `type X = …` of Python 3.12 is looked up when it is used.
    return [node.value] if type(node).__name__ == "TypeAlias" and hasattr(node, "value") else []
