"""`%llmcache save` and `load`: files to hand on, and a notebook that is replayed from one without a key."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell
from stand_in import StandIn
from traitlets.config import Config

import llmcache_jupyter as llmcache
from llmcache_jupyter.errors import CacheWarning
from llmcache_jupyter.notebook.magics import load, unload
from llmcache_jupyter.notebook.progress import progress_bar
from llmcache_jupyter.session.missed import MissedCalls
from llmcache_jupyter.session.session import Session
from tests.fakes import FailingCache
from tests.notebook.conftest import Notebook
from tests.notebook.kernel import Kernel

SECRET = "sk-proj-Abc123Def456Ghi789"
COUNTRIES = ["The capital of France?", "The capital of Japan?", "The capital of Kenya?"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def asked(name: str = "lesson.jsonl") -> list[str]:
    return [json.loads(line)["asked"] for line in Path(name).read_text("utf-8").splitlines()]


def emptied(notebook: Notebook) -> Notebook:
    notebook.run("%llmcache clear")
    return notebook


class TestSave:
    def test_all(self, filled: Notebook) -> None:
        assert filled.run("%llmcache save lesson.jsonl").printed == "3 entries saved to lesson.jsonl\n"
        assert asked() == [COUNTRIES[2], *COUNTRIES[:2]]

    def test_a_part(self, filled: Notebook) -> None:
        filled.run("%llmcache save lesson.jsonl --model cedar")
        assert asked() == COUNTRIES[2:]
        for option in ("--cell 2", "--cell [2]", "--cell=2", "--cell 2 --used"):
            filled.run(f"%llmcache save lesson.jsonl {option}")
            assert asked() == COUNTRIES[:2]

    def test_what_this_run_used(self, filled: Notebook) -> None:
        filled.run("%llmcache save all.jsonl")
        other = emptied(filled)
        other.session._used = type(other.session._used)()  # as a new kernel has
        other.run("%llmcache load all.jsonl")
        other.run("ask('The capital of Kenya?')")
        assert other.run("%llmcache save used.jsonl --used").printed == "1 entry saved to used.jsonl\n"
        assert asked("used.jsonl") == COUNTRIES[2:]

    def test_a_name_with_spaces(self, filled: Notebook) -> None:
        filled.run("%llmcache save 'my lesson.jsonl'")
        assert len(asked("my lesson.jsonl")) == 3

    def test_what_was_left_out_is_told(self, filled: Notebook) -> None:
        filled.run(f"ask('My key is {SECRET}.')")
        (held,) = filled.session.lookup(f"My key is {SECRET}.")
        filled.session.delete(filled.session.lookup(COUNTRIES[0])[0].id)
        assert filled.run("%llmcache save lesson.jsonl --used").printed == (
            "3 entries saved to lesson.jsonl\n"
            "  ! 1 entry cannot be replayed: what looks like a credential was taken out "
            f"({held.id}).\n"
            "  ! 1 entry was used and is no longer in the cache.\n"
        )
        assert SECRET not in Path("lesson.jsonl").read_text()

    @pytest.mark.parametrize(
        ("line", "why"),
        [
            ("save", "FILE. Write: %llmcache save FILE"),
            ("save a b", "unrecognized arguments: b"),
            ("save lesson.jsonl --cell first", "a cell's number as the notebook shows it, 7 or .7."),
            ("save lesson.jsonl --cell 99", r"No call of a cell \[99\] .* such calls: \[2\], \[3\]"),
            ("save lesson.jsonl --model gtp", "There is no model 'gtp' here, only cedar, gpt"),
            ("save lesson.jsonl --cell 3 --model gpt", "There is nothing to save"),
            ("save .", "is a folder"),
            ("save none/lesson.jsonl", "there is no folder none: make it first"),
            ("save notes.txt", "notes.txt was not written by `%llmcache save`"),
            ("load", "FILE. Write: %llmcache load FILE"),
            ("load none.jsonl", "There is no file none.jsonl in /.*: `%llmcache save none.jsonl` writes one"),
            ("load .", "is a folder"),
            ("load notes.txt", r"notes.txt holds no entry that can be read \(line 1: it is no JSON"),
            ("on --load none.jsonl", "There is no file none.jsonl"),
        ],
    )
    def test_a_mistake_is_one_line(self, filled: Notebook, line: str, why: str) -> None:
        Path("notes.txt").write_text("my notes")
        before = filled.session.status()
        assert re.search(why, filled.fails(f"%llmcache {line}"))
        assert filled.session.status() == before
        assert sorted(os.listdir()) == ["notes.txt"]  # noqa: PTH208

    def test_before_on(self, notebook: Notebook) -> None:
        Path("lesson.jsonl").touch()
        for line in ("save lesson.jsonl", "load lesson.jsonl"):
            assert notebook.fails(f"%llmcache {line}").endswith("run `%llmcache on` first.")


class TestLoad:
    def test_what_was_saved(self, filled: Notebook) -> None:
        filled.run("%llmcache save lesson.jsonl")
        told = filled.run("%llmcache load lesson.jsonl").printed
        assert told == "0 entries loaded from lesson.jsonl · 3 entries were there already\n"
        emptied(filled)
        assert filled.run("%llmcache load lesson.jsonl").printed == "3 entries loaded from lesson.jsonl\n"
        model = filled.model()
        assert filled.run("print(ask('The capital of Japan?'))").printed == "re: The capital of Japan?\n"
        assert model.asked == 0

    def test_bad_lines_are_told_by_number(self, filled: Notebook) -> None:
        filled.run("%llmcache save lesson.jsonl")
        with Path("lesson.jsonl").open("a") as file:
            file.write("\x1b[31m\n" * 12)
        lines = emptied(filled).run("%llmcache load lesson.jsonl").printed.splitlines()
        assert lines[0] == "3 entries loaded from lesson.jsonl"
        assert lines[1] == "  ! line 4: it is no JSON (Expecting value at character 1)"
        assert (len(lines), lines[-1]) == (12, "  ! and 2 more bad lines")

    @pytest.mark.parametrize("name", ["$file", "{folder}/lesson.jsonl", "$folder/lesson.jsonl"])
    def test_a_variable_in_the_files_name(self, filled: Notebook, name: str) -> None:
        filled.run("file, folder = 'sub/lesson.jsonl', 'sub'")
        Path("sub").mkdir()
        assert filled.run(f"%llmcache save {name}").printed == "3 entries saved to sub/lesson.jsonl\n"
        assert "3 entries were there" in filled.run(f"%llmcache load {name}").printed
        assert "from sub/lesson.jsonl" in filled.run(f"%llmcache on --load {name}").printed

    def test_a_variable_in_the_stores_name(self, filled: Notebook) -> None:
        filled.run("name = 'notes'\n%llmcache on --store {name}.sqlite")
        assert Path("notes.sqlite").exists()
        filled.run("%llmcache on --store none")

    def test_what_is_no_variable_is_a_files_name(self, filled: Notebook) -> None:
        for name in ("$none.jsonl", "{none}.jsonl", "{.jsonl"):
            filled.run(f"%llmcache save {name}")
            assert Path(name).exists()

    def test_more_than_the_maximum(self, filled: Notebook) -> None:
        filled.run("%llmcache save lesson.jsonl\n%llmcache on --maxsize 2\n%llmcache clear")
        assert filled.run("%llmcache load lesson.jsonl").printed == (
            "3 entries loaded from lesson.jsonl · 1 entry had to go: that is the maximum\n"
        )

    def test_entries_without_their_credentials_are_told(self, filled: Notebook) -> None:
        filled.run(f"ask('My key is {SECRET}.')\n%llmcache save lesson.jsonl")
        assert emptied(filled).run("%llmcache load lesson.jsonl").printed == (
            "3 entries loaded from lesson.jsonl\n"
            "  ! 1 entry was left out: a credential was taken out at the save.\n"
        )

    def test_the_panel_follows(self, filled: Notebook) -> None:
        filled.run("%llmcache save lesson.jsonl")
        told: list[Any] = []
        filled.session.subscribe(told.append)
        emptied(filled).run("%llmcache load lesson.jsonl")
        assert [type(event).__name__ for event in told] == ["Cleared", "Switched"]


class TestReplay:
    def test_on_with_a_file(self, filled: Notebook) -> None:
        filled.run("%llmcache save lesson.jsonl\n%llmcache clear\n%llmcache off")
        told = filled.run("%llmcache on --mode replay --load lesson.jsonl").printed
        assert told == "LLM cache on · mode replay · no maximum\n3 entries loaded from lesson.jsonl\n"
        model = filled.model()
        assert filled.run("ask('The capital of France?')").error is None
        error = filled.run("ask('The capital of Peru?')").error
        assert type(error).__name__ == "CacheMissError"
        nearest = filled.session.why().nearest
        assert str(error) == (
            "Mode replay, and nothing is stored for this call of gpt: 'The capital of Peru?'. The nearest, "
            f"entry {nearest}, differs in one thing:\n"
            "  - the prompt differs at character 16\n"
            "      stored: The capital of Japan?\n"
            "      asked:  The capital of Peru?\n"
            "Nothing was sent. To record it, run the cell once with `%%llmcache on` as its first line (or "
            "`%llmcache on --mode on` for the session), with a key for the model. `%llmcache save FILE` then "
            "writes the file that you replay anew. `%llmcache why` tells more."
        )
        assert model.asked == 0
        # and so it is done
        filled.run("%%llmcache on\nask('The capital of Peru?')")
        filled.run("%llmcache save lesson.jsonl")
        assert len(asked()) == 4

    def test_a_miss_knows_what_the_file_was_loaded_without(self, filled: Notebook) -> None:
        filled.run(f"ask('My key is {SECRET}.')\n%llmcache save lesson.jsonl\n%llmcache clear")
        with Path("lesson.jsonl").open("a") as file:
            file.write("no entry\n")
        filled.run("%llmcache on --mode replay --load lesson.jsonl")
        note = (
            "lesson.jsonl was loaded without 1 entry that lost its credential at the save and 1 line that "
            "cannot be read: this call's entry may be among them."
        )
        assert note in str(filled.run("ask('x')").error)
        assert note in filled.session.why().notes
        filled.run("%llmcache on --mode on\n%llmcache clear\nask('a new one')\n%llmcache save new.jsonl")
        Path("new.jsonl").replace("lesson.jsonl")
        filled.run("%llmcache on --mode replay --load lesson.jsonl")
        assert "without" not in str(filled.run("ask('x')").error)

    def test_a_miss_knows_that_the_files_entry_had_expired(self, filled: Notebook) -> None:
        filled.run("%llmcache save lesson.jsonl\n%llmcache clear")
        lines = [json.loads(line) for line in Path("lesson.jsonl").read_text("utf-8").splitlines()]
        before = datetime.now(UTC) - timedelta(days=3)
        Path("lesson.jsonl").write_text(
            "\n".join(json.dumps(line | {"stored": before.isoformat()}) for line in lines)
        )
        filled.run("%llmcache on --mode replay --ttl 1d --load lesson.jsonl")
        words = (
            "Its entry in lesson.jsonl had expired 2 d before: entries live only for a time "
            "(`%llmcache on --ttl none --load lesson.jsonl` brings it)."
        )
        assert words in str(filled.run(f"ask({COUNTRIES[2]!r})").error)
        assert filled.session.why().reason == words
        filled.run("%llmcache on --ttl none --load lesson.jsonl")
        assert filled.run(f"ask({COUNTRIES[2]!r})").error is None

    def test_a_miss_knows_that_there_was_no_room_for_the_files_entry(self, filled: Notebook) -> None:
        filled.run("%llmcache save lesson.jsonl\n%llmcache clear\n%llmcache off")
        filled.session.cache.missed = MissedCalls(filled.session.cache.events)  # as a new kernel has
        filled.model()
        filled.run("%llmcache on --mode replay --maxsize 1 --load lesson.jsonl")
        assert "was evicted (maxsize 1)" in str(filled.run(f"ask({COUNTRIES[0]!r})").error)

    def test_the_configured_file_is_loaded_with_the_one_that_is_named(self, filled: Notebook) -> None:
        filled.run("%llmcache save all.jsonl\n%llmcache save cedar.jsonl --model cedar\n%llmcache clear")
        filled.run("%llmcache off\n%config LLMCacheMagics.load = 'all.jsonl'")
        told = filled.run("%llmcache on --load cedar.jsonl").printed
        assert "1 entry loaded from cedar.jsonl\n" in told
        assert "2 entries loaded from all.jsonl · 1 entry was there already\n" in told
        assert "loaded" not in filled.run("%llmcache on").printed

    def test_a_cell_that_goes_on_after_a_miss_is_told_of(self, filled: Notebook) -> None:
        filled.run("%llmcache on --mode replay")
        asked_on = "for prompt in ('x', 'x', 'y'):\n    try: ask(prompt)\n    except Exception: pass"
        ran = filled.run(asked_on)
        assert ran.error is None
        assert ran.printed.startswith(
            "llmcache: Mode replay, and 2 calls of this cell had no stored answer: 'x', 'y'. Its code went on"
        )
        assert "llmcache: " not in filled.run(f"ask({COUNTRIES[2]!r})").printed
        assert "llmcache: " not in filled.run("ask('x')").printed
        as_a_batch = (  # which raises the first error at the end
            "errors = []\nfor prompt in 'xyz':\n    try: ask(prompt)\n"
            "    except Exception as error: errors.append(error)\nraise errors[0]"
        )
        told = "llmcache: 3 calls of this cell had no stored answer: 'x', 'y', 'z'.\n"
        assert told in filled.run(as_a_batch).printed
        filled.run("%llmcache on --mode on")
        assert filled.run(asked_on).printed == ""

    @pytest.mark.filterwarnings("ignore::llmcache_jupyter.CacheWarning")
    def test_so_is_one_that_goes_on_after_the_store_failed(self, filled: Notebook) -> None:
        caught = "try: ask('x')\nexcept Exception: pass"
        filled.run("%llmcache on --mode replay")
        filled.session.cache.backend = FailingCache("get")
        assert "llmcache: Mode replay, and 1 call of this cell" in filled.run(caught).printed
        filled.session.cache.backend = FailingCache()
        assert "llmcache: " not in filled.run(f"%%llmcache on\n{caught}").printed.replace("llmcache on: ", "")

    def test_replay_only_from_within_the_notebook(self, filled: Notebook) -> None:
        filled.run("%config LLMCacheMagics.replay_only = True")
        try:
            told = filled.run("%llmcache off").printed
            assert told == "LLM cache on, as before: the configuration has it replay only\n"
            assert filled.run("%llmcache on --mode on --ttl 1s").printed.startswith(
                "LLM cache on · mode replay ·"
            )
            assert filled.run(f"ask({COUNTRIES[2]!r})").error is None
            assert type(filled.run("%%llmcache off\nask('x')").error).__name__ == "CacheMissError"
            caught = filled.run("try: ask('x')\nexcept Exception: pass").error
            assert "Its code went on" in str(caught)
        finally:
            filled.session.cache.replay_only = False

    def test_from_the_configuration(self, filled: Notebook, capsys: pytest.CaptureFixture[str]) -> None:
        filled.run("%llmcache save lesson.jsonl")
        config = Config({"LLMCacheMagics": {"mode": "replay", "load": "lesson.jsonl"}})
        config.HistoryManager.enabled = False
        for autostart in (False, True):
            config.LLMCacheMagics.autostart = autostart
            shell, session = InteractiveShell(config=config), Session()
            load(shell, session)
            try:
                notebook = Notebook(shell, session, capsys)
                assert session.active is autostart
                first = notebook.run("%llmcache on").printed
                assert ("3 entries loaded" in first) is not autostart
                assert len(session.entries().entries) == 3
                assert "loaded" not in notebook.run("%llmcache on").printed
                assert type(notebook.run("ask('x')").error).__name__ == "NameError"
                notebook.model()
                assert type(notebook.run("ask('x')").error).__name__ == "CacheMissError"
            finally:
                unload(shell)

    def test_a_file_that_is_not_there_sends_nothing(
        self, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The notebook goes on after it, whether a configuration switches the cache on or a cell does."""
        config = Config({"LLMCacheMagics": {"mode": "replay", "load": "lesson.jsonl"}})
        config.HistoryManager.enabled = False
        for autostart in (False, True):
            config.LLMCacheMagics.autostart = autostart
            shell, session = InteractiveShell(config=config), Session()
            with pytest.warns(CacheWarning, match="no file lesson.jsonl") if autostart else nullcontext():
                load(shell, session)
            try:
                notebook = Notebook(shell, session, capsys)
                told = notebook.fails("%llmcache on")
                assert "no file lesson.jsonl" in told
                assert "Mode replay is on without it: no call is sent." in told
                model = notebook.model()
                error = notebook.run("ask('x')").error
                assert type(error).__name__ == "CacheMissError"
                assert "lesson.jsonl could not be loaded" in str(error)
                assert model.asked == 0
            finally:
                unload(shell)


