"""InMemoryCache: the contract, LangChain's own suites, and its limits."""

from __future__ import annotations

import asyncio
import gc
import random
import signal
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from langchain_tests.integration_tests import AsyncCacheTestSuite, SyncCacheTestSuite

from llmcache_jupyter.caches import Entry, EntryCache, InMemoryCache, Query
from tests.caches.contract import CacheContract, FakeClock, answer, entry, texts


class TestContract(CacheContract):
    @pytest.fixture(params=["fifo", "lru", "maxsize", "ttl"])
    def cache(self, request: pytest.FixtureRequest, clock: FakeClock) -> EntryCache:
        limits: dict[str, dict[str, Any]] = {
            "fifo": {},
            "lru": {"policy": "lru", "maxsize": 10_000},
            "maxsize": {"maxsize": 10_000},
            "ttl": {"ttl": 1e9},
        }
        return InMemoryCache(clock=clock, **limits[request.param])


class TestLangChainSync(SyncCacheTestSuite):
    @pytest.fixture
    def cache(self) -> Any:
        return InMemoryCache()


class TestLangChainAsync(AsyncCacheTestSuite):
    @pytest.fixture
    async def cache(self) -> Any:
        return InMemoryCache()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def held(cache: InMemoryCache) -> set[str]:
    return set(texts(cache.entries(Query(limit=None)).entries))


class TestArguments:
    def test_settings_are_keyword_only(self) -> None:
        with pytest.raises(TypeError):
            InMemoryCache(3)  # type: ignore[call-arg]

    @pytest.mark.parametrize("maxsize", [0, -1])
    def test_maxsize_is_greater_than_0(self, maxsize: int) -> None:
        with pytest.raises(ValueError, match=r"^maxsize must be greater than 0$"):
            InMemoryCache(maxsize=maxsize)

    @pytest.mark.parametrize("ttl", [0, -1.0, float("nan"), timedelta(0), timedelta(seconds=-1)])
    def test_ttl_is_greater_than_0(self, ttl: Any) -> None:
        with pytest.raises(ValueError, match=r"^ttl must be greater than 0$"):
            InMemoryCache(ttl=ttl)

    def test_policy_is_one_there_is(self) -> None:
        with pytest.raises(ValueError, match='policy must be "fifo" or "lru", not \'mru\''):
            InMemoryCache(policy="mru")  # type: ignore[arg-type]

    def test_they_can_be_read(self) -> None:
        plain, set_ = InMemoryCache(), InMemoryCache(maxsize=3, policy="lru", ttl=timedelta(minutes=2))
        assert (plain.maxsize, plain.policy, plain.ttl) == (None, "fifo", None)
        assert (set_.maxsize, set_.policy, set_.ttl) == (3, "lru", 120.0)


class TestMaxsize:
    @pytest.mark.parametrize("maxsize", [1, 2, 7])
    def test_the_oldest_goes(self, maxsize: int) -> None:
        cache = InMemoryCache(maxsize=maxsize)
        for number in range(20):
            cache.update(str(number), "m", answer())
            assert len(cache) == min(number + 1, maxsize)
        assert held(cache) == {str(number) for number in range(20 - maxsize, 20)}

    @pytest.mark.parametrize("maxsize", [1, 3])
    @pytest.mark.parametrize("policy", ["fifo", "lru"])
    def test_overwriting_never_evicts_another(self, maxsize: int, policy: Any) -> None:
        cache = InMemoryCache(maxsize=maxsize, policy=policy)
        prompts = [str(number) for number in range(maxsize)]
        for prompt in [*prompts, *reversed(prompts), *prompts]:
            cache.update(prompt, "m", answer())
        assert held(cache) == set(prompts)
        cache.clear()
        assert [cache.put(entry(prompt)) for prompt in [*prompts, *reversed(prompts)]] == [0] * 2 * maxsize
        assert held(cache) == set(prompts)

    def test_storing_again_makes_the_newest(self) -> None:
        cache = InMemoryCache(maxsize=2)
        for prompt in "abac":
            cache.update(prompt, "m", answer())
        assert held(cache) == {"a", "c"}

    def test_put_tells_how_many_had_to_go(self) -> None:
        cache = InMemoryCache(maxsize=2)
        assert [cache.put(entry(prompt)) for prompt in "aabcb"] == [0, 0, 0, 1, 0]

    def test_eviction_walks_no_dead_slots(self) -> None:
        """At 100,000 entries LangChain's own cache would need minutes for this."""
        cache = InMemoryCache(maxsize=100_000)
        for number in range(300_000):
            cache.update(str(number), "m", [number])
        assert len(cache) == 100_000
        assert cache.lookup("199999", "m") is None
        assert cache.lookup("200000", "m") == [200_000]


