"""Which embedded models could answer on this machine without a download."""

from __future__ import annotations

from importlib.util import find_spec

from ymera.nodes.availability import EMBEDDED
from ymera.nodes.runner import availability
from ymera.nodes.settings import load_settings
from ymera.routing.catalogue import builtin_catalogue

MISSING = "{}: the weights of the embedded models are not on this machine (`ymera models pull NAME`)"


def models_here() -> list[str]:
    """Return the embedded models whose weights lie here."""
    if find_spec("xllamacpp") is None:
        return []
    settings = load_settings().model_copy(update={"ymera_downloads": False})
    names = [model.name for model in builtin_catalogue().models.values() if model.provider == EMBEDDED]
    return [name for name in names if availability(name, settings) is None]
