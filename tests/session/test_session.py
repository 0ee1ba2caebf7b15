"""Session: on and off, what it was before, and what can be asked of it."""

from __future__ import annotations

import gc
import sys
import weakref
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache as LangChainInMemoryCache
from langchain_core.globals import get_llm_cache, set_llm_cache
from langchain_core.load import dumps
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.tracers import context  # noqa: F401 (else a session waits for its import)

from llmcache_jupyter.caches import Generation, Query
from llmcache_jupyter.errors import (
    BackendError,
    CacheInactiveError,
    CacheWarning,
    EntryNotFoundError,
    InvalidSettingError,
)
from llmcache_jupyter.session.events import Cleared, Event, Hit
from llmcache_jupyter.session.scope import CellRun, end_run, start_run
from llmcache_jupyter.session.session import Activation, Session, default_session
from tests.caches.contract import FakeClock, answer, chat, configuration
from tests.fakes import FailingCache

X, Y = configuration("x"), configuration("y")


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    earlier, finders = get_llm_cache(), list(sys.meta_path)
    set_llm_cache(None)
    yield
    end_run()
    set_llm_cache(earlier)
    assert sys.meta_path == finders


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def session(clock: FakeClock) -> Session:
    return Session(clock=clock)


@pytest.fixture
def filled(session: Session, clock: FakeClock) -> Session:
    """On, with the entries a, b, c of model x and d of model y, ten seconds apart."""
    session.activate()
    for prompt, llm_string in [("a", X), ("b", X), ("c", X), ("d", Y)]:
        session.cache.update(prompt, llm_string, answer(f"answer {prompt}"))
        clock.advance(10)
    return session


def current() -> Any:
    return get_llm_cache()


def prompts(session: Session) -> list[str]:
    return [entry.prompt for entry in session.entries().entries]


class TestOnAndOff:
    @pytest.mark.parametrize("earlier", [None, LangChainInMemoryCache()])
    @pytest.mark.parametrize("times", [1, 2, 3])
    def test_off_brings_back_what_was_there(self, session: Session, earlier: Any, times: int) -> None:
        set_llm_cache(earlier)
        for _ in range(times):
            session.activate()
            assert current() is session.cache
            assert session.active
        session.deactivate()
        assert current() is earlier
        assert not session.active
        session.deactivate()
        assert current() is earlier

    def test_off_without_on_changes_nothing(self, session: Session) -> None:
        earlier = LangChainInMemoryCache()
        set_llm_cache(earlier)
        session.deactivate()
        assert current() is earlier

    def test_entries_stay_for_the_next_on(self, filled: Session) -> None:
        filled.deactivate()
        assert len(filled.entries().entries) == 4
        assert filled.activate() == Activation(kept=4, dropped=0)

    def test_another_global_cache_is_told_and_left_alone(self, filled: Session) -> None:
        assert filled.status().notes == ()
        other = LangChainInMemoryCache()
        set_llm_cache(other)
        (note,) = filled.status().notes
        assert "to InMemoryCache()" in note
        assert "`%llmcache on`" in note
        filled.deactivate()
        assert current() is other
        assert filled.status().notes == ()

    def test_on_again_takes_the_place_back_and_off_gives_it_up(self, session: Session) -> None:
        session.activate()
        other = LangChainInMemoryCache()
        set_llm_cache(other)
        session.activate()
        assert current() is session.cache
        assert session.status().notes == ()
        session.deactivate()
        assert current() is other

    def test_there_is_one_for_the_kernel(self) -> None:
        assert default_session() is default_session()


