"""How costs, results, plans and lists look to a person."""

from __future__ import annotations

from datetime import date
from io import StringIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console, RenderableType

from ymera.nodes.state import NO_USAGE
from ymera.report import (
    Spent,
    answer_view,
    cost_text,
    dollars,
    is_markdown,
    models_view,
    result_view,
    strategy_view,
)
from ymera.results import MultiModelResult, PhaseResult
from ymera.routing.attempts import Attempt, Fault, Usage, Verdict
from ymera.routing.catalogue import builtin_catalogue
from ymera.routing.matcher import TaskRequest, Wishes, make_strategy
from ymera.routing.records import Strategy
from ymera.routing.world import World
from ymera.terminal import harmless


def shown(view: RenderableType, width: int = 120) -> str:
    out = StringIO()
    Console(file=out, width=width, markup=False).print(view)
    return out.getvalue()


def one_line(text: str) -> str:
    return " ".join(text.split())


COSTS = {
    "a price": (Spent(usd=0.0012, unpriced=0, at_home=False), "$0.0012"),
    "nothing on this machine": (Spent(usd=0, unpriced=0, at_home=True), "free"),
    "nothing elsewhere": (Spent(usd=0, unpriced=0, at_home=False), "$0"),
    "a lower bound": (Spent(usd=0.25, unpriced=1, at_home=False), "≥ $0.2500"),
    "in part an estimate": (Spent(usd=0.25, unpriced=0, at_home=False, estimated=1), "~ $0.2500"),
    "no price at all": (Spent(usd=0, unpriced=2, at_home=False), "unknown"),
}


@pytest.mark.parametrize(("cost", "text"), COSTS.values(), ids=COSTS)
def test_a_cost_in_words(cost: Spent, text: str) -> None:
    assert cost_text(cost) == text


@pytest.mark.parametrize(
    ("usd", "text"),
    [
        (12.5, "$12.5000"),
        (0.001, "$0.0010"),
        (0.000046, "$0.000046"),
        (1e-8, "$0.00000001"),
        (1e-12, "< $0.00000001"),
    ],
)
def test_a_small_amount_keeps_its_digits(usd: float, text: str) -> None:
    assert dollars(usd) == text


@given(st.floats(min_value=1e-8, max_value=1e6))
def test_no_amount_is_shown_as_nothing(usd: float) -> None:
    assert float(dollars(usd).lstrip("$")) > 0


TEXTS = {
    "a fence": ("Here:\n```python\nx\n```", True),
    "a list": ("You need\n- one\n- two", True),
    "a heading": ("# Title\n\nSome words.", True),
    "bare Python with comments": ("# Title\nx = 1\n", False),
    "bare SQL": ("SELECT *\nFROM users\nWHERE id * 2 > 4", False),
    "words": ("Just a sentence.", False),
    "NUL": ("# a\x00", True),
}


@pytest.mark.parametrize(("text", "markdown"), TEXTS.values(), ids=TEXTS)
def test_only_markdown_is_shown_as_such(text: str, markdown: bool) -> None:
    assert is_markdown(text) is markdown


def test_bare_code_keeps_its_lines() -> None:
    assert shown(answer_view("SELECT *\nFROM __users__")) == "SELECT *\nFROM __users__\n"


@given(st.text())
def test_no_text_gives_the_terminal_an_order(text: str) -> None:
    left = harmless(text)
    assert not [
        sign for sign in left if sign != "\n" and sign != "\t" and (ord(sign) < 32 or 127 <= ord(sign) < 160)
    ]
    assert harmless(left) == left


# --- results ---------------------------------------------------------------------------------------------


def attempt(model: str, *, fault: Fault | None = None, cost: float = 0.0, number: int = 1) -> Attempt:
    usage = Usage({**NO_USAGE, "input_tokens": 10, "output_tokens": 5, "cost_usd": cost})
    return Attempt(
        id=f"generation-{number}",
        phase="generation",
        number=number,
        model=model,
        provider="groq",
        served_model=None,
        ok=fault is None,
        fault=fault,
        started_at=0.0,
        seconds=1.0,
        first_token_seconds=None,
        usage=usage,
    )


def phase(
    name: str, *attempts: Attempt, reason: str = "code 9/10", verdict: Verdict | None = None
) -> PhaseResult:
    return PhaseResult(
        phase=name,
        model_used=attempts[-1]["model"],
        provider_used="groq",
        success=attempts[-1]["ok"],
        result="text",
        execution_time=1.25,
        tokens_used=15,
        error=None,
        reason=reason,
        attempts=list(attempts),
        verdict=verdict,
    )


