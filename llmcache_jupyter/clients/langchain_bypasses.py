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
_STREAMED = frozenset({"stream", "astream", "_chat_model_stream_v3", "_achat_model_stream_v3"})
_CALLS = _STREAMED | {"generate", "agenerate"}
_CALLERS = frozenset({"generate_prompt", "agenerate_prompt"})
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
            if _is_langchains(frame, _CALLS):
                self._look(frame)
                return
            frame = frame.f_back

    def _look(self, frame: FrameType) -> None:
        if frame.f_code.co_name in _STREAMED:
            told = frame.f_locals
            self._streamed(told.get("self"), _asked(told))
            return
        caller = frame.f_back  # most often the model's, too, and it takes less to read its few variables
        asker = caller if caller is not None and _is_langchains(caller, _CALLERS) else frame
        model = asker.f_locals.get("self")
        if getattr(model, "cache", None) is False:
            self._uncached(model, _asked(frame.f_locals))


def _is_langchains(frame: FrameType, names: frozenset[str]) -> bool:
    """Whether a method of LangChain's models with one of these names runs in this frame."""
    return frame.f_code.co_name in names and frame.f_globals["__name__"].startswith(_HOME)


def _asked(told: Mapping[str, Any]) -> str:
    """The text of the last message (or prompt) among the variables of LangChain's function."""
    asked = told.get("messages") or told.get("prompts") or told.get("prompt") or ""
    while isinstance(asked, list | tuple):
        asked = asked[-1] if asked else ""
    return str(getattr(asked, "content", asked))
