"""The inbox: where an answer arrives. To store it there costs a fraction of what filing it costs.

What is in the inbox is found by its key at once. To be listed, sorted and searched it is filed among the
entries, with many others: when nothing has arrived for a second, or when somebody looks.
"""

from __future__ import annotations

import sqlite3
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

from llmcache_jupyter.caches.codec import MAX_LENGTH
from llmcache_jupyter.caches.sqlite.arrivals import NEXT
from llmcache_jupyter.caches.sqlite.rows import COLUMNS

RECEIVE = f"""INSERT INTO inbox (row, {", ".join(COLUMNS)})
    VALUES ({NEXT}, {", ".join("?" * len(COLUMNS))})"""
SOMETHING_WAITS = "SELECT EXISTS (SELECT 1 FROM inbox)"

_NOT_FILED = "SELECT count(DISTINCT digest) FROM inbox WHERE digest NOT IN (SELECT digest FROM entries)"

_SOME = 64
_TOO_MANY = 1_000
_QUIET = 1.0  # seconds
_LOOK_AGAIN = 0.2  # seconds
_PAUSE = 0.005  # seconds, in which others may write

_NEEDED = ("digest", "stored", "hits", "generations", "prompt", "llm_string", "answer_text")
_VALUES = (f"CASE WHEN length({name}) <= {MAX_LENGTH} THEN {name} END" for name in COLUMNS)
_TAKE = f"SELECT row, {', '.join(_VALUES)} FROM inbox ORDER BY row LIMIT {_SOME}"


def waiting(connection: sqlite3.Connection) -> int:
    """How many entries are in the inbox alone."""
    ((number,),) = connection.execute(_NOT_FILED)
    return int(number)


def take(writer: sqlite3.Connection) -> list[dict[str, Any]] | None:
    """Take the oldest rows out of the inbox, within the caller's transaction. None if it is empty."""
    taken = writer.execute(_TAKE).fetchall()
    if not taken:
        return None
    writer.execute("DELETE FROM inbox WHERE row <= ?", [taken[-1][0]])
    rows = [dict(zip(COLUMNS, values, strict=True)) for _, *values in taken]
    # one that is too long was planted: `row_of` makes none
    return [row for row in rows if all(row[name] is not None for name in _NEEDED)]


class Clerk:
    """Has what arrived filed, on a thread, once nothing more arrives or too much of it waits.

    - `file`: files some, and returns whether there may be more. A method, whose owner may be dropped.
    """

    def __init__(self, file: Callable[[], bool]) -> None:
        self._file = weakref.WeakMethod(file)
        self.forget()

    def forget(self) -> None:
        """Begin anew: in a forked child the thread is gone."""
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()
        self._waiting = 0
        self._last = 0.0

    def arrived(self) -> None:
        """Note that one more waits."""
        self._waiting += 1
        self._last = time.monotonic()
        thread = self._thread
        if thread is None or not thread.is_alive():
            self._start()

    def close(self) -> None:
        """End the thread; what it is filing is filed."""
        self._closing.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _start(self) -> None:
        thread = threading.Thread(target=self._run, name="llmcache-filing", daemon=True)
        thread.start()
        self._thread = thread  # only now: who closes meanwhile joins it

    def _run(self) -> None:
        while self._waiting:  # again: some may arrive while the last is filed
            while self._waiting < _TOO_MANY and (left := self._last + _QUIET - time.monotonic()) > 0:
                if self._closing.wait(min(left, _LOOK_AGAIN)):
                    return
            self._waiting = 0
            while self._file_some() and not self._closing.wait(_PAUSE):
                pass
        self._thread = None
        if self._waiting and not self._closing.is_set():  # what arrived found this thread alive
            self._start()

    def _file_some(self) -> bool:
        file = self._file()
        return file is not None and file()
