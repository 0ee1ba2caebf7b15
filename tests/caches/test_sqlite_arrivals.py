"""What arrives in a file, by whomever and whenever: the next lookup finds it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from llmcache_jupyter.caches.sqlite import SQLiteCache
from llmcache_jupyter.caches.sqlite.arrivals import Arrivals
from llmcache_jupyter.caches.sqlite.log_index import LogIndex
from tests.caches.contract import FakeClock, answer, entry


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


def is_found(cache: SQLiteCache, prompt: str) -> bool:
    return cache.lookup(*entry(prompt).key) is not None


@pytest.fixture(params=["with", "without"])
def log_index(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The index of the file's log tells a version, or there is none, as on Windows."""
    if request.param == "without":
        monkeypatch.setattr(LogIndex, "version", lambda _: None)


@pytest.mark.usefixtures("log_index")
class TestFound:
    """What another kernel stores, by one that has looked before."""

    @pytest.fixture(autouse=True)
    def _looked(self, cache: SQLiteCache, other: SQLiteCache, log_index: None) -> None:
        for prompt in "abc":
            cache.put(entry(prompt))
        assert all(is_found(other, prompt) for prompt in "abc")

    def test_one_by_one(self, cache: SQLiteCache, other: SQLiteCache) -> None:
        for number in range(200):
            assert not is_found(other, str(number))
            cache.put(entry(str(number)))
            assert is_found(other, str(number))

    def test_after_all_was_filed(self, cache: SQLiteCache, other: SQLiteCache) -> None:
        assert cache.entries().total == 3
        assert is_found(other, "a")
        cache.put(entry("d"))
        assert is_found(other, "d")

    @pytest.mark.parametrize("remove", [SQLiteCache.clear, lambda cache: cache.delete([entry("c").id])])
    def test_after_some_were_removed(self, cache: SQLiteCache, other: SQLiteCache, remove: Any) -> None:
        remove(cache)
        assert not is_found(other, "c")
        cache.put(entry("d"))
        assert is_found(other, "d")

    def test_after_closing(self, cache: SQLiteCache, other: SQLiteCache, path: Path) -> None:
        cache.close()
        with SQLiteCache(path) as third:
            third.put(entry("d"))
            assert is_found(other, "d")

    def test_with_a_maximum_now_and_then(self, cache: SQLiteCache, other: SQLiteCache) -> None:
        cache.configure(maxsize=2, policy="fifo", ttl=None)
        cache.put(entry("d"))
        cache.configure(maxsize=None, policy="fifo", ttl=None)
        cache.put(entry("e"))
        assert [is_found(other, prompt) for prompt in "acde"] == [False, True, True, True]

    def test_in_another_file_at_that_path(self, cache: SQLiteCache, other: SQLiteCache, path: Path) -> None:
        other.close()
        cache.close()
        new = path.with_name("new.sqlite")
        SQLiteCache(new).close()
        with SQLiteCache(path, clock=cache.clock) as looking:
            assert is_found(looking, "a")
            new.replace(path)
            looking.clock.now += 2  # type: ignore[attr-defined]
            assert looking.models() == {}
            with SQLiteCache(path) as third:
                third.put(entry("d"))
                assert is_found(looking, "d")


def test_never_a_miss_under_threads(cache: SQLiteCache, other: SQLiteCache) -> None:
    cache.put(entry("p"))
    is_over = threading.Event()

    def write() -> None:
        try:
            for number in range(500):
                cache.put(entry(str(number)))
                other.models()
        finally:
            is_over.set()

    missed: list[int] = []

    def look() -> None:
        while not is_over.is_set():
            if other.lookup(*entry("p").key) != answer():
                missed.append(1)

    threads = [threading.Thread(target=act) for act in (write, look, look, look)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not missed


class TestRows:
    def test_what_was_filed_is_forgotten_in_the_end(self) -> None:
        """However much arrives in the life of a kernel, it remembers no more than a bounded part of it."""
        arrivals, after = Arrivals(), []

        def read(_sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
            after.append(values[0])
            return [(b"%d" % (values[0] + 1), values[0] + 1)]

        for number in range(20_000):
            arrivals.row(b"", (1, b"%d" % number), read)
        assert after.count(0) > 1
