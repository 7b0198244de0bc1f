"""Settings: what is read from where, and what a bad value says."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ymera.nodes.settings import SettingsError, load_settings


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("ENABLE_MULTI_MODEL", "perhaps", "boolean"),
        ("DEFAULT_STRATEGY", "best", "'auto', 'multi_model' or 'single_model'"),
        ("MAX_PARALLEL_PHASES", "0", "greater than or equal to 1"),
        ("PHASE_TIMEOUT", "-3", "greater than 0"),
        ("YMERA_CACHE_TTL", "soon", "number"),
        ("YMERA_LOCAL_MODELS", '["/a.gguf"]', "paths by name"),
    ],
)
def test_a_bad_value_is_one_line_that_names_the_variable_and_what_is_allowed(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"{name}: ")
    assert words in line
    assert "got" in line


def test_two_bad_values_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHASE_TIMEOUT", "x")
    monkeypatch.setenv("MAX_PARALLEL_PHASES", "y")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert [line.partition(":")[0] for line in str(caught.value).splitlines()] == [
        "MAX_PARALLEL_PHASES",
        "PHASE_TIMEOUT",
    ]


@pytest.fixture
def dotenv(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / ".env"


def test_keys_and_settings_of_a_dotenv_file_count_and_the_environment_wins(
    monkeypatch: pytest.MonkeyPatch, dotenv: Path
) -> None:
    dotenv.write_text("GROQ_API_KEY=from-file\nMISTRAL_API_KEY=from-file\nPHASE_TIMEOUT=7\nOPENAI_API_KEY=\n")
    monkeypatch.setenv("MISTRAL_API_KEY", "from-environment")
    settings = load_settings()
    assert settings.variable("GROQ_API_KEY") == "from-file"
    assert settings.variable("MISTRAL_API_KEY") == "from-environment"
    assert settings.variable("OPENAI_API_KEY") is None
    assert settings.phase_timeout == 7


def test_tracing_set_in_a_dotenv_file_reaches_langsmith(
    monkeypatch: pytest.MonkeyPatch, dotenv: Path
) -> None:
    dotenv.write_text("LANGSMITH_PROJECT=from-file\nLANGSMITH_TRACING=true\n")
    monkeypatch.setattr(os, "environ", {**os.environ})
    load_settings()
    assert os.environ["LANGSMITH_PROJECT"] == "from-file"
    assert os.environ["LANGSMITH_TRACING"] == "false"


def test_no_key_is_shown_when_settings_are_printed(monkeypatch: pytest.MonkeyPatch, dotenv: Path) -> None:
    dotenv.write_text("GROQ_API_KEY=canary-0123456789\n")
    monkeypatch.setenv("OPENAI_API_KEY", "canary-0123456789")
    assert "canary" not in repr(load_settings())


def test_a_base_url_is_read_for_each_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YMERA_GROQ_BASE_URL", "http://127.0.0.1:9")
    settings = load_settings()
    assert (settings.base_url("groq"), settings.base_url("openai")) == ("http://127.0.0.1:9", None)
