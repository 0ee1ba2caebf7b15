"""Breaker: stop asking what fails, and try again after a while (the circuit breaker pattern)."""

from __future__ import annotations

import time
from collections.abc import Callable

from llmcache_jupyter.caches.locks import new_lock

SHORTEST, LONGEST = 1.0, 30.0  # seconds of a pause; it doubles while what is asked goes on failing


class Breaker:
    """Whether to ask, given how it went before.

    - After a failure nothing is asked for a pause. Then one caller may try, the others keep waiting for it.
    - `timer`: seconds from any beginning.
    - `is_open`: whether the latest answer was a failure.
    - Safe under threads.
    """

    def __init__(self, timer: Callable[[], float] = time.monotonic) -> None:
        self._timer = timer
        self._lock = new_lock()
        self._pause = 0.0
        self._until = 0.0
        self._is_tried = False
        self.is_open = False

    @property
    def remaining(self) -> float:
        """Seconds until the next try."""
        return max(0.0, self._until - self._timer()) if self.is_open else 0.0

    def allows(self) -> bool:
        """Whether to ask now. Who is allowed to tells `worked` or `failed` afterwards."""
        if not self.is_open:
            return True
        with self._lock:
            if self.remaining > 0:
                return False
            self._until = self._timer() + self._pause
            self._is_tried = True
            return True

    def worked(self) -> None:
        """It answered: ask freely again."""
        with self._lock:
            self._pause = 0.0
            self.is_open = self._is_tried = False

    def failed(self) -> None:
        """It failed: pause, for longer than the last time.

        - Those that were asking when the pause began failed of the same: for them it is no longer.
        """
        with self._lock:
            if self.is_open and not self._is_tried:
                return
            self._is_tried = False
            self._pause = min(max(SHORTEST, 2 * self._pause), LONGEST)
            self._until = self._timer() + self._pause
            self.is_open = True
