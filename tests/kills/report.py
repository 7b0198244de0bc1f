"""What became of the runs that were killed, in print; and, after `pytest -m "kills or not kills"`, in the documents.

It is a plugin of the whole test suite (tests/conftest.py), as the fault matrix's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

STORES = ("SQLite", "PostgreSQL")
TALLY, COST = "kills", "cost of keeping"
PAGE = Path(__file__).parents[2] / "docs" / "durability.md"
BEGIN, END = "<!-- what was killed -->\n", "<!-- end -->\n"

POINTS = {
    "start": "while the process starts",
    "router": "as the router chooses",
    "node entry": "as a phase's node is entered",
    "call to come": "with the call written down, not yet sent",
    "in the call": "in a call, before its answer begins",
    "in the stream": "in the middle of a stream",
    "answer and commit": "between an answer and its commit",
    "after the commit": "right after the commit",
    "sibling's lane": "in a lane, with a call in flight in the one beside it",
    "end": "after the run's last answer",
    "anywhere": "at any other time",
}
WAYS = {
    "command": "`ymera resume`",
    "python": "`executor.resume`",
    "graph": "the bare graph and its checkpointer",
    "again": "the same task on the same thread",
}
COUNTS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "kills": lambda t: f"{sum(t['kills'].values()):,}",
    "runs": lambda t: f"{t['runs']:,}",
    "runs lost": lambda t: str(t["lost_runs"]),
    "differences from an unbroken run, or from the bill": lambda t: str(len(t["wrong"])),
    "kills before anything was kept: the task was given again": lambda t: str(t["not_begun"]),
    "finished calls made again": lambda t: str(t["finished_again"]),
    "calls in flight made again": lambda t: f"{sum(t['again'].values()):,}",
    "– of them answered in full, the answer not kept yet": lambda t: str(t["answered"]),
    "– of them counted exactly, out of the journal": lambda t: str(t["known"]),
    "calls written down, but not sent": lambda t: str(t["unsent"]),
    "tokens, where the usage is known: counted, billed": lambda t: f"{t['counted']:,}, {t['told']:,}",
    "USD of these: counted, billed": lambda t: f"{t['cost']:.4f}, {t['list_cost']:.4f}",
    "tokens of calls that were cut: counted, of whole answers": lambda t: f"{t['guessed']:,}, {t['whole']:,}",
    "USD of these: counted, of whole answers": lambda t: f"{t['guessed_cost']:.4f}, {t['whole_cost']:.4f}",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option with which the table in the documents is written."""
    parser.addoption("--write-kills", action="store_true", help=f"Write the table of docs/{PAGE.name} anew.")


def pytest_terminal_summary(terminalreporter: TerminalReporter, config: pytest.Config) -> None:
    """Print the tables, once for all processes that killed."""
    tallies = list(_reported(terminalreporter, TALLY))
    if not tallies or hasattr(config, "workerinput"):
        return
    added = {store: added for store in STORES if (added := _added(tallies, store))}
    costs = list(_reported(terminalreporter, COST))
    found = tables(added, costs)
    terminalreporter.section("killed and resumed")
    terminalreporter.write(found)
    # The page that is about to be written may be what fails.
    wrong = [r for how in ("failed", "error") for r in terminalreporter.stats.get(how, [])]
    whole = {cost["store"] for cost in costs} == set(STORES)
    if config.getoption("--write-kills") and whole and all("test_page" in r.nodeid for r in wrong):
        text = PAGE.read_text("utf-8")
        before, _, rest = text.partition(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}{found}{END}{rest.partition(END)[2]}", "utf-8")


def _reported(reporter: TerminalReporter, wanted: str) -> Iterator[Any]:
    for report in [report for reports in reporter.stats.values() for report in reports]:
        if getattr(report, "when", "") == "call":
            yield from (value for name, value in report.user_properties if name == wanted)


def _added(tallies: Sequence[Mapping[str, Any]], store: str) -> dict[str, Any]:
    """Return what all tallies of a store come to."""
    total: dict[str, Any] = {}
    for tally in (tally for tally in tallies if tally["store"] == store):
        for name, value in tally.items():
            if isinstance(value, dict):
                before = total.get(name, {})
                total[name] = {key: before.get(key, 0) + value.get(key, 0) for key in {**before, **value}}
            elif name != "store":
                total[name] = total.get(name, type(value)()) + value
    return total


def tables(added: Mapping[str, Mapping[str, Any]], costs: Sequence[Mapping[str, Any]]) -> str:
    """Return the tables of the documents: a column for each store."""
    stores, tallies = list(added), list(added.values())
    rows = [[name, *(count(tally) for tally in tallies)] for name, count in COUNTS.items()]
    kills = [
        [said, *_of(tallies, "kills", point), *_of(tallies, "again", point)] for point, said in POINTS.items()
    ]
    ways = [[said, *_of(tallies, "ways", way)] for way, said in WAYS.items()]
    again = [f"made again, {store}" for store in stores]
    parts = [
        _table(["all in all", *stores], rows),
        _table(["killed", *stores, *again], kills),
        _table(["resumed by", *stores], ways),
    ]
    if costs:
        parts.append(_table(["keeping, ms: p50 / p99", "answers", *COSTS, EARLY], [_cost(c) for c in costs]))
    return "\n".join(parts)


COSTS = {
    "answer → kept": "window",
    "journal": "journal",
    "answer → next request": "step",
}
EARLY = "next requests sent before it was kept"


def _cost(cost: Mapping[str, Any]) -> list[str]:
    figures = [f"{cost[name][0]:.1f} / {cost[name][1]:.1f}" for name in COSTS.values()]
    return [f"{cost['store']}, {cost['durability']}", str(cost["answers"]), *figures, str(cost["early"])]


def _of(tallies: Sequence[Mapping[str, Any]], counter: str, name: str) -> list[str]:
    return [str(tally[counter].get(name, 0)) for tally in tallies]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", *("---:" for _ in head[1:])], *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
