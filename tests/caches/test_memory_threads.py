"""InMemoryCache under eight threads: no error, never above maxsize, no lost entry."""

from __future__ import annotations

import random
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from llmcache_jupyter.caches import Entry, InMemoryCache, Query
from llmcache_jupyter.session.cache import SessionCache
from tests.caches.contract import answer

THREADS = 8
MAXSIZE = 20


@pytest.fixture(autouse=True)
def _switch_often() -> Iterator[None]:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def on_threads(work: Callable[[int], None]) -> None:
    """Runs `work(number)` on each thread, all at once, and raises what any of them raised."""
    failed: list[BaseException] = []
    begin = threading.Barrier(THREADS)

    def run(number: int) -> None:
        begin.wait()
        try:
            work(number)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]


def operations(cache: InMemoryCache, chance: random.Random, prompt: str) -> None:
    """One operation of the mix; what is found under a prompt is always that prompt's."""
    match chance.choices(range(9), weights=[40, 40, 8, 4, 4, 1, 1, 1, 1])[0]:
        case 0:
            found = cache.lookup(prompt, "m")
            assert found is None or found == [prompt]
        case 1:
            cache.update(prompt, "m", [prompt])
        case 2:
            cache.touch((prompt, "m"))
        case 3:
            entry = cache.get((prompt, "m"))
            assert entry is None or entry.generations == [prompt]
        case 4:
            assert 0 <= cache.put(Entry((prompt, f"m{prompt}"), [prompt], cache.clock())) <= 1
        case 5:
            cache.delete([Entry((prompt, "m"), [], 0.0).id])
        case 6:
            page = cache.entries(Query(limit=5, text=prompt if len(prompt) % 2 else None))
            assert all(entry.generations == [entry.prompt] for entry in page.entries)
        case 7:
            assert sum(cache.models().values()) <= MAXSIZE
        case 8:
            cache.clear()
    assert len(cache._stored) <= MAXSIZE + 1  # the one that is just being stored, seen from beside the lock


@pytest.mark.soak
@pytest.mark.parametrize("limits", [{}, {"policy": "lru"}, {"ttl": 0.001}], ids=["fifo", "lru", "ttl"])
def test_mixed_operations(limits: dict[str, Any], soak_factor: int) -> None:
    """With the soak factor, two million operations."""
    cache = InMemoryCache(maxsize=MAXSIZE, **limits)
    rounds = 100_000 * soak_factor // THREADS

    def work(number: int) -> None:
        chance = random.Random(number)
        for _ in range(rounds):
            operations(cache, chance, str(chance.randrange(2 * MAXSIZE)))
            if chance.random() < 0.05:
                assert len(cache) <= MAXSIZE

    on_threads(work)
    assert len(cache) <= MAXSIZE
    for entry in cache.entries(Query(limit=None)).entries:
        found = cache.get(entry.key)
        assert found == entry or (found is None and cache.ttl is not None)


def test_no_entry_is_lost() -> None:
    cache = InMemoryCache()

    def work(number: int) -> None:
        for index in range(1_000):
            cache.update(f"{number} {index}", f"m{index % 7}", answer())
            assert cache.lookup(f"{number} {index}", f"m{index % 7}") == answer()

    on_threads(work)
    assert len(cache) == THREADS * 1_000
    assert sum(cache.models().values()) == THREADS * 1_000


def test_no_hit_is_lost() -> None:
    cache = InMemoryCache()
    cache.put(Entry(("p", "m"), answer(), 1.0))

    def work(_number: int) -> None:
        for _ in range(500):
            cache.touch(("p", "m"))

    on_threads(work)
    entry = cache.get(("p", "m"))
    assert entry is not None
    assert entry.hits == THREADS * 500


def test_evictions_add_up() -> None:
    cache = InMemoryCache(maxsize=MAXSIZE)
    evicted = [0] * THREADS

    def work(number: int) -> None:
        for index in range(1_000):
            evicted[number] += cache.put(Entry((f"{number} {index}", "m"), answer(), float(index)))

    on_threads(work)
    assert sum(evicted) == THREADS * 1_000 - MAXSIZE
    assert len(cache) == MAXSIZE


def test_limits_may_change_meanwhile() -> None:
    cache = InMemoryCache(maxsize=MAXSIZE)

    def work(number: int) -> None:
        chance = random.Random(number)
        for index in range(300):
            if number == 0:
                policy: Any = chance.choice(["fifo", "lru"])
                cache.configure(
                    maxsize=chance.randint(1, MAXSIZE), policy=policy, ttl=chance.choice([None, 60])
                )
            prompt = str(chance.randrange(50))
            cache.update(prompt, "m", [prompt])
            assert cache.lookup(prompt, "m") in (None, [prompt])
            cache.touch((prompt, "m"))
            assert len(cache.entries(Query(offset=index % 3)).entries) <= MAXSIZE

    on_threads(work)
    assert len(cache) <= MAXSIZE


@pytest.mark.soak
def test_a_sessions_counts_add_up(soak_factor: int) -> None:
    cache = SessionCache(InMemoryCache(maxsize=MAXSIZE))
    calls = 500 * soak_factor

    def work(number: int) -> None:
        chance = random.Random(number)
        for _ in range(calls):
            prompt = str(chance.randrange(2 * MAXSIZE))
            found = cache.lookup(prompt, "m")
            if found is None:
                cache.update(prompt, "m", answer(prompt))
            else:
                assert found == answer(prompt)

    on_threads(work)
    counts = cache.statistics.total()
    assert counts.hits + counts.misses == THREADS * calls
    assert counts.stored == counts.misses
    assert len(cache.backend) == MAXSIZE
    assert counts.stored - counts.evicted >= MAXSIZE
