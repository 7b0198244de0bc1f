"""What outcomes have shown of the models, place by place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import RenderableType

from .nodes.services import Services

if TYPE_CHECKING:
    from .routing.history import History


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What was measured of a model in a place.

    Args:
        outcomes: of the model there; old ones count less. `good` is the sum of their qualities.
        expected: the quality that the catalogue expects, 0..1.
        estimate: the quality that is expected now; nine times in ten it lies from `low` to `high`.
    """

    domain: str
    phase: str
    model: str
    outcomes: float
    good: float
    expected: float
    estimate: float
    low: float
    high: float


async def measured_of(services: Services) -> list[Measured]:
    """Return what was measured of every model, by place, the best first."""
    matcher = services.matcher
    await matcher.look()
    history = matcher.experience.known.history
    return [] if history is None else sorted(_all(history), key=lambda m: (m.domain, m.phase, -m.estimate))


def _all(history: History) -> list[Measured]:
    found = []
    for model, place in history.known:
        estimate = history.estimate(model, place)
        low, high = estimate.interval
        found.append(
            Measured(
                domain=place.domain,
                phase=place.phase,
                model=model,
                outcomes=round(estimate.outcomes, 1),
                good=round(estimate.total, 1),
                expected=round(estimate.prior, 4),
                estimate=round(estimate.mean, 4),
                low=round(low, 4),
                high=round(high, 4),
            )
        )
    return found


def measured_view(found: Sequence[Measured]) -> RenderableType:
    """Return what was measured, a line for each model in each place."""
    from rich.text import Text

    from .report import table_of
    from .terminal import harmless

    table = table_of("domain", "phase", "model")
    for heading in ("good of outcomes", "expected", "now", "between"):
        table.add_column(heading, justify="right", no_wrap=True)
    for each in found:
        counts = f"{each.good:g} of {each.outcomes:g}"
        numbers = (f"{each.expected:.2f}", f"{each.estimate:.2f}", f"{each.low:.2f} … {each.high:.2f}")
        row = (each.domain, each.phase, each.model, counts, *numbers)
        table.add_row(*(Text(harmless(cell)) for cell in row))
    return table
