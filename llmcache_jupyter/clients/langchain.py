"""LangChain: its global cache, and its acceptance of our classes. Imports nothing of LangChain itself."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType, ModuleType
from typing import Any

from llmcache_jupyter.caches import BaseCache
from llmcache_jupyter.clients.imports import when_imported
from llmcache_jupyter.clients.langchain_bypasses import Bypass, Bypasses


def accept_our_caches() -> None:
    """From LangChain's import on, `ChatModel(cache=cache)` takes any cache of ours.

    Its pydantic field checks `isinstance(cache, langchain_core.caches.BaseCache)`.
    """
    when_imported("langchain_core.caches", lambda module: module.BaseCache.register(BaseCache))


def class_being_sent(shown: str) -> type | None:
    """The class that reads `shown` among the arguments of the model call that is asking a cache; or None.

    LangChain hands a cache only that text. Several classes may go by one name: defined anew by a cell, made
    in a function. Which one is sent is known to the frame of LangChain's that called.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        arguments = frame.f_locals.get("kwargs")
        for value in arguments.values() if isinstance(arguments, dict) else ():
            if isinstance(value, type) and repr(value) == shown:
                return value
        if frame.f_code.co_name in ("invoke", "ainvoke"):
            return None
        frame = frame.f_back
    return None


class LangChainClient:
    """LangChain's global cache while a session is active.

    - `bypassed`: is told the model, what it is asked, and why, before a call that does not ask our cache.
      What it raises, the call raises.
    """

    def __init__(self, bypassed: Callable[[Any, str, Bypass], object] = lambda *_: None) -> None:
        self._bypasses = Bypasses(bypassed, self._is_ours)
        self._cache: BaseCache | None = None
        self._earlier: Any = None
        self._forget: Callable[[], None] = lambda: None

    def attach(self, cache: BaseCache) -> None:
        """Make `cache` LangChain's global cache: now, or as soon as LangChain is imported.

        - Attached again, it takes the place back, and remembers what it finds there then.
        """
        self._forget()
        self._cache = cache
        self._forget = when_imported("langchain_core.globals", self._set)
        self._bypasses.attach()

    def detach(self) -> None:
        """Bring back the global cache that was there. One that was set by others meanwhile stays."""
        self._forget()
        self._bypasses.detach()
        module = _globals()
        if module is not None and self._cache is not None and module.get_llm_cache() is self._cache:
            module.set_llm_cache(self._earlier)
        self._cache = self._earlier = None

    @property
    def displaced(self) -> str | None:
        """What other code has set as the global cache in place of ours; None where ours stands."""
        module = _globals()
        if module is None or self._cache is None:
            return None
        current = module.get_llm_cache()
        if current is self._cache:
            return None
        return "None" if current is None else f"{type(current).__name__}()"

    def _is_ours(self, cache: Any) -> bool:
        if cache is None and (module := _globals()) is not None:
            cache = module.get_llm_cache()
        return isinstance(cache, type(self._cache))  # another session's minds its own mode

    def _set(self, module: ModuleType) -> None:
        current = module.get_llm_cache()
        if current is not self._cache:
            self._earlier = current
            module.set_llm_cache(self._cache)


def _globals() -> ModuleType | None:
    return sys.modules.get("langchain_core.globals")
