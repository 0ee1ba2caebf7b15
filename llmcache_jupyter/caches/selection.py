"""Which of many entries a query means, and in which order, for caches that hold them in memory."""

from __future__ import annotations

import heapq
import re
from collections.abc import Callable, Iterable
from typing import Any

from llmcache_jupyter.caches.entry import Entry, Page, Query, SortColumn
from llmcache_jupyter.caches.generation import answer_text
from llmcache_jupyter.caches.prompt import prompt_text
from llmcache_jupyter.errors import InvalidSettingError

_SORT_VALUES: dict[SortColumn, Callable[[Entry], Any]] = {
    "stored": lambda entry: entry.stored,
    "model": lambda entry: entry.model,
    "cell": lambda entry: entry.cell,
    "prompt": lambda entry: prompt_text(entry.prompt).lower(),
    "answer": lambda entry: answer_text(entry.generations).lower(),
    "tokens": lambda entry: entry.tokens,
    "took": lambda entry: entry.took,
    "hits": lambda entry: entry.hits,
    "last_used": lambda entry: entry.last_used,
}
SORT_COLUMNS: tuple[SortColumn, ...] = tuple(_SORT_VALUES)


def select(entries: Iterable[Entry], query: Query) -> Page:
    """The page of `entries` that `query` asks for. Entries without a value come last, either way."""
    value = _SORT_VALUES.get(query.sort)
    if value is None:
        raise InvalidSettingError(f"There is no column {query.sort!r}: sort by {', '.join(SORT_COLUMNS)}.")
    found = list(filter(matcher(query), entries))
    known: list[tuple[Any, Entry]] = []
    unknown: list[Entry] = []
    for entry in found:
        if (key := value(entry)) is None:
            unknown.append(entry)
        else:
            known.append((key, entry))
    end = len(found) if query.limit is None else query.offset + query.limit
    pick = heapq.nlargest if query.descending else heapq.nsmallest
    ordered = [entry for _, entry in pick(end, known, key=lambda pair: pair[0])]
    return Page((ordered + unknown)[query.offset : end], len(found))


def matcher(query: Query) -> Callable[[Entry], bool]:
    """Whether the query's filters let an entry through."""
    contains = _contains(query.text.lower()) if query.text else None

    def matches(entry: Entry) -> bool:
        return (
            (query.stored_before is None or entry.stored < query.stored_before)
            and (query.model is None or entry.model == query.model)
            and (query.id is None or entry.id.startswith(query.id))
            and (contains is None or contains(entry))
        )

    return matches


def _contains(text: str) -> Callable[[Entry], bool]:
    # JSON leaves plain words as they are: most prompts are ruled out without being decoded
    word = max(re.findall("[a-z0-9]+", text), key=len, default="")

    def contains(entry: Entry) -> bool:
        if word in entry.prompt.lower() and text in prompt_text(entry.prompt).lower():
            return True
        return text in answer_text(entry.generations).lower()

    return contains
