"""ExtensionPage: what the extension shows of an open notebook."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from playwright.sync_api import Locator, Page, expect

from tests.ui.notebook_page import NotebookPage

LOAD = "%load_ext llmcache_jupyter\n%llmcache on --maxsize 500"
# a client of the cache whose model thinks for a while, and needs neither a server nor LangChain
MODEL = """
from time import sleep
from llmcache_jupyter import Entry, Generation, default_session

session = default_session()
configurations = ["[('model', 'large-model'), ('temperature', 0)]", "[('model', 'small-model')]"]

def ask(prompt, model=0, seconds=0.0):
    found = session.cache.lookup(prompt, configurations[model])
    if found is None:
        sleep(seconds)
        found = [Generation(f"**{prompt}** is a good question.")]
        session.cache.update(prompt, configurations[model], found)
    return found[0].text

def put(prompt, answer, number=0):
    key = (prompt, configurations[number % 2])
    entry = Entry(key, [Generation(answer)], 1_700_000_000 + number, took=0.5 + number % 7, tokens=number)
    session.cache.backend.put(entry)

def towns(count):
    session.configure(maxsize=None)
    for number in range(count):
        put(f"Which town is number {number}?", f"Number {number} is a town by the sea.", number)
"""

ASK = "ask('The capital of France?', seconds=0.3)"
ASK_TWO = "ask('The capital of France?'); ask('The capital of Kenya?', 1)"
# the cell ends when the browser has shown what it was asked meanwhile
BLOCKING = """
from pathlib import Path
from time import monotonic, sleep

ask('Asked while the cell runs?')
end = monotonic() + 60
while not Path("seen").exists() and monotonic() < end:
    sleep(0.02)
assert Path("seen").exists()
"""

EXECUTE = "([id, args]) => window.jupyterapp.commands.execute(id, args)"
METADATA = "index => window.notebookPanel.content.widgets[index].model.getMetadata('llmcache') ?? null"
SAVE_SETTINGS = """settings => window.jupyterapp.serviceManager.settings
  .save('llmcache-jupyter:settings', JSON.stringify(settings))"""
SIZE = """() => performance.getEntriesByType('resource')
  .filter(entry => entry.name.includes('/extensions/llmcache-jupyter/'))
  .reduce((sum, entry) => sum + entry.encodedBodySize, 0)"""


class ExtensionPage:
    """A page with the extension: its status item, its badges, its panel."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.status = page.locator(".llmcache-StatusItem button")
        self.badges = page.locator(".jp-NotebookPanel:visible .llmcache-Badge > button")
        self.panel = page.locator(".llmcache-Panel")
        self.list = self.panel.get_by_role("listbox", name="Entries")
        self.rows = self.list.get_by_role("option")
        self.detail = self.panel.get_by_role("region", name="Chosen entry")
        self.call = self.panel.get_by_role("region", name="Chosen call")
        self.why = self.panel.get_by_role("region", name="Why this was a miss")
        self.message = self.panel.locator(".llmcache-Message")
        self.search = self.panel.get_by_role("searchbox")
        self.mode = self.panel.get_by_label("Mode", exact=True)

    def open(self) -> None:
        """Shows the panel."""
        self.execute("llmcache:open-panel")
        expect(self.panel).to_be_visible()

    def execute(self, command: str, args: Any = None) -> None:
        """Runs one of JupyterLab's commands and waits for its end."""
        self.page.evaluate(EXECUTE, [command, args or {}])

    def button(self, name: str) -> Locator:
        return self.panel.get_by_role("button", name=name, exact=True)

    def badge(self, notebook: NotebookPage, index: int) -> Locator:
        """The badge of a cell."""
        return notebook.cell(index).locator(".llmcache-Badge > button")

    def counts(self, index: int) -> dict[str, float] | None:
        """The counts in a cell's metadata."""
        counts: dict[str, float] | None = self.page.evaluate(METADATA, index)
        return counts

    def change_settings(self, settings: dict[str, Any]) -> None:
        """Saves the user's settings, and loads the page anew."""
        self.page.evaluate(SAVE_SETTINGS, settings)
        self.page.reload()
        self.page.wait_for_function("() => window.jupyterapp")
        self.page.evaluate("() => window.jupyterapp.restored")

    @property
    def size(self) -> int:
        """Bytes that the extension added to what the page loaded."""
        size: int = self.page.evaluate(SIZE)
        return size


def filled(open_cells: Callable[..., NotebookPage], *more: str) -> NotebookPage:
    """An open notebook whose cells 2 and 3 asked France, then France and Kenya; `more` cells are not run."""
    notebook = open_cells(LOAD, MODEL, ASK, ASK_TWO, *more)
    for index in range(4):
        notebook.run(index)
    return notebook
