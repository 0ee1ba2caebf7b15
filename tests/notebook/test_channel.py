"""The kernel's side of the extension, driven as a front end drives it; rude ones and broken stores too."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

from llmcache_jupyter.caches import Entry, Generation
from llmcache_jupyter.errors import CacheMissError
from llmcache_jupyter.notebook.channel import Channel
from llmcache_jupyter.notebook.protocol import EVENTS, KINDS, QUERIES, VERSION, state_message
from llmcache_jupyter.notebook.tallies import MAX_CELLS, Tallies
from llmcache_jupyter.session.events import Hit
from llmcache_jupyter.session.scope import CellRun, Mode, end_run, start_run
from llmcache_jupyter.session.session import Session
from tests.fakes import FailingCache

EXAMPLES = Path(__file__).parent.parent / "protocol"
PATIENCE = 20.0
SMALL = "[('model', 'small'), ('temperature', 0)]"


class Comm:
    """One end of a comm, as the `comm` package hands it out. `sent` is what the kernel said."""

    def __init__(self, target_name: str, data: Any = None) -> None:
        self.target_name = target_name
        self.comm_id = "COMM"
        self.sent: list[Any] = [] if data is None else [data]
        self.is_closed = False
        self.changed = threading.Condition()
        self.handle_msg: Callable[[Any], None]
        self._on_close: Callable[[Any], None] = lambda _: None

    def on_close(self, callback: Callable[[Any], None]) -> None:
        self._on_close = callback

    def send(self, data: Any) -> None:
        with self.changed:
            self.sent.append(json.loads(json.dumps(data)))
            self.changed.notify_all()

    def close(self) -> None:
        self.is_closed = True

    def tell(self, data: Any) -> None:
        """The front end sends a message."""
        self.handle_msg({"content": {"data": data}})

    def leave(self) -> None:
        """The front end closes the comm."""
        self._on_close({})

    def until(self, holds: Callable[[Any], object]) -> Any:
        """The state that makes `holds` true, once it is pushed."""
        with self.changed:
            assert self.changed.wait_for(lambda: holds(self.sent[-1]["session"]), PATIENCE), self.sent[-1]
            return self.sent[-1]["session"]


class Comms:
    """The kernel's comms: those it opened, and the targets that a front end can open one for."""

    def __init__(self) -> None:
        self.opened: list[Comm] = []
        self.targets: dict[str, Callable[..., None]] = {}

    def open(self, *, target_name: str, data: Any) -> Comm:
        self.opened.append(Comm(target_name, data))
        return self.opened[-1]

    def register_target(self, name: str, callback: Callable[..., None]) -> None:
        self.targets[name] = callback

    def unregister_target(self, name: str, callback: Callable[..., None]) -> None:
        assert self.targets.pop(name) == callback


class Front:
    """A front end that knows the extension."""

    def __init__(self, shell: InteractiveShell, session: Session) -> None:
        self.comms = Comms()
        self.planned: list[tuple[str, Mode]] = []
        self.shell = shell
        self.channel = Channel(
            self.shell,
            session,
            lambda cell, mode: self.planned.append((cell, mode)),
            open_comm=self.comms.open,
            targets=lambda: self.comms,
        )
        self.channel.attach()
        self.queries = Comm(QUERIES)
        self.comms.targets[QUERIES](self.queries, {})

    @property
    def events(self) -> Comm:
        return self.comms.opened[-1]

    def ask(self, kind: str, **asks: Any) -> Any:
        """The result of a query."""
        reply = self.reply(kind, **asks)
        assert "error" not in reply, reply
        return reply["result"]

    def reply(self, kind: str, **asks: Any) -> Any:
        before = len(self.queries.sent)
        self.queries.tell({"version": VERSION, "id": before, "kind": kind, **asks})
        assert len(self.queries.sent) == before + 1  # once, and when the handler returns
        reply = self.queries.sent[-1]
        assert (reply["version"], reply["id"], reply["kind"]) == (VERSION, before, kind)
        return reply


@pytest.fixture
def front(shell: InteractiveShell, session: Session) -> Iterator[Front]:
    front = Front(shell, session)
    yield front
    if front.comms.targets:
        front.channel.detach()


def call(session: Session, prompt: str, answer: str = "yes") -> None:
    """A client's call."""
    if session.cache.lookup(prompt, SMALL) is None:
        session.cache.update(prompt, SMALL, [Generation(answer)])


class Cell:
    """A block whose calls belong to a run of this cell."""

    def __init__(self, cell: str, count: int) -> None:
        self._run = CellRun(cell, f"[{count}]")

    def __enter__(self) -> None:
        start_run(self._run)

    def __exit__(self, *_: object) -> None:
        end_run()


