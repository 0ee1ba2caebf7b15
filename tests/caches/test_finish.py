"""Finish: what is left to be done for a cache is done once, and in nobody's way."""

from __future__ import annotations

import gc
import os
import threading
import time
from pathlib import Path

import pytest

from llmcache_jupyter.caches.finish import Finish
from llmcache_jupyter.caches.sqlite import SQLiteCache, forks
from tests.caches.contract import entry
from tests.fakes import wait_until


class Owner:
    """It has something to be done at its end."""

    def __init__(self, done: list[str], what: str) -> None:
        self.finish = Finish(self, done.append, what)


def test_once() -> None:
    done: list[str] = []
    owner = Owner(done, "closed")
    owner.finish()
    owner.finish()
    del owner
    gc.collect()
    assert done == ["closed"]


def test_after_it_was_dropped_on_a_thread_of_its_own() -> None:
    threads: list[threading.Thread] = []

    class Dropped:
        def __init__(self) -> None:
            self.finish = Finish(self, lambda: threads.append(threading.current_thread()))

    Dropped()
    wait_until(lambda: bool(threads))
    assert threads[0] is not threading.current_thread()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "notes.sqlite"


def _left_in_a_cycle(path: Path) -> None:
    """As a traceback leaves it. It has a hit that is not written yet."""
    cycle: list[object] = [SQLiteCache(path)]
    cycle.append(cycle)
    assert isinstance(cycle[0], SQLiteCache)
    cycle[0].lookup(*entry().key)


class TestCollected:
    """By whoever makes an object at that moment."""

    def test_within_a_transaction_on_the_same_file(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with SQLiteCache(path) as cache:
            cache.put(entry())
            _left_in_a_cycle(path)
            file_all = cache._writes.file_all
            monkeypatch.setattr(cache._writes, "file_all", lambda writer: (gc.collect(), file_all(writer)))
            cache.put_all([entry("more")])
            assert {one.prompt for one in cache.entries().entries} == {"p", "more"}
            wait_until(lambda: [one.hits for one in cache.entries().entries if one.prompt == "p"] == [1])

    def test_by_who_forks(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        wait = forks._wait_for_users
        monkeypatch.setattr(forks, "_wait_for_users", lambda: (gc.collect(), wait()))
        with SQLiteCache(path) as cache:
            cache.put(entry())
            _left_in_a_cycle(path)
            begin = time.monotonic()
            child = os.fork()
            if not child:
                os._exit(0 if cache.lookup(*entry().key) else 1)
            assert time.monotonic() - begin < 10
            assert os.waitpid(child, 0)[1] == 0
            wait_until(lambda: cache.entries().entries[0].hits == 1)
