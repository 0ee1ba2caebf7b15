"""Backends that misbehave as told."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from llmcache_jupyter.caches import Entry, InMemoryCache, Key, Page, Query


class FailingCache(InMemoryCache):
    """An InMemoryCache whose methods raise while their names are in `broken`; `asked` lists all calls of it.

    - A sync method and its async twin go by the sync one's name. `watch` is told each.
    - `refuses`: of which entries `put` raises, too.
    """

    def __init__(self, *broken: str, error: BaseException | None = None) -> None:
        super().__init__()
        self.broken = set(broken)
        self.error = error or OSError("disk full")
        self.asked: list[str] = []
        self.watch: Callable[[str], object] = lambda _: None
        self.refuses: Callable[[Entry], bool] = lambda _: False

    def _check(self, name: str) -> None:
        self.asked.append(name)
        self.watch(name)
        if name in self.broken:
            raise self.error

    def get(self, key: Key) -> Entry | None:
        self._check("get")
        return super().get(key)

    def find(self, key: Key) -> Entry | None:
        self._check("get")
        return super().find(key)

    def put(self, entry: Entry) -> int:
        self._check("put")
        if self.refuses(entry):
            raise self.error
        return super().put(entry)

    def touch(self, key: Key) -> None:
        self._check("touch")
        super().touch(key)

    def delete(self, ids: Iterable[str]) -> int:
        self._check("delete")
        return super().delete(ids)

    def entries(self, query: Query = Query()) -> Page:
        self._check("entries")
        return super().entries(query)

    def models(self) -> dict[str | None, int]:
        self._check("models")
        return super().models()

    def clear(self, **kwargs: Any) -> None:
        self._check("clear")
        super().clear(**kwargs)

    def __len__(self) -> int:
        self._check("len")
        return super().__len__()


def wait_until(is_so: Callable[[], bool], patience: float = 20) -> None:
    """Wait for a condition. Raises AssertionError after `patience` seconds."""
    until = time.monotonic() + patience
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.005)