def test_golden_state() -> None:
    assert json.loads((EXAMPLES / "state.json").read_text()) == state_message(
        {
            "active": True,
            "mode": "on",
            "entries": 2,
            "maxsize": 500,
            "hits": 1,
            "misses": 2,
            "seconds_saved": 2.5,
            "tokens_saved": None,
            "store": "notes.sqlite",
            "shared": False,
            "failing": False,
            "notes": [],
            "changes": 7,
            "cells": {"a-cell": {"label": "[4]", "hits": 1, "misses": 2, "failed": 0, "seconds_saved": 2.5}},
        }
    )


def test_golden_queries(front: Front, session: Session) -> None:
    session.activate()
    entry = Entry(
        ("The capital of Kenya?", SMALL),
        [Generation("Nairobi.")],
        1_700_000_000.0,
        took=2.5,
        tokens=12,
        cell="a-cell",
    )
    with Cell("a-cell", 4):
        session.cache.lookup(*entry.key)
        session.cache.update(*entry.key, entry.generations)
    session.cache.backend.put(entry)
    with Cell("b-cell", 5):
        session.cache.lookup("The capital of Kenia?", SMALL)
    (missed, *_) = session.cache.missed.all()
    examples = (EXAMPLES / "queries.json").read_text()
    clock = time.strftime("%H:%M:%S", time.localtime(missed.at))
    for name, value in {"ENTRY": entry.id, "MISSED": missed.id, "CLOCK": clock}.items():
        examples = examples.replace(name, value)
    exchanges = json.loads(examples)

    for exchange in exchanges:
        front.queries.tell(exchange["request"])
        assert front.queries.sent.pop() == exchange["reply"]
    assert {exchange["request"]["kind"] for exchange in exchanges} == {*KINDS, "sing"}
    assert front.planned == [("a-cell", "refresh")]


def test_announces_itself_with_the_whole_state(front: Front) -> None:
    assert front.events.target_name == EVENTS
    message = front.events.sent[0]
    assert (message["version"], message["kind"], message["session"]["active"]) == (VERSION, "state", False)
    assert "state" not in message  # nbclient would save it as a widget's


def test_pushes_what_happens_and_never_prompts(front: Front, session: Session) -> None:
    session.activate(maxsize=500)
    with Cell("a", 3):
        call(session, "a secret prompt")
        call(session, "a secret prompt")
    state = front.events.until(lambda state: state["hits"] == 1)

    assert (state["active"], state["entries"], state["maxsize"], state["misses"]) == (True, 1, 500, 1)
    assert state["cells"]["a"]["label"] == "[3]"
    assert (state["cells"]["a"]["hits"], state["cells"]["a"]["misses"]) == (1, 1)
    assert "secret" not in json.dumps(front.events.sent)


def test_many_calls_are_few_pushes_and_the_last_is_told(front: Front, session: Session) -> None:
    session.activate()
    for number in range(2_000):
        call(session, str(number))
    front.events.until(lambda state: state["entries"] == 2_000)
    assert len(front.events.sent) < 50


def test_a_cell_that_runs_again_has_no_counts_until_it_calls(front: Front, session: Session) -> None:
    session.activate()
    with Cell("a", 1):
        call(session, "one")
    front.events.until(lambda state: "a" in state["cells"])
    front.shell.events.trigger("pre_run_cell", SimpleNamespace(cell_id="a"))
    front.events.until(lambda state: "a" not in state["cells"])
    with Cell("a", 2):
        call(session, "one")
    state = front.events.until(lambda state: "a" in state["cells"])
    assert (state["cells"]["a"]["label"], state["cells"]["a"]["misses"]) == ("[2]", 0)


def test_a_cell_has_the_calls_of_those_it_runs_and_none_in_mode_off(front: Front, session: Session) -> None:
    session.activate()
    outer = CellRun("outer", "[1]")
    start_run(CellRun("inner", "[1]", outer=outer))
    call(session, "one")
    end_run()
    session.mode = "off"
    with Cell("b", 2):
        call(session, "one")
    assert list(front.channel.state()["cells"]) == ["outer"]


def test_a_replay_miss_counts_as_failed(front: Front, session: Session) -> None:
    session.activate(mode="replay")
    with Cell("a", 1), pytest.raises(CacheMissError):
        call(session, "never recorded")
    assert front.channel.state()["cells"]["a"]["failed"] == 1
    (entry,) = front.ask("cell", cell="a")["entries"]
    assert (entry["failed"], entry["row"]["prompt"], entry["row"]["stored"]) == (1, "never recorded", None)
    why = front.ask("why", entry=entry["id"])
    assert why["reason"] == "Nothing was stored at all."


