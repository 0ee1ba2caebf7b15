"""Entries and statistics as pandas DataFrames."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from llmcache_jupyter.caches import Entry
from llmcache_jupyter.caches.generation import answer_text
from llmcache_jupyter.caches.prompt import asked, prompt_text
from llmcache_jupyter.views.format import short

if TYPE_CHECKING:
    import pandas as pd

    from llmcache_jupyter.session.statistics import Counts

ENTRY_COLUMNS = ["id", "stored", "cell", "model", "prompt", "answer", "tokens", "took", "hits", "last used"]
STATS_COLUMNS = ["entries", "hits", "misses", "rate", "stored", "evicted", "seconds saved", "tokens saved"]
SHORT_TEXT = 80


def entries_frame(
    entries: Iterable[Entry],
    *,
    cell_label: Callable[[str | None], str | None] = lambda cell: cell,
    full: bool = False,
) -> pd.DataFrame:
    """One row an entry: `id, stored, cell, model, prompt, answer, tokens, took (s), hits, last used`.

    - `full`: prompts and answers whole; else the question asked and the answer, one short line each.
    - Times are local, without a time zone: it would take the room that prompts need.
    - What is unknown is missing (NaT, <NA>, NaN).
    """
    from llmcache_jupyter.views.wide_frame import WideFrame

    rows = [_row(entry, cell_label, full) for entry in entries]
    frame = WideFrame(rows, columns=ENTRY_COLUMNS)
    times = dict.fromkeys(("stored", "last used"), "datetime64[us]")
    return frame.astype(times | {"tokens": "Int64", "took": "float64", "hits": "int64"})


def stats_frame(by_model: Mapping[str | None, Counts], stored_now: Mapping[str | None, int]) -> pd.DataFrame:
    """One row a model: `entries` there are now, and hits, misses, rate, ... of the session's calls."""
    import pandas as pd

    models = [*by_model, *(model for model in stored_now if model not in by_model)]
    rows = [_stats_row(by_model.get(model), stored_now.get(model, 0)) for model in models]
    index = pd.Index([model or "unknown" for model in models], name="model", dtype="object")
    frame = pd.DataFrame(rows, index=index, columns=STATS_COLUMNS)
    whole = dict.fromkeys(STATS_COLUMNS, "int64") | {"tokens saved": "Int64"}
    return frame.astype(whole | {"rate": "float64", "seconds saved": "float64"})


def _row(entry: Entry, cell_label: Callable[[str | None], str | None], full: bool) -> list[Any]:
    prompt = prompt_text(entry.prompt) if full else short(asked(entry.prompt), SHORT_TEXT)
    answer = answer_text(entry.generations)
    if not full:
        answer = short(answer, SHORT_TEXT)
    return [
        entry.id, _local_time(entry.stored), cell_label(entry.cell), entry.model, prompt, answer,
        entry.tokens, entry.took, entry.hits, _local_time(entry.last_used),
    ]  # fmt: skip


def _local_time(at: float | None) -> datetime | None:
    """With the offset of that day, which need not be today's."""
    return None if at is None else datetime.fromtimestamp(at).replace(microsecond=0)  # noqa: DTZ006


def _stats_row(counts: Counts | None, entries: int) -> list[Any]:
    if counts is None:
        return [entries, 0, 0, None, 0, 0, 0.0, 0]
    return [
        entries, counts.hits, counts.misses, counts.rate, counts.stored, counts.evicted,
        counts.seconds_saved, counts.tokens_saved,
    ]  # fmt: skip
