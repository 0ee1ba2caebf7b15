"""SessionCache: the interface, LangChain's own suites, each mode, and what is accounted. No model here."""

from __future__ import annotations

import asyncio
import threading
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.load import dumps
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.outputs import ChatGeneration
from langchain_tests.integration_tests import AsyncCacheTestSuite, SyncCacheTestSuite

from llmcache_jupyter import CacheMissError, CacheWarning, Generation, InMemoryCache, InvalidSettingError
from llmcache_jupyter.caches import EntryCache
from llmcache_jupyter.session.cache import SessionCache
from llmcache_jupyter.session.events import Cleared, Event, Failed, Hit, Miss, Stored
from llmcache_jupyter.session.scope import CellRun, end_run, mode, start_run
from tests.caches.contract import FakeClock, InterfaceContract, answer
from tests.caches.test_entry import DictCache
from tests.fakes import FailingCache

LLM = "[('model_name', 'm'), ('stop', None)]"
BACKENDS: dict[str, Callable[[], EntryCache]] = {
    "memory": InMemoryCache,
    "lru": lambda: InMemoryCache(policy="lru", maxsize=100, ttl=3600),
    "in an executor": lambda: DictCache(FakeClock()),
}


class TestInterface(InterfaceContract):
    @pytest.fixture(params=BACKENDS)
    def cache(self, request: pytest.FixtureRequest) -> SessionCache:
        return SessionCache(BACKENDS[request.param]())


class TestLangChainSync(SyncCacheTestSuite):
    @pytest.fixture
    def cache(self) -> Any:
        return SessionCache()


class TestLangChainAsync(AsyncCacheTestSuite):
    @pytest.fixture
    async def cache(self) -> Any:
        return SessionCache(InMemoryCache(maxsize=50))


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def timer() -> FakeClock:
    return FakeClock(0.0)


@pytest.fixture
def cache(clock: FakeClock, timer: FakeClock) -> SessionCache:
    return SessionCache(InMemoryCache(clock=clock), clock=clock, timer=timer)


@pytest.fixture
def events(cache: SessionCache) -> list[Event]:
    seen: list[Event] = []
    cache.events.subscribe(seen.append)
    return seen


class Both:
    """The cache, asked in sync or in async: what holds for one holds for the other."""

    def __init__(self, cache: SessionCache, asynchronous: bool) -> None:
        self.cache = cache
        self.asynchronous = asynchronous

    def lookup(self, prompt: str = "p") -> Any:
        return self._run(self.cache.alookup, self.cache.lookup, prompt)

    def update(self, prompt: str = "p", text: str = "An answer.") -> None:
        self._run(self.cache.aupdate, self.cache.update, prompt, answer(text))

    def call(self, prompt: str = "p", text: str = "An answer.") -> Any:
        """A model call as a client makes it: whether it was a hit."""

        async def acall() -> bool:
            if await self.cache.alookup(prompt, LLM):
                return True
            await self.cache.aupdate(prompt, LLM, answer(text))
            return False

        if self.asynchronous:
            return asyncio.run(acall())
        if self.cache.lookup(prompt, LLM):
            return True
        self.cache.update(prompt, LLM, answer(text))
        return False

    def _run(self, in_async: Any, in_sync: Any, prompt: str, *rest: Any) -> Any:
        return asyncio.run(in_async(prompt, LLM, *rest)) if self.asynchronous else in_sync(prompt, LLM, *rest)


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def both(request: pytest.FixtureRequest, cache: SessionCache) -> Both:
    return Both(cache, request.param)


class TestArguments:
    @pytest.mark.parametrize("backend", [{}, "memory", SessionCache(), InMemoryCache])
    def test_a_backend_holds_entries(self, backend: Any) -> None:
        with pytest.raises(
            TypeError, match=r"SessionCache needs an EntryCache such as InMemoryCache\(\), not"
        ):
            SessionCache(backend)

    def test_an_empty_backend_is_used_too(self) -> None:
        backend = InMemoryCache(maxsize=1)
        assert SessionCache(backend).backend is backend

    def test_a_mode_is_one_there_is(self) -> None:
        with pytest.raises(InvalidSettingError):
            SessionCache(mode="record")
        assert SessionCache(mode="readonly").mode == "readonly"


