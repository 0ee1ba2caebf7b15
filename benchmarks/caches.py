"""Update, hit and miss of the two InMemoryCaches, and the memory of an entry."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Callable, Iterable, Iterator, Sequence

from langchain_core.caches import InMemoryCache as LangChainCache

from benchmarks.inputs import ANSWER, fresh_keys
from benchmarks.report import Row, Target
from benchmarks.timing import Comparison, Pass, in_turns, medians, now, paused_gc
from llmcache_jupyter import InMemoryCache

Cache = InMemoryCache | LangChainCache

_BATCH = 500
"""Keys made at a time, so that they are as near at hand as those of a call made just now."""
_LOOKUPS = 10_000
"""Lookups in a pass at most."""


def operations(sizes: Iterable[int], work: int) -> Iterator[Row]:
    """Update, hit and miss with so many entries, each done about `work` times.

    - The updates are those that fill an empty cache.
    """
    for size in sizes:
        result, caches = _fill(size, rounds=max(3, work // size))
        yield _row(f"update, up to {size:,} entries", result, Target(1.8))
        for what, first in (("hit", 0), ("miss", size)):
            numbers = random.Random(size).sample(range(first, first + size), min(size, _LOOKUPS))
            ours, other = (_looking_up(cache, numbers) for cache in caches)
            result = in_turns(ours, other, rounds=max(3, work // (2 * len(numbers))))
            yield _row(f"{what}, {size:,} entries", result.each(len(numbers)), Target(1.1))


def updates_at_maxsize(targets: dict[int, float | None], work: int) -> Iterator[Row]:
    """Update of full caches: each removes the oldest entry.

    - LangChain's cache finds the oldest entry behind the empty places of those removed since its dict was
      last rebuilt, up to 2.5 times `maxsize` of them. So as many updates as entries go before, and twice as
      many are one round.
    """
    for size, times in targets.items():
        caches = InMemoryCache(maxsize=size), LangChainCache(maxsize=size)
        rounds = range(2 * size, 2 * size + max(2 * size, work), 2 * size)
        with paused_gc():
            _update(caches, range(2 * size))
            result = medians([_update(caches, range(start, start + 2 * size)) for start in rounds])
        target = None if times is None else Target(times, faster=True)
        yield _row(f"update at maxsize={size:,}", result.each(2 * size), target)


def memory(size: int) -> Iterator[Row]:
    """Memory of an entry: its key, its place in the cache, and a list around an answer that all share."""
    ours, other = (_bytes_allocated(make, size) / size for make in (InMemoryCache, LangChainCache))
    yield Row(f"an entry of {size:,}", ours, other, ours / other, unit="B")


def _row(what: str, result: Comparison, target: Target | None) -> Row:
    return Row(what, result.ours, result.other, result.ratio, target)


def _fill(size: int, rounds: int) -> tuple[Comparison, tuple[Cache, Cache]]:
    """The time of an update while empty caches are filled, and the two that were filled last."""
    pairs = []
    with paused_gc():
        for _ in range(rounds):
            caches = InMemoryCache(), LangChainCache()
            pairs.append(_update(caches, range(size)))
    return medians(pairs).each(size), caches


def _update(caches: tuple[Cache, Cache], numbers: range) -> tuple[float, float]:
    """The seconds that each of the two takes to store these entries, a batch here and a batch there."""
    spent = [0.0, 0.0]
    for turn, start in enumerate(range(0, len(numbers), _BATCH)):
        for side in (0, 1) if turn % 2 else (1, 0):
            spent[side] += _store(caches[side], numbers[start : start + _BATCH])
    return spent[0], spent[1]


def _store(cache: Cache, numbers: range) -> float:
    entries = [(*key, [ANSWER]) for key in fresh_keys(numbers)]
    update = cache.update
    begin = now()
    for prompt, llm_string, answer in entries:
        update(prompt, llm_string, answer)
    return now() - begin


def _looking_up(cache: Cache, numbers: Sequence[int]) -> Pass:
    def look_up(batch: Sequence[int]) -> float:
        keys = fresh_keys(batch)
        lookup = cache.lookup
        begin = now()
        for prompt, llm_string in keys:
            lookup(prompt, llm_string)
        return now() - begin

    starts = range(0, len(numbers), _BATCH)
    return lambda: sum(look_up(numbers[start : start + _BATCH]) for start in starts)


def _bytes_allocated(make: Callable[[], Cache], size: int) -> int:
    tracemalloc.start()
    try:
        cache = make()
        before, _ = tracemalloc.get_traced_memory()
        for number in range(size):
            for prompt, llm_string in fresh_keys([number]):
                cache.update(prompt, llm_string, [ANSWER])
        after, _ = tracemalloc.get_traced_memory()
        return after - before
    finally:
        tracemalloc.stop()
