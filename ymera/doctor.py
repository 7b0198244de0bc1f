"""What `ymera doctor` looks at: versions, settings, keys, embedded models, files, tracing."""

from __future__ import annotations

import os
import platform
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from .nodes.database import DatabaseError, open_database
from .nodes.matching import AgentModelMatcher
from .nodes.settings import SettingsError, load_settings
from .nodes.weights import HeldWeights, listing, pull
from .routing.errors import CatalogueError, InputError, WeightsError

if TYPE_CHECKING:
    from .nodes.settings import Settings
    from .routing.records import ModelProfile, ProviderProfile

PACKAGES = (
    "ymera",
    "langgraph",
    "langgraph-checkpoint-sqlite",
    "langchain-core",
    "langchain-openai",
    "langchain-groq",
    "langchain-google-genai",
    "langchain-mistralai",
    "langchain-cohere",
    "langchain-anthropic",
    "pydantic",
    "xllamacpp",
)
OPTIONAL = {"langchain-anthropic": "ymera[anthropic]", "xllamacpp": "ymera[local]"}
GIGABYTE = 1_000_000_000


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at. `ok` is None where it is neither good nor bad; `mend` says what to do."""

    area: str
    name: str
    ok: bool | None
    detail: str
    mend: str = ""


@dataclass(frozen=True, kw_only=True)
class Examination:
    """What was found, and the matcher with which more can be found out; None where settings are wrong."""

    findings: list[Finding]
    matcher: AgentModelMatcher | None = None


def examine() -> Examination:
    """Look at everything; what cannot be looked at without settings is left out where they are wrong.

    No provider is asked for anything; a server of the user's own is asked for the names of its models.
    """
    findings = [_finding("python", "version", True, platform.python_version()), *_packages()]
    try:
        settings = load_settings()
    except SettingsError as error:
        return Examination(findings=findings + [_setting(line) for line in str(error).splitlines()])
    findings.append(_finding("settings", "values", True, "all valid"))
    try:
        matcher, faults = _matcher(settings)
    except CatalogueError as error:
        faults = [_finding("settings", "catalogue", False, fault) for fault in error.faults]
        return Examination(findings=findings + faults)
    findings += [
        *_providers(matcher),
        *faults,
        _usable(matcher),
        *_embedded(settings),
        _memory(),
        _checkpoints(settings),
        _tracing(),
    ]
    return Examination(findings=findings, matcher=matcher)


def _matcher(settings: Settings) -> tuple[AgentModelMatcher, list[Finding]]:
    """Return a matcher, without the user's own server where that does not answer, which is told.

    Raises:
        CatalogueError: the user's catalogue file is wrong.
    """
    try:
        return AgentModelMatcher(settings), []
    except CatalogueError:
        raise
    except InputError as error:
        without = settings.model_copy(update={"ymera_local_base_url": None})
        return AgentModelMatcher(without), [_finding("providers", "own server", False, str(error))]


def _finding(area: str, name: str, ok: bool | None, detail: str, mend: str = "") -> Finding:
    return Finding(area=area, name=name, ok=ok, detail=detail, mend=mend)


def _setting(line: str) -> Finding:
    name, _, fault = line.partition(": ")
    return _finding("settings", name, False, fault, "Correct the variable.")


def _packages() -> list[Finding]:
    return [_package(name) for name in PACKAGES]


def _package(name: str) -> Finding:
    try:
        return _finding("packages", name, True, version(name))
    except PackageNotFoundError:
        mend = f"pip install '{OPTIONAL.get(name, 'ymera')}'"
        return _finding("packages", name, None if name in OPTIONAL else False, "not installed", mend)


def _providers(matcher: AgentModelMatcher) -> list[Finding]:
    """Say of each provider which of its variables are set, never their values, and what that unlocks."""
    models = matcher.catalogue.models.values()
    return [
        _provider(provider, [model for model in models if model.provider == provider.name], matcher)
        for provider in matcher.catalogue.providers.values()
    ]


def _provider(provider: ProviderProfile, models: list[ModelProfile], matcher: AgentModelMatcher) -> Finding:
    why_not = [matcher.unavailable(model) for model in models]
    unset = [name for name in provider.variables if matcher.settings.variable(name) is None]
    needs = [f"{name} is {'not set' if name in unset else 'set'}" for name in provider.variables]
    usable = why_not.count(None)
    detail = "; ".join([*needs, f"{usable} of {len(models)} models usable"])
    mend = "" if unset else "; ".join(sorted({reason for reason in why_not if reason}))
    return _finding("providers", provider.name, True if usable else None, detail, mend)


def _usable(matcher: AgentModelMatcher) -> Finding:
    usable = [model.key for model in matcher.catalogue.models.values() if matcher.unavailable(model) is None]
    if usable:
        return _finding("providers", "any model", True, f"{len(usable)} models can be called")
    mend = "Set a provider's key, or install the embedded models: pip install 'ymera[local]'."
    return _finding("providers", "any model", False, "no model can be called", mend)


def _embedded(settings: Settings) -> list[Finding]:
    if find_spec("xllamacpp") is None:
        return [_finding("embedded", "runner", None, "not installed", "pip install 'ymera[local]'")]
    from .nodes.runner import runner_fault

    fault = runner_fault()
    runner = _finding("embedded", "runner", fault is None, fault or "xllamacpp loads")
    return [runner, *(_weights(held, settings) for held in listing(settings))]


def _weights(held: HeldWeights, settings: Settings) -> Finding:
    """Check weights that are here by their hash (at once where they were checked before); fetch none."""
    if held.state == "absent":
        size = f"{held.size_bytes / 1_000_000:.0f} MB"
        return _finding("embedded", held.name, None, f"not here, {size}", f"ymera models pull {held.name}")
    try:
        path = pull(held.name, settings.model_copy(update={"ymera_downloads": False}))
    except WeightsError as error:
        return _finding("embedded", held.name, False, str(error))
    return _finding("embedded", held.name, True, f"{path}: checked, takes {held.memory_mb} MB of memory")


def _memory() -> Finding:
    try:
        pages = os.sysconf("SC_AVPHYS_PAGES"), os.sysconf("SC_PHYS_PAGES")
        free, total = (count * os.sysconf("SC_PAGE_SIZE") / GIGABYTE for count in pages)
    except (AttributeError, ValueError, OSError):
        return _finding("machine", "memory", None, "this system does not tell")
    detail = f"{free:.1f} GB free of {total:.1f} GB, {os.cpu_count()} cores"
    return _finding("machine", "memory", None, detail)


def _checkpoints(settings: Settings) -> Finding:
    if settings.ymera_database_url is not None:
        return _database(settings)
    path = Path(settings.checkpoints)
    mend = "Move the file away, or name another one with YMERA_CHECKPOINTS."
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        existed = path.exists()
        with closing(sqlite3.connect(path, timeout=2)) as database:
            database.execute("BEGIN IMMEDIATE")
            state = str(database.execute("PRAGMA quick_check(1)").fetchone()[0])
            database.rollback()
    except (sqlite3.Error, OSError) as error:
        return _finding("files", "checkpoints", False, f"{path}: {error}", mend)
    if state != "ok":
        return _finding("files", "checkpoints", False, f"{path}: {state}", mend)
    detail = (
        f"{path}: {path.stat().st_size / 1_000_000:.1f} MB, writable" if existed else f"{path}: can be made"
    )
    return _finding("files", "checkpoints", True, detail)


def _database(settings: Settings) -> Finding:
    database = open_database(settings, "doctor", "", patience=2)
    try:
        with database.transaction() as rows:
            version = rows.execute("SELECT current_setting('server_version')")[0][0]
    except DatabaseError as error:
        return _finding(
            "files", "checkpoints", False, f"{settings.store_of_runs}: {error}", f"{database.cure}."
        )
    finally:
        database.close()
    return _finding("files", "checkpoints", True, f"{settings.store_of_runs}: PostgreSQL {version}, writable")


def _tracing() -> Finding:
    from langsmith.utils import tracing_is_enabled  # the library's own reading of its variables

    if not tracing_is_enabled():
        return _finding(
            "tracing", "LangSmith", None, "off", "LANGSMITH_TRACING=true and LANGSMITH_API_KEY turn it on."
        )
    return _finding("tracing", "LangSmith", None, "on: prompts and answers go to LangSmith")
