"""The verdict of a judging phase: asked for as JSON, read from a closed vocabulary, never from free text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..routing.attempts import Check, Decision, Verdict

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        # Findings before the decision: a small model decides better after it has looked.
        "findings": {"type": "array", "items": {"type": "string"}, "maxItems": 5},
        "decision": {"type": "string", "enum": ["accept", "revise"]},
    },
    "required": ["findings", "decision"],
    "additionalProperties": False,
}
WANTED = 'one JSON object of the form {"findings": ["…"], "decision": "accept" or "revise"}'
"""The schema in words, for a model that is to mend its answer."""
LONGEST = 20_000
"""Characters of an answer that are looked at; a verdict has a few hundred."""


class _Answer(BaseModel):
    model_config = ConfigDict(extra="ignore")

    findings: list[str] = Field(max_length=50)
    decision: Decision


def parse_verdict(text: str) -> Verdict | None:
    """Read a verdict from a model's answer; None where it holds none.

    Fences and words around the JSON object are tolerated; a decision outside {accept, revise} is not. Where
    an answer holds several verdicts (one quoted from what was judged, say), one that asks to revise counts.
    """
    found = [answer for value in _objects(text[:LONGEST]) if (answer := _read(value))]
    if not found:
        return None
    answer = next((answer for answer in found if answer.decision == "revise"), found[-1])
    return Verdict(decision=answer.decision, findings=answer.findings, checks=[])


def _objects(text: str) -> Iterator[Any]:
    """Yield the JSON objects of a text that do not stand in one another."""
    start = text.find("{")
    while start != -1:
        try:
            value, end = json.JSONDecoder().raw_decode(text, start)
        except RecursionError:
            return
        except ValueError:
            end = start + 1
        else:
            yield value
        start = text.find("{", end)


def _read(value: Any) -> _Answer | None:
    try:
        return _Answer.model_validate(value)
    except ValidationError:
        return None


def with_checks(verdict: Verdict, checks: list[Check]) -> Verdict:
    """Put the deterministic checks beside a verdict. A failed check overrules an `accept`."""
    failed = [f"{check['name']}: no. {check['detail']}" for check in checks if not check["passed"]]
    decision: Decision = "revise" if failed else verdict["decision"]
    return Verdict(decision=decision, findings=[*failed, *verdict["findings"]], checks=checks)


def describe(verdict: Verdict) -> str:
    """Return a verdict as the text that later phases and people read."""
    findings = "\n".join(f"- {finding}" for finding in verdict["findings"])
    return f"Decision: {verdict['decision']}\nFindings:\n{findings or '- none'}"
