"""A session with a store: what outlives it, what several share, and a store that is no good."""

from __future__ import annotations

import hashlib
import sqlite3
import subprocess
import sys
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache as LangChainCache
from langchain_core.globals import get_llm_cache, set_llm_cache
from langchain_core.tracers import context  # noqa: F401 (else a session waits for its import)

from llmcache_jupyter import InMemoryCache, SQLiteCache
from llmcache_jupyter.caches import Entry, Generation, Query
from llmcache_jupyter.errors import CacheWarning, InvalidSettingError
from llmcache_jupyter.session.events import Event, Failed, Miss
from llmcache_jupyter.session.session import Activation, Session
from llmcache_jupyter.session.stores import DEFAULT_STORE
from tests.caches.contract import FakeClock, answer, configuration, texts
from tests.fakes import FailingCache

X = configuration("x")


@pytest.fixture(autouse=True)
def _restored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    earlier, finders = get_llm_cache(), list(sys.meta_path)
    set_llm_cache(None)
    yield
    set_llm_cache(earlier)
    assert sys.meta_path == finders


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


class Kernels:
    """Sessions, each as a kernel of its own would have it."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self._started: list[Session] = []

    def start(self, **settings: Any) -> tuple[Session, Activation]:
        session = Session(clock=self._clock)
        self._started.append(session)
        return session, session.activate(**settings)

    def end(self) -> None:
        for session in self._started:
            session.activate(store=None)
            session.deactivate()


@pytest.fixture
def kernels(clock: FakeClock) -> Iterator[Kernels]:
    kernels = Kernels(clock)
    yield kernels
    kernels.end()


def ask(session: Session, prompt: str) -> str | None:
    """The cached answer; where there is none, one is stored."""
    found = session.cache.lookup(prompt, X)
    if found is None:
        session.cache.update(prompt, X, answer(f"re: {prompt}"))
        return None
    return str(found[0].text)


def asked_of(session: Session, store: Any, prompts: str) -> None:
    session.activate(store=store)
    for prompt in prompts:
        ask(session, prompt)


def store_values(session: Session, values: dict[str, Any]) -> None:
    for prompt, value in values.items():
        session.cache.update(prompt, X, [Generation(prompt, {"when": value})])


def complaints(session: Session) -> tuple[str | None, tuple[str, ...]]:
    return session.store_failing, session.status().notes


def listed(session: Session) -> list[str]:
    return sorted(texts(session.entries(Query(limit=None)).entries))


class TestFile:
    def test_another_kernel_gets_yesterdays_answers(self, kernels: Kernels) -> None:
        first, activation = kernels.start(store="notes.sqlite")
        assert activation == Activation(kept=0, dropped=0, restored=0)
        assert [ask(first, prompt) for prompt in "abcb"] == [None, None, None, "re: b"]
        second, activation = kernels.start(store="notes.sqlite")
        assert activation == Activation(kept=3, dropped=0, restored=3)
        assert [ask(second, prompt) for prompt in "abcd"] == ["re: a", "re: b", "re: c", None]
        assert ask(first, "d") == "re: d"
        assert listed(first) == listed(second) == ["a", "b", "c", "d"]

    def test_its_name_means_the_current_folder(
        self, kernels: Kernels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for folder in ("a", "b"):
            (tmp_path / folder).mkdir()
        monkeypatch.chdir(tmp_path / "a")
        session, _ = kernels.start(store="notes.sqlite")
        ask(session, "a")
        monkeypatch.chdir(tmp_path / "b")
        session.activate()  # which names none
        assert session.status().store == str(tmp_path / "a" / "notes.sqlite")
        session.activate(store="notes.sqlite")
        assert session.status().store == "notes.sqlite"
        assert (tmp_path / "b" / "notes.sqlite").exists()
        session.activate(store=None)
        session.deactivate()
        session.configure(store="later.sqlite")
        assert session.status().store == "later.sqlite"

    def test_what_one_kernel_removes_no_other_serves(self, kernels: Kernels) -> None:
        first, _ = kernels.start(store="notes.sqlite")
        second, _ = kernels.start(store=Path("notes.sqlite"))
        for prompt in "abc":
            ask(first, prompt)
            assert ask(second, prompt) == f"re: {prompt}"
        first.delete(first.entries(Query(text="a")).entries[0].id)
        assert second.cache.lookup("a", X) is None
        first.clear()
        assert second.cache.lookup("b", X) is None
        assert second.status().entries == 0

    def test_the_status_names_it(self, kernels: Kernels, tmp_path: Path) -> None:
        session, _ = kernels.start(store=str(tmp_path / "folder.sqlite"))
        assert session.status().store == "folder.sqlite"
        session.activate(store=None)
        assert session.status().store is None

    def test_what_memory_held_goes_into_it(self, kernels: Kernels) -> None:
        session, _ = kernels.start()
        ask(session, "a")
        ask(session, "a")
        assert session.activate(store="notes.sqlite") == Activation(kept=1, dropped=0, restored=0)
        other, _ = kernels.start(store="notes.sqlite")
        assert ask(other, "a") == "re: a"
        assert other.entries().entries[0].hits == 2

    def test_what_is_newer_in_it_stays(self, kernels: Kernels, clock: FakeClock) -> None:
        session, _ = kernels.start()
        ask(session, "a")
        clock.advance(1)
        with SQLiteCache("notes.sqlite", clock=clock) as store:
            store.update("a", X, answer("newer"))
        session.activate(store="notes.sqlite")
        assert ask(session, "a") == "newer"

    def test_memory_keeps_what_it_had_of_it(self, kernels: Kernels) -> None:
        session, _ = kernels.start(store="notes.sqlite")
        ask(session, "a")
        session.activate(store=None)
        assert ask(session, "a") == "re: a"
        ask(session, "b")
        with SQLiteCache("notes.sqlite") as store:
            assert texts(store.entries().entries) == ["a"]

    def test_one_stores_entries_do_not_go_into_another(self, kernels: Kernels) -> None:
        session, _ = kernels.start(store="one.sqlite")
        ask(session, "a")
        session.activate(store="two.sqlite")
        assert listed(session) == []
        assert ask(session, "a") is None

    def test_what_one_could_not_be_given_goes_into_the_next(self, kernels: Kernels) -> None:
        failing = FailingCache("put")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CacheWarning)
            session, _ = kernels.start(store=failing)
            ask(session, "while it was away")
            session.activate(store="a.sqlite")
        assert ask(session, "while it was away") is not None
        other, activation = kernels.start(store="a.sqlite")
        assert activation.restored == 1
        assert ask(other, "while it was away") is not None

    def test_calls_go_on_while_it_changes(self, kernels: Kernels) -> None:
        session, _ = kernels.start(store="a.sqlite")
        asked = [str(number) for number in range(300)]

        def work() -> None:
            for prompt in asked:
                ask(session, prompt)

        with ThreadPoolExecutor(1) as thread, warnings.catch_warnings():
            warnings.simplefilter("ignore", CacheWarning)
            working = thread.submit(work)
            for store in cycle([None, "a.sqlite", None, "b.sqlite", "a.sqlite"]):
                session.activate(store=store)
                if working.done():
                    break
            working.result()
        session.activate(store=None)
        held = {
            found.prompt
            for store in ("a.sqlite", "b.sqlite")
            for found in kernels.start(store=store)[0].entries(Query(limit=None)).entries
        }
        assert set(asked) <= held | {found.prompt for found in session.entries(Query(limit=None)).entries}

    def test_on_again_leaves_it_open(self, kernels: Kernels) -> None:
        session, _ = kernels.start(store="notes.sqlite")
        ask(session, "a")
        backend = session.cache.backend
        assert session.activate(store="notes.sqlite") == Activation(kept=1, dropped=0)
        assert session.activate(maxsize=5) == Activation(kept=1, dropped=0)
        assert session.cache.backend is backend

    def test_on_again_writes_nothing(self, kernels: Kernels) -> None:
        session, _ = kernels.start(store="notes.sqlite", maxsize=5)
        session.deactivate()
        with closing(sqlite3.connect("notes.sqlite")) as reader:
            before = reader.execute("PRAGMA data_version").fetchone()
            session.activate()
            session.deactivate()
            session.activate()
            session.activate(store="notes.sqlite", mode="readonly")
            assert reader.execute("PRAGMA data_version").fetchone() == before

    def test_a_limit_that_is_named_again_is_imposed_again(self, kernels: Kernels) -> None:
        session, _ = kernels.start(store="notes.sqlite", maxsize=3)
        other, _ = kernels.start(store="notes.sqlite")
        for prompt in "abcde":
            ask(other, prompt)
        assert session.activate().dropped == 0
        assert session.activate(maxsize=3).dropped == 2

    def test_off_and_on_again(self, kernels: Kernels) -> None:
        session, _ = kernels.start(store="notes.sqlite")
        ask(session, "a")
        session.deactivate()
        assert session.status().store == "notes.sqlite"
        assert session.activate().kept == 1
        assert ask(session, "a") == "re: a"

    def test_once_it_is_off_the_file_alone_is_the_whole(self, kernels: Kernels) -> None:
        session, _ = kernels.start(store="notes.sqlite")
        ask(session, "a")
        session.deactivate()
        Path("copy.sqlite").write_bytes(Path("notes.sqlite").read_bytes())
        other, activation = kernels.start(store="copy.sqlite")
        assert (activation.restored, ask(other, "a")) == (1, "re: a")

    def test_while_the_cache_is_off_no_file_is_made(self, kernels: Kernels) -> None:
        session, _ = kernels.start()
        session.deactivate()
        session.configure(store="notes.sqlite")
        assert (session.status().store, Path("notes.sqlite").exists()) == ("notes.sqlite", False)
        assert session.activate().restored == 0
        assert Path("notes.sqlite").exists()

    def test_while_the_cache_is_off_the_status_names_the_one_that_it_will_use(self, kernels: Kernels) -> None:
        session, _ = kernels.start(store="one.sqlite")
        session.deactivate()
        named = []
        for store in (None, "two.sqlite", "one.sqlite"):
            session.configure(store=store)
            named.append(session.status().store)
        assert named == [None, "two.sqlite", "one.sqlite"]

    def test_limits_hold_for_it(self, kernels: Kernels, clock: FakeClock) -> None:
        session, _ = kernels.start(store="notes.sqlite")
        for prompt in "abcde":
            ask(session, prompt)
            clock.advance(10)
        other, activation = kernels.start(store="notes.sqlite", maxsize=3)
        assert activation == Activation(kept=3, dropped=2, restored=5)
        assert listed(session) == ["c", "d", "e"]
        assert other.activate(ttl=15) == Activation(kept=1, dropped=2)
        assert ask(session, "d") is None

    def test_clear_and_figures(self, kernels: Kernels) -> None:
        session, _ = kernels.start(store="notes.sqlite")
        for prompt in "abc":
            ask(session, prompt)
        assert (session.status().entries, session.models()) == (3, {"x": 3})
        assert session.clear() == 3
        assert session.status().entries == 0

    def test_the_default_is_hidden_beside_the_notebook(self) -> None:
        assert DEFAULT_STORE == ".llmcache.sqlite"


class TestNoGood:
    @pytest.mark.parametrize("store", ["http://host/x", "mysql://host", "", 3, b"x", object, LangChainCache])
    def test_what_cannot_be_a_store_changes_nothing(self, kernels: Kernels, store: Any) -> None:
        session, _ = kernels.start(store="notes.sqlite")
        with pytest.raises(InvalidSettingError, match="store"):
            session.activate(store=store, maxsize=3)
        assert (session.status().store, session.status().maxsize) == ("notes.sqlite", None)

    def test_a_sessions_own_cache_is_no_store(self, kernels: Kernels) -> None:
        session, _ = kernels.start()
        with pytest.raises(InvalidSettingError, match="own cache"):
            session.activate(store=session.cache)

    @pytest.mark.parametrize("content", [b"some other file\n" * 100, b"SQLite format 3\0" + b"\xff" * 5000])
    def test_a_file_that_is_no_store_is_left_alone(self, kernels: Kernels, content: bytes) -> None:
        Path("notes.sqlite").write_bytes(content)
        session, _ = kernels.start()
        ask(session, "a")
        with pytest.warns(CacheWarning, match=r"notes\.sqlite.*The LLM cache goes on without it"):
            session.activate(store="notes.sqlite", mode="on", maxsize=7)
        assert ask(session, "a") == "re: a"
        assert [ask(session, "b"), ask(session, "b")] == [None, "re: b"]
        assert Path("notes.sqlite").read_bytes() == content
        status = session.status()
        assert (status.active, status.store, status.maxsize, status.entries) == (True, None, 7, 2)
        assert "notes.sqlite" in status.notes[0]
        Path("notes.sqlite").unlink()
        assert session.activate().restored == 0
        assert session.status().notes == ()
        assert ask(session, "a") == "re: a"

    def test_a_folder_is_no_store(self, kernels: Kernels) -> None:
        Path("folder").mkdir()
        with pytest.warns(CacheWarning, match="is a folder: name a file"):
            session, _ = kernels.start(store="folder")
        assert [ask(session, "b"), ask(session, "b")] == [None, "re: b"]

    def test_a_cell_that_is_run_again_says_so_again(self, kernels: Kernels) -> None:
        Path("folder").mkdir()
        session, _ = kernels.start()
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("default")  # as in a notebook
            for _ in range(2):
                session.activate(store="folder")
        assert ["is a folder" in str(one.message) for one in told] == [True, True]
        assert {one.filename for one in told} == {"<llmcache>"}  # no line of this package's is shown with it

    def test_warnings_that_are_errors_break_nothing(self, kernels: Kernels) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            session, _ = kernels.start(store="no/such/folder/notes.sqlite")
        assert "there is no folder" in session.status().notes[0]
        assert session.status().active

    def test_a_file_that_is_deleted_under_it(self, kernels: Kernels) -> None:
        session, _ = kernels.start(store="notes.sqlite")
        ask(session, "a")
        before = hashlib.sha256(Path("notes.sqlite").read_bytes()).hexdigest()
        for file in Path().glob("notes.sqlite*"):
            file.unlink()
        assert ask(session, "a") == "re: a"
        assert [ask(session, "b"), ask(session, "b")] == [None, "re: b"]
        assert before


class TestAddress:
    def test_no_password_is_shown(self, kernels: Kernels) -> None:
        session, _ = kernels.start()
        session.deactivate()
        address = "redis://me:secret@127.0.0.1:1/0?namespace=team"
        session.configure(store=address)
        assert session.status().store == "redis://127.0.0.1:1/0"
        with pytest.warns(CacheWarning, match="cannot be reached") as caught:
            asked_of(session, address, "a")
        assert ask(session, "a") == "re: a"
        status = session.status()
        assert status.store == "redis://127.0.0.1:1/0 (namespace team)"
        assert session.store_failing
        assert "is the address right?). Your calls go on" in str(caught[0].message)
        told = [*map(str, status.notes), *(str(warning.message) for warning in caught), repr(status)]
        assert not any("secret" in text for text in told)

    def test_one_that_cannot_be_read_changes_nothing(self, kernels: Kernels) -> None:
        session, _ = kernels.start()
        with pytest.raises(InvalidSettingError) as told:
            session.activate(store="redis://:sec/ret@host", maxsize=3)
        assert "sec" not in str(told.value)
        assert session.status().maxsize is None


def _interrupted(_: Any) -> Any:
    raise KeyboardInterrupt


class TestFailing:
    def test_it_costs_no_answer_and_is_told_once(self, kernels: Kernels) -> None:
        store = FailingCache("get", "put", "touch", "entries", "len")
        session, _ = kernels.start()
        told: list[Event] = []
        session.subscribe(told.append)
        with pytest.warns(CacheWarning) as caught:
            asked_of(session, store, "ababab")
        assert [str(warning.message)[:30] for warning in caught] == ["The LLM cache's store failed a"]
        assert Failed in map(type, told)
        assert [event.reason for event in told if isinstance(event, Miss)] == ["failed", "failed"]
        assert listed(session) == ["a", "b"]
        (note,) = session.status().notes
        assert "disk full" in note
        assert note.endswith("It is asked again in 1 s, and 2 of the entries wait to be written.")

    def test_another_store_does_not_inherit_its_failure(self, kernels: Kernels) -> None:
        session, _ = kernels.start()
        with pytest.warns(CacheWarning):
            asked_of(session, FailingCache("get", "put", "touch", "len"), "a")
        assert complaints(session) != (None, ())
        asked_of(session, "notes.sqlite", "ab")
        assert complaints(session) == (None, ())
        with pytest.warns(CacheWarning, match="disk full"):  # and what the next one fails at is news
            asked_of(session, FailingCache("get"), "c")
        session.activate(store=None)
        assert complaints(session) == (None, ())

    @pytest.mark.parametrize("after", [None, "notes.sqlite"])
    def test_a_call_on_its_way_to_the_one_before_tells_nothing(
        self, kernels: Kernels, after: str | None
    ) -> None:
        store = FailingCache()
        session, _ = kernels.start(store=store)
        before = session.cache.backend
        session.activate(store=after)
        store.broken = {"put", "get"}
        before.put(Entry(("a", X), answer("a"), 1.0))
        before.get(("b", X))
        assert complaints(session) == (None, ())

    def test_the_one_that_stays_goes_on_telling(
        self, kernels: Kernels, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = FailingCache()
        session, _ = kernels.start(store=store)
        ask(session, "a")
        with monkeypatch.context() as patch:
            patch.setattr("llmcache_jupyter.session.storage.TieredCache.alone", _interrupted)
            with pytest.raises(KeyboardInterrupt):
                session.activate(store="notes.sqlite")
        store.broken = {"get", "put"}
        with pytest.warns(CacheWarning, match="disk full"):
            ask(session, "b")

    def test_a_second_outage_is_told_like_the_first(self, kernels: Kernels, clock: FakeClock) -> None:
        session, _ = kernels.start()
        session.cache.backend = store = FailingCache()
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("default")  # as in a notebook
            for broken in ({"get"}, set(), {"get"}):
                store.broken = broken
                ask(session, "a")
        assert ["disk full" in str(one.message) for one in told] == [True, True]

    def test_what_it_cannot_hold_is_told_once_for_each_type(self, kernels: Kernels) -> None:
        session, _ = kernels.start(store="notes.sqlite")
        values: dict[str, Any] = {"a": {1, 2}, "b": {3}, "c": {4}, "d": b""}
        with pytest.warns(CacheWarning) as caught:
            store_values(session, values)
        assert [str(warning.message) for warning in caught] == [
            f"A value of type builtins.{kind} inside an answer cannot be written to a store: "
            "it is kept in memory, for this kernel alone."
            for kind in ("set", "bytes")
        ]
        assert session.status().notes == ()
        hit = session.cache.lookup("a", X)
        assert hit is not None
        assert hit[0].generation_info == {"when": {1, 2}}
        assert listed(session) == ["a", "b", "c", "d"]


class TestCaches:
    def test_langchains_own_cache_is_a_store(self, kernels: Kernels) -> None:
        other = LangChainCache()
        other.update("a", X, answer("from before"))
        session, activation = kernels.start(store=other)
        assert activation == Activation(kept=0, dropped=0, restored=None)  # how many it holds, it cannot tell
        assert session.status().store == "InMemoryCache of langchain_core"
        assert [ask(session, prompt) for prompt in "aba"] == ["from before", None, "from before"]
        assert other.lookup("b", X) == answer("re: b")
        assert listed(session) == ["a", "b"]
        other.clear()
        assert session.cache.lookup("b", X) is None

    def test_another_librarys_cache_may_hold_what_others_need(self, kernels: Kernels) -> None:
        other = LangChainCache()
        other.update("theirs", X, answer("not of this session"))
        session, _ = kernels.start(store=other)
        ask(session, "a")
        with pytest.raises(InvalidSettingError, match=r"Everyone who uses InMemoryCache of langchain_core"):
            session.clear()
        assert other.lookup("theirs", X) == answer("not of this session")
        session.clear(shared=True)
        assert other.lookup("theirs", X) is None

    def test_a_cache_of_ours_is_a_store_and_stays_open(self, kernels: Kernels) -> None:
        with SQLiteCache("notes.sqlite") as store:
            session, _ = kernels.start(store=store)
            ask(session, "a")
            session.activate(store=None)
            assert len(store) == 1

    def test_clearing_what_others_share_is_asked_for_twice(self, kernels: Kernels) -> None:
        store = InMemoryCache()
        store.shared = True
        session, _ = kernels.start(store=store)
        ask(session, "a")
        for clear in (session.clear, lambda: session.clear(model="x")):
            with pytest.raises(InvalidSettingError, match=r"Everyone who uses InMemoryCache .* --shared"):
                clear()
        assert len(store) == 1
        assert session.clear(shared=True) == 1
        assert len(store) == 0


class TestGivenCache:
    """A cache that the user made, as the store."""

    def test_it_keeps_its_own_limits(self, kernels: Kernels, tmp_path: Path, clock: FakeClock) -> None:
        with SQLiteCache(tmp_path / "mine.sqlite", maxsize=2, policy="lru", ttl=60, clock=clock) as mine:
            session, _ = kernels.start(maxsize=500)
            session.activate(store=mine)
            assert (mine.maxsize, mine.policy, mine.ttl) == (2, "lru", 60)
            status = session.status()
            assert (status.maxsize, status.policy, status.ttl) == (2, "lru", 60)
            for prompt in "abc":
                ask(session, prompt)
            assert listed(session) == ["b", "c"]
            session.activate(store=None)
            assert (mine.maxsize, mine.ttl) == (2, 60)

    def test_but_for_those_that_are_named(self, kernels: Kernels) -> None:
        mine = InMemoryCache(maxsize=2, ttl=60)
        session, _ = kernels.start(store=mine, maxsize=9)
        assert (mine.maxsize, mine.ttl) == (9, 60)
        session.activate(ttl="2m")
        assert (mine.maxsize, mine.ttl) == (9, 120)


class TestWaiting:
    """Answers made while the store is away."""

    def test_switching_off_writes_them(self, kernels: Kernels) -> None:
        store = FailingCache("put")
        session, _ = kernels.start(store=store)
        with pytest.warns(CacheWarning):
            ask(session, "a")
        store.broken = set()
        session.deactivate()
        assert texts(store.entries().entries) == ["a"]

    def test_so_does_leaving_the_store(self, kernels: Kernels) -> None:
        store = FailingCache("put")
        session, _ = kernels.start(store=store)
        with pytest.warns(CacheWarning):
            ask(session, "a")
        store.broken = set()
        session.activate(store=None)
        assert texts(store.entries().entries) == ["a"]
        assert ask(session, "a") == "re: a"

    def test_so_does_python_s_end(self, tmp_path: Path) -> None:
        path = tmp_path / "notes.sqlite"
        SQLiteCache(path).close()
        run = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", AWAY, str(path)],
            check=True,
            capture_output=True,
            text=True,
        )
        assert (run.stdout, run.stderr) == ("5\n", "")
        with SQLiteCache(path) as store:
            assert sorted(texts(store.entries().entries)) == list("01234")


AWAY = """
import sqlite3, sys
from llmcache_jupyter import Generation, Session
session = Session()
session.activate(store=sys.argv[1])
other = sqlite3.connect(sys.argv[1], isolation_level=None)
other.execute("BEGIN IMMEDIATE")
for number in range(5):
    session.cache.lookup(str(number), "m")
    session.cache.update(str(number), "m", [Generation("x")])
