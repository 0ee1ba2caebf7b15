"""SQLiteCache: the contract, LangChain's own suites, its limits, its searches, and restarts."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_tests.integration_tests import AsyncCacheTestSuite, SyncCacheTestSuite

from llmcache_jupyter import CacheWarning, EncodingError, Generation, StoreError
from llmcache_jupyter.caches import Entry, EntryCache, Query
from llmcache_jupyter.caches.entry import SortColumn
from llmcache_jupyter.caches.selection import SORT_COLUMNS, select
from llmcache_jupyter.caches.sqlite import SQLiteCache
from llmcache_jupyter.caches.sqlite.opening import PATIENT
from llmcache_jupyter.caches.sqlite.query import find
from llmcache_jupyter.session.cache import SessionCache
from tests.caches.contract import CacheContract, FakeClock, InterfaceContract, answer, chat, entry, texts
from tests.fakes import wait_until

Make = Callable[..., SQLiteCache]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "notes.sqlite"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def make(path: Path, clock: FakeClock) -> Iterator[Make]:
    """Makes caches of one file, as several kernels would; closes them at the end."""
    made: list[SQLiteCache] = []

    def make(**limits: Any) -> SQLiteCache:
        made.append(SQLiteCache(path, **{"clock": clock} | limits))
        return made[-1]

    yield make
    for cache in made:
        cache.close()


@pytest.fixture(params=["with an index", "without FTS5"])
def has_search(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether SQLite has full-text search; the one at hand is made to have none."""
    if request.param == "without FTS5":
        monkeypatch.setattr(
            "llmcache_jupyter.caches.sqlite.schema._SEARCH", "CREATE VIRTUAL TABLE x USING no()"
        )
    return str(request.param) == "with an index"


def held(cache: EntryCache) -> set[str]:
    return set(texts(cache.entries(Query(limit=None)).entries))


class TestContract(CacheContract):
    @pytest.fixture(params=["fifo", "lru", "ttl"])
    def cache(self, request: pytest.FixtureRequest, make: Make) -> EntryCache:
        limits: dict[str, dict[str, Any]] = {
            "fifo": {},
            "lru": {"policy": "lru", "maxsize": 10_000},
            "ttl": {"ttl": 1e9},
        }
        return make(**limits[request.param])


class TestContractEveryEntryIndexedAtOnce(CacheContract):
    @pytest.fixture
    def cache(self, make: Make, monkeypatch: pytest.MonkeyPatch) -> EntryCache:
        monkeypatch.setattr("llmcache_jupyter.caches.sqlite.writes._INDEXED_AT_ONCE", 1)
        return make()


class TestSession(InterfaceContract):
    @pytest.fixture
    def cache(self, make: Make) -> SessionCache:
        return SessionCache(make())


class TestLangChainSync(SyncCacheTestSuite):
    @pytest.fixture
    def cache(self, make: Make) -> Any:
        return make()


class TestLangChainAsync(AsyncCacheTestSuite):
    @pytest.fixture
    async def cache(self, make: Make) -> Any:
        return make()


