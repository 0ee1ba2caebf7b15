"""InMemoryCache: entries in this process, with a maximum number of them and a time to live."""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from itertools import islice
from typing import Any

from llmcache_jupyter.caches.entry import Entry, Key, Page, Query, entry_id
from llmcache_jupyter.caches.limits import LimitedCache, Policy, checked_limits
from llmcache_jupyter.caches.llm_string import model_name
from llmcache_jupyter.caches.locks import new_rlock
from llmcache_jupyter.caches.selection import select
from llmcache_jupyter.caches.uses import Use

# The generations, when they were stored, the Entry where there is one, and the hits since. An Entry is made
# when someone looks: making one at every `update` would cost more than the rest of it, and so with hits.
_Stored = tuple[list[Any], float, Entry | None, Use | None]


class InMemoryCache(LimitedCache):
    """A cache that keeps its entries in memory.

    - `maxsize`: the maximum number of entries; None is no maximum. Over it, the oldest are removed, each in
      constant time. Storing an entry again makes it the newest and never removes another one.
    - `policy`: what "oldest" means. `"fifo"`: stored longest ago; `"lru"`: stored or hit longest ago.
    - `ttl`: seconds, or a timedelta, after which an entry is a miss and is removed; None keeps it.
    - `clock`: seconds since the epoch.
    - Safe under threads. The async methods of the interface use no executor.
    - `lookup` and `update` hand the generations through as they are, and `lookup` counts no hit on the
      entry: a session's cache copies and counts.

    Raises:
        ValueError: `maxsize` or `ttl` is not greater than 0, or there is no such policy.
    """

    def __init__(
        self,
        *,
        maxsize: int | None = None,
        policy: Policy = "fifo",
        ttl: float | timedelta | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.clock = clock
        self._lock = new_rlock()
        self._stored: OrderedDict[Key, _Stored] = OrderedDict()
        self._llm_strings: dict[str, str] = {}
        self._set_limits(maxsize, policy, ttl)

    @property
    def maxsize(self) -> int | None:
        return self._maxsize

    @property
    def policy(self) -> Policy:
        return self._policy

    @property
    def ttl(self) -> float | None:
        return self._ttl

    def configure(self, *, maxsize: int | None, policy: Policy, ttl: float | timedelta | None) -> int:
        with self._lock:
            self._set_limits(maxsize, policy, ttl)
            before = len(self._stored)
            self._remove_expired()
            if policy == "fifo":
                self._stored = OrderedDict(sorted(self._stored.items(), key=lambda item: item[1][1]))
            self._evict()
            return before - len(self._stored)

    def lookup(self, prompt: str, llm_string: str) -> list[Any] | None:
        stored = self._stored.get((prompt, llm_string))
        if stored is None or (self._is_more_than_a_dict and not self._use((prompt, llm_string), stored)):
            return None
        return stored[0]

    def update(self, prompt: str, llm_string: str, return_val: Sequence[Any]) -> None:
        if not return_val:
            return
        generations = return_val if type(return_val) is list else list(return_val)
        # `with` takes 0.1 us more, of 1 in all; and an interrupt before `try` would leave the lock locked
        try:
            self._lock.acquire()
            key = (prompt, self._llm_strings.get(llm_string) or self._keep_llm_string(llm_string))
            stored = self._stored
            stored[key] = (generations, self.clock(), None, None)
            stored.move_to_end(key)
            if self._maxsize is not None and len(stored) > self._maxsize:
                self._evict()
        except BaseException:
            with suppress(RuntimeError):  # interrupted while it waited: it isn't ours
                self._lock.release()
            raise
        self._lock.release()

    def clear(self, **kwargs: Any) -> None:
        with self._lock:
            self._stored.clear()
            self._llm_strings.clear()

    async def alookup(self, prompt: str, llm_string: str) -> list[Any] | None:
        return self.lookup(prompt, llm_string)

    async def aupdate(self, prompt: str, llm_string: str, return_val: Sequence[Any]) -> None:
        self.update(prompt, llm_string, return_val)

    async def aclear(self, **kwargs: Any) -> None:
        self.clear(**kwargs)

    async def aget(self, key: Key) -> Entry | None:
        return self.get(key)

    async def aput(self, entry: Entry) -> int:
        return self.put(entry)

    async def atouch(self, key: Key) -> None:
        self.touch(key)

    def get(self, key: Key) -> Entry | None:
        stored = self._stored.get(key)
        return None if stored is None or self._is_expired(stored) else _entry(key, stored)

    def find(self, key: Key) -> Entry | None:
        stored = self._stored.get(key)
        if stored is None or (self._ttl is not None and self._is_expired(stored)):
            return None
        return stored[2] or _entry(key, stored)

    def put(self, entry: Entry) -> int:
        prompt, given = entry.key
        with self._lock:
            llm_string = self._keep_llm_string(given)
            key = (prompt, llm_string)
            newest = next(reversed(self._stored.values()), None)
            if newest is not None and entry.stored < newest[1]:
                self._newest_is_last = False
            # the same one, where it may be: it knows its digest, or will
            kept = entry if llm_string is given else replace(entry, key=key)
            self._stored[key] = kept.generations, kept.stored, kept, None
            self._stored.move_to_end(key)
            return self._evict()

    def touch(self, key: Key) -> None:
        with self._lock:
            stored = self._stored.get(key)
            if stored is not None and (not self._is_more_than_a_dict or self._use(key, stored)):
                generations, moment, entry, use = stored
                if use is None:
                    use = Use()
                    entry = entry or _entry((key[0], self._llm_strings[key[1]]), stored)
                    self._stored[key] = generations, moment, entry, use
                use.count(self.clock())

    def delete(self, ids: Iterable[str]) -> int:
        unwanted = set(ids)
        with self._lock:
            keys = self._keys_of(unwanted)
            for key in keys:
                del self._stored[key]
            return len(keys)

    def discard(self, key: Key) -> bool:
        with self._lock:
            return self._stored.pop(key, None) is not None

    def entries(self, query: Query = Query()) -> Page:
        with self._lock:
            self._remove_expired()
            if query.sort == "stored" and query.descending and not query.filters and self._newest_is_last:
                end = None if query.limit is None else query.offset + query.limit
                page = islice(reversed(self._stored.items()), query.offset, end)
                return Page([_entry(key, stored) for key, stored in page], len(self._stored))
            snapshot = list(self._stored.items())
        return select((_entry(key, stored) for key, stored in snapshot), query)

    def by_id(self, ids: Iterable[str]) -> dict[str, Entry]:
        wanted = set(ids)  # one walk for all: each costs a digest an entry
        with self._lock:
            self._remove_expired()
            snapshot = list(self._stored.items())
        entries = (_entry(key, stored) for key, stored in snapshot)
        return {entry.id: entry for entry in entries if entry.id in wanted}

    def models(self) -> dict[str | None, int]:
        with self._lock:
            self._remove_expired()
            by_llm_string = Counter(key[1] for key in self._stored)
        by_model: Counter[str | None] = Counter()
        for llm_string, count in by_llm_string.items():
            by_model[model_name(llm_string)] += count
        return dict(by_model.most_common())

    def keys(self) -> Iterator[Key]:
        with self._lock:
            return iter(list(self._stored))

    def __len__(self) -> int:
        with self._lock:
            self._remove_expired()
            return len(self._stored)

    # Loops that end on a condition are methods of their own, called where the lock is held: at such a loop's
    # jump back Python 3.12 and 3.13 let an interrupt pass by `with` and `finally`, and it stays locked.

    def _keys_of(self, ids: set[str]) -> list[Key]:
        return [key for key in self._stored if entry_id(key) in ids]

    def _evict(self) -> int:
        """Remove the oldest entries over the maximum. Returns how many: more than one after an interrupt."""
        evicted = 0
        if self._maxsize is not None:
            while len(self._stored) > self._maxsize:
                self._stored.popitem(last=False)
                evicted += 1
        return evicted

    def _keep_llm_string(self, llm_string: str) -> str:
        """The one string equal to this that entries share.

        - Those that no entry holds any more go once they are most of them.
        """
        if len(self._llm_strings) > 2 * len(self._stored) + 64:
            self._llm_strings = {key[1]: key[1] for key in self._stored}
        return self._llm_strings.setdefault(llm_string, llm_string)

    def _use(self, key: Key, stored: _Stored) -> bool:
        """Whether the entry still lives; if so, it is now the one used last."""
        with self._lock:
            if self._stored.get(key) is not stored:
                return not self._is_expired(stored)
            if self._is_expired(stored):
                del self._stored[key]
                return False
            if self._policy == "lru":
                self._stored.move_to_end(key)
            return True

    def _is_expired(self, stored: _Stored) -> bool:
        return self._ttl is not None and self.clock() - stored[1] >= self._ttl

    def _remove_expired(self) -> None:
        if self._ttl is not None:
            for key in [key for key, stored in self._stored.items() if self._is_expired(stored)]:
                del self._stored[key]

    def _set_limits(self, maxsize: int | None, policy: Policy, ttl: float | timedelta | None) -> None:
        limits = checked_limits(maxsize, policy, ttl)
        self._maxsize, self._policy, self._ttl = limits.maxsize, limits.policy, limits.ttl
        self._is_more_than_a_dict = policy == "lru" or limits.ttl is not None
        self._newest_is_last = policy == "fifo"


def _entry(key: Key, stored: _Stored) -> Entry:
    generations, moment, entry, use = stored
    entry = entry or Entry(key, generations, moment)
    return entry if use is None else entry.used(use)
