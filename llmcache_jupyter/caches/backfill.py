"""Backfill: what a TieredCache writes to its slow tier, and what waits to be written there."""

from __future__ import annotations

import threading
import time
from contextlib import suppress

from llmcache_jupyter.caches.base import run_in_executor
from llmcache_jupyter.caches.entry import Entry, EntryCache, Key
from llmcache_jupyter.caches.front import Front
from llmcache_jupyter.caches.guard import Guard
from llmcache_jupyter.errors import EncodingError, InvalidSettingError

_AT_ONCE, _CHARACTERS = 100, 200_000  # of prompts: what is long goes alone, and takes no others along
_GIVE_UP = 3
_PAUSE, _LONG = 0.05, 2.0  # seconds


class Backfill:
    """Writes entries of `front` to `slow`: each once, in order, and none over one that was stored later.

    - A call writes its own entry. What waits is written on a thread, as soon as `slow` is back; or, without
      `background`, by the calls.
    - What fails waits for all others. What fails three times while others could be written is given up: it
      stays in `front`, and that is told.
    """

    def __init__(self, front: Front, slow: EntryCache, guard: Guard, *, background: bool) -> None:
        self._front = front
        self._slow = slow
        self._guard = guard
        self._background = background
        self._alone = 0  # so many are written one by one
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def write(self, entry: Entry) -> int:
        """Write an entry that is claimed, if `slow` is asked. Returns how many others had to go for it."""
        if not self._guard.allows():
            return 0
        with self._guard:
            return self._put_current(entry)
        self._front.note_failed(entry)
        return 0

    async def awrite(self, entry: Entry) -> int:
        """`write`, without blocking the event loop."""
        if not self._guard.allows():
            return 0
        with self._guard:
            try:
                evicted = await self._slow.aput(entry)
            except EncodingError as error:
                if self._cannot_write(entry, error):
                    await self._slow.adelete([entry.id])
                return 0
            if not self._front.note_written(entry):
                await run_in_executor(self._catch_up, entry.key)
            return evicted
        self._front.note_failed(entry)
        return 0

    def write_all(self, entries: list[Entry]) -> int:
        """`write` many at once."""
        if not entries or not self._guard.allows():
            return 0
        with self._guard:
            try:
                evicted = self._slow.put_all(entries)
            except EncodingError:  # of which?
                return sum(map(self._put_current, entries))
            for entry in entries:
                self._front.note_written(entry)
                self._catch_up(entry.key)
            return evicted
        return 0

    def wake(self) -> None:
        """Have written what waits."""
        thread = self._thread
        if not self._background:
            self.write_waiting(most=1)
        elif thread is None or not thread.is_alive():
            self._is_closed = False
            self._thread = thread = threading.Thread(
                target=self._follow, name="llmcache-backfill", daemon=True
            )
            thread.start()

    def write_waiting(self, most: float = float("inf")) -> None:
        """Write what waits, some at once and so many times, as long as `slow` takes it."""
        while most > 0 and self._front.waiting() and self._guard.allows() and self._write_some():
            most -= 1

    def close(self) -> None:
        """End the thread, and `flush`."""
        self._is_closed = True
        self.flush()

    def flush(self) -> None:
        """Write what waits now, whether `slow` was left alone or not; unless it fails for two, or for long.

        - What somebody else is writing meanwhile is waited for.
        """
        until = time.monotonic() + _LONG
        failures, left = 0, len(self._front.waiting())
        while left and failures < 2:
            if not self._write_some(is_told=True):
                if self._front.is_claimed:
                    time.sleep(_PAUSE)
                else:
                    failures += 1
            before, left = left, len(self._front.waiting())
            if left >= before and time.monotonic() > until:
                return

    def _follow(self) -> None:
        # by looking again and again: what threads wait with may be locked in a forked child
        while self._front.waiting() and not self._is_closed:
            time.sleep(_PAUSE)
            self.write_waiting()
        self._thread = None
        if self._front.waiting() and not self._is_closed:  # who stored it found this thread alive
            self.wake()

    def _write_some(self, *, is_told: bool = False) -> bool:
        """Write some of what waits. Returns whether to go on.

        - `is_told`: it is known that `slow` fails.
        """
        some: list[Entry] = []
        try:
            self._front.claim_some(some, 1 if self._alone else _AT_ONCE, _CHARACTERS)
            if not some:
                return False
            older = self._slow.put_latest(some)
            self._alone = max(0, self._alone - 1)
            self._guard.worked()
            for entry in some:
                if entry.key in older:
                    self._front.give_way(entry)
                else:
                    self._front.note_written(entry)
                self._catch_up(entry.key)
        except Exception as error:
            return self._failed(some, error, is_told)
        finally:
            self._front.release([entry.key for entry in some])
        return True

    def _failed(self, some: list[Entry], error: Exception, is_told: bool) -> bool:
        """What becomes of entries that were not written. Returns whether to go on."""
        if isinstance(error, InvalidSettingError):
            raise error
        if len(some) > 1:  # which of them is it?
            self._alone = len(some)
            return True
        (entry,) = some
        if isinstance(error, EncodingError):
            if self._cannot_write(entry, error):
                with suppress(Exception):
                    self._slow.discard(entry.key)
            return True
        times = self._front.note_failed(entry)
        if times < _GIVE_UP:
            self._guard.failed(error, is_news=times <= 1 and not is_told)
            return False
        told = f"one answer could not be written, though others could ({error}): it stays in memory"
        self._cannot_write(entry, EncodingError(told))
        return True

    def _put_current(self, entry: Entry) -> int:
        """Write an entry that is claimed, and what came under its key meanwhile."""
        evicted = self._put(entry)
        self._catch_up(entry.key)
        return evicted

    def _put(self, entry: Entry) -> int:
        try:
            evicted = self._slow.put(entry)
        except EncodingError as error:
            if self._cannot_write(entry, error):
                self._slow.discard(entry.key)
            return 0
        self._front.note_written(entry)
        return evicted

    def _catch_up(self, key: Key) -> None:
        """Write what was stored under a claimed key while it was written; or remove it, as somebody did."""
        while True:
            newer, is_removed = self._front.next_for(key)
            if newer is not None:
                self._put(newer)
            elif is_removed:
                self._slow.discard(key)
                self._front.note_removed(key)
            else:
                return

    def _cannot_write(self, entry: Entry, error: EncodingError) -> bool:
        """Tell of it. Returns whether the entry is still the one under its key."""
        is_current = self._front.note_unwritable(entry)
        self._guard.tell(error)
        return is_current
