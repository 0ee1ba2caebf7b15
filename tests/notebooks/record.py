"""Runs the notebooks and saves what they show: `make notebooks`, after a change that they should follow.

Not saved: times of execution, and widgets, whose ids mean nothing once their kernel is gone.
"""

from __future__ import annotations

from pathlib import Path

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).parent.parent.parent / "notebooks"
WIDGET = "application/vnd.jupyter.widget-view+json"
SECONDS = 120


def record(path: Path) -> None:
    """Run one notebook in its folder and save it with its outputs."""
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(
        notebook,
        timeout=SECONDS,
        kernel_name="python3",
        coalesce_streams=True,
        record_timing=False,
        store_widget_state=False,
        resources={"metadata": {"path": path.parent}},
    ).execute()
    notebook.metadata.language_info = {"name": "python"}  # without the version of whoever ran it
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            output.get("data", {}).pop(WIDGET, None)
    nbformat.write(notebook, path)


if __name__ == "__main__":
    for path in sorted(FOLDER.glob("*.ipynb")):
        record(path)
