"""Recordings: what a save writes, what a load takes, and what neither ever harms."""

from __future__ import annotations

import json
import os
import resource
import stat
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from llmcache_jupyter.caches import Entry, Generation, InMemoryCache, Query
from llmcache_jupyter.caches.jsonl import line_of
from llmcache_jupyter.caches.sqlite import SQLiteCache
from llmcache_jupyter.errors import (
    BackendError,
    CacheInactiveError,
    CacheMissError,
    CacheWarning,
    InvalidSettingError,
    StoreError,
)
from llmcache_jupyter.session import recording
from llmcache_jupyter.session.scope import CellRun, end_run, start_run
from llmcache_jupyter.session.session import Session
from llmcache_jupyter.session.settings import KEEP
from tests.caches.contract import FakeClock, chat, configuration
from tests.fakes import FailingCache

T = TypeVar("T")
SECRET = "sk-proj-Abc123Def456Ghi789"
NOW = 1_770_000_000.0


def entry(
    prompt: str, text: str = "An answer.", *, stored: float = NOW, model: str = "m", **fields: Any
) -> Entry:
    return Entry((prompt, configuration(model)), [Generation(text)], stored, **fields)


def cache_of(*entries: Entry, maxsize: int | None = None) -> InMemoryCache:
    cache = InMemoryCache(maxsize=maxsize, clock=FakeClock(NOW))
    for one in entries:
        cache.put(one)
    return cache


def everything(cache: Any) -> list[Entry]:
    return sorted(cache.entries(Query(limit=None)).entries, key=lambda one: one.key)


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def prompts(path: Path) -> list[str]:
    return [json.loads(line)["prompt"] for line in path.read_text("utf-8").splitlines()]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lesson.jsonl"


@pytest.fixture
def session() -> Iterator[Session]:
    session = Session(clock=FakeClock(NOW))
    session.activate()
    yield session
    session.deactivate()


def ask(session: Session, prompt: str, *, model: str = "m", cell: int | None = None) -> None:
    """A call of a model, in a cell run of its own."""
    if cell is not None:
        start_run(CellRun(id=f"id of {cell}", label=f"[{cell}]"))
    try:
        if session.cache.lookup(prompt, configuration(model)) is None:
            session.cache.update(prompt, configuration(model), [Generation(f"re: {prompt}")])
    finally:
        end_run()


def read(path: Path) -> list[Entry]:
    return recording.read(path).entries


def load(cache: Any, path: Path, **options: Any) -> recording.Loaded:
    return recording.put(cache, recording.read(path), **{"now": NOW + 60, **options})


