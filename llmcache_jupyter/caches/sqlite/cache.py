"""SQLiteCache: entries in a file, which outlives the kernel and which several kernels share."""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import partial
from operator import itemgetter
from os import PathLike, fspath
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from llmcache_jupyter.caches.base import run_in_executor
from llmcache_jupyter.caches.entry import Entry, Key, Page, Query, key_digest
from llmcache_jupyter.caches.field import seconds, shown
from llmcache_jupyter.caches.finish import Finish
from llmcache_jupyter.caches.limits import LimitedCache, Policy, checked_limits
from llmcache_jupyter.caches.sqlite.arrivals import Arrivals
from llmcache_jupyter.caches.sqlite.connections import Connections, Rows
from llmcache_jupyter.caches.sqlite.inbox import RECEIVE, SOMETHING_WAITS, Clerk, waiting
from llmcache_jupyter.caches.sqlite.log_index import Version
from llmcache_jupyter.caches.sqlite.opening import HURRIED, PATIENT
from llmcache_jupyter.caches.sqlite.place import shown_path
from llmcache_jupyter.caches.sqlite.query import COUNT, as_count, count, find, id_range
from llmcache_jupyter.caches.sqlite.rows import (
    COLUMNS,
    EXPIRED,
    GET,
    STORED,
    entry_of,
    fetch,
    generations_of,
    keys_after,
    row_of,
    stored_of,
)
from llmcache_jupyter.caches.sqlite.schema import prepare
from llmcache_jupyter.caches.sqlite.writes import Writes, write_uses
from llmcache_jupyter.caches.uses import Use, Uses
from llmcache_jupyter.errors import DecodingError, StoreError

T = TypeVar("T")

_values = itemgetter(*COLUMNS)
_MOST_SEEN = 10_000


