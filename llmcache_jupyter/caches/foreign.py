"""ForeignCache: any other library's cache, browsable as far as its entries passed through here."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, Protocol, runtime_checkable

from llmcache_jupyter.caches.entry import Entry, EntryCache, Key, Page, Query
from llmcache_jupyter.caches.memory import InMemoryCache


@runtime_checkable
class Caching(Protocol):
    """What has the interface of `langchain_core.caches.BaseCache`."""

    def lookup(self, prompt: str, llm_string: str) -> Any: ...
    def update(self, prompt: str, llm_string: str, return_val: Any) -> None: ...
    def clear(self, **kwargs: Any) -> None: ...
    async def alookup(self, prompt: str, llm_string: str) -> Any: ...
    async def aupdate(self, prompt: str, llm_string: str, return_val: Any) -> None: ...


class ForeignCache(EntryCache):
    """An EntryCache over `cache`, which has only the interface of LangChain's.

    - `cache` alone decides what is a hit. What is known about an entry, and which entries there are, is what
      passed through here.
    - `cache` cannot remove a single entry: what is deleted is a miss from here on, until it is stored again.
    - `clear` empties all of `cache`, with what others stored there and never passed through here.
    """

    shared = True

    def __init__(self, cache: Caching, *, clock: Callable[[], float] = time.time) -> None:
        self.clock = clock
        self.cache = cache
        self._seen = InMemoryCache(clock=clock)
        self._deleted: set[Key] = set()

    @property
    def name(self) -> str:
        kind = type(self.cache)
        return f"{kind.__name__} of {kind.__module__.partition('.')[0]}"

    def get(self, key: Key) -> Entry | None:
        return self._entry(key, None if key in self._deleted else self.cache.lookup(*key))

    async def aget(self, key: Key) -> Entry | None:
        return self._entry(key, None if key in self._deleted else await self.cache.alookup(*key))

    def put(self, entry: Entry) -> int:
        self.cache.update(*entry.key, entry.generations)
        return self._put(entry)

    async def aput(self, entry: Entry) -> int:
        await self.cache.aupdate(*entry.key, entry.generations)
        return self._put(entry)

    def touch(self, key: Key) -> None:
        self._seen.touch(key)

    async def atouch(self, key: Key) -> None:
        self._seen.touch(key)

    def holds(self, entry: Entry) -> bool:
        return _is(self.get(entry.key), entry)

    async def aholds(self, entry: Entry) -> bool:
        return _is(await self.aget(entry.key), entry)

    def delete(self, ids: Iterable[str]) -> int:
        unwanted = set(ids)
        self._deleted.update(entry.key for entry in self._all() if entry.id in unwanted)
        return self._seen.delete(unwanted)

    def clear(self, **kwargs: Any) -> None:
        self.cache.clear(**kwargs)
        self._seen.clear()
        self._deleted.clear()

    def entries(self, query: Query = Query()) -> Page:
        return self._seen.entries(query)

    def models(self) -> dict[str | None, int]:
        return self._seen.models()

    def __len__(self) -> int:
        return len(self._seen)

    def _entry(self, key: Key, answer: Any) -> Entry | None:
        if not isinstance(answer, list) or not answer:  # as LangChain takes it
            self._seen.discard(key)
            return None
        seen = self._seen.get(key)
        if seen is None or seen.generations != answer:
            seen = Entry(key, answer, self.clock())
            self._seen.put(seen)
        return seen

    def _put(self, entry: Entry) -> int:
        self._deleted.discard(entry.key)
        return self._seen.put(entry)

    def _all(self) -> list[Entry]:
        return self._seen.entries(Query(limit=None)).entries


def _is(found: Entry | None, entry: Entry) -> bool:
    return found is not None and (found.stored, found.generations) == (entry.stored, entry.generations)
