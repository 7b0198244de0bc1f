"""The verdict of a judging phase: asked for as JSON, read from a closed vocabulary, never from free text."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..routing.records import Check, Decision, Verdict

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


class _Answer(BaseModel):
    model_config = ConfigDict(extra="ignore")

    findings: list[str] = Field(max_length=50)
    decision: Decision


def parse_verdict(text: str) -> Verdict | None:
    """Read a verdict from a model's answer; None where it holds none.

    Fences and words around the JSON object are tolerated; a decision outside {accept, revise} is not.
    """
    start = text.find("{")
    while start != -1:
        try:
            value, _ = json.JSONDecoder().raw_decode(text, start)
            answer = _Answer.model_validate(value)
        except (ValueError, ValidationError, RecursionError):
            start = text.find("{", start + 1)
            continue
        return Verdict(decision=answer.decision, findings=answer.findings, checks=[])
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
