"""The commands without a run: lists and plans, documents, messages for bad input, what is imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from ymera.cli import app
from ymera.inputs import read_names, read_parameters
from ymera.routing.errors import InputError

pytestmark = pytest.mark.usefixtures("own_logging", "no_models_at_home")
PYTHON = Path(sys.executable)
TYPO = """
[[models]]
name = "mine"
provider = "groq"
context_token = 5
scores = { speed = 40 }
[[agents]]
agent_name = "helper"
"""


def ymera(*arguments: str, stdin: str | bytes | None = None) -> Result:
    return CliRunner().invoke(app, list(arguments), prog_name="ymera", input=stdin)


def document(*arguments: str) -> Any:
    result = ymera(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


# --- bad input -------------------------------------------------------------------------------------------

BAD_INPUT: dict[str, tuple[list[str], list[str]]] = {
    "an unknown agent, strictly": (["--agent", "cook", "--strict"], ["'cook'", "coding_agent"]),
    "an unknown phase": (["--phases", "planing"], ["'planing'", "planning, research"]),
    "no phase": (["--phases", ","], ["No phase", "generation"]),
    "phases without generation": (["--phases", "planning,review"], ["planning, review", "Add generation"]),
    "parameters that are not JSON": (["--params", "{a"], ["not JSON", "'{a'", '{"language": "python"}']),
    "parameters that are no object": (["--params", "[1]"], ["not a JSON object", "[1]"]),
    "a parameter that is no number of JSON": (["--params", '{"a": NaN}'], ["NaN"]),
    "parameters in a file that is not there": (["--params", "@gone.json"], ["gone.json", "JSON file"]),
    "a parameter without a value": (["--param", "language"], ["'language'", "NAME=VALUE"]),
    "an unknown model": (["--model", "gpt-0"], ["'gpt-0'", "ymera models"]),
    "an unknown provider": (["--provider", "grok"], ["'grok'", "groq"]),
    "a catalogue file that is not there": (["--catalogue", "gone.toml"], ["gone.toml", "cannot be read"]),
}


@pytest.mark.parametrize("command", ["run", "match"])
@pytest.mark.parametrize(("options", "words"), BAD_INPUT.values(), ids=BAD_INPUT)
def test_bad_input_gets_one_message_with_the_mend_and_exit_code_2(
    command: str, options: list[str], words: list[str]
) -> None:
    result = ymera(command, "Write a poem", *options)
    assert result.exit_code == 2
    assert all(word in result.stderr for word in words), result.stderr
    assert result.stdout == ""
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("command", ["run", "match"])
@pytest.mark.parametrize("task", ["", "  \n"], ids=["nothing", "blanks"])
def test_an_empty_task_is_refused(command: str, task: str) -> None:
    result = ymera(command, "-", stdin=task)
    assert (result.exit_code, result.stderr) == (2, "The task is empty. Say what is to be done.\n")


def test_a_task_that_is_not_utf_8_is_refused() -> None:
    result = ymera("match", "-", stdin=b"caf\xe9")
    assert result.exit_code == 2
    assert "not UTF-8" in result.stderr


def test_a_task_longer_than_any_window_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROQ_API_KEY", "a-key")
    result = ymera("run", "-", stdin="word " * 300_000)
    assert result.exit_code == 2
    assert "The task is too long" in result.stderr
    assert "Shorten" in result.stderr


def test_all_faults_of_a_catalogue_file_are_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(TYPO)
    result = ymera("run", "x", "--catalogue", "mine.toml")
    assert result.exit_code == 2
    for told in ("scores.speed", "did you mean 'context_tokens'?", "agents.helper.phases_needed: is missing"):
        assert told in result.stderr
    assert all(line.startswith("mine.toml: ") for line in result.stderr.splitlines())


def test_all_bad_settings_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHASE_TIMEOUT", "soon")
    monkeypatch.setenv("MAX_PARALLEL_PHASES", "0")
    result = ymera("run", "x")
    assert result.exit_code == 2
    assert "PHASE_TIMEOUT" in result.stderr
    assert "MAX_PARALLEL_PHASES" in result.stderr


@pytest.mark.parametrize("command", ["run", "match"])
def test_a_model_demanded_without_its_key_ends_with_3_and_names_the_key(command: str) -> None:
    result = ymera(command, "x", "--model", "gemini-2.5-pro")
    assert result.exit_code == 3
    assert "GOOGLE_API_KEY" in result.stderr


def test_without_any_usable_model_a_run_ends_with_3_and_says_what_to_set() -> None:
    result = ymera("run", "x")
    assert result.exit_code == 3
    for told in ("No usable model for planning", "GROQ_API_KEY is not set", "pip install 'ymera[local]'"):
        assert told in result.stderr


def test_without_any_usable_model_the_plan_is_shown_and_the_code_is_3() -> None:
    result = ymera("match", "x", "--json")
    assert result.exit_code == 3
    phases = json.loads(result.stdout)["phases"]
    assert phases[0]["primary_model"] is None
    assert {r["provider"]: r["reason"] for r in phases[0]["rejected"]}[
        "openai"
    ] == "OPENAI_API_KEY is not set"


def test_weights_cut_short_are_named_and_the_code_is_3(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for row in document("models", "list"):
        Path(tmp_path, Path(row["path"]).name).write_bytes(b"GGUF")
    monkeypatch.setenv("YMERA_LOCAL_DIR", str(tmp_path))
    for arguments in (["run", "x"], ["models", "verify"]):
        result = ymera(*arguments)
        assert result.exit_code == 3
        assert "is cut short: it holds 4 bytes" in result.stderr
        assert "unset YMERA_LOCAL_DIR" in result.stderr


@pytest.mark.parametrize("made", [b"no database at all" * 100, b"SQLite format 3\x00"], ids=["text", "cut"])
@pytest.mark.parametrize("arguments", [["run", "x"], ["resume", "some-thread"]], ids=["run", "resume"])
def test_a_corrupt_checkpoint_file_is_named_with_the_mend(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, made: bytes, arguments: list[str]
) -> None:
    monkeypatch.setenv("GROQ_API_KEY", "a-key")
    monkeypatch.setenv("YMERA_CHECKPOINTS", str(tmp_path / "broken.sqlite"))
    (tmp_path / "broken.sqlite").write_bytes(made)
    result = ymera(*arguments)
    assert result.exit_code == 2
    assert "broken.sqlite" in result.stderr
    assert "YMERA_CHECKPOINTS" in result.stderr


def test_a_thread_that_is_not_there_cannot_be_resumed() -> None:
    result = ymera("resume", "nobodys")
    assert result.exit_code == 2
    assert "No run to resume on thread 'nobodys'" in result.stderr


def test_an_answer_that_could_not_be_written_is_found_before_the_run() -> None:
    result = ymera("run", "x", "--output", "gone/answer.md")
    assert result.exit_code == 2
    assert "gone/answer.md" in result.stderr


USAGE = {
    "no task": ["run"],
    "no such command": ["runn", "x"],
    "no such option": ["run", "x", "--agnet", "y"],
    "a temperature too high": ["run", "x", "--temperature", "9"],
    "a timeout of nothing": ["run", "x", "--timeout", "0"],
    "no attempts": ["match", "x", "--attempts", "0"],
    "an unknown strategy": ["match", "x", "--strategy", "both"],
    "an empty thread": ["run", "x", "--thread", " "],
}


@pytest.mark.parametrize("arguments", USAGE.values(), ids=USAGE)
def test_wrong_usage_is_bad_input(arguments: list[str]) -> None:
    result = ymera(*arguments)
    assert result.exit_code == 2
    assert "Usage: ymera" in result.stderr


def test_with_json_a_failure_is_a_document_too() -> None:
    result = ymera("match", "x", "--phases", "cooking", "--json")
    assert json.loads(result.stdout) == {
        "success": False,
        "error": result.stderr.removesuffix("\n"),
        "exit_code": 2,
    }


# --- parameters ------------------------------------------------------------------------------------------

VALUES = {
    "a word": ("python", "python"),
    "a number": ("3", 3),
    "a fraction": ("0.5", 0.5),
    "a boolean": ("true", True),
    "null": ("null", None),
    "a list": ("[1, 2]", [1, 2]),
    "an object": ('{"a": 1}', {"a": 1}),
    "a JSON string stays as typed": ('"3"', '"3"'),
    "a word that Python's reader takes for a number": ("NaN", "NaN"),
    "a number too large for JSON": ("1e999", "1e999"),
    "nothing": ("", ""),
    "signs of equality": ("a=b", "a=b"),
    "open brackets": ("[" * 100_000, "[" * 100_000),
}


@pytest.mark.parametrize(("typed", "value"), VALUES.values(), ids=VALUES)
def test_a_parameter_is_json_or_else_a_string(typed: str, value: object) -> None:
    assert read_parameters(None, [f"name={typed}"]) == {"name": value}


def test_single_parameters_go_over_those_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text('{"a": 1, "b": 2}')
    assert read_parameters(f"@{tmp_path / 'p.json'}", ["b=3"]) == {"a": 1, "b": 3}


def test_a_parameter_needs_a_name() -> None:
    with pytest.raises(InputError, match="NAME=VALUE"):
        read_parameters(None, ["=python"])


@pytest.mark.parametrize(
    ("typed", "names"),
    [(None, None), ("", []), ("planning", ["planning"]), (" a , b,", ["a", "b"])],
    ids=["none", "empty", "one", "two with blanks"],
)
def test_names_are_parted_by_commas(typed: str | None, names: list[str] | None) -> None:
    assert read_names(typed) == names


# --- documents -------------------------------------------------------------------------------------------


def test_match_tells_models_reasons_and_reading_of_every_phase(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROQ_API_KEY", "a-key")
    plan = document("match", "Create a complex service", "--agent", "coding_agent", "--param", "language=go")
    assert plan["agent_name"] == "coding_agent"
    assert plan["strategy_type"] == "multi_model"
    assert plan["reading"]["complexity"] == "high"
    assert plan["reading"]["evidence"]
    assert [phase["phase"] for phase in plan["phases"]] == ["planning", "generation", "review", "refinement"]
    for phase in plan["phases"]:
        assert phase["primary_model"]["provider"] == "groq"
        assert phase["reason"]
        assert all(model["model"] for model in phase["fallback_models"])
        assert all(model["reason"] for model in phase["rejected"])


def test_match_follows_the_wishes_of_its_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROQ_API_KEY", "a-key")
    monkeypatch.setenv("MISTRAL_API_KEY", "a-key")
    options = [
        "--strategy",
        "single_model",
        "--provider",
        "mistral",
        "--attempts",
        "2",
        "--phases",
        "generation",
    ]
    plan = document("match", "Write a function", *options)
    assert plan["strategy_type"] == "single_model"
    (phase,) = plan["phases"]
    assert phase["primary_model"]["provider"] == "mistral"
    assert len(phase["fallback_models"]) == 1


def test_match_for_people_shows_reasons_fallbacks_and_why_others_are_not_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GROQ_API_KEY", "a-key")
    result = ymera("match", "Create a complex service", "--agent", "cook")
    assert result.exit_code == 0
    for told in ("multi_model for cook", "complexity high", "fallbacks: groq:", "OPENAI_API_KEY is not set"):
        assert told in result.stdout
    assert "warning: No profile for agent 'cook'" in result.stderr
    assert len(ymera("match", "Create a complex service", "-v").stdout) > len(result.stdout)


def test_models_tell_what_unlocks_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROQ_API_KEY", "a-key")
    models = {(model["provider"], model["model"]): model for model in document("models")}
    usable = models["groq", "openai/gpt-oss-120b"]
    assert usable["available"] is True
    assert usable["unlocked_by"] == "GROQ_API_KEY"
    assert set(usable["usd_per_mtok"]) == {"input", "output"}
    retired = models["groq", "llama-3.3-70b-versatile"]
    assert (retired["status"], retired["available"]) == ("retired", False)
    assert retired["successor"] == "openai/gpt-oss-120b"
    assert retired["retires_on"] == "2026-08-16"
    azure = models["azure", "gpt-4o"]
    assert azure["unlocked_by"] == "AZURE_OPENAI_API_KEY and AZURE_OPENAI_ENDPOINT"
    assert azure["unavailable_because"]


def test_models_and_agents_of_a_file_of_ones_own_are_listed(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(
        '[[agents]]\nagent_name = "helper"\ntask_type = "help"\n'
        'preferred_models = ["codestral"]\nphases_needed = ["generation"]\n'
    )
    agents = {agent["agent_name"]: agent for agent in document("agents", "--catalogue", "mine.toml")}
    assert agents["helper"]["phases"] == ["generation"]
    assert "helper" in ymera("agents", "--catalogue", "mine.toml").stdout
    assert "helper" not in ymera("agents").stdout


def test_weights_are_listed_and_removed(tmp_path: Path) -> None:
    rows = document("models", "list")
    assert {row["state"] for row in rows} == {"absent"}
    file = Path(rows[0]["path"])
    file.parent.mkdir(parents=True)
    file.write_bytes(b"GGUF")
    assert document("models", "list")[0]["state"] == "corrupt"
    assert document("models", "remove", rows[0]["model"]) == {"removed": [str(file)]}
    assert not file.exists()
    assert ymera("models", "pull", "gpt-0").exit_code == 2


def test_the_graph_is_drawn_with_the_phases_asked_for() -> None:
    drawn = document("graph", "--agent", "coding_agent", "--phases", "planning,generation")
    assert drawn["phases"] == ["planning", "generation"]
    assert "planning -. &nbsp;retry or fallback&nbsp; .-> planning" in drawn["mermaid"]
    assert "review" not in drawn["mermaid"]
    assert "review" in ymera("graph").stdout
    assert ymera("graph", "--agent", "cook").exit_code == 2


def test_doctor_names_keys_and_never_shows_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROQ_API_KEY", "gsk-a-secret")
    result = ymera("doctor", "--json")
    found = {(f["area"], f["name"]): f for f in json.loads(result.stdout)["findings"]}
    assert result.exit_code == 0
    assert found["providers", "groq"]["ok"] is True
    assert "GROQ_API_KEY is set" in found["providers", "groq"]["detail"]
    assert "OPENAI_API_KEY is not set" in found["providers", "openai"]["detail"]
    assert found["files", "checkpoints"]["ok"] is True
    assert found["tracing", "LangSmith"]["detail"] == "off"
    assert "gsk-a-secret" not in result.output


def test_doctor_ends_with_1_and_tells_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "no model can be called" in ymera("doctor").stdout
    assert ymera("doctor").exit_code == 1
    monkeypatch.setenv("PHASE_TIMEOUT", "soon")
    result = ymera("doctor")
    assert result.exit_code == 1
    assert "PHASE_TIMEOUT" in result.stdout


# --- the program -----------------------------------------------------------------------------------------


def modules_of(*arguments: str) -> set[str]:
    """Return the modules that a command has imported when it ends, in a process of its own."""
    script = "import sys, ymera.cli\ntry:\n    ymera.cli.main()\nfinally:\n    print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([PYTHON, "-c", script, *arguments], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    return set(done.stderr.splitlines()[-1].split())


def loaded_by(*arguments: str) -> set[str]:
    """Return the top-level packages that a command has imported when it ends."""
    return {name.partition(".")[0] for name in modules_of(*arguments)}


def test_help_imports_nothing_that_is_slow() -> None:
    assert not loaded_by("--help") & {"langgraph", "langchain_core", "pydantic", "rich", "asyncio"}


@pytest.mark.parametrize("arguments", [["match", "x"], ["models"], ["agents"], ["doctor"]], ids=" ".join)
def test_lists_and_plans_import_neither_langgraph_nor_langchain(arguments: list[str]) -> None:
    assert not loaded_by(*arguments) & {"langgraph", "langchain_core", "openai"}


def test_a_plan_does_not_load_the_server_of_embedded_models() -> None:
    """Whether one could run is told by its files."""
    loaded = modules_of("match", "x")
    assert "ymera.nodes.matching" in loaded
    assert "ymera.nodes.embedded" not in loaded


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["match", "--help"], ["threads", "--help"], ["threads", "clean", "--help"], ["macth"]],
    ids=" ".join,
)
def test_the_program_says_what_the_app_with_all_its_commands_does(arguments: list[str]) -> None:
    """It makes ready none but the command that is asked for."""
    scripts = ["from ymera.cli import main; main()", "from ymera.cli import app; app(prog_name='ymera')"]
    one, other = [
        subprocess.run([PYTHON, "-c", script, *arguments], capture_output=True, text=True, check=False)
        for script in scripts
    ]
    assert one.stdout + one.stderr
    assert (one.stdout, one.stderr, one.returncode) == (other.stdout, other.stderr, other.returncode)


def test_the_version_is_that_of_the_package() -> None:
    assert ymera("--version").stdout.startswith("ymera ")


def test_a_closed_pipe_ends_a_command_quietly() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as pipe:
        done = subprocess.run(
            [PYTHON, "-c", "from ymera.cli import main; main()", "agents", "--json"],
            stdout=pipe,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr) == (141, "")
