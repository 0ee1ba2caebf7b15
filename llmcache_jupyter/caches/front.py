"""Front: the fast tier of a TieredCache, and which of its entries the slow tier does not have."""

from __future__ import annotations

from llmcache_jupyter.caches.entry import Entry, Key
from llmcache_jupyter.caches.limits import LimitedCache
from llmcache_jupyter.caches.locks import new_lock


class Front:
    """A cache, and what of it waits to be written elsewhere. Both change as one.

    - Writing elsewhere is slow, so much may happen meanwhile. Who writes or removes there passes what
      `writes` or `removals` was before, and learns whether the other one came between.
    """

    def __init__(self, cache: LimitedCache) -> None:
        self.cache = cache
        self.writes = 0
        self.removals = 0
        # those in `cache` alone: the entry that is to be written, or None where it cannot be
        self._unwritten: dict[Key, Entry | None] = {}
        self._lock = new_lock()

    @property
    def is_ahead(self) -> bool:
        """Whether some of its entries are here alone."""
        return bool(self._unwritten)

    def has_alone(self, key: Key) -> bool:
        return key in self._unwritten

    def find_alone(self, key: Key, found: Entry | None) -> Entry | None:
        """The entry that waits under the key, or the one that was found if none does.

        - One that the cache had no room for comes back: elsewhere is at most an older answer.
        """
        waiting = self._unwritten.get(key)
        if waiting is None or (found is not None and found.generations is waiting.generations):
            return found
        with self._lock:
            if self._unwritten.get(key) is waiting:
                self.cache.put(waiting)
        return self.cache.get(key)

    def keep(self, entry: Entry) -> None:
        """Have the entry, as one that waits to be written."""
        with self._lock:
            self._unwritten[entry.key] = entry  # first: who reads it meanwhile must not miss it elsewhere
            if self.cache.put(entry) and len(self._unwritten) > 2 * (self.cache.maxsize or 0):
                self._forget_evicted()

    def fill(self, key: Key, found: Entry | None, removals: int) -> Entry | None:
        """Have what was found elsewhere, unless something newer is here by now. Returns what is current."""
        with self._lock:
            if key in self._unwritten:
                return self.cache.get(key)
            if found is None:
                self.cache.discard(key)
            elif removals == self.removals:
                self.cache.put(found)
            return found

    def next_to_write(self, key: Key) -> Entry | None:
        """The entry under the key with its hits, if it still waits and there was room for it."""
        with self._lock:
            entry = self.cache.get(key)
            if entry is None:
                self._unwritten.pop(key, None)
            return entry if self._unwritten.get(key) is not None else None

    def note_written(self, entry: Entry) -> bool:
        """Note that the entry was written. Returns whether it is still the one under its key."""
        with self._lock:
            self.writes += 1
            if not self._waits(entry):
                return False
            del self._unwritten[entry.key]
            return True

    def note_unwritable(self, entry: Entry) -> bool:
        """Note that the entry cannot be written. Returns whether it is still the one under its key."""
        with self._lock:
            if not self._waits(entry):
                return False
            self._unwritten[entry.key] = None
            return True

    def delete(self, ids: set[str], writes: int) -> tuple[int, bool]:
        """Remove these. Returns how many of them were here alone, and whether some were written meanwhile."""
        with self._lock:
            alone = [entry.key for entry in self.alone() if entry.id in ids]
            for key in alone:
                del self._unwritten[key]
            self.cache.delete(ids)
            self.removals += 1
            return len(alone), self.writes != writes

    def clear(self, writes: int) -> bool:
        """Remove all. Returns whether some were written meanwhile."""
        with self._lock:
            self._unwritten.clear()
            self.cache.clear()
            self.removals += 1
            return self.writes != writes

    def alone(self) -> list[Entry]:
        """The entries that are here alone."""
        return [entry for key in list(self._unwritten) if (entry := self.cache.get(key)) is not None]

    def waiting(self) -> list[Key]:
        """The keys of those that are to be written."""
        return [key for key, entry in list(self._unwritten.items()) if entry is not None]

    def _waits(self, entry: Entry) -> bool:
        waiting = self._unwritten.get(entry.key)
        return waiting is not None and waiting.generations is entry.generations

    def _forget_evicted(self) -> None:
        kept = set(self.cache.keys())
        self._unwritten = {key: entry for key, entry in self._unwritten.items() if key in kept}
