"""BaseCache: what a cache that brings only the synchronous methods gets for nothing."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any

import pytest

from llmcache_jupyter.caches import BaseCache
from llmcache_jupyter.caches.base import run_in_executor
from tests.caches.contract import InterfaceContract

asked_by: ContextVar[str] = ContextVar("asked_by", default="nobody")


class Plain(BaseCache):
    """The least that a cache can be; it notes who asked and on which thread."""

    def __init__(self) -> None:
        self.held: dict[tuple[str, str], list[Any]] = {}
        self.seen: list[tuple[str, str, bool]] = []
        self.cleared_with: dict[str, Any] = {}

    def lookup(self, prompt: str, llm_string: str) -> list[Any] | None:
        self._note("lookup")
        return self.held.get((prompt, llm_string))

    def update(self, prompt: str, llm_string: str, return_val: Sequence[Any]) -> None:
        self._note("update")
        if return_val:
            self.held[prompt, llm_string] = list(return_val)

    def clear(self, **kwargs: Any) -> None:
        self._note("clear")
        self.cleared_with = kwargs
        self.held.clear()

    def _note(self, method: str) -> None:
        self.seen.append((method, asked_by.get(), threading.current_thread() is threading.main_thread()))


class TestPlain(InterfaceContract):
    @pytest.fixture
    def cache(self) -> BaseCache:
        return Plain()


@pytest.mark.parametrize("missing", ["lookup", "update", "clear"])
def test_these_methods_are_needed(missing: str) -> None:
    methods = {name: getattr(Plain, name) for name in ("lookup", "update", "clear") if name != missing}
    with pytest.raises(TypeError, match=missing):
        type("Incomplete", (BaseCache,), methods)()


async def test_the_async_twins_run_on_a_thread_with_the_callers_context() -> None:
    cache = Plain()
    asked_by.set("a test")
    await cache.aupdate("p", "m", ["an answer"])
    assert await cache.alookup("p", "m") == ["an answer"]
    await cache.aclear(asynchronous=True, count=3)
    assert cache.seen == [(method, "a test", False) for method in ("update", "lookup", "clear")]
    assert cache.cleared_with == {"asynchronous": True, "count": 3}


async def test_an_error_comes_back() -> None:
    with pytest.raises(ZeroDivisionError):
        await run_in_executor(lambda: 1 / 0)
