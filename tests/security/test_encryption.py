"""With LANGGRAPH_AES_KEY nothing of a run can be read without it, and nothing that it did not write is taken."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.scripted import Script, scripted_services
from ymera.executor import MultiModelExecutor
from ymera.graphs.serializer import StrictSerializer
from ymera.nodes.encryption import Cipher
from ymera.nodes.settings import Settings, load_settings
from ymera.routing.errors import InputError

from .conftest import KEY
from .hostile import HOSTILE, Hostile
from .unfinished import ANSWER, NEWEST, REFUSED, TASK, resumed, tamper

CHANGES = {
    "the first bit": "substr(zeroblob(0) || {v}, 1, 0) || char(0) || substr({v}, 2)",
    "cut to nothing": "x''",
    "cut to its nonce": "substr({v}, 1, 16)",
    "cut to nonce and tag": "substr({v}, 1, 32)",
    "cut by a byte": "substr({v}, 1, length({v}) - 1)",
    "longer by a byte": "{v} || x'00'",
    "twice": "{v} || {v}",
    "halves exchanged": "substr({v}, length({v}) / 2) || substr({v}, 1, length({v}) / 2)",
}


async def test_an_encrypted_run_is_resumed_with_its_key(sealed: Path, with_key: Settings) -> None:
    assert await resumed(with_key) == ""


def test_task_parameters_and_answers_stand_nowhere_in_the_file(sealed: Path) -> None:
    data = sealed.read_bytes()
    assert [text for text in (TASK, ANSWER, "the old one", "harbourmaster") if text.encode() in data] == []


@pytest.mark.parametrize("table", ["checkpoints", "writes"])
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
async def test_what_was_changed_is_refused(change: str, table: str, sealed: Path, with_key: Settings) -> None:
    column = {"checkpoints": "checkpoint", "writes": "value"}[table]
    tamper(sealed, f"UPDATE {table} SET {column} = CAST({change.format(v=column)} AS BLOB)")
    assert (await resumed(with_key)).startswith(REFUSED)


@pytest.mark.parametrize("bit", range(0, 256, 8))
async def test_a_flipped_bit_is_refused(bit: int) -> None:
    serializer = StrictSerializer(Cipher(KEY.encode()))
    kind, data = serializer.dumps_typed({"a": "b"})
    at = bit * len(data) // 256
    flipped = data[:at] + bytes([data[at] ^ 1 << bit % 8]) + data[at + 1 :]
    with pytest.raises(InputError, match="changed since"):
        serializer.loads_typed((kind, flipped))


@pytest.mark.parametrize(
    "kind", ["msgpack", "json", "pickle", "null", "bytes", "msgpack+none", "+aes", "pickle+aes"]
)
async def test_a_plain_row_is_refused_where_a_key_is_set(kind: str, sealed: Path, with_key: Settings) -> None:
    tamper(sealed, f"UPDATE checkpoints SET type = ? WHERE checkpoint_id = {NEWEST}", (kind,))
    assert (await resumed(with_key)).startswith(REFUSED)


SOME = [*HOSTILE[:2], *(pytest.param(one, marks=pytest.mark.security) for one in HOSTILE[2:])]


@pytest.mark.parametrize("hostile", SOME, ids=lambda one: one.id)
async def test_hostile_bytes_are_refused_where_a_key_is_set(
    hostile: Hostile, sealed: Path, with_key: Settings
) -> None:
    tamper(
        sealed, "UPDATE writes SET type = ?, value = ? WHERE channel = 'plan'", (hostile.type, hostile.data)
    )
    assert (await resumed(with_key)).startswith(REFUSED)


@pytest.mark.parametrize("hostile", SOME, ids=lambda one: one.id)
async def test_hostile_bytes_that_were_encrypted_with_the_key_run_nothing_either(
    hostile: Hostile, sealed: Path, with_key: Settings
) -> None:
    _, data = Cipher(KEY.encode()).encrypt(hostile.data)
    tamper(
        sealed, "UPDATE writes SET type = ?, value = ? WHERE channel = 'plan'", (f"{hostile.type}+aes", data)
    )
    assert (await resumed(with_key)).startswith(REFUSED)


@pytest.mark.parametrize("key", ["", "f" * 16, "f" * 24, "f" * 32, KEY[:16], KEY.upper()])
async def test_another_key_or_none_is_told_so(
    key: str, sealed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LANGGRAPH_AES_KEY", key)
    said = await resumed(load_settings())
    assert said.startswith(REFUSED)
    assert "LANGGRAPH_AES_KEY" in said


async def test_a_stored_result_that_is_plain_is_refused_where_a_key_is_set(
    with_key: Settings, settings: Settings
) -> None:
    asked = ("coding_agent", TASK)
    executor = MultiModelExecutor(services=scripted_services(Script(), with_key))
    assert (await executor.execute_with_multi_model(*asked)).success
    file = with_key.ymera_data_dir / "results.sqlite"
    assert b"harbourmaster" not in file.read_bytes()
    tamper(file, "UPDATE results SET result = ?", ['{"strategy_type": "x"}'])
    with pytest.raises(InputError, match=r"The store of results .* cannot be used"):
        await executor.execute_with_multi_model(*asked)
