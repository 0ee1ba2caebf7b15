"""SQLiteCache: entries in a file, which outlives the kernel and which several kernels share."""

from __future__ import annotations

import re
import sqlite3
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial
from os import PathLike, fspath
from pathlib import Path
from types import TracebackType
from typing import Any

from llmcache_jupyter.caches.base import run_in_executor
from llmcache_jupyter.caches.entry import Entry, Key, Page, Query, key_digest
from llmcache_jupyter.caches.limits import LimitedCache, Policy, checked_limits
from llmcache_jupyter.caches.sqlite.connections import Connections
from llmcache_jupyter.caches.sqlite.inbox import RECEIVE, SOMETHING_WAITS, Clerk, waiting
from llmcache_jupyter.caches.sqlite.query import COUNT, as_count, count, find, id_range
from llmcache_jupyter.caches.sqlite.rows import (
    EXPIRED,
    GET,
    STORED,
    entry_of,
    fetch,
    generations_of,
    keys_after,
    row_of,
    shown,
    stored_of,
)
from llmcache_jupyter.caches.sqlite.schema import prepare
from llmcache_jupyter.caches.sqlite.writes import Writes, write_uses
from llmcache_jupyter.caches.uses import Uses
from llmcache_jupyter.errors import DecodingError, StoreError


