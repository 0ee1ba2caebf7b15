"""The place of a store's file: whether what is at its path, and beside it, is still what was opened."""

from __future__ import annotations

import os
from pathlib import Path

from llmcache_jupyter.caches.sqlite.log_index import LogIndex
from llmcache_jupyter.caches.sqlite.shared_lock import FileId


class Place:
    """What is at `path`.

    - `file` tells it from any other file; None where there is none, or it was left.
    - `log_index` tells of its log.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._name = os.fspath(path)  # what asks the system with it takes a third of the time
        self._rest: tuple[tuple[int, int], bytes] | None = None  # the file and the log's index at rest
        self.log_index = LogIndex(path)
        self.look()

    def look(self) -> None:
        """Take what is there now for the file that is opened."""
        self.file = file_id(self.path)

    def leave(self) -> None:
        """What is there is no longer the file that was opened."""
        self.file = self._rest = None

    def is_current(self) -> bool:
        """Whether the file is still the one that was opened."""
        try:
            about = os.stat(self._name)  # noqa: PTH116 - with each answer
        except OSError:
            return False
        if (about.st_dev, about.st_ino) != self.file:
            return False
        return self._rest is None or not self._is_copied_over(about)

    def watch_log(self) -> None:
        """Begin anew with the log's index: none may have been there before a connection was open."""
        self.log_index = LogIndex(self.path)
        self.log_index.version()

    def leave_log(self) -> None:
        """The log of what was open is no longer the one to watch."""
        self.log_index = LogIndex(self.path)

    def has_lost_log(self) -> bool:
        """Whether another process has removed the log."""
        return self.log_index.is_removed()

    def is_log_empty(self) -> bool:
        """Whether all that was written is in the file itself."""
        try:
            return not Path(f"{os.path.realpath(self.path)}-wal").stat().st_size
        except OSError:  # it has none
            return True

    def rest(self) -> None:
        """Note that all is in the file, and nothing in its log."""
        version = self.log_index.version()
        try:
            about = self.path.stat()
        except OSError:
            return
        if version is not None:
            self._rest = _contents(about), version[1]

    def _is_copied_over(self, about: os.stat_result) -> bool:
        """Whether something else than a store wrote to the file, which changed though its log did not.

        - That can be told from when the log was emptied until the next transaction.
        """
        rest = self._rest
        if rest is None or rest[0] == _contents(about):
            return False
        version = self.log_index.version()
        if version is not None and version[1] == rest[1]:
            return True
        self._rest = None
        return False


def shown_path(path: Path) -> str:
    """The path, from the current folder where it is below that."""
    try:
        return str(path.relative_to(Path.cwd()))
    except (OSError, ValueError):  # elsewhere, or the current folder was removed
        return str(path)


def file_id(path: Path) -> FileId | None:
    """What tells the file at `path` from any other; None where there is none."""
    try:
        about = path.stat()
    except OSError:
        return None
    return about.st_dev, about.st_ino


def _contents(about: os.stat_result) -> tuple[int, int]:
    """What is another one when a file was written to."""
    return about.st_size, about.st_mtime_ns
