"""RedisCache: entries on a Redis or Valkey server, which a team shares."""

from llmcache_jupyter.caches.redis.cache import RedisCache

__all__ = ["RedisCache"]
