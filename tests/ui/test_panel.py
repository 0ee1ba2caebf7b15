"""The panel in a real JupyterLab: by mouse and keyboard, with hostile entries, in both themes, saved."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.ui.notebook_page import NotebookPage

OpenCells = Callable[..., NotebookPage]

FILL = """
import llmcache_jupyter as llmcache
from llmcache_jupyter import Entry, Generation

llmcache.on()
session = llmcache.default_session()
models = ["[('model', 'large-model'), ('api_key', 'sk-0123456789')]", "[('model', 'small-model')]"]

def put(prompt, answer, number=0):
    entry = Entry((prompt, models[number % 2]), [Generation(answer)], 1_700_000_000 + number,
                  took=0.5 + number % 7, tokens=number)
    session.cache.backend.put(entry)

def towns(count):
    for number in range(count):
        put(f"Which town is number {number}?", f"Number {number} is a town by the sea.", number)
"""
SHOW = "panel = llmcache.panel()\npanel"
HOSTILE = r"""
put("<script>window.harmed = 1</script>", "<img src=x onerror='window.harmed = 1'>", 1)
put("\u202eright to left override", "\u05e9\u05dc\u05d5\u05dd and \u0645\u0631\u062d\u0628\u0627", 2)
put("null \0 byte", "\x1b[31mred\x1b[0m and a lone \ud800 surrogate", 3)
put("a megabyte", "x" * 1_000_000, 4)
put("</pre></div><b>bold</b>", "'\"><svg onload='window.harmed = 1'>", 5)
"""
CALLS = """
from threading import Thread

def ask():
    for number in range(1, 400, 2):
        session.cache.lookup(f"Which town is number {number}?", models[1])

