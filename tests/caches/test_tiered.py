"""TieredCache: the contract over every kind of tier, and what becomes of calls when the slow tier fails."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

import pytest
from langchain_tests.integration_tests import AsyncCacheTestSuite, SyncCacheTestSuite

from llmcache_jupyter import (
    EncodingError,
    Entry,
    EntryCache,
    InMemoryCache,
    InvalidSettingError,
    Query,
    SQLiteCache,
    TieredCache,
)
from llmcache_jupyter.caches.entry import Key
from llmcache_jupyter.caches.selection import select
from tests.caches.contract import CacheContract, FakeClock, entry, texts
from tests.fakes import FailingCache, wait_until

T = TypeVar("T")

READS = ("get", "entries", "models", "len")
WRITES = ("put", "touch")


class Told:
    """Remembers what a TieredCache tells."""

    def __init__(self) -> None:
        self.failures: list[tuple[str, Exception]] = []
        self.recoveries: list[str] = []

    def failed(self, operation: str, error: Exception) -> None:
        self.failures.append((operation, error))


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def timer() -> FakeClock:
    return FakeClock()


@pytest.fixture
def slow() -> FailingCache:
    return FailingCache()


@pytest.fixture
def tiered(slow: FailingCache, told: Told, timer: FakeClock) -> TieredCache:
    return TieredCache(
        InMemoryCache(clock=lambda: 1_000.0),
        slow,
        on_failure=told.failed,
        on_recovery=told.recoveries.append,
        timer=timer,
        background=False,
    )


class TestContract(CacheContract):
    @pytest.fixture(params=["memory", "SQLite", "tiers", "reads fail", "writes fail", "all fails"])
    def cache(self, request: pytest.FixtureRequest, clock: FakeClock, tmp_path: Path) -> Iterator[EntryCache]:
        with ExitStack() as stack:

            def sqlite(name: str) -> SQLiteCache:
                return stack.enter_context(SQLiteCache(tmp_path / name, clock=clock))

            def memory() -> InMemoryCache:
                return InMemoryCache(clock=clock)

            slow: dict[str, Any] = {
                "memory": memory,
                "SQLite": lambda: sqlite("a.sqlite"),
                "tiers": lambda: TieredCache(memory(), sqlite("b.sqlite")),
                "reads fail": lambda: FailingCache(*READS),
                "writes fail": lambda: FailingCache(*WRITES),
                "all fails": lambda: FailingCache(*READS, *WRITES),
            }
            yield TieredCache(memory(), slow[request.param]())


class TestLangChainSync(SyncCacheTestSuite):
    @pytest.fixture
    def cache(self, tmp_path: Path) -> Iterator[Any]:
        with SQLiteCache(tmp_path / "a.sqlite") as slow:
            yield TieredCache(InMemoryCache(), slow)


class TestLangChainAsync(AsyncCacheTestSuite):
    @pytest.fixture
    async def cache(self, tmp_path: Path) -> Any:
        with SQLiteCache(tmp_path / "a.sqlite") as slow:
            yield TieredCache(InMemoryCache(), slow)


class TestTiers:
    def test_what_is_stored_is_in_both(self, tiered: TieredCache, slow: FailingCache) -> None:
        tiered.put(entry())
        assert slow.get(entry().key) == entry()
        slow.broken = {"get"}
        assert tiered.get(entry().key) == entry()

    def test_what_the_slow_tier_has_is_put_into_the_fast_one(
        self, tiered: TieredCache, slow: FailingCache
    ) -> None:
        slow.put(entry())
        assert tiered.get(entry().key) == entry()
        slow.broken = {"get"}
        assert tiered.get(entry().key) == entry()
        assert tiered.get(("absent", "m")) is None

    @pytest.mark.parametrize("way", ["sync", "async"])
    async def test_what_another_kernel_removed_or_replaced_is_not_served(
        self, tiered: TieredCache, slow: FailingCache, way: str
    ) -> None:
        async def get() -> Entry | None:
            return tiered.get(entry().key) if way == "sync" else await tiered.aget(entry().key)

        tiered.put(entry())
        slow.put(entry(text="newer", stored=2_000.0))
        assert await get() == entry(text="newer", stored=2_000.0)
        slow.clear()
        assert await get() is None
        slow.broken = {"get"}
        assert await get() is None

    def test_limits_hold_for_both(self, tiered: TieredCache, slow: FailingCache) -> None:
        for number in range(5):
            tiered.put(entry(str(number), stored=float(number)))
        assert tiered.configure(maxsize=3, policy="lru", ttl=1e12) == 2
        assert (tiered.maxsize, tiered.policy, tiered.ttl) == (3, "lru", 1e12)
        assert (slow.maxsize, slow.policy, slow.ttl) == (3, "lru", 1e12)
        assert (len(tiered), len(slow)) == (3, 3)
        assert tiered.put(entry("new", stored=9.0)) == 1

    def test_a_setting_that_cannot_be_changes_nothing(self, tiered: TieredCache, slow: FailingCache) -> None:
        with pytest.raises(ValueError, match="maxsize must be greater than 0"):
            tiered.configure(maxsize=0, policy="lru", ttl=None)
        assert (tiered.policy, slow.policy) == ("fifo", "fifo")

    def test_a_hit_is_counted_in_both(self, tiered: TieredCache, slow: FailingCache) -> None:
        tiered.put(entry())
        tiered.touch(entry().key)
        assert slow.entries().entries[0].hits == tiered.entries().entries[0].hits == 1

    def test_threads_lose_nothing(self, tmp_path: Path) -> None:
        with SQLiteCache(tmp_path / "a.sqlite") as slow:
            tiered = TieredCache(InMemoryCache(), slow)

            def work(number: int) -> None:
                for index in range(30):
                    own = entry(f"{number} {index}")
                    tiered.put(own)
                    assert tiered.get(own.key) == own
                    shared = entry(f"shared {index}")
                    tiered.put(shared)
                    assert tiered.get(shared.key) == shared

            with ThreadPoolExecutor(8) as pool:
                list(pool.map(work, range(8)))
            assert (len(tiered), len(slow), tiered.waiting) == (270, 270, 0)


class TestFailing:
    @pytest.mark.parametrize("broken", [*READS, *WRITES, "all"])
    async def test_no_operation_of_a_call_raises(
        self, tiered: TieredCache, slow: FailingCache, told: Told, timer: FakeClock, broken: str
    ) -> None:
        slow.broken = {*READS, *WRITES} if broken == "all" else {broken}
        for number in range(3):
            one = entry(str(number))
            tiered.put(one)
            await tiered.aput(one)
            assert tiered.get(one.key) == await tiered.aget(one.key) == one
            tiered.touch(one.key)
            await tiered.atouch(one.key)
            assert tiered.holds(one)
            assert len(tiered) == tiered.entries().total == tiered.models()["m"] == number + 1
            assert len(set(tiered.keys())) == number + 1
            timer.advance(100)
        assert told.failures
        assert {str(error) for _, error in told.failures} == {"disk full"}

    def test_to_remove_is_a_wish_that_fails_aloud(self, tiered: TieredCache, slow: FailingCache) -> None:
        tiered.put(entry())
        slow.broken = {"delete", "clear"}
        with pytest.raises(OSError, match="disk full"):
            tiered.delete([entry().id])
        with pytest.raises(OSError, match="disk full"):
            tiered.clear()
        assert tiered.get(entry().key) == entry()

    def test_an_interrupt_is_no_failure(self, tiered: TieredCache, slow: FailingCache, told: Told) -> None:
        slow.broken, slow.error = {"get"}, KeyboardInterrupt()
        with pytest.raises(KeyboardInterrupt):
            tiered.get(entry().key)
        assert told.failures == []

    def test_a_question_that_cannot_be_is_no_failure(
        self, tiered: TieredCache, slow: FailingCache, told: Told
    ) -> None:
        with pytest.raises(InvalidSettingError, match="There is no column"):
            tiered.entries(Query(sort="nothing"))  # type: ignore[arg-type]
        assert told.failures == []

    def test_what_fails_is_left_alone_and_asked_again(
        self, tiered: TieredCache, slow: FailingCache, told: Told, timer: FakeClock
    ) -> None:
        slow.put(entry("there"))
        slow.broken = {"get"}
        for _ in range(5):
            assert tiered.get(entry("there").key) is None
        assert slow.asked.count("get") == 1
        assert [operation for operation, _ in told.failures] == ["read"]
        assert tiered.retry_in == 1.0
        slow.broken = set()
        assert tiered.get(entry("there").key) is None
        timer.advance(1)
        assert tiered.get(entry("there").key) == entry("there")
        assert told.recoveries == ["read"]

    def test_a_store_that_cannot_be_read_is_not_written_either(
        self, tiered: TieredCache, slow: FailingCache
    ) -> None:
        slow.broken = {"get"}
        tiered.get(entry().key)
        tiered.put(entry())
        assert "put" not in slow.asked

    def test_hits_are_counted_again_when_it_is_read_again(
        self, tiered: TieredCache, slow: FailingCache, timer: FakeClock
    ) -> None:
        tiered.put(entry())
        for slow.broken in ({"get"}, set()):
            timer.advance(100)
            tiered.get(entry("another").key)
            tiered.touch(entry().key)
        assert slow.entries().entries[0].hits == 1

    def test_looking_takes_no_try_from_what_is_stored(
        self, tiered: TieredCache, slow: FailingCache, timer: FakeClock
    ) -> None:
        slow.broken = {"put"}
        tiered.put(entry("one"))
        slow.broken = set()
        tiered.delete([entry("one").id])
        timer.advance(100)
        len(tiered)
        tiered.put(entry("two"))
        assert texts(slow.entries().entries) == ["two"]

    def test_a_store_that_cannot_be_written_is_read(self, tiered: TieredCache, slow: FailingCache) -> None:
        slow.put(entry("there"))
        slow.broken = {"put"}
        tiered.put(entry("new"))
        assert tiered.get(entry("there").key) == entry("there")
        assert tiered.get(entry("new").key) == entry("new")

    def test_that_one_of_many_cannot_be_written_shows_not_that_others_could(
        self, tiered: TieredCache, slow: FailingCache, told: Told
    ) -> None:
        def refuse(one: Entry) -> bool:
            slow.error = EncodingError("too long") if one.key[0] == "long" else OSError("disk full")
            return True

        slow.refuses = refuse
        tiered.put_all([entry("long"), entry("short")])
        assert [str(error) for _, error in told.failures] == ["too long", "disk full"]
        assert (told.recoveries, tiered.waiting, tiered.retry_in) == ([], 1, 1.0)

    def test_what_was_asked_anew_and_cannot_be_written_is_counted_once(
        self, tiered: TieredCache, slow: FailingCache
    ) -> None:
        for number in range(3):
            tiered.put(entry(str(number), stored=float(number)))
        slow.broken = {"put"}
        tiered.put(entry("0", text="anew", stored=9.0))
        tiered.put(entry("3", stored=3.0))
        pages = [tiered.entries(Query(limit=2, offset=offset)) for offset in (0, 2)]
        assert [texts(page.entries) for page in pages] == [["0", "3"], ["2", "1"]]
        assert {page.total for page in pages} == {len(tiered), tiered.models()["m"]} == {4}
        assert sorted(key[0] for key in tiered.keys()) == ["0", "1", "2", "3"]  # noqa: SIM118 (a method)
        assert [tiered.entries(Query(text=text)).total for text in ("anew", "an answer")] == [1, 3]


class TestWaiting:
    @pytest.mark.parametrize("way", ["put", "aput", "touch", "atouch", "entries", "len"])
    async def test_what_was_stored_meanwhile_is_written_when_it_is_back(
        self, tiered: TieredCache, slow: FailingCache, told: Told, timer: FakeClock, way: str
    ) -> None:
        slow.broken = {*READS, *WRITES}
        for number in range(15):
            tiered.put(entry(str(number)))
        assert (tiered.waiting, told.failures[0][0]) == (15, "write")
        slow.broken = set()
        timer.advance(100)
        await {
            "put": lambda: _in_loop(tiered.put, entry("new")),
            "aput": lambda: tiered.aput(entry("new")),
            "touch": lambda: _in_loop(tiered.touch, entry("0").key),
            "atouch": lambda: tiered.atouch(entry("0").key),
            "entries": lambda: _in_loop(tiered.entries),
            "len": lambda: _in_loop(len, tiered),
        }[way]()
        assert tiered.waiting == 0
        assert {str(number) for number in range(15)} <= set(texts(slow.entries().entries))
        assert (told.recoveries, tiered.retry_in) == (["write"], None)

    def test_no_call_waits_until_others_are_written(self, slow: FailingCache, timer: FakeClock) -> None:
        cache = TieredCache(InMemoryCache(), slow, timer=timer)
        slow.broken = {"put"}
        for number in range(300):
            cache.put(entry(str(number)))
        callers = set[int]()
        slow.watch = lambda name: callers.add(threading.get_ident()) if name == "get" else None
        slow.broken = set()
        timer.advance(100)
        cache.put(entry("new"))
        wait_until(lambda: cache.waiting == 0)
        assert len(slow) == 301
        assert threading.get_ident() not in callers

    def test_they_are_written_though_nobody_calls(self, slow: FailingCache) -> None:
        cache = TieredCache(InMemoryCache(), slow)
        slow.broken = {"put"}
        cache.put(entry())
        slow.broken = set()
        wait_until(lambda: slow.get(entry().key) == entry())
        assert (cache.waiting, cache.retry_in) == (0, None)

    def test_one_that_is_stored_as_the_thread_ends_is_written(
        self, slow: FailingCache, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cache = TieredCache(InMemoryCache(), slow, timer=lambda: 100 * time.monotonic())
        waiting, late = cache._front.waiting, [entry("late")]

        def nothing_waits_any_more() -> list[Key]:
            found = waiting()
            if not found and late and sys._getframe(1).f_code.co_name == "_follow":
                slow.broken = {"put"}
                cache.put(late.pop())
                slow.broken = set()
            return found

        monkeypatch.setattr(cache._front, "waiting", nothing_waits_any_more)
        slow.broken = {"put"}
        cache.put(entry())
        slow.broken = set()
        wait_until(lambda: len(slow) == 2, patience=5)

    def test_closing_writes_them_whatever_the_pause(self, tiered: TieredCache, slow: FailingCache) -> None:
        slow.broken = {"put"}
        for number in range(300):
            tiered.put(entry(str(number)))
        slow.broken = set()
        tiered.close()
        assert (tiered.waiting, len(slow)) == (0, 300)

    def test_so_does_the_end_of_one_that_nobody_holds(self, slow: FailingCache, timer: FakeClock) -> None:
        cache = TieredCache(InMemoryCache(), slow, timer=timer, background=False)
        slow.broken = {"put"}
        cache.put(entry())
        slow.broken, slow.error = set(), OSError()  # the one that was raised knows who asked
        del cache
        gc.collect()
        wait_until(lambda: slow.get(entry().key) == entry())

    def test_closing_does_not_go_on_for_ever(self, tiered: TieredCache, slow: FailingCache) -> None:
        slow.broken = {"put"}
        for number in range(300):
            tiered.put(entry(str(number)))
        slow.asked.clear()
        tiered.close()
        assert (tiered.waiting, slow.asked.count("put") < 5) == (300, True)

    def test_closing_gives_up_on_a_store_that_takes_long_to_fail(
        self, tiered: TieredCache, slow: FailingCache, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("llmcache_jupyter.caches.backfill._LONG", 0.01)
        slow.broken = {"put"}
        for number in range(3):
            tiered.put(entry(str(number)))
        slow.asked.clear()
        slow.watch = lambda name: time.sleep(0.02) if name == "put" else None
        tiered.close()
        assert (tiered.waiting, slow.asked.count("put")) == (3, 1)

    def test_closing_waits_for_what_is_just_being_written(self, timer: FakeClock) -> None:
        slow = _Slowly()
        tiered = TieredCache(InMemoryCache(), slow, timer=timer, background=False)
        slow.broken = {"put"}
        tiered.put(entry())
        slow.broken = set()
        timer.advance(100)
        with ThreadPoolExecutor(2) as pool:
            writing = pool.submit(len, tiered)
            slow.begun.wait()
            closing = pool.submit(tiered.close)
            time.sleep(0.1)
            assert not closing.done()
            slow.may_end.set()
            closing.result()
            assert (tiered.waiting, slow.get(entry().key), writing.result()) == (0, entry(), 1)

    def test_each_is_written_once(self, slow: FailingCache) -> None:
        slow = _Slow()
        cache = TieredCache(InMemoryCache(), slow)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda number: cache.put(entry(str(number))), range(100)))
        wait_until(lambda: cache.waiting == 0)
        assert slow.asked.count("put") == len(slow) == 100

    async def test_each_of_many_tasks_is_written_once(self) -> None:
        slow = _Slow()
        cache = TieredCache(InMemoryCache(), slow)
        await asyncio.gather(*(cache.aput(entry(str(number))) for number in range(100)))
        wait_until(lambda: cache.waiting == 0)
        assert slow.asked.count("put") == len(slow) == 100

    def test_one_that_was_stored_later_elsewhere_stays(
        self, tiered: TieredCache, slow: FailingCache, timer: FakeClock
    ) -> None:
        slow.broken = {"put"}
        tiered.put(entry(text="old", stored=10.0))
        slow.broken = set()
        slow.put(entry(text="newer", stored=20.0))
        timer.advance(100)
        assert len(tiered) == 1
        assert tiered.get(entry().key) == slow.get(entry().key) == entry(text="newer", stored=20.0)

    def test_one_that_fails_by_itself_is_in_nobody_s_way(
        self, tiered: TieredCache, slow: FailingCache, told: Told, timer: FakeClock
    ) -> None:
        slow.refuses = lambda one: one.key[0] == "big"
        tiered.put(entry("big"))
        for number in range(30):
            timer.advance(100)
            tiered.put(entry(str(number)))
        assert len(slow) == 30
        assert tiered.get(entry("big").key) == entry("big")
        errors = [error for _, error in told.failures]
        assert [type(error) for error in errors] == [OSError, EncodingError]
        assert "could not be written, though others could (disk full)" in str(errors[1])
        assert (tiered.waiting, tiered.retry_in, len(tiered)) == (0, None, 31)

    def test_what_is_stored_again_is_written_once_as_it_is_now(
        self, tiered: TieredCache, slow: FailingCache, timer: FakeClock
    ) -> None:
        slow.broken = {"put"}
        tiered.put(entry(text="old"))
        tiered.put(entry(text="new"))
        slow.broken = set()
        timer.advance(100)
        assert len(tiered) == 1
        assert slow.get(entry().key) == entry(text="new")

    def test_the_older_answer_of_the_store_does_not_take_its_place(
        self, slow: FailingCache, timer: FakeClock
    ) -> None:
        """Not even where memory had no room for it."""
        cache = TieredCache(InMemoryCache(maxsize=1), slow, timer=timer, background=False)
        slow.put(entry(text="old"))
        slow.broken = {"put"}
        cache.put(entry(text="new"))
        cache.put(entry("one too many for memory"))
        assert cache.get(entry().key) == entry(text="new")
        slow.broken = set()
        timer.advance(100)
        assert len(cache) == 2
        assert (cache.waiting, slow.get(entry().key)) == (0, entry(text="new"))

    def test_an_expired_one_does_not_come_back(self, slow: FailingCache, timer: FakeClock) -> None:
        clock = FakeClock()
        cache = TieredCache(
            InMemoryCache(maxsize=1, ttl=10, clock=clock), slow, timer=timer, background=False
        )
        slow.broken = {*READS, *WRITES}
        cache.put(entry(stored=clock()))
        cache.put(entry("one too many for memory", stored=clock()))
        clock.advance(11)
        assert cache.get(entry().key) is None

    def test_memory_needs_no_room_for_them(self, slow: FailingCache, timer: FakeClock) -> None:
        cache = TieredCache(InMemoryCache(maxsize=10), slow, timer=timer, background=False)
        slow.broken = {*READS, *WRITES}
        for number in range(200):
            cache.put(entry(str(number)))
        assert (cache.waiting, cache.get(entry("0").key)) == (200, entry("0"))
        slow.broken = set()
        timer.advance(100)
        assert len(cache) == len(slow) == 200

    def test_of_too_many_the_latest_are_kept(self, slow: FailingCache, timer: FakeClock) -> None:
        cache = TieredCache(InMemoryCache(maxsize=10), slow, timer=timer, background=False)
        slow.broken = {*READS, *WRITES}
        for number in range(10_100):
            cache.put(entry(str(number)))
        assert cache.waiting == 10_000
        assert cache.get(entry("0").key) is None
        assert cache.get(entry("100").key) == entry("100")

    def test_what_is_removed_meanwhile_is_not_written(
        self, tiered: TieredCache, slow: FailingCache, timer: FakeClock
    ) -> None:
        slow.broken = {"put"}
        for prompt in "abc":
            tiered.put(entry(prompt))
        assert tiered.delete([entry("a").id]) == 1
        slow.broken = set()
        timer.advance(100)
        assert sorted(texts(tiered.entries().entries)) == ["b", "c"]
        slow.broken = {"put"}
        tiered.put(entry("d"))
        tiered.clear()
        slow.broken = set()
        timer.advance(100)
        assert len(tiered) == len(slow) == 0

    @pytest.mark.parametrize("at", ["1", "0"])  # one that still waits then; one that is just being written
    @pytest.mark.parametrize("what", ["clear", "delete", "put"])
    def test_what_becomes_of_it_while_others_are_written_counts(
        self, timer: FakeClock, what: str, at: str
    ) -> None:
        slow = _Slowly()
        tiered = TieredCache(InMemoryCache(), slow, timer=timer, background=False)
        slow.broken = {"put"}
        for number in range(3):
            tiered.put(entry(str(number), text="old"))
        slow.broken = set()
        timer.advance(100)
        with ThreadPoolExecutor(1) as pool:
            writing = pool.submit(tiered.touch, entry("2").key)
            slow.begun.wait()
            if what == "put":
                tiered.put(entry(at, text="new"))
            elif what == "delete":
                tiered.delete([entry(at).id])
            else:
                tiered.clear()
            slow.may_end.set()
            writing.result()
        left = {"clear": None, "delete": None, "put": entry(at, text="new")}[what]
        assert (tiered.get(entry(at).key), slow.get(entry(at).key)) == (left, left)
        assert len(tiered) == len(slow) == {"clear": 0, "delete": 2, "put": 3}[what]


class _RemovedTwice(FailingCache):
    """Has `after` called once it has removed something, and `before` as it is to remove once more."""

    after: Callable[[], object] | None = None
    before: Callable[[], object] | None = None

    def _removing(self, remove: Callable[[], T]) -> T:
        if self.before is not None:
            self.before()
        removed, after, self.after = remove(), self.after, None
        if after is not None:
            after()
        return removed

    def delete(self, ids: Iterable[str]) -> int:
        return self._removing(lambda: super(_RemovedTwice, self).delete(ids))

    def clear(self, **kwargs: Any) -> None:
        self._removing(lambda: super(_RemovedTwice, self).clear(**kwargs))


class TestOvertaken:
    """Threads: while one waits for the store, another comes between."""

    @pytest.fixture
    def slow(self) -> _Overtaken:
        return _Overtaken()

    @pytest.mark.parametrize("what", ["clear", "delete"])
    def test_what_is_removed_does_not_come_back_by_who_writes_what_waits(
        self, tiered: TieredCache, slow: _Overtaken, timer: FakeClock, what: str
    ) -> None:
        slow.broken = {"put"}
        tiered.put(entry())
        slow.broken = set()
        timer.advance(100)
        slow.then[what] = lambda: tiered.put(entry("other"))
        if what == "clear":
            tiered.clear()
        else:
            assert tiered.delete([entry().id]) == 1
        assert (tiered.get(entry().key), slow.get(entry().key)) == (None, None)
        assert tiered.waiting == 0

    def test_what_is_removed_before_its_turn_to_be_written_does_not_come_back(
        self, tiered: TieredCache, slow: _Overtaken, timer: FakeClock
    ) -> None:
        slow.broken = {"put"}
        tiered.put(entry())
        slow.broken = set()
        timer.advance(100)
        # the third: what was put, then what waits, which is on its way then
        slow.then["put"] = lambda: slow.then.update(put=tiered.clear)
        tiered.put(entry("other"))
        assert (tiered.get(entry().key), slow.get(entry().key)) == (None, None)

    @pytest.mark.parametrize("known", [None, "old"])
    def test_a_read_on_its_way_does_not_replace_a_newer_answer_that_waits(
        self, tiered: TieredCache, slow: _Overtaken, timer: FakeClock, known: str | None
    ) -> None:
        def refresh() -> None:
            slow.broken = {"put"}
            tiered.put(entry(text="new"))
            slow.broken = set()

        if known is not None:
            slow.put(entry(text=known))
        slow.then["get"] = refresh
        assert tiered.get(entry().key) == entry(text="new")
        timer.advance(100)
        assert len(tiered) == 1
        assert (tiered.get(entry().key), slow.get(entry().key)) == (entry(text="new"),) * 2

    def test_a_read_on_its_way_does_not_bring_back_what_was_removed(
        self, tiered: TieredCache, slow: _Overtaken
    ) -> None:
        slow.put(entry())
        slow.then["get"] = tiered.clear
        tiered.get(entry().key)
        slow.broken = {*READS, *WRITES}
        assert tiered.get(entry().key) is None

    def test_a_read_on_its_way_does_not_bring_an_older_answer_into_an_outage(
        self, tiered: TieredCache, slow: _Overtaken
    ) -> None:
        slow.put(entry(text="old"))
        slow.then["get"] = lambda: tiered.put(entry(text="new"))
        tiered.get(entry().key)
        slow.broken = {*READS, *WRITES}
        assert tiered.get(entry().key) == entry(text="new")

    @pytest.mark.parametrize("what", ["clear", "delete"])
    def test_what_is_removed_twice_shows_nothing_older_between_and_leaves_nothing(self, what: str) -> None:
        slow = _RemovedTwice()
        tiered = TieredCache(InMemoryCache(), slow, background=False)
        written, newer = entry("p", text="old"), entry("p", text="new")
        seen: list[Entry | None] = []

        def between() -> None:
            seen.append(tiered.get(written.key))
            tiered.get(entry("q").key)

        def after_the_first() -> None:
            tiered.put_all([written, entry("q")])
            slow.broken = {"put"}
            tiered.put(newer)
            slow.before = between

        slow.after = after_the_first
        if what == "clear":
            tiered.clear()
        else:
            tiered.delete([written.id, entry("q").id])
        slow.broken = {*READS, *WRITES}
        assert seen == [None]
        assert (tiered.get(written.key), tiered.get(entry("q").key)) == (None, None)

    @pytest.mark.parametrize("what", ["clear", "delete"])
    def test_what_is_removed_is_not_read_when_its_write_arrives(self, timer: FakeClock, what: str) -> None:
        slow = _Arriving()
        tiered = TieredCache(InMemoryCache(), slow, timer=timer, background=False)
        with ThreadPoolExecutor(1) as pool:
            writing = pool.submit(tiered.put, entry())
            slow.begun.wait()
            if what == "clear":
                tiered.clear()
            else:
                tiered.delete([entry().id])
            slow.may_arrive.set()
            slow.arrived.wait()
            assert slow.get(entry().key) == entry()
            assert tiered.get(entry().key) is None
            slow.may_end.set()
            writing.result()
        assert (tiered.get(entry().key), slow.get(entry().key)) == (None, None)
        tiered.put(entry(text="new"))
        assert tiered.get(entry().key) == slow.get(entry().key) == entry(text="new")

    def test_a_call_that_works_while_a_failure_is_told_leaves_nothing_said_to_fail(
        self, timer: FakeClock
    ) -> None:
        log: list[str] = []

        def failed(*_: object) -> None:
            slow.may_end.set()
            working.result(10)
            log.append("fails")

        slow = _Slowly()
        tiered = TieredCache(
            InMemoryCache(),
            slow,
            on_failure=failed,
            on_recovery=lambda _: log.append("works"),
            timer=timer,
            background=False,
        )
        with ThreadPoolExecutor(1) as pool:
            working = pool.submit(tiered.put, entry("a"))
            slow.begun.wait()
            slow.refuses = lambda one: one.key[0] == "b"
            tiered.put(entry("b"))
        slow.refuses = lambda _: False
        timer.advance(100)
        tiered.put(entry("c"))
        assert log == ["fails", "works"]

    @pytest.mark.parametrize("what", ["clear", "delete"])
    def test_threads_bring_nothing_back(self, timer: FakeClock, what: str) -> None:
        for _ in range(30):
            slow = _Overtaken(seconds=0.001)
            tiered = TieredCache(InMemoryCache(), slow, timer=timer, background=False)
            slow.broken = {"put"}
            tiered.put(entry())
            slow.broken = set()
            timer.advance(100)
            with ThreadPoolExecutor(1) as pool:
                writing = pool.submit(tiered.put, entry("other"))
                if what == "clear":
                    tiered.clear()
                else:
                    tiered.delete([entry().id])
                writing.result()
            assert (tiered.get(entry().key), slow.get(entry().key)) == (None, None)


class _Overtaken(FailingCache):
    """After it did what it was asked, and before that is known, another thread does `then`, once."""

    def __init__(self, seconds: float = 0) -> None:
        super().__init__()
        self.then: dict[str, Callable[[], Any]] = {}
        self._seconds = seconds

    def get(self, key: Key) -> Entry | None:
        return self._overtaken("get", super().get(key))

    def put(self, entry: Entry) -> int:
        return self._overtaken("put", super().put(entry))

    def delete(self, ids: Iterable[str]) -> int:
        return self._overtaken("delete", super().delete(ids))

    def clear(self, **kwargs: Any) -> None:
        self._overtaken("clear", super().clear(**kwargs))

    def _overtaken(self, name: str, result: T) -> T:
        if then := self.then.pop(name, None):
            with ThreadPoolExecutor(1) as another:
                another.submit(then).result(timeout=10)
        time.sleep(self._seconds)
        return result


class _Arriving(FailingCache):
    """What is put arrives when it may, and that is known when it may be."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.may_arrive, self.arrived, self.may_end = (threading.Event() for _ in range(4))

    def put(self, entry: Entry) -> int:
        self.begun.set()
        self.may_arrive.wait(10)
        evicted = super().put(entry)
        self.arrived.set()
        self.may_end.wait(10)
        return evicted


