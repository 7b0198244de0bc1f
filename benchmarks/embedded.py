"""What the embedded models can do: functions run against asserts, SQL executed, good and bad code judged.

    python -m benchmarks.embedded --json FILE [--models NAME …]

Temperature 0, one answer an item. The models' code is run here, in a process of its own with a time limit but
without a sandbox.

The rule for the catalogue's scores (0..10): the items are elementary, so passing all of them is worth half of the
scale. `code` and `sql` are 5 × the pass rate. `accuracy` is 5 × what judging is better than chance, 2 × the rate
of right verdicts - 1, and 0 where it is not. Halves of a point are kept.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import sqlite3
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import httpx

from ymera.nodes.blocks import blocks
from ymera.nodes.cores import choose_threads, usable_cores
from ymera.nodes.embedded import close_all, open_server
from ymera.nodes.settings import load_settings
from ymera.nodes.verdicts import SCHEMA, parse_verdict
from ymera.nodes.weights_manifest import built_in_manifest
from ymera.routing.catalogue import builtin_catalogue

DATA = Path(__file__).parent / "data"
SECONDS_FOR_CODE = 10
BEST = 5.0
REACHED = "the end was reached"

WRITE_PYTHON = (
    "You write Python. Answer with one fenced code block that holds the whole code, without examples of use."
)
WRITE_SQL = (
    "You write SQLite. Answer with one fenced code block that holds one SELECT statement. The tables:\n"
)


@dataclass
class Ledger:
    """What came out of one model. Times are the runner's own: seconds of reading prompts, of making tokens."""

    passed: dict[str, list[str]] = field(default_factory=dict)
    failed: dict[str, list[str]] = field(default_factory=dict)
    prompt_tokens: int = 0
    prompt_seconds: float = 0.0
    output_tokens: int = 0
    output_seconds: float = 0.0

    def note(self, kind: str, name: str, passed: bool) -> None:
        for outcome, mine in ((self.passed, passed), (self.failed, not passed)):
            outcome.setdefault(kind, []).extend([name] if mine else [])

    def rate(self, kind: str) -> float:
        passed, failed = len(self.passed[kind]), len(self.failed[kind])
        return passed / (passed + failed)


class Asker:
    """Asks a model's server one thing after the other."""

    def __init__(self, client: httpx.Client, ledger: Ledger) -> None:
        self._client = client
        self._ledger = ledger

    def ask(self, system: str, user: str, tokens: int, **more: Any) -> str:
        messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
        body = {"messages": messages, "temperature": 0, "seed": 1, "max_tokens": tokens, **more}
        reply = self._client.post("chat/completions", json=body).raise_for_status().json()
        times = reply["timings"]
        self._ledger.prompt_tokens += times["prompt_n"]
        self._ledger.prompt_seconds += times["prompt_ms"] / 1e3
        self._ledger.output_tokens += times["predicted_n"]
        self._ledger.output_seconds += times["predicted_ms"] / 1e3
        return str(reply["choices"][0]["message"]["content"])


def read(name: str) -> dict[str, Any]:
    return tomllib.loads((DATA / f"{name}.toml").read_text("utf-8"))


def code_of(answer: str) -> str:
    found = blocks(answer)
    return found[0].text if found else answer


