"""The inbox: what was just stored is an entry like any other, before it is filed and after."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from llmcache_jupyter import StoreError
from llmcache_jupyter.caches import Query
from llmcache_jupyter.caches.codec import encode
from llmcache_jupyter.caches.sqlite import SQLiteCache
from llmcache_jupyter.caches.sqlite.connections import Connections
from llmcache_jupyter.caches.sqlite.inbox import Clerk
from llmcache_jupyter.caches.sqlite.opening import HURRIED
from llmcache_jupyter.caches.sqlite.rows import COLUMNS, row_of
from llmcache_jupyter.caches.sqlite.schema import MIGRATIONS, prepare
from tests.caches.contract import FakeClock, answer, entry, texts
from tests.fakes import wait_until

ALL = Query(limit=None)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "notes.sqlite"


@pytest.fixture
def cache(path: Path) -> Iterator[SQLiteCache]:
    with SQLiteCache(path, clock=FakeClock()) as cache:
        yield cache


@pytest.fixture
def other(path: Path, cache: SQLiteCache) -> Iterator[SQLiteCache]:
    """Another kernel's cache of the same file."""
    with SQLiteCache(path, clock=cache.clock) as other:
        yield other


def in_inbox(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        ((number,),) = connection.execute("SELECT count(*) FROM inbox")
    return int(number)


def clerks() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "llmcache-filing"}


class TestNotFiled:
    """An entry that waits in the inbox, as every test here makes sure, is there for all who ask."""

    @pytest.fixture(autouse=True)
    def stored(self, cache: SQLiteCache, other: SQLiteCache, path: Path) -> None:
        cache.put(entry("p"))
        assert in_inbox(path) == 1

    def test_it_is_found_by_its_key(self, cache: SQLiteCache, other: SQLiteCache) -> None:
        for one in (cache, other):
            assert one.get(entry("p").key) == entry("p")
            assert one.holds(entry("p"))
            assert not one.holds(entry("p", stored=2.0))

    def test_it_is_counted(self, cache: SQLiteCache, other: SQLiteCache, path: Path) -> None:
        assert (len(cache), len(other), in_inbox(path)) == (1, 1, 1)

    @pytest.mark.parametrize(
        "query", [Query(), Query(text="p"), Query(id=entry("p").id), Query(sort="answer")]
    )
    def test_it_is_listed(self, other: SQLiteCache, query: Query) -> None:
        assert texts(other.entries(query).entries) == ["p"]

    def test_its_model_and_key_are_listed(self, other: SQLiteCache) -> None:
        assert other.models() == {entry("p").model: 1}
        assert list(other.keys()) == [entry("p").key]

    def test_its_hits_are_counted(self, cache: SQLiteCache, other: SQLiteCache) -> None:
        other.lookup(*entry("p").key)
        assert [one.hits for one in other.entries().entries] == [1]
        assert [one.hits for one in cache.entries().entries] == [1]

    def test_it_is_deleted(self, cache: SQLiteCache, other: SQLiteCache) -> None:
        assert other.delete([entry("p").id]) == 1
        assert cache.get(entry("p").key) is None

    def test_it_is_cleared(self, cache: SQLiteCache, other: SQLiteCache) -> None:
        other.clear()
        assert (cache.get(entry("p").key), len(cache)) == (None, 0)

    def test_the_newer_one_replaces_it(self, cache: SQLiteCache, other: SQLiteCache, path: Path) -> None:
        assert cache.holds(entry("p"))
        other.put(entry("p", text="newer", stored=5.0))
        assert (len(cache), len(other)) == (1, 1)
        assert (cache.holds(entry("p")), cache.holds(entry("p", stored=5.0))) == (False, True)
        assert cache.lookup(*entry("p").key) == answer("newer")
        assert [one.stored for one in cache.entries().entries] == [5.0]

    def test_a_newer_one_replaces_one_that_was_filed(self, cache: SQLiteCache, path: Path) -> None:
        assert cache.entries().total == 1
        cache.put(entry("p", text="newer", stored=5.0))
        assert in_inbox(path) == 1
        assert (len(cache), cache.lookup(*entry("p").key)) == (1, answer("newer"))
        assert cache.holds(entry("p", stored=5.0))
        assert [one.stored for one in cache.entries().entries] == [5.0]

    def test_it_is_filed_by_closing(self, cache: SQLiteCache, path: Path) -> None:
        cache.close()
        assert in_inbox(path) == 0

    def test_it_expires(self, path: Path) -> None:
        clock = FakeClock()
        clock.now = entry("p").stored + 10
        with SQLiteCache(path, ttl=20, clock=clock) as cache:
            assert (len(cache), in_inbox(path)) == (1, 1)
            clock.now += 10
            assert cache.get(entry("p").key) is None
            assert (len(cache), in_inbox(path)) == (0, 0)

    def test_a_maximum_counts_it(self, cache: SQLiteCache, other: SQLiteCache) -> None:
        other.configure(maxsize=2, policy="fifo", ttl=None)
        cache.put(entry("q"))
        assert other.put(entry("r")) == 1
        assert sorted(texts(cache.entries(ALL).entries)) == ["q", "r"]


