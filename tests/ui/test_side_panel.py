"""The extension's side panel in a real JupyterLab, by mouse and keyboard, whatever it is given to show."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from tests.ui.extension_page import BLOCKING, LOAD, MODEL, ExtensionPage, filled
from tests.ui.notebook_page import NotebookPage

OpenCells = Callable[..., NotebookPage]

pytestmark = pytest.mark.usefixtures("complaints")

HOSTILE = r"""
put("<script>window.harmed = 1</script>", "<img src=x onerror='window.harmed = 1'>", 1)
put("\u202eright to left override", "\u05e9\u05dc\u05d5\u05dd and \u0645\u0631\u062d\u0628\u0627", 2)
put("null \0 byte", "\x1b[31mred\x1b[0m and a lone \ud800 surrogate", 3)
put("a megabyte", "x" * 1_000_000, 4)
put("a picture", "![seen](http://192.0.2.1/seen.png) <b style='background: url(http://192.0.2.1/x)'>b</b>", 5)
put("a button", "<button data-commandlinker-command='apputils:reset'>Read on</button>", 6)
put("a link", "[here](javascript:window.harmed=1)", 7)
"""


def country(row: Locator) -> str:
    """The country that a row's prompt asks about."""
    return "Kenya" if "Kenya" in row.inner_text() else "France"


def test_the_panel_answers_while_a_long_cell_runs(
    open_cells: OpenCells, extension: ExtensionPage, folder: Path
) -> None:
    notebook = filled(open_cells, BLOCKING)
    notebook.start(4)
    expect(extension.badge(notebook, 4)).to_have_text("1 miss")
    extension.open()
    expect(extension.rows).to_have_count(3)
    extension.search.fill("kenya")
    expect(extension.rows).to_have_count(1)
    extension.rows.first.click()
    expect(extension.detail).to_contain_text("The capital of Kenya?")
    extension.button("Delete").click()
    expect(extension.message).to_have_text("1 entry deleted")
    (folder / "seen").touch()
    expect(notebook.cell(4).locator(".jp-InputPrompt")).to_have_text("[5]:")
    assert notebook.outputs(4) == []


def test_delete_clear_and_switch_from_the_panel(open_cells: OpenCells, extension: ExtensionPage) -> None:
    notebook = filled(open_cells, "%llmcache", "%unload_ext llmcache_jupyter")
    extension.open()
    extension.rows.filter(has_text="Kenya").click()
    extension.button("Delete").click()
    expect(extension.rows).to_have_count(1)
    expect(extension.message).to_have_text("1 entry deleted")
    expect(extension.detail).to_contain_text("France")

    extension.button("Clear").click()
    dialog = extension.page.get_by_role("dialog")
    expect(dialog).to_contain_text("Remove all 1 entry?")
    dialog.get_by_role("button", name="Cancel").click()
    expect(extension.rows).to_have_count(1)
    extension.button("Clear").click()
    dialog.get_by_role("button", name="Remove").click()
    expect(extension.panel).to_contain_text("No entries yet.")

    extension.mode.select_option("readonly")
    expect(extension.status).to_have_text("LLM cache 33 % · 0/500 · readonly")
    extension.mode.select_option("off")
    expect(extension.status).to_have_text("LLM cache off")
    notebook.run(4)
    expect(notebook.output(4)).to_contain_text("LLM cache off")
    extension.button("Turn on").click()
    expect(extension.status).to_have_text("LLM cache 33 % · 0/500 · readonly")
    notebook.run(5)
    expect(extension.panel).to_contain_text("has no LLM cache.")


def test_a_store_that_fails_is_told(open_cells: OpenCells, extension: ExtensionPage) -> None:
    breaking = (
        "def fail(*_): raise OSError('disk full')\n"
        "session.cache.backend.get = session.cache.backend.find = fail"
    )
    notebook = filled(open_cells, breaking, "ask('The capital of France?')")
    extension.open()
    notebook.run(4)
    notebook.run(5)
    expect(extension.badge(notebook, 5)).to_have_text("1 failed")
    expect(extension.status).to_have_text(re.compile("^⚠ LLM cache"))
    expect(extension.panel.get_by_role("alert")).to_contain_text("The store fails (OSError: disk full)")
    notebook.screenshot("extension_failing")


def test_hostile_entries_show_and_do_nothing(
    open_cells: OpenCells, extension: ExtensionPage, complaints: list[str]
) -> None:
    notebook = open_cells(LOAD, MODEL, HOSTILE)
    for index in range(3):
        notebook.run(index)
    extension.open()
    expect(extension.rows).to_have_count(7)
    expect(extension.rows.filter(has_text="\\u202eright to left override")).to_be_visible()
    for number in range(7):
        extension.rows.nth(number).click()
        expect(extension.detail.get_by_text(re.compile("^[0-9a-f]{12}$"))).to_be_visible()
        expect(extension.rows.nth(number)).to_have_attribute("aria-selected", "true")
        expect(
            extension.detail.locator("img, script, [onerror], [data-commandlinker-command]")
        ).to_have_count(0)
    extension.rows.filter(has_text="a megabyte").click()
    expect(extension.detail).to_contain_text("900\u202f000 more characters")
    extension.rows.filter(has_text="a link").click()
    expect(extension.detail.locator("a[href^='javascript']")).to_have_count(0)
    assert extension.page.evaluate("() => window.harmed") is None
    notebook.screenshot("extension_hostile")


def test_a_hundred_thousand_entries_scroll(open_cells: OpenCells, extension: ExtensionPage) -> None:
    notebook = open_cells(LOAD, MODEL, "towns(100_000)\nask('One more?')")
    for index in range(3):
        notebook.run(index)
    extension.open()
    expect(extension.rows.first).to_contain_text("One more?")
    assert extension.rows.count() < 60
    extension.list.evaluate("node => { node.scrollTop = node.scrollHeight / 2; }")
    expect(extension.rows.filter(has_text="Which town is number 50000?")).to_be_visible()
    extension.list.press("End")
    expect(extension.rows.filter(has_text="Which town is number 0?")).to_be_visible()
    extension.search.fill("number 4711?")
    expect(extension.rows).to_have_count(1)
    expect(extension.rows).to_contain_text("Which town is number 4711?")
    extension.search.fill("")
    expect(extension.rows.first).to_contain_text("One more?")
    notebook.screenshot("extension_100000")


def test_keyboard_only(open_cells: OpenCells, extension: ExtensionPage) -> None:
    filled(open_cells)
    keyboard = extension.page.keyboard
    expect(extension.badges).to_have_count(2)
    extension.badges.last.focus()
    keyboard.press("Enter")
    expect(extension.rows).to_have_count(2)
    extension.list.focus()
    keyboard.press("ArrowDown")
    expect(extension.rows.first).to_have_attribute("aria-selected", "true")
    expect(extension.detail).to_contain_text(country(extension.rows.first))
    keyboard.press("End")
    expect(extension.rows.last).to_have_attribute("aria-selected", "true")
    expect(extension.detail).to_contain_text(country(extension.rows.last))  # it replaces the other
    keyboard.press("Tab")
    expect(extension.button("Go to cell [3]").or_(extension.button("Go to cell [4]"))).to_be_focused()
    keyboard.press("Escape")
    expect(extension.detail).to_have_count(0)
    extension.list.focus()
    keyboard.press("Home")
    keyboard.press("Delete")
    expect(extension.message).to_have_text("1 entry deleted")
    expect(extension.rows.first).to_contain_text("(not in the cache)")  # still a call of the cell
    expect(extension.rows.last).to_have_attribute("aria-selected", "true")
