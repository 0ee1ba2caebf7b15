"""SQLiteCache: entries in a file, which outlives the kernel and which several kernels share."""

from __future__ import annotations

import re
import sqlite3
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from os import PathLike, fspath
from pathlib import Path
from types import TracebackType
from typing import Any

from llmcache_jupyter.caches.base import run_in_executor
from llmcache_jupyter.caches.entry import Entry, Key, Page, Query, key_digest
from llmcache_jupyter.caches.limits import LimitedCache, Policy, checked_limits
from llmcache_jupyter.caches.sqlite.connections import Connections
from llmcache_jupyter.caches.sqlite.query import COUNT, as_count, count, find, id_range, indexed_up_to
from llmcache_jupyter.caches.sqlite.rows import GET, INSERT, entry_of, fetch, keys_after, row_of, shown
from llmcache_jupyter.caches.sqlite.schema import prepare
from llmcache_jupyter.caches.sqlite.uses import Uses, write_uses
from llmcache_jupyter.errors import DecodingError, StoreError

# So many entries are put into the index of trigrams at once. Until then a search reads them one by one.
_INDEXED_AT_ONCE = 64

_INDEX = """INSERT INTO search (rowid, prompt_text, answer_text)
    SELECT row, prompt_text, answer_text FROM entries WHERE row > ? AND row <= ? ORDER BY row"""
_UNINDEX = """INSERT INTO search (search, rowid, prompt_text, answer_text)
    SELECT 'delete', row, prompt_text, answer_text FROM entries
    WHERE row IN (SELECT row FROM temp.leaving) AND row <= (SELECT value FROM state WHERE name = 'indexed')"""
_UNCOUNT = """UPDATE llm_strings SET entries = entries -
        (SELECT count(*) FROM entries WHERE llm = id AND row IN (SELECT row FROM temp.leaving))
    WHERE id IN (SELECT llm FROM entries WHERE row IN (SELECT row FROM temp.leaving))"""
_COUNT = """INSERT INTO llm_strings (digest, model, entries, text)
    VALUES (:llm_digest, :model, 1, :llm_string)
    ON CONFLICT (digest) DO UPDATE SET entries = entries + 1"""