def result(*phases: PhaseResult, skipped: dict[str, str] | None = None) -> MultiModelResult:
    return MultiModelResult(
        strategy_type="multi_model",
        total_phases=len(phases),
        successful_phases=sum(p.success for p in phases),
        phase_results=list(phases),
        final_result="text",
        total_execution_time=2.5,
        total_tokens_used=30,
        total_cost=0.0,
        models_used=["fast"],
        success=True,
        thread_id="thread-1",
        skipped_phases=skipped or {},
    )


RATE_LIMITED = Fault(kind="rate_limited", message="wait a while", then="next")


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_result_shows_phase_model_time_tokens_cost_and_reason_at_any_width(width: int) -> None:
    made = result(
        phase("planning", attempt("fast", cost=0.0012)), skipped={"refinement": "skipped: accepted"}
    )
    text = one_line(shown(result_view(made, width=width), width))
    for told in ("planning", "fast", "groq", "1.2", "15", "$0.0012", "code 9/10", "refinement", "accepted"):
        assert told in text
    assert "multi_model: 1 of 1 phases answered, 2.5 s, 30 tokens, $0.0012. Thread thread-1" in text


def test_a_phase_without_an_answer_shows_every_failure() -> None:
    made = result(
        phase("review", attempt("fast", fault=RATE_LIMITED), attempt("slow", fault=RATE_LIMITED, number=2))
    )
    text = one_line(shown(result_view(made, width=200), 200))
    assert "failed: groq:fast: rate_limited: wait a while" in text
    assert "failed: groq:slow: rate_limited: wait a while" in text


def test_a_verdict_and_its_failed_checks_are_shown() -> None:
    verdict = Verdict(
        decision="revise",
        findings=["no route"],
        checks=[{"name": "python", "passed": False, "detail": "line 3 does not parse"}],
    )
    text = one_line(
        shown(result_view(result(phase("review", attempt("judge"), verdict=verdict)), width=200), 200)
    )
    assert "verdict: revise, 1 finding" in text
    assert "check failed: python: line 3 does not parse" in text


def test_texts_in_a_table_are_no_markup() -> None:
    made = result(phase("planning", attempt("[red]fast[/red]"), reason="[blink]because[/blink]"))
    out = StringIO()
    Console(file=out, width=200, force_terminal=True).print(result_view(made, width=200))
    assert "[red]fast[/red]" in out.getvalue()
    assert "[blink]because[/blink]" in out.getvalue()


# --- plans and lists -------------------------------------------------------------------------------------


def plan(*usable: str, **wishes: Any) -> Strategy:
    world = World(
        catalogue=builtin_catalogue(),
        unavailable=lambda model: None if model.provider in usable else f"{model.provider} has no key",
        today=date(2026, 11, 24),
    )
    request = TaskRequest(agent_name="coding_agent", description="Create a complex service")
    return make_strategy(request, Wishes(**wishes), world)


def test_a_plan_names_each_reason_once_with_some_of_the_models() -> None:
    text = one_line(shown(strategy_view(plan("groq"), every=False), 160))
    assert "fallbacks: groq:" in text
    assert text.count("openai has no key") == 1
    assert "more: openai has no key" in text
    assert "Predicted: " in text


def test_a_plan_in_full_names_every_model_in_every_phase() -> None:
    made = plan("groq", attempts=1)
    text = one_line(shown(strategy_view(made, every=True), 160))
    for told in made["phases"]:
        for rejected in told["rejected"]:
            assert one_line(f"{rejected['provider']}:{rejected['model']}: {rejected['reason']}") in text


def test_a_plan_without_models_says_so() -> None:
    text = one_line(shown(strategy_view(plan(), every=False), 160))
    assert "no usable model" in text


def test_a_model_shows_what_keeps_it_from_use() -> None:
    row = {
        "model": "m",
        "provider": "p",
        "context_tokens": 4096,
        "usd_per_mtok": None,
        "retires_on": None,
        "available": False,
        "unavailable_because": "P_KEY is not set",
    }
    text = one_line(shown(models_view([row, {**row, "available": True, "retires_on": "2027-01-01"}])))
    assert "m p 4096 unknown no: P_KEY is not set" in text
    assert "yes; retires on 2027-01-01" in text
