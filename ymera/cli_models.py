"""The commands on models: the catalogue, and the weights of embedded models."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import typer

from .inputs import settings_with
from .options import AsJson, CatalogueFile
from .terminal import print_json, show_logs

if TYPE_CHECKING:
    from .nodes.matching import AgentModelMatcher
    from .routing.records import ModelProfile, ProviderProfile

models_app = typer.Typer(rich_markup_mode=None)


@models_app.callback(invoke_without_command=True)
def models(ctx: typer.Context, catalogue: CatalogueFile = None, as_json: AsJson = False) -> None:
    """List the models; fetch weights."""
    show_logs(0)
    if ctx.invoked_subcommand:
        return
    from .nodes.matching import AgentModelMatcher

    matcher = AgentModelMatcher(settings_with(catalogue))
    today = datetime.now(UTC).date()
    listed = [describe(model, matcher, today) for model in matcher.catalogue.models.values()]
    if as_json:
        print_json(listed)
    else:
        from .report import models_view, put

        put(models_view(listed))


def describe(model: ModelProfile, matcher: AgentModelMatcher, today: date) -> dict[str, Any]:
    """Return what is known of a model, and what it takes to use it."""
    retired = model.is_retired(today)
    why_not = matcher.catalogue.resolve(model.key, today).reason if retired else matcher.unavailable(model)
    price = {"input": model.price.input, "output": model.price.output} if model.price else None
    return {
        "model": model.name,
        "provider": model.provider,
        "status": "retired" if retired else model.status,
        "available": why_not is None,
        "unavailable_because": why_not,
        "unlocked_by": unlocked_by(matcher.catalogue.providers[model.provider]),
        "scores": dict(model.scores),
        "context_tokens": model.context_tokens,
        "usd_per_mtok": price,
        "retires_on": model.retires_on.isoformat() if model.retires_on else None,
        "successor": model.successor,
    }


def unlocked_by(provider: ProviderProfile) -> str:
    """Return what makes a provider's models usable: its variables, or what to install."""
    if provider.variables:
        return " and ".join(provider.variables)
    return "YMERA_LOCAL_BASE_URL" if provider.name == "local" else f"pip install '{provider.package}'"
