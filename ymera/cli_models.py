"""The commands on models: the catalogue, and the weights of embedded models."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from .exits import Interrupted
from .inputs import settings_with
from .options import AsJson, CatalogueFile, Quiet
from .routing.errors import InputError
from .terminal import print_json, show_logs

if TYPE_CHECKING:
    from .nodes.matching import AgentModelMatcher
    from .nodes.settings import Settings
    from .routing.records import ModelProfile, ProviderProfile

OneOrAll: TypeAlias = Annotated[
    str | None, typer.Argument(metavar="NAME", help="An embedded model; all without it.")
]
One: TypeAlias = Annotated[str, typer.Argument(metavar="NAME", help="An embedded model.")]

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


# --- weights of embedded models --------------------------------------------------------------------------


@models_app.command()
def pull(name: OneOrAll = None, as_json: AsJson = False, quiet: Quiet = False) -> None:
    """Fetch weights, and check them."""
    show_logs(0)
    from .nodes import weights
    from .progress import fetching

    settings = settings_with(None)
    names = _names(name, settings)
    try:
        with fetching(quiet=quiet) as report:
            for one in names:
                weights.pull(one, settings, report)
    except KeyboardInterrupt:
        again = shlex.join(["ymera", "models", "pull", *([name] if name else [])])
        raise Interrupted(f"Interrupted. What was fetched is kept; go on with: {again}") from None
    _show_held(names, settings, as_json=as_json)


@models_app.command(name="list")
def list_held(as_json: AsJson = False) -> None:
    """List the weights on this machine."""
    show_logs(0)
    settings = settings_with(None)
    _show_held(_names(None, settings), settings, as_json=as_json)


@models_app.command()
def verify(name: OneOrAll = None, as_json: AsJson = False) -> None:
    """Compare weights with their SHA-256."""
    show_logs(0)
    from .nodes import weights

    settings = settings_with(None)
    checked = {one: str(weights.verify(one, settings)) for one in _names(name, settings)}
    if as_json:
        print_json([{"model": one, "path": path, "verified": True} for one, path in checked.items()])
        return
    for one, path in checked.items():
        typer.echo(f"{one}: {path} is what it should be")


@models_app.command()
def remove(name: One, as_json: AsJson = False) -> None:
    """Delete weights from the cache."""
    show_logs(0)
    from .nodes import weights

    settings = settings_with(None)
    removed = [str(path) for one in _names(name, settings) for path in weights.remove(one, settings)]
    if as_json:
        print_json({"removed": removed})
        return
    typer.echo("\n".join(f"removed {path}" for path in removed) or f"nothing of {name} is in the cache")


def _names(name: str | None, settings: Settings) -> list[str]:
    """Return the embedded model of that name, or all of them.

    Raises:
        InputError: there is none of that name.
    """
    from .nodes.weights import listing

    known = [held.name for held in listing(settings)]
    if name is not None and name not in known:
        raise InputError(f"No embedded model is called {name!r}. There are: {', '.join(known)}.")
    return known if name is None else [name]


def _show_held(names: list[str], settings: Settings, *, as_json: bool) -> None:
    from .nodes.weights import listing

    found = [held for held in listing(settings) if held.name in names]
    rows = [{"model": held.name, **asdict(held), "path": str(held.path)} for held in found]
    for row in rows:
        del row["name"]
    if as_json:
        print_json(rows)
    else:
        from .report import put, weights_view

        put(weights_view(rows))
