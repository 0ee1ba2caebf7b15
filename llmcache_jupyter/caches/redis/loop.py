"""LoopThread: an event loop on a thread of its own, for clients whose connections belong to one loop.

A kernel has several loops, some of which end. Whoever asks from any of them, or from none, asks this one.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


class LoopThread:
    """Runs coroutines, one loop for all. The thread starts with the first; a forked child needs another."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def is_running(self) -> bool:
        """Whether the thread has started."""
        return self._loop is not None

    def start(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Have the coroutine run. Returns its future."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._running())

    def wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """What the coroutine returns."""
        return self.start(coroutine).result()

    def later(self, coroutine: Coroutine[Any, Any, T]) -> Awaitable[T]:
        """What the coroutine returns, for the loop that is running here."""
        return asyncio.wrap_future(self.start(coroutine))

    def stop(self, last: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """End the thread, after one last coroutine."""
        with self._lock:
            loop, self._loop = self._loop, None
        if loop is None:
            return

        async def end() -> None:
            try:
                await last()
            finally:
                loop.stop()

        asyncio.run_coroutine_threadsafe(end(), loop)

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                thread = threading.Thread(target=_run, args=(self._loop,), name=self._name, daemon=True)
                thread.start()
            return self._loop


def _run(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        loop.close()
