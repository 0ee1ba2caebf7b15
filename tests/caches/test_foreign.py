"""ForeignCache: the contract over LangChain's own cache, whose answers alone count."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache as LangChainCache

from llmcache_jupyter.caches import EntryCache, InMemoryCache
from llmcache_jupyter.caches.foreign import ForeignCache
from llmcache_jupyter.caches.tiered import TieredCache
from tests.caches.contract import CacheContract, FakeClock, answer, entry, texts


class TestContract(CacheContract):
    @pytest.fixture
    def cache(self, clock: FakeClock) -> EntryCache:
        return ForeignCache(LangChainCache(), clock=clock)


@pytest.fixture
def inner() -> LangChainCache:
    return LangChainCache()


@pytest.fixture
def cache(inner: LangChainCache) -> ForeignCache:
    return ForeignCache(inner, clock=lambda: 1_000.0)


async def test_what_was_there_is_a_hit_and_listed_from_then_on(
    cache: ForeignCache, inner: LangChainCache
) -> None:
    inner.update("a", "m", answer("one"))
    inner.update("b", "m", answer("two"))
    assert len(cache) == 0
    assert cache.lookup("a", "m") == answer("one")
    assert await cache.alookup("b", "m") == answer("two")
    assert sorted(texts(cache.entries().entries)) == ["a", "b"]


def test_what_it_lost_or_replaced_is_seen(cache: ForeignCache, inner: LangChainCache) -> None:
    cache.put(entry())
    inner.update(*entry().key, answer("another"))
    assert not cache.holds(entry())
    assert cache.lookup(*entry().key) == answer("another")
    inner.clear()
    assert cache.get(entry().key) is None
    assert len(cache) == 0


def test_what_is_deleted_is_a_miss_until_it_is_stored_again(
    cache: ForeignCache, inner: LangChainCache
) -> None:
    cache.put(entry())
    assert cache.delete([entry().id]) == 1
    assert inner.lookup(*entry().key) is not None
    assert cache.get(entry().key) is None
    cache.put(entry(text="new"))
    assert cache.lookup(*entry().key) == answer("new")


def test_it_is_named_by_its_type(cache: ForeignCache) -> None:
    assert cache.name == "InMemoryCache of langchain_core"


async def test_its_async_methods_are_awaited_where_they_are(inner: LangChainCache) -> None:
    class Bound(LangChainCache):
        """To the thread of its loop, as a client of a server may be."""

        async def alookup(self, prompt: str, llm_string: str) -> Any:
            threads.append(threading.get_ident())
            return inner.lookup(prompt, llm_string)

        async def aupdate(self, prompt: str, llm_string: str, return_val: Any) -> None:
            threads.append(threading.get_ident())
            inner.update(prompt, llm_string, return_val)

    threads: list[int] = []
    for cache in (ForeignCache(Bound()), TieredCache(InMemoryCache(), ForeignCache(Bound()))):
        await cache.aupdate("p", "m", answer())
        assert await cache.alookup("p", "m") == answer()
    assert threads == [threading.get_ident()] * 4