class SQLiteCache(LimitedCache):
    """A cache that keeps its entries in the file at `path`, which is made if it isn't there.

    - `maxsize`, `policy`, `ttl`: as InMemoryCache has them. Where kernels share the file, the limits of the
      one that writes hold. Every look at the entries removes what is past the `ttl`.
    - `clock`: seconds since the epoch.
    - What `put` returned for is in the file, even when the process is killed; a loss of power may take the
      last moments. It is found by its key at once, and filed for lists and searches with the next look at
      them, or on a thread once nothing more arrives.
    - Hits are counted in memory first; `get` knows them, other kernels a little later. They are written when
      entries are filed or looked at, with the first hit after two seconds, after a thousand, and on `close`.
    - Safe under threads, forks and several processes. Reading waits for no writer, so the async methods
      read where they are called; what writes uses an executor.
    - A file that is deleted, moved or replaced meanwhile is left. What is at `path` by then is used, or made.
    - An answer that the file holds but this version cannot read is a miss, and listed without generations.
    - To be closed by `close`, by `with`, or by Python's end.

    Raises:
        StoreError: the file cannot be a store, or failed as one. What was there is as it was.
        EncodingError: `put` and `update`, for an answer that JSON cannot hold. The message names the type.
        ValueError: a limit cannot be.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        *,
        maxsize: int | None = None,
        policy: Policy = "fifo",
        ttl: float | timedelta | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.clock = clock
        self._limits = checked_limits(maxsize, policy, ttl)
        self.path = _path(path)
        self._has_search = prepare(self.path)
        self._writes = Writes(self._has_search)
        self._clerk = Clerk(self._file_some)
        self._uses = Uses()
        self._connections = Connections(self.path, prepare, partial(_forget, self._clerk, self._uses), clock)
        self._finish = weakref.finalize(
            self, _finish, self._clerk, self._connections, self._writes, self._uses
        )
        self._purge()
        if maxsize is not None:
            with self._writing() as writer:
                self._writes.evict(writer, self._limits)

    def __enter__(self) -> SQLiteCache:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Write what is not written yet, and let go of the file. Closing again does nothing."""
        self._finish()

    @property
    def name(self) -> str:
        """The file's path, from the current folder where it is below it."""
        with suppress(OSError, ValueError):  # elsewhere, or the current folder was removed
            return str(self.path.relative_to(Path.cwd()))
        return str(self.path)

    def __repr__(self) -> str:
        return f"SQLiteCache({str(self.path)!r})"

    @property
    def maxsize(self) -> int | None:
        return self._limits.maxsize

    @property
    def policy(self) -> Policy:
        return self._limits.policy

    @property
    def ttl(self) -> float | None:
        return self._limits.ttl

    def configure(self, *, maxsize: int | None, policy: Policy, ttl: float | timedelta | None) -> int:
        self._limits = checked_limits(maxsize, policy, ttl)
        with self._writing() as writer:
            return self._remove_expired(writer) + self._writes.evict(writer, self._limits)

    def get(self, key: Key) -> Entry | None:
        digest = key_digest(key)
        found = self._find(digest)
        if found is None:
            return None
        entry = entry_of(key, *found)
        use = self._uses.of(digest)
        return entry if use is None else replace(entry, hits=entry.hits + use.hits, last_used=use.last)

    def lookup(self, prompt: str, llm_string: str) -> list[Any] | None:
        digest = key_digest((prompt, llm_string))
        found = self._find(digest)
        if found is None:
            return None
        if self._uses.note(digest, self.clock()):
            self._write_uses()
        return found[0]

    def _find(self, digest: bytes) -> tuple[list[Any], Sequence[Any]] | None:
        """The answer under this digest, and its row; None where it expired or cannot be read."""
        rows = self._connections.read(GET, (digest,))
        if not rows or self._is_expired(stored_of(rows[0])):
            return None
        try:
            return generations_of(rows[0]), rows[0]
        except DecodingError:
            return None

    def put(self, entry: Entry) -> int:
        row = row_of(entry)
        if self._is_within_limits():
            self._clerk.arrived(self._connections.write(RECEIVE, row) or 0)
            return 0
        with self._writing() as writer:
            self._remove_expired(writer)
            self._writes.insert(writer, row)
            return self._writes.evict(writer, self._limits)

    def touch(self, key: Key) -> None:
        if self._uses.note(key_digest(key), self.clock()):
            self._write_uses()

    def delete(self, ids: Iterable[str]) -> int:
        whole = {one for one in ids if re.fullmatch("[0-9a-f]{12}", one)}
        with self._writing() as writer:
            return sum(
                self._writes.remove(
                    writer, "SELECT row FROM entries WHERE digest BETWEEN ? AND ?", id_range(one)
                )
                for one in whole
            )

    def clear(self, **kwargs: Any) -> None:
        with self._writing() as writer:
            self._writes.clear(writer)

    def entries(self, query: Query = Query()) -> Page:
        self._settle()
        with self._connections.reading() as reader:
            rows, total = find(reader, query, self._has_search)
            return Page(fetch(reader, rows), total)

    def models(self) -> dict[str | None, int]:
        self._settle()
        rows = self._connections.read(f"SELECT model, {COUNT} FROM llm_strings GROUP BY model")
        counts = {None if model is None else shown(model): as_count(number) for model, number in rows}
        return dict(sorted(counts.items(), key=lambda item: -item[1]))

    def keys(self) -> Iterator[Key]:
        self._settle()
        after = 0
        while True:
            with self._connections.reading() as reader:
                keys = keys_after(reader, after)
            if not keys:
                return
            after = max(keys)
            yield from keys.values()

    def holds(self, entry: Entry) -> bool:
        rows = self._connections.read(STORED, (entry.digest,))
        return bool(rows) and rows[0][0] == entry.stored and not self._is_expired(entry.stored)

    def __len__(self) -> int:
        self._purge()
        with self._connections.reading() as reader:
            return count(reader) + waiting(reader)

    async def alookup(self, prompt: str, llm_string: str) -> list[Any] | None:
        digest = key_digest((prompt, llm_string))
        found = self._find(digest)
        if found is None:
            return None
        if self._uses.note(digest, self.clock()):
            await run_in_executor(self._write_uses)
        return found[0]

    async def aget(self, key: Key) -> Entry | None:
        return self.get(key)

    async def aholds(self, entry: Entry) -> bool:
        return self.holds(entry)

    async def atouch(self, key: Key) -> None:
        if self._uses.note(key_digest(key), self.clock()):
            await run_in_executor(self._write_uses)

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction that first files what arrived, and writes the hits noted so far."""
        taken: dict[bytes, Any] = {}
        try:
            with self._connections.writing() as writer:
                while self._writes.file(writer):
                    pass
                taken = self._uses.take()
                write_uses(writer, taken)
                yield writer
        except BaseException:
            self._uses.put_back(taken, self.clock())
            raise

    def _write_uses(self) -> None:
        with suppress(StoreError), self._writing():  # later, then: a hit is worth more than its count
            pass

    def _file_some(self) -> bool:
        """File some of what arrived, for the clerk. Returns whether there may be more."""
        try:
            with self._connections.writing() as writer:
                return self._writes.file(writer)
        except StoreError:  # later, then: it stays in the inbox
            return False

    def _settle(self) -> None:
        """Have the file show what arrived and what was used here, and nothing that has expired."""
        if self._uses or self._connections.read(SOMETHING_WAITS)[0][0]:
            self._write_uses()
        self._purge()

    def _is_within_limits(self) -> bool:
        """Whether an entry may be stored without a look at the others."""
        if self._limits.maxsize is None:
            return True
        if self._limits.policy == "lru":  # what is used meanwhile must be in order with what arrives
            return False
        with self._connections.reading() as reader:
            return count(reader) + waiting(reader) < self._limits.maxsize

    def _purge(self) -> None:
        ttl = self._limits.ttl
        if ttl is not None and self._connections.read(EXPIRED, [self.clock() - ttl]):
            with self._writing() as writer:
                self._remove_expired(writer)

    def _is_expired(self, stored: float) -> bool:
        return self._limits.ttl is not None and self.clock() - stored >= self._limits.ttl

    def _remove_expired(self, writer: sqlite3.Connection) -> int:
        ttl = self._limits.ttl
        if ttl is None:
            return 0
        return self._writes.remove(writer, "SELECT row FROM entries WHERE stored <= ?", [self.clock() - ttl])


def _path(path: str | PathLike[str]) -> Path:
    name = fspath(path)
    if isinstance(name, bytes) or name in ("", ":memory:"):  # type: ignore[redundant-expr]
        raise StoreError(
            f'{name!r} names no file: write SQLiteCache("notes.sqlite"), or use InMemoryCache().'
        )
    try:
        return Path(name).expanduser().absolute()
    except (OSError, RuntimeError) as error:  # the current folder was removed, or nobody's home
        raise StoreError(f"{name!r} cannot be found ({error}): write the whole path.") from error


def _forget(clerk: Clerk, uses: Uses) -> None:
    clerk.forget()
    uses.forget()


def _finish(clerk: Clerk, connections: Connections, writes: Writes, uses: Uses) -> None:
    clerk.close()
    with suppress(StoreError):
        if connections.is_current() and (uses or connections.read(SOMETHING_WAITS)[0][0]):
            with connections.writing() as writer:
                while writes.file(writer):
                    pass
                write_uses(writer, uses.take())
    connections.close()