class SQLiteCache(LimitedCache):
    """A cache that keeps its entries in the file at `path`, which is made if it isn't there.

    - `maxsize`, `policy`, `ttl`: as InMemoryCache has them. Where kernels share the file, the limits of the
      one that writes hold. Every write removes what is past the `ttl`.
    - `clock`: seconds since the epoch.
    - What `put` returned for is in the file, even when the process is killed; a loss of power may take the
      last moments.
    - Hits are counted in memory first; `get` knows them, other kernels a little later. They are written with
      the next write, with the next look at the entries, after a hundred, and on `close`.
    - Safe under threads, forks and several processes. Reading waits for no writer, so the async methods
      read where they are called; what writes uses an executor.
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
        self._uses = Uses()
        self._connections = Connections(self.path, self._uses.forget)
        self._finish = weakref.finalize(self, _finish, self._connections, self._uses)
        self._purge()
        if maxsize is not None:
            with self._writing() as writer:
                self._evict(writer)

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
            return self._remove_expired(writer) + self._evict(writer)

    def get(self, key: Key) -> Entry | None:
        return self._get(key, key_digest(key))

    def lookup(self, prompt: str, llm_string: str) -> list[Any] | None:
        key = (prompt, llm_string)
        digest = key_digest(key)
        entry = self._get(key, digest)
        if entry is None:
            return None
        if self._uses.note(digest, self.clock()):
            self._write_uses()
        return entry.generations

    def _get(self, key: Key, digest: bytes) -> Entry | None:
        rows = self._connections.read(GET, (digest,))
        if not rows:
            return None
        try:
            entry = entry_of(key, rows[0])
        except DecodingError:
            return None
        if self._is_expired(entry):
            return None
        use = self._uses.of(digest)
        return entry if use is None else replace(entry, hits=entry.hits + use.hits, last_used=use.last)

    def put(self, entry: Entry) -> int:
        row = row_of(entry)
        with self._writing() as writer:
            self._remove_expired(writer)
            self._insert(writer, row)
            return self._evict(writer)

    def touch(self, key: Key) -> None:
        if self._uses.note(key_digest(key), self.clock()):
            self._write_uses()

    def delete(self, ids: Iterable[str]) -> int:
        whole = {one for one in ids if re.fullmatch("[0-9a-f]{12}", one)}
        with self._writing() as writer:
            return sum(
                self._remove(writer, "SELECT row FROM entries WHERE digest BETWEEN ? AND ?", id_range(one))
                for one in whole
            )

    def clear(self, **kwargs: Any) -> None:
        with self._writing() as writer:
            writer.execute("DELETE FROM entries")
            writer.execute("DELETE FROM llm_strings")
            if self._has_search:
                writer.execute("INSERT INTO search (search) VALUES ('delete-all')")

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
        after = 0
        while True:
            with self._connections.reading() as reader:
                keys = keys_after(reader, after)
            if not keys:
                return
            after = max(keys)
            yield from keys.values()

    def holds(self, entry: Entry) -> bool:
        rows = self._connections.read("SELECT stored FROM entries WHERE digest = ?", (entry.digest,))
        return bool(rows) and rows[0][0] == entry.stored and not self._is_expired(entry)

    def __len__(self) -> int:
        self._purge()
        with self._connections.reading() as reader:
            return count(reader)

    async def alookup(self, prompt: str, llm_string: str) -> list[Any] | None:
        key = (prompt, llm_string)
        digest = key_digest(key)
        entry = self._get(key, digest)
        if entry is None:
            return None
        if self._uses.note(digest, self.clock()):
            await run_in_executor(self._write_uses)
        return entry.generations

    async def aget(self, key: Key) -> Entry | None:
        return self.get(key)

    async def aholds(self, entry: Entry) -> bool:
        return self.holds(entry)

    async def atouch(self, key: Key) -> None:
        if self._uses.note(key_digest(key), self.clock()):
            await run_in_executor(self._write_uses)

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction that also writes the hits noted so far, before all else."""
        taken: dict[bytes, Any] = {}
        try:
            with self._connections.writing() as writer:
                taken = self._uses.take()
                write_uses(writer, taken)
                yield writer
        except BaseException:
            self._uses.put_back(taken, self.clock())
            raise

    def _write_uses(self) -> None:
        with suppress(StoreError), self._writing():  # later, then: a hit is worth more than its count
            pass

    def _settle(self) -> None:
        """Have the file show what was used here, and nothing that has expired."""
        if self._uses:
            self._write_uses()
        self._purge()

    def _purge(self) -> None:
        ttl = self._limits.ttl
        expired = "SELECT 1 FROM entries WHERE stored <= ? LIMIT 1"
        if ttl is not None and self._connections.read(expired, [self.clock() - ttl]):
            with self._writing() as writer:
                self._remove_expired(writer)

    def _is_expired(self, entry: Entry) -> bool:
        return self._limits.ttl is not None and self.clock() - entry.stored >= self._limits.ttl

    def _remove_expired(self, writer: sqlite3.Connection) -> int:
        ttl = self._limits.ttl
        if ttl is None:
            return 0
        return self._remove(writer, "SELECT row FROM entries WHERE stored <= ?", [self.clock() - ttl])

    def _insert(self, writer: sqlite3.Connection, row: dict[str, Any]) -> None:
        """Store a row in place of one with the same key."""
        same = writer.execute("SELECT row FROM entries WHERE digest = ?", [row["digest"]]).fetchall()
        if same:
            self._remove(writer, "SELECT ?", same[0])
        writer.execute(_COUNT, row)
        writer.execute(INSERT, row)
        self._index(writer)

    def _evict(self, writer: sqlite3.Connection) -> int:
        """Remove the oldest entries over the maximum. Returns how many."""
        maxsize = self._limits.maxsize
        if maxsize is None or (over := count(writer) - maxsize) <= 0:
            return 0
        order = "used" if self._limits.policy == "lru" else "row"
        return self._remove(writer, f"SELECT row FROM entries ORDER BY {order} LIMIT ?", [over])

    def _remove(self, writer: sqlite3.Connection, rows: str, values: Iterable[Any]) -> int:
        """Remove the entries whose rows this SELECT gives. Returns how many."""
        if not writer.execute(f"INSERT INTO temp.leaving {rows}", list(values)).rowcount:
            return 0
        if self._has_search:
            writer.execute(_UNINDEX)
        writer.execute(_UNCOUNT)
        removed = writer.execute("DELETE FROM entries WHERE row IN (SELECT row FROM temp.leaving)").rowcount
        writer.execute("DELETE FROM llm_strings WHERE entries <= 0")
        writer.execute("DELETE FROM temp.leaving")
        return removed

    def _index(self, writer: sqlite3.Connection) -> None:
        """Put the entries up to the newest into the index of trigrams, once they are enough."""
        if not self._has_search:
            return
        indexed = indexed_up_to(writer)
        ((newest,),) = writer.execute("SELECT max(row) FROM entries")
        if newest - indexed >= _INDEXED_AT_ONCE:
            end = min(newest, indexed + 4 * _INDEXED_AT_ONCE)
            writer.execute(_INDEX, (indexed, end))
            writer.execute("UPDATE state SET value = ? WHERE name = 'indexed'", [end])


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


def _finish(connections: Connections, uses: Uses) -> None:
    with suppress(StoreError):
        if uses:
            with connections.writing() as writer:
                write_uses(writer, uses.take())
    connections.close()
