"""How results, plans and lists look to a person: every function turns records into something rich can print.

Texts of models and tasks are never read as rich's markup, and on a terminal they lose the control characters
with which a text could take hold of it.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from .results import MultiModelResult, PhaseResult
from .routing.attempts import Attempt, Verdict
from .routing.records import Candidate, PhasePlan, Prediction, Reading, Rejected, Strategy
from .terminal import harmless

if TYPE_CHECKING:
    from .doctor import Finding
    from .routing.dial import FrontPoint

FREE_PROVIDERS = frozenset({"embedded"})
"""Providers whose models run on the caller's own machine: a cost of 0 is really none."""
MEGABYTE = 1_000_000
ROOMY = 100
"""Columns from which on a reason has room beside the other cells."""
PLAIN_WIDTH = 110
"""Columns of a table that does not go to a terminal."""
FRONT_WIDTH = 20
"""Columns in which a quality of 1 is drawn."""
MARKDOWN = re.compile(r"^(#{1,6} |[-*+] |\d+\. |> )|\*\*\S", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What attempts cost.

    Args:
        unpriced: how many of them have no known price.
        at_home: all ran on this machine.
        estimated: how many of them broke off, so that their tokens are counted by us.
    """

    usd: float
    unpriced: int
    at_home: bool
    estimated: int = 0


def put(view: RenderableType) -> None:
    """Print a view on the standard output, without blanks at the line ends where it is no terminal."""
    out = console()
    if out.is_terminal:
        out.print(view)
        return
    with out.capture() as caught:
        out.print(view)
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in caught.get().splitlines()))


def console(*, stderr: bool = False) -> Console:
    """Return a console on a standard stream; away from a terminal it is plain and of fixed width."""
    made = Console(stderr=stderr, highlight=False, markup=False, emoji=False)
    if not made.is_terminal:
        made.width = PLAIN_WIDTH
    return made


def spent(attempts: Iterable[Attempt]) -> Spent:
    """Sum up what attempts cost."""
    made = list(attempts)
    return Spent(
        usd=sum(attempt["usage"]["cost_usd"] for attempt in made),
        unpriced=sum(attempt["usage"]["unpriced"] for attempt in made),
        estimated=sum(attempt["usage"]["estimated"] for attempt in made),
        at_home=bool(made) and all(attempt["provider"] in FREE_PROVIDERS for attempt in made),
    )


def cost_text(cost: Spent) -> str:
    """Return a cost in words.

    `$0.0012`, `free`, `≥ $0.0012` (a lower bound), `~ $0.0012` (in part an estimate), `unknown` (no price at all).
    """
    if cost.unpriced:
        return f"≥ {dollars(cost.usd)}" if cost.usd else "unknown"
    if cost.estimated and cost.usd:
        return f"~ {dollars(cost.usd)}"
    return "free" if cost.at_home and not cost.usd else dollars(cost.usd)


def dollars(usd: float) -> str:
    """Return an amount with four decimals, or as many as it takes to show two digits of a small one."""
    if usd == 0 or usd >= 0.001:
        return f"${usd:.4f}" if usd else "$0"
    return f"${usd:.8f}".rstrip("0") if usd >= 1e-8 else "< $0.00000001"


def is_markdown(text: str) -> bool:
    """Say whether a text is written in Markdown, and not, say, bare code whose line ends must stay."""
    return "```" in text or (bool(MARKDOWN.search(text)) and not _is_python(text))


def _is_python(text: str) -> bool:
    try:
        ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def answer_view(text: str) -> RenderableType:
    """Return a run's answer as a terminal shows it."""
    shown = harmless(text)
    if not is_markdown(shown):
        return Text(shown)
    from rich.markdown import Markdown  # its parser takes a tenth of a second to load, and plans need none

    return Markdown(shown, hyperlinks=False)


# --- a run -----------------------------------------------------------------------------------------------


def result_view(result: MultiModelResult, *, width: int) -> RenderableType:
    """Return what was done: phase, model, provider, seconds, tokens, cost and reason, and the sums below.

    Where fewer than `ROOMY` columns are there, the reasons stand below the table instead of in it.
    """
    rows = [_result_row(result, name) for name in _names(result)]
    reasons = [] if width >= ROOMY else [_cell(f"{row[0]}: {row[-1]}") for row in rows]
    table = table_of("phase", "model", "provider")
    for heading in ("seconds", "tokens", "cost"):
        table.add_column(heading, justify="right", no_wrap=True)
    if not reasons:
        table.add_column("reason", overflow="fold", ratio=1)
    for row in rows:
        table.add_row(*map(_cell, row[: len(table.columns)]))
    return Group(table, *reasons, _cell(_summary(result)))


def _names(result: MultiModelResult) -> list[str]:
    """Return the phases that were run or skipped, in the order of the plan."""
    planned = [plan["phase"] for plan in result.plan["phases"]] if result.plan else []
    told = {*(phase.phase for phase in result.phase_results), *result.skipped_phases}
    return [name for name in planned if name in told] + sorted(told - set(planned))


def _result_row(result: MultiModelResult, name: str) -> list[str]:
    phase = next((phase for phase in result.phase_results if phase.phase == name), None)
    if phase is None:
        return [name, *["–"] * 5, result.skipped_phases[name]]
    took = [f"{phase.execution_time:.1f}", str(phase.tokens_used), cost_text(spent(phase.attempts))]
    return [name, phase.model_used, phase.provider_used, *took, _why(phase)]


def _why(phase: PhaseResult) -> str:
    """Return why this model answered, or why none did, and what a judging phase found."""
    why = (
        [phase.reason] if phase.success else [f"failed: {fault_text(attempt)}" for attempt in phase.attempts]
    )
    return "\n".join([*why, *verdict_lines(phase.verdict)])


def fallback_text(attempt: Attempt) -> str:
    """Say that an attempt failed and another model took its place."""
    kind = attempt["fault"]["kind"] if attempt["fault"] else "unknown"
    return f"fallback: {attempt['provider']}:{attempt['model']} failed ({kind})"


def fault_text(attempt: Attempt) -> str:
    """Say which model failed and how."""
    fault = attempt["fault"]
    told = f"{fault['kind']}: {fault['message']}" if fault else "unknown"
    return f"{attempt['provider']}:{attempt['model']}: {told}"


def verdict_lines(verdict: Verdict | None) -> list[str]:
    """Return a verdict and the deterministic checks that failed, one a line."""
    if verdict is None:
        return []
    failed = [check for check in verdict["checks"] if not check["passed"]]
    checks = f", {_count(verdict['checks'], 'check')} passed" if verdict["checks"] and not failed else ""
    found = f", {_count(verdict['findings'], 'finding')}" if verdict["findings"] else ""
    lines = [f"verdict: {verdict['decision']}{found}{checks}"]
    return lines + [f"check failed: {check['name']}: {check['detail']}" for check in failed]


def _count(things: Sequence[object], name: str) -> str:
    return f"{len(things)} {name}{'' if len(things) == 1 else 's'}"


def _summary(result: MultiModelResult) -> str:
    cost = spent(attempt for phase in result.phase_results for attempt in phase.attempts)
    return (
        f"{result.strategy_type}: {result.successful_phases} of {result.total_phases} phases answered, "
        f"{result.total_execution_time:.1f} s, {result.total_tokens_used} tokens, {cost_text(cost)}. "
        f"Thread {harmless(result.thread_id)}{' (stored result of an earlier run)' if result.cached else ''}"
    )


# --- a plan ----------------------------------------------------------------------------------------------


def strategy_view(plan: Strategy, *, every: bool) -> RenderableType:
    """Return a plan: the strategy and why, how the task was read, who takes each phase, who does not.

    `every` lists each rejected model of each phase instead of the reasons with some of the names.
    """
    table = table_of("phase", "model", "provider")
    table.add_column("score", justify="right", no_wrap=True)
    table.add_column("reason", overflow="fold", ratio=1, min_width=30)
    for phase in plan["phases"]:
        table.add_row(*_plan_row(phase))
    head = f"{plan['strategy_type']} for {plan['agent_name']}: {plan['reason']}"
    rejected = _every_rejected(plan) if every else _rejected_by_reason(plan)
    parts: list[str | Table] = [head, *_reading_lines(plan["reading"]), table, *rejected]
    parts.append(prediction_text(plan["predicted"]))
    return Group(*(_cell(part) if isinstance(part, str) else part for part in parts))


def _plan_row(plan: PhasePlan) -> list[Text]:
    first = plan["primary_model"]
    names = (first["model"], first["provider"], f"{first['score']:.2f}") if first else ("none", "–", "–")
    fallbacks = ", ".join(_key(candidate) for candidate in plan["fallback_models"])
    why = plan["reason"] + (f"\nfallbacks: {fallbacks}" if fallbacks else "")
    return [_cell(text) for text in (plan["phase"], *names, why)]


def _key(model: Candidate | Rejected) -> str:
    return f"{model['provider']}:{model['model']}"


def _reading_lines(reading: Reading) -> list[str]:
    levels = (
        f"complexity {reading['complexity']}, speed {reading['speed']}, creativity {reading['creativity']}"
    )
    evidence = [f"  {e['trait']} {e['value']}: {e['because']}" for e in reading["evidence"]]
    return [f"Task read as: {levels}", *evidence]


def _rejected_by_reason(plan: Strategy) -> list[str]:
    """Return each reason that keeps models out of the whole run, with some of their names."""
    kept_out = [{(_key(r), r["reason"]) for r in phase["rejected"]} for phase in plan["phases"]]
    models: dict[str, list[str]] = {}
    for key, reason in sorted(set.intersection(*kept_out)):
        models.setdefault(reason, []).append(key)
    if not models:
        return []
    return ["Not used (-v: in each phase):", *(f"  {_few(keys)}: {why}" for why, keys in models.items())]


def _few(keys: Sequence[str]) -> str:
    return ", ".join(keys) if len(keys) <= 2 else f"{keys[0]} and {len(keys) - 1} more"


def _every_rejected(plan: Strategy) -> list[str]:
    lines = []
    for phase in plan["phases"]:
        lines.append(f"Not used in {phase['phase']}:")
        lines += [f"  {_key(rejected)}: {rejected['reason']}" for rejected in phase["rejected"]] or ["  none"]
    return lines


def prediction_text(predicted: Prediction) -> str:
    """Say what a run is likely to take, and between what nine of ten such runs lie."""
    usd, between = predicted["cost_usd"], predicted.get("between")
    tokens = predicted["input_tokens"] + predicted["output_tokens"]
    cost = "cost unknown" if usd is None else dollars(usd)
    if between is None:
        return f"Predicted: {predicted['seconds']:.0f} s, {tokens} tokens, {cost}"
    few, many = (predicted["input_tokens"] + count for count in between["output_tokens"])
    parts = [
        _within(f"{predicted['seconds']:.0f} s", *(f"{each:.0f}" for each in between["seconds"])),
        _within(f"{tokens} tokens", str(few), str(many)),
        _within(cost, *map(dollars, between["cost_usd"])) if between["cost_usd"] else cost,
        _within(f"quality {predicted['quality']:.2f}", *(f"{each:.2f}" for each in between["quality"])),
    ]
    return f"Predicted: {', '.join(parts)}"


def front_view(points: Sequence[FrontPoint]) -> RenderableType:
    """Return the plans from the best to the cheapest, a line each, with the quality drawn."""
    table = table_of("thrift")
    for heading in ("quality", "between", "cost", "time"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True, min_width=FRONT_WIDTH)
    table.add_column("models", overflow="fold", ratio=1, min_width=24)
    for point in points:
        table.add_row(*map(_cell, _front_row(point)))
    return table


def _front_row(point: FrontPoint) -> tuple[str, ...]:
    predicted = point.predicted
    usd, quality, between = predicted["cost_usd"], predicted.get("quality", 0.0), predicted.get("between")
    low, high = between["quality"] if between else (quality, quality)
    models: dict[str, list[str]] = {}
    for phase, key in point.models.items():
        models.setdefault(key, []).append(phase)
    told = [f"{key}: {', '.join(phases)}" for key, phases in models.items()]
    return (
        f"{point.thrift:g}",
        f"{quality:.2f}",
        f"{low:.2f} … {high:.2f}",
        "unknown" if usd is None else dollars(usd),
        f"{predicted['seconds']:.0f} s",
        "▇" * round(FRONT_WIDTH * quality),
        "\n".join(told),
    )


def _within(value: str, low: str, high: str) -> str:
    return value if low == high else f"{value} ({low} to {high})"


# --- lists -----------------------------------------------------------------------------------------------


def models_view(models: Sequence[Mapping[str, Any]]) -> RenderableType:
    """Return the catalogue's models, one a line, with what keeps each from being used."""
    table = table_of("model", "provider")
    table.add_column("context", justify="right", no_wrap=True)
    table.add_column("$/Mtok", justify="right", no_wrap=True)
    table.add_column("usable", overflow="fold", ratio=1, min_width=30)
    for model in models:
        price = model["usd_per_mtok"]
        paid = f"{price['input']:g} / {price['output']:g}" if price else "unknown"
        ends = f"; retires on {model['retires_on']}" if model["retires_on"] else ""
        usable = f"yes{ends}" if model["available"] else f"no: {model['unavailable_because']}"
        cells = (model["model"], model["provider"], str(model["context_tokens"]), paid, usable)
        table.add_row(*map(_cell, cells))
    return table


def weights_view(rows: Sequence[Mapping[str, Any]]) -> RenderableType:
    """Return what is on this machine of the embedded models' weights."""
    table = table_of("model", "state")
    for heading in ("MB here", "MB", "memory, MB"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("file", overflow="fold", ratio=1, min_width=30)
    for row in rows:
        sizes = (f"{row['held_bytes'] / MEGABYTE:.0f}", f"{row['size_bytes'] / MEGABYTE:.0f}")
        table.add_row(*map(_cell, (row["model"], row["state"], *sizes, str(row["memory_mb"]), row["path"])))
    return table


def agents_view(agents: Sequence[Mapping[str, Any]]) -> RenderableType:
    """Return the agents with their phases and preferred models."""
    table = table_of("agent")
    for heading in ("task type", "phases", "preferred models"):
        table.add_column(heading, overflow="fold", ratio=1)
    for agent in agents:
        row = (agent["agent_name"], agent["task_type"], " → ".join(agent["phases"]))
        table.add_row(*map(_cell, (*row, ", ".join(agent["preferred_models"]))))
    return table


def findings_view(findings: Sequence[Finding]) -> RenderableType:
    """Return what `ymera doctor` found."""
    table = table_of("", "area", "name")
    table.add_column("found", overflow="fold", ratio=1, min_width=40)
    for finding in findings:
        mark = "·" if finding.ok is None else "ok" if finding.ok else "BAD"
        found = finding.detail + (f"\n→ {finding.mend}" if finding.mend else "")
        table.add_row(*map(_cell, (mark, finding.area, finding.name, found)))
    return table


def table_of(*headings: str) -> Table:
    """Return a table whose first columns hold names."""
    table = Table(box=box.SIMPLE_HEAD, expand=True, pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def _cell(text: str) -> Text:
    return Text(harmless(text))
