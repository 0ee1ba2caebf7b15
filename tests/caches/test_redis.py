"""RedisCache: the contract on a real server, whose keys it touches, and every way in which a server fails."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from langchain_tests.integration_tests import AsyncCacheTestSuite, SyncCacheTestSuite

from llmcache_jupyter import (
    EncodingError,
    Entry,
    EntryCache,
    Generation,
    InMemoryCache,
    InvalidSettingError,
    Query,
    RedisCache,
    StoreError,
    TieredCache,
)
from tests.caches.contract import CacheContract, FakeClock, answer, entry, texts
from tests.caches.redis_server import Fault, Proxy, RedisServer

Make = Callable[..., RedisCache]
PATIENT = 30.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def make(server: RedisServer, clock: FakeClock) -> Iterator[Make]:
    """Makes caches in a namespace of the test's own, as several kernels would."""
    namespace = uuid.uuid4().hex
    made: list[RedisCache] = []

    def make(**options: Any) -> RedisCache:
        settings: dict[str, Any] = {
            "url": server.url,
            "namespace": namespace,
            "clock": clock,
            "timeout": PATIENT,
        }
        made.append(RedisCache(**settings | options))
        return made[-1]

    yield make
    for cache in made:
        cache.close()


class TestContract(CacheContract):
    @pytest.fixture(params=["for ever", "with a ttl"])
    def cache(self, request: pytest.FixtureRequest, make: Make) -> EntryCache:
        return make(ttl=1e6 if request.param == "with a ttl" else None)


class TestLangChainSync(SyncCacheTestSuite):
    @pytest.fixture
    def cache(self, make: Make) -> Any:
        return make()


class TestLangChainAsync(AsyncCacheTestSuite):
    @pytest.fixture
    async def cache(self, make: Make) -> Any:
        return make()


class TestAddress:
    @pytest.mark.parametrize(
        ("url", "name"),
        [
            ("redis://host", "redis://host (namespace llmcache)"),
            ("redis://host:7000/2?namespace=team", "redis://host:7000/2 (namespace team)"),
            ("valkey://host:7000", "redis://host:7000 (namespace llmcache)"),
            ("rediss://me:se%40cret@host/0", "rediss://host/0 (namespace llmcache)"),
            ("redis://:secret@[::1]:7000/0?timeout=2", "redis://[::1]:7000/0 (namespace llmcache)"),
            ("unix:///run/redis.sock?namespace=a b", "unix:///run/redis.sock (namespace a b)"),
        ],
    )
    def test_it_is_shown_without_credentials(self, url: str, name: str) -> None:
        cache = RedisCache(url)
        assert cache.name == name
        assert "secret" not in repr(cache)

    @pytest.mark.parametrize(
        "url", ["http://host", "redis://host:port", "redis://host?namespace=", "redis://host?timeout=soon",
                "redis://host?timeout=-1", "redis://host?timeout=inf", "redis://[x",
                "redis://:hush/hush@host", "redis://:12/hush@host", "redis://me:hush#hush@host"],
    )  # fmt: skip
    def test_what_is_none_is_refused(self, url: str) -> None:
        with pytest.raises(InvalidSettingError) as told:
            RedisCache(url)
        assert "hush" not in str(told.value)

    @pytest.mark.parametrize("option", ["nmspace=team", "db=first", "socket_timeout=soon"])
    def test_an_option_that_redis_py_does_not_know_is_told_at_once(self, option: str) -> None:
        name = option.partition("=")[0]
        with pytest.raises(StoreError, match=rf"{name}\W.*in the address after the \?") as told:
            RedisCache(f"redis://:hush@host/0?{option}")
        assert "hush" not in str(told.value)

    @pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf")])
    def test_a_timeout_that_cannot_be(self, timeout: float) -> None:
        with pytest.raises(InvalidSettingError, match="number of seconds greater than 0"):
            RedisCache("redis://host", timeout=timeout)

    def test_the_namespace_is_ordinary_text(self) -> None:
        with pytest.raises(InvalidSettingError, match="ordinary text"):
            RedisCache("redis://host", namespace="n\ud83d")

    def test_the_namespace_has_a_name(self) -> None:
        with pytest.raises(InvalidSettingError, match="needs a name"):
            RedisCache("redis://host", namespace="")

    def test_no_password_is_in_any_message(self) -> None:
        cache = RedisCache("redis://me:secret@127.0.0.1:1/0")
        with pytest.raises(StoreError) as told:
            cache.get(("p", "m"))
        assert "secret" not in str(told.value)
        cache.close()

    def test_without_redis_py_it_says_what_to_install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "redis", None)
        with pytest.raises(StoreError, match=r'pip install "llmcache-jupyter\[redis\]"'):
            RedisCache("redis://host")


