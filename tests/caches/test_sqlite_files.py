"""SQLiteCache and files that are foreign, broken or hostile: a clear error, and the file as it was."""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from llmcache_jupyter import Generation, StoreError
from llmcache_jupyter.caches import Query
from llmcache_jupyter.caches.sqlite import SQLiteCache, schema
from llmcache_jupyter.caches.sqlite.opening import Connection, connect, store_error
from llmcache_jupyter.caches.sqlite.schema import MIGRATIONS, prepare
from tests.caches.contract import entry, texts
from tests.caches.sqlite_files import Plant, altered, make_store, run_sql

GARBAGE = hashlib.shake_256(b"seed").digest(20_000)
VICTIM = "a file elsewhere that nobody may write to"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "folder").mkdir()
    return tmp_path / "folder" / "notes.sqlite"


def foreign(path: Path, *, mode: str = "DELETE") -> None:
    run_sql(path, f"PRAGMA journal_mode = {mode}", "CREATE TABLE photos (a)", "INSERT INTO photos VALUES (1)")


def foreign_with_log(path: Path) -> None:
    foreign(path, mode="WAL")


def copied_while_open(path: Path, beside: str, *, keep: bool) -> None:
    """What another program has beside its file while it writes, put beside `path`; `keep`: its file too."""
    other = path.with_name("other")
    writer = sqlite3.connect(other, isolation_level=None)
    writer.execute(f"PRAGMA journal_mode = {'WAL' if beside == '-wal' else 'DELETE'}")
    writer.execute("PRAGMA cache_size = 1")
    writer.execute("CREATE TABLE photos (a)")
    writer.executemany("INSERT INTO photos VALUES (?)", [("x" * 3_000,)] * 20)
    if beside == "-journal":
        writer.execute("BEGIN")
        writer.execute("UPDATE photos SET a = 'y' || a")  # more than its memory holds
    if keep:
        shutil.copy(other, path)
    shutil.copy(f"{other}{beside}", f"{path}{beside}")
    writer.close()
    other.unlink()


def another_log_beside_nothing(path: Path) -> None:
    path.touch()
    copied_while_open(path, "-wal", keep=False)


def symlink_beside(ending: str) -> Plant:
    def plant(path: Path) -> None:
        make_store(path)
        victim = path.parent.parent / "victim"
        victim.write_text(VICTIM)
        path.with_name(path.name + ending).symlink_to(victim)

    return plant


def cut(size: int) -> Plant:
    """A store of which only so many bytes arrived; from the end, if negative."""

    def plant(path: Path) -> None:
        make_store(path, 100)
        path.write_bytes(path.read_bytes()[:size])

    return plant


def store_and(plant: Plant) -> Plant:
    def both(path: Path) -> None:
        make_store(path)
        plant(path)

    return both


NO_SQLITE = "is no SQLite file"
FOREIGN = "is another program's SQLite file"
OTHER_TABLES = "is no store of llmcache-jupyter: its tables are others"
DAMAGED = "is damaged"

