"""A Query as SQL: which rows it finds, in which order, and how many in all.

A page costs the same at a thousand entries and at a million: each column has an index, and numbers of
entries are kept, not counted. A search asks the index of trigrams, where there is one, which rows may
contain the text.
"""

from __future__ import annotations

import re
import sqlite3
from dataclasses import dataclass, field
from typing import Any

from llmcache_jupyter.caches.entry import Query
from llmcache_jupyter.caches.selection import SORT_COLUMNS
from llmcache_jupyter.caches.sqlite.rows import to_text
from llmcache_jupyter.errors import InvalidSettingError

_SORT_BY = {
    "model": ("model", "stored"),
    "prompt": ("substr(prompt_text, 1, 50)", "prompt_text"),
    "answer": ("substr(answer_text, 1, 50)", "answer_text"),
}
# Of more entries, texts that begin alike are in the order they were stored in: else all would have to be read
_EXACT = 10_000
COUNT = "cast(total(entries) AS INTEGER)"  # a plain sum of what a file may hold can be an error
_MOST = 2**62
_TRIGRAMS = 12


@dataclass
class _Where:
    parts: list[str] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)

    def add(self, part: str, *values: Any) -> None:
        self.parts.append(part)
        self.values += values

    def __str__(self) -> str:
        return f"WHERE {' AND '.join(self.parts)}" if self.parts else ""


def find(connection: sqlite3.Connection, query: Query, has_search: bool) -> tuple[list[int], int]:
    """The rows of the page that `query` asks for, and how many it finds in all."""
    if query.sort not in SORT_COLUMNS:
        raise InvalidSettingError(f"There is no column {query.sort!r}: sort by {', '.join(SORT_COLUMNS)}.")
    start = min(query.offset, _MOST)
    limit = _MOST if query.limit is None else min(query.limit, _MOST)
    where = _filters(query)
    if query.text:
        _add_text(where, connection, query.text, has_search)
        # the plus keeps SQLite from walking all entries in order, for the few that contain the text
        rows = connection.execute(f"SELECT row FROM entries {where} {_order(query, '+')}", where.values)
        found = [row for (row,) in rows]
        return found[start : start + limit], len(found)
    if query.id is None and query.stored_before is None:
        total = count(connection, query)
        source = _source(connection, query, total, start + limit)
    else:
        ((total,),) = connection.execute(f"SELECT count(*) FROM entries {where}", where.values)
        source = "entries"
    sql = f"SELECT row FROM {source} {where} {_order(query, exact=total <= _EXACT)} LIMIT ? OFFSET ?"
    return [row for (row,) in connection.execute(sql, [*where.values, limit, start])], total


def count(connection: sqlite3.Connection, query: Query = Query()) -> int:
    """How many entries there are, of the query's model if it names one."""
    sql = f"SELECT {COUNT} FROM llm_strings"
    if query.model is None:
        ((total,),) = connection.execute(sql)
    else:
        ((total,),) = connection.execute(f"{sql} WHERE model = ?", [to_text(query.model)])
    return as_count(total)


def as_count(value: Any) -> int:
    """A number of entries that a file told, made possible."""
    return min(max(value, 0), 2**53) if isinstance(value, int) else 0


def indexed_up_to(connection: sqlite3.Connection) -> int:
    """The last row that the index of trigrams knows."""
    return as_count(dict(connection.execute("SELECT name, value FROM state")).get("indexed"))


def _filters(query: Query) -> _Where:
    where = _Where()
    if query.model is not None:
        where.add("model = ?", to_text(query.model))
    if query.stored_before is not None:
        where.add("stored < ?", query.stored_before)
    if query.id is not None:
        is_one = re.fullmatch("[0-9a-f]{0,12}", query.id)
        where.add("digest BETWEEN ? AND ?", *id_range(query.id)) if is_one else where.add("0")
    return where


def id_range(beginning: str) -> tuple[bytes, bytes]:
    """The smallest and the largest digest with this beginning, in hexadecimal digits."""
    return bytes.fromhex(beginning.ljust(32, "0")), bytes.fromhex(beginning.ljust(32, "f"))


def _add_text(where: _Where, connection: sqlite3.Connection, text: str, has_search: bool) -> None:
    text = to_text(text.lower())
    if has_search and len(text) >= 3:
        where.add(
            "row IN (SELECT rowid FROM search WHERE search MATCH ? "
            "UNION ALL SELECT row FROM entries WHERE row > ?)",
            _match(text),
            indexed_up_to(connection),
        )
    where.add("(instr(prompt_text, ?) OR instr(answer_text, ?))", text, text)


def _match(text: str) -> str:
    """The full-text search for what contains the text's trigrams; some of them, where they are many."""
    starts = range(len(text) - 2)
    some = starts[:: len(starts) // _TRIGRAMS + 1]
    return " ".join('"' + text[start : start + 3].replace('"', '""') + '"' for start in some)


def _order(query: Query, prefix: str = "", *, exact: bool = True) -> str:
    direction = "DESC" if query.descending else "ASC"
    columns: tuple[str, ...] = _SORT_BY.get(query.sort, (query.sort,))
    if not exact and query.sort in ("prompt", "answer"):
        columns = columns[:1]
    ordered = [f"{prefix}{column} {direction} NULLS LAST" for column in columns]
    return f"ORDER BY {', '.join(ordered)}, row {direction}"


def _source(connection: sqlite3.Connection, query: Query, found: int, end: int) -> str:
    """The entries by way of the index that costs less where a model is named and another column sorts.

    - The model's own: all of its entries are read, and sorted.
    - The column's: entries of all models are read in order, until the page is full.
    """
    if query.model is None or query.sort in ("model", "stored") or found == 0:
        return "entries"
    if found <= end * count(connection) / found:
        return "entries INDEXED BY entries_model"
    column = {"prompt": "prompt_text", "answer": "answer_text"}.get(query.sort, query.sort)
    return f"entries INDEXED BY entries_{column}"
