"""Which store a user means by `--store`: a file, an address, or a cache in the notebook."""

from __future__ import annotations

import time
from collections.abc import Callable
from os import PathLike, fspath
from pathlib import Path
from typing import TypeAlias

from llmcache_jupyter.caches import EntryCache
from llmcache_jupyter.caches.base import BaseCache
from llmcache_jupyter.caches.foreign import Caching, ForeignCache
from llmcache_jupyter.errors import InvalidSettingError
from llmcache_jupyter.session.cache import SessionCache

StoreSpec: TypeAlias = str | PathLike[str] | BaseCache | Caching

DEFAULT_STORE = ".llmcache.sqlite"
_REDIS = ("redis", "rediss", "unix", "valkey", "valkeys")


def check_store(store: StoreSpec) -> StoreSpec:
    """`store`, if a store can be meant by it.

    Raises:
        InvalidSettingError: no store is.
    """
    if isinstance(store, SessionCache):
        raise InvalidSettingError("A session's own cache cannot be its store: name the store behind it.")
    if isinstance(store, str | PathLike):
        _check_address(fspath(store))
    elif isinstance(store, type):
        raise InvalidSettingError(f"A store is a cache, not its class: {store.__name__}(…) makes one.")
    elif not isinstance(store, Caching):
        raise InvalidSettingError(
            f"A store is a file's name, a redis:// address or a cache, not {type(store).__name__}."
        )
    return store


def placed(store: StoreSpec) -> StoreSpec:
    """The store by a name that stays the same when the current folder becomes another one."""
    if not isinstance(store, str | PathLike) or _scheme(fspath(store)):
        return store
    try:
        return str(Path(store).expanduser().absolute())
    except (OSError, RuntimeError):  # the current folder was removed, or nobody's home: opening it tells
        return store


def open_store(store: StoreSpec, *, clock: Callable[[], float] = time.time) -> EntryCache:
    """The store, open, without limits of its own.

    Raises:
        StoreError: it cannot be opened.
    """
    if isinstance(store, EntryCache):
        return store
    if not isinstance(store, str | PathLike):
        return ForeignCache(store, clock=clock)
    if _scheme(fspath(store)):
        from llmcache_jupyter.caches.redis import RedisCache

        return RedisCache(fspath(store), clock=clock)
    from llmcache_jupyter.caches.sqlite import SQLiteCache

    return SQLiteCache(store, clock=clock)


def shown(store: StoreSpec) -> str:
    """What a store that is not open yet is called, without credentials."""
    if not isinstance(store, str | PathLike):
        return type(store).__name__
    if not _scheme(text := fspath(store)):
        from llmcache_jupyter.caches.sqlite.place import shown_path

        return shown_path(Path(text))
    from llmcache_jupyter.caches.redis.address import parse

    return parse(text).shown


def _check_address(text: str) -> None:
    if not text:
        raise InvalidSettingError(f"A store needs a name: `%llmcache on --store {DEFAULT_STORE}`.")
    if (scheme := _scheme(text)) and scheme not in _REDIS:
        raise InvalidSettingError(
            f"There is no store at {scheme}:// addresses: write a file's name, or redis://host:6379/0."
        )
    if scheme:
        from llmcache_jupyter.caches.redis.address import parse

        parse(text)
    elif (name := text.partition(":")[0].lower()) in _REDIS and name != text.lower():
        raise InvalidSettingError(f"{text!r} is no address: write {name}://host:6379/0, with two slashes.")


def _scheme(text: str) -> str:
    scheme, found, _ = text.partition("://")
    return scheme.lower() if found else ""
