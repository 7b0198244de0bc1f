"""Every setting, and the only place where the environment is read.

A bad value becomes one line that names the variable and what is allowed (`SettingsError`). Values from a
`.env` file in the working directory count as well; the environment wins.
"""

from __future__ import annotations

import json
import os
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Literal

import platformdirs
from dotenv import dotenv_values
from pydantic import BeforeValidator, Field, PrivateAttr, SecretStr, ValidationError
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from ..routing.errors import InputError
from ..routing.limits import LONGEST_VARIABLE, is_too_deep
from ..routing.rates import Rate
from ..routing.tenants import check_tenant


class SettingsError(InputError):
    """A setting is wrong: one line a setting, naming the variable and what is allowed."""


MOST_DAILY_USD = 1_000_000
_SECRET = frozenset({"ymera_database_url", "langgraph_aes_key"})
"""Fields whose bad values no message shows."""
LONGEST_SHOWN = 200
"""Characters of a bad value that its message shows."""


def _from_json(text: str) -> object:
    """Read a variable's JSON.

    Raises:
        ValueError: it is none, or too long or too deep to be one of ours.
    """
    if len(text) > LONGEST_VARIABLE:
        raise ValueError("too long")
    try:
        value: object = json.loads(text)
    except RecursionError:
        raise ValueError("too deep") from None
    if is_too_deep(value):
        raise ValueError("too deep")
    return value


def _read_daily_usd(value: object) -> object:
    """Read USD a day from a variable's text: a number, or numbers by provider as JSON; blank: no limit."""
    if isinstance(value, str):
        try:
            value = _from_json(value) if value.strip() else None
        except ValueError:
            value = ""
    amounts = value.values() if isinstance(value, dict) else [value]
    if value is None or all(_is_daily_usd(amount) for amount in amounts):
        return value
    allowed = f"a number from 0 to {MOST_DAILY_USD}, or such numbers by provider as JSON"
    raise PydanticCustomError("daily_usd", f'Input should be {allowed}: {{"openai": 5, "groq": 1}}')


