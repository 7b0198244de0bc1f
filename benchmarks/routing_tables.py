"""The tables of docs/learning.md, made from the figures of `benchmarks.routing`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any

from .pages import table
from .routing_marks import HEADS, LEARNED, mean_between, rows
from .routing_metrics import SHARES

DRAWN = ("single models", LEARNED, "oracle")

Figures = Mapping[str, Any]


def tables(figures: Figures) -> str:
    """Return all tables that the figures allow, as Markdown."""
    makers = {
        "in_domain": _in_domain,
        "out_of_domain": _out_of_domain,
        "mmlu_pro": lambda section: _many("MMLU-Pro, 14 models", section),
        "zeroeval": lambda section: _many("ZeroEval", section),
        "domains": _domains,
        "streams": _streams,
        "cold_starts": _cold_starts,
        "calibration": _calibration,
        "escalation": _escalation,
        "speed": _speed,
    }
    parts = [table("Marks", HEADS, list(rows(figures)))] if any(rows(figures)) else []
    parts += [part for name, make in makers.items() if name in figures for part in make(figures[name])]
    return "\n\n".join("\n".join(part) for part in parts)


def _in_domain(section: Figures) -> Iterator[list[str]]:
    yield from _pair("in-domain", section)


def _out_of_domain(section: Figures) -> Iterator[list[str]]:
    yield from _pair("out-of-domain, learned from the other set", section)


def _pair(what: str, section: Figures) -> Iterator[list[str]]:
    for name, figures in section.items():
        title = f"RouteLLM's pair on {name} ({figures['prompts']} prompts), {what}"
        rows = [
            [router, _interval(own["apgr"], 3), _value(own["cpt50"]), _value(own["cpt80"])]
            for router, own in figures["routers"].items()
        ]
        yield table(title, ["router", "APGR", "CPT50", "CPT80"], rows)


def _many(title: str, section: Figures) -> Iterator[list[str]]:
    rows = [
        [
            router,
            _interval(own["gain"], 2, sign="+"),
            _value(own["closed"]),
            _interval(own["aiq"], 1),
            f"{_value(own['saving'])} ({_value(own['kept'], '+')})",
            _value(own["parity"]),
        ]
        for router, own in section["routers"].items()
    ]
    heads = ["router", "gain, points", "gap closed, %", "AIQ, % of the way to the oracle"]
    heads += ["cost saved, % (points kept)", "saved at parity in hindsight, %"]
    yield table(f"{title} ({section['prompts']} prompts)", heads, rows)
    yield _plot(title, section["fronts"])


def _domains(section: Sequence[Figures]) -> Iterator[list[str]]:
    heads = ["texts learned from", "a domain is read in, %", "of them rightly, %"]
    heads += ["gain, domain read (95 %), points", "domain given"]
    rows = [
        [
            f"{each['texts']:,}",
            *[f"{100 * each[share]:.0f}" for share in ("read", "right")],
            *[
                "{:+.2f} ({:+.2f} … {:+.2f})".format(*mean_between(each[gains]))
                for gains in ("gains", "given")
            ],
        ]
        for each in section
    ]
    yield table(
        "Domains read in texts of MMLU-Pro: what so many texts teach, and what it is worth", heads, rows
    )


def _streams(section: Figures) -> Iterator[list[str]]:
    counts = [each["outcomes"] for each in next(iter(section.values()))["cold"]]
    heads = ["mean (worst of 20 draws), points", *[f"{count} a domain" for count in counts]]
    rows = [
        [name, *[f"{fmean(each['gains']):+.2f} ({min(each['gains']):+.2f})" for each in own["cold"]]]
        for name, own in section.items()
    ]
    yield table("Cold start: outcomes of every model in every domain", heads, rows)
    heads = [
        "own choices alone",
        "running mean, points over the best single",
        "learned policy",
        "false alarms",
    ]
    rows = [[name, *_stream(own["online"])] for name, own in section.items()]
    yield table("A stream of own choices", heads, rows)
    heads = ["a model degrades midway", "runs until it is avoided (median; each)", "of them it took"]
    rows = [
        [
            name,
            f"{own['drift']['median_runs']:g}; {', '.join(map(str, own['drift']['runs']))}",
            f"{own['drift']['median_taken']:g}",
        ]
        for name, own in section.items()
    ]
    yield table("Drift", heads, rows)


def _cold_starts(section: Figures) -> Iterator[list[str]]:
    own = next(iter(section.values()))
    heads = [
        f"mean (95 %; worst) of {len(own[0]['gains'])} draws, points",
        *[f"{each['outcomes']} a domain" for each in own],
    ]
    rows = [[name, *[_cold(each["gains"]) for each in cells]] for name, cells in section.items()]
    yield table("Cold start, of many draws, beside the simplest that can be done", heads, rows)


def _cold(gains: Sequence[float]) -> str:
    value, low, high = mean_between(gains)
    return f"{value:+.2f} ({low:+.2f} … {high:+.2f}; {min(gains):+.2f})"


def _stream(orders: Sequence[Figures]) -> list[str]:
    regrets, finals = [each["regret"] for each in orders], [each["final"] for each in orders]
    return [
        f"{fmean(regrets):+.2f} ({min(regrets):+.2f} … {max(regrets):+.2f})",
        f"{fmean(finals):+.2f} ({min(finals):+.2f} … {max(finals):+.2f})",
        f"{sum(each['alarms'] for each in orders)}",
    ]


def _calibration(section: Figures) -> Iterator[list[str]]:
    rows = [[name, f"{error:.1f}"] for name, error in section["errors"].items()]
    yield table("Calibration on MMLU-Pro", ["router", "expected calibration error, points"], rows)
    rows = [
        [f"{own['outcomes']}", f"{own['quality']:.1f}", f"{own['tokens']:.1f}"] for own in section["held"]
    ]
    heads = ["outcomes of a model in a domain", "accuracy on the rest, %", "tokens of each answer, %"]
    yield table("How often bounds for nine of ten hold", heads, rows)


def _escalation(section: Sequence[Figures]) -> Iterator[list[str]]:
    heads = [
        "error of the check",
        "gain, points",
        "gap closed, %",
        "cost, % of the best single's",
        "answers a task",
    ]
    rows = [
        [
            f"{100 * each['error']:.0f} %",
            f"{each['gain']:+.2f}",
            f"{each['closed']:.1f}",
            f"{each['cost']:.1f}",
            f"{each['tries']:.2f}",
        ]
        for each in section
    ]
    yield table("Escalation: an answer that a check rejects is made anew by the next best model", heads, rows)


def _speed(section: Figures) -> Iterator[list[str]]:
    rows = [[name, f"{value:,.1f}" if value >= 10 else f"{value:.2f}"] for name, value in section.items()]
    yield table("Speed", ["what", "median"], rows)


def _interval(interval: Sequence[float], digits: int, sign: str = "") -> str:
    value, low, high = (f"{each:{sign}.{digits}f}" for each in interval)
    return f"{value} ({low} … {high})"


def _value(interval: Sequence[float], sign: str = "") -> str:
    return "–" if interval[0] != interval[0] else f"{interval[0]:{sign}.1f}"


def _plot(title: str, fronts: Mapping[str, Sequence[float]]) -> list[str]:
    """Return a drawing of accuracy over cost: the single models, YMERA, and the oracle above them."""
    shares = ", ".join(f'"{100 * share:g} %"' for share in SHARES)
    lines = [f"  line [{', '.join(f'{each:.1f}' for each in fronts[name])}]" for name in DRAWN]
    low = min(min(fronts[name]) for name in DRAWN)
    return [
        "```mermaid",
        "xychart-beta",
        f'  title "{title}: accuracy (%) at a share of the best single model\'s cost"',
        f"  x-axis [{shares}]",
        f"  y-axis {5 * int(low // 5)} --> 100",
        *lines,
        "```",
        "",
        f"From below: {', '.join(DRAWN)}.",
    ]
