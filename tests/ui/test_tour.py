"""The notebooks in a real JupyterLab, as a reader meets them."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Locator, expect

from tests.ui.notebook_page import NotebookPage

OpenNotebook = Callable[[str], NotebookPage]


def output_of(notebook: NotebookPage, source: str) -> Locator:
    """What the first cell shows whose source holds `source`."""
    return notebook.output(notebook.index_of(source))


def figure(card: Locator, name: str) -> Locator:
    """A figure of the status card by its name."""
    return card.locator("div", has=card.page.get_by_text(name, exact=True)).last.locator("dd")


def take_pictures(notebook: NotebookPage, name: str) -> None:
    """The whole notebook, in both themes."""
    notebook.page.set_viewport_size({"width": 1200, "height": 5200})
    for theme in ("Light", "Dark"):
        notebook.theme(f"JupyterLab {theme}")
        notebook.screenshot(f"{name}_{theme.lower()}")


def test_the_tour_keeps_its_word(open_notebook: OpenNotebook) -> None:
    tour = open_notebook("01_tour.ipynb")
    tour.run_all()

    expect(output_of(tour, "so far")).to_have_text("Requests so far: 1")
    card = tour.output(tour.index_of("`%llmcache` alone") + 1)
    expect(figure(card, "hits")).to_have_text("1")
    expect(figure(card, "misses")).to_have_text("1")
    expect(figure(card, "time saved")).to_contain_text("s")
    expect(output_of(tour, "%%llmcache refresh\n")).to_contain_text("1 miss · 1 stored")
    expect(output_of(tour, "%llmcache clear")).to_have_text("4 entries cleared")
    take_pictures(tour, "tour")

    tour.run_all()  # each cell can be run again
    expect(output_of(tour, "so far")).to_have_text("Requests so far: 1")


def test_the_panel_follows_the_tour(open_notebook: OpenNotebook) -> None:
    tour = open_notebook("01_tour.ipynb")
    shown = tour.index_of("%llmcache panel")
    for index in range(shown + 1):
        tour.run(index)
    panel = tour.page.locator(".llmcache-panel")

    expect(panel).to_contain_text("4 entries · 2 hits · 4 misses")
    panel.get_by_role("row").filter(has_text="haiku").click()
    expect(panel.locator("pre").last).to_contain_text("The meter stands still.")
    tour.screenshot("tour_panel", of=tour.cell(shown))  # `make pictures` puts it into the README

    tour.run(tour.index_of("%%llmcache refresh\n"))
    expect(panel).to_contain_text("4 entries · 2 hits · 5 misses")
    tour.run(tour.index_of("%llmcache clear"))
    expect(panel).to_contain_text("0 entries")


def test_what_runs_twice_makes_no_request_the_second_time(open_notebook: OpenNotebook) -> None:
    notebook = open_notebook("02_chats_and_agents.ipynb")
    notebook.run_all()

    for section in ("A conversation", "An agent", "Structured", "Many calls", "Asynchronous"):
        first = notebook.index_of(f"## {section}") + 1
        expect(notebook.output(first)).to_contain_text("Requests: ")
        expect(notebook.output(first)).not_to_contain_text("Requests: 0")
        expect(notebook.output(first + 1)).to_contain_text("Requests: 0")
    take_pictures(notebook, "chats")
