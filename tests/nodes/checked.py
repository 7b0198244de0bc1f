"""Answers to be checked, and what the checks say of them."""

from __future__ import annotations

from typing import Any

from ymera.nodes.validators import check


def fenced(code: str, language: str = "python") -> str:
    return f"Here it is:\n\n```{language}\n{code}\n```\n\nIt works."


def verdicts(text: str, *names: str, parameters: dict[str, Any] | None = None) -> list[bool]:
    return [result["passed"] for result in check(text, names, parameters or {})]


def details(text: str, *names: str, parameters: dict[str, Any] | None = None) -> str:
    return "; ".join(result["detail"] for result in check(text, names, parameters or {}))
