"""The notebooks as they are checked in. `make nbval` runs them; this holds what nbval lets pass."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from stand_in import StandIn

FOLDER = Path(__file__).parent.parent / "notebooks"
PATHS = sorted(FOLDER.glob("*.ipynb"))
REPLAY = FOLDER / "03_persist_and_replay.ipynb"
ASKING = [path for path in PATHS if path != REPLAY]


@pytest.fixture(params=PATHS, ids=[path.name for path in PATHS])
def notebook(request: pytest.FixtureRequest) -> nbformat.NotebookNode:
    content: nbformat.NotebookNode = nbformat.read(request.param, as_version=4)
    return content


def code_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def execute(notebook: nbformat.NotebookNode) -> None:
    """Run the notebook in its folder."""
    NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": FOLDER}}
    ).execute()


def test_there_are_notebooks() -> None:
    assert PATHS, f"no notebook in {FOLDER}"


def test_each_code_cell_was_run_once_from_top_to_bottom(notebook: nbformat.NotebookNode) -> None:
    # nbval compares nothing for a cell without an execution count
    counts = [cell.execution_count for cell in code_cells(notebook)]
    assert counts == list(range(1, len(counts) + 1))


def test_outputs_are_kept(notebook: nbformat.NotebookNode) -> None:
    assert any(cell.outputs for cell in code_cells(notebook))


def test_no_cell_failed_unless_it_says_so(notebook: nbformat.NotebookNode) -> None:
    failed = [
        cell.source
        for cell in code_cells(notebook)
        if any(output.output_type == "error" for output in cell.outputs)
        and "raises-exception" not in cell.metadata.get("tags", [])
    ]
    assert failed == []


def test_no_widget_state_is_saved(notebook: nbformat.NotebookNode) -> None:
    # its ids are new in each run, and it holds prompts and answers
    assert "widgets" not in notebook.metadata


def test_no_output_tells_of_a_machine(notebook: nbformat.NotebookNode) -> None:
    outputs = [str(cell.outputs) for cell in code_cells(notebook)]
    assert [
        output for output in outputs if re.search(r"/(tmp|home|root|Users|work)\b|ipykernel_", output)
    ] == []


@pytest.mark.parametrize("path", ASKING, ids=[path.name for path in ASKING])
def test_with_a_key_the_service_is_asked(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = nbformat.read(path, as_version=4)
    with StandIn(port=0) as service:
        monkeypatch.setenv("OPENAI_API_KEY", "a key")
        monkeypatch.setenv("OPENAI_BASE_URL", service.base_url)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        execute(content)
        assert service.requests > 0
        assert "stand-in" not in {body["model"] for body in service.log}


BLOCK = Path(__file__).parent / "notebooks" / "no_network"
CONNECT = "import socket, sys; socket.create_connection(('127.0.0.1', int(sys.argv[1]))); print('connected')"


def test_the_replay_notebook_asks_no_model_though_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    content = nbformat.read(REPLAY, as_version=4)
    content.cells = [cell for cell in content.cells if cell.id != "no-model"]
    setup = "from langchain_openai import ChatOpenAI\naddress = 'http://127.0.0.1:28767/v1'\n"
    setup += "model = ChatOpenAI(model='stand-in', base_url=address, api_key='none', max_retries=0)"
    content.cells.insert(0, nbformat.v4.new_code_cell(setup))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    before = set(FOLDER.iterdir())
    with StandIn(port=28767) as service:
        execute(content)
        assert (service.requests, service.log) == (0, [])
    assert set(FOLDER.iterdir()) == before


def test_the_block_of_the_network_bites(monkeypatch: pytest.MonkeyPatch) -> None:
    with StandIn(port=0) as service:
        command = [sys.executable, "-c", CONNECT, str(service.port)]
        free = subprocess.run(command, capture_output=True, text=True, check=False)
        assert free.stdout == "connected\n", free.stderr
        monkeypatch.setenv("PYTHONPATH", str(BLOCK))
        blocked = subprocess.run(command, capture_output=True, text=True, check=False)
        assert blocked.stdout == ""
        assert f"socket.connect ('127.0.0.1', {service.port}): the network is blocked" in blocked.stderr
        # and in a kernel, for the client that the notebooks use
        cells = [
            "from langchain_openai import ChatOpenAI",
            f"model = ChatOpenAI(model='m', base_url={service.base_url!r}, api_key='none', max_retries=0)",
            "try:\n    model.invoke('Hi')\nexcept Exception as error:\n    print(repr(error.__cause__))",
        ]
        content = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        execute(content)
        assert "Connect" in content.cells[-1].outputs[0].text
        assert service.log == []
