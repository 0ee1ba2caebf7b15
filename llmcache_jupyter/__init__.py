"""One LLM response cache for a notebook session.

In a notebook: `%load_ext llmcache_jupyter`, then `%llmcache on`. In Python:

    import llmcache_jupyter as llmcache

    llmcache.on(maxsize=500)
    with llmcache.mode("refresh"):
        ...
    llmcache.stats()

Importing this package imports neither pandas, ipywidgets nor LangChain; each name is loaded on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from llmcache_jupyter.clients import langchain_codec
from llmcache_jupyter.clients.langchain import accept_our_caches

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from llmcache_jupyter.api import (
        aclear as aclear,
    )
    from llmcache_jupyter.api import (
        adelete as adelete,
    )
    from llmcache_jupyter.api import (
        aentries as aentries,
    )
    from llmcache_jupyter.api import (
        aload as aload,
    )
    from llmcache_jupyter.api import (
        alookup as alookup,
    )
    from llmcache_jupyter.api import (
        asave as asave,
    )
    from llmcache_jupyter.api import (
        clear as clear,
    )
    from llmcache_jupyter.api import (
        default_session as default_session,
    )
    from llmcache_jupyter.api import (
        delete as delete,
    )
    from llmcache_jupyter.api import (
        entries as entries,
    )
    from llmcache_jupyter.api import (
        last as last,
    )
    from llmcache_jupyter.api import (
        load as load,
    )
    from llmcache_jupyter.api import (
        lookup as lookup,
    )
    from llmcache_jupyter.api import (
        mode as mode,
    )
    from llmcache_jupyter.api import (
        off as off,
    )
    from llmcache_jupyter.api import (
        on as on,
    )
    from llmcache_jupyter.api import (
        panel as panel,
    )
    from llmcache_jupyter.api import (
        save as save,
    )
    from llmcache_jupyter.api import (
        stats as stats,
    )
    from llmcache_jupyter.api import (
        status as status,
    )
    from llmcache_jupyter.api import (
        why as why,
    )
    from llmcache_jupyter.caches import (
        BaseCache as BaseCache,
    )
    from llmcache_jupyter.caches import (
        Entry as Entry,
    )
    from llmcache_jupyter.caches import (
        EntryCache as EntryCache,
    )
    from llmcache_jupyter.caches import (
        Generation as Generation,
    )
    from llmcache_jupyter.caches import (
        InMemoryCache as InMemoryCache,
    )
    from llmcache_jupyter.caches import (
        Page as Page,
    )
    from llmcache_jupyter.caches import (
        Query as Query,
    )
    from llmcache_jupyter.caches.redis import RedisCache as RedisCache
    from llmcache_jupyter.caches.sqlite import SQLiteCache as SQLiteCache
    from llmcache_jupyter.caches.tiered import TieredCache as TieredCache
    from llmcache_jupyter.errors import (
        BackendError as BackendError,
    )
    from llmcache_jupyter.errors import (
        CacheInactiveError as CacheInactiveError,
    )
    from llmcache_jupyter.errors import (
        CacheMissError as CacheMissError,
    )
    from llmcache_jupyter.errors import (
        CacheWarning as CacheWarning,
    )
    from llmcache_jupyter.errors import (
        DecodingError as DecodingError,
    )
    from llmcache_jupyter.errors import (
        EncodingError as EncodingError,
    )
    from llmcache_jupyter.errors import (
        EntryNotFoundError as EntryNotFoundError,
    )
    from llmcache_jupyter.errors import (
        InvalidSettingError as InvalidSettingError,
    )
    from llmcache_jupyter.errors import (
        LLMCacheError as LLMCacheError,
    )
    from llmcache_jupyter.errors import (
        StoreError as StoreError,
    )
    from llmcache_jupyter.session.cache import SessionCache as SessionCache
    from llmcache_jupyter.session.session import Session as Session

__version__ = "0.1.0"

_HOMES = {
    "api": (
        "aclear adelete aentries aload alookup asave clear default_session delete entries last load lookup "
        "mode off on panel save stats status why"
    ),
    "caches": "BaseCache Entry EntryCache Generation InMemoryCache Page Query",
    "caches.redis": "RedisCache",
    "caches.sqlite": "SQLiteCache",
    "caches.tiered": "TieredCache",
    "errors": (
        "BackendError CacheInactiveError CacheMissError CacheWarning DecodingError EncodingError "
        "EntryNotFoundError InvalidSettingError LLMCacheError StoreError"
    ),
    "session.cache": "SessionCache",
    "session.session": "Session",
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names.split()}

__all__ = [*_HOME_OF, "load_ipython_extension", "unload_ipython_extension"]  # noqa: PLE0604 (names all)

accept_our_caches()
langchain_codec.register()


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]


def load_ipython_extension(shell: InteractiveShell) -> None:
    """`%load_ext llmcache_jupyter`: brings `%llmcache` and `%%llmcache`."""
    from llmcache_jupyter.notebook.magics import load

    load(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """`%unload_ext llmcache_jupyter`: brings back exactly what was there before."""
    from llmcache_jupyter.notebook.magics import unload

    unload(shell)
