"""SQLite's lock that tells other processes that a file is open here: while it is held, none removes the log.

SQLite takes it with the first query, and believes it has it till the end. But with any descriptor of the file
that a process closes, it gives up all of its locks on that file: `shutil.copy("notes.sqlite", ...)` is enough
(sqlite.org/howtocorrupt.html, "Posix advisory locks canceled by a separate thread doing close()").
"""

from __future__ import annotations

import os
import weakref
from contextlib import suppress
from pathlib import Path

from llmcache_jupyter.caches.locks import new_lock, new_rlock

try:
    import fcntl
except ImportError:  # Windows, where each descriptor has its own locks
    fcntl = None  # type: ignore[assignment]

_FIRST, _COUNT = 0x40000002, 510  # the bytes it locks: "SHARED_FIRST" and "SHARED_SIZE" in SQLite's source

FileId = tuple[int, int]


class SharedLock:
    """The lock of one file, through a descriptor that is closed once nobody has this object any more."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        weakref.finalize(self, os.close, descriptor).atexit = False  # SQLite goes on till then

    def take(self) -> bool:
        """Take it again, if it was lost. Returns whether it is held: not while somebody removes the log."""
        try:
            fcntl.lockf(self._descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB, _COUNT, _FIRST)
        except (BlockingIOError, PermissionError):
            return False
        except OSError:  # a disk that knows no locks
            return True
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


def _file_id(about: os.stat_result) -> FileId:
    return about.st_dev, about.st_ino


# Held while a connection is closed, and while the lock is taken again: who closes the last connection has the
# file for itself alone as it removes the log. To take the lock then would let other processes in.
closing = new_rlock()
_held: weakref.WeakValueDictionary[FileId, SharedLock] = weakref.WeakValueDictionary()
_lock = new_lock()