class TestNamespace:
    @pytest.mark.parametrize("odd", ["a*", "[ab]", "a?", "a\\", "^a", "a:b", "日本", "a b"])
    def test_nothing_outside_of_it_is_touched(self, server: RedisServer, clock: FakeClock, odd: str) -> None:
        client = server.client()
        client.flushall()
        others = ["a", "ab", "a1", "a\\b", odd[:-1] or "x"]
        foreign = {f"{name}:entry:{'0' * 32}".encode() for name in others if name != odd}
        for name in foreign:
            client.set(name, "precious")
        cache = RedisCache(server.url, namespace=odd, clock=clock, timeout=PATIENT)
        neighbour = RedisCache(server.url, namespace="neighbour", clock=clock, timeout=PATIENT)
        neighbour.put(entry("theirs"))
        before = set(client.keys())
        for prompt in "abc":
            cache.put(entry(prompt))
        cache.delete([entry("a").id])
        assert len(cache) == 2
        cache.clear()
        assert set(client.keys()) == before
        assert texts(neighbour.entries().entries) == ["theirs"]
        cache.close()
        neighbour.close()

    def test_one_that_begins_like_ours_is_another(
        self, server: RedisServer, clock: FakeClock, make: Make
    ) -> None:
        cache = make()
        inner = make(namespace=f"{cache.namespace}:entry")
        inner.put(entry())
        server.client().set(f"{cache.namespace}:entry:of-another-program", "precious")
        cache.clear()
        assert inner.get(entry().key) == entry()
        assert server.client().get(f"{cache.namespace}:entry:of-another-program") == b"precious"

    def test_clear_removes_what_no_index_knows(self, make: Make, server: RedisServer) -> None:
        cache = make()
        for number in range(1_200):
            cache.put(entry(str(number)))
        server.client().delete(f"{cache.namespace}:stored")
        cache.clear()
        assert server.client().keys(f"{cache.namespace}:*") == []


class TestTtl:
    def test_the_server_removes_what_is_past_it(
        self, make: Make, server: RedisServer, clock: FakeClock
    ) -> None:
        cache = make(ttl=100)
        cache.put(entry(stored=960.0))
        name = f"{cache.namespace}:entry:{entry().digest.hex()}"
        assert 59_000 < int(server.client().pttl(name)) <= 60_000
        server.client().pexpire(name, 1)
        until = time.monotonic() + 10
        while server.client().exists(name) and time.monotonic() < until:
            time.sleep(0.01)
        assert cache.get(entry().key) is None
        assert cache.entries().total == 0
        clock.advance(61)
        assert (len(cache), cache.models()) == (0, {})

    def test_what_is_past_it_is_not_stored(self, make: Make) -> None:
        cache = make(ttl=10)
        cache.put(entry(stored=980.0))
        assert cache.get(entry().key) is None
        assert len(cache) == 0

    def test_a_kernel_with_one_does_not_serve_what_is_older(self, make: Make, clock: FakeClock) -> None:
        make().put(entry())
        cache = make(ttl=50)
        clock.advance(49)
        assert cache.get(entry().key) == entry()
        assert cache.holds(entry())
        clock.advance(2)
        assert cache.get(entry().key) is None
        assert not cache.holds(entry())
        assert (len(cache), cache.entries().total, cache.models()) == (0, 0, {})
        assert make().get(entry().key) == entry()

    def test_a_kernel_whose_clock_is_ahead_removes_nothing(self, make: Make, clock: FakeClock) -> None:
        cache, ahead = make(ttl=60), make(clock=FakeClock(clock.now + 3_600))
        cache.put(entry())
        assert ahead.entries().total == 1
        assert cache.get(entry().key) == entry()

    @pytest.mark.parametrize("ttl", [1e17, 1e300, float("inf")])
    def test_it_may_be_longer_than_a_server_can_count(self, make: Make, ttl: float) -> None:
        cache = make(ttl=ttl)
        cache.put(entry())
        assert cache.get(entry().key) == entry()

    def test_configure_sets_it_and_removes_nothing(self, make: Make) -> None:
        cache = make()
        for number in range(5):
            cache.put(entry(str(number)))
        assert cache.configure(maxsize=2, policy="lru", ttl=60) == 0
        assert (cache.maxsize, cache.policy, cache.ttl, len(cache)) == (None, "lru", 60, 5)


