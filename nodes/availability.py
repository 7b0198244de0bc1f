"""Whether a model could be called now, told without importing any provider's package."""

from __future__ import annotations

from datetime import date

from ..routing.records import ModelProfile, ProviderProfile
from .installed import is_installed
from .runner import availability
from .settings import Settings

EMBEDDED = "embedded"
LOCAL = "local"


def why_unavailable(model: ModelProfile, provider: ProviderProfile, settings: Settings) -> str | None:
    """Return None for a model that may be called, else the reason in words for a person.

    Only the machine is asked (variables, installed packages, weights), never the provider.
    """
    if provider.retired_on is not None and provider.retired_on <= date.today():
        return f"{provider.title} ended its API on {provider.retired_on.isoformat()}"
    return _not_set(provider, settings) or not_installed(provider) or _not_here(model, provider, settings)


def not_installed(provider: ProviderProfile) -> str | None:
    """Return what to install where the provider's package is missing."""
    root = provider.chat_model.partition(":")[0].partition(".")[0]
    if is_installed(root):
        return None
    return f"{root.replace('_', '-')} is not installed: pip install '{provider.package}'"


def _not_set(provider: ProviderProfile, settings: Settings) -> str | None:
    if provider.name == LOCAL:
        return None if settings.ymera_local_base_url else "YMERA_LOCAL_BASE_URL is not set"
    missing = [name for name in provider.variables if settings.variable(name) is None]
    match missing:
        case []:
            return None
        case [one]:
            return f"{one} is not set"
    return f"{' and '.join(missing)} are not set"


def _not_here(model: ModelProfile, provider: ProviderProfile, settings: Settings) -> str | None:
    return availability(model.name, settings) if provider.name == EMBEDDED else None
