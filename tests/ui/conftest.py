"""Fixtures for browser tests: one JupyterLab and one browser for all, a folder and a page for each test."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import Dialog, Page, Request, expect

from tests.ui import browser
from tests.ui.extension_page import ExtensionPage
from tests.ui.notebook_page import NotebookPage
from tests.ui.server import Lab, running_lab

NOTEBOOKS = Path(__file__).parent.parent.parent / "notebooks"
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
CHROMIUM_ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

# at a kernel's end, where a notebook is opened without one, and whenever Notebook 7 starts
JUPYTERS_OWN = (
    "Could not restore the debugger state",
    "Error: widget model not found",
    "Cannot read properties of undefined (reading 'schema')",
)

expect.set_options(timeout=20_000)


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    arguments = {**browser_type_launch_args, "args": CHROMIUM_ARGS}
    # without a path, Playwright takes the browser that it downloaded
    if path := browser.installed():
        arguments["executable_path"] = path
    return arguments


@pytest.fixture(scope="session")
def browser_context_args(browser_context_args: dict[str, Any]) -> dict[str, Any]:
    return {**browser_context_args, "viewport": {"width": 1400, "height": 1000}}


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A running JupyterLab."""
    with running_lab(tmp_path_factory.mktemp("lab")) as lab:
        yield lab


@pytest.fixture
def folder(lab: Lab, request: pytest.FixtureRequest) -> Path:
    """The test's own folder below JupyterLab's root, with a copy of `notebooks/`."""
    folder = lab.root / re.sub(r"\W+", "_", request.node.name)
    shutil.copytree(NOTEBOOKS, folder, ignore=shutil.ignore_patterns(".*", "__pycache__"))
    return folder


@pytest.fixture
def complaints(lab: Lab, page: Page) -> Iterator[list[str]]:
    """What the page complains about, and whom else it asks: nothing and nobody, at the end of each test."""
    complaints: list[str] = []

    def dismiss(dialog: Dialog) -> None:
        complaints.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def check_address(request: Request) -> None:
        if not request.url.startswith((lab.url, "data:", "blob:")):
            complaints.append(f"request: {request.url}")

    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", dismiss)
    page.on("request", check_address)
    yield complaints
    assert not [text for text in complaints if not text.startswith(JUPYTERS_OWN)]


@pytest.fixture
def open_notebook(lab: Lab, folder: Path, page: Page) -> Iterator[Callable[[str], NotebookPage]]:
    """Opens a notebook of the test's folder: `open_notebook("01_tour.ipynb")`. Kernels end with the test."""
    page.set_default_timeout(60_000)
    yield lambda name: NotebookPage(page, lab, f"{folder.name}/{name}")
    page.evaluate("() => window.jupyterapp?.serviceManager.sessions.shutdownAll()")


@pytest.fixture
def open_cells(folder: Path, open_notebook: Callable[[str], NotebookPage]) -> Callable[..., NotebookPage]:
    """Opens a new notebook with these code cells: `open_cells("x = 1", "x + 1")`."""

    def open_cells(*sources: str) -> NotebookPage:
        cells = [new_code_cell(source) for source in sources]
        nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": KERNEL}), folder / "cells.ipynb")
        return open_notebook("cells.ipynb")

    return open_cells


@pytest.fixture
def extension(page: Page) -> ExtensionPage:
    """What the extension shows on the page."""
    return ExtensionPage(page)