class TestOpening:
    @pytest.mark.parametrize("maxsize", [0, -1])
    def test_maxsize_is_greater_than_0(self, path: Path, maxsize: int) -> None:
        with pytest.raises(ValueError, match=r"^maxsize must be greater than 0$"):
            SQLiteCache(path, maxsize=maxsize)
        assert not path.exists()

    def test_limits_can_be_read(self, make: Make) -> None:
        cache = make(maxsize=3, policy="lru", ttl=timedelta(minutes=2))
        assert (cache.maxsize, cache.policy, cache.ttl) == (3, "lru", 120.0)

    def test_the_file_is_for_its_owner_alone(self, make: Make, path: Path) -> None:
        make()
        assert path.stat().st_mode & 0o077 == 0

    @pytest.mark.parametrize(
        "name", ["with space", "a?b=c#d", "100%25", "日本", "x.sqlite?mode=memory", "'\""]
    )
    def test_any_name_is_a_name(self, tmp_path: Path, name: str) -> None:
        with SQLiteCache(tmp_path / name) as cache:
            cache.put(entry())
        assert (tmp_path / name).is_file()
        assert [found.name for found in tmp_path.iterdir()] == [name]

    def test_a_relative_path_stays_where_it_was(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path)
        with SQLiteCache("notes.sqlite") as cache:
            monkeypatch.chdir(tmp_path / "elsewhere")
            cache.put(entry())
            assert len(cache) == 1
        assert not list((tmp_path / "elsewhere").iterdir())

    @pytest.mark.parametrize("name", ["", ":memory:", b"notes.sqlite"])
    def test_what_names_no_file_is_refused(self, name: Any) -> None:
        with pytest.raises(StoreError, match="names no file"):
            SQLiteCache(name)

    def test_an_empty_file_becomes_a_store(self, make: Make, path: Path) -> None:
        path.touch()
        make().put(entry())
        assert held(make()) == {"p"}

    def test_it_uses_a_log_and_says_what_it_is(self, make: Make, path: Path) -> None:
        make().put(entry())
        other = sqlite3.connect(path)
        told = [other.execute(f"PRAGMA {what}").fetchone()[0] for what in ("journal_mode", "application_id")]
        other.close()
        assert told == ["wal", 0x4C4C4D43]

    def test_closed_is_closed(self, make: Make) -> None:
        cache = make()
        cache.close()
        cache.close()
        for use in (
            lambda: cache.get(entry().key),
            lambda: cache.put(entry()),
            lambda: len(cache),
            cache.clear,
        ):
            with pytest.raises(StoreError, match="was closed: make a new SQLiteCache"):
                use()

    def test_a_dropped_cache_lets_go_of_its_file(self, path: Path) -> None:
        cache = SQLiteCache(path)
        cache.update("p", "m", answer())
        cache.lookup("p", "m")
        del cache  # an unclosed connection would be a ResourceWarning, which is an error here
        wait_until(lambda: [found.name for found in path.parent.iterdir()] == [path.name])
        with SQLiteCache(path) as again:
            assert again.entries().entries[0].hits == 1


class TestRestart:
    def test_entries_are_there_again(self, make: Make) -> None:
        whole = entry(sent="q", took=1.5, tokens=7, cell="c", hits=2, last_used=1_001.0, stored=999.5)
        first = make()
        first.put(whole)
        first.close()
        assert make().entries().entries == [whole]

    def test_kernels_see_each_others_entries(self, make: Make) -> None:
        one, other = make(), make()
        one.put(entry("a"))
        assert other.get(entry("a").key) == entry("a")
        other.put(entry("b"))
        assert held(one) == {"a", "b"}
        one.delete([entry("a").id])
        assert other.get(entry("a").key) is None
        other.clear()
        assert (len(one), one.lookup(*entry("b").key), one.models()) == (0, None, {})

    def test_limits_hold_for_what_is_there(self, make: Make, clock: FakeClock) -> None:
        first = make()
        for number in range(10):
            clock.advance(1)
            first.put(entry(str(number), stored=clock()))
        first.close()
        assert held(make(maxsize=5)) == set("56789")
        assert held(make(ttl=2.5)) == set("789")

    def test_equal_configurations_are_kept_once(self, make: Make, path: Path) -> None:
        cache = make()
        for number in range(100):
            cache.update(str(number), "m" * 100_000, answer())
        cache.update("p", "other", answer())
        assert cache.entries().total == 101
        other = sqlite3.connect(path)
        assert other.execute("SELECT count(*) FROM llm_strings").fetchone() == (2,)
        cache.delete([found.id for found in cache.entries(Query(limit=None)).entries if found.prompt != "p"])
        assert other.execute("SELECT count(*) FROM llm_strings").fetchone() == (1,)
        other.close()


