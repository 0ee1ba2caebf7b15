"""What is in a store's file, how it came to be so version by version, and whether a file is one at all.

- A file that isn't a store, or one that this version cannot use, is refused before anything is written to it
  or beside it.
- It is ours if its header says so (`APPLICATION`) and if it holds exactly our tables and indexes: no others,
  no other columns, no triggers, no views. So nothing that someone planted in it ever runs.
- The header says so before the file has a log: a log beside any other file is another program's.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from llmcache_jupyter.caches.sqlite.connections import leave_lost_log
from llmcache_jupyter.caches.sqlite.file import APPLICATION, LEFT, Look, check_writable, look_at, make
from llmcache_jupyter.caches.sqlite.forks import uses_sqlite
from llmcache_jupyter.caches.sqlite.opening import connect, store_error
from llmcache_jupyter.caches.sqlite.shared_lock import shared_lock
from llmcache_jupyter.errors import StoreError

OLDEST_SQLITE = (3, 31)

_PAGE = 2048  # bytes: an answer that is stored writes some whole pages to the log

# An index of every three characters in a row: it finds the entries that may contain a text; these are then
# asked. It is made where the SQLite at hand can, and a kernel whose SQLite cannot does without it.
_SEARCH = """CREATE VIRTUAL TABLE search USING fts5(
    prompt_text, answer_text,
    content = '', columnsize = 0, detail = none, tokenize = 'trigram case_sensitive 1'
)"""

_OF_SEARCH = {("table", name) for name in ("search", "search_data", "search_idx", "search_config")}
_OF_SQLITE = {("table", "sqlite_sequence", "CREATE TABLE sqlite_sequence(name,seq)")}


def _to_1(connection: sqlite3.Connection) -> None:
    """Entries, and the configurations they share. The last columns are the long ones, seldom read."""
    connection.execute("""CREATE TABLE llm_strings (
        id INTEGER PRIMARY KEY,
        digest BLOB NOT NULL UNIQUE,
        model TEXT,
        entries INTEGER NOT NULL,
        text BLOB NOT NULL
    )""")
    connection.execute("CREATE INDEX llm_strings_model ON llm_strings (model, entries)")
    # AUTOINCREMENT: a row's number is never used again, so that `search` may lag behind
    connection.execute("""CREATE TABLE entries (
        row INTEGER PRIMARY KEY AUTOINCREMENT,
        digest BLOB NOT NULL UNIQUE,
        llm INTEGER NOT NULL,
        model TEXT,
        stored REAL NOT NULL,
        took REAL,
        tokens INTEGER,
        cell TEXT,
        hits INTEGER NOT NULL,
        last_used REAL,
        used INTEGER NOT NULL,
        generations BLOB NOT NULL,
        sent BLOB,
        prompt_text TEXT NOT NULL,
        answer_text TEXT NOT NULL,
        prompt BLOB NOT NULL
    )""")
    for column in ("stored", "took", "tokens", "cell", "hits", "last_used", "used"):
        connection.execute(f"CREATE INDEX entries_{column} ON entries ({column})")
    connection.execute("CREATE INDEX entries_model ON entries (model, stored)")
    for column in ("prompt_text", "answer_text"):
        connection.execute(f"CREATE INDEX entries_{column} ON entries (substr({column}, 1, 50))")
    connection.execute("CREATE TABLE state (name TEXT PRIMARY KEY, value INTEGER NOT NULL)")
    connection.execute("INSERT INTO state VALUES ('indexed', 0)")


def _to_2(connection: sqlite3.Connection) -> None:
    """The inbox: entries that are not filed yet, as `rows.COLUMNS`."""
    connection.execute("""CREATE TABLE inbox (
        row INTEGER PRIMARY KEY,
        digest BLOB NOT NULL UNIQUE,
        model TEXT,
        stored REAL NOT NULL,
        took REAL,
        tokens INTEGER,
        cell TEXT,
        hits INTEGER NOT NULL,
        last_used REAL,
        generations BLOB NOT NULL,
        sent BLOB,
        prompt BLOB NOT NULL,
        llm_string BLOB NOT NULL,
        answer_text TEXT NOT NULL
    )""")


def _to_3(connection: sqlite3.Connection) -> None:
    """The inbox without an index, its rows numbered on from those of the entries."""
    connection.execute("ALTER TABLE inbox RENAME TO old_inbox")
    connection.execute("""CREATE TABLE inbox (
        row INTEGER PRIMARY KEY,
        digest BLOB NOT NULL,
        model TEXT,
        stored REAL NOT NULL,
        took REAL,
        tokens INTEGER,
        cell TEXT,
        hits INTEGER NOT NULL,
        last_used REAL,
        generations BLOB NOT NULL,
        sent BLOB,
        prompt BLOB NOT NULL,
        llm_string BLOB NOT NULL,
        answer_text TEXT NOT NULL
    )""")
    connection.execute("""INSERT INTO inbox SELECT
        coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'entries'), 0)
            + row_number() OVER (ORDER BY row),
        digest, model, stored, took, tokens, cell, hits, last_used, generations, sent, prompt, llm_string,
        answer_text FROM old_inbox""")
    connection.execute("DROP TABLE old_inbox")


Migration = Callable[[sqlite3.Connection], None]
MIGRATIONS: tuple[Migration, ...] = (_to_1, _to_2, _to_3)


@uses_sqlite
def prepare(path: Path, migrations: Sequence[Migration] = MIGRATIONS) -> bool:
    """Make `path` a store of this version, if it is one or isn't there. Returns whether it has `search`.

    Raises:
        StoreError: it cannot be a store. The file is as it was.
    """
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise StoreError(f"A store needs SQLite 3.31 or newer, and this Python has {sqlite3.sqlite_version}.")
    _check(path, migrations)
    if not path.exists():
        make(path)
    check_writable(path)
    lock = shared_lock(path)
    leave_lost_log(path)
    writer = connect(path, "mode=rw")
    try:
        _sign(writer, path, migrations)
        _use_log(writer)
        with _transaction(writer):
            _migrate(writer, path, migrations)
            return _add_search(writer)
    except sqlite3.Error as error:
        raise store_error(error, path) from error
    finally:
        writer.close()
        del lock  # not before


def _check(path: Path, migrations: Sequence[Migration]) -> None:
    """Raises StoreError unless the file can be a store, is one, or isn't there. It changes no file."""
    while (seen := _look(path)) is not None:
        leave_lost_log(path)
        try:
            with closing(connect(path, seen.how)) as reader:
                _version(reader, path, migrations)
            return
        except (sqlite3.Error, StoreError) as error:
            if look_at(path) == seen:  # else another kernel was writing to it meanwhile
                raise store_error(error, path) if isinstance(error, sqlite3.Error) else error from None