def test_completion(filled: Notebook) -> None:
    Path("lesson.jsonl").touch()
    Path("lesson.txt").touch()

    def offered(line: str) -> list[str]:
        with provisionalcompleter():
            return sorted(found.text for found in filled.shell.Completer.completions(line, len(line)))

    assert offered("%llmcache save ") == ["--add", "--cell", "--model", "--used", "lesson.jsonl"]
    assert offered("%llmcache load le") == ["lesson.jsonl"]
    assert offered("%llmcache on --load ") == ["lesson.jsonl"]
    assert offered("%llmcache save x.jsonl --model ") == ["cedar", "gpt"]
    assert offered("%llmcache save x.jsonl ") == ["--add", "--cell", "--model", "--used"]


async def test_the_python_functions(folder: Path) -> None:
    session = llmcache.default_session()
    llmcache.on()
    try:
        assert session.cache.lookup("a", "[]") is None
        session.cache.update("a", "[]", [llmcache.Generation("A.")])
        assert llmcache.save(folder / "lesson.jsonl", used=True).entries == 1
        assert (await llmcache.asave(folder / "lesson.jsonl", cell=None)).entries == 1
        llmcache.clear()
        assert llmcache.load("lesson.jsonl").entries == 1
        assert (await llmcache.aload("lesson.jsonl")).known == 1
        activation = llmcache.on(load="lesson.jsonl")
        assert activation.loaded is not None
        assert activation.loaded.known == 1
    finally:
        llmcache.clear()
        llmcache.off()


