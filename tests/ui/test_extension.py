"""The extension in a real JupyterLab: what it shows where, whatever becomes of kernel, page and notebook."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import expect

from tests.ui.conftest import KERNEL
from tests.ui.extension_page import ASK, ASK_TWO, BLOCKING, LOAD, MODEL, ExtensionPage, filled
from tests.ui.notebook_page import ARTIFACTS, OPEN, NotebookPage
from tests.ui.server import Lab

OpenCells = Callable[..., NotebookPage]

pytestmark = pytest.mark.usefixtures("complaints")

CHAT = (
    LOAD,
    """\
from langchain_openai import ChatOpenAI
from stand_in import serve

server = serve(delay=1)
model = ChatOpenAI(model="stand-in", base_url=server.base_url, api_key="unused")

def ask(prompt):
    print(model.invoke(prompt).content)""",
    """\
for country in ("France", "Japan", "Kenya"):
    ask(f"What is the capital of {country}?")""",
    """\
for country in ("Kenya", "Japan"):
    ask(f"What is the capital of {country}?")""",
    """\
ask("What is the capital of France?")
ask("Write a haiku about asking the same question twice.")""",
)
CONSOLE = """async code => {
  const {commands} = window.jupyterapp, kernelPreference = {name: 'python3'};
  const panel = await commands.execute('console:create', {activate: true, kernelPreference});
  await panel.sessionContext.ready;
  await panel.sessionContext.session.kernel.info;
  for (const source of code) await panel.console.inject(source);
}"""
OPENED_IN_NOTEBOOK = """async () => {
  await window.jupyterapp.restored;
  const panel = window.jupyterapp.shell.currentWidget;
  await panel.context.ready;
  await panel.sessionContext.ready;
  await panel.sessionContext.session.kernel.info;
}"""


def test_a_badge_leads_to_the_entry_and_to_the_cell_that_stored_it(
    open_cells: OpenCells, extension: ExtensionPage
) -> None:
    notebook = filled(open_cells)
    miss, both = extension.badge(notebook, 2), extension.badge(notebook, 3)
    expect(miss).to_have_text("1 miss")
    expect(both).to_have_text("1 hit · 1 miss · saved 0.3 s")
    expect(extension.badges).to_have_count(2)
    expect(extension.status).to_have_text("LLM cache 33 % · 2/500")
    assert extension.size < 50_000

    both.hover()
    tooltip = notebook.cell(3).get_by_role("tooltip")
    expect(tooltip).to_contain_text("1 hitThe capital of France?")
    expect(tooltip).to_contain_text("1 missThe capital of Kenya?")
    both.click()
    expect(extension.rows).to_have_count(2)
    extension.rows.filter(has_text="France").click()
    expect(extension.detail).to_contain_text("is a good question.")
    expect(extension.detail).to_contain_text("large-model")
    extension.button("Go to cell [3]").click()
    expect(notebook.cell(2)).to_have_class(re.compile("jp-mod-active"))

    notebook.run(2)
    expect(miss).to_have_text("1 hit · saved 0.3 s")
    extension.button("Show all").click()
    expect(extension.rows).to_have_count(2)


def test_a_reload_while_a_cell_runs_finds_the_cache_when_it_ends(
    open_cells: OpenCells, extension: ExtensionPage, folder: Path
) -> None:
    notebook = filled(open_cells, BLOCKING)
    notebook.start(4)
    expect(extension.badge(notebook, 4)).to_have_text("1 miss")
    extension.execute("docmanager:save")
    notebook.page.reload()
    expect(extension.badges).to_have_count(2)
    extension.open()
    expect(extension.panel).to_contain_text("The kernel of cells.ipynb is busy.")
    (folder / "seen").touch()
    expect(extension.status).to_have_text("LLM cache 25 % · 3/500")
    expect(extension.rows).to_have_count(3)


def test_a_restarted_kernel_has_no_cache_until_it_is_loaded(
    open_cells: OpenCells, extension: ExtensionPage
) -> None:
    notebook = filled(open_cells)
    extension.open()
    expect(extension.rows).to_have_count(2)
    expect(extension.badges).to_have_count(2)
    notebook.page.evaluate("() => window.notebookPanel.sessionContext.restartKernel()")
    expect(extension.panel).to_contain_text("The kernel of cells.ipynb has no LLM cache.")
    expect(extension.status).to_be_hidden()
    expect(extension.badges).to_have_count(2)  # as saved: what the outputs below were made with

    extension.button("Load and turn on").click()
    expect(extension.panel).to_contain_text("No entries yet.")
    expect(extension.status).to_have_text("LLM cache · 0")
    notebook.run(1)
    notebook.run(2)
    expect(extension.badge(notebook, 2)).to_have_text("1 miss")
    expect(extension.rows).to_have_count(1)


def test_a_reload_keeps_badges_and_finds_the_kernel(open_cells: OpenCells, extension: ExtensionPage) -> None:
    notebook = filled(open_cells)
    expect(extension.badges).to_have_count(2)
    extension.execute("docmanager:save")
    notebook.page.reload()
    expect(extension.status).to_have_text("LLM cache 33 % · 2/500")
    expect(extension.badges).to_have_text(["1 miss", "1 hit · 1 miss · saved 0.3 s"])
    extension.badges.last.focus()
    expect(extension.page.get_by_role("tooltip").filter(has_text="Kenya")).to_be_visible()


def test_badges_are_counts_in_the_notebook_stale_when_edited_gone_when_cleared(
    open_cells: OpenCells, extension: ExtensionPage, folder: Path
) -> None:
    notebook = filled(open_cells)
    expect(extension.badges).to_have_count(2)
    extension.execute("docmanager:save")
    text = (folder / "cells.ipynb").read_text()
    saved = nbformat.reads(text, as_version=4)
    counts = [cell.metadata.get("llmcache") for cell in saved.cells]
    assert counts[:3] == [None, None, {"misses": 1}]
    assert set(counts[3]) == {"hits", "misses", "seconds_saved"}
    assert "question" not in str([cell.metadata for cell in saved.cells])

    notebook.page.evaluate(
        "() => window.notebookPanel.content.widgets[2].model.sharedModel.setSource('1 + 1')"
    )
    expect(extension.badge(notebook, 2)).to_have_text("1 miss · before the edit")
    notebook.run(2)
    expect(extension.badge(notebook, 2)).to_have_count(0)
    extension.execute("notebook:clear-all-cell-outputs")
    expect(extension.badges).to_have_count(0)
    assert extension.counts(3) is None


def test_two_notebooks_have_a_cache_each(
    open_cells: OpenCells, extension: ExtensionPage, folder: Path
) -> None:
    notebook = filled(open_cells)
    extension.open()
    expect(extension.rows).to_have_count(2)
    cells = [new_code_cell(source) for source in (LOAD, MODEL, "ask('Another question?')")]
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": KERNEL}), folder / "other.ipynb")
    extension.page.evaluate(OPEN, f"{folder.name}/other.ipynb")
    expect(extension.panel).to_contain_text("The kernel of other.ipynb has no LLM cache.")
    expect(extension.status).to_be_hidden()
    for index in range(3):
        notebook.run(index)
    expect(extension.rows).to_have_count(1)
    expect(extension.rows).to_contain_text("Another question?")
    expect(extension.status).to_have_text("LLM cache 0 % · 1/500")

    extension.page.get_by_role("tab", name="cells.ipynb").click()
    expect(extension.status).to_have_text("LLM cache 33 % · 2/500")
    expect(extension.rows).to_have_count(2)


def test_without_the_cache_there_is_nothing_but_an_offer(
    open_cells: OpenCells, extension: ExtensionPage
) -> None:
    notebook = open_cells("1 + 1")
    notebook.run(0)
    extension.open()
    expect(extension.panel).to_contain_text("The kernel of cells.ipynb has no LLM cache.")
    expect(extension.status).to_be_hidden()
    expect(extension.badges).to_have_count(0)
    extension.execute("docmanager:save")
    extension.execute("application:close-all")
    expect(extension.panel).to_contain_text("No notebook or console is open.")


def test_commands(open_cells: OpenCells, extension: ExtensionPage) -> None:
    notebook = filled(open_cells, "ask('Never recorded?')")
    before = notebook.page.evaluate("() => window.notebookPanel.content.model.sharedModel.cells.length")
    notebook.page.evaluate("() => { window.notebookPanel.content.activeCellIndex = 2; }")
    extension.execute("llmcache:run-cell-without-cache")
    expect(extension.badge(notebook, 2)).to_have_text("1 miss")
    notebook.run(2)
    expect(extension.badge(notebook, 2)).to_have_text("1 hit · saved 0.3 s")

    extension.execute("llmcache:run-all-in-replay")
    expect(extension.badge(notebook, 3)).to_have_text("2 hits · saved 0.3 s")
    expect(extension.badge(notebook, 4)).to_have_text("1 failed")
    expect(notebook.output(4)).to_contain_text("CacheMissError")
    expect(extension.status).not_to_contain_text("replay")

    extension.execute("llmcache:toggle")
    expect(extension.status).to_have_text("LLM cache off")
    extension.execute("llmcache:toggle")
    expect(extension.status).to_contain_text("2/500")
    after = notebook.page.evaluate("() => window.notebookPanel.content.model.sharedModel.cells.length")
    assert before == after


def test_settings(open_cells: OpenCells, extension: ExtensionPage) -> None:
    notebook = filled(open_cells)
    expect(extension.badges).to_have_count(2)
    extension.execute("docmanager:save")
    try:
        extension.change_settings({"badges": False})
        expect(extension.status).to_have_text("LLM cache 33 % · 2/500")
        expect(extension.badges).to_have_count(0)
        extension.change_settings({"saveCounts": False})
        expect(extension.badges).to_have_count(2)
        extension.page.evaluate(OPEN, notebook.path)
        notebook.run(2)
        expect(extension.badge(notebook, 2)).to_have_text("1 hit · saved 0.3 s")
        assert extension.counts(2) is None
        extension.execute("docmanager:save")
    finally:
        extension.change_settings({})


def test_the_pictures(open_cells: OpenCells, extension: ExtensionPage) -> None:
    """Pictures of a real chat model's calls, to look at; `make pictures` puts two into the README."""
    notebook = open_cells(*CHAT)
    page = notebook.page
    page.set_viewport_size({"width": 1240, "height": 780})
    extension.execute("application:toggle-left-area")
    notebook.run_all()
    expect(extension.badges).to_have_text([
        "3 misses",
        re.compile(r"^2 hits · saved 2\.\d s$"),
        re.compile(r"^1 hit · 1 miss · saved 1\.\d s$"),
    ])  # fmt: skip
    extension.badges.last.hover()
    expect(page.get_by_role("tooltip").filter(has_text="haiku")).to_be_visible()
    notebook.screenshot("extension_badges", of=page.locator(".jp-NotebookPanel"))

    extension.badges.last.click()
    expect(extension.rows).to_have_count(2)
    extension.rows.filter(has_text="haiku").click()
    expect(extension.detail).to_contain_text("The meter stands still.")
    extension.list.focus()
    notebook.screenshot("extension_panel")
    extension.button("Show all").click()
    expect(extension.rows).to_have_count(4)
    for theme in ("JupyterLab Dark", "JupyterLab Dark High Contrast", "JupyterLab Light"):
        notebook.theme(theme)
        notebook.screenshot(f"extension_{theme.removeprefix('JupyterLab ').lower().replace(' ', '_')}")
    page.set_viewport_size({"width": 620, "height": 780})
    notebook.screenshot("extension_narrow")


