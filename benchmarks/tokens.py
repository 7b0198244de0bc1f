"""What models are shown beside everything that there is: section `tokens` of `python -m benchmarks`.

The texts are those of the repository: a task and its right answer for each of the functions and statements that
`benchmarks.embedded` asks for, a plan and notes cut from the documents. What a phase is shown is made by the package
itself; "everything" is the same with all earlier outputs. Tokens are counted by an embedded model's own tokenizer where
its weights are on this machine, else estimated as the package estimates them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import httpx

from ymera.nodes.embedded import close_all, open_server
from ymera.nodes.prompts import Material, messages
from ymera.nodes.settings import load_settings
from ymera.routing.catalogue import builtin_catalogue
from ymera.routing.prediction import count_tokens

from .embedded import read
from .findings import Effort, Findings, Table
from .instant import PHASES
from .weights_here import MISSING, models_here

DOCS = Path(__file__).parents[1] / "docs"
PLAN_CHARACTERS, NOTES_CHARACTERS = 300, 1_000
"""About 77 tokens of planning and 243 of notes were measured in the embedded coding run (`benchmarks.instant`)."""
REVIEW = '{"findings": ["the empty list is not treated", "no type is stated"], "decision": "revise"}'

Count = Callable[[str], Awaitable[int]]


async def measure(effort: Effort) -> Findings:
    """Count what all phases of a run are shown, and what everything would be."""
    async with _counting() as (count, said, left_out):
        by_phase = {phase: await _both(phase, count) for phase in PHASES}
    shown, everything = (sum(both[place] for both in by_phase.values()) for place in (0, 1))
    rows = [[phase, f"{mine:,.0f}", f"{full:,.0f}"] for phase, (mine, full) in by_phase.items()]
    rows.append(["a run", f"{shown:,.0f}", f"{everything:,.0f}"])
    heads = ["phase", "input tokens", "with all earlier outputs"]
    title = "Input tokens against passing everything to every phase"
    note = f"Means of {len(_pairs())} tasks; {said}. A run is shown {100 * shown / everything:.0f} % of everything."
    return Findings(
        tables=[Table(title=title, heads=heads, rows=rows, note=note)],
        figures={phase: {"shown": mine, "everything": full} for phase, (mine, full) in by_phase.items()},
        left_out=left_out,
    )


async def _both(phase: str, count: Count) -> tuple[float, float]:
    """Return the mean tokens that a phase is shown, and those that everything before it has."""
    catalogue = builtin_catalogue()
    model, agent = next(iter(catalogue.models.values())), catalogue.agents["coding_agent"]
    earlier = PHASES[: PHASES.index(phase)]
    profile, counted = catalogue.phases[phase], []
    for number, (task, solution) in enumerate(_pairs()):
        outputs = {name: text for name, text in _outputs(number, solution).items() if name in earlier}
        material = Material(task_description=task, task_parameters={}, phase_outputs=outputs)
        pair = []
        for read_by in (profile, replace(profile, reads=tuple(earlier))):
            text = "\n\n".join(str(message.content) for message in messages(read_by, agent, model, material))
            pair.append(await count(text))
        counted.append(pair)
    shown, everything = (fmean(pair[place] for pair in counted) for place in (0, 1))
    return shown, everything


def _pairs() -> list[tuple[str, str]]:
    """Return tasks with their right answers."""
    items = [*read("functions")["functions"], *read("statements")["statements"]]
    return [(item["task"], item["solution"]) for item in items]


def _outputs(number: int, solution: str) -> Mapping[str, str]:
    """Return what the phases have answered to a task."""
    pages = sorted(DOCS.glob("*.md"))
    text = pages[number % len(pages)].read_text("utf-8")
    return {
        "planning": text[:PLAN_CHARACTERS],
        "research": text[PLAN_CHARACTERS : PLAN_CHARACTERS + NOTES_CHARACTERS],
        "generation": solution,
        "review": REVIEW,
        "refinement": solution,
    }


@asynccontextmanager
async def _counting() -> AsyncIterator[tuple[Count, str, list[str]]]:
    """Yield what counts tokens, how it does, and what had to be left out."""
    if not (names := models_here()):
        yield _estimated, "tokens are estimated", [MISSING.format("tokens by the embedded tokenizer")]
        return
    endpoint = await open_server(names[0], load_settings())
    headers = {"Authorization": f"Bearer {endpoint.api_key}"}
    try:
        async with httpx.AsyncClient(headers=headers, trust_env=False, timeout=60) as client:
            address = f"{endpoint.base_url.removesuffix('/').removesuffix('/v1')}/tokenize"

            async def counted(text: str) -> int:
                reply = (await client.post(address, json={"content": text})).raise_for_status()
                return len(reply.json()["tokens"])

            yield counted, f"tokens of {names[0]}'s own tokenizer", []
    finally:
        close_all()


async def _estimated(text: str) -> int:
    return count_tokens(text)
