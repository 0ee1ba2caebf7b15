"""Hits that are not written yet: they go to a store many at a time, not one by one."""

from __future__ import annotations

from dataclasses import dataclass

from llmcache_jupyter.caches.locks import new_lock

_MANY = 1_000
_LONG = 2.0  # seconds
_BOUND = 10_000


@dataclass(slots=True)
class Use:
    """How many hits an entry had since they were last written, and when the last one was."""

    hits: int = 0
    last: float = 0.0

    def count(self, now: float) -> None:
        """Count a hit."""
        self.hits += 1
        self.last = now


class Uses:
    """The hits of this process that no store knows yet, by the digest of their key.

    - The order is that of the last hits, for `"lru"`.
    """

    def __init__(self) -> None:
        self._lock = new_lock()
        self.forget()

    def forget(self) -> None:
        """Drop them: in a forked child they are the parent's."""
        self._pending: dict[bytes, Use] = {}
        self._hits = 0
        self._since: float | None = None

    def note(self, digest: bytes, now: float) -> bool:
        """Count a hit. Returns whether it is time to write."""
        with self._lock:
            use = self._pending.pop(digest, None) or Use()
            use.count(now)
            self._pending[digest] = use
            self._hits += 1
            if self._since is None:
                self._since = now
            return self.is_due(now)

    def is_due(self, now: float) -> bool:
        """Whether it is time to write."""
        return self._hits >= _MANY or (self._since is not None and now - self._since >= _LONG)

    def of(self, digest: bytes) -> Use | None:
        """What is not written yet of one entry."""
        return self._pending.get(digest)

    def drop(self, digest: bytes) -> None:
        """Forget those of an answer that was replaced."""
        if digest in self._pending:
            with self._lock:
                self._pending.pop(digest, None)

    def __bool__(self) -> bool:
        return bool(self._pending)

    def take(self) -> dict[bytes, Use]:
        """All of them; they are no longer here."""
        with self._lock:
            taken, self._pending = self._pending, {}
            self._hits, self._since = 0, None
        return taken

    def put_back(self, taken: dict[bytes, Use], now: float) -> None:
        """Keep what could not be written for the next time, unless it has become too much."""
        with self._lock:
            later = self._pending
            self._pending = taken
            for digest, use in later.items():
                earlier = taken.pop(digest, None)
                taken[digest] = Use(use.hits + (earlier.hits if earlier else 0), use.last)
            for digest in list(taken)[: max(0, len(taken) - _BOUND)]:
                del taken[digest]
            self._hits, self._since = 0, now if taken else None