class TestMaxsize:
    @pytest.mark.parametrize("maxsize", [1, 2, 7])
    def test_the_oldest_goes(self, make: Make, maxsize: int) -> None:
        cache = make(maxsize=maxsize)
        for number in range(20):
            cache.update(str(number), "m", answer())
            assert len(cache) == min(number + 1, maxsize)
        assert held(cache) == {str(number) for number in range(20 - maxsize, 20)}

    @pytest.mark.parametrize("maxsize", [1, 3])
    @pytest.mark.parametrize("policy", ["fifo", "lru"])
    def test_overwriting_never_evicts_another(self, make: Make, maxsize: int, policy: Any) -> None:
        cache = make(maxsize=maxsize, policy=policy)
        prompts = [str(number) for number in range(maxsize)]
        for prompt in [*prompts, *reversed(prompts), *prompts]:
            assert cache.put(entry(prompt)) == 0
        assert held(cache) == set(prompts)

    def test_put_tells_how_many_had_to_go(self, make: Make) -> None:
        cache = make(maxsize=2)
        assert [cache.put(entry(prompt)) for prompt in "aabcb"] == [0, 0, 0, 1, 0]

    def test_of_many_the_first_go_first(self, make: Make) -> None:
        many = [entry(str(number)) for number in range(20)]
        for put in (SQLiteCache.put_all, SQLiteCache.put_latest):
            cache = make(maxsize=3)
            cache.clear()
            put(cache, many)
            assert sorted(texts(cache.entries().entries)) == ["17", "18", "19"]

    def test_an_old_answer_is_kept_when_it_is_put(self, make: Make) -> None:
        cache = make(maxsize=2)
        for prompt, stored in [("a", 900.0), ("b", 901.0), ("c", 1.0)]:
            cache.put(entry(prompt, stored=stored))
        assert held(cache) == {"b", "c"}

    def test_configure_keeps_what_fits(self, make: Make) -> None:
        cache = make()
        for prompt in "abcde":
            cache.put(entry(prompt))
        assert cache.configure(maxsize=3, policy="fifo", ttl=None) == 2
        assert held(cache) == set("cde")
        with pytest.raises(ValueError, match="ttl must be greater than 0"):
            cache.configure(maxsize=1, policy="lru", ttl=-1)
        assert (cache.maxsize, cache.policy, len(cache)) == (3, "fifo", 3)


class TestPolicy:
    def test_fifo_does_not_count_a_hit_as_use(self, make: Make) -> None:
        cache = make(maxsize=2)
        for prompt in "ab":
            cache.update(prompt, "m", answer())
        cache.lookup("a", "m")
        cache.update("c", "m", answer())
        assert held(cache) == {"b", "c"}

    @pytest.mark.parametrize("use", ["lookup", "alookup", "touch", "update", "restart"])
    async def test_lru_does(self, make: Make, use: str) -> None:
        cache = make(maxsize=2, policy="lru")
        for prompt in "ab":
            cache.update(prompt, "m", answer())
        match use:
            case "lookup" | "restart":
                cache.lookup("a", "m")
            case "alookup":
                await cache.alookup("a", "m")
            case "touch":
                cache.touch(("a", "m"))
            case "update":
                cache.update("a", "m", answer())
        if use == "restart":
            cache.close()
            cache = make(maxsize=2, policy="lru")
        cache.update("c", "m", answer())
        assert held(cache) == {"a", "c"}

    def test_the_order_of_hits_counts(self, make: Make) -> None:
        cache = make(maxsize=3, policy="lru")
        for prompt in "abc":
            cache.update(prompt, "m", answer())
        for prompt in "cabac":
            cache.lookup(prompt, "m")
        cache.update("d", "m", answer())
        assert held(cache) == {"a", "c", "d"}
        cache.update("e", "m", answer())
        assert held(cache) == {"c", "d", "e"}


class TestTtl:
    def test_an_entry_past_it_is_a_miss_and_is_removed(
        self, make: Make, clock: FakeClock, path: Path
    ) -> None:
        cache = make(ttl=10)
        cache.update("p", "m", answer())
        clock.advance(9.9)
        assert cache.lookup("p", "m") == answer()
        clock.advance(0.1)
        assert cache.lookup("p", "m") is None
        assert (cache.entries().total, cache.models(), len(cache)) == (0, {}, 0)
        other = sqlite3.connect(path)
        assert other.execute("SELECT count(*) FROM entries").fetchone() == (0,)
        other.close()

    def test_configure_removes_the_expired(self, make: Make, clock: FakeClock) -> None:
        cache = make()
        for prompt in "abc":
            cache.put(entry(prompt, stored=clock()))
            clock.advance(10)
        assert cache.configure(maxsize=1, policy="fifo", ttl=timedelta(seconds=25)) == 2
        assert held(cache) == {"c"}