class TestPolicy:
    def test_fifo_does_not_count_a_hit_as_use(self) -> None:
        cache = InMemoryCache(maxsize=2, policy="fifo")
        cache.update("a", "m", answer())
        cache.update("b", "m", answer())
        cache.lookup("a", "m")
        cache.touch(("a", "m"))
        cache.update("c", "m", answer())
        assert held(cache) == {"b", "c"}

    @pytest.mark.parametrize("use", ["lookup", "touch", "update"])
    def test_lru_does(self, use: str) -> None:
        cache = InMemoryCache(maxsize=2, policy="lru")
        cache.update("a", "m", answer())
        cache.update("b", "m", answer())
        match use:
            case "lookup":
                cache.lookup("a", "m")
            case "touch":
                cache.touch(("a", "m"))
            case "update":
                cache.update("a", "m", answer())
        cache.update("c", "m", answer())
        assert held(cache) == {"a", "c"}

    async def test_lru_does_in_async_too(self) -> None:
        cache = InMemoryCache(maxsize=2, policy="lru")
        for prompt in "ab":
            await cache.aupdate(prompt, "m", answer())
        await cache.alookup("a", "m")
        await cache.aupdate("c", "m", answer())
        assert held(cache) == {"a", "c"}

    def test_looking_is_no_use(self) -> None:
        cache = InMemoryCache(maxsize=2, policy="lru")
        cache.update("a", "m", answer())
        cache.update("b", "m", answer())
        cache.get(("a", "m"))
        cache.entries(Query(text="a"))
        cache.update("c", "m", answer())
        assert held(cache) == {"b", "c"}


class TestTtl:
    @pytest.mark.parametrize("ttl", [10, 10.0, timedelta(seconds=10)])
    def test_an_entry_past_it_is_a_miss_and_is_removed(self, clock: FakeClock, ttl: Any) -> None:
        cache = InMemoryCache(ttl=ttl, clock=clock)
        cache.update("p", "m", answer())
        cache.put(entry("q", stored=clock()))
        clock.advance(9.9)
        assert cache.lookup("p", "m") == answer()
        assert len(cache) == 2
        clock.advance(0.1)
        assert cache.lookup("p", "m") is None
        assert cache.get(entry("q").key) is None
        assert (len(cache), cache.entries().total, cache.models()) == (0, 0, {})

    @pytest.mark.parametrize("policy", ["fifo", "lru"])
    def test_its_generations_are_let_go(self, clock: FakeClock, policy: Any) -> None:
        class Answer(str):
            __slots__ = ("__weakref__",)

        value = Answer("a")
        gone = weakref.ref(value)
        cache = InMemoryCache(ttl=10, clock=clock, policy=policy)
        cache.update("p", "m", [value])
        del value
        clock.advance(10)
        assert cache.lookup("p", "m") is None
        gc.collect()
        assert gone() is None

    def test_a_hit_does_not_lengthen_its_life(self, clock: FakeClock) -> None:
        cache = InMemoryCache(ttl=10, clock=clock, policy="lru")
        cache.update("p", "m", answer())
        clock.advance(6)
        assert cache.lookup("p", "m") == answer()
        cache.touch(("p", "m"))
        clock.advance(6)
        assert cache.lookup("p", "m") is None

    def test_storing_again_does(self, clock: FakeClock) -> None:
        cache = InMemoryCache(ttl=10, clock=clock)
        for _ in range(3):
            cache.update("p", "m", answer())
            clock.advance(6)
        assert cache.lookup("p", "m") == answer()

    def test_touch_revives_nothing(self, clock: FakeClock) -> None:
        cache = InMemoryCache(ttl=10, clock=clock)
        cache.put(entry(stored=clock()))
        clock.advance(10)
        cache.touch(entry().key)
        assert cache.get(entry().key) is None
        assert len(cache) == 0

    def test_a_clock_set_back_harms_nothing(self, clock: FakeClock) -> None:
        cache = InMemoryCache(ttl=10, clock=clock, maxsize=2)
        for prompt in "abc":
            cache.update(prompt, "m", answer())
            clock.advance(-100)
        assert held(cache) == {"b", "c"}


