"""Runs the notebooks and saves what they show: `make notebooks`, after a change that they should follow.

Not saved: times of execution, and widgets, whose ids mean nothing once their kernel is gone.

The answers that 03_persist_and_replay.ipynb replays are recorded only if their file was deleted.
"""

from __future__ import annotations

import os
from copy import deepcopy
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from stand_in import HOST, StandIn

FOLDER = Path(__file__).parent.parent.parent / "notebooks"
WIDGET = "application/vnd.jupyter.widget-view+json"
SECONDS = 120

LESSON = FOLDER / "lesson.jsonl"
REPLAY = FOLDER / "03_persist_and_replay.ipynb"
REPLAY_PORT = 28767


def record(path: Path) -> None:
    """Run one notebook in its folder and save it with its outputs."""
    notebook = nbformat.read(path, as_version=4)
    run(notebook)
    notebook.metadata.language_info = {"name": "python"}  # without the version of whoever ran it
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            output.get("data", {}).pop(WIDGET, None)
    nbformat.write(notebook, path)


def record_lesson() -> None:
    """Run what the replay notebook asks, this time with a model, and save the answers."""
    notebook = deepcopy(nbformat.read(REPLAY, as_version=4))
    miss = next(at for at, cell in enumerate(notebook.cells) if cell.id == "miss")
    notebook.cells = [cell for cell in notebook.cells[:miss] if cell.cell_type == "code"]
    for cell in notebook.cells:
        cell.source = cell.source.replace(f"--mode replay --load {LESSON.name}", "")
    notebook.cells.append(nbformat.v4.new_code_cell(f"%llmcache save {LESSON.name} --used"))
    os.environ["NO_PROXY"] = HOST
    with StandIn(port=REPLAY_PORT, delay=0.8):
        run(notebook)


def run(notebook: nbformat.NotebookNode) -> None:
    """Run a notebook's cells in the notebooks' folder."""
    NotebookClient(
        notebook,
        timeout=SECONDS,
        kernel_name="python3",
        coalesce_streams=True,
        record_timing=False,
        store_widget_state=False,
        resources={"metadata": {"path": FOLDER}},
    ).execute()


if __name__ == "__main__":
    if not LESSON.exists():
        record_lesson()
    for path in sorted(FOLDER.glob("*.ipynb")):
        record(path)
