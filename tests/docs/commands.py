"""What the shell blocks of the documents say, command by command, and whether each would be understood."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

import typer.main
from langgraph_cli.cli import cli as langgraph_cli

from ymera.cli import app
from ymera.nodes.settings import Settings
from ymera.routing.catalogue import builtin_catalogue

ROOT = Path(__file__).parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
OPERATORS = ("&&", "||", ";", "|", "&")
REDIRECTIONS = (">", ">>", "<", "2>")
ASSIGNMENT = re.compile(r"[A-Z][A-Z0-9_]*=")
OTHERS_VARIABLES = ("LANGSMITH_", "LANGGRAPH_")


@dataclass(frozen=True, kw_only=True)
class Command:
    """One command: the variables set for it, its program (without a folder), its arguments."""

    variables: tuple[str, ...]
    program: str
    arguments: tuple[str, ...]

    @property
    def text(self) -> str:
        return shlex.join([self.program, *self.arguments])


def commands_of(text: str) -> Iterator[Command]:
    """Yield the commands of a shell block, in their order."""
    for line in re.sub(r"(\\|&&)\n", r"\1 ", text).replace("\\ ", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, ";"]:
            if word not in OPERATORS:
                words.append(word)
            elif words:
                yield _command(words)
                words = []


def _command(words: list[str]) -> Command:
    variables = tuple(takewhile(ASSIGNMENT.match, words))
    rest = list(takewhile(lambda word: word not in REDIRECTIONS, words[len(variables) :]))
    assert rest, f"a command without a program: {words}"
    return Command(variables=variables, program=Path(rest[0]).name, arguments=tuple(rest[1:]))


def check(command: Command) -> None:
    """Fail where a command would not be understood."""
    for assignment in command.variables:
        _check_variable(assignment)
    assert command.program in CHECKS, f"say in CHECKS how to check {command.text!r}"
    CHECKS[command.program](list(command.arguments))


def _check_variable(assignment: str) -> None:
    known = {name.upper() for name in Settings.model_fields}
    for provider in builtin_catalogue().providers.values():
        known |= {*provider.variables, f"YMERA_{provider.name.upper()}_BASE_URL"}
    name = assignment.partition("=")[0]
    assert name in known or name.startswith(OTHERS_VARIABLES), f"no such variable: {name}"


def _export(arguments: list[str]) -> None:
    for assignment in arguments:
        _check_variable(assignment)


def _parsed_by(cli: Any, name: str) -> Callable[[list[str]], None]:
    """Return a check that parses arguments with the real command line, and runs nothing."""

    def parse(arguments: list[str]) -> None:
        command, parent, rest = cli, cli.make_context(name, list(arguments), resilient_parsing=False), []
        while hasattr(command, "commands"):
            # A group keeps the subcommand and its arguments for itself.
            rest = [*getattr(parent, "_protected_args", []), *parent.args]
            if not rest:
                return
            word, command, rest = command.resolve_command(parent, rest)
            parent = command.make_context(word, rest, parent=parent)

    return parse


def _pip(arguments: list[str]) -> None:
    assert arguments[0] == "install", arguments
    rest = iter(arguments[1:])
    for argument in rest:
        if argument in ("-c", "-r"):
            assert (ROOT / next(rest)).is_file(), arguments
        elif "[" in argument:
            package, _, extras = argument.rstrip("]").partition("[")
            assert package in (".", PROJECT["project"]["name"]), argument
            assert set(extras.split(",")) <= set(PROJECT["project"]["optional-dependencies"]), argument


def _python(arguments: list[str]) -> None:
    assert arguments[0] == "-m", arguments
    if arguments[1].split(".")[0] == "benchmarks":
        module = ROOT / arguments[1].replace(".", "/")
        assert module.with_suffix(".py").is_file() or (module / "__main__.py").is_file(), arguments
        assert arguments[2:3] in ([], ["--json"]), arguments
        return
    assert arguments[1:] in (["venv", ".venv"], ["docs.shown"]), arguments


def _poe(arguments: list[str]) -> None:
    assert set(arguments) <= set(PROJECT["tool"]["poe"]["tasks"]), arguments


def _bash(arguments: list[str]) -> None:
    assert (ROOT / arguments[0]).is_file(), arguments


def _cp(arguments: list[str]) -> None:
    assert (ROOT / arguments[0]).is_file(), arguments


def _nothing(arguments: list[str]) -> None:
    """Let pass what every shell understands."""


CHECKS: Mapping[str, Callable[[list[str]], None]] = {
    "ymera": _parsed_by(typer.main.get_command(app), "ymera"),
    "langgraph": _parsed_by(langgraph_cli, "langgraph"),
    "pip": _pip,
    "python3": _python,
    "python": _python,
    "poe": _poe,
    "export": _export,
    "bash": _bash,
    "cp": _cp,
    "sleep": _nothing,
    "kill": _nothing,
}
