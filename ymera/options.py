"""The options that several commands share, each with its help and its bounds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import typer

from .exits import AS_JSON
from .routing.attempts import Reply

DEFAULT_AGENT = "coding_agent"
DEFAULT_ATTEMPTS = 4

StrategyName: TypeAlias = Literal["auto", "multi_model", "single_model"]


def _remember_json(ctx: typer.Context, value: bool) -> bool:
    ctx.meta[AS_JSON] = value
    return value


def _not_blank(value: str | None) -> str | None:
    if value is not None and not value.strip():
        raise typer.BadParameter("it is empty.")
    return value


def _more_than_none(value: float | None) -> float | None:
    if value is not None and value <= 0:
        raise typer.BadParameter(f"{value:g} is not more than 0.")
    return value


Task: TypeAlias = Annotated[
    str, typer.Argument(metavar="TASK", help="What is to be done; - reads standard input.")
]
Agent: TypeAlias = Annotated[str, typer.Option("--agent", "-a", help="Agent profile (see `ymera agents`).")]
Param: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--param",
        "-p",
        metavar="NAME=VALUE",
        help="A parameter of the task; its value is JSON or a string.",
    ),
]
Params: TypeAlias = Annotated[
    str | None,
    typer.Option(metavar="JSON|@FILE", help="The task's parameters as a JSON object."),
]
Phases: TypeAlias = Annotated[
    str | None, typer.Option(metavar="A,B", help="Phases to run; without it, those of the agent's profile.")
]
Thread: TypeAlias = Annotated[
    str | None,
    typer.Option(callback=_not_blank, help="The run's thread; the same task's unfinished run goes on."),
]
Strategy: TypeAlias = Annotated[
    StrategyName | None,
    typer.Option(help="One model for all phases, or the best for each; without it, DEFAULT_STRATEGY."),
]
Model: TypeAlias = Annotated[str | None, typer.Option(help="Use this model alone, in every phase.")]
Provider: TypeAlias = Annotated[
    list[str] | None, typer.Option("--provider", help="Use only this provider; may be given several times.")
]
BudgetUsd: TypeAlias = Annotated[float | None, typer.Option(min=0, help="USD after which the run stops.")]
BudgetTokens: TypeAlias = Annotated[int | None, typer.Option(min=1, help="Tokens after which the run stops.")]
BudgetSeconds: TypeAlias = Annotated[
    float | None, typer.Option(callback=_more_than_none, help="Seconds of work after which the run stops.")
]
Thrift: TypeAlias = Annotated[
    float | None,
    typer.Option(
        min=0, max=1, help="Give quality for being cheaper: 0 (none) to 1; without it, YMERA_THRIFT."
    ),
]
MostUsd: TypeAlias = Annotated[
    float | None, typer.Option(min=0, help="Plan for at most so many USD, as far as can be predicted.")
]
MostSeconds: TypeAlias = Annotated[
    float | None,
    typer.Option(
        callback=_more_than_none, help="Plan for at most so many seconds, as far as can be predicted."
    ),
]
LeastQuality: TypeAlias = Annotated[
    float | None,
    typer.Option(
        min=0, max=1, help="Plan for the cheapest of at least this quality, as far as can be predicted."
    ),
]
Rounds: TypeAlias = Annotated[
    int | None,
    typer.Option(
        min=0,
        max=10,
        metavar="N",
        help="Go back at most so often to make a rejected result better; without it, YMERA_ROUNDS.",
    ),
]
Attempts: TypeAlias = Annotated[
    int, typer.Option(min=1, max=20, help="Models tried in one phase: the first choice and its fallbacks.")
]
Timeout: TypeAlias = Annotated[
    float | None,
    typer.Option(
        max=3600,
        callback=_more_than_none,
        help="Seconds for a phase with all of its attempts; without it, PHASE_TIMEOUT.",
    ),
]
Hedge: TypeAlias = Annotated[
    bool, typer.Option("--hedge", help="Start a second model beside one that is slow to begin.")
]
AroundRefusals: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--around-refusals", help="Ask the next model where one refuses, instead of ending the phase."
    ),
]
Probe: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--probe",
        help="Send one small request to each provider that can be used, and measure how it answers. "
        "These are real requests: they cost tokens, and so money.",
    ),
]
ProbeTimeout: TypeAlias = Annotated[
    float,
    typer.Option(
        max=600, callback=_more_than_none, metavar="SECONDS", help="How long each provider may take."
    ),
]
Approve: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="plan,review",
        help="Wait for a person: before generation, with the plan, or after the review.",
    ),
]
AnswerWith: TypeAlias = Annotated[
    Reply | None, typer.Option("--answer", help="Answer to the question with which the run waits.")
]
EditWith: TypeAlias = Annotated[
    Path | None, typer.Option("--edit", metavar="FILE", help="The plan as it should be, with --answer edit.")
]
EditOutput: TypeAlias = Annotated[
    Path | None,
    typer.Option("--edit", metavar="FILE", help="A text that takes the place of the phase's output."),
]
TheModel: TypeAlias = Annotated[
    str | None,
    typer.Option("--model", metavar="M", help="Who makes the phase; those of the plan are its fallbacks."),
]
Note: TypeAlias = Annotated[
    str | None,
    typer.Option("--note", metavar="TEXT", help="What is to be mended, with --answer revise."),
]
AnotherModel: TypeAlias = Annotated[
    str | None,
    typer.Option("--model", metavar="M", help="Who makes the result again, with --answer model."),
]
Why: TypeAlias = Annotated[
    str | None,
    typer.Option("--why", metavar="TEXT", help="Why the run is to stop, with --answer reject."),
]
Temperature: TypeAlias = Annotated[float, typer.Option(min=0, max=2, help="Sampling temperature.")]
Strict: TypeAlias = Annotated[
    bool | None,
    typer.Option("--strict/--no-strict", help="Refuse an agent without a profile; without it, YMERA_STRICT."),
]
NoCache: TypeAlias = Annotated[bool, typer.Option("--no-cache", help="Run anew, whatever result is stored.")]
CatalogueFile: TypeAlias = Annotated[
    Path | None,
    typer.Option("--catalogue", metavar="FILE", help="TOML file with your own models, agents and phases."),
]
Output: TypeAlias = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FILE", help="File for the answer of a successful run."),
]
AsJson: TypeAlias = Annotated[
    bool, typer.Option("--json", callback=_remember_json, help="Print one JSON document and nothing else.")
]
Quiet: TypeAlias = Annotated[
    bool, typer.Option("--quiet", "-q", help="Show no progress; of a run, print the answer alone.")
]
Verbose: TypeAlias = Annotated[
    int, typer.Option("--verbose", "-v", count=True, help="Show the log; -vv shows every detail.")
]
