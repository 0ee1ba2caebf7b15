"""Tab completion of `%llmcache` lines."""

from __future__ import annotations

import pytest
from IPython.core.completer import provisionalcompleter

from llmcache_jupyter.caches import Entry, Generation, InMemoryCache, Page, Query
from llmcache_jupyter.caches.entry import entry_id
from llmcache_jupyter.notebook.arguments import COLUMNS
from tests.notebook.conftest import Notebook


def offered(notebook: Notebook, line: str) -> list[str]:
    """What the line's last word may become."""
    with provisionalcompleter():
        return [found.text for found in notebook.shell.Completer.completions(line, len(line))]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("%llmcache st", ["stats", "status"]),
        ("  x = %llmcache en", ["entries"]),
        ("%llmcache on --", ["--load", "--maxsize", "--mode", "--policy", "--store", "--ttl"]),
        ("%llmcache on --maxsize 5 --m", ["--mode"]),
        ("%llmcache on --policy ", ["fifo", "lru"]),
        ("%llmcache on --mode re", ["readonly", "refresh", "replay"]),
        ("%llmcache on --ttl ", ["none"]),
        ("%llmcache entries capital --sort last", ["last-used"]),
        ("%llmcache entries --sort ", sorted(COLUMNS)),
        ("%llmcache entries --f", ["--full"]),
        ("%llmcache clear --o", ["--older-than"]),
        ("%llmcache entries --model ", ["cedar", "gpt"]),
        ("%llmcache lookup What? --model g", ["gpt"]),
        ("%llmcache panel ", ["--static"]),
        ("%%llmcache re", ["readonly", "refresh", "replay"]),
        ("%%llmcache ", ["off", "on", "readonly", "refresh", "replay"]),
    ],
)
def test_what_is_offered(filled: Notebook, line: str, expected: list[str]) -> None:
    assert sorted(offered(filled, line)) == expected


def test_subcommands(notebook: Notebook) -> None:
    assert {"on", "off", "clear", "entries", "lookup", "delete", "stats", "last", "panel", "help"} <= set(
        offered(notebook, "%llmcache ")
    )


def test_entry_ids(filled: Notebook) -> None:
    ids = set(filled.run("%llmcache entries").value["id"])
    assert set(offered(filled, "%llmcache delete ")) == ids
    some = min(ids)
    assert some in offered(filled, f"%llmcache delete {some[:3]}")
    assert set(offered(filled, f"%llmcache delete {some} ")) == ids - {some}


class WatchedCache(InMemoryCache):
    """A cache that remembers what was looked for."""

    def __init__(self) -> None:
        super().__init__()
        self.queries: list[Query] = []

    def entries(self, query: Query = Query()) -> Page:
        self.queries.append(query)
        return super().entries(query)


def test_ids_of_what_can_be_explained(filled: Notebook) -> None:
    cache = filled.session.cache
    stored = set(filled.run("%llmcache entries").value["id"])
    cache.lookup("asked, and never answered", "[('model', 'gpt')]")
    lost = cache.missed.all()[0].id
    assert lost not in stored
    assert set(offered(filled, "%llmcache why ")) == {lost, *stored}
    assert lost in offered(filled, f"x = %llmcache why {lost[:3]}")
    assert not {lost, *stored} & set(offered(filled, f"%llmcache why {lost} "))


def test_ids_to_explain_are_looked_for_only_where_no_recent_one_fits(filled: Notebook) -> None:
    cache = filled.session.cache
    watched = cache.backend = WatchedCache()
    for number in range(1000):
        watched.put(Entry((str(number), "[('model', 'gpt')]"), [Generation("yes")], float(number)))
    oldest = entry_id(("0", "[('model', 'gpt')]"))
    cache.lookup("asked, and never answered", "[('model', 'gpt')]")
    lost = cache.missed.all()[0].id

    assert lost in offered(filled, f"%llmcache why {lost[:2]}")
    assert len(offered(filled, "%llmcache why ")) >= 200
    assert {query.id for query in watched.queries} == {None}
    assert offered(filled, f"%llmcache why {oldest}") == [oldest]
    assert watched.queries[-1].id == oldest


def test_before_on_nothing_is_known_and_nothing_fails(notebook: Notebook) -> None:
    for line in ("%llmcache delete abc", "%llmcache why abc", "%llmcache entries --model gp"):
        assert offered(notebook, line) == []


def test_other_lines_are_left_alone(filled: Notebook) -> None:
    filled.shell.user_ns["status_of_mine"] = 1
    assert "status_of_mine" in offered(filled, "status_of")
    assert "fifo" not in offered(filled, "llmcache on --policy ")