def holds(code: str, asserts: str) -> bool:
    """Run code and asserts in a process of its own and say whether all is well."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-I", "-c", f"{code}\n{asserts}\nprint({REACHED!r})"]
        try:
            done = subprocess.run(
                command,
                cwd=folder,
                timeout=SECONDS_FOR_CODE,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
            )
        except (subprocess.TimeoutExpired, ValueError):  # ValueError: a null character in the code
            return False
    return (
        done.returncode == 0 and REACHED.encode() in done.stdout
    )  # code may end the process before the asserts


def rows_of(statement: str) -> list[tuple[Any, ...]] | None:
    """Run a statement on the little shop; None where SQLite refuses it."""
    shop = read("statements")
    connection = sqlite3.connect(":memory:")
    try:
        connection.executescript(shop["schema"] + shop["rows"])
        connection.execute("PRAGMA query_only = ON")
        return connection.execute(statement).fetchall()
    except sqlite3.Error:
        return None
    finally:
        connection.close()


def functions(asker: Asker, ledger: Ledger) -> None:
    for item in read("functions")["functions"]:
        code = code_of(asker.ask(WRITE_PYTHON, item["task"], 700))
        ledger.note("functions", item["name"], holds(code, item["asserts"]))


def statements(asker: Asker, ledger: Ledger) -> None:
    shop = read("statements")
    for item in shop["statements"]:
        statement = code_of(asker.ask(WRITE_SQL + shop["schema"], item["task"], 300))
        ledger.note("statements", item["name"], rows_of(statement) == rows_of(item["solution"]))


def reviews(asker: Asker, ledger: Ledger) -> None:
    """Judge every snippet with the prompt and the schema of the review phase."""
    system = builtin_catalogue().phases["review"].prompt
    bound = {"type": "json_schema", "json_schema": {"name": "verdict", "schema": SCHEMA, "strict": True}}
    for number, item in enumerate(read("reviews")["reviews"], 1):
        for kind, right in (("good", "accept"), ("bad", "revise")):
            user = f"Task: {item['task']}\n\nResult:\n```python\n{item[kind]}\n```"
            verdict = parse_verdict(asker.ask(system, user, 400, response_format=bound))
            ledger.note(f"reviews_{kind}", str(number), verdict is not None and verdict["decision"] == right)


def scores(ledger: Ledger) -> dict[str, float]:
    """Return the catalogue's scores, by the rule that stands at the top of this file."""
    right = (ledger.rate("reviews_good") + ledger.rate("reviews_bad")) / 2
    exact = {
        "code": BEST * ledger.rate("functions"),
        "sql": BEST * ledger.rate("statements"),
        "accuracy": BEST * max(0.0, 2 * right - 1),
    }
    return {skill: round(2 * score) / 2 for skill, score in exact.items()}


def measure(name: str) -> dict[str, Any]:
    ledger, begin = Ledger(), time.perf_counter()
    endpoint = asyncio.run(open_server(name, load_settings()))
    opened = time.perf_counter() - begin
    headers = {"Authorization": f"Bearer {endpoint.api_key}"}
    with httpx.Client(base_url=endpoint.base_url, headers=headers, timeout=600, trust_env=False) as client:
        for part in (functions, statements, reviews):
            part(Asker(client, ledger), ledger)
    close_all()
    return asdict(ledger) | {
        "open_seconds": round(opened, 2),
        "prompt_tokens_per_second": round(ledger.prompt_tokens / ledger.prompt_seconds, 1),
        "output_tokens_per_second": round(ledger.output_tokens / ledger.output_seconds, 1),
        "scores": scores(ledger),
        "wall_seconds": round(time.perf_counter() - begin, 1),
    }


def machine(load_at_start: Sequence[float]) -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "cores": usable_cores(),
        "threads": asdict(choose_threads(usable_cores(), load_settings().ymera_threads)),
        "load_at_start": list(load_at_start),
    }


def table(measured: dict[str, dict[str, Any]]) -> list[str]:
    kinds = ("functions", "statements", "reviews_good", "reviews_bad")
    lines = [
        "| model | functions | SQL | good code accepted | bad code caught | prompt tok/s | output tok/s | scores |"
    ]
    lines.append("|---|---|---|---|---|---|---|---|")
    for name, seen in measured.items():
        parts = [f"{len(seen['passed'][k])}/{len(seen['passed'][k]) + len(seen['failed'][k])}" for k in kinds]
        speeds = [str(seen["prompt_tokens_per_second"]), str(seen["output_tokens_per_second"])]
        given = ", ".join(f"{skill} {score:g}" for skill, score in seen["scores"].items())
        lines.append("| " + " | ".join([name, *parts, *speeds, given]) + " |")
    return lines


def main() -> None:
    """Measure, print a table, write the figures."""
    parser = argparse.ArgumentParser(description="What the embedded models can do.")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument(
        "--models", nargs="+", choices=sorted(built_in_manifest()), default=sorted(built_in_manifest())
    )
    arguments = parser.parse_args()
    where = machine(os.getloadavg() if hasattr(os, "getloadavg") else ())
    measured = {name: measure(name) for name in arguments.models}
    print("\n".join(table(measured)))
    if arguments.json:
        arguments.json.write_text(
            json.dumps({"models": measured, "machine": where}, indent=2) + "\n", "utf-8"
        )


if __name__ == "__main__":
    main()
