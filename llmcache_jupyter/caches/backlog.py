"""Backlog: what is to be counted when somebody wants to know, and not while a call waits."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from llmcache_jupyter.caches.locks import new_rlock

T = TypeVar("T")

_MANY = 1_000


class Backlog(Generic[T]):
    """Things that wait for `count`, which gets each of them once, in the order they were added.

    - `lock`: is held while they are counted. Who holds it after `settle` sees all of them counted, as long as
      it is held.
    - A thousand are counted at once: no more than that wait.
    - Safe under threads.
    """

    def __init__(self, count: Callable[[T], object]) -> None:
        self.lock = new_rlock()
        self._count = count
        self._waiting: deque[T] = deque()

    def add(self, thing: T) -> None:
        """Have this counted later."""
        self._waiting.append(thing)
        if len(self._waiting) >= _MANY:
            self.settle()

    def settle(self) -> None:
        """Have all of them counted now."""
        with self.lock:
            self._count_all()

    def __len__(self) -> int:
        return len(self._waiting)

    # a method of its own, as in InMemoryCache: an interrupt at a loop's jump back may pass by `with`
    def _count_all(self) -> None:
        while self._waiting:
            self._count(self._waiting.popleft())
