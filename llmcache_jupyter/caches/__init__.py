"""The cache system: the interface, its value, and the caches that hold entries. Standard library only."""

from llmcache_jupyter.caches.base import BaseCache
from llmcache_jupyter.caches.entry import Entry, EntryCache, Key, Page, Query
from llmcache_jupyter.caches.generation import Generation
from llmcache_jupyter.caches.memory import InMemoryCache

__all__ = ["BaseCache", "Entry", "EntryCache", "Generation", "InMemoryCache", "Key", "Page", "Query"]
