"""A store as it should be, with values in it that none would write."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from llmcache_jupyter import Generation, StoreError
from llmcache_jupyter.caches import Query
from llmcache_jupyter.caches.sqlite import SQLiteCache
from tests.caches.contract import answer, configuration, entry
from tests.caches.sqlite_files import altered


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "notes.sqlite"


PLANTED = {
    "order text": "UPDATE entries SET used = 'abc'",
    "order at its end": "UPDATE entries SET used = 9223372036854775807",
    "order no number": "UPDATE entries SET used = 9e999",
    "rows at their end": "UPDATE sqlite_sequence SET seq = 9223372036854775807",
    "rows no number": "UPDATE sqlite_sequence SET seq = 'abc'",
    "state gone": "DELETE FROM state",
    "state text": "UPDATE state SET name = x'ff', value = 'abc'",
    "state at its end": "UPDATE state SET value = 9223372036854775807",
    "counts too many": "UPDATE llm_strings SET entries = 9223372036854775807",
    "counts negative": "UPDATE llm_strings SET entries = -5",
    "counts no number": "UPDATE llm_strings SET entries = x'00'",
    "configurations gone": "DELETE FROM llm_strings",
    "configurations no text": "UPDATE llm_strings SET text = 5, model = x'00ff'",
    "model no text": "UPDATE entries SET model = x'00ff'",
    "numbers infinite": "UPDATE entries SET stored = 9e999, took = -9e999, last_used = 9e999",
    "numbers of the last hours": "UPDATE entries SET stored = 253402300799.0, last_used = 253402300799.0",
    "numbers negative": "UPDATE entries SET stored = -1, took = -1, tokens = -1, hits = -5, last_used = -1",
    "numbers huge": "UPDATE entries SET stored = 1e308, took = 1e308, tokens = 1 << 62, hits = ~(1 << 63)",
    "numbers none": "UPDATE entries SET stored = 'a', took = x'', tokens = 'a', hits = 'a', last_used = ''",
    "text none": "UPDATE entries SET cell = x'ff', sent = 5, prompt_text = x'', answer_text = 5, prompt = 0",
    "text not UTF-8": "UPDATE entries SET cell = CAST(x'ff' AS TEXT), sent = CAST(x'ff' AS TEXT), "
    "prompt = CAST(x'fe' AS TEXT), generations = CAST(x'ff' AS TEXT), model = CAST(x'ff' AS TEXT)",
    "models not UTF-8": "UPDATE llm_strings SET model = CAST(x'ff' AS TEXT), text = CAST(x'ff' AS TEXT)",
    "answers text": "UPDATE entries SET generations = CAST(generations AS TEXT)",
    "answers no JSON": "UPDATE entries SET generations = x'00'",
    "answers too long": "UPDATE entries SET generations = zeroblob(33554433) WHERE row = 1",
    "prompts too long": "UPDATE entries SET prompt = zeroblob(33554433) WHERE row = 1",
    "digests no digests": "UPDATE entries SET digest = row",
    "index unknown": "DELETE FROM search_config",
}
_TO_INBOX = (
    """INSERT INTO inbox SELECT row, entries.digest, entries.model, stored, took, tokens, cell, hits,
    last_used, generations, sent, prompt, text, answer_text FROM entries JOIN llm_strings ON llm = id""",
    "DELETE FROM entries WHERE row > 2",
    "UPDATE llm_strings SET entries = 2",
)
INBOX = {
    "numbers none": "UPDATE inbox SET stored = 'a', took = x'', tokens = 'a', hits = 'a'",
    "numbers huge": "UPDATE inbox SET stored = 9e999, took = -9e999, tokens = 1 << 62, hits = ~(1 << 63)",
    "text none": "UPDATE inbox SET cell = x'ff', sent = 5, model = x'00ff', answer_text = 5, prompt = 0",
    "text not UTF-8": "UPDATE inbox SET prompt = CAST(x'fe' AS TEXT), llm_string = CAST(x'ff' AS TEXT), "
    "sent = CAST(x'ff' AS TEXT), generations = CAST(x'ff' AS TEXT), answer_text = CAST(x'ff' AS TEXT)",
    "nested": f"UPDATE inbox SET prompt = CAST('{'[' * 3_000}' AS BLOB)",
    "nested in a chat": 'UPDATE inbox SET prompt = CAST(\'[{"lc":1,"kwargs":{"role":'
    f"{'[' * 900 + ']' * 900}" + "}}]' AS BLOB)",
    "too long": "UPDATE inbox SET answer_text = zeroblob(33554433), cell = answer_text WHERE row = 1",
    "digests no digests": "UPDATE inbox SET digest = row",
    "rows at their end": "UPDATE inbox SET row = 9223372036854775807 WHERE row = 5",
}


class TestPlanted:
    """A store as it should be, with values in it that none would write."""

    @pytest.mark.parametrize("name", PLANTED)
    def test_it_answers_or_raises_a_store_error(self, name: str, path: Path) -> None:
        altered(PLANTED[name])(path)
        known = entry("prompt 0")
        with SQLiteCache(path) as cache:
            uses: list[Callable[[], Any]] = [
                lambda: cache.lookup(*known.key),
                lambda: cache.entries(Query(text="prompt")),
                cache.models,
                lambda: list(cache.keys()),
                lambda: cache.holds(known),
                lambda: len(cache),
                lambda: cache.put(entry("new")),
                lambda: cache.configure(maxsize=3, policy="lru", ttl=1e12),
                lambda: cache.delete([known.id]),
                cache.clear,
            ]
            for use in uses:
                with suppress(StoreError):
                    use()

    @pytest.mark.parametrize("name", PLANTED)
    def test_what_is_listed_can_be_shown(self, name: str, path: Path) -> None:
        altered(PLANTED[name])(path)
        with SQLiteCache(path) as cache:
            for found in cache.entries().entries:
                for text in (found.prompt, found.key[1], found.cell or "", found.model or ""):
                    assert isinstance(text, str)
                assert all(isinstance(one, Generation) for one in found.generations)
                for number in (found.stored, found.took, found.tokens, found.hits, found.last_used):
                    assert number is None or 0 <= number < 2**63
            assert all(isinstance(model, str | None) for model in cache.models())

    @pytest.mark.parametrize("name", INBOX)
    def test_what_waits_in_the_inbox_keeps_nothing_from_being_listed(self, name: str, path: Path) -> None:
        altered(*_TO_INBOX, INBOX[name])(path)
        with SQLiteCache(path) as cache:
            cache.put(entry("new"))
            assert cache.lookup(*entry("new").key) == answer()
            listed = cache.entries(Query(limit=None)).entries
            assert "new" in {one.prompt for one in listed}
            assert all(isinstance(one.prompt, str) for one in listed)
            assert len(cache) == len(listed)
        with SQLiteCache(path) as cache:
            assert cache.entries(Query(text="new")).total == 1

    @pytest.mark.parametrize("name", [name for name in PLANTED if name.startswith("numbers")])
    def test_no_planted_moment_keeps_an_answer_from_being_stored(self, name: str, path: Path) -> None:
        altered(PLANTED[name])(path)
        mine = entry("prompt 0", text="mine", stored=2_000.0)
        with SQLiteCache(path) as cache:
            assert cache.stored_when([mine.key]).get(mine.key, 0.0) == 0.0
            assert cache.put_latest([mine]) == set()
            assert cache.get(mine.key) == mine

    def test_the_others_are_still_there(self, path: Path) -> None:
        altered("UPDATE entries SET generations = x'00', prompt = CAST(x'ff' AS TEXT) WHERE row = 2")(path)
        with SQLiteCache(path) as cache:
            assert cache.lookup(*entry("prompt 0").key) == answer()
            assert cache.lookup(*entry("prompt 1").key) is None
            page = cache.entries(Query(sort="stored", descending=False))
            assert [bool(found.generations) for found in page.entries] == [True, False, True, True, True]
            cache.put(entry("prompt 1"))
            assert cache.lookup(*entry("prompt 1").key) == answer()

    def test_a_long_configuration_is_read_once_for_all(self, path: Path) -> None:
        long = configuration("m") + "x" * 5_000_000
        with SQLiteCache(path) as cache:
            for number in range(100):
                cache.update(str(number), long, answer())
            found = {id(one.key[1]) for one in cache.entries(Query(limit=None)).entries}
            assert (len(found), len({id(key[1]) for key in list(cache.keys())})) == (1, 1)