REFUSED: dict[str, tuple[Plant, str]] = {
    "text": (lambda path: path.write_text("# Notes\n" * 99), NO_SQLITE),
    "a byte": (lambda path: path.write_bytes(b"\0"), NO_SQLITE),
    "random bytes": (lambda path: path.write_bytes(GARBAGE), NO_SQLITE),
    "random after the magic": (
        lambda path: path.write_bytes(b"SQLite format 3\0" + GARBAGE), "no SQLite file"
    ),
    "a folder": (Path.mkdir, "is a folder: name a file, for example .*notes.sqlite/llmcache.sqlite"),
    "a pipe": (os.mkfifo, "is no ordinary file"),
    "a device": (lambda path: path.symlink_to("/dev/null"), "is no ordinary file"),
    "a symlink to itself": (lambda path: path.symlink_to(path), "cannot be opened"),
    "a symlink to no folder": (lambda path: path.symlink_to(path.parent / "no" / "x"), "cannot be made"),
    "another program's": (foreign, rf"{FOREIGN} \(tables: photos\)"),
    "another program's, with a log": (foreign_with_log, rf"{FOREIGN} \(tables: photos\)"),
    "another program's, open": (
        lambda path: copied_while_open(path, "-wal", keep=True), f"{FOREIGN}, in use"
    ),
    "another program's, crashed": (
        lambda path: copied_while_open(path, "-journal", keep=True), f"{FOREIGN}, in use"
    ),
    "another's log beside nothing": (
        another_log_beside_nothing, "is empty, and has a log"
    ),
    "another's journal": (
        store_and(lambda path: copied_while_open(path, "-journal", keep=False)), "move that one away"
    ),
    "another application": (altered("PRAGMA application_id = 7"), FOREIGN),
    "a newer version": (altered("PRAGMA user_version = 9"), "written by a newer .*pip install --upgrade"),
    "a negative version": (altered("PRAGMA user_version = -1"), OTHER_TABLES),
    "no version": (altered("PRAGMA user_version = 0"), OTHER_TABLES),
    "a view": (altered("CREATE VIEW v AS SELECT 1"), OTHER_TABLES),
    "a view for a table": (
        altered("DROP TABLE state", "CREATE VIEW state AS SELECT 'indexed' AS name, 0 AS value"), OTHER_TABLES
    ),
    "a trigger": (
        altered("CREATE TRIGGER t AFTER INSERT ON entries BEGIN DELETE FROM entries; END"), OTHER_TABLES
    ),
    "a table more": (altered("CREATE TABLE more (a)"), OTHER_TABLES),
    "a table less": (altered("DROP TABLE state"), OTHER_TABLES),
    "an index more": (altered("CREATE INDEX more ON entries (tokens, abs(row))"), OTHER_TABLES),
    "a column more": (altered("ALTER TABLE entries ADD COLUMN more"), OTHER_TABLES),
    "a generated column": (altered("ALTER TABLE entries ADD COLUMN g AS (abs(row))"), OTHER_TABLES),
    "other columns": (altered("DROP TABLE state", "CREATE TABLE state (name, value)"), OTHER_TABLES),
    "another search": (
        altered("DROP TABLE search", "CREATE VIRTUAL TABLE search USING fts5(prompt_text, answer_text)"),
        OTHER_TABLES,
    ),
    "a table for the search": (altered("DROP TABLE search", "CREATE TABLE search (a)"), OTHER_TABLES),
    "a table within the search": (
        altered("DROP TABLE search", "CREATE TABLE search_data (id, block AS (hex(id)))"), OTHER_TABLES
    ),
    "a broken schema": (
        altered(
            "PRAGMA writable_schema = 1",
            "UPDATE sqlite_master SET sql = 'CREATE TABLE' WHERE name = 'state'"),
        DAMAGED,
    ),
    "a schema of one place for two": (
        altered(
            "PRAGMA writable_schema = 1",
            "UPDATE sqlite_master SET rootpage = 1 WHERE name IN ('state', 'llm_strings')",
        ),
        DAMAGED,
    ),
    "a broken search": (altered("UPDATE search_data SET block = x'ffffffffffffffff'"), DAMAGED),
    "an empty search": (altered("DELETE FROM search_data"), DAMAGED),
    **{f"cut at {size}": (cut(size), f"{DAMAGED}: .* bytes of .* are there")
        for size in (100, 4096, 5000, -1, -4096)},
    **{f"cut at {size}": (cut(size), NO_SQLITE) for size in (1, 16, 99)},
    **{
        f"a symlink for its {ending}": (symlink_beside(ending), f"notes.sqlite{ending}, .* no ordinary file")
        for ending in ("-wal", "-shm", "-journal")
    },
    "a folder for its log": (
        store_and(lambda path: path.with_name("notes.sqlite-wal").mkdir()),
        "no ordinary file.*move that one away"
    ),
    "a pipe for its log": (store_and(lambda path: os.mkfifo(f"{path}-wal")), "no ordinary file"),
}  # fmt: skip


def everything_in(folder: Path) -> dict[str, str]:
    return {
        str(found.relative_to(folder)): hashlib.sha256(found.read_bytes()).hexdigest()
        if found.is_file()
        else ""
        for found in sorted(folder.rglob("*"))
    }


