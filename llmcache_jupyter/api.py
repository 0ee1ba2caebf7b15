"""The Python API: what the magics do, for scripts and for `await`.

Meant to be read as `llmcache.on()`, after `import llmcache_jupyter as llmcache`.
"""

from __future__ import annotations

from datetime import timedelta
from os import PathLike
from typing import TYPE_CHECKING

from llmcache_jupyter.caches import Entry, Query
from llmcache_jupyter.caches.base import run_in_executor
from llmcache_jupyter.caches.entry import SortColumn
from llmcache_jupyter.caches.limits import Policy
from llmcache_jupyter.session.events import Event
from llmcache_jupyter.session.explain import Explanation
from llmcache_jupyter.session.recording import Loaded, Saved
from llmcache_jupyter.session.scope import mode
from llmcache_jupyter.session.session import Activation, Status, default_session
from llmcache_jupyter.session.settings import KEEP, Keep
from llmcache_jupyter.session.stores import StoreSpec

if TYPE_CHECKING:
    import pandas as pd

    from llmcache_jupyter.notebook.panel import Panel

__all__ = [
    "aclear", "adelete", "aentries", "aload", "alookup", "asave", "clear", "default_session", "delete",
    "entries", "last", "load", "lookup", "mode", "off", "on", "panel", "save", "stats", "status", "why",
]  # fmt: skip


def on(
    *,
    maxsize: int | Keep | None = KEEP,
    policy: Policy | Keep = KEEP,
    ttl: str | float | timedelta | Keep | None = KEEP,
    mode: str | Keep = KEEP,
    store: StoreSpec | Keep | None = KEEP,
    load: str | PathLike[str] | None = None,
) -> Activation:
    """Switch the session's cache on; on again, change what is named and keep the entries.

    - `maxsize`: entries at most; None is no maximum.
    - `policy`: "fifo" or "lru". `ttl`: seconds, a timedelta, or text like "1h".
    - `mode`: "on", "refresh", "readonly", "replay" or "off".
    - `store`: where entries outlive the kernel: a file's name, a redis:// address, or a cache; None is memory
      alone. One that cannot be opened is a CacheWarning: the cache is on without it.
    - `load`: a file that `save` wrote, whose entries are put into the cache.

    Raises:
        InvalidSettingError: one of the values cannot be; nothing was changed.
        StoreError: the file to load cannot be read. Nothing was changed; but a replay is on without it.
    """
    return default_session().activate(
        maxsize=maxsize, policy=policy, ttl=ttl, mode=mode, store=store, load=load
    )


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


def clear(
    *,
    model: str | None = None,
    older_than: str | float | timedelta | None = None,
    shared: bool = False,
) -> int:
    """Remove all entries, or a model's, or those older than a duration like "7d". Returns how many.

    - `shared`: do so even in a store that others share.

    Raises:
        InvalidSettingError: others share the store, and `shared` is not set.
    """
    return default_session().clear(model=model, older_than=older_than, shared=shared)


async def aclear(
    *,
    model: str | None = None,
    older_than: str | float | timedelta | None = None,
    shared: bool = False,
) -> int:
    """`clear`, without blocking the event loop."""
    return await default_session().aclear(model=model, older_than=older_than, shared=shared)


def save(
    path: str | PathLike[str],
    *,
    model: str | None = None,
    used: bool = False,
    cell: str | int | None = None,
    add: bool = False,
) -> Saved:
    """Write the entries to a file, one a line: without what changes by use, and without credentials.

    - `model`: those of this model. `used`: those that this kernel's calls hit or stored. `cell`: those that
      one cell's calls did, as the notebook shows it: 7, or `[7]`.
    - `add`: besides the entries that the file holds already.

    Raises:
        StoreError: there is nothing to save, or the file cannot be written. It is as it was.
        InvalidSettingError: no such cell used any entry.
    """
    return default_session().save(path, model=model, used=used, cell=cell, add=add)


async def asave(
    path: str | PathLike[str],
    *,
    model: str | None = None,
    used: bool = False,
    cell: str | int | None = None,
    add: bool = False,
) -> Saved:
    """`save`, without blocking the event loop."""
    return await run_in_executor(save, path, model=model, used=used, cell=cell, add=add)


def load(path: str | PathLike[str]) -> Loaded:
    """Put the entries of a file that `save` wrote into the cache, those of its lines that are sound.

    - An entry that the cache has gives way only to one that was stored later.

    Raises:
        StoreError: the file cannot be read, or none of its lines.
    """
    return default_session().load(path)


async def aload(path: str | PathLike[str]) -> Loaded:
    """`load`, without blocking the event loop."""
    return await run_in_executor(load, path)


def last() -> list[Event]:
    """What the calls of the latest cell that made any led to: its hits, misses and stored answers."""
    run = default_session().last_run()
    return [*run.events] if run else []


def why(what: str | None = None) -> Explanation:
    """Why the last call that missed was not a hit: the nearest stored entry, and what differs.

    - `what`: another call: its id or an entry's, a unique beginning of it, or the prompt as one would write
      it.

    Raises:
        CacheInactiveError: the cache was never on.
        EntryNotFoundError: neither a call that missed lately nor an entry goes by it, or several do.
    """
    return default_session().why(what)


def panel() -> Panel:
    """The panel: status, search, a page of the entries, buttons to look up, delete and clear."""
    from llmcache_jupyter.notebook.panel import Panel

    return Panel(default_session())


def _frame(found: list[Entry], full: bool) -> pd.DataFrame:
    from llmcache_jupyter.views.frames import entries_frame

    return entries_frame(found, cell_label=default_session().cell_label, full=full)
