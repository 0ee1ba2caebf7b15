"""Locks that a forked child finds unlocked: who held one is a thread of its parent, and unlocks it there."""

from __future__ import annotations

import os
import threading
from typing import Any, TypeVar
from weakref import WeakSet

T = TypeVar("T")


def new_lock() -> threading.Lock:
    """A `threading.Lock`, free in a forked child."""
    return _kept(threading.Lock())


def new_rlock() -> threading.RLock:
    """A `threading.RLock`, free in a forked child."""
    return _kept(threading.RLock())


def _kept(lock: T) -> T:
    _alive.add(lock)
    return lock


def _unlock_all() -> None:
    for lock in list(_alive):
        lock._at_fork_reinit()  # as Python does it for the locks of its own modules


_alive: WeakSet[Any] = WeakSet()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlock_all)