class TestHits:
    def test_they_are_written_many_at_a_time(self, make: Make) -> None:
        cache, other = make(), make()
        cache.put(entry())
        for hits in range(1, 1_000):
            cache.lookup(*entry().key)
            found = cache.get(entry().key)
            assert found is not None
            assert found.hits == hits
        assert other.entries().entries[0].hits == 0
        cache.lookup(*entry().key)
        assert other.entries().entries[0].hits == 1_000

    def test_they_are_written_after_a_while(self, make: Make, clock: FakeClock) -> None:
        cache, other = make(), make()
        cache.put(entry())
        cache.lookup(*entry().key)
        clock.advance(2)
        cache.lookup(*entry().key)
        assert (other.entries().entries[0].hits, other.entries().entries[0].last_used) == (2, 1_002.0)

    def test_kernels_hits_add_up(self, make: Make, clock: FakeClock) -> None:
        one, other = make(), make()
        one.put(entry())
        one.lookup(*entry().key)
        clock.advance(5)
        other.lookup(*entry().key)
        other.close()
        one.close()
        found = make().entries().entries[0]
        assert (found.hits, found.last_used) == (2, 1_005.0)

    def test_a_count_that_cannot_be_written_costs_no_hit(
        self, make: Make, path: Path, clock: FakeClock
    ) -> None:
        cache = make()
        cache.put(entry())
        blocked = sqlite3.connect(path, isolation_level=None)
        blocked.execute("BEGIN IMMEDIATE")
        for _ in range(1_500):
            assert cache.lookup(*entry().key) is not None
        with pytest.raises(StoreError, match="another program keeps it locked"):
            cache.put(entry("q"))
        blocked.close()
        assert cache.entries().entries[0].hits == 1_500

    def test_counting_waits_for_nobody(self, make: Make, path: Path, clock: FakeClock) -> None:
        """A hit that waited as long as `put` may would make this test take a minute and a half."""
        cache = make()
        cache.put(entry())
        blocked = sqlite3.connect(path, isolation_level=None)
        blocked.execute("BEGIN IMMEDIATE")
        for _ in range(30):
            assert cache.lookup(*entry().key) is not None
            clock.advance(3)
        blocked.close()
        assert cache.entries().entries[0].hits == 30

    async def test_async_hits_are_written_too(self, make: Make) -> None:
        cache, other = make(), make()
        await cache.aput(entry())
        for _ in range(1_000):
            assert await cache.alookup(*entry().key) == answer()
        assert other.entries().entries[0].hits == 1_000


class TestLocked:
    def test_many_wait_no_longer_than_one(self, make: Make, path: Path) -> None:
        cache = make()
        cache.put(entry())
        blocked = sqlite3.connect(path, isolation_level=None)
        blocked.execute("BEGIN IMMEDIATE")
        begin = time.monotonic()
        with ThreadPoolExecutor(8) as pool:
            errors = [pool.submit(cache.put, entry(f"q{number}")).exception for number in range(8)]
            assert all(isinstance(error(), StoreError) for error in errors)
        assert time.monotonic() - begin < 2 * PATIENT
        blocked.close()
        cache.put(entry("q"))

    def test_what_another_program_stores_meanwhile_stays_if_it_is_later(self, make: Make, path: Path) -> None:
        cache = make()
        cache.put(entry(stored=5.0))
        assert len(cache.entries().entries) == 1
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with ThreadPoolExecutor(1) as pool:
            put = pool.submit(cache.put_latest, [entry(text="older", stored=10.0)])
            time.sleep(0.2)
            other.execute("UPDATE entries SET stored = 20.0")
            other.execute("COMMIT")
            assert put.result() == {entry().key}
        other.close()
        assert cache.get(entry().key) == entry(stored=20.0)


class TestLoop:
    async def test_a_writer_that_waits_does_not_stop_the_loop(self, make: Make, path: Path) -> None:
        cache = make()
        cache.put(entry())
        blocked = sqlite3.connect(path, isolation_level=None)
        blocked.execute("BEGIN IMMEDIATE")
        tasks = [asyncio.create_task(cache.aput(entry("q"))), asyncio.create_task(cache.aclear())]
        tasks.append(asyncio.create_task(cache.adelete([entry().id])))
        for _ in range(300):  # its hits are to be written meanwhile
            tasks.append(asyncio.create_task(cache.atouch(entry().key)))
            assert await cache.aget(entry().key) is not None
        assert not any(task.done() for task in tasks[:3])
        blocked.execute("ROLLBACK")
        blocked.close()
        await asyncio.gather(*tasks)


