"""Locks of an open file, as Linux has them (man 2 fcntl, "Open file description locks").

SQLite has those of a process, which gives up all that it has on a file with any descriptor of it that it
closes (sqlite.org/howtocorrupt.html, "Posix advisory locks canceled by a separate thread doing close()").
These stay till their own open file is closed, also in a fork's child. To SQLite they are another's.
"""

from __future__ import annotations

import errno
import struct
import sys

try:
    import fcntl
except ImportError:  # Windows, where each descriptor has its own locks
    fcntl = None  # type: ignore[assignment]

# Pythons that are built for old systems have no name for it; where the system has none either, it says so
_SETLK = 37
_FLOCK = "hhqqi"

IN_THE_WAY = frozenset({errno.EAGAIN, errno.EACCES})
"""The error numbers that stand for somebody else's lock."""


def share(descriptor: int, first: int, count: int) -> bool:
    """Lock these bytes against those who want them alone. Returns False where there are no such locks.

    Raises:
        OSError: somebody has them alone.
    """
    return _set(descriptor, "F_RDLCK", first, count)


def leave(descriptor: int, first: int, count: int) -> None:
    """Unlock these bytes, if they are locked."""
    _set(descriptor, "F_UNLCK", first, count)


def _set(descriptor: int, kind: str, first: int, count: int) -> bool:
    if sys.platform != "linux":
        return False
    how = struct.pack(_FLOCK, getattr(fcntl, kind), 0, first, count, 0)
    try:
        fcntl.fcntl(descriptor, _SETLK, how)
    except OSError as error:
        if error.errno in IN_THE_WAY:
            raise
        return False  # a disk or a system that has only a process's locks
    return True