threads = [Thread(target=ask) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""
# the cell ends when the browser has shown that it saw the status change while the cell ran
BLOCKING = """
from pathlib import Path
from time import monotonic, sleep

session.cache.lookup("Which town is number 1?", models[1])
end = monotonic() + 60
while not Path("seen").exists() and monotonic() < end:
    sleep(0.02)
assert Path("seen").exists()
"""

OPEN_WITHOUT_KERNEL = """async path => {
  const app = window.jupyterapp;
  await app.restored;
  const kernelPreference = {shouldStart: false, autoStartDefault: false};
  const panel = await app.commands.execute('docmanager:open', {path, factory: 'Notebook', kernelPreference});
  await panel.context.ready;
}"""

pytestmark = pytest.mark.usefixtures("complaints")


class PanelPage:
    """A panel in an open notebook, below cells that filled the cache."""

    def __init__(self, notebook: NotebookPage, *, cells: int = 2) -> None:
        for index in range(cells):
            notebook.run(index)
        self.notebook = notebook
        self.root: Locator = notebook.page.locator(".llmcache-panel")
        self.rows = self.root.locator("tbody tr")
        self.detail = self.root.get_by_role("region", name="Chosen entry")
        self.message = self.root.locator(".llmcache-message")
        self.extent = self.root.locator(".llmcache-extent")
        self.status = self.root.locator(".llmcache-status")
        expect(self.root).to_be_visible()

    def button(self, name: str) -> Locator:
        return self.root.get_by_role("button", name=name, exact=True)

    def cell(self, row: int, column: str) -> Locator:
        return self.rows.nth(row).locator(f".llmcache-c-{column}")


def test_pages_through_ten_thousand_entries(open_cells: OpenCells) -> None:
    panel = PanelPage(open_cells(FILL + "towns(10_000)", SHOW))

    expect(panel.extent).to_have_text("1–50 of 10\u202f000")
    expect(panel.cell(0, "prompt")).to_have_text("Which town is number 9999?")
    expect(panel.button("Previous page")).to_be_disabled()
    panel.button("Next page").click()
    expect(panel.extent).to_have_text("51–100 of 10\u202f000")
    expect(panel.cell(0, "prompt")).to_have_text("Which town is number 9949?")
    panel.button("Last page").click()
    expect(panel.cell(49, "prompt")).to_have_text("Which town is number 0?")
    expect(panel.button("Next page")).to_be_disabled()
    panel.button("First page").click()
    expect(panel.extent).to_have_text("1–50 of 10\u202f000")


def test_sorts_searches_and_filters_all_entries(open_cells: OpenCells) -> None:
    panel = PanelPage(open_cells(FILL + "towns(10_000)", SHOW))
    tokens = panel.root.get_by_role("columnheader", name="tokens")

    panel.button("took").click()
    expect(panel.cell(0, "took")).to_have_text("6.5 s")
    panel.button("tokens").click()
    expect(tokens).to_have_attribute("aria-sort", "descending")
    panel.button("tokens").click()
    expect(tokens).to_have_attribute("aria-sort", "ascending")
    expect(panel.cell(0, "prompt")).to_have_text("Which town is number 0?")

    panel.root.get_by_role("searchbox").press_sequentially("NUMBER 123")
    expect(panel.extent).to_have_text("1–11 of 11")
    panel.root.get_by_label("Model").select_option("small-model")
    expect(panel.extent).to_have_text("1–6 of 6")
    panel.root.get_by_role("searchbox").fill("no such town")
    expect(panel.root.get_by_text("No entry matches.")).to_be_visible()


def test_shows_the_chosen_entry_in_full(open_cells: OpenCells) -> None:
    panel = PanelPage(open_cells(FILL + "towns(60)", SHOW))

    expect(panel.detail).to_have_text("Choose an entry to read it in full.")
    panel.rows.nth(1).click()
    expect(panel.rows.nth(1)).to_have_attribute("aria-selected", "true")
    expect(panel.detail.locator("pre").first).to_have_text("Which town is number 58?")
    expect(panel.detail.locator("pre").last).to_have_text("Number 58 is a town by the sea.")
    panel.detail.get_by_text("Model parameters").click()
    expect(panel.detail).to_contain_text("***")
    expect(panel.detail).not_to_contain_text("0123456789")
    panel.notebook.screenshot("panel-light")
    panel.notebook.screenshot("panel", panel.root)


def test_looks_up_deletes_and_clears(open_cells: OpenCells) -> None:
    panel = PanelPage(open_cells(FILL + "towns(60)", SHOW, "panel.chosen.prompt, len(panel.frame)"))
    prompt = panel.root.get_by_label("Look up a prompt")

    prompt.fill("Which town is number 7?")
    panel.button("Look up").click()
    expect(panel.message).to_have_text("Hit: 1 entry for “Which town is number 7?”")
    expect(panel.detail.locator("pre").last).to_have_text("Number 7 is a town by the sea.")
    prompt.fill("Which river?")
    prompt.press("Enter")
    expect(panel.message).to_contain_text("Miss: nothing is cached for “Which river?”")
    expect(panel.detail).to_have_text("Choose an entry to read it in full.")

    panel.rows.nth(0).click()
    panel.button("Delete chosen").click()
    expect(panel.message).to_have_text("1 entry deleted")
    expect(panel.extent).to_have_text("1–50 of 59")
    expect(panel.detail.locator("pre").first).to_have_text("Which town is number 58?")
    panel.notebook.run(2)
    expect(panel.notebook.output(2)).to_have_text("('Which town is number 58?', 50)")

    panel.button("Clear…").click()
    expect(panel.root.get_by_text("Remove all 59 entries?")).to_be_visible()
    panel.notebook.screenshot("panel-clear", panel.root)
    panel.button("Cancel").click()
    expect(panel.extent).to_have_text("1–50 of 59")
    panel.button("Clear…").click()
    panel.button("Remove all").click()
    expect(panel.message).to_have_text("59 entries cleared")
    expect(panel.root.get_by_text("No entries yet")).to_be_visible()
    expect(panel.status).to_contain_text("0 entries")
    expect(panel.button("Clear…")).to_be_disabled()


def visible_headers(panel: PanelPage) -> list[Locator]:
    return panel.root.locator("th button:visible").all()


def test_the_keyboard_is_enough(open_cells: OpenCells) -> None:
    panel = PanelPage(open_cells(FILL + "towns(120)", SHOW))
    keyboard = panel.notebook.page.keyboard
    cells = panel.notebook.page.locator(".jp-Notebook-cell")
    count = cells.count()

    panel.root.get_by_role("searchbox").focus()
    for _ in ("model", "refresh", *visible_headers(panel), "row"):
        keyboard.press("Tab")
    expect(panel.rows.nth(0)).to_be_focused()
    keyboard.press("ArrowDown")
    keyboard.press("ArrowDown")
    expect(panel.rows.nth(2)).to_be_focused()
    expect(panel.detail.locator("pre").first).to_have_text("Which town is number 117?")
    keyboard.press("PageDown")
    expect(panel.extent).to_have_text("51–100 of 120")
    expect(panel.rows.nth(2)).to_be_focused()
    keyboard.press("Home")
    keyboard.press("Enter")
    expect(panel.detail.locator("pre").first).to_have_text("Which town is number 69?")

    panel.button("Delete chosen").focus()
    keyboard.press("Enter")
    expect(panel.message).to_have_text("1 entry deleted")
    panel.button("Clear…").focus()
    keyboard.press("Enter")
    expect(panel.button("Cancel")).to_be_focused()
    keyboard.press("Escape")
    expect(panel.button("Clear…")).to_be_focused()
    keyboard.press("Space")
    keyboard.press("Shift+Tab")
    keyboard.press("Enter")
    expect(panel.message).to_have_text("119 entries cleared")
    # d, d deletes a cell and b adds one, where JupyterLab gets hold of the keys
    panel.button("Refresh").focus()
    keyboard.type("ddb")
    expect(cells).to_have_count(count)


def test_hostile_entries_show_as_text(open_cells: OpenCells) -> None:
    panel = PanelPage(open_cells(FILL + HOSTILE, SHOW))
    expect(panel.rows).to_have_count(5)

    seen = []
    for index in range(5):
        panel.rows.nth(index).click()
        prompt = panel.cell(index, "prompt").inner_text()
        expect(panel.detail.locator("pre").first).to_have_text(prompt)
        seen.append(panel.detail.inner_text())

    texts = "\n".join(seen)
    for text in (
        "<script>window.harmed = 1</script>",
        "<img src=x onerror=",
        r"\u202eright",
        r"null \x00 byte",
    ):
        assert text in texts
    for text in (
        r"\x1b[31mred",
        r"\ud800",
        "שלום",
        "980\u202f000 more characters",
        "</pre></div><b>bold</b>",
    ):
        assert text in texts
    assert panel.root.locator("script, img, svg, b").count() == 0
    assert panel.notebook.page.evaluate("() => window.harmed") is None
    panel.notebook.screenshot("panel-hostile", panel.root)


def test_the_status_follows_calls(open_cells: OpenCells) -> None:
    panel = PanelPage(open_cells(FILL + "towns(400)", SHOW, CALLS))

    panel.notebook.run(2)

    expect(panel.status).to_contain_text("800 hits")
    panel.rows.nth(399 - 350).click()
    expect(panel.detail.locator("dl").first).to_contain_text("hits0")
    panel.button("hits").click()
    expect(panel.cell(0, "hits")).to_have_text("4")


def test_the_status_changes_while_a_cell_blocks_the_kernel(open_cells: OpenCells, folder: Path) -> None:
    panel = PanelPage(open_cells(FILL + "towns(5)", SHOW, BLOCKING, "'over'"))

    panel.notebook.start(2)

    expect(panel.status).to_contain_text("1 hit ·")
    (folder / "seen").touch()
    panel.notebook.run(3)
    assert not [output for output in panel.notebook.outputs(2) if output["output_type"] == "error"]


@pytest.mark.parametrize("theme", ["Light", "Dark"])
@pytest.mark.parametrize("width", [1400, 560])
def test_is_readable_in_any_theme_and_width(
    open_cells: OpenCells, page: Page, theme: str, width: int
) -> None:
    panel = PanelPage(open_cells(FILL + "towns(60)", SHOW))
    panel.notebook.theme(f"JupyterLab {theme}")
    page.evaluate("() => window.jupyterapp.shell.collapseLeft()")
    page.set_viewport_size({"width": width, "height": 1000})
    panel.rows.nth(2).click()
    expect(panel.detail.locator("pre")).to_have_count(2)

    inside = panel.root.evaluate("panel => panel.scrollWidth <= panel.clientWidth + 1")
    assert inside
    panel.notebook.screenshot(f"panel-{theme.lower()}-{width}", panel.root)


def test_a_panel_opened_before_on_wakes_up(open_cells: OpenCells) -> None:
    panel = PanelPage(open_cells("import llmcache_jupyter as llmcache\n" + SHOW, FILL + "towns(3)"), cells=1)

    expect(panel.message).to_have_text("The cache was not on yet: run `%llmcache on` first.")
    panel.notebook.run(1)

    expect(panel.message).to_have_text("")
    expect(panel.status).to_contain_text("LLM cache on")
    panel.button("Refresh").click()
    expect(panel.rows).to_have_count(3)


def test_a_saved_notebook_shows_a_table(open_cells: OpenCells, page: Page) -> None:
    panel = PanelPage(open_cells(FILL + HOSTILE + "towns(4)", SHOW))
    static = page.locator(".llmcache-entries")
    expect(static).to_be_attached()
    expect(static).to_be_hidden()
    page.evaluate("() => window.notebookPanel.context.save()")
    path = page.evaluate("() => window.notebookPanel.context.path")
    page.evaluate("() => window.jupyterapp.serviceManager.sessions.shutdownAll()")

    page.reload()
    page.wait_for_function("() => window.jupyterapp")
    page.evaluate(OPEN_WITHOUT_KERNEL, path)

    expect(static.locator("tbody tr")).to_have_count(9)
    expect(static).to_contain_text("<script>window.harmed = 1</script>")
    panel.notebook.screenshot("panel-saved")


def test_a_closed_panel_leaves_the_table(open_cells: OpenCells, page: Page) -> None:
    panel = PanelPage(open_cells(FILL + "towns(3)", SHOW, "panel.close()"))

    panel.notebook.run(2)

    expect(panel.root).to_have_count(0)
    expect(page.locator(".llmcache-entries tbody tr")).to_have_count(3)
