"""The index of a file's log: what tells, at a tenth of a query's cost, that nobody has written to the file.

SQLite keeps it beside the file, as `notes.sqlite-shm`. Its first 48 bytes are a header with a counter of
transactions, which each one changes, in whichever process, before it counts as done
(sqlite.org/walformat.html, "The WAL-Index Header").
"""

from __future__ import annotations

import os
import weakref
from contextlib import suppress
from itertools import count
from pathlib import Path

from llmcache_jupyter.caches.locks import new_lock
from llmcache_jupyter.caches.sqlite import file_lock

_HEADER = 48  # bytes
# SQLite's "UNIX_SHM_DMS": who opens the index and finds nobody to share this byte with takes it for left by a
# crash, and truncates it. A process that copied it has lost the lock that SQLite has on it
_IN_USE = 128, 1

Version = tuple[int, bytes]


class LogIndex:
    """The index of the log of the file at `path`, as far as it is there and can be read.

    - SQLite removes it when the last connection is closed: it tells something as long as one is open that was
      open when it was first asked.
    """

    def __init__(self, path: Path) -> None:
        self._path = Path(f"{os.path.realpath(path)}-shm")
        self._opened: _Opened | None = None

    def version(self) -> Version | None:
        """What is another one after each transaction; None where that cannot be told."""
        try:
            opened = self._opened = self._opened or _open(self._path)
            header = os.pread(opened.descriptor, _HEADER, 0)
        except (OSError, AttributeError):  # it isn't there; or Windows, which has no pread
            return None
        return (opened.number, header) if len(header) == _HEADER else None

    def is_removed(self) -> bool:
        """Whether it was there, and no longer is."""
        return self._opened is not None and not os.fstat(self._opened.descriptor).st_nlink


class _Opened:
    """An index open for reading. `number` is that of no other one."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.number = next(_numbers)
        weakref.finalize(self, _leave, descriptor)
        with suppress(OSError):  # who is the first to open it has it alone for a moment
            file_lock.share(descriptor, *_IN_USE)


def _leave(descriptor: int) -> None:
    with suppress(OSError):
        file_lock.leave(descriptor, *_IN_USE)
    _left.append(descriptor)


# Those that nobody reads any more. With any of its descriptors that it closes, a process gives up all of its
# locks on that file, SQLite's too. So one is closed only once its file was removed, and used again till then.
_left: list[int] = []
_lock = new_lock()
_numbers = count(1)


def close_left() -> None:
    """In a forked child, before it opens anything: what it has there shares the locks of its parent."""
    while _left:
        os.close(_left.pop())


def _open(path: Path) -> _Opened:
    with _lock:
        left = _left_of(path.stat())
        return _Opened(os.open(path, os.O_RDONLY) if left is None else left)


def _left_of(wanted: os.stat_result) -> int | None:
    """One that was left of this file, if there is; those of removed files are closed."""
    for descriptor in tuple(_left):
        about = os.fstat(descriptor)
        if os.path.samestat(about, wanted):
            _left.remove(descriptor)
            return descriptor
        if not about.st_nlink:
            _left.remove(descriptor)
            os.close(descriptor)
    return None
