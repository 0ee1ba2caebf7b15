"""Storage: where a session keeps its entries. In memory, and in a store behind it where one is named."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from os import PathLike

from llmcache_jupyter.caches import EntryCache, InMemoryCache, Query
from llmcache_jupyter.caches.limits import LimitedCache, Limits
from llmcache_jupyter.caches.tiered import OnFailure, OnRecovery, TieredCache
from llmcache_jupyter.errors import StoreError
from llmcache_jupyter.session.stores import StoreSpec, open_store


class Storage:
    """The backend of a session, which may change while the session goes on.

    - `backend`: memory, or memory in front of the store.
    - `problem`: why the store that was asked for is not open; None where it is, or none was.
    """

    def __init__(self, *, clock: Callable[[], float], on_failure: OnFailure, on_recovery: OnRecovery) -> None:
        self._clock = clock
        self._on_failure = on_failure
        self._on_recovery = on_recovery
        self._memory = InMemoryCache(clock=clock)
        self._spec: StoreSpec | None = None
        self._store: EntryCache | None = None
        self.backend: LimitedCache = self._memory
        self.problem: str | None = None

    @property
    def store(self) -> EntryCache | None:
        """The store that is open, or None."""
        return self._store

    def use(self, spec: StoreSpec | None) -> int | None:
        """Keep entries in this store from now on; None is memory alone.

        - The store that is open already stays open. What memory alone held goes into a store; what came from
          another store does not.
        - Returns how many entries were in a store that was opened, or None: none was, or it cannot tell.

        Raises:
            StoreError: the store cannot be opened. Everything is as it was, and `problem` tells why.
        """
        self.problem = None
        if spec is None:
            self._leave()
            return None
        if self._store is not None and spec == self._spec:
            return None
        try:
            store = open_store(spec, clock=self._clock)
        except StoreError as error:
            self.problem = str(error)
            raise
        own = self._memory.entries(Query(limit=None)).entries if self._store is None else []
        self._leave()
        self._enter(spec, store)
        restored = self._count(store)
        for entry in reversed(own):
            known = self.backend.get(entry.key)
            if known is None or known.stored < entry.stored:
                self.backend.put(entry)
        return restored

    def configure(self, limits: Limits) -> int:
        """Set the limits of memory and store. Returns how many entries had to go."""
        return self.backend.configure(maxsize=limits.maxsize, policy=limits.policy, ttl=limits.ttl)

    def _enter(self, spec: StoreSpec, store: EntryCache) -> None:
        memory = self.backend
        fast = InMemoryCache(maxsize=memory.maxsize, policy=memory.policy, ttl=memory.ttl, clock=self._clock)
        self._spec, self._store, self._memory = spec, store, fast
        self.backend = TieredCache(fast, store, on_failure=self._on_failure, on_recovery=self._on_recovery)

    def _leave(self) -> None:
        """Go back to memory alone, with what it held of the store."""
        spec, store = self._spec, self._store
        self.backend, self._spec, self._store = self._memory, None, None
        close = getattr(store, "close", None)
        if close is not None and isinstance(spec, str | PathLike):  # who gave a cache closes it
            with suppress(StoreError):
                close()

    @staticmethod
    def _count(store: EntryCache) -> int | None:
        try:
            return len(store)
        except Exception:  # it fails: the first call tells
            return None