class TestHostile:
    """What other programs, or people, leave under our names."""

    @pytest.fixture
    def cache(self, make: Make) -> RedisCache:
        cache = make()
        cache.put(entry("good"))
        cache.put(entry("bad"))
        return cache

    @pytest.mark.parametrize(
        "fields",
        [
            {"generations": b"no json"},
            {"generations": b'{"v": 99, "generations": []}'},
            {"generations": b"\xff\xfe"},
            {"generations": b'{"v":1,"generations":[{"type":"os.system","text":"x"}]}'},
        ],
    )
    def test_an_answer_that_cannot_be_read_is_a_miss(
        self, cache: RedisCache, server: RedisServer, fields: dict[str, bytes]
    ) -> None:
        server.client().hset(f"{cache.namespace}:entry:{entry('bad').digest.hex()}", mapping=fields)  # type: ignore[arg-type]
        assert cache.get(entry("bad").key) is None
        found = {one.prompt: one.generations for one in cache.entries().entries}
        assert found == {"good": answer(), "bad": []}

    @pytest.mark.parametrize(
        "value", [b"nan", b"-1", b"1e999", b"\xff", b"x" * 40, b"9" * 40, b"253402300799.0"]
    )
    def test_figures_that_cannot_be_are_unknown(
        self, cache: RedisCache, server: RedisServer, value: bytes
    ) -> None:
        name = f"{cache.namespace}:entry:{entry('bad').digest.hex()}"
        for field in ("stored", "took", "tokens", "hits", "last_used"):
            server.client().hset(name, field, value)
        found = cache.get(entry("bad").key)
        assert found is not None
        assert (found.stored, found.took, found.tokens, found.hits, found.last_used) == (
            0.0,
            None,
            None,
            0,
            None,
        )

    def test_a_name_of_ours_that_is_something_else_is_told(
        self, cache: RedisCache, server: RedisServer
    ) -> None:
        server.client().set(f"{cache.namespace}:entry:{entry('bad').digest.hex()}", "a string")
        with pytest.raises(StoreError, match=r"other things under these names.*another namespace"):
            cache.get(entry("bad").key)
        cache.put(entry("bad"))
        assert cache.get(entry("bad").key) == entry("bad")

    @pytest.mark.parametrize("part", ["stored", "expiry"])
    def test_an_index_that_is_something_else_is_told(
        self, cache: RedisCache, server: RedisServer, part: str
    ) -> None:
        server.client().delete(f"{cache.namespace}:{part}")
        server.client().set(f"{cache.namespace}:{part}", "a string")
        with pytest.raises(StoreError, match="other things under these names"):
            cache.put(entry("new"))
        with pytest.raises(StoreError, match="other things under these names"):
            asyncio.run(cache.aput(entry("new")))

    def test_what_is_listed_beside_something_else(self, cache: RedisCache, server: RedisServer) -> None:
        name = f"{cache.namespace}:entry:{entry('bad').digest.hex()}"
        server.client().delete(name)
        server.client().set(name, "a string")
        assert texts(cache.entries().entries) == ["good"]
        assert list(cache.keys()) == [entry("good").key]
        assert cache.models() == {"m": 1}
        assert server.client().get(name) == b"a string"

    def test_names_in_the_index_that_are_none(self, cache: RedisCache, server: RedisServer) -> None:
        server.client().zadd(f"{cache.namespace}:stored", {b"\xff\xfe": 1e9, b"x": 1e9})
        assert cache.entries(Query(limit=1)).total == 2
        assert len(cache) == 2

    @pytest.mark.parametrize("hits", ["many", str(2**63 - 1)])
    def test_a_count_of_hits_that_is_none_starts_anew(
        self, cache: RedisCache, server: RedisServer, hits: str
    ) -> None:
        server.client().hset(f"{cache.namespace}:entry:{entry('bad').digest.hex()}", "hits", hits)
        assert cache.lookup(*entry("bad").key) == answer()
        found = cache.get(entry("bad").key)
        assert found is not None
        assert found.hits == 1

    def test_who_may_not_read_removes_nothing(self, cache: RedisCache, server: RedisServer) -> None:
        rights = ["on", ">pw", "~*", "+@all", "-hmget"]
        server.client().execute_command("ACL", "SETUSER", "blind", *rights)
        blind = RedisCache(server.url.replace("://", "://blind:pw@"), namespace=cache.namespace)
        with pytest.raises(StoreError, match="refuses this user"):
            blind.entries()
        blind.close()
        assert cache.entries().total == 2

    def test_a_hit_on_what_is_gone_leaves_no_ghost(self, cache: RedisCache, server: RedisServer) -> None:
        name = f"{cache.namespace}:entry:{entry('bad').digest.hex()}"
        server.client().delete(name)
        cache.touch(entry("bad").key)
        assert not server.client().exists(name)
        assert cache.entries(Query(limit=1)).total == 1
        assert len(cache) == 1

    def test_what_cannot_be_written_says_which_type(self, cache: RedisCache) -> None:
        with pytest.raises(EncodingError, match=r"a value of type builtins.bytes"):
            cache.put(Entry(("p", "m"), [Generation("x", {"raw": b""})], 1.0))