def test_the_last_miss_is_a_call_or_its_entry(front: Front, session: Session) -> None:
    session.activate()
    assert front.ask("missed") is None
    call(session, "one")
    with Cell("a", 1):
        session.cache.lookup("two", SMALL)
    call(session, "one")  # a hit
    missed = front.ask("missed")
    assert (missed["prompt"], missed["cell"], missed["stored"]) == ("two", "a", None)
    call(session, "two")
    entry = front.ask("missed")
    assert (entry["id"], entry["answer"], entry["stored"] is None) == (missed["id"], "yes", False)


def test_a_call_that_is_not_remembered_is_told_as_such(front: Front, session: Session) -> None:
    session.activate()
    with Cell("a", 1):
        call(session, "one")
        session.cache.lookup("two", SMALL)
    for number in range(200):
        session.cache.lookup(str(number), SMALL)
    stored, lost = front.ask("cell", cell="a")["entries"]
    assert (stored["row"]["prompt"], lost["row"]) == ("one", None)
    for one in (stored, lost):
        why = front.ask("why", entry=one["id"])
        assert why["reason"] == ("This miss is no longer known: the kernel remembers only its latest ones.")
        assert (why["nearest"], why["differences"]) == (None, [])


def test_an_explanation_is_harmless_short_and_without_secrets(front: Front, session: Session) -> None:
    session.activate()
    tool = "\u202e<img src=x onerror=alert(1)>" + 100_000 * "y"
    call(session, "What is it?")
    pairs = [("api_key", "sk-0123456789"), ("model", "small"), ("tools", [{"name": tool}])]
    with Cell("a", 1):
        session.cache.lookup("What is it? null \0", str(pairs))
    ((entry),) = front.ask("cell", cell="a")["entries"]
    why = front.ask("why", entry=entry["id"])
    words = [difference["words"] for difference in why["differences"]]
    assert any("\\u202e<img" in one for one in words)
    text = json.dumps(why)
    assert "\u202e" not in text
    assert "0123456789" not in text
    assert len(text) < 10_000


def test_of_many_calls_those_that_missed_are_told(front: Front, session: Session) -> None:
    session.activate()
    for number in range(60):
        call(session, f"question {number}")
    with Cell("a", 1):
        for number in range(60):
            call(session, f"question {number}")
        call(session, "another")
    cell = front.ask("cell", cell="a")
    assert cell["total"] == 61
    prompts = [entry["row"]["prompt"] for entry in cell["entries"]]
    assert prompts == ["another", *(f"question {number}" for number in range(24))]


def test_survives_a_front_end_that_closes_the_events(front: Front, session: Session) -> None:
    first = front.events
    first.leave()
    call(session, "one")
    session.activate()
    assert front.events is not first
    assert front.events.sent[0]["session"]["active"]


def test_a_front_end_that_comes_later_learns_the_state_and_where_it_is_pushed(front: Front) -> None:
    result = front.ask("state")
    assert result["state"] == front.events.sent[0]["session"]
    assert result["comm"] == front.events.comm_id
    front.events.leave()
    front.ask("state")
    assert len(front.comms.opened) == 2


def test_unloading_closes_the_comms(front: Front, session: Session) -> None:
    front.channel.detach()
    assert front.events.is_closed
    assert front.queries.is_closed
    assert front.comms.targets == {}
    sent = len(front.events.sent)
    session.activate()
    call(session, "one")
    assert len(front.events.sent) == sent


def test_a_page_of_entries_by_search_and_model(front: Front, session: Session) -> None:
    session.activate()
    for number in range(120):
        call(session, f"question {number}")
    page = front.ask("entries", text=None, model=None, sort="stored", descending=True, offset=100, limit=50)
    assert (len(page["rows"]), page["total"]) == (20, 120)
    assert page["rows"][0]["prompt"] == "question 19"
    found = front.ask(
        "entries", text="ION 77", model="small", sort="stored", descending=True, offset=0, limit=9
    )
    assert [row["prompt"] for row in found["rows"]] == ["question 77"]


def test_hostile_entries_are_sent_as_harmless_text(front: Front, session: Session) -> None:
    session.activate()
    call(session, "null \0, lone \ud800, turned \u202e", "\x1b[31mred")
    call(session, "x" * 250_000, "y" * 250_000)
    asks = {"text": None, "model": None, "sort": "stored", "descending": False, "offset": 0, "limit": 9}
    harmless, long = front.ask("entries", **asks)["rows"]
    assert harmless["prompt"] == "null \\x00, lone \\ud800, turned \\u202e"
    assert harmless["answer"] == "\\x1b[31mred"
    whole = front.ask("entry", entry=long["id"])
    assert whole["answers"][0]["left"] == whole["messages"][0]["left"] == 150_000


