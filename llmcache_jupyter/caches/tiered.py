"""TieredCache: a fast cache in front of a slow one that others may share, or that may fail."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import timedelta
from types import TracebackType
from typing import Any, Literal

from llmcache_jupyter.caches.base import run_in_executor
from llmcache_jupyter.caches.breaker import Breaker
from llmcache_jupyter.caches.entry import Entry, EntryCache, Key, Page, Query
from llmcache_jupyter.caches.front import Front
from llmcache_jupyter.caches.limits import LimitedCache, Policy
from llmcache_jupyter.caches.selection import matcher, select
from llmcache_jupyter.errors import EncodingError, InvalidSettingError

Operation = Literal["read", "write"]
OnFailure = Callable[[Operation, Exception], None]
OnRecovery = Callable[[Operation], None]

# So many of the entries that wait to be written go with one call: more would make it a slow one
_AT_ONCE = 20


class TieredCache(LimitedCache):
    """A cache that reads from `fast` and then from `slow`, and writes to both.

    - What `slow` has is put into `fast` when it is read. What `slow` no longer has, because another kernel
      removed or replaced it, is not served from `fast`.
    - `slow` may fail: then `fast` answers alone, `on_failure` is told, and `slow` is left alone for a while.
      When it answers again, `on_recovery` is told.
    - Entries stored meanwhile are kept in `fast`, and written when `slow` is back.
    - An entry that `slow` cannot hold stays in `fast` alone; `on_failure` is told the EncodingError.
    - `delete` and `clear` raise what `slow` raises: to remove is a wish that must not be half done unsaid.
    - `slow` may be a TieredCache itself.

    Args:
        timer: seconds from any beginning, for how long `slow` is left alone.
    """

    def __init__(
        self,
        fast: LimitedCache,
        slow: EntryCache,
        *,
        on_failure: OnFailure | None = None,
        on_recovery: OnRecovery | None = None,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self.clock = fast.clock
        self.slow = slow
        self._fast = fast
        self._front = Front(fast)
        self._on_failure = on_failure
        self._writes = _Guard("write", Breaker(timer), on_failure, on_recovery)
        # a store that cannot be read is not worth the wait for a write
        self._reads = _Guard("read", Breaker(timer), on_failure, on_recovery, also=self._writes.breaker)
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
        if self._front.has_alone(key) and (alone := self._front.find_alone(key, entry)) is not None:
            return alone
        if self._reads.allows():
            removals = self._front.removals
            with self._reads:
                if entry is not None and self.slow.holds(entry):
                    return entry
                return self._front.fill(key, self.slow.get(key), removals)
        return entry

    async def _acurrent(self, key: Key, entry: Entry | None) -> Entry | None:
        if self._front.has_alone(key) and (alone := self._front.find_alone(key, entry)) is not None:
            return alone
        if self._reads.allows():
            removals = self._front.removals
            with self._reads:
                if entry is not None and await self.slow.aholds(entry):
                    return entry
                return self._front.fill(key, await self.slow.aget(key), removals)
        return entry

    def put(self, entry: Entry) -> int:
        removals = self._front.removals
        self._front.keep(entry)
        evicted = self._write(entry, removals)
        self._write_some()
        return evicted

    async def aput(self, entry: Entry) -> int:
        removals = self._front.removals
        self._front.keep(entry)
        evicted = await self._awrite(entry, removals)
        await self._awrite_some()
        return evicted

    def touch(self, key: Key) -> None:
        self._fast.touch(key)
        if self._front.is_ahead:  # first: that a hit was counted doesn't show that writing works
            self._write_some()
            if self._front.has_alone(key):
                return
        if self._writes.allows():
            with self._writes:
                self.slow.touch(key)

    async def atouch(self, key: Key) -> None:
        self._fast.touch(key)
        if self._front.is_ahead:  # first: that a hit was counted doesn't show that writing works
            await self._awrite_some()
        if not self._front.has_alone(key) and self._writes.allows():
            with self._writes:
                await self.slow.atouch(key)

    def delete(self, ids: Iterable[str]) -> int:
        ids = set(ids)
        writes = self._front.writes
        deleted = self.slow.delete(ids)
        alone, is_overtaken = self._front.delete(ids, writes)
        if is_overtaken:  # one that waited may have been written since
            deleted += self.slow.delete(ids)
        return deleted + alone

    def clear(self, **kwargs: Any) -> None:
        writes = self._front.writes
        self.slow.clear(**kwargs)
        if self._front.clear(writes):
            self.slow.clear(**kwargs)

    def entries(self, query: Query = Query()) -> Page:
        self._write_due()
        alone = list(filter(matcher(query), self.alone()))
        if self._reads.allows():
            with self._reads:
                return self._merged(query, alone) if alone else self.slow.entries(query)
        return self._fast.entries(query)

    def by_id(self, ids: Iterable[str]) -> dict[str, Entry]:
        wanted = set(ids)
        if self._reads.allows():
            with self._reads:
                alone = {entry.id: entry for entry in self.alone() if entry.id in wanted}
                return self.slow.by_id(wanted) | alone
        return self._fast.by_id(wanted)

    def models(self) -> dict[str | None, int]:
        self._write_due()
        if self._reads.allows():
            with self._reads:
                counts = Counter(self.slow.models())
                counts.update(entry.model for entry in self.alone())
                return dict(counts.most_common())
        return self._fast.models()

    def keys(self) -> Iterator[Key]:
        if self._reads.allows():
            with self._reads:
                yield from self.slow.keys()
                yield from (entry.key for entry in self.alone())
                return
        yield from self._fast.keys()

    def holds(self, entry: Entry) -> bool:
        if self._front.has_alone(entry.key):
            return self._fast.holds(entry)
        if self._reads.allows():
            with self._reads:
                return self.slow.holds(entry)
        return self._fast.holds(entry)

    def __len__(self) -> int:
        self._write_due()
        if self._reads.allows():
            with self._reads:
                return len(self.slow) + len(self.alone())
        return len(self._fast)

    def _write(self, entry: Entry, removals: int) -> int:
        """Write an entry that was kept. Returns how many others had to go for it."""
        if self._writes.allows():
            with self._writes:
                try:
                    evicted = self.slow.put(entry)
                except EncodingError as error:
                    if self._cannot_write(entry, error):
                        self.slow.discard(entry.key)
                    return 0
                if not self._front.note_written(entry):
                    self._correct(entry.key, self._front.removals != removals)
                return evicted
        return 0

    async def _awrite(self, entry: Entry, removals: int) -> int:
        if self._writes.allows():
            with self._writes:
                try:
                    evicted = await self.slow.aput(entry)
                except EncodingError as error:
                    if self._cannot_write(entry, error):
                        await self.slow.adelete([entry.id])
                    return 0
                if not self._front.note_written(entry):
                    await run_in_executor(self._correct, entry.key, self._front.removals != removals)
                return evicted
        return 0

    def _correct(self, key: Key, may_be_removed: bool) -> None:
        """Have `slow` hold what `fast` does, after a write that was overtaken by another one or a removal."""
        entry = self._fast.get(key)
        if entry is not None:
            self.slow.put(entry)
            self._front.note_written(entry)
        elif may_be_removed:  # and not only too many for `fast`
            self.slow.discard(key)

    def _cannot_write(self, entry: Entry, error: EncodingError) -> bool:
        """Tell of it. Returns whether the entry is still the one under its key."""
        is_current = self._front.note_unwritable(entry)
        if self._on_failure is not None:
            self._on_failure("write", error)
        return is_current

    def _due(self) -> list[Key]:
        """The keys of some entries that wait to be written, unless `slow` is left alone."""
        if not self._front.is_ahead or self._writes.breaker.remaining > 0:
            return []
        return self._front.waiting()[:_AT_ONCE]

    def _write_some(self) -> None:
        for key in self._due():
            removals = self._front.removals
            if (entry := self._front.next_to_write(key)) is not None:
                self._write(entry, removals)

    async def _awrite_some(self) -> None:
        for key in self._due():
            removals = self._front.removals
            if (entry := self._front.next_to_write(key)) is not None:
                await self._awrite(entry, removals)

    def _write_due(self) -> None:
        while due := self._due():
            self._write_some()
            if due == self._due():  # later, then: nobody waits for what does not get less
                return

    def alone(self) -> list[Entry]:
        """The entries that only `fast` has."""
        return self._front.alone()

    def _merged(self, query: Query, alone: list[Entry]) -> Page:
        """The page of `slow` with the entries of `fast` alone in their places.

        - At most `len(alone)` of them come before the page: so many more of `slow` are read ahead of it.
        """
        start = max(0, query.offset - len(alone))
        ahead = query.offset - start
        limit = None if query.limit is None else query.limit + ahead
        page = self.slow.entries(replace(query, offset=start, limit=limit))
        keys = {entry.key for entry in alone}
        both = [entry for entry in page.entries if entry.key not in keys] + alone
        ordered = select(both, Query(sort=query.sort, descending=query.descending, limit=None)).entries
        end = None if query.limit is None else ahead + query.limit
        return Page(ordered[ahead:end], page.total + len(alone))


class _Guard:
    """`with guard:` swallows a failure of the slow tier, tells of it, and of its end."""

    def __init__(
        self,
        operation: Operation,
        breaker: Breaker,
        on_failure: OnFailure | None,
        on_recovery: OnRecovery | None,
        also: Breaker | None = None,
    ) -> None:
        self.breaker = breaker
        self.allows = breaker.allows
        self._operation = operation
        self._on_failure = on_failure
        self._on_recovery = on_recovery
        self._also = also

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if error is None:
            if self.breaker.is_open:
                self._worked()
            return False
        if not isinstance(error, Exception) or isinstance(error, InvalidSettingError):
            return False  # an interrupt, or a question that no tier can answer
        self.breaker.failed()
        if self._also is not None:
            self._also.failed()
        if self._on_failure is not None:
            self._on_failure(self._operation, error)
        return True

    def _worked(self) -> None:
        self.breaker.worked()
        if self._on_recovery is not None:
            self._on_recovery(self._operation)