class SQLiteCache(LimitedCache):
    """A cache that keeps its entries in the file at `path`, which is made if it isn't there.

    - `maxsize`, `policy`, `ttl`: as InMemoryCache has them. Where kernels share the file, the limits of the
      one that writes hold. Every look at the entries removes what is past the `ttl`.
    - `clock`: seconds since the epoch.
    - What `put` returned for is in the file, even when the process is killed; a loss of power may take the
      last moments. Without a maximum it is found by its key at once, and filed for lists and searches with
      the next look at them, or on a thread.
    - Once nothing has arrived for a second, the file alone holds everything, without the log beside it.
    - Hits are counted in memory first; `get` knows them, other kernels a little later. They are written when
      entries are filed or looked at, with the first hit after two seconds, after a thousand, and on `close`.
    - Safe under threads, forks and several processes. Reading waits for no writer, so the async methods
      read where they are called, unless the file was replaced; what writes uses an executor.
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
        self._arrivals = Arrivals()
        forget = partial(_forget, self._clerk, self._uses, self._arrivals)
        self._connections = Connections(self.path, prepare, forget, clock)
        self._seen: dict[bytes, tuple[Version, float]] = {}  # what was stored when, at a version of the file
        self._finish = Finish(self, _finish, self._clerk, self._connections, self._writes, self._uses)
        self._purge()
        if maxsize is not None:
            self._change(self._evict)

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
        return shown_path(self.path)

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
        return self._change(lambda writer: self._remove_expired(writer) + self._evict(writer))

    def get(self, key: Key) -> Entry | None:
        digest = key_digest(key)
        found = self._find(digest)
        if found is None:
            return None
        entry = entry_of(key, *found)
        use = self._uses.of(digest)
        return entry if use is None else entry.used(use)

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
        rows = self._read(GET, digest, self._connections.version())
        if not rows or self._is_expired(stored_of(rows[0])):
            return None
        try:
            return generations_of(rows[0]), rows[0]
        except DecodingError:
            return None

    def _read(self, sql: str, digest: bytes, version: Version | None) -> Rows:
        read = self._connections.read
        return read(sql, {"digest": digest, "row": self._arrivals.row(digest, version, read)})

    def put(self, entry: Entry) -> int:
        if self._limits.maxsize is not None:
            return self.put_all([entry])
        self._connections.store(RECEIVE, _values(row_of(entry)))
        self._uses.drop(entry.digest)
        self._clerk.arrived()
        return 0

    def put_all(self, entries: Iterable[Entry]) -> int:
        rows = list(map(row_of, entries))

        def insert(writer: sqlite3.Connection) -> int:
            self._remove_expired(writer)
            for row in rows:
                self._writes.insert(writer, row)
            return self._evict(writer)

        return self._put(insert)

    def put_latest(self, entries: Iterable[Entry]) -> set[Key]:
        rows = {entry.key: row_of(entry) for entry in entries}

        def insert(writer: sqlite3.Connection) -> set[Key]:
            self._remove_expired(writer)
            older = {key for key, row in rows.items() if self._writes.has_later(writer, row)}
            for key, row in rows.items():
                if key not in older:
                    self._writes.insert(writer, row)
            self._evict(writer)
            return older

        return self._put(insert)

    def _put(self, insert: Callable[[sqlite3.Connection], T]) -> T:
        result = self._change(insert)
        self._clerk.arrived()
        return result

    def stored_when(self, keys: Iterable[Key]) -> dict[Key, float]:
        version = self._connections.version()
        found = {key: self._read(STORED, key_digest(key), version) for key in keys}
        stored = {key: seconds(rows[0][0]) or 0.0 for key, rows in found.items() if rows}
        return {key: moment for key, moment in stored.items() if not self._is_expired(moment)}

    def touch(self, key: Key) -> None:
        if self._uses.note(key_digest(key), self.clock()):
            self._write_uses()

    def delete(self, ids: Iterable[str]) -> int:
        whole = {one for one in ids if re.fullmatch("[0-9a-f]{12}", one)}
        rows = "SELECT row FROM entries WHERE digest BETWEEN ? AND ?"
        return self._change(
            lambda writer: sum(self._writes.remove(writer, rows, id_range(one)) for one in whole)
        )

    def clear(self, **kwargs: Any) -> None:
        self._change(self._writes.clear)

    def entries(self, query: Query = Query()) -> Page:
        self._settle()

        def page(reader: sqlite3.Connection) -> Page:
            rows, total = find(reader, query, self._has_search)
            return Page(fetch(reader, rows), total)

        return self._connections.look(page)

    def models(self) -> dict[str | None, int]:
        self._settle()
        rows = self._connections.read(f"SELECT model, {COUNT} FROM llm_strings GROUP BY model")
        counts = {None if model is None else shown(model): as_count(number) for model, number in rows}
        return dict(sorted(counts.items(), key=lambda item: -item[1]))

    def keys(self) -> Iterator[Key]:
        self._settle()
        after = 0
        while keys := self._connections.look(partial(keys_after, row=after)):
            after = max(keys)
            yield from keys.values()

    def holds(self, entry: Entry) -> bool:
        if self._is_expired(entry.stored):
            return False
        version = self._connections.version()
        if version is not None and self._seen.get(entry.digest) == (version, entry.stored):
            return True
        rows = self._read(STORED, entry.digest, version)
        if not rows or rows[0][0] != entry.stored:
            return False
        if version is not None:
            self._note_seen(entry, version)
        return True

    def __len__(self) -> int:
        self._purge()
        return self._connections.look(lambda reader: count(reader) + waiting(reader))

    def flush(self) -> None:
        """Have everything in the file itself, as far as no other process is in the way."""
        self._settle()
        self._connections.empty_log()

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

    # What changes the file is handed to a transaction as a function: an interrupt at the end of a generator's
    # `with` would keep the lock locked for as long as somebody has the traceback.

    def _change(self, steps: Callable[[sqlite3.Connection], T], patience: float = PATIENT) -> T:
        """What `steps` return, in a transaction that first files what arrived, and writes the hits noted."""
        taken: dict[bytes, Use] = {}

        def all_steps(writer: sqlite3.Connection) -> T:
            self._writes.file_all(writer)
            taken.update(self._uses.take())
            write_uses(writer, taken)
            return steps(writer)

        try:
            return self._connections.write(all_steps, patience)
        except BaseException:
            self._uses.put_back(taken, self.clock())
            raise

    def _write_uses(self) -> None:
        with suppress(StoreError):  # later, then: a count is worth no wait
            self._change(_nothing, HURRIED)

    def _file_some(self) -> bool:
        """File some of what arrived, for the clerk. Returns whether there may be more."""
        try:
            is_more = self._connections.write(self._writes.file)
            if not is_more:  # a file that is copied or replaced by now takes all with it, and is the whole
                self._connections.empty_log()
        except StoreError:  # later, then: it stays in the inbox
            return False
        return is_more

    def _settle(self) -> None:
        """Have the file show what arrived and what was used here, and nothing that has expired."""
        if self._connections.read(SOMETHING_WAITS)[0][0]:
            self._change(_nothing)
        elif self._uses:
            self._write_uses()
        self._purge()

    def _note_seen(self, entry: Entry, version: Version) -> None:
        if len(self._seen) >= _MOST_SEEN:
            self._seen = {}
        self._seen[entry.digest] = version, entry.stored

    def _purge(self) -> None:
        ttl = self._limits.ttl
        if ttl is not None and self._connections.read(EXPIRED, {"end": self.clock() - ttl}):
            self._change(self._remove_expired)

    def _evict(self, writer: sqlite3.Connection) -> int:
        return self._writes.evict(writer, self._limits)

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


def _forget(clerk: Clerk, uses: Uses, arrivals: Arrivals) -> None:
    clerk.forget()
    uses.forget()
    arrivals.forget()


def _finish(clerk: Clerk, connections: Connections, writes: Writes, uses: Uses) -> None:
    clerk.close()
    with suppress(StoreError):
        if connections.is_current() and (uses or connections.read(SOMETHING_WAITS)[0][0]):
            connections.write(lambda writer: _write_last(writer, writes, uses))
    connections.close()


def _write_last(writer: sqlite3.Connection, writes: Writes, uses: Uses) -> None:
    writes.file_all(writer)
    write_uses(writer, uses.take())


def _nothing(_writer: sqlite3.Connection) -> None:
    pass
