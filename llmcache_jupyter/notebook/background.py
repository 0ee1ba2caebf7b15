"""The thread on which panels work, so that they neither hold up a cell nor wait for one.

A widget's handler is called on the kernel's main thread or on a subshell's, and an event comes from whichever
thread made the call. All of them hand their work to one event loop here; what happens on it needs no lock.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from functools import lru_cache
from typing import Any

from llmcache_jupyter.caches.locks import new_lock


class Background:
    """Runs coroutines on the panels' event loop, and keeps each until it ends."""

    def __init__(self) -> None:
        self._loop = _running_loop()
        self._running: set[Future[None]] = set()
        self._lock = new_lock()

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` soon, with the caller's context variables. From any thread; returns at once."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        with self._lock:
            self._running.add(future)
        future.add_done_callback(self._forget)

    def cancel(self) -> None:
        """Stop what still runs."""
        with self._lock:
            running = list(self._running)
        for future in running:
            future.cancel()

    def _forget(self, future: Future[None]) -> None:
        with self._lock:
            self._running.discard(future)


class Throttle:
    """Calls `action` after a `trigger`, and then not again for `seconds`.

    - However many triggers come meanwhile, one more call follows them: the last is never lost.
    - Two calls never overlap.
    """

    def __init__(self, background: Background, action: Callable[[], Awaitable[None]], seconds: float) -> None:
        self.seconds = seconds
        self._background = background
        self._action = action
        self._lock = new_lock()
        self._is_due = False
        self._turn = asyncio.Lock()
        self._not_before = 0.0

    def trigger(self) -> None:
        """Have `action` called. From any thread; returns at once."""
        with self._lock:
            if self._is_due:
                return
            self._is_due = True
        self._background.start(self._run())

    async def _run(self) -> None:
        clock = asyncio.get_running_loop().time
        async with self._turn:
            await asyncio.sleep(max(0.0, self._not_before - clock()))
            with self._lock:
                self._is_due = False
            try:
                await self._action()
            finally:
                self._not_before = clock() + self.seconds


@lru_cache(maxsize=1)
def _running_loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="llmcache-panel", daemon=True).start()
    return loop