class TestSave:
    def test_what_is_loaded_is_what_was_saved(self, path: Path) -> None:
        cache = cache_of(
            entry("a", took=1.5, tokens=3, cell="[1]"),
            entry(chat(("human", "Zoë\u2028\ud800?")), "猫\n\x1b[0m", stored=NOW - 5.25),
        )
        assert recording.save(cache, path) == recording.Saved(str(path), 2)
        other = cache_of()
        assert load(other, path).entries == 2
        assert everything(other) == everything(cache)

    def test_saving_twice_gives_the_same_bytes(self, path: Path, tmp_path: Path) -> None:
        cache = cache_of(*(entry(f"{number % 7} {number}", stored=NOW + number % 3) for number in range(50)))
        recording.save(cache, path)
        before = path.read_bytes()
        for one in everything(cache):
            cache.touch(one.key)
        recording.save(cache, path)
        assert path.read_bytes() == before
        other = cache_of()
        load(other, path)
        recording.save(other, tmp_path / "other.jsonl")
        assert (tmp_path / "other.jsonl").read_bytes() == before

    def test_an_answer_stored_anew_stays_where_it_was(self, path: Path) -> None:
        cache = cache_of(entry("b"), entry("c"), entry("a"), entry("z", model="a"), entry("d"))
        recording.save(cache, path)
        before = path.read_text().splitlines()
        assert prompts(path) == ["z", "a", "b", "c", "d"]
        cache.put(entry("b", "Another.", stored=NOW + 100))
        recording.save(cache, path)
        changed = [
            number for number, line in enumerate(path.read_text().splitlines()) if line != before[number]
        ]
        assert changed == [2]

    def test_the_turns_of_a_chat_are_in_order(self, path: Path) -> None:
        turns = [chat(*[("human", "Hi"), ("ai", "Hello."), ("human", "And?")][:count]) for count in (1, 3)]
        recording.save(cache_of(entry(turns[1]), entry("y"), entry(turns[0])), path)
        assert prompts(path) == [*turns, "y"]

    def test_what_the_file_held_is_dropped_and_told(self, path: Path) -> None:
        recording.save(cache_of(entry("a"), entry("b"), entry("c")), path)
        assert recording.save(cache_of(entry("b", "New."), entry("d")), path).dropped == 2
        assert prompts(path) == ["b", "d"]
        assert recording.save(cache_of(entry("b"), entry("d")), path).dropped == 0

    def test_or_stays_where_it_was(self, path: Path) -> None:
        recording.save(cache_of(entry("a"), entry("b"), entry("z", model="a")), path)
        lines = path.read_text("utf-8").splitlines()
        saved = recording.save(cache_of(entry("b", "New.", stored=NOW + 1), entry("d")), path, add=True)
        assert (saved.entries, saved.dropped) == (2, 0)
        after = path.read_text("utf-8").splitlines()
        assert prompts(path) == ["z", "a", "b", "d"]
        assert [line in lines for line in after] == [True, True, False, False]

    def test_what_answers_in_this_kernel_alone_is_told(self, path: Path) -> None:
        bound = Entry(("a", "[('model', 'm'), ('kernel', 'ab12-1')]"), [Generation("x")], NOW)
        assert recording.save(cache_of(bound, entry("b")), path).bound == 1

    def test_a_model_alone(self, path: Path) -> None:
        assert recording.save(cache_of(entry("a"), entry("b", model="x")), path, model="x").entries == 1
        assert prompts(path) == ["b"]

    def test_what_cannot_be_written_is_told(self, path: Path) -> None:
        strange = replace(entry("b"), generations=[Generation("", {"x": b""})])
        saved = recording.save(cache_of(entry("a"), strange, replace(strange, key=("c", ""))), path)
        assert saved.entries == 1
        assert saved.unwritable == {
            "a value of type builtins.bytes inside an answer cannot be written to a store": 2
        }

    def test_credentials_are_taken_out_and_told(self, path: Path) -> None:
        cache = cache_of(entry("a"), entry(f"My key is {SECRET}."), entry("b", f"Take {SECRET}."))
        saved = recording.save(cache, path)
        assert (saved.entries, saved.redacted) == (3, 2)
        assert SECRET not in path.read_text()
        found = recording.read(path)
        assert [one.key[0] for one in found.entries] == ["a"]
        assert found.redacted == 2
        assert {one.key[0] for one in everything(cache)} == {"a", "b", f"My key is {SECRET}."}


class TestTheFile:
    def test_a_new_file_has_the_permissions_of_new_files(self, path: Path, tmp_path: Path) -> None:
        recording.save(cache_of(entry("a")), path)
        (tmp_path / "plain").touch()
        assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode

    def test_a_file_keeps_its_permissions_and_its_link(self, path: Path, tmp_path: Path) -> None:
        recording.save(cache_of(entry("a")), path)
        path.chmod(0o640)
        link = tmp_path / "link.jsonl"
        link.symlink_to(path)
        recording.save(cache_of(entry("b")), link)
        assert link.is_symlink()
        assert prompts(path) == ["b"]
        assert stat.S_IMODE(path.stat().st_mode) == 0o640

    def test_a_failed_save_leaves_what_was_there(self, path: Path, tmp_path: Path) -> None:
        recording.save(cache_of(entry("a")), path)
        before = path.read_bytes()

        def breaks(items: Iterable[T], total: int, doing: str) -> Iterable[T]:
            yield from list(items)[:1]
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            recording.save(cache_of(entry("b"), entry("c")), path, progress=breaks)
        failing = FailingCache("get")
        failing.put(entry("b"))
        with pytest.raises(OSError, match="disk full"):
            recording.save(failing, path)
        with pytest.raises(
            StoreError,
            match=r"^There is nothing to save: the cache holds no such entry\. .* was not written\.$",
        ):
            recording.save(cache_of(), path)
        with pytest.raises(StoreError, match=r"nothing to save: a value of type builtins.bytes"):
            recording.save(cache_of(replace(entry("b"), generations=[Generation("", {"x": b""})])), path)
        assert path.read_bytes() == before
        assert names(tmp_path) == [path.name]

    def test_a_full_disk(self, path: Path, tmp_path: Path) -> None:
        recording.save(cache_of(entry("a")), path)
        before = path.read_bytes()
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, limits[1]))
        try:
            with pytest.raises(StoreError, match=r"cannot be written \(File too large\): mend that"):
                recording.save(cache_of(*(entry(f"{number}" * 2**18) for number in range(9))), path)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert path.read_bytes() == before
        assert names(tmp_path) == [path.name]

    @pytest.mark.parametrize(
        "content", [b"hello\n", b'{"a": 1}\n', b"\x89PNG\r\n", b'{"cells": []}', b"<<<<<<< HEAD\n{"]
    )
    def test_another_program_s_file_is_not_overwritten(self, path: Path, content: bytes) -> None:
        path.write_bytes(content)
        with pytest.raises(StoreError, match=r"was not written by `%llmcache save`. It was left as it is"):
            recording.save(cache_of(entry("a")), path)
        assert path.read_bytes() == content

    def test_a_newer_version_s_file_is_not_overwritten(self, path: Path) -> None:
        path.write_text('{"llmcache": 2, "x": 1}\n')
        with pytest.raises(StoreError, match="written by a newer llmcache-jupyter"):
            recording.save(cache_of(entry("a")), path)

    def test_an_empty_file_is(self, path: Path) -> None:
        path.write_text("\n")
        assert recording.save(cache_of(entry("a")), path).entries == 1

    def test_where_no_file_can_be(self, tmp_path: Path) -> None:
        cache = cache_of(entry("a"))
        os.mkfifo(tmp_path / "pipe")
        (tmp_path / "round").symlink_to(tmp_path / "round")
        places: list[tuple[Any, str]] = [
            (tmp_path, "is a folder: name a file, for example .*lesson.jsonl"),
            (tmp_path / "none" / "lesson.jsonl", "there is no folder .*none: make it first"),
            (tmp_path / "pipe", "no ordinary file"),
            (tmp_path / "round", "cannot be written"),
            ("a\0b", "cannot be written"),
            ("x" * 300, "cannot be written"),
        ]
        for place, why in places:
            with pytest.raises(StoreError, match=why):
                recording.save(cache, place)


