"""The generated parts of README.md and docs/: cog asks this module for them (`poe docs` writes them anew)."""

from __future__ import annotations

import asyncio
import inspect
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from math import isinf
from pathlib import Path
from typing import Any, Literal, cast, get_args, get_origin

import annotated_types
from pydantic import SecretStr
from pydantic.fields import FieldInfo
from typer.main import get_command
from typer.testing import CliRunner

import ymera
from ymera.cli import app
from ymera.graphs.workflow import agent_layout, build
from ymera.nodes.matching import AgentModelMatcher
from ymera.nodes.outcome_rows import AMOUNTS, COUNTS, PERHAPS, WORDS
from ymera.nodes.services import make_services
from ymera.nodes.settings import Settings
from ymera.nodes.state import RunContext
from ymera.nodes.validators import VALIDATORS
from ymera.routing.attempts import Again
from ymera.routing.catalogue import builtin_catalogue
from ymera.routing.faults import TABLE, CooldownProfile, RetryProfile
from ymera.routing.flow import key_of
from ymera.routing.matcher import TaskRequest
from ymera.routing.records import AgentTaskProfile, ModelProfile, PhaseProfile, Reading
from ymera.routing.scoring import SCORERS, skill_weights

ROOT = Path(__file__).parent.parent
LEARNED_ON = date(2026, 11, 25)
"""The day on which the page on learning matches: models retire."""
BLANK_PHASE = PhaseProfile(name="blank", order=0, skills={}, prompt="")
BLANK_AGENT = AgentTaskProfile(agent_name="blank", task_type="", preferred_models=(), phases_needed=())
THEN = {
    "next": "the next model",
    "elsewhere": "the next model, another provider's first",
    "drop_provider": "the next model of another provider; this one is left out",
    "stop": "the phase ends",
}
AGAIN: Mapping[Again, str] = {
    "same": "the same request",
    "compact": "with half of the earlier outputs",
    "repair": "with its own answer to be mended",
}


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table, with an end of line."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |\n" for line in lines)


def first_sentence(thing: object) -> str:
    """Return the first line of a docstring, without its stop."""
    return (inspect.getdoc(thing) or "").partition("\n")[0].rstrip(".")


# --- the command line ------------------------------------------------------------------------------------


def commands() -> list[list[str]]:
    """Return the words of every command, the groups' own among them; `ymera` itself comes first."""
    names: list[list[str]] = [[]]
    for words in names:
        command = get_command(app)
        for word in words:
            command = command.commands[word]  # type: ignore[attr-defined]  # a group, for it has commands
        names += [[*words, name] for name in getattr(command, "commands", {})]
    return names


def help_of(words: Sequence[str]) -> str:
    """Return what a command says of itself, on 100 columns."""
    asked = [*words, "--help"]
    told = CliRunner().invoke(app, asked, prog_name="ymera", env={"COLUMNS": "100"})
    return fenced("text", f"$ {' '.join(['ymera', *asked])}\n{told.stdout.rstrip()}\n")


# --- settings --------------------------------------------------------------------------------------------


def settings_table() -> str:
    """Return every setting: variable, default, what is allowed, what it does."""
    rows = (
        (f"`{name.upper()}`", _default(name, field), _allowed(field), field.description or "")
        for name, field in Settings.model_fields.items()
    )
    return table(("variable", "default", "allowed", "what it does"), rows)


def context_table() -> str:
    """Return every field of RunContext: name, default, what is allowed, what it does."""
    rows = (
        (f"`{name}`", _default(name, field), _allowed(field), field.description or "")
        for name, field in RunContext.model_fields.items()
    )
    return table(("field", "default", "allowed", "what it does"), rows)


def _default(name: str, field: FieldInfo) -> str:
    if name in ("ymera_data_dir", "ymera_cache_dir"):
        return "a folder of the user's, as the system has it"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return "none" if value in (None, "", [], {}) else f"`{value}`"


def _allowed(field: FieldInfo) -> str:
    kinds = [field.annotation, *get_args(field.annotation)]
    literal = next((kind for kind in kinds if get_origin(kind) is Literal), None)
    if literal is not None:
        return ", ".join(f"`{word}`" for word in get_args(literal))
    words = {
        bool: "`true`, `false`", int: "whole number", float: "number", Path: "path", str: "text", SecretStr: "text"
    }  # fmt: skip
    names = {list: "list", dict: "JSON object"}
    origin = get_origin(field.annotation)
    word = names[origin] if origin in names else next(words[kind] for kind in kinds if kind in words)
    return " ".join([word, *_bounds(field)])