class _Slow(FailingCache):
    """Takes a while."""

    def put(self, entry: Entry) -> int:
        time.sleep(0.002)
        return super().put(entry)

    async def aput(self, entry: Entry) -> int:
        await asyncio.sleep(0.002)
        return super().put(entry)


class _Slowly(FailingCache):
    """Takes its first entry when it may, which others do not wait for."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.may_end = threading.Event(), threading.Event()

    def put(self, entry: Entry) -> int:
        if not self.broken and not self.begun.is_set():
            self.begun.set()
            self.may_end.wait(10)
        return super().put(entry)


class TestUnwritable:
    """Entries that the slow tier cannot hold."""

    @pytest.fixture
    def tiered(self, tmp_path: Path, told: Told) -> Iterator[TieredCache]:
        with SQLiteCache(tmp_path / "a.sqlite", clock=lambda: 1_000.0) as slow:
            yield TieredCache(InMemoryCache(clock=lambda: 1_000.0), slow, on_failure=told.failed)

    @staticmethod
    def unwritable(prompt: str, **fields: Any) -> Entry:
        one = entry(prompt, **fields)
        one.generations[0].generation_info = {"when": object()}
        return one

    async def test_they_stay_in_the_fast_tier_and_are_told(self, tiered: TieredCache, told: Told) -> None:
        one, two = self.unwritable("one"), self.unwritable("two")
        tiered.put(one)
        await tiered.aput(two)
        assert (tiered.get(one.key), await tiered.aget(two.key)) == (one, two)
        assert [type(error) for _, error in told.failures] == [EncodingError] * 2
        assert "a value of type builtins.object" in str(told.failures[0][1])
        assert (tiered.waiting, tiered.retry_in, len(tiered)) == (0, None, 2)

    def test_they_replace_what_was_written(self, tiered: TieredCache) -> None:
        tiered.put(entry("a", text="old"))
        new = self.unwritable("a", text="new")
        tiered.put(new)
        assert tiered.get(new.key) == new
        assert (tiered.slow.get(new.key), len(tiered)) == (None, 1)
        tiered.put(entry("a", text="newest"))
        assert tiered.slow.get(new.key) == entry("a", text="newest")
        assert len(tiered) == 1

    @pytest.mark.parametrize("descending", [True, False])
    @pytest.mark.parametrize("sort", ["stored", "prompt", "hits", "tokens"])
    def test_they_are_listed_in_their_places(self, tiered: TieredCache, sort: Any, descending: bool) -> None:
        stored = []
        for number in range(40):
            make = self.unwritable if number % 7 == 3 or 20 <= number < 24 else entry
            one = make(f"p{number * 17 % 40:02}", stored=float(number), hits=number * 13 % 40, tokens=number)
            tiered.put(one)
            stored.append(one)
        for text in (None, "p1"):
            query = Query(sort=sort, descending=descending, text=text, limit=None)
            expected = select(stored, query)
            assert texts(tiered.entries(query).entries) == texts(expected.entries)
            for offset in range(0, 45, 5):
                page = tiered.entries(
                    Query(sort=sort, descending=descending, text=text, offset=offset, limit=5)
                )
                assert texts(page.entries) == texts(expected.entries)[offset : offset + 5], offset
                assert page.total == expected.total

    def test_they_are_removed_like_others(self, tiered: TieredCache) -> None:
        one = self.unwritable("one")
        tiered.put(one)
        tiered.put(entry("two"))
        assert tiered.models() == {"m": 2}
        assert set(tiered.keys()) == {one.key, entry("two").key}
        assert tiered.delete([one.id, entry("two").id]) == 2
        assert tiered.get(one.key) is None
        tiered.put(one)
        tiered.clear()
        assert (len(tiered), tiered.get(one.key)) == (0, None)


async def _in_loop(run: Any, *args: Any) -> None:
    run(*args)