class TestShared:
    def test_kernels_see_each_others_entries(self, make: Make) -> None:
        one, other = make(), make()
        one.put(entry("a"))
        assert other.get(entry("a").key) == entry("a")
        other.clear()
        assert one.get(entry("a").key) is None
        assert one.shared

    def test_loops_that_end_and_threads_share_one_cache(self, make: Make) -> None:
        cache = make()

        async def work(name: str) -> None:
            for number in range(10):
                await cache.aput(entry(f"{name} {number}"))
                assert await cache.aget(entry(f"{name} {number}").key) is not None

        for number in range(3):
            asyncio.run(work(str(number)))
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda number: asyncio.run(work(f"thread {number}")), range(8)))
            list(pool.map(lambda number: cache.put(entry(f"sync {number}")), range(50)))
        assert len(cache) == 30 + 80 + 50

    async def test_a_slow_server_does_not_stop_the_loop(self, make: Make, server: RedisServer) -> None:
        cache = make()
        await cache.aput(entry())
        server.pause()
        try:
            asked = asyncio.create_task(cache.aget(entry().key))
            for _ in range(20):
                await asyncio.sleep(0)
            assert not asked.done()
        finally:
            server.go_on()
        assert await asked == entry()

    def test_two_processes_lose_nothing(self, make: Make, server: RedisServer) -> None:
        cache = make()
        code = f"""
            import sys
            from llmcache_jupyter import Generation, RedisCache
            cache = RedisCache({server.url!r}, namespace={cache.namespace!r}, timeout={PATIENT})
            for number in range(300):
                cache.update(f"{{sys.argv[1]}} {{number}}", "m", [Generation("x")])
                cache.update(f"shared {{number}}", "m", [Generation("x")])
                assert cache.lookup(f"shared {{number}}", "m")
        """
        command = [sys.executable, "-c", textwrap.dedent(code)]
        processes = [subprocess.Popen([*command, name]) for name in "ab"]
        assert [process.wait(timeout=120) for process in processes] == [0, 0]
        assert len(cache) == 900
        assert len(set(cache.keys())) == 900

    def test_a_forked_child_has_its_own_connections(self, make: Make) -> None:
        cache = make()
        cache.put(entry("parent"))
        child = os.fork()
        if child == 0:
            found = cache.get(entry("parent").key)
            cache.put(entry("child"))
            os._exit(0 if found is not None else 1)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        assert cache.get(entry("child").key) == entry("child")

    def test_a_forked_child_does_not_speak_on_its_parent_s(self, make: Make) -> None:
        cache = make()
        (mine,) = cache._server.ask([("CLIENT", "ID")])
        child = os.fork()
        if child == 0:
            os._exit(cache._server.ask([("CLIENT", "ID")]) == [mine])
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        assert cache._server.ask([("CLIENT", "ID")]) == [mine]

    def test_a_parent_s_connections_outlive_its_children(self, make: Make) -> None:
        cache = make(timeout=5.0)
        cache.put(entry())
        for _ in range(3):
            child = os.fork()
            if child == 0:
                cache.get(entry().key)
                gc.collect()
                os._exit(0)
            os.waitpid(child, 0)
            assert cache.get(entry().key) == entry()

    def test_what_is_stored_during_a_listing_stays(
        self, make: Make, server: RedisServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cache, other = make(), make()
        cache.put(entry())
        server.client().delete(f"{cache.namespace}:entry:{entry().digest.hex()}")
        run = cache._run

        def run_later(script: str, digests: list[bytes]) -> int:
            other.put(entry())
            return run(script, digests)

        monkeypatch.setattr(cache, "_run", run_later)
        cache.entries()
        assert other.get(entry().key) == entry()
        assert texts(other.entries().entries) == ["p"]

    def test_closing_leaves_no_one_waiting(self, make: Make) -> None:
        cache = make()
        over = threading.Event()

        def ask() -> None:
            while not over.is_set():
                with suppress(StoreError):
                    cache.get(entry().key)

        with ThreadPoolExecutor(4) as pool:
            asking = [pool.submit(ask) for _ in range(4)]
            for _ in range(100):
                cache.close()
            over.set()
            for one in asking:
                one.result(timeout=60)


class TestHits:
    """They are noted here, and sent along with something else."""

    @pytest.fixture
    def other(self, make: Make) -> RedisCache:
        """Another kernel's cache, in which an entry is."""
        other = make()
        other.put(entry("hit"))
        return other

    @pytest.fixture
    def cache(self, make: Make, other: RedisCache) -> RedisCache:
        """One that had a hit on it."""
        cache = make()
        assert cache.lookup(*entry("hit").key) == answer()
        assert self.hits(other) == 0
        return cache

    @staticmethod
    def hits(cache: RedisCache) -> int:
        found = cache.get(entry("hit").key)
        assert found is not None
        assert (found.last_used is None) == (found.hits == 0)
        return found.hits

    def test_get_knows_them(self, cache: RedisCache) -> None:
        assert self.hits(cache) == 1

    @pytest.mark.parametrize(
        "what",
        [
            lambda cache: cache.put(entry("new")),
            lambda cache: asyncio.run(cache.aput(entry("new"))),
            len,
            lambda cache: cache.entries(),
            lambda cache: cache.entries(Query(text="answer")),
            lambda cache: list(cache.keys()),
            lambda cache: cache.models(),
            lambda cache: cache.close(),
        ],
    )
    def test_they_go_along_with(
        self, cache: RedisCache, other: RedisCache, what: Callable[[RedisCache], object]
    ) -> None:
        what(cache)
        assert self.hits(other) == 1
        assert self.hits(cache) == 1

    @pytest.mark.parametrize(
        "what",
        [
            lambda cache: cache.get(("absent", "m")),
            lambda cache: cache.holds(entry("hit")),
            lambda cache: asyncio.run(cache.aget(("absent", "m"))),
            lambda cache: asyncio.run(cache.aholds(entry("hit"))),
        ],
    )
    def test_a_look_takes_them_along_after_two_seconds(
        self,
        cache: RedisCache,
        other: RedisCache,
        clock: FakeClock,
        what: Callable[[RedisCache], object],
    ) -> None:
        what(cache)
        assert self.hits(other) == 0
        clock.advance(2)
        what(cache)
        assert self.hits(other) == 1
        assert self.hits(cache) == 1

    def test_to_count_one_asks_nobody(self, tmp_path: Path) -> None:
        server = RedisServer(tmp_path)
        cache = RedisCache(server.url, timeout=PATIENT)
        cache.put(entry())
        server.stop()
        cache.touch(entry().key)
        asyncio.run(cache.atouch(entry().key))
        cache.close()  # and what cannot be sent costs only counts

    def test_what_went_is_not_counted_again(self, cache: RedisCache, other: RedisCache) -> None:
        for _ in range(3):
            cache.put(entry("new"))
        cache.close()
        assert self.hits(other) == 1

    def test_an_entry_that_is_gone_does_not_come_back(
        self, cache: RedisCache, other: RedisCache, server: RedisServer
    ) -> None:
        other.delete([entry("hit").id])
        cache.close()
        assert server.client().keys(f"{cache.namespace}:entry:*") == []
        assert len(other) == 0

    def test_an_entry_stored_anew_starts_anew(self, cache: RedisCache, other: RedisCache) -> None:
        cache.put(entry("hit", text="new"))
        assert cache.get(entry("hit").key) == entry("hit", text="new")
        assert self.hits(other) == 0

    def test_another_kernel_s_later_use_stays(
        self, cache: RedisCache, other: RedisCache, clock: FakeClock
    ) -> None:
        clock.advance(10)
        other.lookup(*entry("hit").key)
        other.close()
        cache.close()
        assert cache.get(entry("hit").key) == entry("hit", hits=2, last_used=1_010.0)

    def test_something_else_under_a_name_does_not_stop_the_others(
        self, cache: RedisCache, other: RedisCache, server: RedisServer
    ) -> None:
        server.client().set(f"{cache.namespace}:entry:{entry('odd').digest.hex()}", "a string")
        cache.touch(entry("odd").key)
        cache.touch(entry("hit").key)
        cache.close()
        assert self.hits(other) == 2

    def test_who_may_not_count_may_still_look_and_store(
        self, other: RedisCache, server: RedisServer, clock: FakeClock
    ) -> None:
        server.client().execute_command("ACL", "SETUSER", "plain", "on", ">pw", "~*", "+@all", "-eval")
        url = server.url.replace("://", "://plain:pw@")
        cache = RedisCache(url, namespace=other.namespace, timeout=PATIENT, clock=clock)
        for prompt in ("a", "b"):
            assert cache.lookup(*entry("hit").key) == answer()
            clock.advance(3)
            assert cache.lookup(*entry("hit").key) == answer()
            cache.put(entry(prompt))
        assert asyncio.run(cache.alookup(*entry("b").key)) == answer()
        cache.close()
        assert self.hits(other) == 0

    def test_a_forked_child_does_not_count_its_parent_s(self, cache: RedisCache, other: RedisCache) -> None:
        child = os.fork()
        if child == 0:
            cache.close()
            os._exit(0)
        os.waitpid(child, 0)
        assert self.hits(other) == 0
        cache.close()
        assert self.hits(other) == 1

    def test_python_s_end_sends_them(self, other: RedisCache, server: RedisServer) -> None:
        code = f"""
            from llmcache_jupyter import RedisCache
            cache = RedisCache({server.url!r}, namespace={other.namespace!r}, timeout={PATIENT})
            assert cache.lookup(*{entry("hit").key!r})
        """
        subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)
        assert self.hits(other) == 1

    def test_a_cache_that_nobody_holds_sends_them(
        self, other: RedisCache, server: RedisServer, clock: FakeClock
    ) -> None:
        cache = RedisCache(server.url, namespace=other.namespace, timeout=PATIENT, clock=clock)
        assert cache.lookup(*entry("hit").key)
        del cache
        gc.collect()
        assert self.hits(other) == 1


