"""SQLite's lock that tells other processes that a file is open here: while it is held, none removes the log.

SQLite takes it with the first query, and believes it has it till the end; but a process may lose it by
`shutil.copy("notes.sqlite", ...)`. A lock of an open file stays. Where there is none, it is taken again.
"""

from __future__ import annotations

import os
import time
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

_PAUSE = 0.001  # seconds
_BYTES = 0x40000002, 510  # "SHARED_FIRST" and "SHARED_SIZE" in SQLite's source

FileId = tuple[int, int]


class Need:
    """That a connection needs the lock: from before it is opened until just before it is closed, or gone."""

    def __init__(self, lock: SharedLock) -> None:
        self.lock = lock

    def end(self) -> None:
        """The last connection may have the file for itself alone as it is closed, and remove the log."""
        self.lock.no_longer(self)


class SharedLock:
    """The lock of one file, through a descriptor that is closed once nobody has this object any more.

    - `descriptor`: None where there is no lock that could be lost.
    - It is held as long as somebody needs it; where it can be lost, from each `take` on.
    - `stays`: whether it is held, and cannot be lost.
    - `keeps_log`: whether no connection is to remove the log as it is closed.
    """

    def __init__(self, descriptor: int | None = None) -> None:
        self.descriptor = descriptor
        self._needs: weakref.WeakSet[Need] = weakref.WeakSet()
        self.stays = descriptor is None
        self.keeps_log = False
        if descriptor is not None:
            weakref.finalize(self, os.close, descriptor).atexit = False  # SQLite goes on till then

    def need(self) -> Need:
        """Have it stay where it is, once it is taken."""
        need = Need(self)
        with closing:
            self._needs.add(need)
        return need

    def no_longer(self, need: Need) -> None:
        """Let go of it, if nobody else needs it."""
        with closing:
            self._needs.discard(need)
            if self.descriptor is not None and not self._needs:
                self.stays = False
                with suppress(OSError):
                    file_lock.leave(self.descriptor, *_BYTES)

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Have even the last connection leave the log where it is."""
        need = self.need()
        self.keeps_log = True
        try:
            yield
        finally:
            self.keeps_log = False
            need.end()

    def take(self, patience: float = 0) -> bool:
        """Have it, if somebody needs it. Returns whether that is so, after so many seconds at most.

        - It cannot be had while another process removes the log.
        """
        if self.stays:
            return True
        until = time.monotonic() + patience
        while not self._is_taken():
            if time.monotonic() >= until:
                return False
            time.sleep(_PAUSE)
        return True

    def _is_taken(self) -> bool:
        with closing:
            if self.descriptor is None or not self._needs:
                return True
            try:
                self.stays = file_lock.share(self.descriptor, *_BYTES)
                if not self.stays:
                    first, count = _BYTES
                    fcntl.lockf(self.descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB, count, first)
            except OSError as error:  # else a disk that knows no locks
                return error.errno not in file_lock.IN_THE_WAY
            return True

    def read(self, size: int) -> bytes:
        """The file's beginning. To open and close it once more would lose the lock."""
        assert self.descriptor is not None
        return os.pread(self.descriptor, size, 0)


def shared_lock(path: Path) -> SharedLock:
    """The lock of the file at `path`, the same for all in this process."""
    if fcntl is None:
        return SharedLock()
    with _lock, suppress(OSError):  # moved away meanwhile
        found = held_lock(path)
        if found is None:
            descriptor = os.open(path, os.O_RDONLY)
            found = _held[_file_id(os.fstat(descriptor))] = SharedLock(descriptor)
        return found
    return SharedLock()


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


# Held while a connection is closed, and while the lock is taken: who closes the last connection has the file
# for itself alone as it removes the log. To take a process's lock then would let other processes in.
closing = new_rlock()
_held: weakref.WeakValueDictionary[FileId, SharedLock] = weakref.WeakValueDictionary()
_lock = new_lock()
