"""Why a call was not a hit: its entry's fate, or the nearest entry that was there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.load import dumps
from langchain_core.messages import HumanMessage

from llmcache_jupyter import (
    CacheInactiveError,
    CacheMissError,
    CacheWarning,
    EntryNotFoundError,
    Generation,
    Session,
)
from llmcache_jupyter.caches.sqlite import SQLiteCache
from llmcache_jupyter.session.explain import Explanation
from llmcache_jupyter.session.scope import CellRun, end_run, mode, start_run
from tests.fakes import FailingCache

LLM = "[('model_name', 'm'), ('temperature', 0)]"
WARM = "[('model_name', 'm'), ('temperature', 1)]"
OTHER = "[('model_name', 'n')]"


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        self.now += 0.001
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def session(clock: Clock) -> Iterator[Session]:
    session = Session(clock=clock)
    session.activate()
    yield session
    session.deactivate()


def ask(session: Session, prompt: str, llm_string: str = LLM) -> bool:
    """A call as a client makes it. Returns whether it was a hit."""
    if session.cache.lookup(prompt, llm_string) is not None:
        return True
    session.cache.update(prompt, llm_string, [Generation(f"Answer to {prompt}")])
    return False


def said(explanation: Explanation) -> list[str]:
    return [difference.words for difference in explanation.differences]


class TestTheNearest:
    def test_a_setting(self, session: Session) -> None:
        ask(session, "Hi")
        ask(session, "Something else")
        ask(session, "Hi", WARM)
        why = session.why()
        assert said(why) == ["temperature 0 -> 1"]
        assert why.nearest is not None
        assert session.find(why.nearest).key == ("Hi", LLM)
        assert why.nearest in why.reason
        assert why.stored_now

    def test_the_prompt(self, session: Session) -> None:
        for prompt in ("What is the capital of France?", "Tell me a joke.", "Add 1 and 2."):
            ask(session, prompt)
        ask(session, "What is the capital of Spain?")
        assert said(session.why()) == ["the prompt differs at character 24"]

    def test_another_model(self, session: Session) -> None:
        ask(session, "Hi", LLM)
        ask(session, "Hi", OTHER)
        assert said(session.why())[0] == "model m -> n"

    def test_settings_change_sooner_than_the_question(self, session: Session) -> None:
        settings = [
            f"[('max_tokens', {number}), ('model_name', 'm'), ('temperature', {number})]" for number in (1, 2)
        ]
        for llm_string in settings:
            for question in ("What is the capital of France?", "How do I boil an egg?"):
                ask(session, dumps([HumanMessage(question)]), llm_string)
        assert said(session.why()) == ["max_tokens 1 -> 2", "temperature 1 -> 2"]

    def test_a_word_of_a_long_prompt_changes_sooner_than_settings(self, session: Session) -> None:
        context = "All that is known about the matter. " * 10
        ask(session, f"On Monday. {context} What is it?", "[('a', 1), ('b', 1)]")
        ask(session, f"On Friday. {context} What is it?", "[('a', 2), ('b', 2)]")
        ask(session, f"On Monday. {context} What is it?", "[('a', 2), ('b', 2)]")
        assert said(session.why()) == ["the prompt differs at character 4"]

    def test_a_word_in_common_makes_no_question_nearer(self, session: Session) -> None:
        ask(session, "What is the time?", WARM)
        ask(session, "Add 1 and 2.")
        ask(session, "Who is the king of Spain?")
        assert said(session.why()) == ["the prompt differs at character 1"]

    def test_nothing_for_this_model(self, session: Session) -> None:
        ask(session, "Hi", LLM)
        ask(session, "Another question", OTHER)
        assert session.why().reason == "Nothing was stored for the model n."

    def test_nothing_at_all(self, session: Session) -> None:
        ask(session, "Hi")
        assert session.why().reason == "Nothing was stored at all."

    def test_nothing_any_more(self, session: Session, tmp_path: Path, clock: Clock) -> None:
        with SQLiteCache(tmp_path / "notes.sqlite", clock=clock) as other:
            other.update("Hi", LLM, [Generation("theirs")])
        clock.now += 70
        session.activate(store=tmp_path / "notes.sqlite", ttl=60)
        ask(session, "Hi")
        assert re.fullmatch(
            r"Nothing was there any more: 1 entry was too old or too many, and removed at \d\d:\d\d\. "
            r"`%llmcache on --ttl none` keeps entries\.",
            session.why().reason,
        )

    def test_nothing_that_has_not_expired(self, session: Session, clock: Clock) -> None:
        session.configure(ttl=60)
        session.cache.backend.update("Hi", LLM, [Generation("theirs")])
        clock.now += 70
        ask(session, "Hi")
        assert session.why().reason == (
            "Nothing was stored, or what was has expired: entries live 60 s. "
            "`%llmcache on --ttl none` keeps entries."
        )

    def test_what_came_later_is_not_the_nearest(self, session: Session) -> None:
        ask(session, "Hi 1")
        ask(session, "Hi 2")
        ask(session, "Hi 3")
        why = session.why("Hi 1")
        assert why.nearest is None
        assert why.reason == "Nothing was stored at all."

    def test_what_was_there_is_gone_by_now(self, session: Session) -> None:
        ask(session, "Hi")
        ask(session, "Hi", WARM)
        session.clear()
        assert re.fullmatch(
            r"Nothing that was stored then is left to compare it with: entries were removed at \d\d:\d\d\.",
            session.why("Hi").reason,
        )

    def test_chats(self, session: Session) -> None:
        ask(session, dumps([HumanMessage("What is the capital of France?")]))
        ask(session, dumps([HumanMessage("What is the capital of Spain?")]))
        assert said(session.why()) == ["message 1 (human) differs at character 24"]

    def test_in_a_file(self, session: Session, tmp_path: Path) -> None:
        session.activate(store=tmp_path / "notes.sqlite")
        ask(session, "Hi")
        ask(session, "Hi", WARM)
        assert said(session.why()) == ["temperature 0 -> 1"]


class TestItsFate:
    def again(self, session: Session) -> str:
        assert not ask(session, "Hi")
        why = session.why()
        assert why.nearest is None
        return why.reason

    def test_cleared(self, session: Session) -> None:
        ask(session, "Hi")
        session.clear()
        assert re.fullmatch(r"Its entry was cleared at \d\d:\d\d\.", self.again(session))

    def test_cleared_by_model(self, session: Session) -> None:
        ask(session, "Hi")
        ask(session, "Hi", OTHER)
        session.clear(model="m")
        assert "was cleared" in self.again(session)

    def test_deleted(self, session: Session) -> None:
        ask(session, "Hi")
        ask(session, "Ho")
        session.delete(session.lookup("Hi")[0].id)
        assert "was deleted at" in self.again(session)

    def test_expired(self, session: Session, clock: Clock) -> None:
        session.configure(ttl=60)
        ask(session, "Hi")
        clock.now += 60 + 180
        assert self.again(session).startswith("Its entry had expired 3 min before")

    def test_evicted(self, session: Session) -> None:
        session.configure(maxsize=2)
        for prompt in ("Hi", "Ho", "Hu"):
            ask(session, prompt)
        assert self.again(session).startswith("Its entry was evicted (maxsize 2)")

    def test_evicted_by_a_smaller_maximum(self, session: Session) -> None:
        ask(session, "Hi")
        ask(session, "Ho")
        session.configure(maxsize=1)
        assert "was evicted (maxsize 1)" in self.again(session)

    def test_a_hit_shows_that_it_was_not_among_what_was_evicted(self, session: Session) -> None:
        for prompt in ("Ho", "Hi"):
            ask(session, prompt)
        session.configure(maxsize=1)
        assert ask(session, "Hi")
        session.cache.backend.clear()
        assert "was gone" in self.again(session)

    def test_stored_again_since(self, session: Session) -> None:
        ask(session, "Hi")
        session.clear()
        ask(session, "Hi")
        session.cache.backend.clear()
        assert "was gone" in self.again(session)

    def test_removed_by_another_kernel(self, session: Session, tmp_path: Path) -> None:
        session.activate(store=tmp_path / "notes.sqlite")
        ask(session, "Hi")
        with SQLiteCache(tmp_path / "notes.sqlite") as other:
            other.clear()
        assert "removed by another kernel" in self.again(session)

    @pytest.mark.parametrize("limits", [{"maxsize": 1}, {"ttl": 60}])
    def test_evicted_or_expired_in_another_kernel(
        self, session: Session, tmp_path: Path, clock: Clock, limits: dict[str, Any]
    ) -> None:
        session.activate(store=tmp_path / "notes.sqlite")
        with SQLiteCache(tmp_path / "notes.sqlite", clock=clock, **limits) as other:
            other.update("Hi", LLM, [Generation("theirs")])
            assert ask(session, "Hi")
            clock.now += 70
            other.update("Ho", LLM, [Generation("theirs")])
            assert len(other) == 1
        assert "was gone: it expired, was removed by another kernel" in self.again(session)

    def test_another_kernel_s_entry_that_expired_here(
        self, session: Session, tmp_path: Path, clock: Clock
    ) -> None:
        session.activate(store=tmp_path / "notes.sqlite", ttl=60)
        with SQLiteCache(tmp_path / "notes.sqlite", clock=clock) as other:
            other.update("Hi", LLM, [Generation("theirs")])
        clock.now += 50
        assert ask(session, "Hi")
        clock.now += 20
        assert "was gone: it expired" in self.again(session)


class TestTheSameCallBefore:
    """It was made, and yet nothing was stored: no other entry matters then."""

    def again(self, session: Session) -> str:
        assert not ask(session, "Hi")
        why = session.why()
        assert (why.nearest, why.differences) == (None, ())
        return re.sub(r"\d\d:\d\d", "12:00", why.reason)

    @pytest.mark.parametrize("name", ["readonly", "off"])
    def test_in_a_mode_that_stores_nothing(self, session: Session, name: str) -> None:
        ask(session, "Ho")
        with mode(name):
            ask(session, "Hi")
        told = f"The same call was made before, at 12:00 (mode {name}: its answer was not stored)."
        assert self.again(session) == told
        session.clear()
        assert "was cleared" in self.again(session)

    def test_without_an_answer_so_far(self, session: Session) -> None:
        ask(session, "Ho")
        session.cache.lookup("Hi", LLM)
        assert self.again(session) == (
            "The same call was made before, at 12:00. No answer of it had been stored yet: "
            "it failed, was stopped or still on its way, or the answer could not be stored."
        )

    def test_a_replay_sent_nothing(self, session: Session) -> None:
        ask(session, "Hi", WARM)
        for _ in range(2):
            with mode("replay"), pytest.raises(CacheMissError):
                session.cache.lookup("Hi", LLM)
        assert said(session.why()) == ["temperature 1 -> 0"]


class TestModes:
    def test_refresh_and_off(self, session: Session) -> None:
        ask(session, "Hi")
        with mode("refresh"):
            ask(session, "Hi")
        assert session.why().reason.startswith("Mode refresh")
        with mode("off"):
            session.cache.lookup("Hi", LLM)
        assert session.why().reason.startswith("Mode off")

    @pytest.mark.parametrize("name", ["refresh", "off"])
    def test_what_they_make_of_a_stored_answer(self, session: Session, name: str) -> None:
        ask(session, "Hi")
        assert session.why().asides == ("Its answer is stored now: the next identical call is a hit.",)
        session.mode = name
        but = f", but mode {name} asks the model all the same."
        assert session.why().asides == (f"Its answer is stored now{but}",)
        for number in range(200):
            session.cache.lookup(f"Ho {number}", LLM)
        assert session.why("Hi").reason.endswith(but)

    def test_replay(self, session: Session) -> None:
        ask(session, "Hi")
        with mode("replay"), pytest.raises(CacheMissError):
            session.cache.lookup("Hi", WARM)
        why = session.why()
        assert said(why) == ["temperature 0 -> 1"]
        assert not why.stored_now

    @pytest.mark.parametrize(
        ("limits", "remedy"), [({"ttl": 60}, "--ttl none"), ({"maxsize": 1}, "--maxsize N")]
    )
    def test_a_replay_names_one_remedy(
        self, session: Session, clock: Clock, limits: dict[str, Any], remedy: str
    ) -> None:
        ask(session, "Hi")
        ask(session, "Ho")
        session.configure(mode="replay", **limits)
        clock.now += 70
        with pytest.raises(CacheMissError, match=remedy) as told:
            session.cache.lookup("Hi", LLM)
        assert "To record it" not in str(told.value)

    def test_a_failing_store(self, session: Session) -> None:
        session.cache.backend = FailingCache("get")
        with pytest.warns(CacheWarning):
            session.cache.lookup("Hi", LLM)
        assert isinstance(session.cache.backend, FailingCache)
        session.cache.backend.broken.clear()
        why = session.cache.missed.all()[0]
        assert (why.reason, why.error) == ("failed", "OSError: disk full")


class TestWhich:
    def test_by_id_and_by_prompt(self, session: Session) -> None:
        for prompt in ("Hi", "Ho there", "Hu"):
            ask(session, prompt)
        calls = {call.sent: call for call in session.cache.missed.all()}
        assert session.why("Ho  there").call == calls["Ho there"]
        assert session.why(calls["Hi"].id[:8]).call == calls["Hi"]
        last = session.why().call
        assert last is not None
        assert last.sent == "Hu"

    def test_the_latest_of_equal_ones(self, session: Session) -> None:
        ask(session, "Hi")
        session.clear()
        ask(session, "Hi")
        assert "cleared" in session.why("Hi").reason

    def test_a_call_that_was_a_hit(self, session: Session, tmp_path: Path) -> None:
        path = tmp_path / "notes.sqlite"
        with SQLiteCache(path) as other:
            other.update("Hi", LLM, [Generation("Hello")])
        session.activate(store=path)
        assert session.why().reason == "No call has missed yet in this session."
        assert ask(session, "Hi")
        assert session.why().reason.endswith("The one call was a hit.")
        why = session.why("Hi")
        assert (why.call, why.stored_now) == (None, True)
        assert "the next identical call is a hit. It has answered 1 call." in why.reason
        assert session.why(str(why.nearest)[:6]).nearest == why.nearest

    def test_one_that_nobody_knows(self, session: Session) -> None:
        ask(session, "Hi")
        with pytest.raises(EntryNotFoundError, match=r"goes by 'What\?'.*`%llmcache why` explains the last"):
            session.why("What?")

    def test_several(self, session: Session) -> None:
        for number in range(17):  # of seventeen, two begin with the same of sixteen digits
            ask(session, f"Prompt {number}")
        digits = [call.id[0] for call in session.cache.missed.all()]
        with pytest.raises(EntryNotFoundError, match="write more"):
            session.why(max(digits, key=digits.count))

    def test_never_on(self) -> None:
        with pytest.raises(CacheInactiveError):
            Session().why()

    def test_only_so_many_are_kept(self, session: Session) -> None:
        for number in range(250):
            session.cache.lookup(f"Prompt {number}", LLM)
        assert len(session.cache.missed.all()) == 200

    def test_off_it_still_explains(self, session: Session) -> None:
        ask(session, "Hi")
        session.deactivate()
        assert session.why().call is not None
        assert session.why().asides == (
            "Its answer is stored now.",
            "The cache was switched off: calls since then are not seen.",
        )


class TestManyEntries:
    def test_the_nearest_of_many(self, session: Session) -> None:
        backend = session.cache.backend
        for number in range(5_000):
            backend.update(
                f"Question number {number} about {number * 7}: {'words ' * 30}?", LLM, [Generation("a")]
            )
        prompt = f"Question number 4321 about {4321 * 7}: {'words ' * 30}"
        session.cache.lookup(prompt + "!", LLM)
        why = session.why()
        assert why.nearest is not None
        assert session.find(why.nearest).key[0] == prompt + "?"


def test_it_prints_as_the_magic_shows_it(session: Session) -> None:
    assert str(session.why()).startswith("Why was this not a hit?\nNo call has missed yet")
    ask(session, "Hi")
    start_run(CellRun("a1b2", "[7]"))
    ask(session, "Hi", WARM)
    end_run()
    first, *rest = str(session.why()).splitlines()
    assert re.fullmatch(r"Call \w+ of m in \[7\] at \d\d:\d\d:\d\d: “Hi”", first)
    assert rest == [
        session.why().reason,
        "  - temperature 0 -> 1",
        "Its answer is stored now: the next identical call is a hit.",
    ]


def test_it_is_frozen(session: Session) -> None:
    why: Any = session.why()
    with pytest.raises(AttributeError):
        why.reason = "x"
