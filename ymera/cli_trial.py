"""The command on a trial: how its arms stand."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from .inputs import settings_with
from .options import AsJson, CatalogueFile
from .terminal import print_json, show_logs


def trial(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="FILE", help="The trial's TOML file; without it, YMERA_TRIAL."),
    ] = None,
    catalogue: CatalogueFile = None,
    as_json: AsJson = False,
) -> None:
    """Show how the arms of a trial stand: what came of their runs, and what of it is sure."""
    show_logs(0)
    import asyncio

    from .nodes.matching import AgentModelMatcher
    from .routing.errors import InputError

    settings = settings_with(catalogue)
    settings = settings.model_copy(update={"ymera_trial": file or settings.ymera_trial})
    trials = AgentModelMatcher(settings).trials
    if trials.trial is None:
        raise InputError("There is no trial. Name its file: ymera trial trial.toml, or YMERA_TRIAL.")
    found = asyncio.run(trials.standings())
    if as_json:
        print_json({**asdict(trials.trial), "arms": [asdict(each) for each in found]})
    else:
        from .report import put
        from .trial_view import trial_view

        put(trial_view(trials.trial, found))