class TestConnected:
    """Blocking callers and event loops, on one cache."""

    def test_through_a_file(self, tmp_path: Path) -> None:
        server = RedisServer(tmp_path, "--unixsocket", str(tmp_path / "redis sock"))
        cache = RedisCache(f"unix://{tmp_path}/redis%20sock?db=1", timeout=PATIENT)
        try:
            cache.put(entry())
            assert cache.get(entry().key) == entry()
            assert asyncio.run(cache.aget(entry().key)) == entry()
            assert server.client().keys() == []
        finally:
            cache.close()
            server.stop()

    def test_a_connection_that_died_meanwhile_is_not_missed(self, make: Make, server: RedisServer) -> None:
        cache = make()
        cache.put(entry())
        for _ in range(3):
            server.client().client_kill_filter(_type="normal", skipme=True)
            assert cache.get(entry().key) == entry()

    async def test_many_may_wait_at_once_without_a_thread_each(self, make: Make, server: RedisServer) -> None:
        cache = make()
        await cache.aput(entry())
        before = threading.active_count()
        server.pause()
        try:
            asked = [asyncio.create_task(cache.aget(entry().key)) for _ in range(100)]
            for _ in range(20):
                await asyncio.sleep(0)
            assert threading.active_count() == before
        finally:
            server.go_on()
        assert await asyncio.gather(*asked) == [entry()] * 100

    async def test_many_at_once_are_no_outage(self, make: Make) -> None:
        cache = make(timeout=0.1)  # all together take longer
        many = [entry(f"{number} " + 20_000 * "x") for number in range(1500)]
        await asyncio.gather(*map(cache.aput, many))
        assert len(cache) == 1500
        found = await asyncio.gather(*(cache.aget(one.key) for one in many))
        assert found == many

    async def test_when_the_server_is_away_all_of_many_are_told_in_time(
        self, make: Make, server: RedisServer
    ) -> None:
        cache = make(timeout=0.3)
        await cache.aput(entry())
        server.pause()
        try:
            began = time.monotonic()
            told = await asyncio.gather(
                *(cache.aget(entry().key) for _ in range(200)), return_exceptions=True
            )
            assert time.monotonic() - began < 3  # one after the other would take four
        finally:
            server.go_on()
        assert {type(one) for one in told} == {StoreError}
        assert await cache.aget(entry().key) == entry()

    async def test_one_that_takes_too_long_takes_no_other_along(self, server: RedisServer) -> None:
        with Proxy(server.port) as proxy:
            proxy.rate = 2_000_000
            cache = RedisCache(proxy.url, namespace="slow", timeout=0.5)
            await cache.aput(entry("first"))
            big = asyncio.create_task(cache.aput(entry("big " + 4_000_000 * "x")))

            async def ask() -> None:
                while not big.done():
                    assert await cache.aget(entry("first").key) == entry("first")

            await asyncio.gather(*(ask() for _ in range(8)))
            with pytest.raises(StoreError, match="did not answer"):
                await big
            cache.clear()
            cache.close()

    def test_an_interrupt_leaves_no_half_an_answer(self, server: RedisServer, clock: FakeClock) -> None:
        with Proxy(server.port) as proxy:
            cache = RedisCache(proxy.url, namespace="interrupted", timeout=PATIENT, clock=clock)
            for text in ("one", "other"):
                cache.put(entry(text, text=text))

            def interrupt() -> None:
                proxy.has_failed.wait(PATIENT)
                os.kill(os.getpid(), signal.SIGUSR1)

            before = signal.signal(signal.SIGUSR1, signal.default_int_handler)
            try:
                proxy.fault = "dribble"
                thread = threading.Thread(target=interrupt)
                thread.start()
                with pytest.raises(KeyboardInterrupt):
                    cache.get(entry("one").key)
                thread.join()
            finally:
                signal.signal(signal.SIGUSR1, before)
            proxy.fault = "none"
            assert cache.get(entry("other").key) == entry("other", text="other")
            assert cache.get(entry("one").key) == entry("one", text="one")
            cache.clear()
            cache.close()


