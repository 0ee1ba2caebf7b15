"""Forks beside threads that use SQLite: each waits for the other, because nothing of SQLite may cross a fork.

A child would take its parent's locks for its own, and find SQLite's inner locks as other threads held them
(sqlite.org/howtocorrupt.html, "Carrying an open database connection across a fork()").
"""

from __future__ import annotations

import os
import threading
import time
from _thread import interrupt_main
from collections.abc import Callable
from functools import partial, wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_PATIENCE = 10.0  # seconds that a fork waits: what takes longer goes on, and the child cannot use its file
_PAUSE, _LATER = 0.001, 0.1  # seconds

_using: set[int] = set()  # threads
_forking: list[None] = []  # as many as threads are forking
_interrupts: list[None] = []  # as many as came before a fork


def uses_sqlite(function: Callable[P, T]) -> Callable[P, T]:
    """Have forks wait until the function returns, and it for forks, unless another of these called it."""

    @wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        me = threading.get_ident()
        if me in _using:
            return function(*args, **kwargs)
        try:
            _using.add(me)
            if _forking:
                _wait_for_forks(me)
            return function(*args, **kwargs)
        finally:
            _using.discard(me)

    return wrapped


def at_forks(close: Callable[[], None], begin_anew: Callable[[], None]) -> None:
    """Have `close` called before each fork, once nobody uses SQLite, and `begin_anew` in the child."""

    def before() -> None:
        try:
            _wait_for_users()
            close()
        except KeyboardInterrupt:
            _interrupts.append(None)
            _wait_for_users()
            close()

    def in_parent() -> None:
        if _interrupts:
            _interrupts.clear()
            threading.Timer(_LATER, interrupt_main).start()

    def in_child() -> None:
        for one in (_using, _forking, _interrupts):
            one.clear()
        begin_anew()

    if hasattr(os, "register_at_fork"):
        # What these raise is only printed. So an interrupt is raised later, and others wait for what a list's
        # own methods did, which none can come into. Of those called before, the last is the first.
        os.register_at_fork(before=before, after_in_parent=_forking.pop, after_in_child=in_child)
        os.register_at_fork(before=partial(_forking.append, None), after_in_parent=in_parent)


def _wait_for_forks(me: int) -> None:
    until = time.monotonic() + 2 * _PATIENCE
    while _forking and time.monotonic() < until:
        _using.discard(me)
        time.sleep(_PAUSE)
        _using.add(me)


def _wait_for_users() -> None:
    me = threading.get_ident()
    until = time.monotonic() + _PATIENCE
    while _using - {me} and time.monotonic() < until:
        time.sleep(_PAUSE)
