"""The index of a file's log: it tells of every transaction, and reading it costs no one their locks."""

from __future__ import annotations

import gc
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llmcache_jupyter import Generation
from llmcache_jupyter.caches.entry import Entry
from llmcache_jupyter.caches.sqlite import SQLiteCache
from llmcache_jupyter.caches.sqlite.log_index import LogIndex


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "notes.sqlite"


@pytest.fixture
def other(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection of another program's."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE IF NOT EXISTS notes (text)")
    yield connection
    connection.close()


def entry(prompt: str = "p", answer: str = "a", stored: float = 1.0) -> Entry:
    return Entry((prompt, "model"), [Generation(answer)], stored)


def open_files() -> int:
    return sum(1 for _ in Path("/dev/fd").iterdir())


def in_another_process(code: str, *arguments: Any) -> str:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


class TestVersion:
    def test_each_transaction_makes_another_one(self, path: Path, other: sqlite3.Connection) -> None:
        index = LogIndex(path)
        seen = {index.version()}
        for number in range(300):
            other.execute("INSERT INTO notes VALUES (?)", [number])
            if number % 7 == 0:
                other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            version = index.version()
            assert version is not None
            assert version not in seen
            seen.add(version)

    def test_looking_makes_none(self, path: Path, other: sqlite3.Connection) -> None:
        index = LogIndex(path)
        before = index.version()
        with sqlite3.connect(path) as one:
            assert one.execute("SELECT count(*) FROM notes").fetchall()
        one.close()
        assert before is not None
        assert index.version() == before

    def test_it_is_told_of_other_processes(self, path: Path, other: sqlite3.Connection) -> None:
        index = LogIndex(path)
        before = index.version()
        in_another_process(
            "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None);"
            "c.execute('INSERT INTO notes VALUES (1)')",
            path,
        )
        assert index.version() not in (before, None)

    def test_without_a_log_it_is_none(self, path: Path) -> None:
        assert LogIndex(path).version() is None
        path.with_name(f"{path.name}-shm").write_bytes(b"short")
        assert LogIndex(path).version() is None

    def test_a_linked_file_has_the_log_of_its_target(
        self, path: Path, other: sqlite3.Connection, tmp_path: Path
    ) -> None:
        link = tmp_path / "link.sqlite"
        link.symlink_to(path)
        assert LogIndex(link).version() is not None


class TestHolds:
    def test_what_another_one_writes_is_seen_at_once(self, path: Path) -> None:
        with SQLiteCache(path) as ours, SQLiteCache(path) as theirs:
            for number in range(50):
                old = entry(stored=float(number))
                theirs.put(old)
                assert all(ours.holds(old) for _ in range(3))
                theirs.put(entry("another"))
                assert ours.holds(old)
                if number % 2:
                    theirs.delete([old.id])
                else:
                    theirs.put(entry(stored=number + 0.5))
                assert not ours.holds(old)

    def test_what_another_process_clears_is_gone_at_once(self, path: Path) -> None:
        with SQLiteCache(path) as ours:
            ours.put(old := entry())
            assert all(ours.holds(old) for _ in range(3))
            in_another_process(
                "import sys; from llmcache_jupyter.caches.sqlite import SQLiteCache;"
                "cache = SQLiteCache(sys.argv[1]); cache.clear(); cache.close()",
                path,
            )
            assert not ours.holds(old)

    def test_it_expires(self, path: Path) -> None:
        now = 1.0
        with SQLiteCache(path, ttl=10, clock=lambda: now) as cache:
            cache.put(one := entry())
            assert all(cache.holds(one) for _ in range(3))
            now = 11.0
            assert not cache.holds(one)

    def test_a_child_and_its_parent_see_each_others(self, path: Path) -> None:
        with SQLiteCache(path) as cache:
            cache.put(one := entry())
            assert all(cache.holds(one) for _ in range(3))
            child = os.fork()
            if child == 0:
                kept = all(cache.holds(one) for _ in range(3))
                cache.delete([one.id])
                os._exit(0 if kept and not cache.holds(one) else 1)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            assert not cache.holds(one)


class TestDescriptors:
    def test_no_lock_is_given_up(self, path: Path) -> None:
        with SQLiteCache(path) as cache:
            cache.put(one := entry())
            assert all(cache.holds(one) for _ in range(3))
            assert len(cache) == 1
            writer = sqlite3.connect(path, isolation_level=None)
            writer.execute("BEGIN IMMEDIATE")
        del cache
        gc.collect()
        tried = in_another_process(
            "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], timeout=0, isolation_level=None)\n"
            "try: c.execute('BEGIN IMMEDIATE')\n"
            "except sqlite3.OperationalError as error: print(error)",
            path,
        )
        writer.execute("ROLLBACK")
        writer.close()
        assert tried == "database is locked"

    def test_they_do_not_add_up(self, path: Path, other: sqlite3.Connection) -> None:
        def look(file: Path) -> None:
            index = LogIndex(file)
            assert index.version()

        look(path)
        before = open_files()
        for _ in range(20):
            look(path)
        assert open_files() <= before

    def test_those_of_removed_files_are_closed(self, tmp_path: Path) -> None:
        before = open_files()
        for number in range(20):
            with SQLiteCache(tmp_path / f"{number}.sqlite") as cache:
                cache.put(one := entry())
                assert all(cache.holds(one) for _ in range(3))
            del cache
        gc.collect()
        assert open_files() <= before + 2
