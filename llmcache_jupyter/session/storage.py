"""Storage: where a session keeps its entries. In memory, and in a store behind it where one is named."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from os import PathLike

from llmcache_jupyter.caches import EntryCache, InMemoryCache, Query
from llmcache_jupyter.caches.foreign import ForeignCache
from llmcache_jupyter.caches.guard import OnFailure, OnRecovery, Operation
from llmcache_jupyter.caches.limits import LimitedCache, Limits
from llmcache_jupyter.caches.tiered import TieredCache
from llmcache_jupyter.errors import StoreError
from llmcache_jupyter.session.progress import Progress, quietly
from llmcache_jupyter.session.stores import StoreSpec, open_store

_AT_ONCE = 100


class Storage:
    """The backend of a session, which may change while the session goes on.

    - `backend`: memory, or memory in front of the store.
    - `problem`: why the store that was asked for is not open; None where it is, or none was.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float],
        on_switch: Callable[[LimitedCache], None],
        on_failure: OnFailure,
        on_recovery: OnRecovery,
        on_leave: Callable[[], None],
    ) -> None:
        self._clock = clock
        self._on_switch = on_switch
        self._on_failure = on_failure
        self._on_recovery = on_recovery
        self._on_leave = on_leave
        self._memory = InMemoryCache(clock=clock)
        self._spec: StoreSpec | None = None
        self._store: EntryCache | None = None
        self._heard: object = None  # stands for the tiers whose failures are told
        self.backend: LimitedCache = self._memory
        self.problem: str | None = None
        on_switch(self.backend)

    @property
    def store(self) -> EntryCache | None:
        """The store that is open, or None."""
        return self._store

    @property
    def spec(self) -> StoreSpec | None:
        """What the store that is open was asked for by, or None."""
        return self._spec

    @property
    def given(self) -> LimitedCache | None:
        """The store, where it is a cache that the user made, with limits of its own; or None."""
        return self._store if self._store is self._spec and isinstance(self._store, LimitedCache) else None

    def use(self, spec: StoreSpec | None, progress: Progress = quietly) -> int | None:
        """Keep entries in this store from now on; None is memory alone.

        - The store that is open already stays open. What memory alone held goes into a store, and so does
          what the one before could not be given; what came from it does not.
        - `on_leave` is called when the new one is open: how the one before failed is past, and what still
          asks it tells nothing.
        - `on_switch` is told the new backend as soon as it has all that. Then the store before is closed.
        - Returns how many entries were in a store that was opened, or None: none was, or it cannot tell.

        Raises:
            StoreError: the store cannot be opened. Everything is as it was, and `problem` tells why.
        """
        self.problem = None
        if spec == self._spec:
            return None
        if spec is None:
            self._leave(None)
            self._switch(self._memory, self._memory, None, None)
            return None
        try:
            store = open_store(spec, clock=self._clock)
        except StoreError as error:
            self.problem = str(error)
            raise
        heard, restored = self._heard, self._count(store)
        try:
            self._fill_and_switch(spec, store, progress)
        except BaseException:  # an interrupt, before there was another one
            if self._spec != spec:
                self._heard = heard
            raise
        return restored

    def _fill_and_switch(self, spec: StoreSpec, store: EntryCache, progress: Progress) -> None:
        earlier = self.backend
        fast = InMemoryCache(
            maxsize=earlier.maxsize, policy=earlier.policy, ttl=earlier.ttl, clock=self._clock
        )
        tiers = self._tiers(fast, store)
        _hand_over(earlier, tiers, progress)
        self._switch(tiers, fast, spec, store)
        _hand_over(earlier, tiers, progress)  # what came meanwhile

    def _tiers(self, fast: InMemoryCache, store: EntryCache) -> TieredCache:
        """The tiers whose failures are told from now on."""
        me = object()

        def on_failure(operation: Operation, error: Exception) -> None:
            if self._heard is me:
                self._on_failure(operation, error)

        def on_recovery(operation: Operation) -> None:
            if self._heard is me:
                self._on_recovery(operation)

        self._leave(me)
        return TieredCache(fast, store, on_failure=on_failure, on_recovery=on_recovery)

    def _leave(self, heard: object) -> None:
        self._heard = heard
        self._on_leave()

    def flush(self) -> None:
        """Have everything where it is to stay, what waits for a store that was away, too."""
        self.backend.flush()

    def configure(self, limits: Limits) -> int:
        """Set the limits of memory and store. Returns how many entries had to go."""
        return self.backend.configure(maxsize=limits.maxsize, policy=limits.policy, ttl=limits.ttl)

    def _switch(
        self, backend: LimitedCache, memory: InMemoryCache, spec: StoreSpec | None, store: EntryCache | None
    ) -> None:
        left, its_spec, before = self._store, self._spec, self.backend
        self.backend, self._memory, self._spec, self._store = backend, memory, spec, store
        self._on_switch(backend)
        if isinstance(before, TieredCache):
            before.close()
        close = getattr(left, "close", None)
        if close is not None and isinstance(its_spec, str | PathLike):  # who gave a cache closes it
            with suppress(StoreError):
                close()

    @staticmethod
    def _count(store: EntryCache) -> int | None:
        if isinstance(store, ForeignCache):  # it lists only what passed through it
            return None
        try:
            return len(store)
        except Exception:  # it fails: the first call tells
            return None


def _hand_over(earlier: LimitedCache, later: LimitedCache, progress: Progress) -> None:
    """Put into `later` what only this kernel's memory holds of `earlier`, unless it has a newer one."""
    if isinstance(earlier, TieredCache):
        own = earlier.alone()
    else:
        own = list(reversed(earlier.entries(Query(limit=None)).entries))
    starts = range(0, len(own), _AT_ONCE)
    for start in progress(starts, len(starts), "storing"):
        some = own[start : start + _AT_ONCE]
        there = later.stored_when(entry.key for entry in some)
        later.put_all(entry for entry in some if there.get(entry.key, -1.0) < entry.stored)
