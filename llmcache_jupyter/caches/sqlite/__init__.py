"""SQLiteCache: entries in a file, which outlives the kernel and which several kernels share."""

from llmcache_jupyter.caches.sqlite.cache import SQLiteCache

__all__ = ["SQLiteCache"]
