"""What went wrong in an attempt, told from the signs that an exception gives, by data/faults.toml."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from .attempts import Again, Then
from .errors import CatalogueError

FaultKind = Literal[
    "rate_limited",
    "quota_spent",
    "overloaded",
    "server_error",
    "timed_out",
    "stalled",
    "unreachable",
    "authentication",
    "not_allowed",
    "not_found",
    "bad_request",
    "request_too_large",
    "context_too_long",
    "refused",
    "cut_short",
    "length_reached",
    "malformed",
    "empty",
    "schema_not_met",
    "not_installed",
    "over_budget",
    "cancelled",
    "interrupted",
    "bug",
]


@dataclass(frozen=True, kw_only=True)
class Signs:
    """What an exception shows.

    Args:
        class_names: `module.Class` of the exception and of its base classes.
        status: HTTP status, where there was one.
        code: the provider's own code.
        message: the provider's message, else the exception's.
    """

    class_names: tuple[str, ...] = ()
    status: int | None = None
    code: str | None = None
    message: str = ""


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RetryProfile(_Strict):
    """How a model is tried again.

    Args:
        again: with the same request, a shorter one, or its own answer to be mended.
        times: how often at most.
        wait_s: seconds before the first retry, doubled for each further one.
        longest_wait_s: a provider that asks for a longer wait is not waited for while another model is left.
    """

    again: Again = "same"
    times: Annotated[int, Field(ge=1, le=5)] = 1
    wait_s: Annotated[float, Field(ge=0)] = 0.0
    longest_wait_s: Annotated[float, Field(ge=0)] = 20.0


class CooldownProfile(_Strict):
    """When a model, or a whole provider, is left alone for a while.

    Args:
        of: what is left alone.
        after: failures in a row that it takes.
        seconds: how long, doubled after each probe that fails; `inf`: until the key changes.
        longest_s: where the doubling ends; short for what passes by itself, so that a first choice which is back is
            noticed within it.
    """

    of: Literal["model", "provider"] = "model"
    after: Annotated[int, Field(ge=1)] = 2
    seconds: Annotated[float, Field(gt=0)] = 10.0
    longest_s: Annotated[float, Field(gt=0)] = 10.0


class KindProfile(_Strict):
    """A kind of fault: its name for people, what follows, and what a person can do."""

    title: str
    then: Then
    mend: str
    retry: RetryProfile | None = None
    cooldown: CooldownProfile | None = None


def _checked_range(text: str) -> str:
    if text != "none" and not re.fullmatch(r"[1-5]\d\d(-[1-5]\d\d)?", text):
        raise ValueError("must be a status '429', a range '500-599' or 'none'")
    return text


def _checked_pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"is no regular expression: {error}") from None
    return text


class Rule(_Strict):
    """Conditions that must all hold, and the kind they give."""

    kind: FaultKind
    classes: frozenset[str] = frozenset()
    statuses: tuple[Annotated[str, AfterValidator(_checked_range)], ...] = ()
    codes: frozenset[str] = frozenset()
    message: Annotated[str, AfterValidator(_checked_pattern)] = ""

    @model_validator(mode="after")
    def _needs_more_than_text(self) -> Rule:
        if not (self.classes or self.statuses or self.codes):
            raise ValueError("name classes, statuses or codes: a message alone does not tell")
        return self

    def fits(self, signs: Signs) -> bool:
        """Say whether every named condition holds."""
        return (
            (not self.classes or not self.classes.isdisjoint(signs.class_names))
            and (not self.statuses or any(_in_range(signs.status, text) for text in self.statuses))
            and (not self.codes or signs.code in self.codes)
            and (not self.message or re.search(self.message, signs.message, re.IGNORECASE) is not None)
        )


def _in_range(status: int | None, text: str) -> bool:
    if text == "none" or status is None:
        return text == "none" and status is None
    low, _, high = text.partition("-")
    return int(low) <= status <= int(high or low)


class _Unwrap(_Strict):
    classes: frozenset[str]


class FaultTable(_Strict):
    """The whole of faults.toml."""

    kinds: Mapping[FaultKind, KindProfile]
    finish: Mapping[FaultKind, frozenset[str]]
    unwrap: _Unwrap
    rules: tuple[Rule, ...]

    @model_validator(mode="after")
    def _knows_every_kind(self) -> FaultTable:
        if missing := set(get_args(FaultKind)) - set(self.kinds):
            raise ValueError(f"kinds are missing: {', '.join(sorted(missing))}")
        return self


def load_table(path: Path) -> FaultTable:
    """Read and check a fault table.

    Raises:
        CatalogueError: with every fault of the file.
    """
    try:
        return FaultTable.model_validate(tomllib.loads(path.read_text("utf-8")))
    except tomllib.TOMLDecodeError as error:
        raise CatalogueError([f"{path.name}: {error}"]) from None
    except ValidationError as error:
        raise CatalogueError(_explain(path.name, error)) from None


def _explain(file: str, error: ValidationError) -> list[str]:
    faults = []
    for fault in error.errors():
        key = ".".join(str(part) for part in fault["loc"]) or "file"
        got = "" if isinstance(fault["input"], dict) else f" (got {fault['input']!r})"
        faults.append(f"{file}: {key}: {fault['msg'].removeprefix('Value error, ')}{got}")
    return faults


TABLE: Final = load_table(Path(__file__).parent / "data" / "faults.toml")


def classify(signs: Signs) -> FaultKind:
    """Return the kind of the first rule that fits; `bug` where none does."""
    return next((rule.kind for rule in TABLE.rules if rule.fits(signs)), "bug")


def classify_finish(reason: str) -> FaultKind | None:
    """Return the kind of fault that a finish reason stands for; None where it ends an answer well."""
    return next((kind for kind, reasons in TABLE.finish.items() if reason in reasons), None)


def is_wrapper(class_names: tuple[str, ...]) -> bool:
    """Say whether an error only wraps another, which says more."""
    return not TABLE.unwrap.classes.isdisjoint(class_names)


def kind_profile(kind: FaultKind) -> KindProfile:
    """Return title, consequence and advice of a kind."""
    return TABLE.kinds[kind]