class TestLoad:
    def test_bad_lines_are_told_by_number_and_the_good_ones_taken(self, path: Path) -> None:
        good = [line_of(entry(name)).text for name in "abc"]
        path.write_text(
            "\ufeff" + "\r\n".join([good[0], "", "{", good[1], "[]", *["x"] * 12, good[2]]), "utf-8"
        )
        found = recording.read(path)
        assert [one.key[0] for one in found.entries] == ["a", "b", "c"]
        assert found.bad == 14
        assert list(found.reasons) == [3, 5, 6, 7, 8, 9, 10, 11, 12, 13]
        assert found.reasons[5] == "it is no line of `%llmcache save`"

    def test_two_files_in_one_are_a_recording(self, path: Path, tmp_path: Path) -> None:
        recording.save(cache_of(entry("a"), entry("b", "old")), path)
        recording.save(cache_of(entry("b", "new", stored=NOW + 1), entry("c")), tmp_path / "more")
        for texts in ([path, tmp_path / "more"], [tmp_path / "more", path]):
            both = tmp_path / "both"
            both.write_bytes(b"".join(part.read_bytes() for part in texts))
            cache = cache_of()
            load(cache, both)
            assert [one.generations[0].text for one in everything(cache)] == [
                "An answer.",
                "new",
                "An answer.",
            ]

    def test_a_newer_entry_stays_and_an_older_one_goes(self, path: Path) -> None:
        recording.save(cache_of(entry("a", "file"), entry("b", "file"), entry("c", "file")), path)
        cache = cache_of(
            entry("a", "mine", stored=NOW + 1, hits=3),
            entry("b", "mine", hits=3),
            entry("c", "mine", stored=NOW - 1),
        )
        loaded = load(cache, path)
        assert (loaded.entries, loaded.known) == (1, 2)
        assert [one.generations[0].text for one in everything(cache)] == ["mine", "mine", "file"]
        assert load(cache, path).known == 3

    def test_no_rounding_makes_an_entry_newer_than_itself(self, path: Path) -> None:
        cache = cache_of(*(entry(f"{number}", stored=NOW + number / 7e6, hits=1) for number in range(50)))
        recording.save(cache, path)
        assert load(cache, path).known == 50

    def test_nothing_is_from_the_future(self, path: Path) -> None:
        recording.save(cache_of(entry("a", stored=NOW + 1e9)), path)
        cache = cache_of()
        load(cache, path, now=NOW)
        assert everything(cache)[0].stored == NOW

    def test_the_newest_stay_where_there_is_a_maximum(self, path: Path) -> None:
        recording.save(cache_of(*(entry(f"{number}", stored=NOW - number) for number in range(5))), path)
        cache = cache_of(maxsize=2)
        loaded = load(cache, path)
        assert (loaded.entries, loaded.evicted) == (5, 3)
        assert [one.key[0] for one in everything(cache)] == ["0", "1"]

    def test_what_is_too_old_is_left_out(self, path: Path) -> None:
        recording.save(cache_of(entry("a"), entry("b", stored=NOW - 100)), path)
        assert load(cache_of(), path, now=NOW, ttl=100.0).expired == 1

    def test_into_a_store(self, path: Path, tmp_path: Path) -> None:
        recording.save(cache_of(entry("a"), entry("b", took=0.1)), path)
        with SQLiteCache(tmp_path / "notes.sqlite") as store:
            load(store, path)
            recording.save(store, tmp_path / "again.jsonl")
        assert (tmp_path / "again.jsonl").read_bytes() == path.read_bytes()

    @pytest.mark.parametrize(
        ("content", "why"),
        [
            (b"", "is empty: `%llmcache save .*` fills it"),
            (b"\r\n\n", "is empty"),
            (b"hello", "holds no entry that can be read .line 1: it is no JSON .*`%llmcache save FILE`"),
            (b"SQLite format 3\0\xff\n" * 9, "line 1: it is no UTF-8 text; .*; and 6 more"),
            ('{"a": "ä"}'.encode("utf-16"), "line 1: it is no UTF-8 text"),
            (b"version https://git-lfs.github.com/spec/v1\n", "line 1"),
        ],
    )
    def test_what_is_no_recording(self, path: Path, content: bytes, why: str) -> None:
        path.write_bytes(content)
        with pytest.raises(StoreError, match=why):
            recording.read(path)

    def test_where_no_file_is(self, path: Path, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        places: list[tuple[Any, str]] = [
            (path, "There is no file .*lesson.jsonl: `%llmcache save "),
            (tmp_path, "is a folder"),
            (tmp_path / "pipe", "no ordinary file"),
            ("a\0b", "cannot be read"),
        ]
        for place, why in places:
            with pytest.raises(StoreError, match=why):
                recording.read(place)

    @pytest.mark.parametrize("size", [1_003, 2_006, 2_007, 5_000])
    def test_a_huge_line_is_one_bad_line(self, path: Path, size: int) -> None:
        good = line_of(entry("a")).text.encode()
        path.write_bytes(b'{"a": "'.ljust(size) + b"\n" + good)
        found = recording.read(path, longest=1_000)
        assert found.reasons == {1: "it is longer than 1,000 bytes"}
        assert len(found.entries) == 1

    @pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
    def test_the_longest_line_is_a_good_line(self, path: Path, end: bytes) -> None:
        good = line_of(entry("a")).text.encode()
        path.write_bytes(good + end)
        assert len(recording.read(path, longest=len(good)).entries) == 1


class TestSession:
    def test_a_key_by_any_version_of_this_package_is_found(self, session: Session, path: Path) -> None:
        # as if a version that kept more of the configuration had written the file
        longer = '{"id": ["x", "X"], "kwargs": {"max_retries": 7, "model": "m"}, "name": "X"}---[]'
        path.write_text(line_of(Entry(("Hi", longer), [Generation("Hello.")], NOW)).text)
        session.load(path)
        assert session.cache.lookup("Hi", longer.replace("7", "2")) == [Generation("Hello.")]

    def test_replay_from_a_file(self, session: Session, path: Path) -> None:
        ask(session, "a")
        session.save(path)
        other = Session(clock=FakeClock(NOW))
        activation = other.activate(mode="replay", load=path)
        assert activation.loaded is not None
        assert (activation.kept, activation.loaded.entries) == (0, 1)
        assert other.cache.lookup("a", configuration("m")) == [Generation("re: a")]
        other.deactivate()

    def test_a_file_that_cannot_be_loaded_changes_nothing(self, path: Path) -> None:
        session = Session()
        with pytest.raises(StoreError):
            session.activate(mode="readonly", maxsize=3, load=path)
        assert (session.active, session.mode, session.status().maxsize) == (False, "on", None)

    @pytest.mark.parametrize("configured", [True, False])
    def test_but_a_replay_sends_nothing_though_its_file_is_not_there(
        self, path: Path, configured: bool
    ) -> None:
        session = Session()
        if configured:
            session.configure(mode="replay")
        with pytest.raises(StoreError, match=r"no file .*lesson.jsonl.* Mode replay is on without it: "):
            session.activate(mode=KEEP if configured else "replay", load=path)
        assert (session.active, session.mode) == (True, "replay")
        with pytest.raises(CacheMissError, match=r"lesson.jsonl could not be loaded: There is no file"):
            ask(session, "a")
        recording.save(cache_of(entry("a")), path)
        session.load(path)
        with pytest.raises(CacheMissError) as told:
            ask(session, "b")
        assert "could not be loaded" not in str(told.value)
        session.deactivate()

    def test_a_file_that_is_loaded_instead_of_a_misspelt_one(self, session: Session, path: Path) -> None:
        recording.save(cache_of(entry("a")), path)
        for load in (session.load, lambda name: session.activate(mode="replay", load=name)):
            session.mode = "replay"
            with pytest.raises(StoreError):
                load(path.with_name("lessen.jsonl"))
            with pytest.raises(CacheMissError, match=r"lessen.jsonl could not be loaded"):
                ask(session, "b")
            load(path)
            with pytest.raises(CacheMissError) as told:
                ask(session, "b")
            assert "could not be loaded" not in str(told.value)

    def test_a_second_file_that_is_missing_is_told_though_the_first_is_loaded(
        self, session: Session, path: Path
    ) -> None:
        recording.save(cache_of(entry("a")), path)
        session.activate(mode="replay", load=path)
        with pytest.raises(StoreError):
            session.load("second.jsonl")
        with pytest.raises(CacheMissError, match=r"second.jsonl could not be loaded"):
            ask(session, "b")

    def test_a_replay_from_nothing_says_so(self, session: Session) -> None:
        session.mode = "replay"
        with pytest.raises(CacheMissError, match=r"The cache is empty: `%llmcache load FILE` brings"):
            ask(session, "a")

    def test_a_replay_names_the_store_that_is_not_open(self, session: Session, path: Path) -> None:
        path.write_text("no store")
        with pytest.warns(CacheWarning):
            session.activate(mode="replay", store=str(path))
        with pytest.raises(CacheMissError, match=r"lesson.jsonl is no SQLite file.* entry may be there"):
            ask(session, "a")
        session.activate(store=None)
        with pytest.raises(CacheMissError) as told:
            ask(session, "a")
        assert "is no SQLite file" not in str(told.value)

    def test_before_the_first_on(self, path: Path) -> None:
        session = Session()
        for call in (session.save, session.load):
            with pytest.raises(CacheInactiveError):
                call(path)

    def test_a_failing_store_is_told_as_such(self, session: Session, path: Path) -> None:
        session.cache.backend = FailingCache("get")
        session.cache.backend.put(entry("a"))
        with pytest.raises(BackendError, match=r"could not list its entries .OSError: disk full"):
            session.save(path)
        recording.save(cache_of(entry("a")), path)
        with pytest.raises(BackendError, match="could not take what was loaded"):
            session.load(path)

    def test_only_what_was_used(self, session: Session, path: Path) -> None:
        recording.save(cache_of(entry("a"), entry("b")), path)
        session.load(path)
        with pytest.raises(StoreError, match="nothing to save"):
            session.save(path, used=True)
        ask(session, "b")
        ask(session, "c")
        session.save(path, used=True)
        assert prompts(path) == ["b", "c"]

    def test_what_was_used_and_is_gone_is_told(self, session: Session, path: Path) -> None:
        for prompt in "abc":
            ask(session, prompt)
        session.delete(next(one.id for one in session.entries().entries if one.key[0] == "b"))
        assert session.save(path, used=True) == recording.Saved(str(path), 2, gone=1)

    def test_a_refreshed_or_bypassed_call(self, session: Session, path: Path) -> None:
        session.mode = "off"
        ask(session, "a")
        session.mode = "refresh"
        ask(session, "b")
        session.save(path, used=True)
        assert prompts(path) == ["b"]

    def test_only_what_a_cell_used(self, session: Session, path: Path) -> None:
        ask(session, "a", cell=1)
        ask(session, "b", cell=2)
        ask(session, "a", cell=7)
        asked: list[tuple[Any, list[str]]] = [(1, ["a"]), ("2", ["b"]), ("[7]", ["a"])]
        for cell, expected in asked:
            session.save(path, cell=cell)
            assert prompts(path) == expected
        with pytest.raises(
            InvalidSettingError, match=r"cell \[3\] in this run .* such calls: \[1\], \[2\], \[7\]"
        ):
            session.save(path, cell=3)

    def test_progress_is_shown_with_how_much_there_is(self, session: Session, path: Path) -> None:
        told = []

        def show(items: Iterable[T], total: int, doing: str) -> Iterable[T]:
            told.append((doing, total, len(taken := list(items))))
            return taken

        session.progress = show
        for prompt in "abc":
            ask(session, prompt)
        session.save(path)
        session.load(path)
        assert told == [("saving", 3, 3), ("reading", 3, 3), ("loading", 3, 3)]