class TestAnswers:
    def test_what_cannot_be_written_says_which_type(self, make: Make) -> None:
        cache = make()
        with pytest.raises(EncodingError, match=r"a value of type builtins\.bytes inside an answer"):
            cache.update("p", "m", [Generation("t", {"raw": b"bytes"})])
        with pytest.raises(EncodingError, match=r"an answer of type builtins\.str cannot"):
            cache.update("p", "m", ["text"])
        assert len(cache) == 0

    def test_a_session_goes_on_without_it(self, make: Make) -> None:
        cache = SessionCache(make())
        with pytest.warns(CacheWarning, match=r"builtins\.bytes"):
            cache.update("p", "m", [Generation("t", {"raw": b"bytes"})])
        assert cache.lookup("p", "m") is None

    def test_a_prompt_may_be_too_long(self, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("llmcache_jupyter.caches.sqlite.rows.MAX_LENGTH", 1_000)
        with pytest.raises(EncodingError, match="a prompt of 1,001 bytes is too long"):
            make().put(entry("x" * 1_001))


class TestSearch:
    """The same as `select` finds, whether the index knows none, some or all of the entries."""

    ALPHABET = "ab AB\"'%_*ßéÉİ日🎈\n"

    @pytest.mark.parametrize("count", [10, 70, 300])
    def test_what_select_finds(self, make: Make, count: int, has_search: bool) -> None:
        cache = make()
        stored = [
            entry(
                [str(number) + " A Question", chat(("system", "Be brief"), ("human", f"hé {number}"))][
                    number % 2
                ],
                [None, "x", "y"][number % 3],
                text=f"ÀNSWER {number * number}",
                stored=1_000.0 + number,
                took=None if number % 4 else float(number % 7),
                tokens=None if number % 5 else number % 11,
                cell=None if number % 3 else str(number % 2),
                hits=number % 6,
                last_used=None if number % 6 == 0 else 1_000.0 + number % 13,
            )
            for number in range(count)
        ]
        for one in stored:
            cache.put(one)
        queries = [Query(), Query(model="x"), Query(stored_before=1_007.5), Query(id="a")]
        wanted = ["question", "be brief", "ànswer 4", "hÉ", "1", "? no", "a", "human: ", "re 4", "n\nz"]
        queries += [Query(text=text) for text in wanted]
        queries += [Query(text="question", model="y", stored_before=1_050.0)]
        for query in queries:
            for sort in SORT_COLUMNS:
                for descending in (True, False):
                    asked = replace(query, sort=sort, descending=descending, limit=None)
                    found, expected = cache.entries(asked), select(stored, asked)
                    assert found.total == expected.total, asked
                    assert sorted(texts(found.entries)) == sorted(texts(expected.entries)), asked
                    assert column(found.entries, sort) == column(expected.entries, sort), asked
                    page = cache.entries(replace(asked, offset=3, limit=5)).entries
                    assert page == found.entries[3:8]

    @given(
        said=st.lists(st.text(ALPHABET, max_size=12), min_size=1, max_size=8, unique=True),
        wanted=st.text(ALPHABET, min_size=1, max_size=5),
    )
    def test_any_text_is_found(self, tmp_path_factory: Any, said: list[str], wanted: str) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("llmcache_jupyter.caches.sqlite.writes._INDEXED_AT_ONCE", 3)
            with SQLiteCache(tmp_path_factory.mktemp("any") / "notes.sqlite") as cache:
                for prompt in said:
                    cache.put(entry(prompt, text="."))
                found = texts(cache.entries(Query(text=wanted)).entries)
        assert sorted(found) == sorted(prompt for prompt in said if wanted.lower() in prompt.lower())

    @pytest.mark.parametrize("prompt", ["nul\0 in it", "a lone \ud83d surrogate"])
    def test_what_text_cannot_hold_is_found_around_it(self, make: Make, prompt: str) -> None:
        cache = make()
        cache.put(entry(prompt, cell="c\0", text="\ud83d."))
        for wanted in [prompt, prompt[-9:], prompt[:3]]:
            assert texts(cache.entries(Query(text=wanted)).entries) == [prompt]

    def test_what_is_removed_leaves_the_index(self, make: Make, path: Path, clock: FakeClock) -> None:
        cache = make(maxsize=200)
        for number in range(500):
            cache.put(entry(f"prompt {number}", text=f"answer {number}"))
        cache.delete([entry(f"prompt {number}").id for number in range(310, 330)])
        assert cache.entries(Query(text="prompt")).total == 180
        assert cache.entries(Query(text="answer 31")).total == 0
        other = sqlite3.connect(path)
        ((known,),) = other.execute("SELECT count(*) FROM search WHERE search MATCH '\"pro\"'")
        ((indexed,),) = other.execute("SELECT value FROM state")
        ((there,),) = other.execute("SELECT count(*) FROM entries WHERE row <= ?", [indexed])
        assert (known, other.execute("PRAGMA integrity_check").fetchall()) == (there, [("ok",)])
        other.close()

    def test_a_kernel_without_fts5_may_share_the_file(self, make: Make) -> None:
        one = make()
        for number in range(100):
            one.put(entry(f"first {number}"))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("llmcache_jupyter.caches.sqlite.schema._add_search", lambda _: False)
            other = make()
        other.put(entry("second"))
        other.delete([entry("first 7").id])
        assert other.entries(Query(text="first")).total == 99
        assert one.entries(Query(text="first")).total == 99
        assert one.entries(Query(text="second")).total == 1
        other.clear()
        other.put(entry("first of all"))
        assert texts(one.entries(Query(text="first")).entries) == ["first of all"]


def column(entries: list[Entry], sort: SortColumn) -> list[Any]:
    return [one.generations[0].text.lower() if sort == "answer" else getattr(one, sort) for one in entries]


class TestPlans:
    """A page costs the same however many entries there are: SQLite walks an index and sorts nothing."""

    @pytest.mark.parametrize("descending", [True, False])
    @pytest.mark.parametrize("sort", SORT_COLUMNS)
    @pytest.mark.parametrize("model", [None, "x"])
    def test_a_page_is_read_from_an_index(
        self, make: Make, path: Path, sort: SortColumn, descending: bool, model: str | None
    ) -> None:
        cache = make()
        for number in range(200):
            cache.put(entry(str(number), "x"))
        seen: list[str] = []
        query = Query(sort=sort, descending=descending, model=model)
        assert len(cache.entries(query).entries) == 50

        def traced(reader: sqlite3.Connection) -> None:
            reader.set_trace_callback(seen.append)
            find(reader, query, True)
            reader.set_trace_callback(None)

        cache._connections.look(traced)
        other = sqlite3.connect(path)
        plan = [step for sql in seen for *_, step in other.execute(f"EXPLAIN QUERY PLAN {sql}")]
        other.close()
        assert any("USING" in step and "INDEX entries_" in step for step in plan), plan
        assert not [step for step in plan if "TEMP B-TREE FOR ORDER BY" in step]
        assert not [step for step in plan if step == "SCAN entries"]

    @pytest.mark.parametrize("sort", ["prompt", "answer"])
    def test_texts_that_begin_alike_are_not_all_read(
        self, make: Make, sort: SortColumn, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cache = make()
        for number in (3, 1, 2):
            cache.put(entry("x" * 50 + str(number), text="y" * 50 + str(number)))

        def ends() -> list[str]:
            page = cache.entries(Query(sort=sort, descending=False))
            return [found.prompt[-1] for found in page.entries]

        assert ends() == ["1", "2", "3"]
        monkeypatch.setattr("llmcache_jupyter.caches.sqlite.query._EXACT", 2)
        assert ends() == ["3", "1", "2"]


class TestThreads:
    def test_eight_threads_lose_nothing(self, make: Make) -> None:
        cache = make()
        start = threading.Barrier(8)

        def work(number: int) -> None:
            start.wait()
            for index in range(40):
                cache.put(entry(f"{number} {index}"))
                assert cache.lookup(*entry(f"{number} {index}").key) == answer()
                cache.lookup(*entry("0 0").key)
                cache.entries(Query(text=f"{number} {index}", limit=3))

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(work, range(8)))
        assert len(cache) == 320
        assert sum(one.hits for one in cache.entries(Query(limit=None)).entries) >= 320
        assert cache._connections.read("PRAGMA integrity_check") == [("ok",)]

    def test_evictions_add_up(self, make: Make) -> None:
        cache = make(maxsize=20, policy="lru")

        def work(number: int) -> int:
            return sum(cache.put(entry(f"{number} {index}")) for index in range(40))

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(work, range(8))) == 8 * 40 - 20
        assert len(cache) == 20

    def test_closing_meanwhile_is_an_error_or_nothing(self, make: Make, path: Path) -> None:
        cache = make()
        started = threading.Event()

        def use_it() -> None:
            for index in range(100_000):
                cache.put(entry(str(index)))
                cache.get(entry(str(index)).key)
                started.set()

        def work() -> None:
            with pytest.raises(StoreError):
                use_it()

        with ThreadPoolExecutor(2) as pool:
            tasks = [pool.submit(work) for _ in range(2)]
            started.wait()
            cache.close()
            for task in tasks:
                task.result()
        assert len(make()) > 0
