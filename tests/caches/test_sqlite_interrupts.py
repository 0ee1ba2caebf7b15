"""A Ctrl-C while a store is read or written: it costs what it interrupts, and nothing later."""

from __future__ import annotations

import gc
import signal
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from random import Random

import pytest

from llmcache_jupyter.caches import Query
from llmcache_jupyter.caches.sqlite import SQLiteCache
from tests.caches.contract import answer, entry, texts

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


@pytest.fixture(autouse=True)
def _left() -> Iterator[None]:
    """What an interrupt left half made is collected here, and not in another test."""
    yield
    gc.collect()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "notes.sqlite"


@pytest.fixture
def cache(path: Path) -> Iterator[SQLiteCache]:
    with SQLiteCache(path) as cache:
        cache.put(entry("p"))
        yield cache


@pytest.fixture
def after() -> Iterator[Callable[[float], object]]:
    """Has Ctrl-C come after so many seconds."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    earlier = signal.signal(signal.SIGALRM, interrupt)
    yield partial(signal.setitimer, signal.ITIMER_REAL)
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, earlier)


def check_it_works(cache: SQLiteCache, path: Path) -> None:
    cache.put(entry("later", text="later"))
    with SQLiteCache(path) as other:
        assert other.lookup(*entry("later").key) == answer("later")
        other.put(entry("another kernel's"))
    assert cache.lookup(*entry("another kernel's").key) == answer()
    assert {"later", "another kernel's"} <= set(texts(cache.entries(Query(limit=None)).entries))
    assert len(cache) == cache.entries().total


def test_while_it_waits_for_another_program(
    cache: SQLiteCache, path: Path, after: Callable[[float], object]
) -> None:
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        done = threading.Timer(0.5, other.execute, ["COMMIT"])
        done.start()
        after(0.1)
        with pytest.raises(KeyboardInterrupt):
            cache.entries()
        done.join()
    check_it_works(cache, path)


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # in a callback of the collector
@pytest.mark.parametrize("action", ["look", "store", "look up"])
def test_at_any_moment(cache: SQLiteCache, path: Path, after: Callable[[float], object], action: str) -> None:
    chance = Random(action)
    actions: dict[str, Callable[[], object]] = {
        "look": cache.entries,
        "store": lambda: cache.put(entry("q")),
        "look up": lambda: cache.lookup(*entry("p").key),
    }
    for _ in range(400):
        with suppress(KeyboardInterrupt):
            after(chance.uniform(1e-6, 1e-3))
            for _ in range(100):  # SQLite may swallow one that comes in its own callback
                actions[action]()
            after(0)
    check_it_works(cache, path)
