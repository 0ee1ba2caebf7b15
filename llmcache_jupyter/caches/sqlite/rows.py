"""Entries as rows of a store, and back. What a row holds may be hostile: any value of any type.

Keys and answers are bytes of UTF-8 that lets lone surrogates pass, so that they come back as they were. What
is there to be searched and sorted is text, in which what SQLite's text cannot hold is replaced.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence
from typing import Any

from llmcache_jupyter.caches.codec import MAX_LENGTH, decode, encode
from llmcache_jupyter.caches.entry import Entry, Key
from llmcache_jupyter.caches.field import seconds, shown, to_bytes
from llmcache_jupyter.caches.generation import answer_text
from llmcache_jupyter.errors import DecodingError, EncodingError

_NOT_TEXT = re.compile("[\0\ud800-\udfff]")
_AT_ONCE = 500
_LONG = {
    "prompt": "a prompt",
    "sent": "a prompt",
    "llm_string": "a configuration",
    "generations": "an answer",
}

# what `row_of` makes of an entry, and the inbox holds
COLUMNS = (
    "digest", "model", "stored", "took", "tokens", "cell", "hits", "last_used", "generations", "sent",
    "prompt", "llm_string", "answer_text",
)  # fmt: skip

_KNOWN = f"""CASE WHEN length(generations) <= {MAX_LENGTH} THEN generations END,
    sent, stored, took, tokens, cell, hits, last_used"""
# What has just arrived, if anywhere in the inbox's row :row, is newer than what was filed. The plus compares
# the row's own digest, not the index's: where somebody put another file in this one's place, an index may
# lead to the entry of another key.
_ARRIVED = "FROM inbox WHERE row = :row AND digest = :digest"
GET = f"""SELECT {_KNOWN} {_ARRIVED} UNION ALL SELECT {_KNOWN} FROM entries
    WHERE row = (SELECT row FROM entries WHERE digest = :digest) AND +digest = :digest LIMIT 1"""
STORED = f"""SELECT stored {_ARRIVED} UNION ALL
    SELECT stored FROM entries WHERE digest = :digest LIMIT 1"""
EXPIRED = """SELECT 1 FROM inbox WHERE stored <= :end UNION ALL
    SELECT 1 FROM entries WHERE stored <= :end LIMIT 1"""
_PROMPT = f"CASE WHEN length(prompt) <= {MAX_LENGTH} THEN prompt END"
_FETCH = f"SELECT row, {_PROMPT}, llm, {_KNOWN} FROM entries WHERE row IN "
_KEYS = f"SELECT row, {_PROMPT}, llm FROM entries WHERE row > ? ORDER BY row LIMIT 1000"
_LLM_STRING = f"SELECT text FROM llm_strings WHERE id = ? AND length(text) <= {MAX_LENGTH}"


def row_of(entry: Entry) -> dict[str, Any]:
    """The entry as `COLUMNS`.

    Raises:
        EncodingError: a store cannot hold its answer, or something is too long for one.
    """
    row: dict[str, Any] = {
        "digest": entry.digest,
        "model": _optional_text(entry.model),
        "stored": entry.stored,
        "took": entry.took,
        "tokens": _integer(entry.tokens),
        "cell": _optional_text(entry.cell),
        "hits": _integer(entry.hits) or 0,
        "last_used": entry.last_used,
        "generations": encode(entry.generations).encode(),
        "sent": None if entry.sent is None else to_bytes(entry.sent),
        "prompt": to_bytes(entry.key[0]),
        "llm_string": to_bytes(entry.key[1]),
        "answer_text": to_text(answer_text(entry.generations).lower()),
    }
    length = len(row["generations"]) + len(row["prompt"]) + len(row["llm_string"]) + len(row["sent"] or b"")
    if length > MAX_LENGTH:  # then one of them may be
        _check_length(row)
    return row


def _check_length(row: dict[str, Any]) -> None:
    for name, what in _LONG.items():
        if len(row[name] or b"") > MAX_LENGTH:
            raise EncodingError(
                f"{what} of {len(row[name]):,} bytes is too long for a store ({MAX_LENGTH:,})"
            )


def generations_of(row: Sequence[Any]) -> list[Any]:
    """The answer in what `GET` gives.

    Raises:
        DecodingError: it is none that can be read.
    """
    generations = row[0]
    if not isinstance(generations, bytes):
        raise DecodingError(f"its answer is no text, or longer than {MAX_LENGTH:,} bytes")
    return decode(shown(generations))


def stored_of(row: Sequence[Any]) -> float:
    """When what `GET` gives was stored, in seconds since the epoch."""
    return seconds(row[2]) or 0.0


def entry_of(key: Key, generations: list[Any], row: Sequence[Any]) -> Entry:
    """The entry under `key` with this answer, and with what else `GET` gives."""
    _, sent, _, took, tokens, cell, hits, last_used = row
    return Entry(
        key,
        generations,
        stored_of(row),
        sent=None if sent is None else shown(sent),
        took=seconds(took),
        tokens=_integer(tokens),
        cell=None if cell is None else shown(cell),
        hits=_integer(hits) or 0,
        last_used=seconds(last_used),
    )


def keys_after(connection: sqlite3.Connection, row: int) -> dict[int, Key]:
    """Some keys by their rows: those that come next after `row`."""
    llm_strings = _LLMStrings(connection)
    found = connection.execute(_KEYS, (row,))
    return {row: (shown(prompt), llm_strings[llm]) for row, prompt, llm in found}


def fetch(connection: sqlite3.Connection, rows: Sequence[int]) -> list[Entry]:
    """The entries in these rows, in their order. One whose answer cannot be read has no generations."""
    found: dict[int, Entry] = {}
    llm_strings = _LLMStrings(connection)
    for start in range(0, len(rows), _AT_ONCE):
        some = rows[start : start + _AT_ONCE]
        for row, prompt, llm, *known in connection.execute(f"{_FETCH} ({','.join('?' * len(some))})", some):
            found[row] = _listed((shown(prompt), llm_strings[llm]), known)
    return [found[row] for row in rows if row in found]


class _LLMStrings(dict[Any, str]):
    """The configurations by their ids, each read once: many entries may share a long one."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        super().__init__()
        self._connection = connection

    def __missing__(self, llm: Any) -> str:
        rows = self._connection.execute(_LLM_STRING, (llm,)).fetchall()
        self[llm] = shown(rows[0][0]) if rows else ""
        return self[llm]


def to_text(text: str) -> str:
    """The text as it is kept when it is to be searched or sorted."""
    return text if text.isascii() and "\0" not in text else _NOT_TEXT.sub("\ufffd", text)


def _listed(key: Key, row: Sequence[Any]) -> Entry:
    try:
        return entry_of(key, generations_of(row), row)
    except DecodingError:
        return entry_of(key, [], row)


def _optional_text(text: str | None) -> str | None:
    return None if text is None else to_text(text)


def _integer(value: Any) -> int | None:
    return value if isinstance(value, int) and 0 <= value < 2**63 else None
