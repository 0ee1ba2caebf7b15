"""Entries as Redis hashes, and back. What a hash holds may be hostile, or another program's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llmcache_jupyter.caches.codec import decode, encode
from llmcache_jupyter.caches.entry import Entry, Key
from llmcache_jupyter.caches.field import seconds, shown, to_bytes
from llmcache_jupyter.errors import DecodingError

FIELDS = (
    "prompt", "llm_string", "generations", "sent", "stored", "took", "tokens", "cell", "hits", "last_used",
)  # fmt: skip


def hash_of(entry: Entry) -> dict[str, bytes]:
    """The hash's fields. What is unknown has none.

    Raises:
        EncodingError: JSON cannot hold the answer.
    """
    prompt, llm_string = entry.key
    values: dict[str, Any] = {
        "prompt": prompt,
        "llm_string": llm_string,
        "generations": encode(entry.generations),
        "sent": entry.sent,
        "stored": repr(float(entry.stored)),
        "took": None if entry.took is None else repr(float(entry.took)),
        "tokens": entry.tokens,
        "cell": entry.cell,
        "hits": entry.hits,
        "last_used": None if entry.last_used is None else repr(float(entry.last_used)),
    }
    return {name: to_bytes(str(value)) for name, value in values.items() if value is not None}


def entry_of(key: Key, values: Sequence[bytes | None]) -> Entry:
    """The entry that `FIELDS` of a hash make.

    Raises:
        DecodingError: its answer is none that can be read.
    """
    if values[2] is None:
        raise DecodingError("it holds no answer")
    return _entry(key, decode(shown(values[2])), values)


def listed(values: Sequence[bytes | None]) -> Entry:
    """The entry that `FIELDS` of a hash make; without generations where these cannot be read."""
    key = (shown(values[0]), shown(values[1]))
    try:
        return entry_of(key, values)
    except DecodingError:
        return _entry(key, [], values)


def moment(value: bytes | None) -> float | None:
    """A time that a field tells, or None."""
    try:
        return None if value is None else seconds(float(value))
    except ValueError:
        return None


def _entry(key: Key, generations: list[Any], values: Sequence[bytes | None]) -> Entry:
    _, _, _, sent, stored, took, tokens, cell, hits, last_used = values
    return Entry(
        key,
        generations,
        moment(stored) or 0.0,
        sent=None if sent is None else shown(sent),
        took=moment(took),
        tokens=_count(tokens),
        cell=None if cell is None else shown(cell),
        hits=_count(hits) or 0,
        last_used=moment(last_used),
    )


def _count(value: bytes | None) -> int | None:
    return int(value) if value is not None and value.isdigit() and len(value) < 16 else None
