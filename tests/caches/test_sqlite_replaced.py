"""A store's file that is deleted, moved or replaced while a kernel has it open."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from llmcache_jupyter import StoreError
from llmcache_jupyter.caches import Query
from llmcache_jupyter.caches.sqlite import SQLiteCache
from tests.caches.contract import FakeClock, answer, entry, texts
from tests.caches.sqlite_files import make_store, run_sql
from tests.fakes import wait_until

BESIDE = ("-wal", "-shm")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "folder").mkdir()
    return tmp_path / "folder" / "notes.sqlite"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def cache(path: Path, clock: FakeClock) -> Iterator[SQLiteCache]:
    with SQLiteCache(path, clock=clock) as cache:
        cache.put(entry("before"))
        assert cache.lookup(*entry("before").key) == answer()
        yield cache


def stored_in(path: Path) -> set[str]:
    with SQLiteCache(path) as cache:
        return set(texts(cache.entries(Query(limit=None)).entries))


def delete(path: Path, *endings: str) -> None:
    for ending in ("", *endings):
        path.with_name(path.name + ending).unlink(missing_ok=True)


class TestDeleted:
    @pytest.mark.parametrize("beside", [(), BESIDE], ids=["alone", "with its log"])
    def test_what_is_stored_afterwards_is_in_a_new_file(
        self, cache: SQLiteCache, path: Path, beside: tuple[str, ...]
    ) -> None:
        delete(path, *beside)
        cache.put(entry("after"))
        assert cache.lookup(*entry("after").key) == answer()
        cache.close()
        assert stored_in(path) == {"after"}

    def test_what_was_in_it_is_not_served(self, cache: SQLiteCache, path: Path, clock: FakeClock) -> None:
        delete(path)
        clock.advance(1)
        assert cache.lookup(*entry("before").key) is None
        assert (len(cache), cache.entries().total) == (0, 0)

    def test_closing_makes_no_new_file(self, cache: SQLiteCache, path: Path) -> None:
        cache.lookup(*entry("before").key)
        delete(path)
        cache.close()
        assert not path.exists()

    def test_the_kernels_that_share_it_go_on_in_the_new_file(self, cache: SQLiteCache, path: Path) -> None:
        with SQLiteCache(path) as other:
            other.put(entry("before, too"))
            delete(path)
            other.put(entry("after"))
            cache.put(entry("after, too"))
            assert other.lookup(*entry("after, too").key) == answer()
        cache.close()
        assert stored_in(path) == {"after", "after, too"}

    def test_another_kernel_begins_anew(self, cache: SQLiteCache, path: Path, clock: FakeClock) -> None:
        delete(path)
        with SQLiteCache(path) as other:
            assert other.lookup(*entry("before").key) is None
            for number in range(50):
                other.put(entry(str(number)))
            clock.advance(1)
            assert cache.lookup(*entry("before").key) is None
            cache.put(entry("after"))
        cache.close()
        assert stored_in(path) == {"after", *map(str, range(50))}

    def test_its_folder_is_gone(self, cache: SQLiteCache, path: Path) -> None:
        shutil.rmtree(path.parent)
        with pytest.raises(StoreError, match="there is no folder"):
            cache.put(entry("after"))
        path.parent.mkdir()
        cache.put(entry("after"))
        cache.close()
        assert stored_in(path) == {"after"}


class TestMixed:
    """Another store that was put in the place of one with a log: SQLite takes the log for its own."""

    def test_no_key_has_the_answer_of_another(self, path: Path) -> None:
        def name(day: str, number: int) -> str:
            return f"{day} {number} " + "word " * 200

        for file, day in ((path, "tuesday"), (path.with_name("backup.sqlite"), "monday")):
            with SQLiteCache(file) as cache:
                for number in range(120):
                    cache.put(entry(name(day, number), text=f"{day} {number}"))
        with SQLiteCache(path) as cache:
            for number in range(120, 125):
                cache.put(entry(name("tuesday", number), text=f"tuesday {number}"))
            cache.entries()
            log = path.with_name(path.name + "-wal")
            left = log.read_bytes()
            assert left
        path.with_name("backup.sqlite").replace(path)
        log.write_bytes(left)  # as a kernel that is killed leaves it
        with SQLiteCache(path) as cache:
            for day in ("monday", "tuesday"):
                for number in range(125):
                    found = cache.lookup(*entry(name(day, number)).key)
                    assert found is None or found[0].text == f"{day} {number}"


class TestReplaced:
    def test_by_another_store(self, cache: SQLiteCache, path: Path, clock: FakeClock) -> None:
        make_store(path.with_name("other.sqlite"))
        path.with_name("other.sqlite").replace(path)
        clock.advance(1)
        assert cache.lookup(*entry("before").key) is None
        assert cache.lookup(*entry("prompt 0").key) == answer()
        cache.put(entry("after"))
        cache.close()
        assert stored_in(path) == {"after", *(f"prompt {number}" for number in range(5))}

    def test_by_something_else(self, cache: SQLiteCache, path: Path) -> None:
        path.unlink()
        path.write_text("The user's own notes.\n" * 100)
        with pytest.raises(StoreError, match="no SQLite file"):
            cache.put(entry("after"))
        assert path.read_text() == "The user's own notes.\n" * 100
        path.unlink()
        cache.put(entry("after"))
        cache.close()
        assert stored_in(path) == {"after"}

    def test_reading_leaves_a_foreign_file_alone(
        self, cache: SQLiteCache, path: Path, clock: FakeClock
    ) -> None:
        foreign = path.with_name("photos.sqlite")
        run_sql(
            foreign, "PRAGMA journal_mode = WAL", "CREATE TABLE photos (a)", "INSERT INTO photos VALUES (1)"
        )
        clock.advance(1)
        for ending in BESIDE:
            path.with_name(path.name + ending).unlink()
        foreign.replace(path)
        before = path.read_bytes()
        for _ in range(3):
            with pytest.raises(StoreError, match="another program's SQLite file"):
                cache.lookup(*entry("before").key)
        assert (path.read_bytes(), list(path.parent.iterdir())) == (before, [path])

    def test_moved_it_keeps_what_it_had(self, cache: SQLiteCache, path: Path) -> None:
        path.rename(path.with_name("kept.sqlite"))
        cache.put(entry("after"))
        cache.close()
        assert stored_in(path) == {"after"}
        assert stored_in(path.with_name("kept.sqlite")) == {"before"}


class TestCopiedOver:
    """`cp lesson.sqlite notes.sqlite`: other content in the same file, while nothing is being stored."""

    @pytest.fixture(autouse=True)
    def _is_quiet(self, cache: SQLiteCache, path: Path) -> None:
        for number in range(50):
            cache.put(entry(f"before {number}"))
        log = path.with_name(path.name + "-wal")
        wait_until(lambda: log.stat().st_size == 0)
        assert cache.lookup(*entry("before 7").key) == answer()
        make_store(path.with_name("lesson.sqlite"))

    @pytest.fixture(params=["alone", "with another kernel"])
    def others(
        self, request: pytest.FixtureRequest, path: Path, clock: FakeClock
    ) -> Iterator[list[SQLiteCache]]:
        if request.param == "alone":
            yield []
        else:
            with SQLiteCache(path, clock=clock) as other:
                assert other.lookup(*entry("before 7").key) == answer()
                yield [other]

    def test_what_is_there_now_is_served(
        self, cache: SQLiteCache, others: list[SQLiteCache], path: Path, clock: FakeClock
    ) -> None:
        shutil.copyfile(path.with_name("lesson.sqlite"), path)
        clock.advance(1)
        for one in (cache, *others):
            assert one.lookup(*entry("before 7").key) is None
            assert one.lookup(*entry("prompt 0").key) == answer()
            assert one.entries().total == 5

    def test_what_is_stored_afterwards_is_added_to_it(
        self, cache: SQLiteCache, others: list[SQLiteCache], path: Path
    ) -> None:
        shutil.copyfile(path.with_name("lesson.sqlite"), path)
        for one in (cache, *others):
            one.put(entry(f"after {id(one)}"))
            assert one.lookup(*entry("prompt 0").key) == answer()
        after = {f"after {id(one)}" for one in (cache, *others)}
        for one in (cache, *others):
            one.close()
        assert stored_in(path) == {*after, *(f"prompt {number}" for number in range(5))}
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]

    def test_something_else_is_left_as_it_is(self, cache: SQLiteCache, path: Path) -> None:
        path.write_text("The user's own notes.\n" * 1000)
        with pytest.raises(StoreError, match="no SQLite file"):
            cache.put(entry("after"))
        cache.close()
        assert path.read_text() == "The user's own notes.\n" * 1000
