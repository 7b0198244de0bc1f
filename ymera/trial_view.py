"""How the standings of a trial look to a person."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, assert_never

from rich.console import Group, RenderableType
from rich.text import Text

from .report import dollars, table_of
from .routing.trials import Trial, told
from .terminal import harmless

if TYPE_CHECKING:
    from .routing.standings import ArmStanding

NOTHING = "–"


def trial_view(trial: Trial, found: Sequence[ArmStanding]) -> RenderableType:
    """Return how the arms of a trial stand, a line each, and what can be said of each."""
    table = table_of("arm")
    measured = "quality" if trial.measure == "quality" else "with a result"
    for heading in ("runs", "outcomes", measured, "against the control", "cost", "time"):
        table.add_column(heading, justify="right")
    for each in found:
        table.add_row(*(Text(harmless(cell)) for cell in _row(each)))
    said = [f"{each.arm}: {words(each)}" for each in found if each.standing != "control"]
    head = f"Trial {trial.name} of {', '.join(trial.agents) or 'all agents'}; the control is {found[0].arm}."
    return Group(Text(head), table, *(Text(harmless(line)) for line in said))


def _row(each: ArmStanding) -> tuple[str, ...]:
    mean = NOTHING if each.mean is None else f"{each.mean:.2f} ({each.low:.2f} … {each.high:.2f})"
    return (
        each.arm,
        str(each.runs),
        str(each.outcomes),
        mean,
        _against(each),
        NOTHING if each.usd is None else dollars(each.usd),
        NOTHING if each.seconds is None else f"{each.seconds:.1f} s",
    )


def _against(each: ArmStanding) -> str:
    bounds = (each.least_difference, each.most_difference)
    if each.difference is None or bounds[0] is None or bounds[1] is None:
        return NOTHING
    return f"{each.difference:+.2f} ({bounds[0]:+.2f} … {bounds[1]:+.2f})"


def words(each: ArmStanding) -> str:
    """Return in words how an arm stands."""
    since = "" if each.since is None else told(each.since)
    match each.standing:
        case "control":
            return "the control"
        case "harm":
            return f"does harm: stopped on {since}"
        case "better":
            return f"better: sure since {since}"
        case "worse":
            return "worse, within what is allowed"
        case "open":
            more = f"; about {each.more} more outcomes would, if they are like these" if each.more else ""
            return f"no difference shown yet{more}"
    assert_never(each.standing)
