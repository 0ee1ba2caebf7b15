"""EntryCache: its own methods, held to the contract with the simplest backend there could be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest

from llmcache_jupyter.caches import Entry, EntryCache, Key, Page, Query
from llmcache_jupyter.caches.entry import entry_id
from llmcache_jupyter.caches.selection import select
from tests.caches.contract import CacheContract, FakeClock, answer, entry


class DictCache(EntryCache):
    """A backend that brings what it must and nothing else."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.held: dict[Key, Entry] = {}

    def get(self, key: Key) -> Entry | None:
        return self.held.get(key)

    def put(self, entry: Entry) -> int:
        self.held[entry.key] = entry
        return 0

    def touch(self, key: Key) -> None:
        if (found := self.held.get(key)) is not None:
            self.held[key] = replace(found, hits=found.hits + 1, last_used=self.clock())

    def delete(self, ids: Iterable[str]) -> int:
        wanted = set(ids)
        keys = [key for key in self.held if entry_id(key) in wanted]
        for key in keys:
            del self.held[key]
        return len(keys)

    def entries(self, query: Query = Query()) -> Page:
        return select(self.held.values(), query)

    def models(self) -> dict[str | None, int]:
        return dict(Counter(entry.model for entry in self.held.values()).most_common())

    def clear(self, **kwargs: Any) -> None:
        self.held.clear()

    def __len__(self) -> int:
        return len(self.held)


class TestDictCache(CacheContract):
    @pytest.fixture
    def cache(self, clock: FakeClock) -> EntryCache:
        return DictCache(clock)

    def test_a_hit_is_counted(self, cache: EntryCache, clock: FakeClock) -> None:
        cache.update("p", "m", answer())
        clock.advance(3)
        cache.lookup("p", "m")
        cache.lookup("absent", "m")
        found = cache.get(("p", "m"))
        assert found is not None
        assert (found.hits, found.last_used) == (1, 1_003.0)


class TestEntry:
    def test_it_cannot_be_changed(self) -> None:
        with pytest.raises(FrozenInstanceError):
            entry().hits = 3  # type: ignore[misc]

    def test_its_prompt_is_the_one_sent(self) -> None:
        assert entry("key's").prompt == "key's"
        assert entry("key's", sent="sent").prompt == "sent"
        assert entry("key's", sent="").prompt == ""

    def test_its_id_is_the_same_in_every_kernel(self) -> None:
        assert entry_id(("What is a cache?", "[('model_name', 'm')]")) == "7b031e4c102f"
        assert entry_id(("\ud83d", "")) != entry_id(("", "\ud83d"))


class TestQuery:
    def test_it_filters_where_a_part_is_named(self) -> None:
        assert not Query(sort="hits", descending=False, offset=3, limit=None).filters
        assert Query(model="m").filters
        assert Query(id="a").filters
        assert Query(stored_before=0.0).filters
        assert Query(text="a").filters
