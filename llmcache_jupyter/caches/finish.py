"""Finish: what is to be done once for an object: by its `close`, after it was dropped, or at Python's end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any
from weakref import finalize


class Finish:
    """`finish()` calls `act(*parts)`, which must not hold `owner`; so does the end of `owner`, on a thread.

    - An object is dropped by whoever collects garbage: within a transaction, with a lock locked, in a fork.
    - Calling again does nothing.
    """

    def __init__(self, owner: object, act: Callable[..., object], *parts: Any) -> None:
        self._finalizer = finalize(owner, _dropped, act, *parts)

    def __call__(self) -> None:
        if (found := self._finalizer.detach()) is not None:
            _, _, (act, *parts), _ = found
            act(*parts)


def _dropped(act: Callable[..., object], *parts: Any) -> None:
    if threading.main_thread().is_alive():
        threading.Thread(target=act, args=parts, name="llmcache-finish").start()
    else:  # Python ends, and waits for no more threads
        act(*parts)