class TestSettings:
    def test_they_are_as_a_cache_is_at_first(self, session: Session) -> None:
        status = session.status()
        assert (status.active, status.mode, status.entries) == (False, "on", 0)
        assert (status.maxsize, status.policy, status.ttl) == (None, "fifo", None)

    def test_on_again_changes_what_is_named_and_keeps_the_rest(self, session: Session) -> None:
        session.activate(maxsize=10, policy="lru", ttl="1h", mode="readonly")
        session.activate(maxsize=5)
        session.deactivate()
        session.activate(ttl=timedelta(minutes=1))
        status = session.status()
        assert (status.mode, status.maxsize, status.policy, status.ttl) == ("readonly", 5, "lru", 60.0)
        session.activate(maxsize=None, ttl=None, mode="on", policy="fifo")
        status = session.status()
        assert (status.mode, status.maxsize, status.policy, status.ttl) == ("on", None, "fifo", None)

    def test_a_smaller_maxsize_drops_the_oldest_and_says_how_many(self, filled: Session) -> None:
        assert filled.activate(maxsize=1) == Activation(kept=1, dropped=3)
        assert prompts(filled) == ["d"]

    @pytest.mark.parametrize(
        "wrong",
        [
            {"maxsize": 0}, {"maxsize": -3}, {"ttl": 0}, {"ttl": "soon"}, {"ttl": timedelta(0)},
            {"policy": "mru"}, {"mode": "of"},
        ],
        ids=str,
    )  # fmt: skip
    def test_a_mistake_changes_nothing(self, filled: Session, wrong: dict[str, Any]) -> None:
        filled.deactivate()
        before = filled.status()
        good: dict[str, Any] = {"maxsize": 1, "policy": "lru", "ttl": 5, "mode": "off"}
        with pytest.raises(InvalidSettingError):
            filled.activate(**{**good, **wrong})
        assert filled.status() == before
        assert current() is None

    def test_a_mode_is_one_there_is(self, session: Session) -> None:
        session.mode = "refresh"
        with pytest.raises(InvalidSettingError):
            session.mode = "record"
        assert session.mode == "refresh"


class TestAsking:
    def test_before_the_first_on(self, session: Session) -> None:
        for ask in (session.entries, session.models, session.clear):
            with pytest.raises(CacheInactiveError, match="run `%llmcache on` first"):
                ask()
        for ask_with in (session.lookup, session.find, session.delete):
            with pytest.raises(CacheInactiveError):
                ask_with("a")

    def test_entries_and_models(self, filled: Session) -> None:
        assert prompts(filled) == ["d", "c", "b", "a"]
        assert filled.entries(Query(model="x", limit=1)).total == 3
        assert filled.models() == {"x": 3, "y": 1}

    def test_a_column_that_is_none(self, filled: Session) -> None:
        with pytest.raises(InvalidSettingError, match="no column 'size': sort by stored, model"):
            filled.entries(Query(sort="size"))  # type: ignore[arg-type]

    def test_looking_changes_no_statistics(self, filled: Session) -> None:
        before, told = filled.status(), list[Event]()
        filled.subscribe(told.append)
        filled.entries()
        filled.lookup("a")
        filled.find(filled.lookup("a")[0].id)
        assert filled.status() == before
        assert told == []
        assert all(entry.hits == 0 for entry in filled.entries().entries)

    def test_lookup_takes_a_prompt_as_a_person_writes_it(self, filled: Session, clock: FakeClock) -> None:
        history = [
            SystemMessage("Be kind."),
            HumanMessage("Hi"),
            AIMessage("Hello."),
            HumanMessage("Größe?\nIn cm"),
        ]
        for llm_string in (X, Y):
            filled.cache.update(dumps(history), llm_string, answer())
            clock.advance(1)
        assert [entry.model for entry in filled.lookup(" Größe?\nIn cm ")] == ["y", "x"]
        assert [entry.model for entry in filled.lookup("Größe?\nIn cm", model="x")] == ["x"]
        assert filled.lookup("größe?\nin cm") == []
        assert filled.lookup("Hi") == []
        assert filled.lookup("Größe?") == []
        assert [entry.prompt for entry in filled.lookup("a")] == ["a"]
        assert filled.lookup("answer a") == []

    def test_find_by_a_unique_beginning(self, filled: Session) -> None:
        entry = filled.entries().entries[0]
        for beginning in (entry.id, entry.id[:6], entry.id.upper()):
            assert filled.find(beginning) == entry

    @pytest.mark.parametrize("beginning", ["", "zz", "nothing", "ffffffffffffffff"])
    def test_find_none(self, filled: Session, beginning: str) -> None:
        with pytest.raises(EntryNotFoundError, match="`%llmcache entries` lists the ids"):
            filled.find(beginning)

    def test_find_several(self, filled: Session) -> None:
        for number in range(100):
            filled.cache.update(str(number), X, answer())
        beginning = filled.entries().entries[0].id[0]
        with pytest.raises(EntryNotFoundError, match=r"^\d+ ids begin with '.' \(.*\): write more") as told:
            filled.find(beginning)
        assert str(told.value).count(",") <= 5

    async def test_the_async_twins(self, filled: Session) -> None:
        assert (await filled.aentries()).total == 4
        assert await filled.amodels() == {"x": 3, "y": 1}
        (entry,) = await filled.alookup("a")
        assert await filled.adelete(entry.id) == 1
        assert await filled.aclear(model="y") == 1
        assert await filled.aclear() == 2


