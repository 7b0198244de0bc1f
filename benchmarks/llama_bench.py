"""llama.cpp's own bench, `llama-bench`: how fast it reads a prompt and makes tokens, beside which ours is measured.

It is a program of llama.cpp's releases. The runner's wheel names the build that it holds by the last part of its
version; which build the bench is of stands beside its figures.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ymera.nodes.cores import Threads

PROGRAM = "llama-bench"
MISSING = (
    "llama.cpp's own bench beside the embedded models: no `{}` here. Name the program of llama.cpp's release with "
    "`--llama-bench PATH`, or put it on PATH"
)


@dataclass(frozen=True, kw_only=True)
class Work:
    """Tokens that are read and made in one measurement."""

    prompt_tokens: int
    output_tokens: int


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Tokens a second: of a prompt that is read, of an answer that is made."""

    prompt: float
    output: float


@dataclass(frozen=True, kw_only=True)
class Benched:
    """What the bench said of one model, and who it is."""

    rates: Rates
    build: str


def found(program: str) -> str | None:
    """Return the path of the bench: `program` is a path, or a name on PATH."""
    return shutil.which(program)


async def benched(program: str, weights: Path, work: Work, threads: Threads) -> Benched:
    """Run the bench once: the prompt with the threads for prompts, the answer after it with those for answers.

    Raises:
        RuntimeError: it failed, or said something else than figures.
    """
    prompt = ("-p", work.prompt_tokens, "-n", 0, "-t", threads.batch)
    answer = ("-p", 0, "-n", work.output_tokens, "-d", work.prompt_tokens, "-t", threads.decode)
    said = [await _said(program, "-m", weights, "-r", 1, *part) for part in (prompt, answer)]
    rows = [read_row(text, part) for text, part in zip(said, ("n_prompt", "n_gen"), strict=True)]
    return Benched(
        rates=Rates(prompt=rows[0]["avg_ts"], output=rows[1]["avg_ts"]),
        build=build_of(rows[0]),
    )


def read_row(text: str, part: str) -> Mapping[str, Any]:
    """Return the row of the bench's JSON that measured only one part, `n_prompt` or `n_gen`.

    Raises:
        RuntimeError: there is no such row, or it holds no rate.
    """
    other = {"n_prompt": "n_gen", "n_gen": "n_prompt"}[part]
    try:
        rows = [row for row in json.loads(text) if row[part] > 0 and row[other] == 0 and row["avg_ts"] > 0]
    except (ValueError, KeyError, TypeError) as error:
        raise RuntimeError(f"{PROGRAM} did not answer as `-o json` does: {text[:200]!r}") from error
    if len(rows) != 1:
        raise RuntimeError(f"{PROGRAM} measured {part} {len(rows)} times instead of once: {text[:200]!r}")
    row: Mapping[str, Any] = rows[0]
    return row


def build_of(row: Mapping[str, Any]) -> str:
    """Return the build of llama.cpp that a row of the bench names, in words; a build outside git has no number."""
    number, commit = row.get("build_number", 0), row.get("build_commit", "unknown")
    return f"build {number} ({commit})" if number else "a build that does not say which"


async def _said(program: str, *words: object) -> str:
    process = await asyncio.create_subprocess_exec(
        program,
        *map(str, words),
        "-o",
        "json",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, complaint = await process.communicate()
    if process.returncode:
        last = complaint.decode(errors="replace").strip().splitlines()[-1:]
        raise RuntimeError(f"{program} ended with {process.returncode}: {' '.join(last)}")
    return said.decode(errors="replace")
