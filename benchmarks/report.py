"""How what was measured is told: Markdown tables, the marks first, and bars that GitHub draws."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .findings import Drawing, Findings, Mark, Table
from .pages import table

VERSIONS = ("langgraph", "langchain-core", "langchain-openai", "litellm", "pydantic-ai-slim")


def report(head: str, sections: Mapping[str, Findings]) -> str:
    """Return the whole report as Markdown.

    Args:
        head: where and when was measured.
    """
    marks = [mark for found in sections.values() for mark in found.marks]
    parts = [head, *([_marks(marks)] if marks else [])]
    for found in sections.values():
        parts += [_drawn(drawing) for drawing in found.drawings]
        parts += [_told(each) for each in found.tables]
    parts += _left_out(sections.values())
    return "\n\n".join(parts)


def where(machine: Mapping[str, Any], dates: Sequence[str], loads: Sequence[Sequence[float]]) -> str:
    """Return the sentences that say where and when was measured.

    Args:
        loads: of the machine, before and after each section.
    """
    versions = ", ".join(
        f"{name} {machine['versions'][name]}" for name in VERSIONS if name in machine["versions"]
    )
    lines = [
        f"Measured on {' and '.join(dates)}, Python {machine['python']}, {machine['cores']} cores ({machine['cpu']}); "
        f"{versions}."
    ]
    if known := [load[0] for load in loads if load]:
        lines.append(
            f"The load of the machine was {min(known):g} to {max(known):g} before and after the sections."
        )
        if max(known) > machine["cores"]:
            lines.append("Other work ran beside them: times are longer than on a quiet machine.")
    return " ".join(lines)


def _marks(marks: Sequence[Mark]) -> str:
    rows = [
        [mark.what, _amount(mark.reached, mark.unit), _amount(mark.most, mark.unit), mark.verdict]
        for mark in marks
    ]
    return "\n".join(table("Marks", ["figure", "measured", "at most", ""], rows))


def _amount(value: float, unit: str) -> str:
    number = f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.3g}"
    return f"{number} {unit}".strip()


def _told(found: Table) -> str:
    lines = table(found.title, found.heads, found.rows)
    return "\n".join([*lines, "", found.note] if found.note else lines)


def _drawn(drawing: Drawing) -> str:
    names = ", ".join(f'"{name}"' for name, _ in drawing.bars)
    values = ", ".join(f"{value:.3g}" for _, value in drawing.bars)
    lines = [
        "```mermaid",
        "xychart-beta horizontal",
        f'  title "{drawing.title}"',
        f"  x-axis [{names}]",
        f'  y-axis "{drawing.unit}"',
        f"  bar [{values}]",
        "```",
    ]
    return "\n".join(lines)


def _left_out(sections: Iterable[Findings]) -> list[str]:
    lines = list(dict.fromkeys(line for found in sections for line in found.left_out))
    return ["Not measured here:\n\n" + "\n".join(f"- {line}" for line in lines)] if lines else []
