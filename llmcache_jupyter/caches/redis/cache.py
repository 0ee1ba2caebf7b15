"""RedisCache: entries on a Redis or Valkey server, which a team shares."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

from llmcache_jupyter.caches.entry import Entry, Key, Page, Query, key_digest
from llmcache_jupyter.caches.finish import Finish
from llmcache_jupyter.caches.limits import LimitedCache, Policy, checked_limits
from llmcache_jupyter.caches.llm_string import model_name
from llmcache_jupyter.caches.redis.address import check_namespace, checked_timeout, parse
from llmcache_jupyter.caches.redis.connections import Command
from llmcache_jupyter.caches.redis.hashes import FIELDS, entry_of, hash_of, listed, moment
from llmcache_jupyter.caches.redis.scripts import PRUNE, REMOVE, TOUCH
from llmcache_jupyter.caches.redis.server import Server
from llmcache_jupyter.caches.selection import select
from llmcache_jupyter.caches.uses import Uses
from llmcache_jupyter.errors import DecodingError, StoreError

TIMEOUT = 0.5  # seconds
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
    - Hits are counted in memory first; `get` knows them, other kernels a little later. They go along with
      the next write or list, with a lookup every two seconds, and on `close`. What fails then costs counts.
    - The async methods block no event loop, and many of them wait at once. Any thread, any loop and a forked
      child may ask.
    - To be closed by `close`, or by Python's end.

    Raises:
        InvalidSettingError: `url`, `namespace`, `ttl` or `timeout` cannot be.
        StoreError: redis-py is not installed, or does not know an option in `url`; and, from all methods,
            whatever fails on the way to the server.
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
        if namespace is not None:
            check_namespace(namespace)
        self.namespace = namespace or address.namespace or "llmcache"
        self._ttl = checked_limits(None, "fifo", ttl).ttl
        self._policy: Policy = "fifo"
        self._shown = address.shown
        self._prefix = f"{self.namespace}:entry:".encode()
        self._index = f"{self.namespace}:stored"
        self._expiry = f"{self.namespace}:expiry"
        seconds = address.timeout or TIMEOUT if timeout is None else checked_timeout(timeout)
        self._uses = Uses()
        self._server = Server(address.url, self.name, seconds, self._uses.forget)
        self._finish = Finish(self, _finish, self._server, self._uses, self._prefix)

    def close(self) -> None:
        """Send the hits noted here, and let go of the connections. The next call makes new ones.

        - A call on its way ends as it would.
        """
        _send_hits(self._server, self._uses, self._prefix)
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
        digest = key_digest(key)
        return self._entry(key, digest, self._ask(self._reading(digest)))

    async def aget(self, key: Key) -> Entry | None:
        digest = key_digest(key)
        return self._entry(key, digest, await self._aask(self._reading(digest)))

    def put(self, entry: Entry) -> int:
        self._ask(*self._storing(entry), with_hits=True)
        return 0

    async def aput(self, entry: Entry) -> int:
        await self._aask(*self._storing(entry), with_hits=True)
        return 0

    def put_all(self, entries: Iterable[Entry]) -> int:
        if commands := [command for entry in entries for command in self._storing(entry)]:
            self._ask_all(commands, with_hits=True)
        return 0

    def stored_when(self, keys: Iterable[Key]) -> dict[Key, float]:
        many = list(keys)
        told = self._ask_all([self._asking_when(key_digest(key)) for key in many]) if many else []
        stored = {key: moment(answer) for key, answer in zip(many, told, strict=True)}
        return {key: at for key, at in stored.items() if at is not None and not self._is_expired(at)}

    def holds(self, entry: Entry) -> bool:
        return self._is_there(entry, self._ask(self._asking_when(entry.digest)))

    async def aholds(self, entry: Entry) -> bool:
        return self._is_there(entry, await self._aask(self._asking_when(entry.digest)))

    def touch(self, key: Key) -> None:
        self._uses.note(key_digest(key), self.clock())

    async def atouch(self, key: Key) -> None:
        self.touch(key)

    def delete(self, ids: Iterable[str]) -> int:
        wanted = {one.encode("utf-8", "replace") for one in ids}
        unwanted = [digest for digest in self._digests() if digest[:12] in wanted]
        return sum(self._run(REMOVE, some) for some in _chunks(unwanted))

    def clear(self, **kwargs: Any) -> None:
        pattern = re.sub(rb"([*?\[\]\\^])", rb"\\\1", self._prefix) + b"*"
        for names in self._scan("SCAN", options=("MATCH", pattern)):  # what the index doesn't know, too
            digests = [name.removeprefix(self._prefix) for name in names]
            for some in _chunks(list(filter(_DIGEST.fullmatch, digests))):  # others are of another namespace
                self._run(REMOVE, some)
        for some in _chunks(list(self._digests())):
            self._prune(some)

    def entries(self, query: Query = Query()) -> Page:
        if query.sort == "stored" and query.descending and not query.filters and self._ttl is None:
            return self._newest(query)
        start = (query.id or "").encode("ascii", "replace")
        found, _ = self._fetch([digest for digest in self._digests() if digest.startswith(start)])
        return select((entry for entry in found if not self._is_expired(entry.stored)), query)

    def by_id(self, ids: Iterable[str]) -> dict[str, Entry]:
        wanted = {one.encode("utf-8", "replace") for one in ids}  # one walk for all
        found, _ = self._fetch([digest for digest in self._digests() if digest[:12] in wanted])
        return {entry.id: entry for entry in found if not self._is_expired(entry.stored)}

    def models(self) -> dict[str | None, int]:
        return dict(Counter(model_name(llm_string) for _, llm_string in self.keys()).most_common())

    def keys(self) -> Iterator[Key]:
        for some in _chunks(list(self._digests())):
            for values in self._all((*FIELDS[:2], "stored"), some):
                if values is not None and values[1] is not None:
                    prompt, llm_string, stored = values
                    if not self._is_expired(moment(stored) or 0.0):
                        yield listed([prompt, llm_string, *[None] * (len(FIELDS) - 2)]).key

    def __len__(self) -> int:
        self._forget_expired()
        if self._ttl is None:
            return int(self._ask(("ZCARD", self._index)))
        return int(self._ask(("ZCOUNT", self._index, f"({self.clock() - self._ttl!r}", "+inf")))

    # What is asked once, for the sync and the async methods

    def _reading(self, digest: bytes) -> Command:
        return ("HMGET", self._name_of(_hex(digest)), *FIELDS[2:])  # the key is known, and may be long

    def _entry(self, key: Key, digest: bytes, values: list[bytes | None]) -> Entry | None:
        try:
            entry = entry_of(key, [None, None, *values])
        except DecodingError:
            return None
        if self._is_expired(entry.stored):
            return None
        use = self._uses.of(digest)
        if use is None:
            return entry
        return replace(entry, hits=entry.hits + use.hits, last_used=max(use.last, entry.last_used or 0.0))

    def _storing(self, entry: Entry) -> list[Command]:
        digest = _hex(entry.digest)
        name = self._name_of(digest)
        fields = [part for pair in hash_of(entry).items() for part in pair]
        new: list[Command] = [("HSET", name, *fields), ("ZADD", self._index, repr(entry.stored), digest)]
        unlisted = ("ZREM", self._expiry, digest)
        left = None if self._ttl is None else entry.stored + self._ttl - self.clock()
        if left is None:
            new += [unlisted]
        elif left > 0:
            new += [("PEXPIRE", name, max(1, int(min(left * 1000, _LONGEST))))]
            new += [("ZADD", self._expiry, repr(self.clock() + left), digest)]
        else:
            new = [("ZREM", self._index, digest), unlisted]
        return [("MULTI",), ("UNLINK", name), *new, ("EXEC",)]

    def _asking_when(self, digest: bytes) -> Command:
        return ("HGET", self._name_of(_hex(digest)), "stored")

    def _is_there(self, entry: Entry, stored: bytes | None) -> bool:
        return moment(stored) == entry.stored and not self._is_expired(entry.stored)

    def _ask(self, *commands: Command, with_hits: bool = False) -> Any:
        """The answer to the last of these commands, in one round trip.

        - `with_hits`: the hits noted here are counted before it. Otherwise they are when it's time.
        """
        return self._ask_all(commands, with_hits)[-1]

    async def _aask(self, *commands: Command, with_hits: bool = False) -> Any:
        ahead = self._counting(with_hits)
        return self._checked((await self._server.aask([*ahead, *commands]))[len(ahead) :])[-1]

    def _ask_all(self, commands: Sequence[Command], with_hits: bool = False) -> list[Any]:
        ahead = self._counting(with_hits)
        return self._checked(self._server.ask([*ahead, *commands])[len(ahead) :])

    def _counting(self, must: bool) -> list[Command]:
        return _count(self._uses, self._prefix) if must or self._uses.is_due(self.clock()) else []

    def _checked(self, answers: list[Any]) -> list[Any]:
        """The answers. Raises StoreError if one, or one of what was executed together, is an error."""
        for answer in answers:
            for one in answer if isinstance(answer, list) else (answer,):
                if isinstance(one, Exception):
                    raise self._server.error(one) from one
        return answers

    # What takes several steps

    def _newest(self, query: Query) -> Page:
        total = len(self)
        end = -1 if query.limit is None else query.offset + query.limit - 1
        if query.limit == 0 or query.offset >= total:
            return Page([], total)
        found, pruned = self._fetch(self._ask(("ZREVRANGE", self._index, query.offset, end)))
        if pruned:  # the server removed some, and they are out of the index by now
            return self._newest(query)
        return Page(found, total)

    def _fetch(self, digests: list[bytes]) -> tuple[list[Entry], int]:
        """The entries with these digests, and how many of the others left the index."""
        found: list[Entry] = []
        pruned = 0
        for some in _chunks(digests):
            rows = self._all(FIELDS, some)
            gone = [digest for digest, values in zip(some, rows, strict=True) if _is_gone(values)]
            if gone:
                pruned += self._prune(gone)
            found += [listed(values) for values in rows if values is not None and not _is_gone(values)]
        return found, pruned

    def _all(self, fields: Sequence[str], digests: list[bytes]) -> list[list[bytes | None] | None]:
        """These fields of each entry; None of a name that is something else than an entry."""
        rows = self._server.ask([("HMGET", self._name_of(digest), *fields) for digest in digests])
        for values in rows:
            if isinstance(values, Exception) and "WRONGTYPE" not in str(values):
                raise self._server.error(values)
        return [None if isinstance(values, Exception) else values for values in rows]

    def _digests(self) -> Iterator[bytes]:
        """All that the index knows, by cursor."""
        self._forget_expired()
        seen: set[bytes] = set()  # a cursor may show one twice
        for digests_and_scores in self._scan("ZSCAN", self._index):
            for digest in digests_and_scores[::2]:
                if digest not in seen:
                    seen.add(digest)
                    yield digest

    def _scan(self, *command: str | bytes, options: tuple[str | bytes, ...] = ()) -> Iterator[list[bytes]]:
        """What a cursor shows, some at a time."""
        cursor = None
        while cursor != b"0":
            cursor, some = self._ask((*command, cursor or b"0", *options, "COUNT", _AT_ONCE))
            yield some

    def _forget_expired(self) -> None:
        """Take out of the index what the server has removed by its time to live."""
        names = self._ask(("ZRANGEBYSCORE", self._expiry, "-inf", repr(self.clock())), with_hits=True)
        for some in _chunks(names):
            self._prune(some)

    def _prune(self, digests: list[bytes]) -> int:
        """Take these out of the index unless they are there. Returns how many the index knew."""
        with suppress(StoreError):  # a replica, say: what is listed is right without it
            return self._run(PRUNE, digests)
        return 0

    def _run(self, script: str, digests: list[bytes]) -> int:
        names = [self._index, self._expiry, *map(self._name_of, digests)]
        return int(self._ask(("EVAL", script, len(names), *names, *digests)))

    def _name_of(self, digest: bytes) -> bytes:
        return self._prefix + digest

    def _is_expired(self, stored: float) -> bool:
        return self._ttl is not None and self.clock() - stored >= self._ttl


def _count(uses: Uses, prefix: bytes) -> list[Command]:
    """The command that counts the hits noted so far, if there are any. They are no longer there."""
    taken = uses.take() if uses else {}
    names = [prefix + _hex(digest) for digest in taken]
    figures = [part for use in taken.values() for part in (use.hits, repr(use.last))]
    return [("EVAL", TOUCH, len(names), *names, *figures)] if taken else []


def _send_hits(server: Server, uses: Uses, prefix: bytes) -> None:
    if commands := _count(uses, prefix):
        with suppress(StoreError):
            server.ask(commands)


def _finish(server: Server, uses: Uses, prefix: bytes) -> None:
    _send_hits(server, uses, prefix)
    server.close()


def _hex(digest: bytes) -> bytes:
    return digest.hex().encode()


def _chunks(digests: list[bytes]) -> Iterator[list[bytes]]:
    return (digests[start : start + _AT_ONCE] for start in range(0, len(digests), _AT_ONCE))


def _is_gone(values: Sequence[bytes | None] | None) -> bool:
    return values is None or all(value is None for value in values)
