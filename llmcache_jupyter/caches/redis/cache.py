"""RedisCache: entries on a Redis or Valkey server, which a team shares."""

from __future__ import annotations

import re
import time
import weakref
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any

from llmcache_jupyter.caches.entry import Entry, Key, Page, Query, key_digest
from llmcache_jupyter.caches.limits import LimitedCache, Policy, checked_limits
from llmcache_jupyter.caches.llm_string import model_name
from llmcache_jupyter.caches.redis.address import checked_timeout, parse
from llmcache_jupyter.caches.redis.hashes import FIELDS, entry_of, hash_of, listed, moment
from llmcache_jupyter.caches.redis.scripts import PRUNE, REMOVE, TOUCH
from llmcache_jupyter.caches.redis.server import Server
from llmcache_jupyter.caches.selection import select
from llmcache_jupyter.errors import DecodingError, InvalidSettingError, StoreError

TIMEOUT = 0.5  # seconds
_CONNECTIONS = 16
_AT_ONCE = 500

_DIGEST = re.compile(rb"[0-9a-f]{32}")
_LONGEST = 10.0**15  # milliseconds: more than Redis can add to a time is an error there


class RedisCache(LimitedCache):
    """A cache on the server at `url`, shared by all who use the same namespace.

    - `url`: `redis://host:6379/0`, `rediss://` or `unix://`; `valkey://` is `redis://`. `?namespace=` and
      `?timeout=` in it say what the arguments don't.
    - `namespace`: the beginning of every key there. No key that begins otherwise is ever touched.
    - `ttl`: seconds an entry lives, from when it was stored; the server removes it. Entries older than this
      cache's are a miss here, whoever stored them.
    - `timeout`: seconds that one step of an operation may take in all: to look up and to store are one step
      each, to list and to clear are one for some hundred entries.
    - There is no maximum: a session with a small one must not remove what its colleagues keep. The server's
      own `maxmemory` may remove entries.
    - An answer that cannot be read is a miss, and listed without generations.
    - The async methods block no event loop. The connections live on a thread of their own: they serve any
      loop, threads, and forked children.

    Raises:
        InvalidSettingError: `url`, `namespace`, `ttl` or `timeout` cannot be.
        StoreError: redis-py is not installed; and, from all methods, whatever fails on the way to the server.
        EncodingError: `put` and `update`, for an answer that JSON cannot hold.
    """

    shared = True

    def __init__(
        self,
        url: str,
        *,
        namespace: str | None = None,
        ttl: float | timedelta | None = None,
        timeout: float | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        address = parse(url)
        self.clock = clock
        chosen = address.namespace if namespace is None else namespace
        if chosen == "":
            raise InvalidSettingError("A namespace needs a name: redis://host:6379/0?namespace=team.")
        self.namespace: str = chosen or "llmcache"
        if any("\ud800" <= character <= "\udfff" for character in self.namespace):
            raise InvalidSettingError(f"A namespace is ordinary text, which {self.namespace!a} is not.")
        self._ttl = checked_limits(None, "fifo", ttl).ttl
        self._policy: Policy = "fifo"
        self._shown = address.shown
        self._index = f"{self.namespace}:stored"
        self._expiry = f"{self.namespace}:expiry"
        seconds = address.timeout or TIMEOUT if timeout is None else checked_timeout(timeout)
        self._server = Server(address.url, self.name, seconds)
        self._finish = weakref.finalize(self, self._server.close)

    def close(self) -> None:
        """Let go of the connections. The next call makes new ones; a call on its way is waited for."""
        self._server.disconnect()

    @property
    def name(self) -> str:
        """The server's address without credentials, and the namespace."""
        return f"{self._shown} (namespace {self.namespace})"

    def __repr__(self) -> str:
        return f"RedisCache({self._shown!r}, namespace={self.namespace!r})"

    @property
    def maxsize(self) -> int | None:
        return None

    @property
    def policy(self) -> Policy:
        return self._policy

    @property
    def ttl(self) -> float | None:
        return self._ttl

    def configure(self, *, maxsize: int | None, policy: Policy, ttl: float | timedelta | None) -> int:
        """Set the time to live of what is stored from now on. Nothing has to go."""
        limits = checked_limits(maxsize, policy, ttl)
        self._policy, self._ttl = limits.policy, limits.ttl
        return 0

    def get(self, key: Key) -> Entry | None:
        return self._server.wait(self._get(key))

    async def aget(self, key: Key) -> Entry | None:
        return await self._server.later(self._get(key))

    def put(self, entry: Entry) -> int:
        return self._server.wait(self._put(entry, hash_of(entry)))

    async def aput(self, entry: Entry) -> int:
        return await self._server.later(self._put(entry, hash_of(entry)))

    def touch(self, key: Key) -> None:
        self._server.wait(self._touch(key))

    async def atouch(self, key: Key) -> None:
        await self._server.later(self._touch(key))

    def holds(self, entry: Entry) -> bool:
        return self._server.wait(self._holds(entry))

    async def aholds(self, entry: Entry) -> bool:
        return await self._server.later(self._holds(entry))

    def delete(self, ids: Iterable[str]) -> int:
        return self._server.wait(self._delete(set(ids)))

    async def adelete(self, ids: Iterable[str]) -> int:
        return await self._server.later(self._delete(set(ids)))

    def clear(self, **kwargs: Any) -> None:
        self._server.wait(self._clear())

    async def aclear(self, **kwargs: Any) -> None:
        await self._server.later(self._clear())

    def entries(self, query: Query = Query()) -> Page:
        return self._server.wait(self._entries(query))

    async def aentries(self, query: Query = Query()) -> Page:
        return await self._server.later(self._entries(query))

    def models(self) -> dict[str | None, int]:
        return self._server.wait(self._models())

    def keys(self) -> Iterator[Key]:
        return iter(self._server.wait(self._keys()))

    def __len__(self) -> int:
        return self._server.wait(self._count())

    def lookup(self, prompt: str, llm_string: str) -> list[Any] | None:
        key = (prompt, llm_string)
        entry = self.get(key)
        if entry is None:
            return None
        with suppress(StoreError):  # a hit is worth more than its count
            self.touch(key)
        return entry.generations

    async def alookup(self, prompt: str, llm_string: str) -> list[Any] | None:
        key = (prompt, llm_string)
        entry = await self.aget(key)
        if entry is None:
            return None
        with suppress(StoreError):
            await self.atouch(key)
        return entry.generations

    async def aupdate(self, prompt: str, llm_string: str, return_val: Sequence[Any]) -> None:
        if return_val:
            await self.aput(Entry((prompt, llm_string), list(return_val), self.clock()))

    # What follows runs on the server's loop

    async def _get(self, key: Key) -> Entry | None:
        values = await self._server.ask(lambda redis: redis.hmget(self._key(_hex(key_digest(key))), FIELDS))
        try:
            entry = entry_of(key, values)
        except DecodingError:
            return None
        return None if self._is_expired(entry.stored) else entry

    async def _put(self, entry: Entry, fields: dict[str, bytes]) -> int:
        digest = _hex(entry.digest)
        left = None if self._ttl is None else entry.stored + self._ttl - self.clock()

        async def write(redis: Any) -> None:
            async with redis.pipeline(transaction=True) as all_at_once:
                all_at_once.unlink(self._key(digest))
                all_at_once.zrem(self._index, digest)
                all_at_once.zrem(self._expiry, digest)
                if left is None or left > 0:
                    all_at_once.hset(self._key(digest), mapping=fields)
                    all_at_once.zadd(self._index, {digest: entry.stored})
                if left is not None and left > 0:
                    all_at_once.pexpire(self._key(digest), max(1, int(min(left * 1000, _LONGEST))))
                    all_at_once.zadd(self._expiry, {digest: self.clock() + left})
                await all_at_once.execute()

        await self._server.ask(write)
        return 0

    async def _touch(self, key: Key) -> None:
        name, now = self._key(_hex(key_digest(key))), repr(self.clock())
        await self._server.ask(lambda redis: redis.eval(TOUCH, 1, name, now))

    async def _holds(self, entry: Entry) -> bool:
        stored = await self._server.ask(lambda redis: redis.hget(self._key(_hex(entry.digest)), "stored"))
        return moment(stored) == entry.stored and not self._is_expired(entry.stored)

    async def _delete(self, ids: set[str]) -> int:
        unwanted = [
            digest async for digest in self._digests() if digest[:12].decode("ascii", "replace") in ids
        ]
        return sum([await self._remove(some) for some in _chunks(unwanted)])

    async def _remove(self, digests: list[bytes]) -> int:
        return await self._run(REMOVE, digests)

    async def _prune(self, digests: list[bytes]) -> int:
        """Take these out of the index unless they are there. Returns how many the index knew."""
        with suppress(StoreError):  # a replica, say: what is listed is right without it
            return await self._run(PRUNE, digests)
        return 0

    async def _run(self, script: str, digests: list[bytes]) -> int:
        names = [self._index, self._expiry, *map(self._key, digests)]
        return int(await self._server.ask(lambda redis: redis.eval(script, len(names), *names, *digests)))

    async def _clear(self) -> None:
        """Remove what has our keys, whether the index knows it or not."""
        prefix = self._key(b"")
        pattern = re.sub(rb"([*?\[\]\\^])", rb"\\\1", prefix) + b"*"
        cursor = None
        while cursor != 0:
            start = cursor or 0
            cursor, names = await self._server.ask(partial(_scan, pattern=pattern, start=start))
            digests = [name.removeprefix(prefix) for name in names]
            for some in _chunks(list(filter(_DIGEST.fullmatch, digests))):  # others are of another namespace
                await self._remove(some)
        await self._forget_gone()

    async def _entries(self, query: Query) -> Page:
        if query.sort == "stored" and query.descending and not query.filters and self._ttl is None:
            return await self._newest(query)
        start = (query.id or "").encode("ascii", "replace")
        digests = [digest async for digest in self._digests() if digest.startswith(start)]
        found, _ = await self._fetch(digests)
        return select((entry for entry in found if not self._is_expired(entry.stored)), query)

    async def _newest(self, query: Query) -> Page:
        total = await self._count()
        end = -1 if query.limit is None else query.offset + query.limit - 1
        if query.limit == 0 or query.offset >= total:
            return Page([], total)
        names = await self._server.ask(lambda redis: redis.zrevrange(self._index, query.offset, end))
        found, pruned = await self._fetch(names)
        if pruned:  # the server removed some, and they are out of the index by now
            return await self._newest(query)
        return Page(found, total)

    async def _fetch(self, digests: list[bytes]) -> tuple[list[Entry], int]:
        """The entries with these digests, and how many of the others left the index."""
        found: list[Entry] = []
        pruned = 0
        for some in _chunks(digests):
            rows = await self._all(lambda pipe, digest: pipe.hmget(self._key(digest), FIELDS), some)
            gone = [digest for digest, values in zip(some, rows, strict=True) if _is_gone(values)]
            if gone:
                pruned += await self._prune(gone)
            found += [listed(values) for values in rows if not _is_gone(values)]
        return found, pruned

    async def _models(self) -> dict[str | None, int]:
        counts: Counter[str | None] = Counter()
        async for _, llm_string in self._each_key():
            counts[model_name(llm_string)] += 1
        return dict(counts.most_common())

    async def _keys(self) -> list[Key]:
        return [key async for key in self._each_key()]

    async def _each_key(self) -> AsyncIterator[Key]:
        digests = [digest async for digest in self._digests()]
        for some in _chunks(digests):
            rows = await self._all(
                lambda pipe, digest: pipe.hmget(self._key(digest), (*FIELDS[:2], "stored")), some
            )
            for prompt, llm_string, stored in filter(None, rows):
                if llm_string is not None and not self._is_expired(moment(stored) or 0.0):
                    yield listed([prompt, llm_string, *[None] * (len(FIELDS) - 2)]).key

    async def _count(self) -> int:
        await self._forget_expired()
        if self._ttl is None:
            return int(await self._server.ask(lambda redis: redis.zcard(self._index)))
        after = f"({self.clock() - self._ttl!r}"
        return int(await self._server.ask(lambda redis: redis.zcount(self._index, after, "+inf")))

    async def _digests(self) -> AsyncIterator[bytes]:
        """All that the index knows, by cursor."""
        await self._forget_expired()
        seen: set[bytes] = set()  # a cursor may show one twice
        cursor = None
        while cursor != 0:
            start = cursor or 0
            cursor, some = await self._server.ask(partial(_zscan, name=self._index, start=start))
            for digest, _ in some:
                if digest not in seen:
                    seen.add(digest)
                    yield digest

    async def _forget_expired(self) -> None:
        """Take out of the index what the server has removed by its time to live."""
        now = self.clock()
        names = await self._server.ask(lambda redis: redis.zrangebyscore(self._expiry, "-inf", now))
        for some in _chunks(names):
            await self._prune(some)

    async def _forget_gone(self) -> None:
        """Take out of the index what is not there, for whatever reason."""
        for some in _chunks([digest async for digest in self._digests()]):
            await self._prune(some)

    async def _all(self, ask: Callable[[Any, bytes], Any], digests: list[bytes]) -> list[Any]:
        """What the server has to say of each; None of a name that is something else than an entry."""

        async def read(redis: Any) -> list[Any]:
            async with redis.pipeline(transaction=False) as pipe:
                for digest in digests:
                    ask(pipe, digest)
                return list(await pipe.execute(raise_on_error=False))

        rows = await self._server.ask(read)
        for values in rows:
            if isinstance(values, Exception) and "WRONGTYPE" not in str(values):
                raise self._server.error(values)
        return [None if isinstance(values, Exception) else values for values in rows]

    def _key(self, digest: bytes) -> bytes:
        return self.namespace.encode() + b":entry:" + digest

    def _is_expired(self, stored: float) -> bool:
        return self._ttl is not None and self.clock() - stored >= self._ttl


def _hex(digest: bytes) -> bytes:
    return digest.hex().encode()


def _chunks(digests: list[bytes]) -> Iterator[list[bytes]]:
    return (digests[start : start + _AT_ONCE] for start in range(0, len(digests), _AT_ONCE))


def _is_gone(values: Sequence[bytes | None] | None) -> bool:
    return values is None or all(value is None for value in values)


async def _scan(redis: Any, *, pattern: bytes, start: int) -> Any:
    return await redis.scan(start, match=pattern, count=_AT_ONCE)


async def _zscan(redis: Any, *, name: str, start: int) -> Any:
    return await redis.zscan(name, start, count=_AT_ONCE)