def _is_daily_usd(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= MOST_DAILY_USD


_RATES = '{"groq": {"requests_per_minute": 30, "tokens_per_minute": 6000, "concurrency": 4}}'


def _read_rates(value: object) -> object:
    """Read limits by provider from a variable's text: JSON; blank: none of one's own, null: no limit."""
    if isinstance(value, str):
        try:
            value = _from_json(value) if value.strip() else {}
        except ValueError:
            value = None
    if isinstance(value, dict) and all(_is_rate(own) for own in value.values()):
        return value
    allowed = "whole numbers from 1 (null: no limit) by provider, as JSON"
    raise PydanticCustomError("rates", f"Input should be {allowed}: {_RATES}")


def _is_rate(own: object) -> bool:
    return (
        isinstance(own, dict)
        and own.keys() <= {field.name for field in fields(Rate)}
        and all(limit is None or (type(limit) is int and limit >= 1) for limit in own.values())
    )


_FILES = '{"name": "/path/model.gguf"}'


def _read_files(value: object) -> object:
    """Read files by name from a variable's text: JSON; blank: none."""
    if isinstance(value, str):
        try:
            value = _from_json(value) if value.strip() else {}
        except ValueError:
            value = None
    if isinstance(value, dict) and all(name and path and _is_path(path) for name, path in value.items()):
        return value
    raise PydanticCustomError("files", f"Input should be paths by name, as JSON: {_FILES}")


def _is_path(value: object) -> bool:
    return isinstance(value, Path) or (isinstance(value, str) and "\0" not in value)


def _read_tenant(value: object) -> object:
    """Read a tenant's name; blank: none."""
    if isinstance(value, str):
        if not value.strip():
            return None
        try:
            check_tenant(value)
        except InputError as error:
            raise PydanticCustomError("tenant", "{why}", {"why": str(error)}) from None
    return value


_DATABASE = "a URL postgresql://user:password@host:port/name, with %40 for an @ in the password"


def _read_database_url(value: object) -> object:
    """Read the URL of a PostgreSQL database; blank: none."""
    if not isinstance(value, str):
        return value
    scheme, _, rest = value.strip().partition("://")
    if scheme not in ("", "postgresql", "postgres") or (scheme and (not rest or rest.count("@") > 1)):
        raise PydanticCustomError("database_url", f"Input should be {_DATABASE}")
    return value.strip() or None


AES_BYTES = (16, 24, 32)


def _read_aes_key(value: object) -> object:
    """Read a key for AES; blank: none."""
    if isinstance(value, str) and value and len(value.encode()) not in AES_BYTES:
        raise PydanticCustomError("aes_key", "Input should be a text of 16, 24 or 32 bytes, and random ones")
    return value or None


class Settings(BaseSettings):
    """Settings of a process. Each field's variable is its name in capitals, with the alias where one is given."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", populate_by_name=True, frozen=True)

    enable_multi_model: bool = Field(default=True, description="Allow several models in one run.")
    default_strategy: Literal["auto", "multi_model", "single_model"] = Field(
        default="auto", description="Strategy of a run that names none; `auto` lets the matcher decide."
    )
    max_parallel_phases: int = Field(default=2, ge=1, le=8, description="Phases that may run side by side.")
    phase_timeout: float = Field(default=300, gt=0, le=3600, description="Seconds that a phase may take.")
    first_token_timeout: float | None = Field(
        default=None,
        gt=0,
        le=3600,
        description="Seconds until an answer must have begun; empty: as its provider's row says.",
    )
    silence_timeout: float | None = Field(
        default=None,
        gt=0,
        le=3600,
        description="Seconds between two pieces of an answer; empty: as its provider's row says.",
    )
    ymera_drain_seconds: float = Field(
        default=8,
        ge=0,
        le=3600,
        description="Seconds in which calls under way may still end once the process is told to stop.",
    )
    ymera_catalogue: Path | None = Field(
        default=None, description="A TOML file with models, agents or phases of your own."
    )
    ymera_strict: bool = Field(
        default=False, description="Refuse an agent without a profile instead of using a default."
    )
    ymera_checkpoints: str = Field(default="", description="Checkpoint file; default: in the data directory.")
    ymera_database_url: Annotated[SecretStr | None, BeforeValidator(_read_database_url)] = Field(
        default=None,
        description="A PostgreSQL database instead of files in the data directory: `postgresql://…`.",
    )
    langgraph_aes_key: Annotated[SecretStr | None, BeforeValidator(_read_aes_key)] = Field(
        default=None,
        description="A key of 16, 24 or 32 bytes: what is stored of tasks and answers is encrypted with it (AES).",
    )
    ymera_data_dir: Path = Field(
        default_factory=lambda: Path(platformdirs.user_data_dir("ymera", appauthor=False)),
        description="Where checkpoints and cached results are kept.",
    )
    editor: str = Field(default="vi", description="The program in which a person edits a plan.")
    ymera_tenant: Annotated[str | None, BeforeValidator(_read_tenant)] = Field(
        default=None,
        description="Whose runs these are: threads, history and cached results of other tenants are not seen.",
    )
    ymera_cache_dir: Path = Field(
        default_factory=lambda: Path(platformdirs.user_cache_dir("ymera", appauthor=False)),
        description="Where the weights of embedded models are kept.",
    )
    ymera_cache_ttl: float = Field(
        default=86_400, ge=0, description="Seconds that a stored result stays valid; 0: no cache."
    )
    ymera_cache_size: int = Field(default=1_000, ge=1, description="Stored results kept at most.")
    ymera_thrift: float = Field(
        default=0,
        ge=0,
        le=1,
        description="What a plan gives of quality for being cheaper: 0 (nothing) to 1.",
    )
    ymera_rounds: int = Field(
        default=0,
        ge=0,
        le=10,
        description="How often a run may go back to make a rejected result better, where that is worth its cost.",
    )
    ymera_exploration: float = Field(
        default=0,
        ge=0,
        le=1,
        description="How boldly models are tried out about which little is known: 0 (never) to 1; 0.7 was measured.",
    )
    ymera_outcome_days: float = Field(
        default=180,
        ge=0,
        le=3650,
        description="Days for which the outcomes of calls are kept and learned from; 0: nothing is learned.",
    )
    ymera_outcome_texts: bool = Field(
        default=False, description="Keep the texts of tasks with their outcomes, and read domains by them."
    )
    ymera_trial: Path | None = Field(
        default=None, description="A TOML file with the arms of a trial: runs are planned by them in turn."
    )
    ymera_downloads: bool = Field(default=True, description="Allow fetching weights of embedded models.")
    ymera_local_dir: Path | None = Field(
        default=None, description="A folder that already holds the weights (no network)."
    )
    ymera_local_models: Annotated[dict[str, Path], NoDecode, BeforeValidator(_read_files)] = Field(
        default_factory=dict, description=f"GGUF files of your own, as JSON: {_FILES}."
    )
    ymera_local_base_url: str | None = Field(
        default=None,
        repr=False,  # a login may stand in it
        description="An OpenAI-compatible server of your own (Ollama, LM Studio, vLLM, llama-server).",
    )
    ymera_daily_usd: Annotated[
        float | dict[str, float] | None, NoDecode, BeforeValidator(_read_daily_usd)
    ] = Field(
        default=None,
        description='USD that a key may spend a day (UTC): for every key, or as JSON: {"openai": 5, "groq": 1}.',
    )
    ymera_rates: Annotated[dict[str, dict[str, int | None]], NoDecode, BeforeValidator(_read_rates)] = Field(
        default_factory=dict,
        description=f"What all runs of a process may ask of a provider, as JSON: {_RATES}.",
    )
    ymera_threads: int = Field(
        default=0, ge=0, description="Threads of an embedded model; 0: chosen for this machine."
    )

    _dotenv: dict[str, str | None] = PrivateAttr(default_factory=lambda: dict(dotenv_values(".env")))

    @property
    def checkpoints(self) -> str:
        """Path of the checkpoint file."""
        return self.ymera_checkpoints or str(self.ymera_data_dir / "checkpoints.sqlite")

    @property
    def store_of_runs(self) -> str:
        """Where checkpoints lie, as messages name it."""
        return "the database of YMERA_DATABASE_URL" if self.ymera_database_url else self.checkpoints

    def variable(self, name: str) -> str | None:
        """Return a variable that a provider's row names (a key, say); None where it is unset or blank."""
        return (os.environ.get(name) or self._dotenv.get(name) or "").strip() or None

    def base_url(self, provider: str) -> str | None:
        """Return the caller's address for a provider, `YMERA_<PROVIDER>_BASE_URL`."""
        return self.variable(f"YMERA_{provider.upper()}_BASE_URL")


def load_settings() -> Settings:
    """Read the settings from the environment.

    Raises:
        SettingsError: one line for every bad value.
    """
    try:
        settings = Settings()
    except ValidationError as error:
        raise SettingsError("\n".join(_explain(error))) from None
    for name, value in settings._dotenv.items():
        # LangSmith reads the environment alone.
        if name.startswith("LANGSMITH_") and value:
            os.environ.setdefault(name, value)
    return settings


def _explain(error: ValidationError) -> list[str]:
    lines = []
    for fault in error.errors():
        field = str(fault["loc"][0])
        got = "" if field in _SECRET else f" (got {_short(fault['input'])})"
        lines.append(f"{field.upper()}: {fault['msg']}{got}")
    return lines


def _short(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= LONGEST_SHOWN else f"{shown[:LONGEST_SHOWN]}…, {len(shown)} characters"
