"""TimedSocket: a socket whose timeout is for all that is done with it, not for each of its steps."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any


class TimedSocket:
    """`inner`, with a timeout that counts from when it was set.

    - A peer that sends a byte now and then, or takes one now and then, does not make it last longer.
    - `timer`: seconds from any beginning.

    Raises:
        TimeoutError: `recv`, `recv_into` and `sendall`, when the time is over.
    """

    def __init__(self, inner: socket.socket, timer: Callable[[], float] = time.monotonic) -> None:
        self._inner = inner
        self._timer = timer
        self._until: float | None = None

    def settimeout(self, seconds: float | None) -> None:
        """The time that is left from now on. None is without end, 0 doesn't wait at all."""
        self._until = self._timer() + seconds if seconds else None
        if self._until is None:
            self._inner.settimeout(seconds)

    def recv(self, size: int) -> bytes:
        self._begin_step()
        return self._inner.recv(size)

    def recv_into(self, *arguments: Any) -> int:
        self._begin_step()
        return self._inner.recv_into(*arguments)

    def sendall(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            self._begin_step()
            rest = rest[self._inner.send(rest) :]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def _begin_step(self) -> None:
        if self._until is not None:
            left = self._until - self._timer()
            if left <= 0:
                raise TimeoutError("timed out")
            self._inner.settimeout(left)