def _look(path: Path) -> Look | None:
    """`look_at`, with some moments for another kernel that is just making the file."""
    for _ in range(5):
        try:
            return look_at(path)
        except StoreError:
            time.sleep(0.01)
    return look_at(path)


def _version(connection: sqlite3.Connection, path: Path, migrations: Sequence[Migration]) -> int:
    """The version of the store that is open; 0 if nothing is in it yet.

    Raises:
        StoreError: it is no store, or one that this version cannot use.
    """
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    objects = _objects(connection)
    if application in (0, APPLICATION) and version == 0 and not objects:
        return 0
    if application != APPLICATION:
        tables = ", ".join(sorted(name for _, name, _ in objects))[:80] or "none"
        raise StoreError(
            f"{path} is another program's SQLite file (tables: {tables}). {LEFT}: name another file."
        )
    if version > len(migrations):
        raise StoreError(
            f"{path} was written by a newer llmcache-jupyter (format {version}; this one reads up to "
            f"{len(migrations)}). {LEFT}: pip install --upgrade llmcache-jupyter."
        )
    if version < 1 or not _is_as_expected(objects, migrations[:version]):
        raise StoreError(
            f"{path} is no store of llmcache-jupyter: its tables are others. {LEFT}: name another file."
        )
    return int(version)


def _objects(connection: sqlite3.Connection) -> set[tuple[str, str, str]]:
    rows = connection.execute("SELECT type, name, sql FROM sqlite_master")
    objects = {(str(kind), str(name), str(sql)) for kind, name, sql in rows}
    return {what for what in objects if what not in _OF_SQLITE and what[::2] != ("index", "None")}


def _is_as_expected(objects: set[tuple[str, str, str]], migrations: Sequence[Migration]) -> bool:
    fresh = sqlite3.connect(":memory:", isolation_level=None)
    try:
        for migration in migrations:
            migration(fresh)
        ours = _objects(fresh)
        try:
            fresh.execute(_SEARCH)
        except sqlite3.OperationalError:  # no FTS5, or no trigrams: what another SQLite made is not touched
            return ours <= objects and {what[:2] for what in objects - ours} <= _OF_SEARCH
        return objects in (ours, _objects(fresh))
    finally:
        fresh.close()


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _sign(connection: sqlite3.Connection, path: Path, migrations: Sequence[Migration]) -> None:
    """Say in the header of an empty file whose it is. Only then it may have a log."""
    if not connection.execute("PRAGMA application_id").fetchone()[0]:
        connection.execute(f"PRAGMA page_size = {_PAGE}")
        with _transaction(connection):
            _version(connection, path, migrations)
            connection.execute(f"PRAGMA application_id = {APPLICATION}")


def _use_log(connection: sqlite3.Connection) -> None:
    """A write-ahead log: readers and a writer don't wait for each other. Where a disk can't, they do."""
    until = time.monotonic() + 10
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            # SQLite doesn't wait here by itself while another kernel does the same
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(0.01)


def _migrate(connection: sqlite3.Connection, path: Path, migrations: Sequence[Migration]) -> None:
    version = _version(connection, path, migrations)  # again: another kernel may have been here meanwhile
    for migration in migrations[version:]:
        migration(connection)
    if version < len(migrations):
        connection.execute(f"PRAGMA user_version = {len(migrations)}")


def _add_search(connection: sqlite3.Connection) -> bool:
    try:
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'search'").fetchall():
            connection.execute(_SEARCH)
            connection.execute("UPDATE state SET value = 0 WHERE name = 'indexed'")
        connection.execute("SELECT rowid FROM search WHERE search MATCH '\"abc\"' LIMIT 1").fetchall()
    except sqlite3.OperationalError as error:  # this SQLite has no FTS5, or no trigrams
        if error.sqlite_errorcode != sqlite3.SQLITE_ERROR:
            raise
        return False
    return True