class TestRemoving:
    def test_delete_by_ids_or_beginnings(self, filled: Session) -> None:
        ids = [entry.id for entry in filled.entries().entries]
        assert filled.delete(ids[0], ids[1][:8]) == 2
        assert prompts(filled) == ["b", "a"]
        assert filled.delete() == 0

    def test_delete_all_or_nothing(self, filled: Session) -> None:
        with pytest.raises(EntryNotFoundError):
            filled.delete(filled.entries().entries[0].id, "zz")
        assert len(prompts(filled)) == 4

    @pytest.mark.parametrize(
        ("which", "left"),
        [
            ({}, []),
            ({"model": "x"}, ["d"]),
            ({"model": "absent"}, ["d", "c", "b", "a"]),
            ({"older_than": "25s"}, ["d", "c"]),
            ({"older_than": timedelta(seconds=35)}, ["d", "c", "b"]),
            ({"older_than": 25, "model": "y"}, ["d", "c", "b", "a"]),
            ({"older_than": 5, "model": "y"}, ["c", "b", "a"]),
        ],
        ids=str,
    )
    def test_clear(self, filled: Session, which: dict[str, Any], left: list[str]) -> None:
        told: list[Event] = []
        filled.subscribe(told.append)
        assert filled.clear(**which) == 4 - len(left)
        assert prompts(filled) == left
        assert [event.count for event in told if isinstance(event, Cleared)] == [4 - len(left)]

    @pytest.mark.parametrize("way", ["clear", "clear of one model", "delete"])
    def test_the_kernel_holds_on_to_nothing_of_it(self, session: Session, way: str) -> None:
        class Answer(Generation):
            pass

        session.activate()
        session.cache.update("p", X, [Answer("secret")])
        assert session.cache.lookup("p", X)
        (entry,) = session.entries().entries
        held, id_ = weakref.ref(entry.generations[0]), entry.id
        del entry
        if way == "delete":
            session.delete(id_)
        else:
            session.clear(model="x" if way == "clear of one model" else None)
        gc.collect()
        assert held() is None

    def test_clear_with_a_mistake(self, filled: Session) -> None:
        with pytest.raises(InvalidSettingError):
            filled.clear(older_than="soon")
        assert len(prompts(filled)) == 4


class TestFailingStore:
    @pytest.fixture
    def broken(self, session: Session) -> Session:
        session.activate()
        backend = FailingCache("get", "put", "touch", "delete", "entries", "models", "clear", "len")
        session.cache.backend = backend
        return session

    def test_asking_tells_what_failed(self, broken: Session) -> None:
        for ask in (broken.entries, broken.models, broken.clear):
            with pytest.raises(BackendError, match=r"The store could not .* \(OSError: disk full\)") as told:
                ask()
            assert isinstance(told.value.__cause__, OSError)

    def test_the_status_is_still_there(self, broken: Session) -> None:
        assert broken.status().entries is None
        with pytest.warns(CacheWarning):
            broken.cache.lookup("p", X)
        assert broken.status().notes == ("The store fails (OSError: disk full); calls go on without it.",)

    def test_off_works(self, broken: Session) -> None:
        broken.deactivate()
        assert current() is None


class TestRuns:
    def test_the_last_run_is_the_latest_that_made_calls(self, filled: Session) -> None:
        first, second = CellRun("a", "[1]"), CellRun("b", "[2]")
        start_run(first)
        filled.cache.lookup("a", X)
        end_run()
        start_run(second)
        end_run()
        run = filled.last_run()
        assert run is first
        assert [type(event) for event in run.events] == [Hit]
        assert (filled.cell_label("a"), filled.cell_label("unknown-id"), filled.cell_label(None)) == (
            "[1]", "unknown-", None,
        )  # fmt: skip

    def test_calls_outside_of_cells(self, session: Session) -> None:
        assert session.last_run() is None
        session.activate()
        session.cache.lookup(chat(("human", "Hi")), X)
        run = session.last_run()
        assert run is not None
        assert (run.label, len(run.events)) == ("outside of cells", 1)