class TestModes:
    """What each mode does, set for the session or for a block."""

    @pytest.fixture(params=["session", "block"])
    def during(self, request: pytest.FixtureRequest, cache: SessionCache) -> Callable[[str], Any]:
        if request.param == "block":
            return mode

        def set_mode(name: Any) -> Any:
            cache.mode = name
            return warnings.catch_warnings()

        return set_mode

    @pytest.mark.parametrize(
        ("name", "does"),
        [
            ("on", (True, True, "absent")),
            ("refresh", (False, True, "refresh")),
            ("readonly", (True, False, "absent")),
            ("off", (False, False, "off")),
        ],
    )
    def test_each(
        self, both: Both, events: list[Event], during: Any, name: str, does: tuple[bool, bool, str]
    ) -> None:
        cache, (hit, stored, reason) = both.cache, does
        both.call("known", "old")
        del events[:]
        with during(name):
            assert both.call("known", "new") is hit
            assert both.call("unknown") is False
        misses = [event for event in events if isinstance(event, Miss)]
        cache.mode = "on"
        assert (cache.lookup("unknown", LLM) is not None) is stored
        assert cache.lookup("known", LLM) == answer("new" if name == "refresh" else "old")
        assert {event.reason for event in misses} == {reason}
        assert len(misses) == (1 if hit else 2)

    def test_replay(self, both: Both, events: list[Event], during: Any) -> None:
        both.call("known")
        del events[:]
        with during("replay"):
            assert both.call("known") is True
            with pytest.raises(CacheMissError):
                both.lookup("unknown")
            both.update("unknown")
        assert [type(event) for event in events] == [Hit, Miss]
        assert len(both.cache.backend) == 1

    def test_a_block_goes_before_the_session(self, both: Both) -> None:
        both.cache.mode = "off"
        with mode("on"):
            assert [both.call(), both.call()] == [False, True]
        assert both.call() is False

    def test_a_cells_mode_goes_before_the_session(self, both: Both) -> None:
        both.call()
        start_run(CellRun("c", "[1]", mode="refresh"))
        try:
            assert both.call() is False
        finally:
            end_run()
        assert both.call() is True

    @pytest.mark.parametrize(
        ("prompt", "shown"),
        [
            ("short", "short"),
            ("x" * 300, "x" * 119 + "…"),
            (dumps([HumanMessage("first"), AIMessage("…"), HumanMessage("last")]), "last"),
        ],
    )
    def test_replays_error_names_model_and_prompt(self, both: Both, prompt: str, shown: str) -> None:
        with mode("replay"), pytest.raises(CacheMissError) as told:
            both.lookup(prompt)
        assert f"this call of m: {shown!r}." in str(told.value)
        assert "Nothing was sent" in str(told.value)
        assert told.value.model == "m"

    def test_replays_error_tells_what_differs_from_the_nearest_entry(self, both: Both) -> None:
        both.call("The capital of France?")
        (entry,) = both.cache.backend.entries().entries
        with mode("replay"), pytest.raises(CacheMissError) as told:
            both.lookup("The capital of \x1b[2JPeru?")
        first, *lines, _ = str(told.value).splitlines()
        assert first.endswith(
            rf"'The capital of \x1b[2JPeru?'. The nearest, entry {entry.id}, differs in one thing:"
        )
        assert lines == [
            "  - the prompt differs at character 16",
            "      stored: The capital of France?",
            r"      asked:  The capital of \x1b[2JPeru?",
        ]

    def test_of_many_differences_it_tells_the_first(self, cache: SessionCache) -> None:
        cache.update("p", "[('a', 1), ('b', 1), ('c', 1), ('d', 1), ('model', 'm')]", answer())
        with mode("replay"), pytest.raises(CacheMissError) as told:
            cache.lookup("p", "[('a', 2), ('b', 2), ('c', 2), ('d', 2), ('model', 'm')]")
        lines = str(told.value).splitlines()[1:-1]
        assert lines == ["  - a 1 -> 2", "  - b 1 -> 2", "  - c 1 -> 2", "  - and 1 more"]

    def test_replays_error_tells_that_the_model_has_nothing_stored(self, both: Both) -> None:
        both.cache.update("Hi", "[('model', 'another')]", answer())
        with mode("replay"), pytest.raises(CacheMissError, match=r"Nothing was stored for the model m\."):
            both.lookup("The capital of Peru?")

    def test_replays_error_needs_no_comparison(self, cache: SessionCache) -> None:
        backend = cache.backend = FailingCache("entries", "len", "models")
        cache.update("Hi", LLM, answer())
        with mode("replay"), pytest.raises(CacheMissError, match="Nothing was sent"):
            cache.lookup("p", LLM)
        backend.broken.clear()
        backend.__class__ = type("Huge", (FailingCache,), {"__len__": lambda _: 10_001})
        backend.asked.clear()
        with mode("replay"), pytest.raises(CacheMissError, match="Nothing was sent"):
            cache.lookup("p", LLM)
        assert "entries" not in backend.asked

    def test_replays_error_where_the_model_is_unknown(self, cache: SessionCache) -> None:
        with mode("replay"), pytest.raises(CacheMissError, match="this call of an unnamed model") as told:
            cache.lookup("p", "whatever")
        assert told.value.model is None


