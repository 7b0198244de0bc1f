"""Checks of JSON: it parses, and fits the JSON Schema that the parameters may hold."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from ..routing.attempts import Check
from .blocks import blocks

JSON_TYPES = ("object", "array", "string", "number", "integer", "boolean", "null")
WRONG_SCHEMA = "the schema itself is wrong"


def json_text(text: str, parameters: Mapping[str, Any]) -> list[Check]:
    """Check JSON blocks; with a JSON Schema as `schema` among the parameters, that the answer fits it."""
    fenced = blocks(text)
    sources = [block.text for block in fenced if block.language == "json"]
    if not asks_for_json(parameters):
        return [_parses(source, number)[0] for number, source in enumerate(sources, 1)]
    sources += [block.text for block in fenced if not block.language]
    check, value = _parses(sources[0] if sources else text, 1)
    return [check, _fits(value, parameters["schema"])] if check["passed"] else [check]


def asks_for_json(parameters: Mapping[str, Any]) -> bool:
    """Say whether `schema` among the parameters is a JSON Schema: it may well be that of a database."""
    schema = parameters.get("schema")
    return isinstance(schema, dict) and (
        "$schema" in schema or isinstance(schema.get("properties"), dict) or schema.get("type") in JSON_TYPES
    )


def _parses(source: str, number: int) -> tuple[Check, Any]:
    name = f"JSON block {number} parses"
    try:
        value = json.loads(source, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        return Check(name=name, passed=False, detail=str(error)), None
    return Check(name=name, passed=True, detail=f"{len(source)} characters"), value


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def schema_fault(parameters: Mapping[str, Any]) -> str | None:
    """Return what is wrong with the JSON Schema among the parameters; None where it is sound or none is there."""
    if not asks_for_json(parameters):
        return None
    check = _fits(None, parameters["schema"])
    return check["detail"] if check["detail"].startswith(WRONG_SCHEMA) else None


def _fits(value: Any, schema: dict[str, Any]) -> Check:
    from jsonschema import Draft202012Validator, SchemaError
    from jsonschema.validators import validator_for
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    name = "JSON fits its schema"
    try:
        named = isinstance(schema.get("$schema"), str)
        draft = validator_for(schema, default=Draft202012Validator) if named else Draft202012Validator
        draft.check_schema(schema)
        # An empty registry: a reference to another document is never fetched.
        first = next(iter(draft(schema, registry=Registry()).iter_errors(value)), None)
    except (SchemaError, re.error, Unresolvable) as error:
        return Check(name=name, passed=False, detail=f"{WRONG_SCHEMA}: {_first_line(error)}")
    except (RecursionError, ArithmeticError) as error:
        return Check(name=name, passed=False, detail=f"{type(error).__name__}: {error}")
    detail = f"{first.json_path}: {first.message}" if first else "fits"
    return Check(name=name, passed=first is None, detail=detail)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
