"""Calls for which LangChain does not ask our cache: of a model with `cache=False`, by `.stream`, and so on.

Imports nothing of LangChain before others do.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from types import FrameType, ModuleType
from typing import Any, Literal

from llmcache_jupyter.clients.imports import when_imported

_HOME = "langchain_core.language_models"
_STREAMED = frozenset({"stream", "astream", "_chat_model_stream_v3", "_achat_model_stream_v3"})
_CALLS = _STREAMED | {"generate", "agenerate"}
# how many calls away the model's method is: at first where it has always been. From frame to frame, it takes
# twice as long
_DEPTHS = (3, 1, 2, 4)
_CALLERS = frozenset({"generate_prompt", "agenerate_prompt"})

Bypass = Literal["uncached", "own cache", "displaced", "streamed"]
"""The model has `cache=False`, or another cache; LangChain's global cache is another one; it is streamed."""


class Bypasses:
    """Sees the calls that do not reach our cache, from `attach` until `detach`, which leaves nothing behind.

    - `bypassed`: is told the model, what it is asked, and why, beforehand. What it raises, the call raises.
    - `is_ours`: whether this cache, or LangChain's global one where that is None, is our cache.
    """

    def __init__(
        self, bypassed: Callable[[Any, str, Bypass], object], is_ours: Callable[[Any], bool]
    ) -> None:
        self._hook = _Hook(bypassed, is_ours)
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

    def __init__(
        self, bypassed: Callable[[Any, str, Bypass], object], is_ours: Callable[[Any], bool]
    ) -> None:
        self._bypassed = bypassed
        self._is_ours = is_ours

    def get(self) -> None:
        for depth in _DEPTHS:
            try:
                frame = sys._getframe(depth)
            except ValueError:  # nobody is so far away
                continue
            if _is_langchains(frame, _CALLS):
                self._look(frame)
                return

    def _look(self, frame: FrameType) -> None:
        if frame.f_code.co_name in _STREAMED:
            told = frame.f_locals
            self._bypassed(told.get("self"), _asked(told), "streamed")
            return
        caller = frame.f_back  # most often the model's, too, and it takes less to read its few variables
        asker = caller if caller is not None and _is_langchains(caller, _CALLERS) else frame
        model = asker.f_locals.get("self")
        bypass = self._bypass(getattr(model, "cache", None))
        if bypass is not None:
            self._bypassed(model, _asked(frame.f_locals), bypass)

    def _bypass(self, cache: Any) -> Bypass | None:
        """Why calls of a model with this `cache` do not reach ours; None where they do."""
        if cache is False:
            return "uncached"
        if cache is None or cache is True:
            return None if self._is_ours(None) else "displaced"
        return None if self._is_ours(cache) else "own cache"


def _is_langchains(frame: FrameType, names: frozenset[str]) -> bool:
    """Whether a method of LangChain's models with one of these names runs in this frame."""
    return frame.f_code.co_name in names and frame.f_globals.get("__name__", "").startswith(_HOME)


def _asked(told: Mapping[str, Any]) -> str:
    """The text of the last message (or prompt) among the variables of LangChain's function."""
    asked = told.get("messages") or told.get("prompts") or told.get("prompt") or ""
    while isinstance(asked, list | tuple):
        asked = asked[-1] if asked else ""
    return str(getattr(asked, "content", asked))
