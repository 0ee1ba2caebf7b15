"""The Python API: what the magics do, for scripts and for `await`.

Meant to be read as `llmcache.on()`, after `import llmcache_jupyter as llmcache`.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from llmcache_jupyter.caches import Entry, Query
from llmcache_jupyter.caches.entry import SortColumn
from llmcache_jupyter.caches.memory import Policy
from llmcache_jupyter.session.events import Event
from llmcache_jupyter.session.scope import mode
from llmcache_jupyter.session.session import KEEP, Activation, Keep, Status, default_session

if TYPE_CHECKING:
    import pandas as pd

    from llmcache_jupyter.notebook.panel import Panel

__all__ = [
    "aclear", "adelete", "aentries", "alookup", "clear", "default_session", "delete", "entries",
    "last", "lookup", "mode", "off", "on", "panel", "stats", "status",
]  # fmt: skip


def on(
    *,
    maxsize: int | Keep | None = KEEP,
    policy: Policy | Keep = KEEP,
    ttl: str | float | timedelta | Keep | None = KEEP,
    mode: str | Keep = KEEP,
) -> Activation:
    """Switch the session's cache on; on again, change what is named and keep the entries.

    - `maxsize`: entries at most; None is no maximum.
    - `policy`: "fifo" or "lru". `ttl`: seconds, a timedelta, or text like "1h".
    - `mode`: "on", "refresh", "readonly", "replay" or "off".

    Raises:
        InvalidSettingError: one of the values cannot be; nothing was changed.
    """
    return default_session().activate(maxsize=maxsize, policy=policy, ttl=ttl, mode=mode)


def off() -> None:
    """Switch the cache off and bring back what was there before. The entries stay for the next `on`."""
    default_session().deactivate()


def status() -> Status:
    """Whether the cache is on, its mode and limits, and what it has saved."""
    return default_session().status()


def stats() -> pd.DataFrame:
    """Hits, misses and what was saved, a row a model. Raises CacheInactiveError before the first `on`."""
    from llmcache_jupyter.views.frames import stats_frame

    session = default_session()
    return stats_frame(session.cache.statistics.by_model(), session.models())


def entries(
    text: str | None = None,
    *,
    model: str | None = None,
    sort: SortColumn = "stored",
    ascending: bool = False,
    limit: int | None = 50,
    full: bool = False,
) -> pd.DataFrame:
    """The cached entries, a row each, the newest first.

    - `text`: only those whose prompt or answer contains it. `limit`: None lists all.
    - `full`: whole prompts and answers instead of one short line each.

    Raises:
        CacheInactiveError: the cache was never on.
    """
    query = Query(text=text, model=model, sort=sort, descending=not ascending, limit=limit)
    return _frame(default_session().entries(query).entries, full)


async def aentries(
    text: str | None = None,
    *,
    model: str | None = None,
    sort: SortColumn = "stored",
    ascending: bool = False,
    limit: int | None = 50,
    full: bool = False,
) -> pd.DataFrame:
    """`entries`, without blocking the event loop."""
    query = Query(text=text, model=model, sort=sort, descending=not ascending, limit=limit)
    return _frame((await default_session().aentries(query)).entries, full)


def lookup(prompt: str, *, model: str | None = None) -> list[Entry]:
    """What is cached for this prompt as a person would write it, the newest first; empty is a miss."""
    return default_session().lookup(prompt, model)


async def alookup(prompt: str, *, model: str | None = None) -> list[Entry]:
    """`lookup`, without blocking the event loop."""
    return await default_session().alookup(prompt, model)


def delete(*ids: str) -> int:
    """Remove entries by id; a unique beginning is enough. Returns how many.

    Raises:
        EntryNotFoundError: an id names none or several; nothing was removed.
    """
    return default_session().delete(*ids)


async def adelete(*ids: str) -> int:
    """`delete`, without blocking the event loop."""
    return await default_session().adelete(*ids)


def clear(*, model: str | None = None, older_than: str | float | timedelta | None = None) -> int:
    """Remove all entries, or a model's, or those older than a duration like "7d". Returns how many."""
    return default_session().clear(model=model, older_than=older_than)


async def aclear(*, model: str | None = None, older_than: str | float | timedelta | None = None) -> int:
    """`clear`, without blocking the event loop."""
    return await default_session().aclear(model=model, older_than=older_than)


def last() -> list[Event]:
    """What the calls of the latest cell that made any led to: its hits, misses and stored answers."""
    run = default_session().last_run()
    return list(run.events) if run else []


def panel() -> Panel:
    """The panel: status, search, a page of the entries, buttons to look up, delete and clear."""
    from llmcache_jupyter.notebook.panel import Panel

    return Panel(default_session())


def _frame(found: list[Entry], full: bool) -> pd.DataFrame:
    from llmcache_jupyter.views.frames import entries_frame

    return entries_frame(found, cell_label=default_session().cell_label, full=full)
