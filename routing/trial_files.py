"""How the file of a trial is read and checked.

pydantic costs 0.2 s to import, so this module is imported only where there is such a file.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from .catalogue import Catalogue
from .entries import Table, parse
from .errors import CatalogueError
from .limits import read_whole
from .schemas import Entry, Name, Share, faults_against
from .trials import MOST_ARMS, Arm, Measure, Trial, unfit

Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
Margin = Annotated[float, Field(ge=0, lt=1)]


class _Arm(Entry):
    name: Word
    share: Annotated[int, Field(ge=1, le=1000)] = 1
    strategy: Literal["auto", "multi_model", "single_model"] | None = None
    model: Name | None = None
    thrift: Share | None = None
    haste: Share | None = None
    attempts: Annotated[int, Field(ge=1, le=20)] | None = None
    rounds: Annotated[int, Field(ge=0, le=10)] | None = None


class _Trial(Entry):
    name: Word
    agents: list[Name] = Field(default=[])
    measure: Measure = "quality"
    harm: Margin = 0.0
    gain: Margin = 0.0
    error_rate: Annotated[float, Field(ge=1e-6, le=0.5)] = 0.05
    arms: Annotated[list[_Arm], Field(min_length=2, max_length=MOST_ARMS)]


def read_trial(path: Path, catalogue: Catalogue) -> Trial:
    """Read a trial's file.

    Args:
        catalogue: whose agents and models it may name.

    Raises:
        CatalogueError: all faults of the file, one a line: `file: key: what is wrong (got …), allowed: …`.
    """
    try:
        document = parse(str(path), read_whole(path))
    except (OSError, UnicodeDecodeError) as error:
        raise CatalogueError([f"{path}: cannot be read: {error}"]) from None
    table = document.tables
    found = [(_named(key, table), what) for key, what in faults_against(_Trial, table, inner=_Arm)]
    if not found:
        trial = _trial(table)
        found = list(unfit(trial, catalogue))
    if found:
        raise CatalogueError([f"{path}: {key}: {what}" if key else f"{path}: {what}" for key, what in found])
    return trial


def _trial(table: Table) -> Trial:
    arms = tuple(Arm(**arm) for arm in table["arms"])
    return Trial(**{**table, "arms": arms, "agents": tuple(table.get("agents", ()))})


def _named(key: str, table: Table) -> str:
    """Return a key with the names of arms where it has their numbers."""
    return re.sub(r"^arms\.(\d+)", lambda found: f"arms.{_name_of(table['arms'], int(found[1]))}", key)


def _name_of(arms: list[Any], number: int) -> str:
    name = arms[number].get("name") if isinstance(arms[number], dict) else None
    return name if isinstance(name, str) else str(number + 1)