class TestConfigure:
    def test_a_smaller_maxsize_drops_the_oldest_and_counts_them(self) -> None:
        cache = InMemoryCache()
        for prompt in "abcde":
            cache.update(prompt, "m", answer())
        assert cache.configure(maxsize=2, policy="fifo", ttl=None) == 3
        assert held(cache) == {"d", "e"}
        assert cache.configure(maxsize=None, policy="fifo", ttl=None) == 0
        cache.update("f", "m", answer())
        assert len(cache) == 3

    def test_a_shorter_ttl_drops_the_expired(self, clock: FakeClock) -> None:
        cache = InMemoryCache(clock=clock)
        for prompt in "abc":
            cache.update(prompt, "m", answer())
            clock.advance(10)
        assert cache.configure(maxsize=None, policy="fifo", ttl=timedelta(seconds=15)) == 2
        assert held(cache) == {"c"}

    def test_fifo_after_lru_goes_by_the_time_of_storing(self, clock: FakeClock) -> None:
        cache = InMemoryCache(policy="lru", clock=clock)
        for prompt in "abc":
            cache.update(prompt, "m", answer())
            clock.advance(1)
        cache.lookup("a", "m")
        assert cache.configure(maxsize=2, policy="fifo", ttl=None) == 1
        assert held(cache) == {"b", "c"}
        assert texts(cache.entries().entries) == ["c", "b"]

    def test_lru_after_fifo_counts_hits_from_then_on(self) -> None:
        cache = InMemoryCache(maxsize=2)
        for prompt in "ab":
            cache.update(prompt, "m", answer())
        cache.configure(maxsize=2, policy="lru", ttl=None)
        cache.lookup("a", "m")
        cache.update("c", "m", answer())
        assert held(cache) == {"a", "c"}

    @pytest.mark.parametrize(
        "wrong", [{"maxsize": 0}, {"ttl": 0}, {"policy": "mru"}, {"maxsize": 1, "ttl": -1}]
    )
    def test_a_mistake_changes_nothing(self, wrong: dict[str, Any]) -> None:
        cache = InMemoryCache(maxsize=5, policy="lru", ttl=60)
        for prompt in "abc":
            cache.update(prompt, "m", answer())
        with pytest.raises(ValueError, match="must be"):
            cache.configure(**{"maxsize": 2, "policy": "fifo", "ttl": None, **wrong})
        assert (cache.maxsize, cache.policy, cache.ttl, len(cache)) == (5, "lru", 60, 3)


