from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ymera.nodes.gguf import Header, read_header
from ymera.routing.errors import WeightsError

from .gguf_files import BASE, CHAT, gguf


def test_the_header_tells_architecture_window_and_chat_template(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(gguf(CHAT))
    assert read_header(tmp_path / "m.gguf") == Header(
        architecture="qwen2", context_tokens=32_768, has_chat_template=True
    )


def test_a_base_model_has_no_chat_template(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(gguf(BASE))
    assert not read_header(tmp_path / "m.gguf").has_chat_template


@given(held=st.integers(min_value=0, max_value=len(gguf(CHAT)) - 33))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_file_cut_before_its_last_tensor_is_refused(tmp_path: Path, held: int) -> None:
    (tmp_path / "m.gguf").write_bytes(gguf(CHAT)[:held])
    with pytest.raises(WeightsError, match=r"m\.gguf"):
        read_header(tmp_path / "m.gguf")


@given(noise=st.binary(max_size=200))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_whatever_stands_behind_the_magic_ends_in_one_clear_error_or_a_header(
    tmp_path: Path, noise: bytes
) -> None:
    (tmp_path / "m.gguf").write_bytes(b"GGUF\x03\x00\x00\x00" + noise)
    with suppress(WeightsError):
        assert not read_header(tmp_path / "m.gguf").has_chat_template


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(b"", "cannot be read as a GGUF file", id="empty"),
        pytest.param(b"PK\x03\x04 and so on", "no GGUF file: it begins with b'PK", id="another kind"),
    ],
)
def test_another_file_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "m.gguf").write_bytes(content)
    with pytest.raises(WeightsError, match=said):
        read_header(tmp_path / "m.gguf")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="No such file"):
        read_header(tmp_path / "m.gguf")