class TestAccounting:
    def test_a_hit_saves_what_the_answer_took(
        self, both: Both, events: list[Event], timer: FakeClock
    ) -> None:
        cache = both.cache
        message = AIMessage("Hi", usage_metadata={"input_tokens": 3, "output_tokens": 4, "total_tokens": 7})

        async def in_a_task() -> None:
            await cache.alookup("p", LLM)
            timer.advance(2.5)
            await cache.aupdate("p", LLM, [ChatGeneration(message=message)])

        if both.asynchronous:
            asyncio.run(in_a_task())
        else:
            cache.lookup("p", LLM)
            timer.advance(2.5)
            cache.update("p", LLM, [ChatGeneration(message=message)])
        timer.advance(100)
        both.lookup()
        miss, stored, hit = events
        assert isinstance(miss, Miss)
        assert isinstance(stored, Stored)
        assert isinstance(hit, Hit)
        assert (stored.seconds, stored.tokens, hit.seconds, hit.tokens) == (2.5, 7, 2.5, 7)
        assert (cache.statistics.total().seconds_saved, cache.statistics.total().tokens_saved) == (2.5, 7)

    def test_the_unknown_stays_unknown(self, both: Both, events: list[Event]) -> None:
        both.update()
        both.lookup()
        (entry,) = both.cache.backend.entries().entries
        assert (entry.took, entry.tokens, entry.cell) == (None, None, None)
        hit = events[-1]
        assert isinstance(hit, Hit)
        assert (hit.seconds, hit.tokens, hit.cell) == (None, None, None)

    @pytest.mark.parametrize("usage", [object(), 3, "many", {"total_tokens": None}, {"total_tokens": "3"}])
    def test_a_strange_usage_is_unknown(self, cache: SessionCache, usage: Any) -> None:
        class Odd:
            text = "Hi"

            def __init__(self) -> None:
                self.message = type("Message", (), {"usage_metadata": usage, "additional_kwargs": {}})()

        cache.update("p", LLM, [Odd()])
        assert cache.backend.entries().entries[0].tokens is None

    def test_calls_at_once_are_timed_each_for_itself(self, cache: SessionCache, timer: FakeClock) -> None:
        async def call(prompt: str, begin: asyncio.Event, end: asyncio.Event) -> None:
            await cache.alookup(prompt, LLM)
            begin.set()
            await end.wait()
            await cache.aupdate(prompt, LLM, answer())

        async def both() -> None:
            begun, ends = [asyncio.Event(), asyncio.Event()], [asyncio.Event(), asyncio.Event()]
            first = asyncio.create_task(call("same", begun[0], ends[0]))
            await begun[0].wait()
            timer.advance(5)
            second = asyncio.create_task(call("same", begun[1], ends[1]))
            await begun[1].wait()
            timer.advance(1)
            ends[0].set()
            await first
            taken.append(cache.backend.entries().entries[0].took)
            ends[1].set()
            await second
            taken.append(cache.backend.entries().entries[0].took)

        taken: list[float | None] = []
        asyncio.run(both())
        assert taken == [6.0, 1.0]

    def test_a_call_that_failed_does_not_count_for_the_next(
        self, cache: SessionCache, timer: FakeClock
    ) -> None:
        cache.lookup("p", LLM)
        timer.advance(50)
        cache.lookup("p", LLM)
        timer.advance(2)
        cache.update("p", LLM, answer())
        assert cache.backend.entries().entries[0].took == 2.0

    def test_calls_that_never_end_are_forgotten(self, cache: SessionCache) -> None:
        for number in range(5_000):
            cache.lookup(str(number), LLM)
        assert len(cache._started) < 4_200

    def test_evictions_are_told(self, clock: FakeClock) -> None:
        cache = SessionCache(InMemoryCache(maxsize=1, clock=clock))
        for prompt in "aab":
            cache.update(prompt, LLM, answer())
        counts = cache.statistics.total()
        assert (counts.stored, counts.evicted) == (3, 1)

    def test_the_cell_that_called_is_told(self, both: Both, events: list[Event]) -> None:
        start_run(CellRun("cell-id", "[7]"))
        try:
            both.call()
        finally:
            end_run()
        both.call()
        assert [event.cell for event in events] == ["cell-id", "cell-id", None]  # type: ignore[union-attr]
        assert both.cache.backend.entries().entries[0].cell == "cell-id"

    def test_a_hit_counts_on_its_entry(self, both: Both, clock: FakeClock) -> None:
        both.call()
        clock.advance(9)
        both.call()
        both.call()
        (entry,) = both.cache.backend.entries().entries
        assert (entry.hits, entry.last_used, entry.stored) == (2, 1_009.0, 1_000.0)

    def test_a_prompt_is_shown_as_it_was_sent(self, both: Both) -> None:
        sent = dumps(
            [HumanMessage("Hi"), AIMessage("Hello.", usage_metadata=None, id="x"), HumanMessage("?")]
        )
        both.call(sent)
        both.call("plain")
        by_prompt = {entry.prompt: entry for entry in both.cache.backend.entries().entries}
        assert set(by_prompt) == {sent, "plain"}
        assert by_prompt["plain"].sent is None
        assert by_prompt[sent].key[0] != sent

    def test_a_subscriber_that_fails_harms_no_call(
        self, both: Both, caplog: pytest.LogCaptureFixture
    ) -> None:
        both.cache.events.subscribe(lambda _: 1 / 0)  # type: ignore[arg-type]
        assert [both.call(), both.call()] == [False, True]


