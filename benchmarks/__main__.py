"""This package beside what people would pick instead, in one command and one run.

    pip install -r benchmarks/peers.txt
    python -m benchmarks --json FILE [--sections overhead,start,…] [--docs docs/benchmarks.md] [--quick]

Each section is a module that measures and returns its findings. The report is Markdown: whether each mark is reached,
bars, tables. The JSON holds all figures, with the machine, the versions of what was compared, and the load before and
after. `--docs` writes the report between the marks of a page. `--quick` measures next to nothing: it shows that the
command works. `--from FILE` begins with the figures of an earlier run: with `--sections ""` its report is written anew.
A peer that is not installed is left out, and named. `--llama-bench PATH` names llama.cpp's own bench, beside which
section `embedded` measures; without it, one on PATH is taken.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

from .descriptors import allow_files
from .findings import FULL, QUICK, Effort, Findings, findings_of
from .machine import described, load
from .pages import write_into
from .report import report, where

SECTIONS = (
    "overhead",
    "start",
    "scale",
    "growth",
    "parallel",
    "cache",
    "tokens",
    "profile",
    "embedded",
    "together",
)
"""Names of sections; each is measured by the function `measure` of the module of that name."""
MODULES = {"embedded": "embedded_section", "profile": "profiled", "together": "embedded_together"}

Figures = dict[str, Any]


def sections_of(names: str) -> list[str]:
    """Return the sections that an option names, with commas between.

    Raises:
        SystemExit: there is no such section.
    """
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    if unknown := [name for name in wanted if name not in SECTIONS]:
        raise SystemExit(f"unknown sections: {', '.join(unknown)}. There are: {', '.join(SECTIONS)}")
    return wanted


def measured(name: str, effort: Effort) -> Findings:
    """Return the findings of a section; how long it takes goes to stderr."""
    clock = time.monotonic()
    module = import_module(f".{MODULES.get(name, name)}", __package__)
    found: Findings = asyncio.run(module.measure(effort))
    print(f"{name}: {time.monotonic() - clock:.0f} s", file=sys.stderr, flush=True)
    return found


def main(words: Sequence[str] | None = None) -> None:
    """Measure, print the report, write the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="YMERA beside its peers.")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("--docs", type=Path, help="page whose tables are written anew")
    parser.add_argument("--sections", default=",".join(SECTIONS), help="with commas between; default: all")
    parser.add_argument(
        "--quick", dest="effort", action="store_const", const=QUICK, default=FULL, help="next to nothing"
    )
    parser.add_argument("--from", dest="earlier", type=Path, help="figures of an earlier run, to begin with")
    parser.add_argument("--llama-bench", default=FULL.llama_bench, help="llama.cpp's own bench: path or name")
    arguments = parser.parse_args(words)
    effort = replace(arguments.effort, llama_bench=arguments.llama_bench)
    figures = json.loads(arguments.earlier.read_text("utf-8")) if arguments.earlier else {"sections": {}}
    if wanted := sections_of(arguments.sections):
        figures = with_measured(figures, wanted, effort)
    text = report_of(figures)
    print(text)
    if arguments.docs:
        write_into(arguments.docs, text)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n", "utf-8")


def with_measured(figures: Figures, names: Sequence[str], effort: Effort) -> Figures:
    """Return figures in which these sections are measured anew.

    Raises:
        SystemExit: the others were measured on another machine, or with other versions.
    """
    machine, sections = described(), dict(figures["sections"])
    if sections.keys() - set(names) and figures["machine"] != machine:
        raise SystemExit(
            "The figures of --from are of another machine or other versions. Measure all sections anew."
        )
    allow_files()
    for name in names:
        before = load()
        said = asdict(measured(name, effort))
        sections[name] = said | {
            "load": {"before": before, "after": load()},
            "date": f"{datetime.now(UTC):%d %B %Y}",
        }
    return {"machine": machine, "sections": {name: sections[name] for name in SECTIONS if name in sections}}


def report_of(figures: Figures) -> str:
    """Return the report of figures.

    Raises:
        SystemExit: there are none.
    """
    sections = figures["sections"]
    if not sections:
        raise SystemExit(f"Nothing to measure: name sections ({', '.join(SECTIONS)}), or a file with --from.")
    loads = [load for said in sections.values() for load in said["load"].values()]
    dates = list(dict.fromkeys(said["date"] for said in sections.values()))
    head = where(figures["machine"], dates, loads)
    return report(head, {name: findings_of(said) for name, said in sections.items()})


if __name__ == "__main__":
    main()
