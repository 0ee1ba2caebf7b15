"""Why a call missed, in the side panel in a real JupyterLab; and what the panel shows of its own faults."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.ui.extension_page import BLOCKING, LOAD, MODEL, ExtensionPage, filled
from tests.ui.notebook_page import NotebookPage

OpenCells = Callable[..., NotebookPage]

pytestmark = pytest.mark.usefixtures("complaints")

# a chat with a tool whose description is someone else's, asked again with all of it changed
HOSTILE = r"""
def chat(question, description, temperature):
    said = [{"lc": 1, "type": "constructor", "id": ["langchain", "schema", "messages", "HumanMessage"],
             "kwargs": {"content": question, "type": "human"}}]
    tools = [{"type": "function", "function": {"name": "search", "description": description}}]
    return __import__("json").dumps(said), str([("model", "large-model"), ("temperature", temperature),
                                                ("tools", tools)])

evil = "<img src=x onerror='window.harmed = 1'> \u202eturned \u05e9\u05dc\u05d5\u05dd \x1b[31m "
stored = chat(40 * "What is it? ", evil + "one", 0)
session.cache.lookup(*stored)
session.cache.update(*stored, [Generation("It is <b>that</b>.")])
asked = chat(40 * "What is it? " + evil, evil + 5000 * "wide", 0.2)
"""
ASK_HOSTILE = "session.cache.lookup(*asked)"
ASK_NEARLY = "ask('The capital of France?'); ask('The capital of France, please?')"
BREAK = """
from llmcache_jupyter.notebook import queries
whole = queries.in_full
queries.in_full = lambda *entry: {**whole(*entry), "messages": None}
"""
MEND = "queries.in_full = whole"


def test_a_missed_call_is_explained_while_a_cell_runs(
    open_cells: OpenCells, extension: ExtensionPage, folder: Path
) -> None:
    notebook = filled(open_cells, ASK_NEARLY, BLOCKING)
    notebook.run(4)
    notebook.start(5)
    expect(extension.badge(notebook, 5)).to_have_text("1 miss")
    extension.badge(notebook, 4).click()
    extension.rows.filter(has_text="1 hit").click()
    expect(extension.detail).to_contain_text("is a good question.")
    expect(extension.button("Why a miss?")).to_have_count(0)

    extension.rows.filter(has_text="1 miss").click()
    extension.button("Why a miss?").click()
    expect(extension.why).to_contain_text("The nearest, entry")
    expect(extension.why.get_by_role("listitem")).to_contain_text("the prompt differs at character 22")
    expect(extension.why).to_contain_text("the next identical call is a hit")
    extension.button("Why a miss?").click()
    expect(extension.why).to_have_count(0)
    extension.button("Why a miss?").click()
    extension.button("Show the nearest entry").click()
    expect(extension.rows.filter(has_text="1 hit")).to_have_attribute("aria-selected", "true")
    expect(extension.why).to_have_count(0)

    (folder / "seen").touch()
    expect(notebook.cell(5).locator(".jp-InputPrompt")).to_have_text("[6]:")


def test_a_call_without_an_entry_is_listed_and_explained(
    open_cells: OpenCells, extension: ExtensionPage
) -> None:
    notebook = filled(open_cells, "session.mode = 'replay'\nask('The capital of Kenia?')")
    notebook.run(4, fails=True)
    badge = extension.badge(notebook, 4)
    expect(badge).to_have_text("1 failed")
    badge.hover()
    expect(notebook.cell(4).get_by_role("tooltip")).to_have_text("1 failedThe capital of Kenia?")
    badge.click()
    expect(extension.rows).to_have_count(1)
    expect(extension.rows).to_contain_text("(not in the cache)")
    extension.rows.click()
    expect(extension.call).to_contain_text("Its answer is not in the cache.")
    expect(extension.why).to_contain_text("The nearest, entry")
    expect(extension.why).to_contain_text("stored")
    extension.button("Go to cell [5]").click()
    extension.button("Close the call").click()
    expect(extension.call).to_have_count(0)


def test_a_call_becomes_its_entry_once_that_is_stored(
    open_cells: OpenCells, extension: ExtensionPage
) -> None:
    question = "session.mode = mode\nask('The capital of Kenia?')"
    notebook = filled(open_cells, "mode = 'replay'", question, "mode = 'on'")
    notebook.run(4)
    notebook.run(5, fails=True)
    extension.badge(notebook, 5).click()
    extension.rows.click()
    expect(extension.call).to_contain_text("Its answer is not in the cache.")
    notebook.run(6)
    notebook.run(5)
    expect(extension.detail).to_contain_text("The capital of Kenia? is a good question.")
    expect(extension.call).to_have_count(0)
    expect(extension.button("Why a miss?")).to_be_visible()

    extension.badge(notebook, 2).click()
    expect(extension.rows).to_contain_text("The capital of France?")
    expect(extension.detail).to_have_count(0)


def test_the_command_tells_why_the_last_call_missed(open_cells: OpenCells, extension: ExtensionPage) -> None:
    notebook = open_cells(LOAD, MODEL, ASK_NEARLY, "session.cache.lookup('The capital of Kenia?', 'other')")
    for index in range(2):
        notebook.run(index)
    extension.execute("llmcache:why")
    expect(extension.message).to_have_text("No call has missed yet.")
    notebook.run(2)
    extension.execute("llmcache:why")
    expect(extension.detail).to_contain_text("The capital of France, please?")
    expect(extension.why).to_contain_text("the prompt differs at character 22")
    expect(extension.message).to_have_text("")
    extension.button("Why a miss?").click()
    expect(extension.why).to_have_count(0)
    extension.execute("llmcache:why")  # once more
    expect(extension.why).to_contain_text("the prompt differs at character 22")

    notebook.run(3)
    extension.badge(notebook, 2).click()
    extension.execute("llmcache:why")
    expect(extension.rows).to_have_count(1)
    expect(extension.rows).to_contain_text("The capital of Kenia?")
    expect(extension.rows).to_have_attribute("aria-selected", "true")
    expect(extension.call).to_contain_text("Its answer is not in the cache.")
    expect(extension.why).to_contain_text("Nothing was stored for this model")
    extension.button("Close the call").click()
    expect(extension.why).to_have_count(0)


def test_a_miss_that_is_no_longer_known_is_told_as_such(
    open_cells: OpenCells, extension: ExtensionPage
) -> None:
    notebook = filled(open_cells, "for number in range(200): session.cache.lookup(str(number), 'other')")
    notebook.run(4)
    extension.badge(notebook, 2).click()
    extension.rows.click()
    extension.button("Why a miss?").click()
    expect(extension.why).to_contain_text("This miss is no longer known")
    expect(extension.button("Show the nearest entry")).to_have_count(0)
    extension.badge(notebook, 4).click()
    expect(extension.rows.first).to_have_attribute("aria-setsize", "25")
    expect(extension.panel).to_contain_text("… and the calls for 175 entries")

    notebook.page.evaluate("() => window.notebookPanel.sessionContext.restartKernel()")
    extension.button("Load and turn on").click()
    extension.badge(notebook, 2).click()
    expect(extension.panel).to_contain_text("The kernel knows no more of the calls of this cell.")


def test_why_by_keyboard(open_cells: OpenCells, extension: ExtensionPage) -> None:
    filled(open_cells, ASK_NEARLY).run(4)
    keyboard = extension.page.keyboard
    expect(extension.badges).to_have_count(3)
    extension.badges.last.focus()
    keyboard.press("Enter")
    expect(extension.rows).to_have_count(2)
    extension.list.focus()
    keyboard.press("Home")  # what missed comes first
    expect(extension.detail).to_contain_text("The capital of France, please?")
    for _ in range(2):
        keyboard.press("Tab")
    expect(extension.button("Why a miss?")).to_be_focused()
    expect(extension.button("Why a miss?")).to_have_attribute("aria-expanded", "false")
    keyboard.press("Enter")
    expect(extension.why.get_by_role("status")).to_contain_text("The nearest, entry")
    expect(extension.button("Why a miss?")).to_be_focused()
    for _ in range(3):
        keyboard.press("Tab")
    expect(extension.button("Show the nearest entry")).to_be_focused()
    keyboard.press("Enter")
    expect(extension.rows.last).to_have_attribute("aria-selected", "true")
    expect(extension.why).to_have_count(0)
    expect(extension.list).to_be_focused()


def test_a_hostile_explanation_shows_and_does_nothing(
    open_cells: OpenCells, extension: ExtensionPage
) -> None:
    notebook = open_cells(LOAD, MODEL, HOSTILE, ASK_HOSTILE)
    for index in range(4):
        notebook.run(index)
    extension.badge(notebook, 3).click()
    extension.rows.click()
    expect(extension.why.get_by_role("listitem")).to_have_count(3)
    expect(extension.why).to_contain_text("temperature 0 -> 0.2")
    expect(extension.why).to_contain_text("<img src=x onerror='window.harmed = 1'> \\u202eturned")
    expect(extension.why.locator("img, script, [onerror]")).to_have_count(0)
    assert extension.page.evaluate("() => window.harmed") is None
    is_wider = "node => node.scrollWidth > node.clientWidth"
    assert not extension.call.evaluate(is_wider)
    for theme in ("JupyterLab Dark", "JupyterLab Light"):
        notebook.theme(theme)
        notebook.screenshot(f"extension_why_{theme.removeprefix('JupyterLab ').lower()}")
    extension.page.set_viewport_size({"width": 620, "height": 780})
    notebook.screenshot("extension_why_narrow")
    assert not extension.call.evaluate(is_wider)


def test_a_fault_in_the_panel_ends_there(
    open_cells: OpenCells, extension: ExtensionPage, complaints: list[str]
) -> None:
    notebook = filled(open_cells, BREAK, MEND)
    extension.open()
    notebook.run(4)
    extension.rows.filter(has_text="Kenya").click()
    expect(extension.panel.get_by_role("alert")).to_contain_text("map")
    expect(extension.panel).to_contain_text("Your notebook and the cache go on as before.")
    notebook.screenshot("extension_fault")
    assert complaints  # React tells the console
    complaints.clear()
    extension.badge(notebook, 3).hover()
    expect(notebook.cell(3).get_by_role("tooltip")).to_contain_text("Kenya")

    notebook.run(5)
    extension.button("Try again").click()
    expect(extension.rows).to_have_count(2)
    extension.rows.filter(has_text="Kenya").click()
    expect(extension.detail).to_contain_text("is a good question.")


def test_a_panel_whose_scripts_do_not_arrive_tries_again(
    open_cells: OpenCells, extension: ExtensionPage, complaints: list[str]
) -> None:
    filled(open_cells)
    expect(extension.badges).to_have_count(2)
    scripts = "**/extensions/llmcache-jupyter/static/*.js*"
    extension.page.route(scripts, lambda route: route.abort())
    extension.open()
    expect(extension.panel).to_contain_text("The panel could not show this.")
    extension.page.unroute(scripts)
    assert complaints
    complaints.clear()
    extension.button("Try again").click()
    expect(extension.rows).to_have_count(2)
