"""NotebookPage: one notebook, open in JupyterLab, driven by JupyterLab's own commands.

Clicking into an editor and pressing Shift+Enter is flaky; a command isn't.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page

from tests.ui.server import Lab

ARTIFACTS = Path(__file__).parent.parent.parent / "artifacts"
RUN_SECONDS = 120

# An execution sent before the kernel has told about itself can be lost
OPEN = """async path => {
  const app = window.jupyterapp;
  await app.restored;
  const panel = await app.commands.execute('docmanager:open', {path, factory: 'Notebook'});
  window.notebookPanel = panel;
  await panel.context.ready;
  await panel.sessionContext.ready;
  await panel.sessionContext.session.kernel.info;
}"""

RUN = """async ([index, seconds]) => {
  const app = window.jupyterapp, panel = window.notebookPanel, notebook = panel.content;
  app.shell.activateById(panel.id);
  notebook.deselectAll();
  notebook.activeCellIndex = index ?? 0;
  const command = index === null ? 'notebook:run-all-cells' : 'notebook:run-cell';
  const end = app.commands.execute(command);
  if (seconds === 0) return null;
  const late = new Promise((_, reject) =>
    setTimeout(() => reject(new Error(`still running after ${seconds} s`)), 1000 * seconds));
  return Promise.race([end, late]);
}"""

SOURCES = "() => window.notebookPanel.content.widgets.map(cell => cell.model.sharedModel.getSource())"
OUTPUTS = "index => window.notebookPanel.content.widgets[index].model.outputs.toJSON()"
ERRORS = """() => window.notebookPanel.content.widgets.flatMap(cell => cell.model.outputs?.toJSON() ?? [])
  .filter(output => output.output_type === 'error').map(error => error.evalue)"""
CHANGE_THEME = "theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme})"


class NotebookPage:
    """One notebook, open in JupyterLab, its kernel ready.

    - Cells are counted from 0, Markdown cells included.
    - `page` is Playwright's page, for all that is not about the notebook at `path`.
    """

    def __init__(self, page: Page, lab: Lab, path: str) -> None:
        self.page = page
        self.path = path
        page.goto(f"{lab.url}/lab?reset&token={lab.token}")
        page.wait_for_function("() => window.jupyterapp")
        page.evaluate(OPEN, path)

    def index_of(self, text: str) -> int:
        """The number of the first cell whose source holds `text`."""
        sources = self.page.evaluate(SOURCES)
        return next(index for index, source in enumerate(sources) if text in source)

    def run(self, index: int, *, fails: bool = False) -> None:
        """Runs one cell and waits for its end. `fails`: whether it is meant to raise."""
        succeeded = self.page.evaluate(RUN, [index, RUN_SECONDS])
        assert succeeded is not fails, f"cell {index}: {self.outputs(index)}"

    def run_all(self) -> None:
        """Runs all cells and waits for the end of the last."""
        succeeded = self.page.evaluate(RUN, [None, RUN_SECONDS])
        assert succeeded, f"a cell failed: {self.page.evaluate(ERRORS)}"

    def start(self, index: int) -> None:
        """Runs one cell without waiting for its end."""
        self.page.evaluate(RUN, [index, 0])

    def cell(self, index: int) -> Locator:
        """A cell, with its input and its output."""
        return self.page.locator(".jp-NotebookPanel:visible .jp-Notebook-cell").nth(index)

    def output(self, index: int) -> Locator:
        """What a cell shows, each of its outputs an element."""
        return self.cell(index).locator(".jp-OutputArea-output")

    def outputs(self, index: int) -> list[dict[str, Any]]:
        """What a cell holds, as it would be saved."""
        outputs: list[dict[str, Any]] = self.page.evaluate(OUTPUTS, index)
        return outputs

    def theme(self, name: str) -> None:
        """Changes to `JupyterLab Light` or `JupyterLab Dark`."""
        self.page.evaluate(CHANGE_THEME, name)
        is_light = str(name.endswith("Light")).lower()
        self.page.wait_for_selector(f'body[data-jp-theme-light="{is_light}"]', state="attached")
        # a veil covers the page while the theme's styles arrive
        self.page.wait_for_selector("#jupyterlab-splash", state="detached")

    def screenshot(self, name: str, of: Locator | None = None) -> Path:
        """Saves a picture of the page, or of a part of it, as `artifacts/<name>.png`."""
        path = ARTIFACTS / f"{name}.png"
        (of or self.page).screenshot(path=path)
        return path
