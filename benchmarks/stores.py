"""SQLiteCache and RedisCache side by side with those of `langchain_community.cache`; files small and large.

Time is wall-clock time here: what a store costs is waiting for a disk, too. So the ratios depend on the disk,
and on how idle the machine is.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

from benchmarks.calls import ASKED, compared
from benchmarks.inputs import ANSWER, fresh_keys
from benchmarks.report import Row, Target
from benchmarks.timing import Pass, in_turns
from llmcache_jupyter import InMemoryCache, Query, RedisCache, Session, TieredCache
from llmcache_jupyter.caches.entry import Entry
from llmcache_jupyter.caches.sqlite import SQLiteCache
from tests.caches.redis_server import RedisServer

Cache = Any

_BATCH = 50
"""Lookups or updates in a pass."""


def operations(size: int, rounds: int) -> Iterator[Row]:
    """A hit, an answer stored and the bytes of an entry, in files that hold `size` entries at first."""
    with TemporaryDirectory() as folder:
        files = [Path(folder, name) for name in ("ours.sqlite", "other.sqlite")]
        ours = SQLiteCache(files[0])
        caches = [cache for cache in (ours, _community(files[1])) if cache is not None]
        for cache in caches:
            _store(cache, range(size))
        yield _row("hit", [_hits(cache, size) for cache in caches], rounds, Target(8, faster=True))
        kept = [TieredCache(InMemoryCache(), ours), *caches[1:]]
        _look_up_once(kept[0], size)
        yield _row("hit, read before", [_hits(cache, size) for cache in kept], rounds, None)
        updates = [_updates(cache, size, after=ours.models) for cache in caches]
        yield _row("an answer stored", updates, rounds, Target(25, faster=True))
        yield _row("an answer filed, later", [_filing(ours, 2 * size)], rounds, None)
        entries = len(ours)
        ours.close()
        mine, theirs = (path.stat().st_size / entries if path.exists() else None for path in files)
        yield Row("an entry", mine or 0, theirs, theirs and (mine or 0) / theirs, unit="B")


def server(size: int, rounds: int) -> Iterator[Row]:
    """A hit and an answer stored, on one server on loopback, with `langchain_community`'s RedisCache.

    - Theirs has no time limit for a step, and stores in three commands. Ours stores in six: it also keeps an
      index by time, so that pages need no scan.
    """
    with TemporaryDirectory() as folder:
        redis = RedisServer(Path(folder))
        ours = RedisCache(redis.url, timeout=30)
        try:
            caches = [ours, *filter(None, [_community_on(redis)])]
            for cache in caches:
                _store(cache, range(size))
            yield _row("hit on a server", [_hits(cache, size) for cache in caches], rounds, Target(1.5))
            kept = [TieredCache(InMemoryCache(), ours), *caches[1:]]
            _look_up_once(kept[0], size)
            yield _row("hit on a server, read before", [_hits(cache, size) for cache in kept], rounds, None)
            updates = [_updates(cache, size) for cache in caches]
            yield _row("an answer stored on a server", updates, rounds, Target(2))
        finally:
            ours.close()
            redis.stop()


def invoke(rounds: int) -> Iterator[Row]:
    """`ChatOpenAI.invoke` on a hit through a session with a store, and through LangChain's own cache."""
    with TemporaryDirectory() as folder:
        session = Session()
        session.activate(store=str(Path(folder, "notes.sqlite")))
        for what, messages in ASKED.items():
            result = compared(session, messages, rounds)
            yield Row(f"hit with a store, {what}", result.ours, result.other, result.ratio, Target(1.35))


def sizes(entries: Iterable[int], rounds: int) -> Iterator[Row]:
    """Opening a file, a page of it and a search, by how many entries are in it; compared with the fewest."""
    first: dict[str, float] = {}
    for size in entries:
        with TemporaryDirectory() as folder:
            path = Path(folder, "notes.sqlite")
            begin = perf_counter()
            fill(path, size)
            yield Row(f"fill {size:,}, an entry", (perf_counter() - begin) / size)
            for what, took in _looks(path, size, rounds).items():
                small = first.setdefault(what, took)
                yield Row(f"{what}, {size:,} entries", took, small, took / small)


def fill(path: Path, size: int) -> None:
    """A file with so many entries."""
    with SQLiteCache(path) as cache:
        for number in range(size):
            (key,) = fresh_keys([number])
            cache.put(Entry(key, [ANSWER], 1e9 + number))


def _looks(path: Path, size: int, rounds: int) -> dict[str, float]:
    def opening() -> None:
        SQLiteCache(path).close()

    took = {"open": _median(opening, rounds)}
    with SQLiteCache(path) as cache:

        def search() -> None:
            assert cache.entries(Query(text="country 0?")).total == 1

        took["a page"] = _median(lambda: cache.entries(Query(offset=size // 2)), rounds)
        took["the first page, by answer"] = _median(lambda: cache.entries(Query(sort="answer")), rounds)
        took["a search"] = _median(search, rounds)
    return took


def _median(act: Callable[[], object], rounds: int) -> float:
    times = []
    for _ in range(rounds + 1):
        begin = perf_counter()
        act()
        times.append(perf_counter() - begin)
    return sorted(times[1:])[rounds // 2]  # the first time fills SQLite's memory


def _community(path: Path) -> Cache | None:
    """LangChain's, if it is installed: `make bench` does so, `make test` runs without it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says that it is no longer maintained
        try:
            from langchain_community.cache import SQLiteCache as CommunityCache
        except ImportError:
            return None
        return CommunityCache(str(path))


def _community_on(server: RedisServer) -> Cache | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            from langchain_community.cache import RedisCache as CommunityCache
        except ImportError:
            return None
        return CommunityCache(server.client())


def _look_up_once(cache: Cache, size: int) -> None:
    for prompt, llm_string in fresh_keys(range(size)):
        cache.lookup(prompt, llm_string)


def _store(cache: Cache, numbers: range) -> None:
    for prompt, llm_string in fresh_keys(numbers):
        cache.update(prompt, llm_string, [ANSWER])


def _hits(cache: Cache, size: int) -> Pass:
    starts = count(0, _BATCH)

    def look_up() -> float:
        start = next(starts)
        keys = fresh_keys(number % size for number in range(start, start + _BATCH))
        with _quiet():
            begin = perf_counter()
            for prompt, llm_string in keys:
                assert cache.lookup(prompt, llm_string)
            return perf_counter() - begin

    return look_up


def _updates(cache: Cache, size: int, after: Callable[[], object] = lambda: None) -> Pass:
    """Passes of updates. What `after` does is not timed: a look files what ours stored."""
    starts = count(size, _BATCH)

    def update() -> float:
        start = next(starts)
        keys = fresh_keys(range(start, start + _BATCH))
        begin = perf_counter()
        for prompt, llm_string in keys:
            cache.update(prompt, llm_string, [ANSWER])
        took = perf_counter() - begin
        after()
        return took

    return update


def _filing(cache: SQLiteCache, size: int) -> Pass:
    """Passes in which a look files what was stored just before."""
    store = _updates(cache, size)

    def file() -> float:
        store()
        begin = perf_counter()
        cache.models()
        return perf_counter() - begin

    return file


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # each of LangChain's lookups warns of its own `loads`
        yield


def _row(what: str, passes: list[Pass], rounds: int, target: Target | None) -> Row:
    if len(passes) == 1:
        return Row(what, sorted(passes[0]() for _ in range(rounds))[rounds // 2] / _BATCH)
    result = in_turns(passes[0], passes[1], rounds).each(_BATCH)
    return Row(what, result.ours, result.other, result.ratio, target)
