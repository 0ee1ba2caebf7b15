"""The notebooks as they are checked in. `make nbval` runs them; this holds what nbval lets pass."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from stand_in import StandIn

FOLDER = Path(__file__).parent.parent / "notebooks"
PATHS = sorted(FOLDER.glob("*.ipynb"))


@pytest.fixture(params=PATHS, ids=[path.name for path in PATHS])
def notebook(request: pytest.FixtureRequest) -> nbformat.NotebookNode:
    content: nbformat.NotebookNode = nbformat.read(request.param, as_version=4)
    return content


def code_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_there_are_notebooks() -> None:
    assert PATHS, f"no notebook in {FOLDER}"


def test_each_code_cell_was_run_once_from_top_to_bottom(notebook: nbformat.NotebookNode) -> None:
    # nbval compares nothing for a cell without an execution count
    counts = [cell.execution_count for cell in code_cells(notebook)]
    assert counts == list(range(1, len(counts) + 1))


def test_outputs_are_kept(notebook: nbformat.NotebookNode) -> None:
    assert any(cell.outputs for cell in code_cells(notebook))


def test_no_cell_failed_unless_it_says_so(notebook: nbformat.NotebookNode) -> None:
    failed = [
        cell.source
        for cell in code_cells(notebook)
        if any(output.output_type == "error" for output in cell.outputs)
        and "raises-exception" not in cell.metadata.get("tags", [])
    ]
    assert failed == []


def test_no_widget_state_is_saved(notebook: nbformat.NotebookNode) -> None:
    # its ids are new in each run, and it holds prompts and answers
    assert "widgets" not in notebook.metadata


@pytest.mark.parametrize("path", PATHS, ids=[path.name for path in PATHS])
def test_with_a_key_the_service_is_asked(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = nbformat.read(path, as_version=4)
    with StandIn(port=0) as service:
        monkeypatch.setenv("OPENAI_API_KEY", "a key")
        monkeypatch.setenv("OPENAI_BASE_URL", service.base_url)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        NotebookClient(
            content, timeout=120, kernel_name="python3", resources={"metadata": {"path": FOLDER}}
        ).execute()
        assert service.requests > 0
        assert "stand-in" not in {body["model"] for body in service.log}