def _bounds(field: FieldInfo) -> list[str]:
    said = []
    for bound in field.metadata:
        match bound:
            case annotated_types.Ge(ge=low):
                said.append(f"≥ {low}")
            case annotated_types.Gt(gt=low):
                said.append(f"> {low}")
            case annotated_types.Le(le=high):
                said.append(f"≤ {high}")
    return [", ".join(said)] if said else []


def providers_table() -> str:
    """Return every provider: its key variables, the variable for its address, the package it needs."""
    rows = []
    for provider in builtin_catalogue().providers.values():
        keys = " and ".join(f"`{name}`" for name in provider.variables) or "none"
        ended = f" (API ended on {provider.retired_on})" if provider.retired_on else ""
        address = "–" if provider.name == "embedded" else f"`YMERA_{provider.name.upper()}_BASE_URL`"
        rows.append(
            (f"{provider.title}{ended}", f"`{provider.name}`", keys, address, f"`{provider.package}`")
        )
    return table(("provider", "name", "key", "another address", "package"), rows)


# --- the catalogue ---------------------------------------------------------------------------------------


def models_table() -> str:
    """Return every model: window, price, status, and what follows it."""
    rows = (
        (
            f"`{m.name}`",
            m.provider,
            f"{m.context_tokens}",
            _price(m),
            _status(m),
            f"`{m.successor}`" if m.successor else "–",
        )
        for m in builtin_catalogue().models.values()
    )
    return table(
        ("model", "provider", "window, tokens", "USD per million tokens, in / out", "status", "successor"),
        rows,
    )


def _price(model: ModelProfile) -> str:
    price = model.price
    if price is None:
        return "unknown"
    return "free" if price.input == price.output == 0 else f"{price.input:g} / {price.output:g}"


def _status(model: ModelProfile) -> str:
    if model.retires_on is None:
        return model.status
    return (
        f"{model.status} on {model.retires_on}"
        if model.status == "retired"
        else f"{model.status}, ends on {model.retires_on}"
    )


def agents_table() -> str:
    """Return every agent: what it does, its phases, the models it prefers, its checks."""
    rows = (
        (
            f"`{agent.agent_name}`",
            agent.description,
            " → ".join(agent.phases_needed),
            ", ".join(f"`{name}`" for name in agent.preferred_models),
            ", ".join(agent.checks),
        )
        for agent in builtin_catalogue().agents.values()
    )
    return table(("agent", "what it does", "phases", "preferred models", "checks"), rows)


def phases_table() -> str:
    """Return every phase: what it does, what it reads, whether it is critical, the skills it asks for."""
    rows = (
        (
            f"`{phase.name}`",
            phase.description,
            ", ".join(phase.reads) or "the task alone",
            "the run stops" if phase.critical else "the run goes on",
            _weights(phase.skills),
            f"{phase.max_output_tokens}",
        )
        for phase in builtin_catalogue().phases.values()
    )
    headings = (
        "phase",
        "what happens",
        "is shown",
        "without an answer",
        "skills, weight",
        "answer, tokens at most",
    )
    return table(headings, rows)


def _weights(skills: Mapping[str, float]) -> str:
    return ", ".join(f"{skill} {weight:g}" for skill, weight in skills.items())


def scorers_table() -> str:
    """Return every scorer: its weight in the mean, and what it judges."""
    rows = ((f"`{s.name}`", f"{s.weight:g}", first_sentence(s.score)) for s in SCORERS)
    return table(("scorer", "weight", "what it judges"), rows)


def reading_table() -> str:
    """Return what each trait of a task adds to the weights of the skills."""
    traits = (("complexity", "high"), ("complexity", "low"), ("speed", "high"), ("creativity", "high"))
    rows = []
    for trait, value in traits:
        reading = cast(
            "Reading", {"complexity": "normal", "speed": "normal", "creativity": "normal", trait: value}
        )
        rows.append((f"{trait} {value}", _weights(skill_weights(BLANK_PHASE, BLANK_AGENT, reading))))
    return table(("the task is read as", "skills that count besides, weight"), rows)


def validators_table() -> str:
    """Return every deterministic check."""
    rows = ((f"`{name}`", first_sentence(validator)) for name, validator in VALIDATORS.items())
    return table(("check", "what it does"), rows)


def faults_table() -> str:
    """Return every kind of fault: what it means, what follows, what a person can do."""
    rows = (
        (
            f"`{kind}`",
            profile.title,
            _again(profile.retry),
            THEN[profile.then],
            _cooldown(profile.cooldown),
            _mend(profile.mend),
        )
        for kind, profile in TABLE.kinds.items()
    )
    headings = ("fault", "what it means", "tried again", "then", "left alone", "what you can do")
    return table(headings, rows)


