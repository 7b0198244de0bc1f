"""The documents say what the code does: generated parts, settings, commands, phases, links."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer.main
from cogapp import Cog

from docs import generate
from docs.blocks import blocks_of
from tests.docs.commands import ROOT
from ymera import exits
from ymera.cli import app
from ymera.nodes.settings import Settings
from ymera.routing.catalogue import builtin_catalogue
from ymera.routing.faults import TABLE

README = ROOT / "README.md"
PAGES = [README, ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
CATALOGUE = builtin_catalogue()
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(#[^)\s]*)?\)")

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def text_of(*names: str) -> str:
    return "\n".join((ROOT / name).read_text("utf-8") for name in names)


def test_the_generated_parts_are_what_the_code_generates(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["cog", "--check", "--diff", "-I", str(ROOT), *map(str, PAGES)]
    assert Cog().main(command) == 0, f"run `poe docs`:\n{capsys.readouterr().out}"


@each_page
def test_every_link_leads_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    for file, anchor in LINK.findall(text):
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), f"{page.name} leads to {file}"
        if anchor and target.suffix == ".md":
            assert anchor[1:] in anchors(target), f"{page.name} leads to {file}{anchor}"


def anchors(page: Path) -> set[str]:
    """Return the anchors that a page's headings have on GitHub."""
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def test_every_page_is_reached_from_the_readme() -> None:
    linked = {file for file, _ in LINK.findall(text_of("README.md"))}
    assert {f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")} <= linked


def test_the_readme_and_the_settings_page_hold_every_setting() -> None:
    for page in ("README.md", "docs/settings.md"):
        for name in Settings.model_fields:
            assert f"| `{name.upper()}` |" in text_of(page), f"{page} lacks {name.upper()}"


def test_no_page_names_a_setting_that_there_is_not() -> None:
    known = {name.upper() for name in Settings.model_fields} | {"YMERA_HOUSE_BASE_URL"}
    known |= {f"YMERA_{name.upper()}_BASE_URL" for name in CATALOGUE.providers}
    for page in PAGES:
        found = set(re.findall(r"\bYMERA_[A-Z_]+\b(?!<)", page.read_text("utf-8")))
        assert found <= known, f"{page.name}: {found - known}"


def test_the_command_page_holds_every_command() -> None:
    said = text_of("docs/cli.md")
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]  # a group, to typer a command
    for name, command in commands.items():
        assert f"$ ymera {name} --help" in said
        for below in getattr(command, "commands", {}):
            assert f"$ ymera {name} {below} --help" in said


@each_page
def test_no_page_names_a_command_that_there_is_not(page: Path) -> None:
    commands = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    said = set(re.findall(r"`ymera ([a-z]\S*?)[ `]", page.read_text("utf-8")))
    assert said <= commands, said - commands


def test_every_phase_agent_and_fault_is_described() -> None:
    catalogue, failures = text_of("docs/catalogue.md"), text_of("docs/failures.md")
    for name in (*CATALOGUE.phases, *CATALOGUE.agents):
        assert f"| `{name}` |" in catalogue
    for kind in TABLE.kinds:
        assert f"| `{kind}` |" in failures
    critical = {name for name, phase in CATALOGUE.phases.items() if phase.critical}
    assert critical == {"planning", "generation"}, "docs/failures.md and the README name the critical phases"


@pytest.mark.parametrize("page", ["README.md", "docs/cli.md"])
def test_the_exit_codes_are_those_of_the_code(page: str) -> None:
    section = text_of(page).partition("## Exit codes")[2].partition("\n## ")[0]
    codes = {int(code) for code in re.findall(r"^\| (\d+) \|", section, re.MULTILINE)}
    assert codes == {
        exits.SUCCESS,
        exits.FAILED,
        exits.BAD_INPUT,
        exits.NO_MODEL,
        exits.OUT_OF_BUDGET,
        exits.INTERRUPTED,
    }


def test_the_drawing_is_the_one_that_the_command_prints(own_logging: None) -> None:
    from typer.testing import CliRunner

    told = CliRunner().invoke(app, ["graph", "--agent", "coding_agent"], prog_name="ymera")
    drawing = next(block for block in blocks_of(README) if block.language == "mermaid")
    assert told.stdout.strip() == drawing.text.strip() == generate.drawing("coding_agent").strip()


def test_the_readme_names_the_one_place_of_each_addition() -> None:
    section = text_of("README.md").partition("## To add …")[2].partition("\n## ")[0]
    for path in re.findall(r"`((?:routing|nodes|graphs)/[\w/<>.]+|langgraph\.json)`", section):
        folder, _, name = path.rpartition("/")
        pattern = re.sub(r"<\w+>", "*", name)
        assert list((ROOT / folder).glob(pattern)), path
