"""Checkpoints are data: whatever bytes stand there, nothing is executed, and the user is told in one clear error."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from ymera.nodes.settings import Settings

from .canary import TRACE
from .hostile import HOSTILE, Hostile
from .unfinished import NEWEST, REFUSED, give_up, resumed, tamper

CHANNELS = (
    "plan",
    *(pytest.param(name, marks=pytest.mark.security) for name in ("attempts", "phase_outputs")),
)
CALLS = [one for one in HOSTILE if one.id.startswith(("msgpack", "json", "pickle"))]
ROWS = f"UPDATE checkpoints SET type = ?, checkpoint = ? WHERE checkpoint_id = {NEWEST}"
WRITES = "UPDATE writes SET type = ?, value = ? WHERE channel = ?"


async def test_the_run_of_these_tests_can_be_resumed(plain: Path, settings: Settings) -> None:
    assert await resumed(settings) == ""


@pytest.mark.parametrize("hostile", HOSTILE, ids=lambda one: one.id)
async def test_a_hostile_checkpoint_is_refused_in_one_error(
    hostile: Hostile, plain: Path, settings: Settings
) -> None:
    tamper(plain, ROWS, (hostile.type, hostile.data))
    assert (await resumed(settings)).startswith(REFUSED)


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("hostile", CALLS, ids=lambda one: one.id)
async def test_a_hostile_value_of_a_channel_is_refused_or_stays_data(
    hostile: Hostile, channel: str, plain: Path, settings: Settings
) -> None:
    tamper(plain, WRITES, (hostile.type, hostile.data, channel))
    said = await resumed(settings)
    # Arguments whose call is refused stay as they stand: pairs of texts are outputs of phases that there are not.
    assert said.startswith(REFUSED) or (said == "" and channel != "plan"), said


@pytest.mark.parametrize(
    "metadata",
    ["", "{", "[]", "7", '{"lc": 2, "type": "constructor", "id": ["os", "system"], "args": ["x"]}', "\\"],
)
async def test_hostile_metadata_is_refused_or_stays_data(
    metadata: str, plain: Path, settings: Settings
) -> None:
    tamper(plain, "UPDATE checkpoints SET metadata = ?", (metadata.encode(),))
    said = await resumed(settings)
    assert said.startswith((*REFUSED, "The checkpoint file")) or said == "", said


async def test_no_setting_of_the_environment_lets_a_checkpoint_run_code(plain: Path, tmp_path: Path) -> None:
    """LangGraph reads its own switch when it is imported; here it says no, and LangGraph is imported first."""
    calling = next(one for one in HOSTILE if one.id == "msgpack: constructor of several")
    tamper(
        plain,
        "UPDATE writes SET type = ?, value = ? WHERE channel = 'phase_outputs'",
        (calling.type, calling.data),
    )
    program = (
        "import asyncio, langgraph.graph, langgraph.checkpoint.serde.jsonplus\n"
        "from tests.security.unfinished import resumed\n"
        "from ymera.nodes.settings import load_settings\n"
        "print('said:', asyncio.run(resumed(load_settings())))"
    )
    environment = os.environ | {"LANGGRAPH_STRICT_MSGPACK": "false", TRACE: str(tmp_path / "trace")}
    done = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program,
        env=environment, cwd=Path(__file__).parents[2], stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    said, _ = await done.communicate()
    assert said.startswith(b"said: The checkpoints of thread 'hostile' cannot be read")


AT_SERVER = [*CALLS[:2], *(pytest.param(one, marks=pytest.mark.security) for one in CALLS[2:])]


@pytest.mark.parametrize("hostile", AT_SERVER, ids=lambda one: one.id)
async def test_a_hostile_value_in_postgresql_is_refused_or_stays_data(
    hostile: Hostile, postgres_url: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("YMERA_DATABASE_URL", postgres_url)
    at_server = Settings()
    await give_up(at_server)
    tamper(
        postgres_url,
        "UPDATE checkpoint_writes SET type = ?, blob = ? WHERE channel IN ('plan', 'attempts')",
        (hostile.type, hostile.data),
    )
    said = await resumed(at_server, connects=True)
    assert said.startswith(REFUSED), said