class TestCannotBeFiled:
    """While another program keeps the file locked, nothing is left out in silence."""

    @pytest.fixture(autouse=True)
    def _locked(self, cache: SQLiteCache, path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        cache.put(entry("p"))
        patient = Connections.write
        monkeypatch.setattr(Connections, "write", lambda self, steps, *_: patient(self, steps, HURRIED))
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield

    @pytest.mark.parametrize(
        "look", [SQLiteCache.entries, SQLiteCache.models, lambda cache: list(cache.keys())]
    )
    def test_a_look_says_so(self, cache: SQLiteCache, look: Callable[[SQLiteCache], object]) -> None:
        with pytest.raises(StoreError, match="another program keeps it locked"):
            look(cache)

    def test_it_is_found_and_counted(self, cache: SQLiteCache) -> None:
        assert (cache.lookup(*entry("p").key), len(cache)) == (answer(), 1)


class TestClerk:
    def test_the_file_alone_holds_all_a_moment_later(self, cache: SQLiteCache, path: Path) -> None:
        log = path.with_name(path.name + "-wal")
        cache.put(entry("p"))
        assert log.stat().st_size > 0
        wait_until(lambda: log.stat().st_size == 0)
        copy = path.with_name("copy.sqlite")
        shutil.copy(path, copy)
        with SQLiteCache(copy) as copied:
            assert copied.lookup(*entry("p").key) == answer()

    def test_with_a_maximum_too(self, path: Path) -> None:
        with SQLiteCache(path, maxsize=10) as cache:
            cache.put(entry("p"))
            wait_until(lambda: path.with_name(path.name + "-wal").stat().st_size == 0)

    def test_many_are_filed_though_nobody_looks(self, cache: SQLiteCache, path: Path) -> None:
        for number in range(200):
            cache.put(entry(str(number)))
        wait_until(lambda: in_inbox(path) == 0)
        assert cache.entries(ALL).total == 200

    def test_what_arrives_without_a_pause_is_filed(self, cache: SQLiteCache, path: Path) -> None:
        arrived = 0

        def is_filing() -> bool:
            nonlocal arrived
            for _ in range(50):
                cache.put(entry(str(arrived)))
                arrived += 1
            return in_inbox(path) < arrived

        wait_until(is_filing)
        assert cache.entries(ALL).total == arrived

    def test_what_arrives_while_the_last_is_filed_is_filed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Office:
            filed = 0

            def file(self) -> bool:
                self.filed += 1
                if self.filed == 1:
                    clerk.arrived()
                return False

        monkeypatch.setattr("llmcache_jupyter.caches.sqlite.inbox._QUIET", 0.01)
        office = Office()
        clerk = Clerk(office.file)
        clerk.arrived()
        wait_until(lambda: office.filed == 2, patience=5)
        clerk.close()

    def test_closing_leaves_no_thread(self, cache: SQLiteCache, path: Path) -> None:
        before = clerks()
        for number in range(100):
            cache.put(entry(str(number)))
        assert clerks() - before
        cache.close()
        assert not clerks() - before
        assert in_inbox(path) == 0

    def test_a_cache_that_is_dropped_is_filed(self, path: Path) -> None:
        cache = SQLiteCache(path)
        for number in range(100):
            cache.put(entry(str(number)))
        del cache
        wait_until(lambda: in_inbox(path) == 0)


class TestMigration:
    def test_what_waits_in_an_older_inbox_is_found_and_filed(self, path: Path) -> None:
        prepare(path, MIGRATIONS[:2])
        insert = f"INSERT INTO inbox (row, {', '.join(COLUMNS)}) VALUES (?, {', '.join('?' * len(COLUMNS))})"
        rows = [(7, *row_of(entry("p")).values()), (2, *row_of(entry("q", text="other")).values())]
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.executemany(insert, rows)
        with SQLiteCache(path) as cache:
            assert cache.lookup(*entry("p").key) == answer()
            assert cache.lookup(*entry("q").key) == answer("other")
            cache.put(entry("r"))
            assert sorted(texts(cache.entries().entries)) == ["p", "q", "r"]

    def test_a_file_without_an_inbox_gets_one(self, path: Path) -> None:
        prepare(path, MIGRATIONS[:1])
        old = entry("old")
        columns = "digest, llm, stored, hits, used, generations, prompt_text, answer_text, prompt"
        values = (old.digest, 1, 1.0, 7, 1, encode(old.generations).encode(), "old", "an answer.", b"old")
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("INSERT INTO llm_strings VALUES (1, x'00', 'm', 1, ?)", [old.key[1].encode()])
            connection.execute(f"INSERT INTO entries ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", values)
        with SQLiteCache(path) as cache:
            cache.put(entry("new"))
            assert cache.lookup(*entry("old").key) == old.generations
            assert sorted(texts(cache.entries().entries)) == ["new", "old"]
