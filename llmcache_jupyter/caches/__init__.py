"""The cache system: interface, value, and caches. Standard library only, and orjson where it is there."""

from llmcache_jupyter.caches.base import BaseCache
from llmcache_jupyter.caches.entry import Entry, EntryCache, Key, Page, Query
from llmcache_jupyter.caches.generation import Generation
from llmcache_jupyter.caches.memory import InMemoryCache

__all__ = ["BaseCache", "Entry", "EntryCache", "Generation", "InMemoryCache", "Key", "Page", "Query"]