def test_notebook_7_has_badges_and_the_panel(lab: Lab, folder: Path, extension: ExtensionPage) -> None:
    cells = [new_code_cell(source) for source in (LOAD, MODEL, ASK, ASK_TWO)]
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": KERNEL}), folder / "cells.ipynb")
    page = extension.page
    page.goto(f"{lab.url}/notebooks/{folder.name}/cells.ipynb?token={lab.token}")
    page.wait_for_function("() => window.jupyterapp")
    page.evaluate(OPENED_IN_NOTEBOOK)
    extension.execute("notebook:run-all-cells")
    expect(extension.badges).to_have_text(["1 miss", "1 hit · 1 miss · saved 0.3 s"])
    extension.badges.last.click()
    expect(extension.rows).to_have_count(2)
    extension.rows.filter(has_text="France").click()
    expect(extension.detail).to_contain_text("is a good question.")
    extension.button("Show all").click()
    extension.rows.filter(has_text="Kenya").click()
    expect(extension.detail).to_contain_text("small-model")
    page.screenshot(path=ARTIFACTS / "extension_notebook7.png")
    page.evaluate("() => window.jupyterapp.serviceManager.sessions.shutdownAll()")


def test_a_console_has_its_own_cache(open_cells: OpenCells, extension: ExtensionPage) -> None:
    filled(open_cells)
    expect(extension.status).to_have_text("LLM cache 33 % · 2/500")
    extension.page.evaluate(CONSOLE, [LOAD, MODEL, "ask('Asked in a console?')"])
    expect(extension.status).to_have_text("LLM cache 0 % · 1/500")
    extension.open()
    expect(extension.rows).to_have_text(re.compile("Asked in a console?"))
    extension.page.get_by_role("tab", name="cells.ipynb").click()
    expect(extension.status).to_have_text("LLM cache 33 % · 2/500")
