"""Calls for which LangChain asks no cache: those of a model with `cache=False`, and those by `.stream`.

Imports nothing of LangChain before others do.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from types import FrameType, ModuleType
from typing import Any

from llmcache_jupyter.clients.imports import when_imported

_HOME = "langchain_core.language_models"
_CACHED = frozenset({"generate", "agenerate"})
_STREAMED = frozenset({"stream", "astream", "_chat_model_stream_v3", "_achat_model_stream_v3"})
Tell = Callable[[Any, str], object]


class Bypasses:
    """Sees the calls that reach no cache, from `attach` until `detach`, which leaves nothing behind.

    - `uncached`, `streamed`: are told the model and what it is asked, beforehand. What they raise, the call
      raises.
    """

    def __init__(self, uncached: Tell, streamed: Tell) -> None:
        self._hook = _Hook(uncached, streamed)
        self._forget: Callable[[], None] = lambda: None

    def attach(self) -> None:
        """See calls from now on, or from LangChain's import on."""
        self.detach()
        self._forget = when_imported("langchain_core.tracers.context", self._add)

    def detach(self) -> None:
        """See no more."""
        self._forget()
        module = sys.modules.get("langchain_core.tracers.context")
        if module is not None:
            hooks = module._configure_hooks
            hooks[:] = [hook for hook in hooks if hook[0] is not self._hook]

    def _add(self, module: ModuleType) -> None:
        module.register_configure_hook(self._hook, inheritable=False)


class _Hook:
    """What LangChain takes for a context variable, and asks for a callback handler as each call begins.

    - It never has one: a handler costs a cached call 15 us, looking here 1 us.
    """

    def __init__(self, uncached: Tell, streamed: Tell) -> None:
        self._uncached = uncached
        self._streamed = streamed

    def get(self) -> None:
        frame: FrameType | None = sys._getframe(1)
        for _ in range(4):
            if frame is None:
                return
            name = frame.f_code.co_name
            if (name in _CACHED or name in _STREAMED) and frame.f_globals["__name__"].startswith(_HOME):
                self._look(name, frame.f_locals)
                return
            frame = frame.f_back

    def _look(self, name: str, told: Mapping[str, Any]) -> None:
        model = told.get("self")
        if name in _STREAMED:
            self._streamed(model, _asked(told))
        elif getattr(model, "cache", None) is False:
            self._uncached(model, _asked(told))


def _asked(told: Mapping[str, Any]) -> str:
    """The text of the last message (or prompt) among the variables of LangChain's function."""
    asked = told.get("messages") or told.get("prompts") or told.get("prompt") or ""
    while isinstance(asked, list | tuple):
        asked = asked[-1] if asked else ""
    return str(getattr(asked, "content", asked))
