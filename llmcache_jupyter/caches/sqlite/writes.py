"""What changes the entries of a store: steps within the caller's transaction."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable
from typing import Any

from llmcache_jupyter.caches.field import LATEST, shown, to_bytes
from llmcache_jupyter.caches.limits import Limits
from llmcache_jupyter.caches.prompt import prompt_text
from llmcache_jupyter.caches.sqlite.inbox import take
from llmcache_jupyter.caches.sqlite.query import count, indexed_up_to
from llmcache_jupyter.caches.sqlite.rows import to_text
from llmcache_jupyter.caches.uses import Use

# So many entries are put into the index of trigrams at once. Until then a search reads them one by one.
_INDEXED_AT_ONCE = 64

_MOST = 2**53  # a file may hold any number, and things that are none

_COUNT = """INSERT INTO llm_strings (digest, model, entries, text)
    VALUES (:llm_digest, :model, 1, :llm_string)
    ON CONFLICT (digest) DO UPDATE SET entries = entries + 1"""
_INSERT = """INSERT INTO entries (
        digest, llm, model, stored, took, tokens, cell, hits, last_used, used, generations, sent, prompt_text,
        answer_text, prompt
    ) SELECT
        :digest, id, :model, :stored, :took, :tokens, :cell, :hits, :last_used,
        (SELECT coalesce(max(used), 0) + 1 FROM entries), :generations, :sent, :prompt_text, :answer_text,
        :prompt
    FROM llm_strings WHERE digest = :llm_digest"""
_LATER = f"""SELECT 1 FROM entries
    WHERE digest = :digest AND stored > :stored AND typeof(stored) = 'real' AND stored <= {LATEST}"""
_INDEX = """INSERT INTO search (rowid, prompt_text, answer_text)
    SELECT row, prompt_text, answer_text FROM entries WHERE row > ? AND row <= ? ORDER BY row"""
_UNINDEX = """INSERT INTO search (search, rowid, prompt_text, answer_text)
    SELECT 'delete', row, prompt_text, answer_text FROM entries
    WHERE row IN (SELECT row FROM temp.leaving) AND row <= (SELECT value FROM state WHERE name = 'indexed')"""
_UNCOUNT = """UPDATE llm_strings SET entries = entries -
        (SELECT count(*) FROM entries WHERE llm = id AND row IN (SELECT row FROM temp.leaving))
    WHERE id IN (SELECT llm FROM entries WHERE row IN (SELECT row FROM temp.leaving))"""


class Writes:
    """Changes to the entries. `has_search`: whether the file has an index of trigrams."""

    def __init__(self, has_search: bool) -> None:
        self._has_search = has_search

    def file(self, writer: sqlite3.Connection) -> bool:
        """File some of what arrived. Returns whether there was anything."""
        rows = take(writer)
        for row in rows or []:
            self.insert(writer, row)
        return rows is not None

    def file_all(self, writer: sqlite3.Connection) -> None:
        """File all that arrived."""
        while self.file(writer):
            pass

    def insert(self, writer: sqlite3.Connection, row: dict[str, Any]) -> None:
        """Store a row of the inbox as an entry, in place of one with the same key."""
        same = writer.execute("SELECT row FROM entries WHERE digest = ?", [row["digest"]]).fetchall()
        if same:
            self.remove(writer, "SELECT ?", same[0])
        sent = row["prompt"] if row["sent"] is None else row["sent"]
        llm_string = to_bytes(shown(row["llm_string"]))
        made = {
            "prompt_text": _searched(shown(sent)),
            "llm_digest": hashlib.blake2b(llm_string, digest_size=16).digest(),
        }
        writer.execute(_COUNT, row | made)
        writer.execute(_INSERT, row | made)
        self._index(writer)

    def has_later(self, writer: sqlite3.Connection, row: dict[str, Any]) -> bool:
        """Whether an entry with the same key as this row of the inbox was stored later."""
        return bool(writer.execute(_LATER, row).fetchall())

    def evict(self, writer: sqlite3.Connection, limits: Limits) -> int:
        """Remove the oldest entries over the maximum. Returns how many."""
        if limits.maxsize is None or (over := count(writer) - limits.maxsize) <= 0:
            return 0
        order = "used" if limits.policy == "lru" else "row"
        return self.remove(writer, f"SELECT row FROM entries ORDER BY {order} LIMIT ?", [over])

    def remove(self, writer: sqlite3.Connection, rows: str, values: Iterable[Any]) -> int:
        """Remove the entries whose rows this SELECT gives. Returns how many."""
        if not writer.execute(f"INSERT INTO temp.leaving {rows}", list(values)).rowcount:
            return 0
        if self._has_search:
            writer.execute(_UNINDEX)
        writer.execute(_UNCOUNT)
        removed = writer.execute("DELETE FROM entries WHERE row IN (SELECT row FROM temp.leaving)").rowcount
        writer.execute("DELETE FROM llm_strings WHERE entries <= 0")
        writer.execute("DELETE FROM temp.leaving")
        return removed

    def clear(self, writer: sqlite3.Connection) -> None:
        """Remove all."""
        for table in ("inbox", "entries", "llm_strings"):
            writer.execute(f"DELETE FROM {table}")
        if self._has_search:
            writer.execute("INSERT INTO search (search) VALUES ('delete-all')")

    def _index(self, writer: sqlite3.Connection) -> None:
        """Put the entries up to the newest into the index of trigrams, once they are enough."""
        if not self._has_search:
            return
        indexed = indexed_up_to(writer)
        ((newest,),) = writer.execute("SELECT max(row) FROM entries")
        if newest - indexed >= _INDEXED_AT_ONCE:
            end = min(newest, indexed + 4 * _INDEXED_AT_ONCE)
            writer.execute(_INDEX, (indexed, end))
            writer.execute("UPDATE state SET value = ? WHERE name = 'indexed'", [end])


def _searched(prompt: str) -> str:
    try:
        return to_text(prompt_text(prompt).lower())
    except RecursionError:  # nested as no prompt is: somebody planted it
        return to_text(prompt.lower())


def write_uses(writer: sqlite3.Connection, taken: dict[bytes, Use]) -> None:
    """Count these hits in the file."""
    if not taken:
        return
    ((newest,),) = writer.execute("SELECT max(used) FROM entries WHERE used BETWEEN 0 AND ?", [_MOST])
    writer.executemany(
        "UPDATE entries SET hits = hits + ?, last_used = max(coalesce(last_used, 0), ?), used = ? "
        "WHERE digest = ?",
        [
            (use.hits, use.last, (newest or 0) + number, digest)
            for number, (digest, use) in enumerate(taken.items(), start=1)
        ],
    )
