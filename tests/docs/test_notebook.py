"""The quickstart runs from top to bottom on the embedded models, and is kept without outputs."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from tests.docs.commands import ROOT

NOTEBOOK = ROOT / "notebooks" / "quickstart.ipynb"
SECONDS_A_CELL = 600


def read() -> Any:  # a tree of dicts whose keys are attributes too
    return nbformat.reads(NOTEBOOK.read_text("utf-8"), as_version=4)  # type: ignore[no-untyped-call]


def code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_the_notebook_is_kept_without_outputs() -> None:
    nbformat.validate(read())
    for cell in code_cells(read()):
        assert (cell.outputs, cell.execution_count) == ([], None)
        compile(cell.source, cell.id, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


def test_the_links_of_the_notebook_lead_somewhere() -> None:
    texts = [cell.source for cell in read().cells if cell.cell_type == "markdown"]
    links = [link for text in texts for link in re.findall(r"\]\(([^)]+)\)", text)]
    assert links
    assert all((NOTEBOOK.parent / link).exists() for link in links)


@pytest.mark.embedded
@pytest.mark.timeout(1800)
def test_the_notebook_runs_from_top_to_bottom(tmp_path: Path) -> None:
    notebook = read()
    client = NotebookClient(
        notebook,
        timeout=SECONDS_A_CELL,
        kernel_name="python3",
        resources={"metadata": {"path": str(tmp_path)}},
    )
    client.execute()
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    kinds = [kind for output in outputs for kind in output.get("data", {})]
    assert kinds.count("image/png") == 2
    assert kinds.count("text/markdown") == 2
    assert not [output for output in outputs if output.output_type == "error"]
