"""The connections to one SQLite file: several that read, one that writes. Safe under threads and forks."""

from __future__ import annotations

import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from llmcache_jupyter.caches.locks import new_rlock
from llmcache_jupyter.caches.sqlite.forks import at_forks, uses_sqlite
from llmcache_jupyter.caches.sqlite.log_index import Version, close_left
from llmcache_jupyter.caches.sqlite.opening import HINTS, HURRIED, PATIENT, Connection, connect, store_error
from llmcache_jupyter.caches.sqlite.place import Place, file_id
from llmcache_jupyter.caches.sqlite.shared_lock import FileId, SharedLock, forget_locks, shared_lock
from llmcache_jupyter.errors import StoreError

T = TypeVar("T")
Rows = list[tuple[Any, ...]]

_READ_TIMEOUT, _STOP_TIMEOUT = 1.0, 1.0
_LOOK_AGAIN = 1.0  # seconds
_IDLE_READERS = 8
_FULL = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE})
_LOG_PAGES = 8000  # until these wait in the log: a page that is written often goes to the file once, then


class Connections:
    """The open connections to `path`.

    - A reader sees each transaction of this and other processes as a whole, and waits for no writer.
    - One transaction writes at a time. Either all of it is stored, or nothing.
    - They are closed before a fork, and parent and child open their own again.
    - They follow the path: a file that was deleted, moved or replaced is left, and what is there by then is
      used; also what was copied over it while its log was empty. Writing notices at once, reading after a
      second. So it is where another process removed the log, as it may once this one has lost its lock.
    - `prepare` makes a store of what is at `path`, or of nothing. `on_fork` is called in the child.

    All methods raise StoreError, with what to do, where SQLite fails.
    """

    def __init__(
        self,
        path: Path,
        prepare: Callable[[Path], object],
        on_fork: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.path = path
        self._prepare = prepare
        self._on_fork = on_fork
        self._clock = clock
        self._place = Place(path)
        self._looked = clock()
        self._closed = False
        self._write_lock = new_rlock()
        self._is_stopped = self._has_write_lock = False
        self._busy: set[int] = set()  # threads that read
        self._patience = PATIENT
        self._failures = 0  # of writing
        self._writer: Connection | None = None
        self._shared_lock = shared_lock(path)
        self._readers: list[Connection] = []
        _alive.add(self)

    @property
    def file(self) -> FileId | None:
        """What tells the file that is open from any other."""
        return self._place.file

    def read(self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> Rows:
        """The rows of one query."""
        return self._lend(lambda reader: reader.execute(sql, parameters).fetchall())

    def look(self, steps: Callable[[sqlite3.Connection], T]) -> T:
        """What `steps` return, whose queries all see the file as it was at the first."""

        def all_steps(reader: sqlite3.Connection) -> T:
            reader.execute("BEGIN")
            return steps(reader)

        return self._lend(all_steps)

    def version(self) -> Version | None:
        """What is another one after whatever was written since; None where that cannot be told."""
        if self._is_time_to_look():
            self._check_open()
            self._follow()
        return self._place.log_index.version() if self._readers else None

    @uses_sqlite
    def write(self, steps: Callable[[sqlite3.Connection], T], patience: float = PATIENT) -> T:
        """What `steps` return, in a transaction: committed at their end, taken back on any error.

        - `patience`: seconds to wait for another process that writes.
        """

        def transaction(writer: sqlite3.Connection) -> T:
            try:
                writer.execute("BEGIN IMMEDIATE")
                result = steps(writer)
                writer.execute("COMMIT")
                return result
            finally:
                _roll_back(writer)

        return self._written(transaction, patience)

    @uses_sqlite
    def empty_log(self) -> None:
        """Have all of it in the file itself, where no other process is in the way."""
        if self._place.is_log_empty():
            return
        with self._write_lock, suppress(StoreError):
            self._open_writer(HURRIED)
            if self._has_emptied_log():
                self._place.rest()

    def _has_emptied_log(self) -> bool:
        """Empty the log. Returns whether nobody was in the way."""
        with suppress(sqlite3.Error):
            writer = self._open_writer(self._patience)
            return writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall() == [(0, 0, 0)]
        return False

    @uses_sqlite
    def store(self, sql: str, parameters: Mapping[str, Any]) -> int | None:
        """Have one statement store a row: a transaction of its own. Returns the row's number."""
        return self._written(lambda writer: writer.execute(sql, parameters).lastrowid, PATIENT)

    def _written(self, transaction: Callable[[sqlite3.Connection], T], patience: float) -> T:
        failures = self._failures
        with self._write_lock:
            if self._failures != failures:  # whoever was before waited, and in vain
                patience = HURRIED
            try:
                writer = self._open_writer(patience)
                try:
                    return transaction(writer)
                except sqlite3.OperationalError as error:  # the log may be what fills the disk
                    if error.sqlite_errorcode not in _FULL or not self._has_emptied_log():
                        raise
                    return transaction(self._open_writer(patience))
            except (sqlite3.Error, StoreError) as error:
                self._failures += 1
                if isinstance(error, StoreError):
                    raise
                raise store_error(error, self.path) from error

    @uses_sqlite
    def close(self) -> None:
        """Close all. What is being read or written ends first, or is given up with its own error."""
        self._closed = True
        with self._write_lock:
            self._close_readers()
            self._close_writer()  # last, because only a writer clears the log away
            self._shared_lock = SharedLock()

    def is_current(self) -> bool:
        """Whether the file is still the one that was prepared."""
        return self._place.is_current()

    def stop(self) -> bool:
        """Close what is not in use, and let nothing be opened till `go_on`. Returns whether all is closed."""
        self._has_write_lock = self._write_lock.acquire(timeout=_STOP_TIMEOUT)
        self._is_stopped = True
        until = time.monotonic() + _STOP_TIMEOUT
        while self._other_readers() and time.monotonic() < until:
            time.sleep(0.001)
        self._close_readers()
        if self._has_write_lock:
            self._close_idle_writer()
        self._leave_log()
        return not self._is_open()

    def go_on(self) -> None:
        """Let connections be opened again."""
        self._is_stopped = False
        if self._has_write_lock:
            self._has_write_lock = False
            self._write_lock.release()

    def close_idle(self) -> None:
        """Close what is not in use."""
        self._close_readers()
        self._close_idle_writer()
        self._leave_log()

    def begin_anew(self) -> None:
        """In a forked child: what another thread of the parent was using is left alone."""
        self._writer = None
        self._is_stopped, self._readers, self._busy = False, [], set()
        self._shared_lock = SharedLock() if self._closed else shared_lock(self.path)
        self._on_fork()

    @uses_sqlite
    def _lend(self, steps: Callable[[sqlite3.Connection], T]) -> T:
        me = threading.get_ident()
        try:
            pool, reader = self._borrow(me)
            try:
                return steps(reader)
            finally:
                self._give_back(pool, reader)
        except sqlite3.Error as error:
            raise store_error(error, self.path) from error
        finally:
            self._busy.discard(me)

    def _borrow(self, me: int) -> tuple[list[Connection], Connection]:
        """A reader, and where it belongs."""
        self._check_open()
        if self._is_time_to_look():
            self._follow()
        self._begin_to_read(me)
        pool = self._readers
        try:
            return pool, pool.pop()
        except IndexError:
            self._busy.discard(me)
        self._follow()  # before a file is opened: whose is it?
        leave_lost_log(self.path, _READ_TIMEOUT)
        self._begin_to_read(me)
        return self._readers, self._new_reader()

    def _begin_to_read(self, me: int) -> None:
        self._busy.add(me)
        while self._is_stopped:
            self._busy.discard(me)
            with self._write_lock:  # until `go_on`
                self._busy.add(me)

    def _new_reader(self) -> Connection:
        reader = self._connect(_READ_TIMEOUT)
        try:
            reader.execute("PRAGMA query_only = ON")
            self._place.watch_log()
        except BaseException:
            reader.close()
            raise
        return reader

    def _give_back(self, pool: list[Connection], reader: Connection) -> None:
        _roll_back(reader)
        if len(pool) >= _IDLE_READERS or pool is not self._readers:
            reader.close()
            return
        pool.append(reader)
        if self._closed:
            self._close_readers()

    def _other_readers(self) -> set[int]:
        return self._busy - {threading.get_ident()}

    def _is_time_to_look(self) -> bool:
        return not 0 <= self._clock() - self._looked < _LOOK_AGAIN

    def _follow(self) -> None:
        """Leave what would lose what is written to it: a file that isn't at its path, or a log that isn't."""
        self._looked = self._clock()
        if self.is_current() and not self.has_lost_log():
            return
        with self._write_lock:
            if not self.is_current():
                self._leave()
            elif self.has_lost_log():
                _close_all_of(self)

    def _leave(self) -> None:
        self._close_readers()
        self._readers = []
        self._place.leave()
        if self._writer is not None:
            with suppress(sqlite3.Error):  # its log must be no other file's
                self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._close_writer()
        self._prepare(self.path)
        self._place.look()
        self._shared_lock = shared_lock(self.path)

    def has_lost_log(self) -> bool:
        """Whether what was open here goes on with a log that another process has removed."""
        return self._place.has_lost_log() and self._is_open()

    def keep_log(self, patience: float) -> None:
        """Have no other process remove the log of what is open: from here on none does, if any did before."""
        if not self._shared_lock.stays and self._is_open():
            self._take(self._shared_lock, patience)

    def _take(self, lock: SharedLock, patience: float) -> None:
        if not lock.take(patience):
            raise StoreError(f"{self.path}: {HINTS[sqlite3.SQLITE_BUSY]}.")

    def _connect(self, patience: float) -> Connection:
        need = self._shared_lock.need()
        try:
            self._take(need.lock, patience)
            connection = connect(self.path, "mode=rw", patience)
        except BaseException:
            need.end()
            raise
        connection.need = need
        return connection

    def _leave_log(self) -> None:
        """Once nothing is open, the log of what was is no longer the one to watch."""
        if not self._is_open():
            self._place.leave_log()

    def _is_open(self) -> bool:
        return self._writer is not None or bool(self._readers) or bool(self._other_readers())

    def _close_readers(self) -> None:
        while self._readers:
            try:
                self._readers.pop().close()
            except IndexError:  # another thread took the last one
                return

    def _open_writer(self, patience: float = PATIENT) -> sqlite3.Connection:
        self._check_open()
        self.keep_log(patience)
        self._follow()
        if self._writer is None:
            leave_lost_log(self.path, patience)
            self._writer = self._new_writer(patience)
            self._patience = patience
        _roll_back(self._writer)  # an interrupt may have come where nobody could
        if patience != self._patience:
            self._writer.execute(f"PRAGMA busy_timeout = {round(patience * 1000)}")
            self._patience = patience
        return self._writer

    def _new_writer(self, patience: float) -> Connection:
        writer = self._connect(patience)
        try:
            writer.execute("PRAGMA synchronous = NORMAL")
            writer.execute(f"PRAGMA wal_autocheckpoint = {_LOG_PAGES}")
            writer.execute("CREATE TEMP TABLE leaving (row INTEGER PRIMARY KEY)")
            self._place.watch_log()
        except BaseException:
            writer.close()
            raise
        return writer

    def _close_idle_writer(self) -> None:
        if self._writer is not None and not self._writer.in_transaction:
            self._close_writer()

    def _close_writer(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError(f"{self.path} was closed: make a new SQLiteCache of it.")


def _roll_back(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        connection.execute("ROLLBACK")


def leave_lost_log(path: Path, patience: float = PATIENT) -> None:
    """Before a file is opened: close what is open to it here, if its log was removed. All share one index.

    - `patience`: seconds to wait for a process that is just removing it.
    """
    sharing = _all_of(file_id(path))
    for one in sharing:
        one.keep_log(patience)
    lost = next((one for one in sharing if one.has_lost_log()), None)
    if lost is not None:
        _close_all_of(lost)


_alive: weakref.WeakSet[Connections] = weakref.WeakSet()
_stopping = new_rlock()


def _all_of(file: FileId | None) -> list[Connections]:
    """What this process has to the file with this identity."""
    return [] if file is None else [one for one in list(_alive) if one.file == file]


def _close_all_of(lost: Connections) -> None:
    """Close all connections that this process has to a file: a new one would share their log that is gone.

    - Whatever log is there by now is others', and stays.
    """
    with _stopping, shared_lock(lost.path).kept():
        sharing = _all_of(lost.file)
        try:
            are_closed = [one.stop() for one in sharing]
        finally:
            for one in sharing:
                one.go_on()
    if not all(are_closed):
        raise StoreError(f"{lost.path}: its log was removed while it was in use: try again.")


def _close_idle() -> None:
    for one in list(_alive):
        one.close_idle()


def _begin_anew() -> None:
    forget_locks()
    close_left()
    for one in list(_alive):
        one.begin_anew()


at_forks(_close_idle, _begin_anew)
