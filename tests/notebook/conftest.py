"""A real IPython shell with the magics on a session of its own, and a model that is asked through it."""

from __future__ import annotations

import atexit
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from llmcache_jupyter.caches import Generation
from llmcache_jupyter.notebook.magics import load, unload
from llmcache_jupyter.session.session import Session


class Model:
    """A client of the session's cache whose model answers `re: PROMPT`, and counts how often it was asked."""

    def __init__(self, session: Session, name: str) -> None:
        self._cache = session.cache
        self._llm_string = f"[('model', {name!r})]"
        self.asked = 0

    def __call__(self, prompt: str) -> str:
        answer = self._cache.lookup(prompt, self._llm_string)
        if answer is None:
            answer = self._answer(prompt)
            self._cache.update(prompt, self._llm_string, answer)
        return str(answer[0].text)

    async def ask(self, prompt: str) -> str:
        answer = await self._cache.alookup(prompt, self._llm_string)
        if answer is None:
            answer = self._answer(prompt)
            await self._cache.aupdate(prompt, self._llm_string, answer)
        return str(answer[0].text)

    def _answer(self, prompt: str) -> list[Generation]:
        self.asked += 1
        return [Generation(f"re: {prompt}")]


@dataclass(frozen=True)
class Ran:
    """What a cell led to: its value, what it printed, and its error."""

    value: Any
    printed: str
    error: BaseException | None


class Notebook:
    """A shell that runs cells, as a notebook does."""

    def __init__(self, shell: InteractiveShell, session: Session, capsys: pytest.CaptureFixture[str]) -> None:
        self.shell = shell
        self.session = session
        self._capsys = capsys

    def run(self, code: str, cell_id: str | None = None) -> Ran:
        self._capsys.readouterr()
        result = self.shell.run_cell(code, store_history=True, cell_id=cell_id)
        printed = self._capsys.readouterr()
        return Ran(result.result, printed.out + printed.err, result.error_in_exec or result.error_before_exec)

    def fails(self, code: str) -> str:
        """The one line that a user's mistake is answered with."""
        ran = self.run(code)
        assert type(ran.error).__name__ == "UsageError", ran
        assert ran.printed == f"UsageError: {ran.error}\n"
        assert str(ran.error).count("\n") == 0
        return str(ran.error)

    def model(self, name: str = "gpt") -> Model:
        """A model that cells know by the name `ask`."""
        model = Model(self.session, name)
        self.shell.user_ns["ask"] = model
        return model


@pytest.fixture
def session() -> Iterator[Session]:
    session = Session()
    yield session
    session.deactivate()


@pytest.fixture
def shell() -> Iterator[InteractiveShell]:
    config = Config()
    config.HistoryManager.enabled = False
    shell = InteractiveShell(config=config)
    yield shell
    unload(shell)
    atexit.unregister(shell.atexit_operations)  # at the end, each would look through all memory for garbage


@pytest.fixture
def notebook(shell: InteractiveShell, session: Session, capsys: pytest.CaptureFixture[str]) -> Notebook:
    load(shell, session)
    return Notebook(shell, session, capsys)


@pytest.fixture
def filled(notebook: Notebook) -> Notebook:
    """Cache on; cell 2 asked `gpt` about France, Japan and France, cell 3 asked `cedar` about Kenya."""
    notebook.run("%llmcache on")
    notebook.model()
    notebook.run("for country in ('France', 'Japan', 'France'): ask(f'The capital of {country}?')")
    notebook.model("cedar")
    notebook.run("ask('The capital of Kenya?')")
    return notebook
