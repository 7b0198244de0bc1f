"""What stands in deploy/, looked at without a server."""

from __future__ import annotations

import configparser
import hashlib
import importlib.util
import json
import re
from types import ModuleType
from typing import Any

import pytest
from dotenv import dotenv_values
from langgraph_sdk import Auth

from ymera.graphs.workflow import Workflow
from ymera.nodes.settings import Settings
from ymera.routing.catalogue import builtin_catalogue

from .fleet import DEPLOY, command
from .software import ROOT

ENVIRONMENT = {name: value or "" for name, value in dotenv_values(DEPLOY / "example.env").items()}
AEGRA: dict[str, Any] = json.loads((DEPLOY / "aegra.json").read_text())
KEY = "a key"
MARK = hashlib.sha256(KEY.encode()).hexdigest()


def loaded(name: str) -> ModuleType:
    """Load a file as aegra does: by its path."""
    spec = importlib.util.spec_from_file_location(f"deploy_{name}", DEPLOY / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_serves_the_graphs_that_langgraph_json_names() -> None:
    named = json.loads((ROOT / "langgraph.json").read_text())["graphs"]
    assert {name: graph["description"] for name, graph in AEGRA["graphs"].items()} == {
        name: graph["description"] for name, graph in named.items()
    }
    assert {name: graph["path"] for name, graph in AEGRA["graphs"].items()} == {
        name: f"./served.py:{name}" for name in named
    }
    module = loaded("served")
    graphs: list[Workflow] = [getattr(module, name) for name in named]
    assert len(set(map(id, graphs))) == len(named)
    assert not hasattr(module, "no_such_agent")


def test_the_leases_fit_together() -> None:
    lease, heartbeat, reaper, stuck, drain = (
        int(ENVIRONMENT[name])
        for name in (
            "LEASE_DURATION_SECONDS",
            "HEARTBEAT_INTERVAL_SECONDS",
            "REAPER_INTERVAL_SECONDS",
            "STUCK_PENDING_THRESHOLD_SECONDS",
            "WORKER_DRAIN_TIMEOUT",
        )
    )
    [idle] = re.findall(
        r"timeout = %L', current_database\(\), '(\d+)s'", (DEPLOY / "database.sql").read_text()
    )
    assert lease > 2 * heartbeat
    assert lease + reaper < 10
    assert stuck <= lease
    assert int(idle) < lease
    unit = configparser.ConfigParser(interpolation=None, delimiters=("=",), strict=False)
    unit.read(DEPLOY / "ymera@.service")
    words = command(8101)
    graceful = int(words[words.index("--timeout-graceful-shutdown") + 1])
    assert int(unit["Service"]["TimeoutStopSec"]) > graceful + drain


def test_the_example_names_only_settings_that_there_are() -> None:
    ours = {name.upper() for name in Settings.model_fields}
    keys = {
        variable for provider in builtin_catalogue().providers.values() for variable in provider.variables
    }
    assert {name for name in ENVIRONMENT if name.startswith("YMERA_")} <= ours
    assert {name for name in ENVIRONMENT if name.endswith("_API_KEY")} <= keys
    assert Settings(ymera_rates=ENVIRONMENT["YMERA_RATES"], ymera_daily_usd=ENVIRONMENT["YMERA_DAILY_USD"])  # type: ignore[arg-type]
    assert json.loads(ENVIRONMENT["SERVER_KEYS"]) == {}


@pytest.mark.parametrize(
    ("known", "key"),
    [
        pytest.param(json.dumps({"alice": MARK}), "another key", id="another key"),
        pytest.param(json.dumps({"alice": MARK}), "", id="no key"),
        pytest.param(json.dumps({"alice": hashlib.sha256(b"").hexdigest()}), "", id="the mark of no key"),
        pytest.param(json.dumps({"alice": KEY}), KEY, id="the key itself instead of its mark"),
        pytest.param(json.dumps({"alice": ""}), "", id="an empty mark"),
        pytest.param(json.dumps([MARK]), KEY, id="a list"),
        pytest.param("{", KEY, id="no JSON"),
        pytest.param("", KEY, id="empty"),
        pytest.param(None, KEY, id="unset"),
    ],
)
async def test_nobody_gets_in(monkeypatch: pytest.MonkeyPatch, known: str | None, key: str) -> None:
    if known is not None:
        monkeypatch.setenv("SERVER_KEYS", known)
    with pytest.raises(Auth.exceptions.HTTPException) as refused:
        await loaded("auth").authenticate({"x-api-key": key} if key else {})
    assert refused.value.status_code == 401


async def test_a_caller_gets_in_with_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    others = hashlib.sha256(b"another key").hexdigest()
    monkeypatch.setenv("SERVER_KEYS", json.dumps({"bob": others, "alice": MARK.upper()}))
    user = await loaded("auth").authenticate({"x-api-key": KEY})
    assert user["identity"] == "alice"
