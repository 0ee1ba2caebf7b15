"""The panel, driven as a front end drives it: messages in, traits out; with slow and broken stores."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ipywidgets.widgets.widget import _instances

from llmcache_jupyter.caches import Entry, Generation, Page, Query
from llmcache_jupyter.errors import BackendError
from llmcache_jupyter.notebook.panel import PAGE_SIZE, STATUS_PAUSE, Panel, static_panel
from llmcache_jupyter.session.session import Session
from tests.fakes import FailingCache

PATIENCE = 20.0


class Front:
    """What a browser is to a panel: it sends messages and waits for what it is shown."""

    def __init__(self, panel: Panel) -> None:
        self.panel = panel
        self.view = panel.view
        self._changed = threading.Condition()
        self._sent = 0
        self.shown: list[tuple[str, Any]] = []
        self.view.observe(self._note)

    def _note(self, change: dict[str, Any]) -> None:
        with self._changed:
            self.shown.append((change["name"], change["new"]))
            self._changed.notify_all()

    def send(self, kind: str, **rest: Any) -> int:
        """Send a message and wait for nothing. Returns its number."""
        self._sent += 1
        self.view._handle_custom_msg({"kind": kind, "n": self._sent, **rest}, [])
        return self._sent

    def ask(self, kind: str, **rest: Any) -> None:
        """Send a message and wait until it is dealt with."""
        number = self.send(kind, **rest)
        self.until(lambda: self.view.done >= number)

    def until(self, holds: Callable[[], object]) -> None:
        """Wait until what is shown makes `holds` true."""
        with self._changed:
            assert self._changed.wait_for(holds, PATIENCE), (self.view.page, self.view.message)

    @property
    def prompts(self) -> list[str]:
        return [row["cells"][4] for row in self.view.page["rows"]]

    @property
    def message(self) -> str:
        return str(self.view.message["text"])


def put(
    session: Session, prompt: str, answer: str = "yes", *, model: str = "small", stored: float = 1.0
) -> Entry:
    entry = Entry((prompt, f"[('type', 'x'), ('model', '{model}')]"), [Generation(answer)], stored)
    session.cache.backend.put(entry)
    return entry


def fill(session: Session, count: int) -> None:
    session.activate()
    for number in range(count):
        model = "large" if number % 2 else "small"
        put(session, f"question {number}", f"answer {count - number:03}", model=model, stored=float(number))


OpenFront = Callable[[Session], Front]


@pytest.fixture
def open_front() -> Iterator[OpenFront]:
    opened: list[Panel] = []

    def open_front(session: Session) -> Front:
        opened.append(Panel(session))
        return Front(opened[-1])

    yield open_front
    for panel in opened:
        panel.close()


@pytest.fixture
def front(session: Session, open_front: OpenFront) -> Front:
    """A panel of 120 entries: even ones of `small`, odd ones of `large`, 119 the newest."""
    fill(session, 120)
    front = open_front(session)
    front.until(lambda: front.view.models)
    return front


class TestTable:
    def test_opens_with_the_newest_page(self, session: Session, open_front: OpenFront) -> None:
        fill(session, 120)
        front = open_front(session)
        assert front.prompts == [f"question {number}" for number in range(119, 69, -1)]
        assert front.view.page["extent"] == "1–50 of 120"
        assert "LLM cache on" in front.view.status
        front.until(lambda: front.view.models == ["small", "large"])

    def test_turns_pages(self, front: Front) -> None:
        extents = []
        for to in ("next", "next", "next", "previous", "first", "previous", "last"):
            front.ask("go", to=to)
            extents.append(front.view.page["extent"])
        first, middle, last = "1–50 of 120", "51–100 of 120", "101–120 of 120"
        assert extents == [middle, last, last, middle, first, first, last]
        assert front.prompts[-1] == "question 0"
        assert (front.view.page["isFirst"], front.view.page["isLast"]) == (False, True)

    def test_sorts_all_entries_not_the_page(self, front: Front) -> None:
        front.ask("sort", column="answer")
        assert front.prompts[0] == "question 119"
        front.ask("sort", column="answer")
        assert front.prompts[0] == "question 0"
        front.ask("sort", column="stored")
        assert front.prompts[0] == "question 119"
        front.ask("sort", column="stored")
        assert front.prompts[0] == "question 0"

    def test_searches_prompts_and_answers_of_a_model(self, front: Front) -> None:
        front.ask("go", to="last")
        front.ask("search", text="QUESTION 11")
        assert front.view.page["extent"] == "1–11 of 11"
        front.ask("model", model="large")
        assert front.view.page["extent"] == "1–6 of 6"
        front.ask("search", text="nothing like it")
        assert (front.prompts, front.view.page["empty"]) == ([], "No entry matches.")
        front.ask("search", text="")
        front.ask("model", model=None)
        assert front.view.page["extent"] == "1–50 of 120"

    def test_hands_out_the_page_as_a_frame(self, front: Front) -> None:
        front.ask("go", to="last")
        assert list(front.panel.frame["prompt"]) == front.prompts
        assert len(front.panel.frame) == 20

    def test_a_page_that_is_gone_becomes_the_last(self, session: Session, front: Front) -> None:
        front.ask("go", to="last")
        session.clear(model="large")
        front.until(lambda: front.view.page["extent"] == "51–60 of 60")

    def test_the_browser_knows_one_page_and_short_cells(self, session: Session, front: Front) -> None:
        put(session, "long", "x" * 1_000_000, stored=1_000.0)
        front.ask("refresh")
        state = str(front.view.get_state())
        assert len(state) < 100_000
        assert "question 60" not in state


class TestEntry:
    def test_is_shown_in_full(self, front: Front) -> None:
        front.ask("choose", id=front.view.page["rows"][3]["id"])
        assert front.view.chosen == front.view.page["rows"][3]["id"]
        assert "question 116" in front.view.detail
        assert front.panel.chosen is not None
        assert front.panel.chosen.prompt == "question 116"

    def test_stays_while_pages_turn_and_goes_with_its_entry(self, session: Session, front: Front) -> None:
        front.ask("choose", id=front.view.page["rows"][3]["id"])
        front.ask("go", to="next")
        assert "question 116" in front.view.detail
        session.clear()
        front.until(lambda: front.view.chosen is None)
        assert "Choose an entry" in front.view.detail

    def test_shows_hits_as_they_come(self, session: Session, front: Front) -> None:
        front.ask("choose", id=front.view.page["rows"][0]["id"])
        entry = front.panel.chosen
        assert entry is not None
        for _ in range(3):
            session.cache.lookup(*entry.key)
        front.until(lambda: "<dt>hits</dt><dd><bdi>3</bdi></dd>" in front.view.detail)
        assert front.view.page["rows"][0]["cells"][8] == "3"

    def test_looking_changes_no_statistics(self, session: Session, front: Front) -> None:
        before = session.status()
        front.ask("choose", id=front.view.page["rows"][0]["id"])
        front.ask("lookup", prompt="question 5")
        front.ask("lookup", prompt="no such question")
        front.ask("search", text="question")
        front.ask("refresh")
        assert session.status() == before


class TestButtons:
    def test_look_up(self, session: Session, front: Front) -> None:
        put(session, "question 5", "another answer", model="third", stored=999.0)
        front.ask("lookup", prompt="  question 5 ")
        assert front.message == "Hit: 2 entries for “question 5”"
        assert "another answer" in front.view.detail
        assert "answer 115" in front.view.detail
        front.ask("lookup", prompt="question 500")
        assert front.message.startswith("Miss: nothing is cached for “question 500”")
        assert front.view.chosen is None
        front.ask("lookup", prompt=" \n")
        assert front.message == "Type the prompt to look up, as you asked it."

    def test_delete_chooses_the_next(self, session: Session, front: Front) -> None:
        front.ask("choose", id=front.view.page["rows"][3]["id"])
        front.ask("delete", id=front.view.chosen)
        assert front.message == "1 entry deleted"
        assert "question 115" in front.view.detail
        assert "question 116" not in front.prompts
        assert session.status().entries == 119

    def test_clear(self, session: Session, front: Front) -> None:
        assert front.view.page["question"] == "Remove all 120 entries?"
        front.ask("clear")
        assert front.message == "120 entries cleared"
        assert front.view.page["extent"] == "0 entries"
        assert front.view.page["isCleared"]
        assert session.status().entries == 0

    def test_clearing_a_shared_store_says_whom_it_affects(
        self, session: Session, open_front: OpenFront
    ) -> None:
        store = with_store(session, FailingCache())
        store.shared = True
        fill(session, 3)
        front = open_front(session)
        front.ask("refresh")
        question = "Remove all 3 entries, for everyone who uses FailingCache?"
        assert front.view.page["question"] == question
        front.ask("clear")
        assert (front.message, len(store)) == ("3 entries cleared", 0)

    def test_what_was_done_stays_told_when_the_table_follows(self, session: Session, front: Front) -> None:
        front.ask("delete", id=front.view.page["rows"][0]["id"])
        session.cache.update("new question", "x", [Generation("new answer")])
        front.until(lambda: front.prompts[0] == "new question")
        assert front.message == "1 entry deleted"

    def test_refresh_sees_what_made_no_event(self, session: Session, front: Front) -> None:
        put(session, "put past the session", stored=999.0)
        front.ask("refresh")
        assert front.prompts[0] == "put past the session"


class TestErrors:
    def test_before_on_it_says_so_and_wakes_up(self, session: Session, open_front: OpenFront) -> None:
        front = open_front(session)
        assert front.view.message == {
            "text": "The cache was not on yet: run `%llmcache on` first.",
            "isError": True,
        }
        front.ask("lookup", prompt="anything")
        assert "run `%llmcache on` first" in front.message
        fill(session, 3)
        session.activate()
        front.until(lambda: (front.message, len(front.prompts)) == ("", 3))

    def test_a_failing_store(self, session: Session, open_front: OpenFront) -> None:
        store = with_store(session, FailingCache())
        fill(session, 3)
        front = open_front(session)
        front.until(lambda: front.view.models)
        for kind, message, broken in (
            ("refresh", {}, "entries"),
            ("search", {"text": "question"}, "models"),
            ("lookup", {"prompt": "question 1"}, "entries"),
            ("delete", {"id": front.view.page["rows"][0]["id"]}, "delete"),
            ("clear", {}, "clear"),
        ):
            store.broken = {broken}
            front.ask(kind, **message)
            assert front.view.message["isError"], kind
            assert "OSError: disk full" in front.message
            assert len(front.prompts) == 3
        store.broken = set()
        front.ask("refresh")
        assert (front.message, len(front.prompts)) == ("", 3)

    def test_a_store_that_fails_at_opening(self, session: Session, open_front: OpenFront) -> None:
        store = with_store(session, FailingCache("entries"))
        fill(session, 3)
        front = open_front(session)
        assert "OSError: disk full" in front.message
        store.broken = set()
        front.ask("refresh")
        assert (front.message, len(front.prompts)) == ("", 3)

    def test_our_own_mistake_is_told_and_logged(self, front: Front, caplog: pytest.LogCaptureFixture) -> None:
        front.ask("go", to="nowhere")
        assert front.message == "The panel failed (KeyError: 'nowhere'). Press Refresh to try again."
        assert caplog.records[0].exc_info
        front.ask("no such kind")
        assert "no such kind" in front.message
        front.ask("refresh")
        assert front.message == ""

    def test_an_entry_that_is_already_gone(self, front: Front) -> None:
        front.ask("delete", id="0123456789ab")
        assert front.view.message["isError"]
        assert "0123456789ab" in front.message


class GatedSession(Session):
    """A session whose search for `slow` waits for `open`, and then raises `error` if there is one."""

    slow: str | None = None
    error: Exception | None = None

    def __init__(self) -> None:
        super().__init__()
        self._gate = threading.Event()

    async def aentries(self, query: Query = Query()) -> Page:
        if query.text is not None and query.text == self.slow:
            await asyncio.to_thread(self._gate.wait, PATIENCE)
            if self.error:
                raise self.error
        return await super().aentries(query)

    def open(self) -> None:
        self._gate.set()


class TestOrder:
    @pytest.mark.parametrize("error", [None, BackendError("too late")])
    def test_a_slow_search_never_replaces_a_later_one(
        self, open_front: OpenFront, error: Exception | None
    ) -> None:
        session = GatedSession()
        session.slow, session.error = "question 7", error
        fill(session, 20)
        front = open_front(session)
        front.send("search", text="question 7", n=100)
        front.ask("search", text="question 8")
        assert front.prompts == ["question 8"]
        session.open()
        front.until(lambda: front.view.done == 100)
        assert front.prompts == ["question 8"]
        assert front.view.page["text"] == "question 8"
        assert front.message == ""

    def test_messages_from_many_threads(self, front: Front) -> None:
        def turn() -> None:
            for _ in range(50):
                front.view._handle_custom_msg({"kind": "go", "to": "next", "n": 0}, [])
                front.view._handle_custom_msg({"kind": "go", "to": "first", "n": 0}, [])

        threads = [threading.Thread(target=turn) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        front.ask("go", to="last")
        assert front.prompts[-1] == "question 0"
        assert front.message == ""

    async def test_inside_a_running_loop(self, session: Session) -> None:
        fill(session, 3)
        panel = Panel(session)
        front = Front(panel)
        front.send("search", text="question 1")
        await asyncio.to_thread(front.until, lambda: front.prompts == ["question 1"])
        panel.close()


class TestStatus:
    def test_shows_the_last_of_many_calls_but_not_each(self, session: Session, front: Front) -> None:
        key = put(session, "popular").key
        front.shown.clear()
        began = time.monotonic()

        def call() -> None:
            for _ in range(1_000):
                session.cache.lookup(*key)

        threads = [threading.Thread(target=call) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        front.until(lambda: session.status().counts.hits == 4_000 and "4\u202f000 hits" in front.view.status)
        updates = [value for name, value in front.shown if name == "status"]
        assert len(updates) <= 2 + (time.monotonic() - began) / STATUS_PAUSE

    def test_follows_on_and_off(self, session: Session, front: Front) -> None:
        session.deactivate()
        front.until(lambda: "LLM cache off" in front.view.status)
        session.activate(mode="readonly")
        front.until(lambda: "mode readonly" in front.view.status)

    def test_new_entries_appear(self, session: Session, front: Front) -> None:
        session.cache.update("new question", "[('type', 'x'), ('model', 'new')]", [Generation("new answer")])
        front.until(lambda: front.prompts[0] == "new question" and "new" in front.view.models)

    def test_rests_while_no_browser_shows_it(
        self, session: Session, front: Front, open_front: OpenFront
    ) -> None:
        front.ask("shown")
        front.ask("hidden")
        front.shown.clear()
        other = open_front(session)
        session.cache.update("new question", "x", [Generation("new answer")])
        other.until(lambda: other.prompts[0] == "new question" and "121 entries" in other.view.status)
        assert front.shown == []
        front.ask("shown")
        assert front.prompts[0] == "new question"


class TestClosing:
    def test_nothing_of_closed_panels_remains(self, session: Session) -> None:
        fill(session, 3)
        subscribers, widgets = len(session.cache.events._subscribers), len(_instances)
        panels = [Panel(session) for _ in range(30)]
        assert len(session.cache.events._subscribers) == subscribers + 30
        watched = [weakref.ref(panel) for panel in panels]
        while panels:
            panels.pop().close()
        assert (len(session.cache.events._subscribers), len(_instances)) == (subscribers, widgets)
        assert len([thread for thread in threading.enumerate() if thread.name == "llmcache-panel"]) == 1
        session.cache.lookup("after", "all")
        # what was at work when they closed ends first
        end = time.monotonic() + PATIENCE
        while any(panel() for panel in watched) and time.monotonic() < end:
            gc.collect()
        assert not any(panel() for panel in watched)

    def test_closing_twice_and_during_work(self, open_front: OpenFront) -> None:
        session = GatedSession()
        fill(session, 3)
        front = open_front(session)
        session.slow = "slow"
        front.send("search", text="slow")
        front.panel.close()
        front.panel.close()
        session.open()


class TestOutput:
    def test_a_table_stands_beside_the_widget(self, session: Session) -> None:
        fill(session, 60)
        put(session, "<script>alert(1)</script>\x00\ud800", "<img src=x onerror=alert(1)>", stored=99.0)
        panel = Panel(session)
        bundle = panel._repr_mimebundle_()
        assert bundle["application/vnd.jupyter.widget-view+json"]["model_id"] == panel.view.model_id
        assert bundle["text/html"].count("<tr>") == 1 + PAGE_SIZE
        assert "&lt;script&gt;" in bundle["text/html"]
        assert "<script" not in bundle["text/html"] + panel.view.detail + panel.view.status
        assert "1 of" not in bundle["text/plain"]
        assert "50 of 61 entries" in bundle["text/plain"]
        str(panel.view.get_state()).encode()
        panel.close()

    def test_static(self, session: Session) -> None:
        fill(session, 60)
        static = static_panel(session)
        assert repr(static).startswith("LLM cache on · 60 entries")
        assert "question 59" in repr(static)
        assert "question 59" in static._repr_html_()

    def test_hostile_entries_can_be_sent(self, session: Session, front: Front) -> None:
        hostile = "<b>\x00\x1b[31m\u202e\ud800 '\"&</b>"
        entry = Entry((hostile, f"[('type', 'x'), ('model', '{hostile[:8]}')]"), [Generation(hostile)], 999.0)
        session.cache.backend.put(entry)
        front.ask("refresh")
        front.ask("choose", id=entry.id)
        front.ask("lookup", prompt=hostile)
        front.ask("model", model=front.view.models[0])
        front.ask("search", text=hostile)
        state = str(front.view.get_state())
        state.encode()
        assert not {"\x00", "\x1b", "\u202e"} & set(state)
        assert "<b>" not in front.view.detail


def with_store(session: Session, store: FailingCache) -> FailingCache:
    """The session with this store in place of its own."""
    session.cache.backend = store
    return store
