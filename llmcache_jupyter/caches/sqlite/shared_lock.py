"""SQLite's lock that tells other processes that a file is open here: while it is held, none removes the log.

SQLite takes it with the first query, and believes it has it till the end; but a process may lose it by
`shutil.copy("notes.sqlite", ...)`. A lock of an open file stays. Where there is none, it is taken again.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from llmcache_jupyter.caches.locks import new_lock, new_rlock
from llmcache_jupyter.caches.sqlite import file_lock

try:
    import fcntl
except ImportError:  # Windows, where each descriptor has its own locks
    fcntl = None  # type: ignore[assignment]

_BYTES = 0x40000002, 510  # "SHARED_FIRST" and "SHARED_SIZE" in SQLite's source

FileId = tuple[int, int]


class SharedLock:
    """The lock of one file, through a descriptor that is closed once nobody has this object any more.

    - Each connection is to be added before it is opened, and removed before it is closed.
    - What is lost, where it can be, is taken again by `take`.
    - `keeps_log`: whether no connection is to remove the log as it is closed.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._connections = 0
        self._stays = False  # held, and not to be lost
        self.keeps_log = False
        weakref.finalize(self, os.close, descriptor).atexit = False  # SQLite goes on till then

    def add(self) -> None:
        """Note that a connection needs it."""
        with closing:
            self._connections += 1

    def remove(self) -> None:
        """Note that one no longer does. The last may have the file for itself alone as it is closed."""
        with closing:
            self._connections -= 1
            if not self._connections:
                self._stays = False
                with suppress(OSError):
                    file_lock.leave(self._descriptor, *_BYTES)

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Have even the last connection leave the log where it is."""
        self.add()
        self.keeps_log = True
        try:
            yield
        finally:
            self.keeps_log = False
            self.remove()

    def take(self) -> bool:
        """Have it, if a connection needs it. Returns False while somebody else removes the log."""
        if self._stays:
            return True
        with closing:
            if not self._connections:
                return True
            try:
                self._stays = file_lock.share(self._descriptor, *_BYTES)
                if not self._stays:
                    first, count = _BYTES
                    fcntl.lockf(self._descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB, count, first)
            except OSError as error:  # else a disk that knows no locks
                return error.errno not in file_lock.IN_THE_WAY
            return True

    def read(self, size: int) -> bytes:
        """The file's beginning. To open and close it once more would lose the lock."""
        return os.pread(self._descriptor, size, 0)


def shared_lock(path: Path) -> SharedLock | None:
    """The lock of the file at `path`, the same for all in this process; None where there is none to lose."""
    if fcntl is None:
        return None
    with _lock, suppress(OSError):  # moved away meanwhile
        found = held_lock(path)
        if found is None:
            descriptor = os.open(path, os.O_RDONLY)
            found = _held[_file_id(os.fstat(descriptor))] = SharedLock(descriptor)
        return found
    return None


def held_lock(path: Path) -> SharedLock | None:
    """The lock of the file at `path`, if somebody in this process has it."""
    try:
        return _held.get(_file_id(path.stat()))
    except OSError:
        return None


def forget_locks() -> None:
    """In a forked child: those of its parent, which come through the same open file, are left to that."""
    _held.clear()


def _file_id(about: os.stat_result) -> FileId:
    return about.st_dev, about.st_ino


# Held while a connection is closed, and while the lock is taken again: who closes the last connection has the
# file for itself alone as it removes the log. To take the lock then would let other processes in.
closing = new_rlock()
_held: weakref.WeakValueDictionary[FileId, SharedLock] = weakref.WeakValueDictionary()
_lock = new_lock()
