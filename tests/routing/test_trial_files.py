"""The file of a trial: what it holds, and how its faults are named."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import strategies as st
from inline_snapshot import snapshot

from ymera.routing.catalogue import builtin_catalogue
from ymera.routing.errors import CatalogueError
from ymera.routing.trial_files import read_trial
from ymera.routing.trials import Arm, Trial

units = st.text(max_size=30)


FILE = """
name = "cheap-code"
agents = ["coding_agent"]
measure = "success"
harm = 0.05
gain = 0.02
error_rate = 0.01

[[arms]]
name = "usual"
share = 3

[[arms]]
name = "thrifty"
thrift = 1
haste = 0.5
attempts = 2
strategy = "multi_model"
model = "codestral-latest"
"""


def read(tmp_path: Path, text: str) -> Trial:
    (tmp_path / "trial.toml").write_text(text, "utf-8")
    return read_trial(tmp_path / "trial.toml", builtin_catalogue())


def test_a_file_holds_a_trial(tmp_path: Path) -> None:
    assert read(tmp_path, FILE) == Trial(
        name="cheap-code",
        agents=("coding_agent",),
        measure="success",
        harm=0.05,
        gain=0.02,
        error_rate=0.01,
        arms=(
            Arm(name="usual", share=3),
            Arm(
                name="thrifty",
                thrift=1,
                haste=0.5,
                attempts=2,
                strategy="multi_model",
                model="codestral-latest",
            ),
        ),
    )


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        pytest.param('name = "cheap-code"', "", snapshot("trial.toml: name: is missing"), id="no name"),
        pytest.param(
            "harm = 0.05",
            "harm = 1",
            snapshot("trial.toml: harm: must be less than 1 (got 1)"),
            id="a margin of everything",
        ),
        pytest.param(
            "gain = 0.02",
            "gian = 0.02",
            snapshot(
                "trial.toml: gian: is no key of this table (did you mean 'gain'?), "
                "allowed: name, agents, measure, harm, gain, error_rate, arms"
            ),
            id="a key that is none",
        ),
        pytest.param(
            '"success"',
            '"speed"',
            snapshot(
                "trial.toml: measure: is none of the allowed words (got 'speed'), allowed: 'quality' or 'success'"
            ),
            id="a measure that is none",
        ),
        pytest.param(
            "0.01",
            "0",
            snapshot("trial.toml: error_rate: must be greater than or equal to 0.000001 (got 0)"),
            id="never wrong",
        ),
        pytest.param(
            "thrift = 1",
            "thrift = 2",
            snapshot("trial.toml: arms.thrifty.thrift: must be less than or equal to 1 (got 2)"),
            id="too much thrift",
        ),
        pytest.param(
            "haste = 0.5",
            "hast = 0.5",
            snapshot(
                "trial.toml: arms.thrifty.hast: is no key of this table (did you mean 'haste'?), "
                "allowed: name, share, strategy, model, thrift, haste, attempts, rounds"
            ),
            id="a wish that is none",
        ),
        pytest.param(
            "share = 3",
            "share = 0",
            snapshot("trial.toml: arms.usual.share: must be greater than or equal to 1 (got 0)"),
            id="a share of none",
        ),
        pytest.param(
            'name = "thrifty"',
            'name = "usual"',
            snapshot("trial.toml: arms.usual: is given twice"),
            id="two arms of a name",
        ),
        pytest.param(
            'name = "thrifty"',
            "",
            snapshot("trial.toml: arms.2.name: is missing"),
            id="an arm without a name",
        ),
        pytest.param(
            '"coding_agent"',
            '"nobody"',
            snapshot(
                "trial.toml: agents: names no agent (got 'nobody'), allowed: analysis_agent, coding_agent, "
                "database_agent, documentation_agent, web_scraping_agent"
            ),
            id="an agent that is none",
        ),
        pytest.param(
            '"codestral-latest"',
            '"gpt-99"',
            snapshot(
                "trial.toml: arms.thrifty.model: names no model (got 'gpt-99'), allowed: see `ymera models`"
            ),
            id="a model that is none",
        ),
        pytest.param(
            '[[arms]]\nname = "usual"\nshare = 3',
            "",
            snapshot(
                "trial.toml: arms: holds too few (got [{'name': 'thrifty', 'thrift': 1, 'haste': 0.5, "
                "'attempts': 2, 'strategy': 'multi_model', 'model': 'codestral-latest'}]), allowed: 2 or more"
            ),
            id="one arm",
        ),
    ],
)
def test_a_fault_of_the_file_is_named_with_what_would_be_right(
    old: str, new: str, fault: str, tmp_path: Path
) -> None:
    with pytest.raises(CatalogueError) as raised:
        read(tmp_path, FILE.replace(old, new, 1))
    assert str(raised.value).replace(f"{tmp_path}/", "") == fault


def test_all_faults_come_at_once(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError) as raised:
        read(tmp_path, FILE.replace("thrift = 1", "thrift = 2").replace("share = 3", "share = 0"))
    assert len(raised.value.faults) == 2


def test_a_file_that_is_no_toml_is_named_with_the_line(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match=r"trial\.toml: not valid TOML: .*line 9"):
        read(tmp_path, FILE.replace("[[arms]]", "[arms", 1))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match=r"none\.toml: cannot be read"):
        read_trial(tmp_path / "none.toml", builtin_catalogue())