class TestLlmStrings:
    """Each is kept once: with tools, one is longer than most prompts."""

    @staticmethod
    def fresh(text: str) -> str:
        return "".join(list(text))

    @pytest.mark.parametrize(
        "ways", [["update"], ["put"], ["update", "put"], ["put", "update"], ["update", "touch"]]
    )
    def test_equal_ones_are_held_once(self, ways: list[str]) -> None:
        cache = InMemoryCache()
        for prompt in "abc":
            for way in ways:
                key = (prompt, self.fresh("a configuration"))
                match way:
                    case "update":
                        cache.update(*key, answer())
                    case "put":
                        cache.put(Entry(key, answer(), 5.0))
                    case "touch":
                        cache.touch(key)
        found = cache.entries().entries
        assert len(found) == 3
        assert len({id(each.key[1]) for each in found}) == 1

    @pytest.mark.parametrize("limit", ["maxsize", "delete", "clear", "ttl"])
    def test_those_of_entries_that_are_gone_are_let_go(self, clock: FakeClock, limit: str) -> None:
        class Text(str):
            __slots__ = ("__weakref__",)

        cache = InMemoryCache(
            maxsize=2 if limit == "maxsize" else None, ttl=10 if limit == "ttl" else None, clock=clock
        )
        alive: list[weakref.ref[Text]] = []
        for number in range(1_000):
            llm_string = Text(f"configuration {number}")
            alive.append(weakref.ref(llm_string))
            cache.update("p", llm_string, answer())
            if number % 100 == 99:
                match limit:
                    case "delete":
                        cache.delete([found.id for found in cache.entries(Query(limit=None)).entries])
                    case "clear":
                        cache.clear()
                    case "ttl":
                        clock.advance(10)
                        assert len(cache) == 0
            del llm_string
        gc.collect()
        assert sum(ref() is not None for ref in alive) < 200


class Refusing(ThreadPoolExecutor):
    """An executor that takes no work."""

    def submit(self, *args: Any, **kwargs: Any) -> Any:
        raise AssertionError("an executor was asked")


class TestAsync:
    @pytest.mark.parametrize("policy", ["fifo", "lru"])
    async def test_no_executor_is_used(self, policy: Any) -> None:
        asyncio.get_running_loop().set_default_executor(Refusing())
        cache = InMemoryCache(policy=policy, ttl=60)
        assert await cache.alookup("p", "m") is None
        await cache.aupdate("p", "m", answer())
        assert await cache.alookup("p", "m") == answer()
        await cache.aput(entry(stored=cache.clock()))
        await cache.atouch(entry().key)
        assert await cache.aget(entry().key) is not None
        await cache.aclear(anything="goes")
        assert len(cache) == 0

    async def test_nothing_is_awaited(self) -> None:
        """A coroutine that ends at its first step lets no other task in between."""
        cache = InMemoryCache()
        for coroutine in (cache.aupdate("p", "m", answer()), cache.alookup("p", "m"), cache.aclear()):
            with pytest.raises(StopIteration):
                coroutine.send(None)


class TestInterrupts:
    """Ctrl-C can come at any moment of an operation."""

    def test_none_leaves_the_lock_locked_or_too_many_entries(self) -> None:
        chance = random.Random(0)
        cache = InMemoryCache(maxsize=3, policy="lru", ttl=60)
        caught = 0
        for _ in range(1_500):
            try:
                signal.setitimer(signal.ITIMER_REAL, chance.uniform(1e-6, 2e-4))
                while True:
                    self.use(cache, str(chance.randrange(6)))
            except KeyboardInterrupt:
                caught += 1
            on_another_thread(partial(cache.update, "p", "m", answer()))
            assert cache.lookup("p", "m") == answer()
            assert len(cache) <= 3
        assert caught == 1_500

    @pytest.fixture(autouse=True)
    def _interrupted_by_alarm(self) -> Iterator[None]:
        def interrupt(*_: object) -> None:
            raise KeyboardInterrupt

        earlier = signal.signal(signal.SIGALRM, interrupt)
        yield
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, earlier)

    @staticmethod
    def use(cache: InMemoryCache, prompt: str) -> None:
        cache.update(prompt, "m", answer())
        cache.lookup(prompt, "m")
        cache.put(entry(prompt, stored=cache.clock()))
        cache.touch(entry(prompt).key)
        cache.delete([entry(prompt).id])


def on_another_thread(run: Callable[[], Any]) -> None:
    """Runs it to its end, or fails: a lock that nobody lets go would hold it for ever."""
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
