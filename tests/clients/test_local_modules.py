"""A model whose class is in a module beside the notebook: its code is part of what it is."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.extensions.autoreload import superreload

from llmcache_jupyter import SessionCache

ANSWERS = """
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_openai import ChatOpenAI

def answer(text):
    return ChatResult(generations=[ChatGeneration(message=AIMessage(text))])

class Plain(BaseChatModel):
    @property
    def _llm_type(self):
        return "plain"

    def _generate(self, messages, stop=None, run_manager=None, suffix=".", **kwargs):
        return answer("one" + suffix)

class Derived(ChatOpenAI):
    def _generate(self, messages, stop=None, run_manager=None, suffix=".", **kwargs):
        return answer("one" + suffix)
"""

Make = Callable[[], Any]
Write = Callable[[str], object]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def write(folder: Path) -> Write:
    """Writes the module."""
    return Path(folder, "beside.py").write_text


@pytest.fixture
def module(folder: Path, write: Write, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The module, loaded."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.syspath_prepend(str(folder))
    write(ANSWERS)
    yield importlib.import_module("beside")
    del sys.modules["beside"]


@pytest.fixture(params=["Plain", "Derived"])
def make(request: pytest.FixtureRequest, module: ModuleType, cache: SessionCache) -> Make:
    """Makes a model of a class that LangChain cannot write down, and of one that it can."""
    about = {"model": "m", "api_key": "unused"} if request.param == "Derived" else {}
    return lambda: getattr(module, request.param)(**about)


def ask(model: Any) -> str:
    return str(model.invoke("Hi").content)


class TestReloaded:
    def test_with_other_code_it_is_asked_anew(self, make: Make, module: ModuleType, write: Write) -> None:
        assert ask(make()) == "one."
        write(ANSWERS.replace('"one"', '"two"'))
        importlib.reload(module)
        assert ask(make()) == "two."
        write(ANSWERS)
        importlib.reload(module)
        assert ask(make()) == "one."

    def test_with_another_default(self, make: Make, module: ModuleType, write: Write) -> None:
        assert ask(make()) == "one."
        write(ANSWERS.replace('"."', '"!"'))
        importlib.reload(module)
        assert ask(make()) == "one!"

    def test_with_another_comment_it_is_a_hit(
        self, make: Make, module: ModuleType, write: Write, cache: SessionCache
    ) -> None:
        ask(make())
        write(ANSWERS.replace("        return answer", "        # what it says\n        return answer"))
        importlib.reload(module)
        ask(make())
        assert cache.statistics.total().hits == 1

    def test_the_object_of_before_keeps_its_code(self, make: Make, module: ModuleType, write: Write) -> None:
        model = make()
        assert ask(model) == "one."
        write(ANSWERS.replace('"one"', '"two"'))
        importlib.reload(module)
        assert ask(make()) == "two."
        assert ask(model) == "one."

    def test_by_autoreload_the_object_of_before_has_the_new_code(
        self, make: Make, module: ModuleType, write: Write
    ) -> None:
        model = make()
        assert ask(model) == "one."
        write(ANSWERS.replace('"one"', '"two"'))
        superreload(module, old_objects={})
        assert ask(model) == "two."
        assert ask(make()) == "two."

    def test_edited_before_the_first_call(self, make: Make, module: ModuleType, write: Write) -> None:
        write(ANSWERS.replace('"one"', '"two"'))
        assert ask(make()) == "one."
        importlib.reload(module)
        assert ask(make()) == "two."


class TestWithAutoreloadInTheNotebook:
    @pytest.fixture
    def run(self) -> Iterator[Callable[[str], Any]]:
        """Runs a cell, and returns its value."""
        shell = InteractiveShell()
        shell.run_cell("%load_ext autoreload\n%autoreload 2").raise_error()

        def run(cell: str) -> Any:
            result = shell.run_cell(cell)
            result.raise_error()
            return result.result

        yield run
        shell.run_cell("%autoreload 0").raise_error()

    @pytest.fixture
    def write(self, folder: Path) -> Write:
        """Writes the module, as an editor does: each time with a later date."""
        file = Path(folder, "beside.py")
        dates = count(int(time.time()) - 100)

        def write(text: str) -> None:
            file.write_text(text)
            os.utime(file, (next(dates),) * 2)

        return write

    def test_the_next_cell_asks_the_new_code(
        self, run: Callable[[str], Any], make: Make, write: Write
    ) -> None:
        name = type(make()).__name__
        about = "model='m', api_key='unused'" if name == "Derived" else ""
        ask_it = "str(model.invoke('Hi').content)"
        run(f"from beside import {name}\nmodel = {name}({about})")
        assert run(ask_it) == "one."
        for text, expected in [('"two"', "two."), ('"three"', "three."), ('"one"', "one.")]:
            write(ANSWERS.replace('"one"', text))
            assert run(ask_it) == expected


class TestInNoModule:
    """A module that `importlib` ran, and that is not among `sys.modules`."""

    def test_its_code_is_part_of_it(self, tmp_path: Path, cache: SessionCache) -> None:
        for number, text in enumerate(["one", "two", "one"]):
            file = tmp_path / f"run{number}.py"
            file.write_text(ANSWERS.replace('"one"', f'"{text}"'))
            spec = importlib.util.spec_from_file_location("nowhere", file)
            assert spec is not None
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            assert ask(module.Plain()) == f"{text}."
        assert cache.statistics.total().hits == 1


def test_without_its_source_it_is_cached_too(make: Make, folder: Path, cache: SessionCache) -> None:
    Path(folder, "beside.py").unlink()
    assert [ask(make()), ask(make())] == ["one.", "one."]
    assert cache.statistics.total().hits == 1


class TestInstalled:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        folder = tmp_path / "site-packages"
        folder.mkdir()
        return folder

    def test_its_name_is_enough(
        self, make: Make, module: ModuleType, write: Write, cache: SessionCache
    ) -> None:
        ask(make())
        write(ANSWERS.replace('"."', '"!"'))
        importlib.reload(module)
        assert ask(make()) == "one."
        assert cache.statistics.total().hits == 1
