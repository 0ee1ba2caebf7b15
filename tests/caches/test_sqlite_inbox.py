"""The inbox: what was just stored is an entry like any other, before it is filed and after."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from llmcache_jupyter.caches import Query
from llmcache_jupyter.caches.codec import encode
from llmcache_jupyter.caches.sqlite import SQLiteCache
from llmcache_jupyter.caches.sqlite.schema import MIGRATIONS, prepare
from tests.caches.contract import FakeClock, answer, entry, texts

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


def wait_until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < end, "it never came to be"
        time.sleep(0.01)


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
        other.put(entry("p", text="newer", stored=5.0))
        assert in_inbox(path) == 1
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


class TestClerk:
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