def _again(retry: RetryProfile | None) -> str:
    if retry is None:
        return "–"
    wait = f" after {retry.wait_s:g} s" if retry.wait_s else ""
    return f"{retry.times}×, {AGAIN[retry.again]}{wait}"


def _cooldown(cooldown: CooldownProfile | None) -> str:
    if cooldown is None:
        return "–"
    after = "at once" if cooldown.after == 1 else f"after {cooldown.after} in a row"
    seconds = "until the key changes" if isinf(cooldown.seconds) else f"for {cooldown.seconds:g} s"
    return f"the {cooldown.of}, {after}, {seconds}"


def _mend(text: str) -> str:
    return text.format(provider="the provider", variable="the key")


# --- the workflow and the Python interface ---------------------------------------------------------------


def drawing(agent: str) -> str:
    """Return the graph of an agent as `ymera graph --agent …` draws it on a machine without settings."""
    settings = Settings(ymera_catalogue=None, ymera_local_base_url=None, max_parallel_phases=2)
    services = make_services(settings, AgentModelMatcher(settings, builtin_catalogue()))
    compiled = build(agent_layout(agent, services), services, agent).compile(name=agent)
    return compiled.get_graph().draw_mermaid().rstrip() + "\n"


def measured(*titles: str) -> str:
    """Return charts and tables of the page of benchmarks, by their titles."""
    page = (Path(__file__).parent / "benchmarks.md").read_text("utf-8")
    parts = page.partition("<!-- tables: begin -->")[2].split("\n\n")
    found = []
    for title in titles:
        at = next(n for n, part in enumerate(parts) if f'title "{title}"' in part or part == f"**{title}**")
        found += [parts[at]] if parts[at].startswith("```") else parts[at : at + 2]
    return "\n\n".join(found)


def learned_match() -> str:
    """Return what `ymera match` says of a phase before and after twenty outcomes of each of two models."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(ymera_data_dir=Path(folder), ymera_catalogue=None, ymera_local_base_url=None)
        before = _generation(settings)
        bad, good = before[0][0], before[1][0]
        services = make_services(settings, _Open(settings, builtin_catalogue()))
        rows = [_outcome(n, key, q) for key, q in ((bad, 0.1), (good, 0.9)) for n in range(20)]
        asyncio.run(services.outcomes.take_in(rows))
        after = _generation(settings)
    return "\n".join(["before", *_told(before), "", "after", *_told(after)])


class _Open(AgentModelMatcher):
    """A matcher with all keys."""

    def unavailable(self, model: ModelProfile) -> str | None:
        return None


def _generation(settings: Settings) -> list[tuple[str, float, str]]:
    """Return the first two models of the coding agent's generation: key, score, reason."""
    matcher = _Open(settings, builtin_catalogue())
    request = TaskRequest(
        agent_name="coding_agent", description="Create an API endpoint for user management with sessions"
    )
    asyncio.run(matcher.look())
    plan = matcher.strategy(request, today=LEARNED_ON)["phases"][1]
    found = [c for c in (plan["primary_model"], *plan["fallback_models"]) if c][:2]
    return [(key_of(candidate), candidate["score"], candidate["reason"]) for candidate in found]


def _outcome(number: int, key: str, quality: float) -> dict[str, Any]:
    provider, _, model = key.partition(":")
    said = {
        "run": f"{key} {number}",
        "attempt": "generation-1",
        "agent": "coding_agent",
        "phase": "generation",
    }
    told = {"outcome": "answered", "domain": "coding_agent", "provider": provider, "model": model}
    return {
        **dict.fromkeys(WORDS, ""),
        **dict.fromkeys((*COUNTS, *AMOUNTS), 0),
        **dict.fromkeys(PERHAPS, quality),
        **said,
        **told,
        "started_at": time.time(),
    }


def _told(candidates: Iterable[tuple[str, float, str]]) -> list[str]:
    return [f"  {key} ({score:.2f}): {reason}" for key, score, reason in candidates]


def fenced(language: str, text: str) -> str:
    """Return a text as a fenced block that nothing in it can close."""
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}{language}\n{text.rstrip()}\n{fence}\n"


def names_table() -> str:
    """Return every public name with the first line of its docstring."""
    rows = ((f"`{name}`", first_sentence(getattr(ymera, name))) for name in ymera.__all__)
    return table(("name", "what it is"), rows)


def error_tree() -> str:
    """Return the tree of errors, as it stands above their classes."""
    from ymera.routing import errors

    lines = (errors.__doc__ or "").splitlines()
    return "\n".join(line.removeprefix("    ") for line in lines if line.startswith("    ")) + "\n"
