"""Where the ways out of the order of a layout's phases lead: what the graph draws.

Four ways (`attempts.Way`); when they are taken is decided in `detours.py`:

- `escalate`: an answer that a check or a judge rejects is made again by a model that is expected to do better.
- `again`: another round. A judge that has the last word sends a result back to be mended once more; one that was mended
  last goes back to be judged.
- `mend first`: a check has failed, so a review could only send the result back: it is mended first, and judged then.
- `enough`: the result was accepted, and judging it once more is not worth what that takes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .attempts import Way
from .layout import Layout
from .records import PhaseProfile

BACK: tuple[Way, ...] = ("escalate", "again")
"""The ways that lead back: only these could be taken for ever."""

Profiles = Mapping[str, PhaseProfile]


def ways(layout: Layout, profiles: Profiles, i: int) -> dict[Way, str]:
    """Return the ways that may be taken behind a group of a layout, each with the phase that it leads to.

    Args:
        profiles: the phases of the layout; one that is not there is no part of any way.
        i: the group's place.
    """
    if _judges(layout, profiles, i):
        return _ways_of_judge(layout, profiles, i)
    if any(_produces(profiles, phase) for phase in layout[i]):
        return _ways_of_maker(layout, profiles, i)
    return {}


def _ways_of_judge(layout: Layout, profiles: Profiles, i: int) -> dict[Way, str]:
    found: dict[Way, str] = {}
    made = maker(layout, profiles, i)
    if made is not None:
        found["escalate"] = first_made(layout[made], profiles)
        if mends(profiles, found["escalate"]):
            found["again"] = found["escalate"]
    if _nothing_but_judgements(layout, profiles, i):
        found["enough"] = ""
    return found


def _ways_of_maker(layout: Layout, profiles: Profiles, i: int) -> dict[Way, str]:
    made = first_made(layout[i], profiles)
    found: dict[Way, str] = {"escalate": made}
    judges = [j for j in range(len(layout)) if _judges(layout, profiles, j)]
    earlier, later = [j for j in judges if j < i], [j for j in judges if j > i]
    menders = [m for m in range(i + 1, len(layout)) if len(layout[m]) == 1 and mends(profiles, layout[m][0])]
    if later and menders and later[0] < menders[0]:
        found["mend first"] = layout[menders[0]][0]
    if earlier and not later and len(layout[i]) == 1 and mends(profiles, made):
        found["again"] = layout[earlier[-1]][0]
    return found


def maker(layout: Layout, profiles: Profiles, i: int) -> int | None:
    """Return the group that makes what group `i` judges: the last one before it with a phase that produces."""
    makers = [j for j in range(i) if any(_produces(profiles, phase) for phase in layout[j])]
    return makers[-1] if makers else None


def first_made(group: Sequence[str], profiles: Profiles) -> str:
    """Return the phase of a group that makes a result."""
    return next(phase for phase in group if _produces(profiles, phase))


def mends(profiles: Profiles, phase: str) -> bool:
    """Say whether a phase makes a result out of what was judged of an earlier one."""
    return _produces(profiles, phase) and any(
        name in profiles and profiles[name].judges for name in profiles[phase].reads
    )


def place_of(layout: Layout, phase: str) -> int | None:
    """Return the place of the group in which a phase stands."""
    return next((i for i, group in enumerate(layout) if phase in group), None)


def between(layout: Layout, first: str, last: str) -> list[str]:
    """Return the phases of the groups between those of two phases, of which the first comes first."""
    start, end = place_of(layout, first), place_of(layout, last)
    return [] if start is None or end is None else [p for group in layout[start + 1 : end] for p in group]


def _produces(profiles: Profiles, phase: str) -> bool:
    return phase in profiles and profiles[phase].produces


def _judges(layout: Layout, profiles: Profiles, i: int) -> bool:
    return len(layout[i]) == 1 and layout[i][0] in profiles and profiles[layout[i][0]].judges


def _nothing_but_judgements(layout: Layout, profiles: Profiles, i: int) -> bool:
    """Say whether all that comes behind a group judges, or is passed by once a result is accepted."""
    behind = [profiles[p] for group in layout[i + 1 :] for p in group if p in profiles]
    return any(p.judges for p in behind) and all(p.judges or p.skipped_when_accepted for p in behind)
