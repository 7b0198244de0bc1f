"""Runs into which a text is put that tries to be more than data, and what can be seen of them."""

from __future__ import annotations

import json
import os
import re
import tomllib
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tests.scripted import REVISE, Line, OpenMatcher, Script, ScriptedModel, ScriptedModels
from ymera.executor import MultiModelExecutor
from ymera.nodes.prompts import DATA_RULE
from ymera.nodes.services import services_over
from ymera.nodes.settings import Settings
from ymera.nodes.state import RunContext
from ymera.results import MultiModelResult
from ymera.routing.flow import key_of, ranking
from ymera.routing.prediction import count_tokens
from ymera.routing.records import ModelProfile

Place = Literal["task", "parameter", "parameter's name", "plan", "answer", "every output", "everywhere"]
PLACES: tuple[Place, ...] = ("task", "parameter", "parameter's name", "plan", "answer", "every output")
PHASES = ["planning", "research", "generation", "review", "refinement", "validation"]
SPOTS: dict[Place, set[str]] = {
    "task": {"task"},
    "parameter": {"value"},
    "parameter's name": {"name"},
    "plan": {"planning"},
    "answer": {"generation"},
    "every output": set(PHASES),
    "everywhere": {"task", "value", "name", *PHASES},
}
"""Where a text stands at each place: in the task, a parameter's value or name, what a phase answers."""
READS: dict[str, list[str]] = {
    "planning": [],
    "research": ["planning"],
    "generation": ["planning", "research"],
    "review": ["planning", "research", "generation"],
    "refinement": ["research", "generation", "review"],
    "validation": ["generation", "refinement"],
}
BIG = 50_000
END = "endofinjection"
"""A word behind every text, by which it is found again."""
LIMITS = RunContext(budget_usd=5.0, budget_tokens=400_000, budget_seconds=60, attempts=3, temperature=0.5)
INVISIBLE = re.compile("[\x00-\x1f\xad\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\U000e0000-\U000e007f\\s]")
FENCED = re.compile(r"<(task_parameters|output)\b[^>]*>.*?</\1>", re.DOTALL)
TAG = re.compile(r"</?(?:output|task_parameters)\b[^<>]*>?", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Injection:
    """A text of the table."""

    id: str
    kind: str
    text: str

    @property
    def whole(self) -> str:
        """The text as it is put in."""
        body, big, _ = self.text.partition("@big")
        return f"{body * (BIG // len(body)) if big else body} {END}"

    @property
    def tokens(self) -> int:
        """About how long it is, as the matcher counts: twins are as long."""
        return -(-count_tokens(json.dumps(self.whole, ensure_ascii=False)) // 16) * 16


def twin(tokens: int) -> str:
    """Return a harmless text of that length."""
    words = bisect_left(range(tokens), tokens, key=lambda n: count_tokens(f'"{"words " * n}{END}"'))
    return f"{'words ' * words}{END}"


def injections() -> list[Injection]:
    """Read the table."""
    tables = tomllib.loads(Path(__file__).with_name("injections.toml").read_text("utf-8"))
    return [
        Injection(id=id_, kind=kind, text=text)
        for kind, texts in tables.items()
        for id_, text in texts.items()
    ]


@dataclass(frozen=True, kw_only=True)
class Opening:
    """A model as it was opened, and the call that followed."""

    model: str
    max_output_tokens: int
    temperature: float


class WatchedModels(ScriptedModels):
    """Scripted models that remember how they were opened."""

    def __init__(self, script: Script) -> None:
        super().__init__(script)
        self.openings: list[Opening] = []

    async def open(self, model: ModelProfile, *, max_output_tokens: int, temperature: float) -> ScriptedModel:
        self.openings.append(
            Opening(model=model.key, max_output_tokens=max_output_tokens, temperature=temperature)
        )
        return await super().open(model, max_output_tokens=max_output_tokens, temperature=temperature)


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What can be seen of a run: `route` must be that of its twin, `prompts` are looked at by themselves."""

    route: dict[str, Any]
    prompts: list[tuple[str, str]]
    result: MultiModelResult


async def run(text: str, place: Place, settings: Settings, thread_id: str) -> Seen:
    """Make a run with a text at a place, through the executor with its checkpoints, and look at it."""
    put = SPOTS[place]
    script = _Answers(said={name: f"the {name}\n{text}" for name in put & set(PHASES)})
    models = WatchedModels(script)
    services = services_over(models, OpenMatcher(settings))
    before = dict(os.environ)
    async with MultiModelExecutor(services=services) as executor:
        result = await executor.execute_with_multi_model(
            "coding_agent",
            f"Write a greeting.\n{text if 'task' in put else ''}",
            {text if "name" in put else "note": text if "value" in put else "x"},
            PHASES,
            context=LIMITS,
            thread_id=thread_id,
        )
    assert dict(os.environ) == before
    assert result.plan is not None
    return Seen(
        route=_route(result, models, script),
        prompts=[(str(asked[0].content), str(asked[1].content)) for _, asked in script.calls],
        result=result,
    )


@dataclass(kw_only=True)
class _Answers(Script):
    """A script whose models say a text in some phases; the review finds fault, so that all phases are run."""

    said: dict[str, str]

    def next(self, model: str, messages: list[Any]) -> Line:
        self.calls.append((model, messages))
        if '"decision"' in str(messages[0].content):
            return Line(text=REVISE)
        phase = PHASES[len(self.calls) - 1]
        return Line(text=self.said.get(phase, f"the {phase}"))


def _route(result: MultiModelResult, models: WatchedModels, script: Script) -> dict[str, Any]:
    plan = result.plan
    assert plan is not None
    reading = plan["reading"]
    return {
        "strategy": plan["strategy_type"],
        "layout": plan["layout"],
        "limits": plan["limits"],
        "reading": [reading[trait] for trait in ("complexity", "speed", "creativity")],
        "candidates": {phase["phase"]: [key_of(c) for c in ranking(phase)] for phase in plan["phases"]},
        "attempts": [
            (a["id"], a["provider"], a["model"], a["ok"], a["fault"])
            for p in result.phase_results
            for a in p.attempts
        ],
        "decisions": {p.phase: p.verdict["decision"] for p in result.phase_results if p.verdict},
        "skipped": result.skipped_phases,
        "success": result.success,
        "error": result.error,
        "stopped": result.stopped_by_budget,
        "opened": models.openings,
        "called": script.called,
        "instructions": [str(asked[0].content) for _, asked in script.calls],
    }


def misplaced(seen: Seen, place: Place) -> Iterator[str]:
    """Yield what is wrong with the prompts: a fence too many or too few, or a text outside of its own."""
    for phase, (system, human) in zip(PHASES, seen.prompts, strict=True):
        if not system.endswith(DATA_RULE) or END in system:
            yield f"{phase}: the instructions are not what they should be"
        # Only what could pass for a tag of ours is of interest: invisible marks and wide forms are undone.
        shown = INVISIBLE.sub(" ", human.translate({0xFF1C: "<", 0xFE64: "<", 0xFF0F: "/"}))
        shown = re.sub(r"<\s*(/?)\s*", r"<\1", shown)
        shown = re.sub(r"(?i)(</?)" + r"\s?".join("output"), r"\1output", shown)
        task, fence, rest = shown.partition("<task_parameters>")
        # Tags that close, or that name no phase, do nothing in a task: no fence is open there.
        tags = [tag for tag in TAG.findall(task) if "phase" in tag or "task_p" in tag]
        tags += TAG.findall(fence + rest)
        expected = ["<task_parameters>", "</task_parameters>"]
        for name in READS[phase]:
            expected += [f'<output phase="{name}">', "</output>"]
        if tags != expected:
            yield f"{phase}: the fences are {tags}"
        if task.count(END) != ("task" in SPOTS[place]) or END in FENCED.sub("", fence + rest):
            yield f"{phase}: the text stands outside of its fence"
