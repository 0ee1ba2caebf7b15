"""SQLite's lock that tells other processes that a file is open here: while it is held, none removes the log.

SQLite takes it with the first query, and believes it has it till the end. But with any descriptor of the file
that a process closes, it gives up all of its locks on that file: `shutil.copy("notes.sqlite", ...)` is enough
(sqlite.org/howtocorrupt.html, "Posix advisory locks canceled by a separate thread doing close()").
"""

from __future__ import annotations

import os
import time
import weakref
from contextlib import suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows, where each descriptor has its own locks
    fcntl = None  # type: ignore[assignment]

_FIRST, _COUNT = 0x40000002, 510  # the bytes it locks: "SHARED_FIRST" and "SHARED_SIZE" in SQLite's source
_PAUSE = 0.001  # seconds


class SharedLock:
    """The lock of the file at `path`, for as long as SQLite has the file open and has read from it."""

    def __init__(self, path: Path) -> None:
        self._descriptor: int | None = None
        if fcntl is not None:
            with suppress(OSError):  # moved away meanwhile
                self._descriptor = os.open(path, os.O_RDONLY)
                weakref.finalize(self, os.close, self._descriptor).atexit = False  # SQLite goes on till then

    def take(self, patience: float) -> bool:
        """Take it again, if it was lost. Returns whether it is held.

        - `patience`: seconds to wait for a process that is just removing the log.
        """
        if self._descriptor is None:
            return True
        until = time.monotonic() + patience
        while True:
            try:
                fcntl.lockf(self._descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB, _COUNT, _FIRST)
                return True
            except (BlockingIOError, PermissionError):
                if time.monotonic() > until:
                    return False
                time.sleep(_PAUSE)
            except OSError:  # a disk that knows no locks
                return True
