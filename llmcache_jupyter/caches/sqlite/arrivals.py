"""Where in the inbox an answer waits: what an index in the file would tell, at a sixth of storing's cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llmcache_jupyter.caches.locks import new_lock
from llmcache_jupyter.caches.sqlite.log_index import Version

Read = Callable[[str, Sequence[Any]], list[tuple[Any, ...]]]

# A row has the number that its entry may have once it is filed: none comes twice, and what is newer than the
# rows that were seen comes after them. Rows beyond the limit were planted, and so was what is no digest.
_LIMIT = 2**62
NEXT = f"""coalesce((SELECT max(row) FROM inbox WHERE row < {_LIMIT}),
    (SELECT seq FROM sqlite_sequence WHERE name = 'entries'), 0) + 1"""
_NEW = f"""SELECT digest, row FROM inbox
    WHERE row > ? AND row < {_LIMIT} AND length(digest) = 16 ORDER BY row"""
_FEW = 4_096


class Arrivals:
    """The rows of the inbox by the digests of their keys, as far as this process has looked."""

    def __init__(self) -> None:
        self._lock = new_lock()
        self.forget()

    def forget(self) -> None:
        """Begin anew: in a forked child another thread of the parent may have been looking."""
        self._version: Version | None = None
        self._rows: dict[bytes, int] = {}
        self._last = 0
        self._most = _FEW

    def row(self, digest: bytes, version: Version | None, read: Read) -> int:
        """The row in which the latest answer under this digest arrived; 0 where there is none.

        - It may have been filed by now.
        - `version`: the file's, asked for just before. `read` gives the rows of a query.
        """
        if version is None or version != self._version:
            self._look(version, read)
        return self._rows.get(digest, 0)

    def _look(self, version: Version | None, read: Read) -> None:
        with self._lock:
            if self._is_same_file(version) and len(self._rows) <= self._most:
                rows, last = self._rows, self._last
            else:
                rows, last, self._most = {}, 0, _FEW
            new = read(_NEW, (last,))
            rows.update(new)
            self._last = new[-1][1] if new else last
            self._most = max(self._most, 2 * len(new))
            self._rows, self._version = rows, version

    def _is_same_file(self, version: Version | None) -> bool:
        return version is not None and self._version is not None and version[0] == self._version[0]
