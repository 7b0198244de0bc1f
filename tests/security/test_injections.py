"""Tasks, parameters and outputs are data: whatever they hold, a run goes its way as with a harmless text there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ymera.nodes.settings import Settings, load_settings

from .audit import audit
from .injecting import PLACES, Injection, Place, injections, misplaced, run, twin

TABLE = injections()


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if "data" not in path.parts}


async def _harmless(tokens: int, place: Place, settings: Settings) -> dict[str, Any]:
    """Return the route of a run with a harmless text of that length; one serves all that are as long."""
    if (tokens, place) not in _routes:
        _routes[tokens, place] = (await run(twin(tokens), place, settings, "harmless")).route
    return _routes[tokens, place]


_routes: dict[tuple[int, Place], dict[str, Any]] = {}


@pytest.mark.parametrize(
    "place", ["everywhere", *(pytest.param(p, marks=pytest.mark.security) for p in PLACES)]
)
@pytest.mark.parametrize("injection", TABLE, ids=lambda one: one.id)
async def test_an_injection_changes_nothing_but_the_text(
    injection: Injection, place: Place, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(
        "YMERA_OUTCOME_DAYS", "0"
    )  # what the twin's run teaches would move the plan of the other
    settings = load_settings()
    harmless = await _harmless(injection.tokens, place, settings)
    before = files(tmp_path)
    with audit(inside=settings.ymera_data_dir) as heard:
        seen = await run(injection.whole, place, settings, "hostile")
    assert seen.route == harmless
    assert list(misplaced(seen, place)) == []
    assert heard.found == []
    assert files(tmp_path) == before
    assert load_settings() == settings
