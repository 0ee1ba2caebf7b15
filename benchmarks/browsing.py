"""Opening a panel and one search, with few entries and with many."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.inputs import ANSWER, fresh_keys
from benchmarks.report import Row, Target
from benchmarks.timing import Pass, in_turns, now
from llmcache_jupyter import Query, Session
from llmcache_jupyter.notebook.panel import Panel
from llmcache_jupyter.notebook.protocol import VERSION
from llmcache_jupyter.notebook.queries import Queries
from llmcache_jupyter.notebook.tallies import Tallies


def panel(few: int, many: int, rounds: int) -> Iterator[Row]:
    """Opening: until the panel holds its first page. The search finds one entry."""
    sessions = {size: _session(size) for size in (many, few)}
    try:
        yield _row(
            "open the panel", [_opening(session) for session in sessions.values()], rounds, Target(1.5)
        )
        searches = [_searching(session, "country 0?") for session in sessions.values()]
        yield _row("search", searches, max(1, rounds // 10), None)
        yield _row(
            "side panel's first page",
            [_answering(session) for session in sessions.values()],
            rounds,
            Target(2),
        )
    finally:
        for session in sessions.values():
            session.deactivate()


def _session(size: int) -> Session:
    session = Session()
    session.activate()
    for prompt, llm_string in fresh_keys(range(size)):
        session.cache.backend.update(prompt, llm_string, [ANSWER])
    return session


def _row(what: str, passes: list[Pass], rounds: int, target: Target | None) -> Row:
    many, few = passes
    result = in_turns(many, few, rounds)
    return Row(what, result.ours, result.other, result.ratio, target)


def _opening(session: Session) -> Pass:
    def open_panel() -> float:
        begin = now()
        opened = Panel(session)
        took = now() - begin
        opened.close()
        return took

    return open_panel


def _answering(session: Session) -> Pass:
    """What the JupyterLab extension waits for when its panel is opened, without the way to the browser."""
    queries = Queries(session, Tallies(), state=dict, plan=lambda _cell, _mode: None)
    asks = {"text": None, "model": None, "sort": "stored", "descending": True, "offset": 0, "limit": 50}

    def answer() -> float:
        begin = now()
        reply = queries.answer({"version": VERSION, "id": 1, "kind": "entries", **asks})
        took = now() - begin
        assert reply["result"]["rows"]
        return took

    return answer


def _searching(session: Session, text: str) -> Pass:
    def search() -> float:
        begin = now()
        page = session.entries(Query(text=text))
        took = now() - begin
        assert page.total == 1
        return took

    return search
