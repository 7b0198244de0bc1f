"""The store of finished results: valid for a while, bounded, and clear about a file that cannot be used."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from ymera.nodes.encryption import Cipher
from ymera.nodes.ledger import ResultCache
from ymera.routing.errors import InputError


def cache(path: Path, *, ttl: float = 3600, size: int = 10) -> ResultCache:
    return ResultCache(path / "results.sqlite", ttl=ttl, size=size)


def age(path: Path, key: str, seconds: float) -> None:
    """Make a stored result older."""
    with sqlite3.connect(path / "results.sqlite") as db:
        db.execute("UPDATE results SET stored_at = stored_at - ? WHERE key = ?", (seconds, key))
    db.close()


def keys(path: Path) -> list[str]:
    with sqlite3.connect(path / "results.sqlite") as db:
        found = [row[0] for row in db.execute("SELECT key FROM results ORDER BY key")]
    db.close()
    return found


async def test_what_is_put_is_got_back_and_a_later_result_takes_its_place(tmp_path: Path) -> None:
    store = cache(tmp_path / "a" / "new" / "folder")
    await store.put("one", "first ü 🙂")
    assert await store.get("one") == "first ü 🙂"
    await store.put("one", "second")
    assert await store.get("one") == "second"
    assert await store.get("two") is None


async def test_looking_into_a_store_that_is_not_there_makes_no_file(tmp_path: Path) -> None:
    assert await cache(tmp_path / "none").get("one") is None
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(("seconds", "found"), [(0, "kept"), (3_500, "kept"), (3_700, None)])
async def test_a_result_is_valid_for_its_time_to_live(
    tmp_path: Path, seconds: float, found: str | None
) -> None:
    await cache(tmp_path).put("one", "kept")
    age(tmp_path, "one", seconds)
    assert await cache(tmp_path).get("one") == found


async def test_what_is_too_old_is_removed_when_something_is_put(tmp_path: Path) -> None:
    store = cache(tmp_path)
    await store.put("old", "x")
    age(tmp_path, "old", 3_700)
    await store.put("new", "x")
    assert keys(tmp_path) == ["new"]


async def test_without_a_time_to_live_nothing_is_kept(tmp_path: Path) -> None:
    store = cache(tmp_path, ttl=0)
    await store.put("one", "x")
    assert await store.get("one") is None
    assert list(tmp_path.iterdir()) == []


async def test_a_full_store_lets_the_oldest_go_first(tmp_path: Path) -> None:
    store = cache(tmp_path, size=3)
    for name in "abcde":
        await store.put(name, name)
    assert keys(tmp_path) == ["c", "d", "e"]
    await store.put("c", "again")
    await store.put("f", "f")
    assert keys(tmp_path) == ["c", "e", "f"]


async def test_many_writers_at_once_lose_nothing(tmp_path: Path) -> None:
    stores = [cache(tmp_path, size=100) for _ in range(4)]
    await asyncio.gather(
        *(store.put(f"{i}-{j}", "x" * 1000) for i, store in enumerate(stores) for j in range(5))
    )
    assert len(keys(tmp_path)) == 20
    assert await stores[0].get("3-4") == "x" * 1000


def spoil(path: Path) -> None:
    (path / "results.sqlite").write_bytes(b"This is no database at all." * 100)


def be_a_folder(path: Path) -> None:
    (path / "results.sqlite").mkdir()


def other_columns(path: Path) -> None:
    with sqlite3.connect(path / "results.sqlite") as db:
        db.execute("CREATE TABLE results (key TEXT, stored_at REAL)")
    db.close()


@pytest.mark.parametrize("damage", [spoil, be_a_folder, other_columns])
async def test_a_file_that_cannot_be_used_is_one_clear_message(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    damage(tmp_path)
    with pytest.raises(InputError, match=r"results\.sqlite.*cannot be used: .*YMERA_CACHE_TTL=0"):
        await cache(tmp_path).get("one")
    with pytest.raises(InputError, match=r"results\.sqlite.*cannot be used: .*YMERA_CACHE_TTL=0"):
        await cache(tmp_path).put("one", "x")


async def test_a_folder_that_is_a_file_is_one_clear_message(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    with pytest.raises(InputError, match="cannot be used"):
        await cache(tmp_path / "data").put("one", "x")


async def test_a_key_or_result_is_data_and_no_sql(tmp_path: Path) -> None:
    store = cache(tmp_path)
    await store.put("'; DROP TABLE results; --", "it's")
    assert await store.get("'; DROP TABLE results; --") == "it's"


def sealed(path: Path) -> ResultCache:
    return ResultCache(path / "results.sqlite", ttl=3600, size=10, cipher=Cipher(b"0123456789abcdef"))


async def test_with_a_cipher_neither_a_key_nor_a_result_stands_readable(tmp_path: Path) -> None:
    await sealed(tmp_path).put("the key", "the result ü 🙂")
    assert await sealed(tmp_path).get("the key") == "the result ü 🙂"
    held = b"".join(each.read_bytes() for each in tmp_path.iterdir())
    assert b"results" in held
    assert not any(text in held for text in (b"the key", b"the result"))


@pytest.mark.parametrize("planted", ["the result", "aes:the result", "aes:" + "QUFB" * 20, "", "aes:ü"])
async def test_with_a_cipher_a_result_that_it_did_not_write_is_refused(tmp_path: Path, planted: str) -> None:
    await sealed(tmp_path).put("one", "x")
    with sqlite3.connect(tmp_path / "results.sqlite") as db:
        db.execute("UPDATE results SET result = ?", (planted,))
    db.close()
    with pytest.raises(
        InputError, match=r"results\.sqlite.*cannot be used: a result in it is .*YMERA_CACHE_TTL=0"
    ):
        await sealed(tmp_path).get("one")


async def test_what_was_stored_without_a_cipher_is_not_found_with_one(tmp_path: Path) -> None:
    await cache(tmp_path).put("one", "plain")
    assert await sealed(tmp_path).get("one") is None
