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
        self._on_failure = on_failure
        self._writes = _Guard("write", Breaker(timer), on_failure, on_recovery)
        # a store that cannot be read is not worth the wait for a write
        self._reads = _Guard("read", Breaker(timer), on_failure, on_recovery, also=self._writes.breaker)
        # those in `fast` alone: the entry that is to be written, or None where it cannot be
        self._unwritten: dict[Key, Entry | None] = {}
        self._removals = 0  # how often something was removed on request
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
        return sum(entry is not None for entry in list(self._unwritten.values()))

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
        if entry is not None and key in self._unwritten:
            return entry
        if self._reads.allows():
            with self._reads:
                if entry is not None and self.slow.holds(entry):
                    return entry
                return self._filled(key, self.slow.get(key))
        return entry

    async def _acurrent(self, key: Key, entry: Entry | None) -> Entry | None:
        if entry is not None and key in self._unwritten:
            return entry
        if self._reads.allows():
            with self._reads:
                if entry is not None and await self.slow.aholds(entry):
                    return entry
                return self._filled(key, await self.slow.aget(key))
        return entry

    def put(self, entry: Entry) -> int:
        self._keep(entry)
        evicted = self._write(entry)
        self._write_some()
        return evicted

    async def aput(self, entry: Entry) -> int:
        self._keep(entry)
        evicted = await self._awrite(entry)
        await self._awrite_some()
        return evicted

    def touch(self, key: Key) -> None:
        self._fast.touch(key)
        if self._unwritten:  # first: that a hit was counted doesn't show that writing works
            self._write_some()
        if key not in self._unwritten and self._writes.allows():
            with self._writes:
                self.slow.touch(key)

    async def atouch(self, key: Key) -> None:
        self._fast.touch(key)
        if self._unwritten:  # first: that a hit was counted doesn't show that writing works
            await self._awrite_some()
        if key not in self._unwritten and self._writes.allows():
            with self._writes:
                await self.slow.atouch(key)

    def delete(self, ids: Iterable[str]) -> int:
        ids = set(ids)
        self._removals += 1
        deleted = self.slow.delete(ids)
        for entry in self.alone():
            if entry.id in ids:
                self._unwritten.pop(entry.key, None)  # it may have been written by now
                deleted += 1
        self._fast.delete(ids)
        return deleted

    def clear(self, **kwargs: Any) -> None:
        self._removals += 1
        self.slow.clear(**kwargs)
        self._unwritten.clear()
        self._fast.clear()

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
        if entry.key in self._unwritten:
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

    def _filled(self, key: Key, found: Entry | None) -> Entry | None:
        if found is None:
            self._fast.discard(key)
        else:
            self._fast.put(found)
        return found

    def _keep(self, entry: Entry) -> None:
        self._unwritten[entry.key] = entry  # first: who reads it meanwhile must not miss it in `slow`
        self._fast.put(entry)

    def _write(self, entry: Entry) -> int:
        """Write an entry that was kept. Returns how many others had to go for it."""
        if self._writes.allows():
            removals = self._removals
            with self._writes:
                try:
                    evicted = self.slow.put(entry)
                except EncodingError as error:
                    self._cannot_write(entry, error)
                    self.slow.discard(entry.key)
                    return 0
                if not self._is_written(entry):
                    self._correct(entry.key, self._removals != removals)
                return evicted
        return 0

    async def _awrite(self, entry: Entry) -> int:
        if self._writes.allows():
            removals = self._removals
            with self._writes:
                try:
                    evicted = await self.slow.aput(entry)
                except EncodingError as error:
                    self._cannot_write(entry, error)
                    await self.slow.adelete([entry.id])
                    return 0
                if not self._is_written(entry):
                    await run_in_executor(self._correct, entry.key, self._removals != removals)
                return evicted
        return 0

    def _is_written(self, entry: Entry) -> bool:
        """Note that the entry was written. Returns whether it is still the one under its key."""
        waited = self._unwritten.get(entry.key)
        if waited is None or waited.generations is not entry.generations:
            return False
        self._unwritten.pop(entry.key, None)
        return True

    def _correct(self, key: Key, may_be_removed: bool) -> None:
        """Have `slow` hold what `fast` does, after a write that was overtaken by another one or a removal."""
        entry = self._fast.get(key)
        if entry is not None:
            self.slow.put(entry)
            self._is_written(entry)
        elif may_be_removed:  # and not only too many for `fast`
            self.slow.discard(key)

    def _cannot_write(self, entry: Entry, error: EncodingError) -> None:
        self._unwritten[entry.key] = None
        if self._on_failure is not None:
            self._on_failure("write", error)

    def _due(self) -> list[Key]:
        """The keys of some entries that wait to be written, unless `slow` is left alone."""
        if not self._unwritten or self._writes.breaker.remaining > 0:
            return []
        return [key for key, entry in list(self._unwritten.items()) if entry is not None][:_AT_ONCE]

    def _waiting(self, key: Key) -> Entry | None:
        """The entry under the key, if it still waits: while others were written, much may have happened.

        - As `fast` has it, with its hits; unless that is another answer, such as the one `slow` had before.
        """
        entry = self._fast.get(key)
        if entry is None:
            self._unwritten.pop(key, None)
        waiting = self._unwritten.get(key)
        if entry is None or waiting is None or entry.generations is waiting.generations:
            return None if waiting is None else entry
        return waiting

    def _write_some(self) -> None:
        for key in self._due():
            if (entry := self._waiting(key)) is not None:
                self._write(entry)

    async def _awrite_some(self) -> None:
        for key in self._due():
            if (entry := self._waiting(key)) is not None:
                await self._awrite(entry)

    def _write_due(self) -> None:
        while due := self._due():
            self._write_some()
            if due == self._due():  # later, then: nobody waits for what does not get less
                return

    def alone(self) -> list[Entry]:
        """The entries that only `fast` has."""
        return [entry for key in list(self._unwritten) if (entry := self._fast.get(key)) is not None]

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
