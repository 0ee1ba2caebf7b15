"""What the README tells a user to type does what it says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_notebook
from stand_in import StandIn

README = Path(__file__).parent.parent.joinpath("README.md").read_text("utf-8")


def blocks_of(heading: str) -> list[str]:
    """The blocks of code in a section."""
    (section,) = re.findall(rf"^## {heading}\n(.*?)^## ", README, re.DOTALL | re.MULTILINE)
    return re.findall(r"^```\w*\n(.*?)^```", section, re.DOTALL | re.MULTILINE)


def run(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = ["bash", "-euc", script]
    return subprocess.run(
        command, cwd=folder, env=os.environ | {"PATH": path}, capture_output=True, text=True, check=False
    )


def write(folder: Path, service: StandIn, *cells: str) -> None:
    """A lesson that loads the extension and has a model, with these cells."""
    setup = (
        "%load_ext llmcache_jupyter\n"
        "from langchain_openai import ChatOpenAI\n"
        f"model = ChatOpenAI(model='m', base_url={service.base_url!r}, max_retries=0)"
    )
    nbformat.write(new_notebook(cells=list(map(new_code_cell, (setup, *cells)))), folder / "lesson.ipynb")


def test_replay_in_ci_sends_nothing(tmp_path: Path) -> None:
    config, commands = blocks_of("Replay in CI")
    recipe = commands.partition("\n")[2]  # all is installed
    with StandIn(port=0) as service:
        write(tmp_path, service, "%llmcache on", "model.invoke('a')", "%llmcache save lesson.jsonl --used")
        recorded = run("OPENAI_API_KEY=key jupyter execute lesson.ipynb", tmp_path)
        assert (recorded.returncode, service.requests) == (0, 1), recorded.stderr

        (profile := tmp_path / "ci" / "profile_default").mkdir(parents=True)
        (profile / "ipython_config.py").write_text(config)
        write(tmp_path, service, "model.invoke('a')", "model.invoke('b')")
        files = sorted(tmp_path.rglob("*"))
        replayed = run(recipe, tmp_path)
        assert replayed.returncode == 1
        assert "nothing is stored for this call of m: 'b'" in replayed.stderr
        assert sorted(tmp_path.rglob("*")) == files

        (tmp_path / "lesson.jsonl").unlink()
        replayed = run(recipe, tmp_path)
        assert replayed.returncode == 1
        assert "lesson.jsonl could not be loaded: There is no file lesson.jsonl" in replayed.stderr
        assert service.requests == 1


def test_replay_in_ci_sends_nothing_whatever_the_notebook_says(tmp_path: Path) -> None:
    config, commands = blocks_of("Replay in CI")
    recipe = commands.partition("\n")[2]
    (profile := tmp_path / "ci" / "profile_default").mkdir(parents=True)
    (profile / "ipython_config.py").write_text(config)
    caught = "try:\n    model.invoke('b')\nexcept Exception:\n    pass"
    with StandIn(port=0) as service:
        write(tmp_path, service, "%llmcache on", "model.invoke('a')", "%llmcache save lesson.jsonl")
        assert run("OPENAI_API_KEY=key jupyter execute lesson.ipynb", tmp_path).returncode == 0
        sent = service.requests
        switches = (
            "%llmcache off", "%llmcache on --mode on --ttl 0.001", "%config LLMCacheMagics.mode = 'on'",
            "import llmcache_jupyter; llmcache_jupyter.off()", "%unload_ext llmcache_jupyter",
        )  # fmt: skip
        write(tmp_path, service, *switches, "model.invoke('a')", "model.invoke('b')")
        assert "nothing is stored for this call of m: 'b'" in run(recipe, tmp_path).stderr
        write(tmp_path, service, "%%llmcache refresh\nmodel.invoke('a')", caught)
        replayed = run(recipe, tmp_path)
        assert replayed.returncode == 1
        assert "1 call of this cell had no stored answer: 'b'. Its code went on" in replayed.stderr
        (profile / "ipython_config.py").write_text(f"{config}\nc.LLMCacheMagics.maxsize = -1")
        write(tmp_path, service, "model.invoke('a')")
        replayed = run(recipe, tmp_path)
        assert "maxsize" in replayed.stderr.rpartition("CacheMissError")[2]
        assert (replayed.returncode, service.requests) == (1, sent)
