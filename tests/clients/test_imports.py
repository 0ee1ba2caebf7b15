"""when_imported: once, right after the import, whatever others do about it."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from llmcache_jupyter.clients.imports import when_imported

NAME = "llmcache_test_module"


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Writes the module that is going to be imported."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def write(source: str) -> None:
        (tmp_path / f"{NAME}.py").write_text(source, encoding="utf-8")
        importlib.invalidate_caches()

    write("value = 3\n")
    yield write
    sys.modules.pop(NAME, None)


@pytest.fixture
def finders() -> Iterator[list[Any]]:
    """What sys.meta_path was before; and it is so again in the end."""
    before = list(sys.meta_path)
    yield before
    try:
        assert sys.meta_path == before
    finally:
        sys.meta_path[:] = before


def test_now_if_it_is_imported(write: Callable[[str], None], finders: list[Any]) -> None:
    importlib.import_module(NAME)
    told: list[ModuleType] = []
    undo = when_imported(NAME, told.append)
    assert told == [sys.modules[NAME]]
    undo()


def test_else_right_after_its_import(write: Callable[[str], None], finders: list[Any]) -> None:
    told: list[int] = []
    when_imported(NAME, lambda module: told.append(module.value))
    assert NAME not in sys.modules
    assert told == []
    importlib.import_module(NAME)
    assert told == [3]
    assert sys.meta_path == finders


def test_the_module_is_as_it_would_be(write: Callable[[str], None], finders: list[Any]) -> None:
    when_imported(NAME, lambda _: None)
    module = importlib.import_module(NAME)
    assert module.__spec__ is not None
    assert type(module.__spec__.loader).__name__ == type(module.__loader__).__name__ == "SourceFileLoader"
    assert module.__spec__.loader.get_source(NAME) == "value = 3\n"  # type: ignore[union-attr]
    assert module.__file__ is not None
    write("value = 4  # longer\n")
    assert importlib.reload(module).value == 4


def test_a_reload_is_no_import(write: Callable[[str], None], finders: list[Any]) -> None:
    told: list[ModuleType] = []
    when_imported(NAME, told.append)
    module = importlib.import_module(NAME)
    importlib.reload(module)
    assert told == [module]


def test_it_can_be_taken_back(write: Callable[[str], None], finders: list[Any]) -> None:
    told: list[ModuleType] = []
    undo = when_imported(NAME, told.append)
    undo()
    undo()
    assert sys.meta_path == finders
    importlib.import_module(NAME)
    assert told == []


def test_several_may_wait_for_one_module(write: Callable[[str], None], finders: list[Any]) -> None:
    told: list[str] = []
    when_imported(NAME, lambda _: told.append("one"))
    undo = when_imported(NAME, lambda _: told.append("taken back"))
    when_imported(NAME, lambda _: told.append("three"))
    undo()
    importlib.import_module(NAME)
    assert sorted(told) == ["one", "three"]


def test_asking_where_a_module_is_does_not_count(write: Callable[[str], None], finders: list[Any]) -> None:
    """Libraries do so to see what is installed."""
    told: list[ModuleType] = []
    when_imported(NAME, told.append)
    assert importlib.util.find_spec(NAME) is not None
    assert importlib.util.find_spec("absent_module_of_this_test") is None
    assert told == []
    importlib.import_module(NAME)
    assert len(told) == 1


def test_an_import_that_fails_may_be_tried_again(write: Callable[[str], None], finders: list[Any]) -> None:
    """A user interrupts a slow import, and runs the cell once more."""
    told: list[ModuleType] = []
    when_imported(NAME, told.append)
    write("raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        importlib.import_module(NAME)
    assert (told, NAME in sys.modules) == ([], False)
    write("value = 5\n")
    assert importlib.import_module(NAME).value == 5
    assert len(told) == 1


def test_a_module_that_is_not_there_is_not_there(finders: list[Any]) -> None:
    undo = when_imported("absent_module_of_this_test", lambda _: None)
    with pytest.raises(ModuleNotFoundError, match="absent_module_of_this_test"):
        importlib.import_module("absent_module_of_this_test")
    undo()


def test_the_action_may_import_the_module_itself(write: Callable[[str], None], finders: list[Any]) -> None:
    told: list[ModuleType] = []
    when_imported(NAME, lambda _: told.append(importlib.import_module(NAME)))
    assert [importlib.import_module(NAME)] == told


def test_a_finder_of_the_old_kind_in_between_harms_nothing(
    write: Callable[[str], None], finders: list[Any]
) -> None:
    class Old:
        pass

    told: list[ModuleType] = []
    old = Old()
    sys.meta_path.insert(0, old)  # type: ignore[arg-type]
    when_imported(NAME, told.append)
    importlib.import_module(NAME)
    sys.meta_path.remove(old)  # type: ignore[arg-type]
    assert len(told) == 1
