"""Opening one connection to an SQLite file, and what SQLite's errors mean to a user."""

from __future__ import annotations

import os
import sqlite3
import sys
from pathlib import Path
from urllib.parse import quote

from llmcache_jupyter.caches.sqlite.shared_lock import Need, closing
from llmcache_jupyter.errors import StoreError

PATIENT, HURRIED = 3.0, 0.05  # seconds to wait for another process that writes
_SETTINGS = (
    "PRAGMA trusted_schema = OFF",
    "PRAGMA cell_size_check = ON",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA cache_size = -16000",
)
HINTS = {
    sqlite3.SQLITE_BUSY: "another program keeps it locked: close that one, or try again",
    sqlite3.SQLITE_LOCKED: "another program keeps it locked: close that one, or try again",
    sqlite3.SQLITE_READONLY: "it cannot be written to: make the file and its folder writable, or use a copy",
    sqlite3.SQLITE_PERM: "it cannot be opened: make the file and its folder readable and writable",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened: is its folder there, readable and writable?",
    sqlite3.SQLITE_FULL: "the disk is full: make room on it, or use another place",
    sqlite3.SQLITE_IOERR: "the disk failed or is full: make room, or use another place",
    sqlite3.SQLITE_CORRUPT: "it is damaged: move it away, and a new one is made",
    sqlite3.SQLITE_NOTADB: "it is no SQLite file: name another one",
}


class Connection(sqlite3.Connection):
    """A connection. `need`: of its file's lock, till it is closed."""

    need: Need | None = None

    def close(self) -> None:
        with closing:
            need, self.need = self.need, None
            if need is not None:
                if need.lock.keeps_log and sys.version_info >= (3, 12):  # else a lock that stays keeps it
                    self.setconfig(sqlite3.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE)
                need.end()
            super().close()


def connect(path: Path, mode: str, timeout: float = PATIENT) -> Connection:
    """A connection without implicit transactions; `mode` as in SQLite's URIs. Raises StoreError."""
    address = f"file:///{quote(os.fsencode(path.as_posix().lstrip('/')), safe='/:')}?{mode}"
    try:
        connection = sqlite3.connect(
            address,
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            timeout=timeout,
            factory=Connection,
        )
        # text that is none, in a file that someone planted, is shown as far as it goes
        connection.text_factory = lambda text: text.decode(errors="replace")
        try:
            for setting in _SETTINGS:
                connection.execute(setting)
        except BaseException:
            connection.close()
            raise
    except sqlite3.Error as error:
        raise store_error(error, path) from error
    return connection


def store_error(error: sqlite3.Error, path: Path) -> StoreError:
    """What SQLite's error means for the file at `path`, and what to do."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    hint = HINTS.get(code, "try again, or use another file")
    return StoreError(f"{path}: {hint} ({error}).")