class TestProgress:
    def test_a_bar_is_shown_of_what_takes_longer(self, capfd: pytest.CaptureFixture[str]) -> None:
        def until_it_is_shown() -> Iterator[int]:
            shown = ""
            while "llmcache: saving" not in shown:
                yield 1
                shown += capfd.readouterr().err

        assert sum(progress_bar(until_it_is_shown(), 5, "saving"))

    def test_nothing_is_shown_of_what_is_quick(self, capfd: pytest.CaptureFixture[str]) -> None:
        assert list(progress_bar(range(100), 100, "saving")) == list(range(100))
        assert capfd.readouterr() == ("", "")

    def test_the_session_has_it_while_the_extension_is_loaded(self, notebook: Notebook) -> None:
        assert notebook.session.progress is progress_bar
        unload(notebook.shell)
        assert notebook.session.progress is not progress_bar


@pytest.fixture
def kernels() -> Iterator[list[Kernel]]:
    started: list[Kernel] = []
    yield started
    for kernel in started:
        kernel.stop()


def started(kernels: list[Kernel], base_url: str, key: str) -> Kernel:
    """A new kernel with the extension loaded and a model at hand."""
    kernel = Kernel()
    kernels.append(kernel)
    kernel.run(
        "%load_ext llmcache_jupyter\n"
        "from langchain_openai import ChatOpenAI\n"
        f"model = ChatOpenAI(model='gpt', base_url={base_url!r}, {key})\n"
        "def ask(prompt): return model.invoke(prompt).content"
    )
    return kernel