class TestClear:
    def test_how_many_is_told(self, cache: SessionCache, events: list[Event]) -> None:
        for prompt in "abc":
            cache.update(prompt, LLM, answer())
        del events[:]
        cache.clear()
        asyncio.run(cache.aclear())
        assert events == [Cleared(1_000.0, 3), Cleared(1_000.0, 0)]

    @pytest.mark.parametrize("asynchronous", [False, True])
    def test_a_failure_is_a_warning_and_clears_nothing(self, asynchronous: bool) -> None:
        cache = SessionCache(FailingCache("clear"))
        events: list[Event] = []
        cache.update("p", LLM, answer())
        cache.events.subscribe(events.append)
        for _ in range(2):  # each is a wish of its own
            with pytest.warns(CacheWarning, match="failed at clear"):
                asyncio.run(cache.aclear()) if asynchronous else cache.clear()
        assert [type(event) for event in events] == [Failed, Failed]
        assert cache.failing is None

    def test_where_the_number_is_unknown_it_clears_all_the_same(self) -> None:
        cache = SessionCache(FailingCache("len"))
        events: list[Event] = []
        cache.update("p", LLM, answer())
        cache.events.subscribe(events.append)
        with pytest.warns(CacheWarning):
            cache.clear()
        assert [event.count for event in events if isinstance(event, Cleared)] == [None]
        assert cache.lookup("p", LLM) is None


class TestFailing:
    def test_threads_that_fail_at_once_warn_once(self) -> None:
        meeting = threading.Barrier(8)

        class Meeting(FailingCache):
            def _check(self, name: str) -> None:
                meeting.wait(10)
                super()._check(name)

        cache = SessionCache(Meeting("get"))
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            threads = [threading.Thread(target=cache.lookup, args=(str(n), LLM)) for n in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert len(told) == 1

    def test_a_stored_answer_that_cannot_be_copied_is_a_miss(self, cache: SessionCache) -> None:
        cache.backend.update("p", LLM, [threading.Lock()])
        with pytest.warns(CacheWarning):
            assert cache.lookup("p", LLM) is None
        assert cache.statistics.total().misses == 1

    def test_an_empty_stored_answer_is_a_miss(self, cache: SessionCache) -> None:
        """LangChain would crash on it."""

        class Hollow(DictCache):
            def get(self, key: Any) -> Any:
                found = super().get(key)
                if found is not None:
                    found.generations.clear()
                return found

        hollow = SessionCache(Hollow(FakeClock()))
        hollow.update("p", LLM, answer())
        assert hollow.lookup("p", LLM) is None

    @pytest.mark.parametrize("failure", [KeyboardInterrupt, asyncio.CancelledError, SystemExit])
    @pytest.mark.parametrize("method", ["get", "put", "touch"])
    def test_what_ends_a_cell_ends_it(self, method: str, failure: type[BaseException]) -> None:
        backend = FailingCache(method, error=failure())
        cache = SessionCache(backend)
        with pytest.raises(failure):
            Both(cache, asynchronous=False).call() or Both(cache, asynchronous=False).call()
        backend.broken.clear()
        assert cache.failing is None
        Both(cache, asynchronous=False).call()
        assert Both(cache, asynchronous=False).call() is True

    async def test_a_call_that_is_cancelled_while_the_store_works(self) -> None:
        reached = asyncio.Event()

        class Slow(InMemoryCache):
            async def aget(self, key: Any) -> Any:
                reached.set()
                await asyncio.Event().wait()

        cache = SessionCache(Slow())
        task = asyncio.create_task(cache.alookup("p", LLM))
        await reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert cache.failing is None
        assert cache.statistics.total().misses == 0
        assert cache.lookup("p", LLM) is None


def test_a_huge_prompt(both: Both) -> None:
    prompt = dumps([HumanMessage("x" * 3_000_000), AIMessage("y" * 3_000_000), HumanMessage("z")])
    assert [both.call(prompt), both.call(prompt)] == [False, True]


def test_without_langchain_generations_are_ours(both: Both) -> None:
    both.update()
    found = both.lookup()
    assert found == answer()
    assert isinstance(found[0], Generation)