class TestFailures:
    """Each is a StoreError that says what to do, in time; and the cache works again when the server does."""

    @staticmethod
    def fails(cache: RedisCache, what: str) -> None:
        for use in (
            lambda: cache.get(entry().key),
            lambda: cache.put(entry()),
            lambda: cache.holds(entry()),
            lambda: cache.delete([entry().id]),
            lambda: list(cache.keys()),
            lambda: len(cache),
            lambda: asyncio.run(cache.aget(entry().key)),
            lambda: asyncio.run(cache.aput(entry())),
            cache.entries,
            cache.models,
            cache.clear,
        ):
            with pytest.raises(StoreError, match=what):
                use()

    def test_nobody_is_there(self) -> None:
        cache = RedisCache("redis://127.0.0.1:1/0")
        self.fails(cache, r"^redis://127\.0\.0\.1:1/0 \(namespace llmcache\) cannot be reached .* is it up")
        cache.close()

    @pytest.mark.parametrize("fault", ["silent", "dribble"])
    def test_slow(self, server: RedisServer, clock: FakeClock, fault: Fault) -> None:
        with Proxy(server.port) as proxy:
            cache = RedisCache(proxy.url, namespace=fault, timeout=0.3, clock=clock)
            cache.put(entry("a"))
            proxy.fault = fault
            began = time.monotonic()
            with pytest.raises(StoreError, match=r"did not answer within 0\.3 s"):
                cache.get(entry("a").key)
            with pytest.raises(StoreError, match="did not answer"):
                asyncio.run(cache.aget(entry("a").key))
            assert time.monotonic() - began < 10  # one byte each 0.1 s would take longer
            proxy.fault = "none"
            assert cache.get(entry("a").key) == entry("a")
            cache.clear()
            cache.close()

    def test_accepts_and_says_nothing(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            address = f"redis://:secret@127.0.0.1:{listener.getsockname()[1]}/0"
            cache = RedisCache(address, timeout=0.1)
            self.fails(cache, r"did not answer within 0\.1 s")
            cache.close()

    @pytest.mark.parametrize("fault", ["silent", "dribble"])
    def test_slow_from_the_beginning(self, server: RedisServer, fault: Fault) -> None:
        with Proxy(server.port) as proxy:
            proxy.fault = fault
            cache = RedisCache(proxy.url, timeout=0.2)
            self.fails(cache, r"did not answer within 0\.2 s")
            cache.close()

    def test_a_name_server_that_hangs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        over = threading.Event()

        def hang(*place: Any, **options: Any) -> Any:
            over.wait(PATIENT)
            raise socket.gaierror("no such name")

        monkeypatch.setattr(socket, "getaddrinfo", hang)
        cache = RedisCache("redis://cache.example:6379/0", timeout=0.1)
        try:
            self.fails(cache, r"did not answer within 0\.1 s")
        finally:
            over.set()
        cache.close()

    def test_no_answer_is_taken_for_another(self, server: RedisServer, clock: FakeClock) -> None:
        with Proxy(server.port) as proxy:
            cache = RedisCache(proxy.url, namespace="mixed", timeout=0.2, clock=clock)
            keys = [entry(str(number), text=str(number)).key for number in range(20)]
            for number in range(20):
                cache.put(entry(str(number), text=str(number)))
            for number in range(20):
                proxy.fault = "dribble" if number % 5 == 2 else "none"
                try:
                    found = cache.get(keys[number])
                except StoreError:
                    assert proxy.fault == "dribble"
                else:
                    assert found is not None
                    assert found.generations[0].text == str(number)
            proxy.fault = "none"
            cache.clear()
            cache.close()

    def test_dropped_in_the_middle(self, server: RedisServer, clock: FakeClock) -> None:
        with Proxy(server.port) as proxy:
            cache = RedisCache(proxy.url, namespace="dropped", timeout=PATIENT, clock=clock)
            cache.put(entry())
            proxy.fault = "drop"
            self.fails(cache, "cannot be reached")
            proxy.fault = "none"
            assert cache.get(entry().key) == entry()
            cache.clear()
            cache.close()

    def test_killed_and_started_again(self, tmp_path: Path, clock: FakeClock) -> None:
        server = RedisServer(tmp_path)
        cache = RedisCache(server.url, clock=clock, timeout=PATIENT)
        cache.put(entry())
        server.stop()
        self.fails(cache, "cannot be reached")
        server = RedisServer(tmp_path, port=server.port)
        try:
            assert cache.get(entry().key) is None
            cache.put(entry())
            assert cache.get(entry().key) == entry()
        finally:
            cache.close()
            server.stop()

    def test_wrong_password(self, tmp_path: Path) -> None:
        server = RedisServer(tmp_path, "--requirepass", "right")
        try:
            for user in ("", ":wrong@", "me:wrong@"):
                cache = RedisCache(server.url.replace("://", f"://{user}"), timeout=PATIENT)
                self.fails(cache, "refuses this user .*check the name and password")
                cache.close()
            cache = RedisCache(server.url.replace("://", "://:right@"), timeout=PATIENT)
            cache.put(entry())
            assert len(cache) == 1
            cache.close()
        finally:
            server.stop()

    def test_out_of_memory(self, tmp_path: Path) -> None:
        server = RedisServer(tmp_path, "--maxmemory", "1", "--maxmemory-policy", "noeviction")
        cache = RedisCache(server.url, timeout=PATIENT)
        try:
            with pytest.raises(StoreError, match=r"is out of memory .*raise its maxmemory"):
                cache.put(entry())
            assert cache.get(entry().key) is None
            server.client().config_set("maxmemory", 0)
            cache.put(entry())
            server.client().config_set("maxmemory", 1)
            assert cache.lookup(*entry().key) == answer()  # uncounted
            assert cache.delete([entry().id]) == 1
        finally:
            cache.close()
            server.stop()

    def test_read_only(self, tmp_path: Path, server: RedisServer) -> None:
        replica = RedisServer(tmp_path, "--replicaof", "127.0.0.1", str(server.port))
        cache = RedisCache(replica.url, timeout=PATIENT)
        try:
            with pytest.raises(StoreError, match=r"is read-only .*name the primary server"):
                cache.put(entry())
        finally:
            cache.close()
            replica.stop()


class TestTiers:
    def test_a_hit_does_not_show_that_a_full_server_works(self, tmp_path: Path) -> None:
        server = RedisServer(tmp_path)
        timer, told = FakeClock(), []
        store = RedisCache(server.url, timeout=PATIENT)
        cache = TieredCache(
            InMemoryCache(),
            store,
            timer=timer,
            on_failure=lambda operation, _: told.append(f"{operation} failed"),
            on_recovery=lambda operation: told.append(f"{operation} works"),
        )
        try:
            cache.put(entry())
            server.client().config_set("maxmemory", 1)
            for number in range(3):
                cache.put(entry(str(number)))
                timer.advance(100)
                assert cache.lookup(*entry().key) == answer()
            assert set(told) == {"write failed"}
        finally:
            store.close()
            server.stop()

    def test_a_server_that_goes_and_comes_back_gets_all(self, tmp_path: Path) -> None:
        server = RedisServer(tmp_path)
        timer = FakeClock()
        store = RedisCache(server.url, timeout=PATIENT)
        cache = TieredCache(InMemoryCache(), store, timer=timer)
        cache.put(entry("before"))
        server.stop()
        for number in range(30):
            cache.put(entry(str(number)))
            assert cache.get(entry(str(number)).key) == entry(str(number))
        assert cache.waiting == 30
        server = RedisServer(tmp_path, port=server.port)
        try:
            timer.advance(100)
            assert len(cache) == 30  # the server kept nothing on disk
            assert cache.waiting == 0
            assert len(store) == 30
        finally:
            store.close()
            server.stop()