def test_no_secret_of_a_configuration_is_sent(front: Front, session: Session) -> None:
    session.activate()
    key = ("prompt", "[('model', 'small'), ('api_key', 'sk-0123456789')]")
    session.cache.backend.put(Entry(key, [Generation("yes")], 1.0))
    (found,) = front.ask("entries", text=None, model=None, sort="stored", descending=True, offset=0, limit=9)[
        "rows"
    ]
    assert front.ask("entry", entry=found["id"])["parameters"] == {"api_key": "***", "model": "small"}
    session.configure(store="redis://user:password@127.0.0.1:1/0")
    assert "password" not in json.dumps(front.channel.state())


def test_delete_and_clear(front: Front, session: Session) -> None:
    session.activate()
    for prompt in "abc":
        call(session, prompt)
    (first, *_) = front.ask(
        "entries", text=None, model=None, sort="stored", descending=True, offset=0, limit=9
    )["rows"]
    assert front.ask("delete", entry=first["id"]) == {"removed": 1}
    assert front.ask("clear", shared=False) == {"removed": 2}


def test_switches_on_in_a_mode_and_off(front: Front, session: Session) -> None:
    front.ask("switch", active=True, mode="readonly")
    assert (session.active, session.mode) == (True, "readonly")
    front.ask("switch", active=False, mode=None)
    front.ask("switch", active=True, mode=None)
    assert (session.active, session.mode) == (True, "readonly")


@pytest.mark.parametrize(
    ("asks", "code", "words"),
    [
        ({"kind": "entry", "entry": "beef"}, "refused", "No entry's id begins with 'beef'"),
        ({"kind": "switch", "active": True, "mode": "sing"}, "refused", "There is no mode 'sing'"),
        ({"kind": "entry"}, "request", "`entry` of `entry` is None, which is no str."),
        ({"kind": "switch", "active": "yes"}, "request", "`active` of `switch` is 'yes', which is no bool."),
        ({"kind": "models", "version": 0}, "version", "in JupyterLab's environment"),
        ({"kind": "models", "version": None}, "version", "speaks protocol 1, JupyterLab's speaks None"),
    ],
)
def test_each_request_is_answered_errors_included(
    front: Front, session: Session, asks: dict[str, Any], code: str, words: str
) -> None:
    session.activate()
    front.queries.tell({"version": VERSION, "id": 5, **asks})
    (reply,) = front.queries.sent
    assert (reply["id"], reply["kind"], reply["error"]["code"]) == (5, asks["kind"], code)
    assert words in reply["error"]["message"]


@pytest.mark.parametrize("data", [None, [], "text", {}])
def test_nonsense_is_answered_too(front: Front, data: Any) -> None:
    front.queries.tell(data)
    (reply,) = front.queries.sent
    assert reply["error"]["code"] in ("request", "version")


def test_a_failing_store_is_told(front: Front, session: Session) -> None:
    session.activate()
    broken = FailingCache("entries", "get")
    session.cache.backend = broken
    with pytest.warns(match="store failed"):
        call(session, "one")
    state = front.channel.state()
    assert state["failing"]
    assert "disk full" in state["notes"][0]


def test_before_the_first_on_a_query_is_refused_with_the_command(front: Front) -> None:
    reply = front.reply("models")
    assert reply["error"] == {
        "code": "refused",
        "message": "The cache was not on yet: run `%llmcache on` first.",
    }


def test_a_bug_is_an_answer_and_a_log_entry(
    front: Front, session: Session, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "models", lambda: 1 / 0)
    reply = front.reply("models")
    assert reply["error"]["code"] == "failed"
    assert "ZeroDivisionError" in reply["error"]["message"]
    assert "a query failed" in caplog.text


def test_tallies_forget_the_oldest_cells_and_are_safe_under_threads() -> None:
    tallies = Tallies()
    hit = Hit("id", None, None, 0.0, seconds=0.5, tokens=None)

    def count(start: int) -> None:
        for number in range(start, start + MAX_CELLS):
            tallies.count(CellRun(str(number), f"[{number}]"), hit)

    threads = [threading.Thread(target=count, args=(500 * part,)) for part in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(tallies.counts()) == MAX_CELLS


def test_a_shared_store_is_told_of_and_cleared_only_when_that_is_meant(
    front: Front, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    session.activate()
    call(session, "one")
    monkeypatch.setattr(type(session), "shared_store", "redis://host/0")
    assert front.channel.state()["shared"]
    refused = front.reply("clear", shared=False)["error"]
    assert refused["code"] == "refused"
    assert "Everyone who uses redis://host/0" in refused["message"]
    assert front.ask("clear", shared=True) == {"removed": 1}
