"""A process that closed a descriptor of the file, and so gave up SQLite's locks: nothing is lost by it.

All of it holds where a lock of the open file stays, and where there is none (macOS, say).
"""

from __future__ import annotations

import fcntl
import gc
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from llmcache_jupyter.caches import Query
from llmcache_jupyter.caches.sqlite import SQLiteCache, file_lock
from llmcache_jupyter.caches.sqlite.shared_lock import shared_lock
from tests.caches.contract import FakeClock, answer, entry, texts
from tests.caches.test_sqlite_processes import check_sound

Lose = Callable[[Path], object]

STAYS = pytest.mark.parametrize("stays", [True], indirect=True)
MAY_BE_LOST = pytest.mark.parametrize("stays", [False], indirect=True)

_STORES = """
import sys
from llmcache_jupyter.caches.sqlite import SQLiteCache
from tests.caches.contract import entry
cache = SQLiteCache(sys.argv[1])
for prompt in sys.argv[2:]:
    cache.put(entry(prompt))
print(flush=True)
sys.stdin.read()
print(*sorted(prompt for prompt, _ in cache.keys()))
cache.close()
"""
_TRIES = """
import fcntl, sys
file = open(sys.argv[1], "r+b")
print(flush=True)
sys.stdin.read()
try:
    fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, *map(int, sys.argv[2:] or (510, 0x40000002)))
    print("locked")
except OSError:
    pass
"""
_LOCKS = """
import fcntl, sys
file = open(sys.argv[1], "r+b")
fcntl.lockf(file, fcntl.LOCK_EX, 510, 0x40000002)
print(flush=True)
sys.stdin.read()
"""


class Other:
    """Another kernel, which stores these prompts. It goes on until it is told to end."""

    def __init__(self, path: Path, *prompts: str, code: str = _STORES) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", code, str(path), *prompts],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "\n"

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()

    def end(self) -> list[str]:
        """What it saw in the end."""
        seen, _ = self._process.communicate()
        assert self._process.returncode == 0
        return seen.split()


def copy(path: Path) -> None:
    shutil.copy(path, path.with_suffix(".backup"))


def open_once_more(path: Path) -> SQLiteCache:
    cache = SQLiteCache(path)
    assert cache.lookup(*entry("before").key) == answer()
    return cache


def open_and_close(path: Path) -> None:
    open_once_more(path).close()


