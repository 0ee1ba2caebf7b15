"""JupyterLab starts, opens a notebook and runs it: what every other browser test stands on."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import expect

from tests.ui.notebook_page import NotebookPage


def test_a_cell_shows_what_it_prints(open_cells: Callable[..., NotebookPage]) -> None:
    notebook = open_cells("word = 'ready'", "print(word, 6 * 7)")

    notebook.run_all()

    expect(notebook.output(1)).to_have_text("ready 42")
    expect(notebook.output(0)).to_have_count(0)
    assert notebook.screenshot("smoke").stat().st_size > 0


def test_one_cell_runs_alone(open_cells: Callable[..., NotebookPage]) -> None:
    notebook = open_cells("1 / 0", "import os; os.getcwd()")

    notebook.run(0, fails=True)
    notebook.run(notebook.index_of("getcwd"))

    expect(notebook.output(0)).to_contain_text("ZeroDivisionError")
    assert "test_one_cell_runs_alone" in notebook.outputs(1)[0]["data"]["text/plain"]