def test_a_notebook_is_recorded_and_replayed_without_key_and_server(
    kernels: list[Kernel], folder: Path
) -> None:
    lesson = str(folder / "lesson.jsonl")
    with StandIn(port=0, answers=lambda prompt: f"re: {prompt}") as server:
        base_url = server.base_url
        teacher = started(kernels, base_url, f"api_key={SECRET!r}, organization='org-1', max_retries=5")
        teacher.run("%llmcache on")
        teacher.run("ask('a'), ask('b')")
        teacher.run("ask('not for the lesson')")
        assert teacher.run(f"%llmcache save {lesson} --cell 3").text == f"2 entries saved to {lesson}\n"
        requests = server.requests
    teacher.stop()
    kernels.remove(teacher)
    assert SECRET not in Path(lesson).read_text()
    assert "org-1" not in Path(lesson).read_text()

    student = started(kernels, base_url, "api_key='replay', max_retries=0")
    told = student.run(f"%llmcache on --mode replay --load {lesson}").text
    assert told.endswith(f"2 entries loaded from {lesson}\n")
    assert student.value("ask('a'), ask('b')") == "('re: a', 're: b')"
    failed = student.run("ask('c')")
    assert failed.error == "CacheMissError"
    assert "this call of gpt: 'c'. The nearest, entry " in failed.traceback
    assert failed.traceback.startswith("  Cell, line 1, in <module>")
    assert "ipykernel_" not in failed.traceback
    assert student.value("ask('a')") == "'re: a'"
    assert server.requests == requests == 3