class TestRefused:
    @pytest.mark.parametrize("name", REFUSED)
    def test_the_error_is_clear_and_the_file_as_it_was(self, name: str, path: Path, tmp_path: Path) -> None:
        plant, told = REFUSED[name]
        plant(path)
        before = everything_in(tmp_path)
        for _ in range(2):
            with pytest.raises(StoreError, match=told) as raised:
                SQLiteCache(path)
            assert str(path) in str(raised.value)
            assert everything_in(tmp_path) == before

    def test_another_programs_own_log_beside_a_store(self, path: Path) -> None:
        make_store(path)
        copied_while_open(path, "-wal", keep=False)
        before = {name: told for name, told in everything_in(path.parent).items() if "shm" not in name}
        with pytest.raises(StoreError, match="name another file"):
            SQLiteCache(path)
        assert before.items() <= everything_in(path.parent).items()

    @pytest.mark.parametrize(
        ("name", "told"),
        [
            ("no folder/notes.sqlite", "there is no folder .*no folder: make it first"),
            ("file/notes.sqlite", "cannot be opened .Not a directory"),
            ("a\0b", "cannot be opened"),
            ("x" * 300, "cannot be opened .File name too long"),
            ("\ud83d", "cannot be opened"),
        ],
    )
    def test_names_that_cannot_be(self, path: Path, name: str, told: str) -> None:
        (path.parent / "file").touch()
        with pytest.raises(StoreError, match=told):
            SQLiteCache(path.parent / name)
        assert everything_in(path.parent).keys() == {"file"}

    def test_nobodys_home(self) -> None:
        with pytest.raises(StoreError, match="write the whole path"):
            SQLiteCache("~nobody-of-this-name/notes.sqlite")

    def test_a_folder_that_was_removed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        cache = SQLiteCache(tmp_path / "notes.sqlite")
        (tmp_path / "here").mkdir()
        monkeypatch.chdir(tmp_path / "here")
        (tmp_path / "here").rmdir()
        with pytest.raises(StoreError, match="write the whole path"):
            SQLiteCache("notes.sqlite")
        assert cache.name == str(tmp_path / "notes.sqlite")
        cache.close()


