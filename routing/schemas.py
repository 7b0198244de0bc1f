"""What an entry of a data file may hold: keys, types, ranges. One schema a kind.

pydantic costs 0.2 s to import, so this module is imported only when files are checked.
"""

from __future__ import annotations

import difflib
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .entries import Kind
from .records import Origin, Status, StructuredOutput

Skill = Literal[
    "speed", "quality", "code", "sql", "reasoning", "accuracy", "creativity", "conversation", "multimodal",
    "planning", "cost",
]  # fmt: skip
Name = Annotated[str, Field(pattern=r"^\S(.*\S)?$")]
Score = Annotated[float, Field(ge=0, le=10)]
Share = Annotated[float, Field(ge=0, le=1)]
Tokens = Annotated[int, Field(ge=1)]
Usd = Annotated[float, Field(ge=0)]
Seconds = Annotated[float, Field(gt=0, le=3600)]
Count = Annotated[int, Field(ge=1)]


class Entry(BaseModel):
    """A table of a data file: no other keys, and no value that only looks like the right one."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class _Price(Entry):
    input: Usd
    output: Usd


class _Provider(Entry):
    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    title: Name
    chat_model: Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")]
    package: Name
    variables: list[Name] = []
    base_url: Annotated[str, Field(pattern=r"^https?://\S+$")] | None = None
    retired_on: date | None = None
    first_token_s: Seconds = 10.0
    silence_s: Seconds = 20.0
    requests_per_minute: Count | None = None
    tokens_per_minute: Count | None = None
    concurrency: Count | None = None
    source: str = ""


class _Model(Entry):
    name: Name
    provider: Name
    model_id: Name | None = None
    spec_name: Name | None = None
    aliases: list[Name] = []
    scores: Annotated[dict[Skill, Score], Field(min_length=1)]
    strengths: list[Name] = []
    context_tokens: Tokens
    max_output_tokens: Tokens | None = None
    usd_per_mtok: _Price | None = None
    structured_output: StructuredOutput = "json_schema"
    never_for: list[Name] = []
    reasons: bool = False
    first_token_s: Seconds | None = None
    status: Status = "active"
    retires_on: date | None = None
    successor: Name | None = None
    origin: Origin = "ours"
    source: str = ""


class _Agent(Entry):
    agent_name: Name
    task_type: Name
    preferred_models: list[Name] = []
    phases_needed: Annotated[list[Name], Field(min_length=1)]
    can_use_multiple_models: bool = True
    requirements: dict[Skill, Share] = {}
    skills: dict[Skill, Score] = {}
    independent: list[Annotated[list[Name], Field(min_length=2, max_length=2)]] = []
    checks: list[Name] = []
    guidance: dict[str, str] = {}
    description: str = ""


class _Phase(Entry):
    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    order: int
    skills: Annotated[dict[Skill, Score], Field(min_length=1)]
    prompt: Annotated[str, Field(pattern=r"\S")]
    ask: str = ""
    reads: list[Name] = []
    critical: bool = False
    judges: bool = False
    produces: bool = False
    skipped_when_accepted: bool = False
    max_output_tokens: Tokens = 2048
    description: str = ""


_SCHEMAS: dict[Kind, type[Entry]] = {
    "providers": _Provider,
    "models": _Model,
    "agents": _Agent,
    "phases": _Phase,
}


def faults_of(kind: Kind, table: object) -> list[tuple[str, str]]:
    """Return every fault of an entry as its key and what is wrong there."""
    return faults_against(_SCHEMAS[kind], table, inner=_Price)


def faults_against(schema: type[Entry], table: object, *, inner: type[Entry]) -> list[tuple[str, str]]:
    """Return every fault of a table as its key and what is wrong there.

    Args:
        inner: the schema of the tables that stand in it.
    """
    try:
        schema.model_validate(table)
    except ValidationError as error:
        return [_explained(fault, schema, inner) for fault in error.errors(include_url=False)]
    return []


def _explained(fault: Any, schema: type[Entry], inner: type[Entry]) -> tuple[str, str]:
    # `Any`: pydantic's ErrorDetails is a TypedDict whose `ctx` and `input` are Any in any case.
    loc = [str(part) for part in fault["loc"]]
    got = f"(got {fault['input']!r})"
    in_key = loc[-1:] == ["[key]"]
    key = ".".join(loc[:-1] if in_key else loc)
    match fault["type"]:
        case "missing":
            return key, "is missing"
        case "extra_forbidden":
            owner = inner if len(loc) > 1 else schema
            return (
                key,
                f"is no key of this table{_near(loc[-1], owner)}, allowed: {', '.join(owner.model_fields)}",
            )
        case "literal_error":
            what = "is no skill" if in_key else "is none of the allowed words"
            return key, f"{what} {got}, allowed: {fault['ctx']['expected']}"
        case "model_type":
            return key, f"must be a table {got}"
        case "date_type" | "date_from_datetime_inexact":
            return key, f"must be a date {got}, allowed: a day such as 2026-12-01, without quotes"
        case "too_short":
            return key, f"holds too few {got}, allowed: {fault['ctx']['min_length']} or more"
        case "too_long":
            return key, f"holds too many {got}, allowed: {fault['ctx']['max_length']} at most"
        case "string_pattern_mismatch":
            return key, f"does not look right {got}, allowed: text that matches {fault['ctx']['pattern']}"
    return key, f"{fault['msg'].replace('Input should', 'must')} {got}"


def _near(word: str, schema: type[Entry]) -> str:
    near = difflib.get_close_matches(word, schema.model_fields, n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""
