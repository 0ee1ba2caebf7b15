"""Front: the fast tier of a TieredCache, and which of its entries the slow tier does not have."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable

from llmcache_jupyter.caches.entry import Entry, Key, entry_id
from llmcache_jupyter.caches.limits import LimitedCache
from llmcache_jupyter.caches.locks import new_lock

_MOST_WAITING = 10_000


class Front:
    """A cache, and what of it waits to be written elsewhere. Both change as one.

    - Who is to write an entry elsewhere claims its key, and releases it then. Meanwhile nobody else writes
      under that key, so that what is written there lands in order: a later answer is left to the writer.
    - So is a removal: until its writer has removed it, what is elsewhere under that key is as good as gone.
      It is, too, while who removes has to do so once more, as some was written meanwhile.
    - Who reads or removes elsewhere passes what `changes` or `writes` was before, and learns whether a write
      came between.
    - What waits is kept, whether the cache has room for it or not: of 10,000 entries, the latest.
    """

    def __init__(self, cache: LimitedCache) -> None:
        self.cache = cache
        self.writes = 0
        self.removals = 0
        # those in `cache` alone, in the order of their turns: the entry that is to be written, or None where
        # it cannot be
        self._unwritten: OrderedDict[Key, Entry | None] = OrderedDict()
        self._claims: set[Key] = set()
        self._removed: set[Key] = set()
        self._hidden: Counter[Key] = Counter()
        self._removing_again = 0
        self._failures: dict[Key, tuple[int, int]] = {}  # how often, and what `writes` was at the last one
        self._lock = new_lock()

    @property
    def is_ahead(self) -> bool:
        """Whether some of its entries are here alone."""
        return bool(self._unwritten)

    @property
    def is_apart(self) -> bool:
        """Whether what is elsewhere is something else, under any key."""
        return bool(self._unwritten or self._removed or self._hidden)

    @property
    def is_claimed(self) -> bool:
        """Whether somebody is writing."""
        return bool(self._claims)

    @property
    def changes(self) -> tuple[int, int]:
        """What is another one after each write and each removal."""
        return self.writes, self.removals

    def has_alone(self, key: Key) -> bool:
        return key in self._unwritten

    @property
    def removed(self) -> frozenset[Key]:
        """What is elsewhere under these keys is still to be removed."""
        with self._lock:
            return frozenset(self._removed | self._hidden.keys())

    def known(self, key: Key, found: Entry | None) -> tuple[bool, Entry | None]:
        """Whether nobody else is to be asked, and what is under the key then.

        - `found`: what the cache has there. One that waits and that the cache had no room for comes back:
          elsewhere is at most an older answer.
        """
        if key not in self._unwritten:
            return key in self._removed or key in self._hidden, None
        waiting = self._unwritten.get(key)
        if waiting is not None and (found is None or found.generations is not waiting.generations):
            with self._lock:
                if self._unwritten.get(key) is waiting:
                    self.cache.put(waiting)
            found = self.cache.get(key)
        return found is not None, found

    def keep(self, entry: Entry, claimed: list[Key]) -> None:
        """Have the entry, as one that waits to be written. Its key is added to `claimed`, if it could be."""
        with self._lock:
            key = entry.key
            if key not in self._claims:
                claimed.append(key)
                self._claims.add(key)
            self._failures.pop(key, None)
            self._unwritten[key] = entry  # first: who reads it meanwhile must not miss it elsewhere
            self._unwritten.move_to_end(key)
            self._removed.discard(key)
            self.cache.put(entry)
            if len(self._unwritten) > _MOST_WAITING:
                self._unwritten.popitem(last=False)

    def fill(self, key: Key, found: Entry | None, changes: tuple[int, int]) -> Entry | None:
        """Have what was found elsewhere, unless something newer is here by now. Returns what is current."""
        with self._lock:
            if key in self._unwritten:
                return self.cache.get(key) or self._living(self._unwritten[key])
            if key in self._removed or key in self._hidden:
                return None
            if changes == self.changes and not self._removing_again:
                if found is None:
                    self.cache.discard(key)
                else:
                    self.cache.put(found)
            return found

    def claim_some(self, claimed: list[Entry], most: int, most_characters: int) -> None:
        """Claim the next entries that wait, with their hits; one at least, if there is any."""
        left = most_characters
        with self._lock:
            for key, waiting in self._unwritten.items():
                if waiting is None or key in self._claims:
                    continue
                left -= len(key[0])
                if claimed and (left < 0 or len(claimed) == most):
                    break
                entry = self.cache.get(key)
                is_same = entry is not None and entry.generations is waiting.generations
                claimed.append(entry if entry is not None and is_same else waiting)
                self._claims.add(key)

    def release(self, keys: Iterable[Key]) -> None:
        """Let others claim these."""
        with self._lock:
            self._claims.difference_update(keys)

    def note_written(self, entry: Entry) -> bool:
        """Note that the entry was written. Returns whether it is still the one under its key."""
        with self._lock:
            self.writes += 1
            self._failures.pop(entry.key, None)
            if not self._waits(entry):
                return False
            del self._unwritten[entry.key]
            return True

    def next_for(self, key: Key) -> tuple[Entry | None, bool]:
        """What its writer is to write now, if anything, and else whether to remove what is there."""
        with self._lock:
            return self._unwritten.get(key), key in self._removed

    def note_removed(self, key: Key) -> None:
        """Note that what was elsewhere under the key is removed."""
        with self._lock:
            self._removed.discard(key)

    def note_failed(self, entry: Entry) -> int:
        """Have the entry wait for all others. Returns how often it has failed while others were written."""
        with self._lock:
            key = entry.key
            times, writes = self._failures.get(key, (0, -1))
            if writes != self.writes:
                times, writes = times + 1, self.writes
            if key in self._unwritten:
                self._unwritten.move_to_end(key)
                self._failures[key] = times, writes
            return times

    def note_unwritable(self, entry: Entry) -> bool:
        """Note that the entry cannot be written. Returns whether it is still the one under its key."""
        with self._lock:
            self._failures.pop(entry.key, None)
            if not self._waits(entry):
                return False
            if self.cache.get(entry.key) is None:  # no room for it here, either
                del self._unwritten[entry.key]
            else:
                self._unwritten[entry.key] = None
            return True

    def give_way(self, entry: Entry) -> None:
        """Forget the entry: elsewhere is one that was stored later."""
        with self._lock:
            if self._waits(entry):
                del self._unwritten[entry.key]
                self.cache.discard(entry.key)

    def delete(self, ids: set[str], writes: int) -> tuple[list[Key], bool]:
        """Remove these. Returns which of them were here alone, and whether some were written meanwhile.

        - If so, they are to be removed elsewhere once more. Till `note_removed_again`, what is there under
          those keys is hidden, and nothing that is found there is kept here.
        """
        with self._lock:
            alone = [entry.key for entry in self.alone() if entry.id in ids]
            for key in alone:
                del self._unwritten[key]
            self._removed.update(key for key in self._claims if entry_id(key) in ids)
            self.cache.delete(ids)
            return alone, self._hide(alone, writes)

    def clear(self, writes: int) -> tuple[list[Key], bool]:
        """`delete` all."""
        with self._lock:
            alone = list(self._unwritten)
            self._unwritten.clear()
            self._removed.update(self._claims)
            self.cache.clear()
            return alone, self._hide(alone, writes)

    def _hide(self, keys: list[Key], writes: int) -> bool:
        self.removals += 1
        is_overtaken = self.writes != writes
        if is_overtaken:
            self._hidden.update(keys)
            self._removing_again += 1
        return is_overtaken

    def note_removed_again(self, keys: Iterable[Key]) -> None:
        """Note that these are removed elsewhere once more: what is there by now is newer."""
        with self._lock:
            self._hidden -= Counter(keys)
            self._removing_again -= 1
            self.removals += 1

    def alone(self) -> list[Entry]:
        """The entries that are here alone."""
        found = (
            self.cache.get(key) or self._living(waiting) for key, waiting in list(self._unwritten.items())
        )
        return [entry for entry in found if entry is not None]

    def stored_when(self, keys: Iterable[Key]) -> dict[Key, float]:
        """When those that are here alone were stored, of the entries under these keys."""
        alone = {entry.key: entry.stored for entry in self.alone()} if self._unwritten else {}
        return {key: alone[key] for key in keys if key in alone}

    def waiting(self) -> list[Key]:
        """The keys of those that are to be written."""
        return [key for key, entry in list(self._unwritten.items()) if entry is not None]

    def _waits(self, entry: Entry) -> bool:
        waiting = self._unwritten.get(entry.key)
        return waiting is not None and waiting.generations is entry.generations

    def _living(self, entry: Entry | None) -> Entry | None:
        """The entry, unless it has expired."""
        ttl = self.cache.ttl
        is_expired = entry is not None and ttl is not None and self.cache.clock() - entry.stored >= ttl
        return None if is_expired else entry
