"""TieredCache: a fast cache in front of a slow one that others may share, or that may fail."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

from llmcache_jupyter.caches.backfill import Backfill
from llmcache_jupyter.caches.breaker import Breaker
from llmcache_jupyter.caches.entry import Entry, EntryCache, Key, Page, Query
from llmcache_jupyter.caches.finish import Finish
from llmcache_jupyter.caches.front import Front
from llmcache_jupyter.caches.guard import Guard, OnFailure, OnRecovery
from llmcache_jupyter.caches.limits import LimitedCache, Policy
from llmcache_jupyter.caches.selection import matcher, select


class TieredCache(LimitedCache):
    """A cache that reads from `fast` and then from `slow`, and writes to both.

    - What `slow` has is put into `fast` when it is read. What `slow` no longer has, because another kernel
      removed or replaced it, is not served from `fast`.
    - `slow` may fail: then `fast` answers alone, `on_failure` is told, and `slow` is left alone for a while.
      When it answers again, `on_recovery` is told.
    - Entries stored meanwhile are kept, and written when `slow` is back: on a thread, with a look at the
      entries, on `close` and at Python's end. One that `slow` has as a newer one by then gives way.
    - An entry that `slow` cannot hold stays in `fast` alone; `on_failure` is told the EncodingError.
    - `delete` and `clear` raise what `slow` raises: to remove is a wish that must not be half done unsaid.
    - `slow` may be a TieredCache itself.

    Args:
        timer: seconds from any beginning, for how long `slow` is left alone.
        background: False has the calls write what waits, and no thread.
    """

    def __init__(
        self,
        fast: LimitedCache,
        slow: EntryCache,
        *,
        on_failure: OnFailure | None = None,
        on_recovery: OnRecovery | None = None,
        timer: Callable[[], float] = time.monotonic,
        background: bool = True,
    ) -> None:
        self.clock = fast.clock
        self.slow = slow
        self._fast = fast
        self._front = Front(fast)
        self._reads = Guard("read", Breaker(timer), on_failure, on_recovery)
        # a store that cannot be read is not worth the wait for a write
        self._writes = Guard("write", Breaker(timer), on_failure, on_recovery, unless=self._reads.breaker)
        self._backfill = Backfill(self._front, slow, self._writes, background=background)
        self._finish = Finish(self, self._backfill.close)
        self.shared = slow.shared

    @property
    def name(self) -> str:
        return self.slow.name

    @property
    def maxsize(self) -> int | None:
        return self._fast.maxsize

    @property
    def policy(self) -> Policy:
        return self._fast.policy

    @property
    def ttl(self) -> float | None:
        return self._fast.ttl

    def flush(self) -> None:
        """Write what waits now, even if `slow` is left alone; but not for long, if it still fails."""
        self._backfill.flush()
        with suppress(Exception):  # what could not be written has been told
            self.slow.flush()

    def close(self) -> None:
        """Write what waits, for the last time. `slow` stays open."""
        self._finish()

    @property
    def waiting(self) -> int:
        """How many entries wait to be written to the slow tier."""
        return len(self._front.waiting())

    @property
    def retry_in(self) -> float | None:
        """Seconds until a slow tier that fails is asked again; None where it works."""
        breakers = (self._reads.breaker, self._writes.breaker)
        return max((one.remaining for one in breakers if one.is_open), default=None)

    def configure(self, *, maxsize: int | None, policy: Policy, ttl: float | timedelta | None) -> int:
        dropped = self._fast.configure(maxsize=maxsize, policy=policy, ttl=ttl)
        if isinstance(self.slow, LimitedCache):
            dropped = 0
            with self._writes:
                dropped = self.slow.configure(maxsize=maxsize, policy=policy, ttl=ttl)
        return dropped

    def get(self, key: Key) -> Entry | None:
        return self._current(key, self._fast.get(key))

    def find(self, key: Key) -> Entry | None:
        return self._current(key, self._fast.find(key))

    async def aget(self, key: Key) -> Entry | None:
        return await self._acurrent(key, self._fast.get(key))

    async def afind(self, key: Key) -> Entry | None:
        return await self._acurrent(key, self._fast.find(key))

    def _current(self, key: Key, entry: Entry | None) -> Entry | None:
        """What `fast` has under the key, as far as `slow` still has it; or what `slow` has by now."""
        if self._front.is_apart:
            is_known, known = self._front.known(key, entry)
            if is_known:
                return known
        if self._reads.allows():
            with self._reads:
                if entry is not None and self.slow.holds(entry):
                    return entry
                changes = self._front.changes
                return self._front.fill(key, self.slow.get(key), changes)
        return entry

    async def _acurrent(self, key: Key, entry: Entry | None) -> Entry | None:
        if self._front.is_apart:
            is_known, known = self._front.known(key, entry)
            if is_known:
                return known
        if self._reads.allows():
            with self._reads:
                if entry is not None and await self.slow.aholds(entry):
                    return entry
                changes = self._front.changes
                return self._front.fill(key, await self.slow.aget(key), changes)
        return entry

    def put(self, entry: Entry) -> int:
        claimed: list[Key] = []
        try:
            self._front.keep(entry, claimed)
            return self._backfill.write(entry) if claimed else 0
        finally:
            self._release(claimed)

    async def aput(self, entry: Entry) -> int:
        claimed: list[Key] = []
        try:
            self._front.keep(entry, claimed)
            return await self._backfill.awrite(entry) if claimed else 0
        finally:
            self._release(claimed)

    def put_all(self, entries: Iterable[Entry]) -> int:
        latest = {entry.key: entry for entry in entries}
        claimed: list[Key] = []
        try:
            for entry in latest.values():
                self._front.keep(entry, claimed)
            return self._backfill.write_all([latest[key] for key in claimed])
        finally:
            self._release(claimed)

    def _release(self, claimed: list[Key]) -> None:
        self._front.release(claimed)
        if self._front.is_ahead:
            self._backfill.wake()

    def touch(self, key: Key) -> None:
        self._fast.touch(key)
        if self._is_counted(key):
            with self._writes:
                self.slow.touch(key)

    async def atouch(self, key: Key) -> None:
        self._fast.touch(key)
        if self._is_counted(key):
            with self._writes:
                await self.slow.atouch(key)

    def _is_counted(self, key: Key) -> bool:
        """Whether a hit is counted in `slow`, too. That one was does not show that writing works."""
        if self._front.is_ahead:
            self._backfill.wake()
            if self._front.has_alone(key):
                return False
        return not (self._writes.breaker.is_open or self._reads.breaker.is_open)

    def delete(self, ids: Iterable[str]) -> int:
        ids = set(ids)
        writes = self._front.writes
        deleted = self.slow.delete(ids)
        alone, is_overtaken = self._front.delete(ids, writes)
        if is_overtaken:  # one that waited may have been written since
            try:
                deleted += self.slow.delete(ids)
            finally:
                self._front.note_removed_again(alone)
        return deleted + len(alone)

    def clear(self, **kwargs: Any) -> None:
        writes = self._front.writes
        self.slow.clear(**kwargs)
        alone, is_overtaken = self._front.clear(writes)
        if is_overtaken:
            try:
                self.slow.clear(**kwargs)
            finally:
                self._front.note_removed_again(alone)

    def entries(self, query: Query = Query()) -> Page:
        self._backfill.write_waiting()
        removed = self._front.removed
        alone = self.alone()
        if self._reads.allows():
            with self._reads:
                page = self._merged(query, alone) if alone else self.slow.entries(query)
                return _without(page, removed) if removed else page
        return self._fast.entries(query)

    def by_id(self, ids: Iterable[str]) -> dict[str, Entry]:
        wanted = set(ids)
        if self._reads.allows():
            with self._reads:
                alone = {entry.id: entry for entry in self.alone() if entry.id in wanted}
                return self.slow.by_id(wanted) | alone
        return self._fast.by_id(wanted)

    def models(self) -> dict[str | None, int]:
        self._backfill.write_waiting()
        if self._reads.allows():
            with self._reads:
                counts = Counter(self.slow.models())
                counts.update(entry.model for entry in self._new())
                return dict(counts.most_common())
        return self._fast.models()

    def keys(self) -> Iterator[Key]:
        if self._reads.allows():
            with self._reads:
                yield from self.slow.keys()
                yield from (entry.key for entry in self._new())
                return
        yield from self._fast.keys()

    def stored_when(self, keys: Iterable[Key]) -> dict[Key, float]:
        many = list(keys)
        if self._reads.allows():
            with self._reads:
                return self.slow.stored_when(many) | self._front.stored_when(many)
        return self._fast.stored_when(many)

    def holds(self, entry: Entry) -> bool:
        if self._front.has_alone(entry.key):
            return self._fast.holds(entry)
        if self._reads.allows():
            with self._reads:
                return self.slow.holds(entry)
        return self._fast.holds(entry)

    def __len__(self) -> int:
        self._backfill.write_waiting()
        if self._reads.allows():
            with self._reads:
                return len(self.slow) + len(self._new())
        return len(self._fast)

    def alone(self) -> list[Entry]:
        """The entries that only `fast` has."""
        return self._front.alone()

    def _merged(self, query: Query, alone: list[Entry]) -> Page:
        """The page of `slow` with the entries of `fast` alone in their places, without those they replace.

        - At most `len(found)` of them come before the page: so many more of `slow` are read ahead of it.
        """
        matches, replaced = matcher(query), self.slow.by_id(entry.id for entry in alone)
        found = list(filter(matches, alone))
        start = 0 if replaced else max(0, query.offset - len(found))
        ahead = query.offset - start
        limit = None if query.limit is None else query.limit + ahead + len(replaced)
        page = self.slow.entries(replace(query, offset=start, limit=limit))
        keys = {entry.key for entry in alone}
        both = [entry for entry in page.entries if entry.key not in keys] + found
        ordered = select(both, Query(sort=query.sort, descending=query.descending, limit=None)).entries
        end = None if query.limit is None else ahead + query.limit
        return Page(ordered[ahead:end], page.total - sum(map(matches, replaced.values())) + len(found))

    def _new(self) -> list[Entry]:
        """The entries of `fast` alone that replace none of `slow`."""
        alone = self.alone()
        there = self.slow.stored_when(entry.key for entry in alone) if alone else {}
        return [entry for entry in alone if entry.key not in there]


def _without(page: Page, keys: Container[Key]) -> Page:
    left = [entry for entry in page.entries if entry.key not in keys]
    return Page(left, page.total - len(page.entries) + len(left))