class TestAccepted:
    def test_a_symlink_to_a_store(self, path: Path) -> None:
        elsewhere = path.parent / "elsewhere"
        elsewhere.mkdir()
        path.symlink_to(elsewhere / "real.sqlite")
        make_store(path)
        with SQLiteCache(path) as one:
            one.put(entry("more"))  # it is in the log, which is beside the real file
            with SQLiteCache(path) as other:
                assert len(other) == 6
        assert [found.name for found in elsewhere.iterdir()] == ["real.sqlite"]

    def test_a_log_left_by_a_crash(self, path: Path) -> None:
        with SQLiteCache(path) as cache:
            cache.put(entry("p"))
            copy = path.with_name("copy.sqlite")
            shutil.copy(path, copy)
            shutil.copy(f"{path}-wal", f"{copy}-wal")
        with SQLiteCache(copy) as found:
            assert found.get(entry("p").key) == entry("p")

    def test_an_sqlite_file_with_nothing_in_it(self, path: Path) -> None:
        run_sql(path, "CREATE TABLE t (a)", "DROP TABLE t")
        assert path.stat().st_size > 0
        make_store(path)

    def test_a_crash_before_the_first_table(self, path: Path) -> None:
        run_sql(path, f"PRAGMA application_id = {0x4C4C4D43}", "PRAGMA journal_mode = WAL")
        make_store(path)

    def test_an_older_version_is_brought_forward(self, path: Path) -> None:
        make_store(path)
        added = (*MIGRATIONS, lambda connection: connection.execute("CREATE TABLE later (a)"))
        assert prepare(path, added)
        assert prepare(path, added)
        told = rf"format {len(MIGRATIONS) + 1}; this one reads up to {len(MIGRATIONS)}"
        with pytest.raises(StoreError, match=told):
            SQLiteCache(path)

    def test_a_migration_that_fails_changes_nothing(self, path: Path) -> None:
        make_store(path)
        added = (*MIGRATIONS, lambda connection: connection.execute("DROP TABLE entries"), lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            prepare(path, added)
        with SQLiteCache(path) as cache:
            assert len(cache) == 5

    def test_one_that_another_kernel_writes_to_as_it_is_looked_at(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What was read then may be anything: half of a page that is being written."""
        make_store(path)
        looks = []

        def connect_beside_a_writer(place: Path, how: str, *more: float) -> Connection:
            looks.append(how)
            if len(looks) > 1:
                return connect(place, how, *more)
            with path.open("r+b") as file:
                file.truncate(file.seek(0, os.SEEK_END) + 4_096)
            raise store_error(sqlite3.DatabaseError("database disk image is malformed"), place)

        monkeypatch.setattr(schema, "connect", connect_beside_a_writer)
        assert prepare(path)
        assert len(looks) > 2


class TestFull:
    """A disk that is full: what was stored is still there, and what did not fit says so."""

    SCRIPT = """
        import resource, sys
        from llmcache_jupyter import Generation, StoreError
        from llmcache_jupyter.caches import Entry
        from llmcache_jupyter.caches.sqlite import SQLiteCache

        cache = SQLiteCache(sys.argv[1])
        cache.put(Entry(("kept", "m"), [Generation("a")], 1.0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))
        for number in range(1_000):
            try:
                cache.put(Entry((str(number), "m"), [Generation("a" * 5_000)], 1.0))
            except StoreError as error:
                print(number, error)
                break
        print(cache.lookup("kept", "m"), cache.lookup(str(number - 1), "m") is not None, len(cache))
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        cache.put(Entry(("after", "m"), [Generation("a")], 1.0))
    """

    def test_no_room(self, path: Path) -> None:
        told = run(self.SCRIPT, path).splitlines()
        stored = int(told[0].split()[0])
        assert stored > 35  # what was in the log alone, three times as large, went to the file
        assert "full: make room, or" in told[0]
        assert told[1] == f"{[Generation('a')]} True {stored + 1}"
        with SQLiteCache(path) as cache:
            assert set(texts(cache.entries(Query(limit=None)).entries)) == {
                "kept", "after", *map(str, range(stored))
            }  # fmt: skip

    def test_no_room_for_the_file(self, path: Path) -> None:
        script = """
            import resource, sys
            from llmcache_jupyter import StoreError
            from llmcache_jupyter.caches.sqlite import SQLiteCache

            resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, resource.RLIM_INFINITY))
            try:
                SQLiteCache(sys.argv[1])
            except StoreError as error:
                print(error)
        """
        assert "full: make room, or" in run(script, path)
        make_store(path)  # with room, what was begun there is in nobody's way


class TestReadOnly:
    """As a user who may not write there: root may write anywhere, so that it becomes another user first."""

    SCRIPT = """
        import os, sys
        from llmcache_jupyter import StoreError
        from llmcache_jupyter.caches.sqlite import SQLiteCache
        from llmcache_jupyter.caches.sqlite.opening import connect

        if os.geteuid() == 0:
            os.seteuid(65534)
        try:
            SQLiteCache(sys.argv[1])
        except StoreError as error:
            print(error)
    """

    @pytest.mark.parametrize(
        ("file_mode", "folder_mode", "told"),
        [
            (0o444, 0o777, "notes.sqlite is read-only, and a store is written to: make it writable"),
            (0o666, 0o555, "folder is read-only, and a store is written to: make it writable"),
            (0o000, 0o777, "it cannot be opened (Permission denied"),
            (0o666, 0o000, "it cannot be opened (Permission denied"),
            (None, 0o555, "it cannot be made (Permission denied): make its folder writable"),
        ],
    )
    def test_it_says_what_to_make_writable(
        self, path: Path, file_mode: int | None, folder_mode: int, told: str
    ) -> None:
        for folder in list(path.parents)[1:5]:  # pytest's own are for their owner alone
            if folder.owner() == path.parent.owner():
                folder.chmod(folder.stat().st_mode | 0o111)
        if file_mode is not None:
            make_store(path)
            path.chmod(file_mode)
        before = everything_in(path.parent) if os.geteuid() == 0 else None
        path.parent.chmod(folder_mode)
        try:
            printed = run(self.SCRIPT, path)
        finally:
            path.parent.chmod(0o755)
        assert told in printed
        if before is not None:
            assert everything_in(path.parent) == before


def run(script: str, path: Path) -> str:
    """What the script prints, in a process of its own."""
    command = [sys.executable, "-c", dedent(script), str(path)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