@pytest.fixture(autouse=True, params=[True, False], ids=["lock that stays", "lock to lose"])
def stays(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether this process has a lock that stays. Other kernels always have."""
    if not request.param:
        monkeypatch.setattr(file_lock, "_set", lambda *_: False)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "notes.sqlite"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def cache(path: Path, clock: FakeClock) -> Iterator[SQLiteCache]:
    with SQLiteCache(path, clock=clock) as cache:
        cache.put(entry("before"))
        assert cache.lookup(*entry("before").key) == answer()
        yield cache
    check_sound(path)


@pytest.fixture(
    params=[copy, Path.read_bytes, open_once_more, open_and_close], ids=lambda lose: lose.__name__
)
def lose(request: pytest.FixtureRequest) -> Lose:
    found: Lose = request.param
    return found


def stored(cache: SQLiteCache) -> list[str]:
    return sorted(texts(cache.entries(Query(limit=None)).entries))


class TestLost:
    def test_what_both_store_stays(self, cache: SQLiteCache, path: Path, lose: Lose) -> None:
        kept = lose(path)
        Other(path, "theirs").end()
        cache.put(entry("ours"))
        other = Other(path, "theirs-too")
        for number in range(20):
            cache.put(entry(f"ours-{number}"))
        kept = lose(path) or kept
        everything = sorted(["before", "ours", "theirs", "theirs-too", *(f"ours-{n}" for n in range(20))])
        assert other.end() == everything
        assert stored(cache) == everything
        cache.put(entry("zuletzt"))
        assert Other(path).end() == [*everything, "zuletzt"]
        assert all(cache.lookup(*entry(prompt).key) == answer() for prompt in everything)
        del kept

    def test_who_only_reads_notices_after_a_second(
        self, cache: SQLiteCache, path: Path, clock: FakeClock, lose: Lose
    ) -> None:
        lose(path)
        Other(path, "theirs").end()
        Other(path, "theirs-too").end()
        clock.advance(1)
        assert cache.lookup(*entry("theirs-too").key) == answer()

    def test_two_caches_of_a_process_go_on(self, cache: SQLiteCache, path: Path) -> None:
        with open_once_more(path) as second:
            second.put(entry("second"))
            copy(path)
            Other(path, "theirs").end()
            cache.put(entry("first"))
            second.put(entry("second-too"))
            everything = ["before", "first", "second", "second-too", "theirs"]
            assert stored(cache) == stored(second) == everything
            assert Other(path).end() == everything

    @pytest.mark.parametrize("first", ["stores", "reads"])
    def test_a_cache_that_is_opened_then_shares_no_log_that_is_gone(
        self, cache: SQLiteCache, path: Path, first: str
    ) -> None:
        copy(path)
        Other(path, "theirs").end()
        with SQLiteCache(path) as second:
            assert second.lookup(*entry("theirs").key) == answer()
            other = Other(path, "theirs-too")
            for number in range(20):
                second.put(entry(f"second-{number}"))
                if first == "stores" or number == 19:
                    cache.put(entry(f"first-{number}"))
            everything = other.end()
        assert everything == stored(cache)
        assert len(everything) == (43 if first == "stores" else 24)

    def test_others_may_read_meanwhile(self, cache: SQLiteCache, path: Path) -> None:
        wrong: list[object] = []
        is_over = threading.Event()

        def read() -> None:
            while not is_over.is_set():
                found = cache.lookup(*entry("before").key)
                if found != answer():
                    wrong.append(found)

        threads = [threading.Thread(target=read) for _ in range(4)]
        for thread in threads:
            thread.start()
        for number in range(5):
            copy(path)
            Other(path, f"theirs-{number}").end()
            cache.put(entry(f"ours-{number}"))
        is_over.set()
        for thread in threads:
            thread.join()
        assert wrong == []
        assert len(stored(cache)) == 11


class TestKept:
    @pytest.mark.parametrize("open_again", [open_and_close, open_once_more])
    def test_a_second_cache_costs_no_lock(
        self, cache: SQLiteCache, path: Path, open_again: Callable[[Path], object]
    ) -> None:
        open_again(path)
        gc.collect()
        assert not Other(path, code=_TRIES).end()

    @STAYS
    def test_a_lock_that_stays_outlives_a_copy(self, cache: SQLiteCache, path: Path) -> None:
        log = path.with_name("notes.sqlite-wal")
        was = log.stat().st_ino
        copy(path)
        Other(path, "theirs").end()
        assert log.stat().st_ino == was
        assert stored(cache) == ["before", "theirs"]

    @STAYS
    def test_nor_does_a_copy_of_the_folder_have_others_take_its_index_for_left(
        self, cache: SQLiteCache, path: Path, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        shutil.copytree(path.parent, tmp_path_factory.mktemp("copies") / "copy")
        index = path.with_name("notes.sqlite-shm")
        assert not Other(index, "1", "128", code=_TRIES).end()
        everything = ["before", *(f"ours-{number}" for number in range(9)), "theirs"]
        other = Other(path, "theirs")
        for number in range(9):
            cache.put(entry(f"ours-{number}"))
        assert other.end() == stored(cache) == everything

    @STAYS
    def test_a_forked_child_lets_go_of_its_own_alone(self, cache: SQLiteCache, path: Path) -> None:
        child = os.fork()
        if not child:
            cache.put(entry("child"))
            cache.close()
            os._exit(0)
        cache.put(entry("parent"))
        os.waitpid(child, 0)
        index = path.with_name("notes.sqlite-shm")
        for file in (path, index):
            file.read_bytes()
        assert not Other(path, code=_TRIES).end()
        assert not Other(index, "1", "128", code=_TRIES).end()
        assert stored(cache) == ["before", "child", "parent"]

    def test_the_last_cache_lets_go_of_it(self, path: Path) -> None:
        with SQLiteCache(path) as cache:
            cache.put(entry("one"))
            cache.entries()
        assert Other(path, code=_TRIES).end() == ["locked"]
        assert [file.name for file in path.parent.iterdir()] == [path.name]

    @pytest.mark.parametrize("stays", [True] if sys.version_info < (3, 12) else [True, False], indirect=True)
    def test_who_lost_the_log_removes_none_of_others(self, cache: SQLiteCache, path: Path) -> None:
        """Somebody removed it by hand, and another kernel, which was killed, left one in its place."""
        for ending in ("-wal", "-shm"):
            path.with_name(path.name + ending).unlink()
        other = Other(path, "theirs")
        other.kill()
        cache.put(entry("ours"))
        assert "theirs" in stored(cache)


class TestTaken:
    def test_nothing_is_opened_while_another_process_removes_the_log(self, path: Path) -> None:
        with SQLiteCache(path) as cache:
            self._store_meanwhile(cache, path)
        assert Other(path).end() == ["ours"]

    @MAY_BE_LOST
    def test_nothing_is_written_meanwhile(self, cache: SQLiteCache, path: Path) -> None:
        copy(path)
        self._store_meanwhile(cache, path)
        assert Other(path).end() == ["before", "ours"]

    def _store_meanwhile(self, cache: SQLiteCache, path: Path) -> None:
        other = Other(path, code=_LOCKS)
        storing = threading.Thread(target=cache.put, args=[entry("ours")])
        storing.start()
        storing.join(0.1)
        assert storing.is_alive()
        other.end()
        storing.join()

    @MAY_BE_LOST
    def test_it_is_not_taken_while_the_last_connection_is_closed(
        self, cache: SQLiteCache, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Who closes that has the file for itself alone, and removes the log: nobody else may come in."""
        begun, log = threading.Event(), []
        take = fcntl.lockf

        def take_slowly(*how: int) -> None:
            if not begun.is_set():
                begun.set()
                time.sleep(0.2)
                log.append("taken")
            take(*how)

        cache.put(entry())
        other = SQLiteCache(path)
        monkeypatch.setattr(fcntl, "lockf", take_slowly)
        with ThreadPoolExecutor(1) as pool:
            writing = pool.submit(other.put, entry("other"))
            begun.wait()
            cache.close()
            log.append("closed")
            writing.result()
        other.close()
        assert log == ["taken", "closed"]

    @MAY_BE_LOST
    def test_whether_it_is_held_is_told(self, cache: SQLiteCache, path: Path) -> None:
        lock = shared_lock(path)
        copy(path)
        other = Other(path, code=_LOCKS)
        assert not lock.take()
        other.end()
        assert lock.take()

    def test_nobody_has_it_without_a_connection(self, path: Path) -> None:
        with SQLiteCache(path):
            lock = shared_lock(path)
            assert lock.take()
            assert Other(path, code=_TRIES).end() == ["locked"]

    @STAYS
    def test_a_python_that_does_not_name_it_has_it(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delattr(fcntl, "F_OFD_SETLK", raising=False)
        with SQLiteCache(path) as cache:
            cache.put(entry("one"))
            copy(path)
            assert not Other(path, code=_TRIES).end()

    def test_it_is_not_needed_where_there_is_no_file(self, path: Path) -> None:
        assert shared_lock(path).descriptor is None
        assert shared_lock(path).take()