other.execute("ROLLBACK")
print(session.cache.backend.waiting)
"""


class TestHalfWay:
    """What cannot be, or was interrupted, leaves everything as it was."""

    def test_an_address_that_cannot_be(self, kernels: Kernels) -> None:
        session = Session()
        with pytest.raises(InvalidSettingError, match="namespace needs a name"):
            session.activate(store="redis://127.0.0.1:1/0?namespace=", mode="refresh")
        assert (session.active, session.mode, session.status().store) == (False, "on", None)
        session.activate()
        session.deactivate()

    def test_an_interrupt(self, kernels: Kernels, monkeypatch: pytest.MonkeyPatch) -> None:
        class Interrupted(InMemoryCache):
            def __len__(self) -> int:
                raise KeyboardInterrupt

        session = Session()
        with pytest.raises(KeyboardInterrupt):
            session.activate(store=Interrupted(), mode="refresh")
        assert (session.active, session.mode, session.status().store) == (False, "on", None)
        session.activate()
        assert ask(session, "a") is None
        assert ask(session, "a") == "re: a"
        session.deactivate()


class TestServer:
    def test_a_maximum_is_that_of_memory(self, kernels: Kernels) -> None:
        session, _ = kernels.start(store="redis://127.0.0.1:1/0", maxsize=5)
        assert session.status().maxsize is None
        assert session.status().notes[0] == (
            "The store has no maximum: that of 5 entries is for this kernel's memory alone."
        )
        assert session.cache.backend.maxsize == 5  # type: ignore[attr-defined]
