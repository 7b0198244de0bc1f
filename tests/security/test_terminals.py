"""No text of a task, a model or a server takes hold of a terminal, and none is read as rich's markup or as a link."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from rich.console import Console, RenderableType

from ymera.nodes.settings import Settings
from ymera.report import answer_view, result_view, strategy_view
from ymera.results import MultiModelResult
from ymera.terminal import harmless, print_json, say

from .injecting import Injection, injections, run

TABLE = injections()
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
"""What rich itself writes: colours and weights of letters."""
OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def shown(view: RenderableType) -> str:
    """Return what a terminal receives of a view."""
    out = Console(
        file=io.StringIO(), force_terminal=True, width=110, highlight=False, markup=False, emoji=False
    )
    out.print(view)
    text = out.file.getvalue()  # type: ignore[attr-defined]
    return COLOURS.sub("", str(text))


def with_text(result: MultiModelResult, text: str) -> MultiModelResult:
    """Return a result whose every word of a model is this text."""
    phases = [
        replace(
            phase,
            model_used=text,
            provider_used=text,
            reason=text,
            result=text,
            verdict={
                "decision": "revise",
                "findings": [text],
                "checks": [{"name": text, "passed": False, "detail": text}],
            },
        )
        for phase in result.phase_results
    ]
    return replace(result, phase_results=phases, final_result=text, error=text, thread_id=text)


@pytest.fixture
async def result(settings: Settings) -> MultiModelResult:
    return (await run("x", "task", settings, "shown")).result


def plan_view(result: MultiModelResult, text: str) -> RenderableType:
    """Return the view of a plan that names the text."""
    assert result.plan is not None
    return strategy_view({**result.plan, "agent_name": text, "reason": text}, every=True)


VIEWS: dict[str, Callable[[MultiModelResult, str], RenderableType]] = {
    "answer": lambda result, text: answer_view(text),
    "answer in Markdown": lambda result, text: answer_view(
        f"# A title\n\n{text}\n\n```\n{text}\n```\n\n[x]({text})"
    ),
    "result": lambda result, text: result_view(with_text(result, text), width=110),
    "narrow result": lambda result, text: result_view(with_text(result, text), width=60),
    "plan": lambda result, text: plan_view(result, text),
}


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_a_view_hands_no_command_to_a_terminal(
    view: Callable[[MultiModelResult, str], RenderableType], result: MultiModelResult
) -> None:
    for injection in TABLE:
        text = shown(view(result, injection.text))
        assert OBEYED.findall(text) == [], injection.id


def test_markup_is_shown_as_it_stands() -> None:
    text = next(one.text for one in TABLE if one.id == "rich-markup")
    assert "[bold red]accepted[/bold red] [link=" in shown(answer_view(text)).replace("\n", " ")


@pytest.mark.parametrize("injection", TABLE, ids=lambda one: one.id)
def test_messages_and_documents_carry_no_command(
    injection: Injection, capsys: pytest.CaptureFixture[str]
) -> None:
    said = {injection.text: [injection.text]}
    print_json(said)
    say(injection.text)
    out, errors = capsys.readouterr()
    assert OBEYED.findall(out) == []
    assert json.loads(out) == said
    assert OBEYED.findall(errors) == []
    assert harmless(harmless(injection.text)) == harmless(injection.text)
